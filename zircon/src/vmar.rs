//! VMARs: the tree of regions of an address space, `zx_vmar_allocate` and `zx_vmar_destroy`.
//!
//! A VMAR knows its children; mappings are in the process's table ([`crate::mappings`]), each with the VMAR it was made in.
//! What lies directly in a VMAR, child or mapping, never overlaps. Closing the last handle of a VMAR leaves it where it is;
//! it goes when it, or one it lies in, is destroyed, or with its process. A handle that is left then finds it dead.

use std::collections::BTreeMap;

use protocol::options::VmOptions;
use protocol::{PAGE_SIZE, RawHandle, Rights, Signals, Status, USER_BASE, USER_END};

use crate::flush::flushing;
use crate::header::Header;
use crate::ids::{ObjectRef, ProcessId, VmarId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::Body;
use crate::user::{CopyOut, Undo};

/// Most mappings and child VMARs of a process: what a program can make the core keep is bounded.
const MAX_REGIONS: usize = 1 << 16;

/// A region of an address space.
#[derive(Clone, Debug)]
pub(crate) struct Vmar {
    pub header: Header,
    pub process: ProcessId,
    /// The VMAR that it lies in; `None` for a root.
    pub parent: Option<VmarId>,
    pub base: u64,
    pub size: u64,
    /// CAN_MAP_* bits: what may be done in it.
    pub can_map: VmOptions,
    /// Child VMARs by their base, with their ends.
    pub children: BTreeMap<u64, (u64, VmarId)>,
    /// It was destroyed.
    pub dead: bool,
}

impl Vmar {
    pub fn end(&self) -> u64 {
        self.base + self.size
    }

    /// Child VMARs that overlap `[start, end)`: their bases, ends and ids, in order.
    pub fn children_in(&self, start: u64, end: u64) -> Vec<(u64, u64, VmarId)> {
        let before = self.children.range(..start).next_back();
        let near = before.into_iter().chain(self.children.range(start..end));
        near.map(|(&base, &(child_end, id))| (base, child_end, id))
            .filter(|&(_, child_end, _)| child_end > start)
            .collect()
    }
}

/// What a new mapping or VMAR asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub options: VmOptions,
    /// The offset argument: see SPECIFIC and OFFSET_IS_UPPER_LIMIT.
    pub offset: u64,
    pub length: u64,
    /// A power of two, at least the page size.
    pub alignment: u64,
    /// Offset in the VMO, which large pages have to match; 0 for a VMAR.
    pub vmo_offset: u64,
}

/// The options without the top byte, which asks for an alignment in bytes: INVALID_ARGS for bits that mean nothing.
pub(crate) fn split_options(options: u32) -> Result<(VmOptions, u64), Status> {
    let alignment = match options >> 24 {
        0 => PAGE_SIZE,
        log2 @ 10..=32 => PAGE_SIZE.max(1 << log2),
        _ => return Err(Status::INVALID_ARGS),
    };
    let options = VmOptions::from_bits(options & 0xFF_FFFF).ok_or(Status::INVALID_ARGS)?;
    Ok((options, alignment))
}

/// The rights that go with CAN_MAP_* or PERM_* bits.
fn rights_for(options: VmOptions, bits: [VmOptions; 3]) -> Rights {
    let [read, write, execute] = bits.map(|bit| options.contains(bit));
    let mut rights = Rights::empty();
    rights.set(Rights::READ, read);
    rights.set(Rights::WRITE, write);
    rights.set(Rights::EXECUTE, execute);
    rights
}

const CAN_MAP_RWX: [VmOptions; 3] = [
    VmOptions::CAN_MAP_READ,
    VmOptions::CAN_MAP_WRITE,
    VmOptions::CAN_MAP_EXECUTE,
];

/// The rights that PERM_* bits need.
pub(crate) fn perm_rights(options: VmOptions) -> Rights {
    let perms = [
        VmOptions::PERM_READ,
        VmOptions::PERM_WRITE,
        VmOptions::PERM_EXECUTE,
    ];
    rights_for(options, perms)
}

fn can_map_rights(options: VmOptions) -> Rights {
    rights_for(options, CAN_MAP_RWX)
}

impl Kernel {
    /// A process's root VMAR.
    pub(crate) fn new_root_vmar(&mut self, process: ProcessId) -> VmarId {
        let can_map = CAN_MAP_RWX
            .into_iter()
            .fold(VmOptions::CAN_MAP_SPECIFIC, VmOptions::union);
        self.add_vmar(process, None, (USER_BASE, USER_END), can_map)
    }

    fn add_vmar(
        &mut self,
        process: ProcessId,
        parent: Option<VmarId>,
        (base, end): (u64, u64),
        can_map: VmOptions,
    ) -> VmarId {
        let id = VmarId(self.next_koid());
        let vmar = Vmar {
            header: Header::new(Signals::empty()),
            process,
            parent,
            base,
            size: end - base,
            can_map,
            children: BTreeMap::new(),
            dead: false,
        };
        self.vmars.insert(id, vmar);
        id
    }

    /// A VMAR that was not destroyed: BAD_STATE otherwise.
    pub(crate) fn live_vmar(&self, id: VmarId) -> Result<&Vmar, Status> {
        let vmar = self.vmars.get(&id).filter(|vmar| !vmar.dead);
        vmar.ok_or(Status::BAD_STATE)
    }

    pub(crate) fn sys_vmar_allocate(
        &mut self,
        caller: Caller,
        parent: RawHandle,
        options: u32,
        (offset, length): (u64, u64),
        (out_vmar, out_address): (u64, u64),
    ) -> Begin {
        let needed = can_map_rights(VmOptions::from_bits_truncate(options));
        let (parent, _) = self.typed::<VmarId>(caller.process, parent, needed)?;
        let (options, alignment) = split_options(options)?;
        let can_map = CAN_MAP_RWX
            .into_iter()
            .fold(VmOptions::CAN_MAP_SPECIFIC, VmOptions::union);
        let allowed = can_map
            | VmOptions::SPECIFIC
            | VmOptions::COMPACT
            | VmOptions::OFFSET_IS_UPPER_LIMIT
            | VmOptions::PERM_READ_IF_XOM_UNSUPPORTED;
        if !length.is_multiple_of(PAGE_SIZE) || !allowed.contains(options) {
            return Err(Status::INVALID_ARGS);
        }
        let process = self.live_vmar(parent)?.process;
        let spot = Spot {
            options,
            offset,
            length,
            alignment,
            vmo_offset: 0,
        };
        let base = self.find_spot(parent, spot)?;
        self.have_room_for_regions(process)?;
        let can_map = options & can_map;
        let vmar = self.add_vmar(process, Some(parent), (base, base + length), can_map);
        if let Some(parent) = self.vmars.get_mut(&parent) {
            parent.children.insert(base, (base + length, vmar));
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.child_vmars += 1;
        }
        let rights = Rights::DEFAULT_VMAR | can_map_rights(can_map);
        let given = self.give_handle(caller.process, ObjectRef::Vmar(vmar), rights);
        let handle = match given {
            Ok(handle) => handle,
            Err(status) => {
                self.destroy_vmar(vmar);
                return Err(status);
            }
        };
        let copy = CopyOut {
            process: caller.process,
            writes: vec![
                (out_vmar, handle.to_le_bytes().to_vec()),
                (out_address, base.to_le_bytes().to_vec()),
            ],
            value: Status::OK,
            undo: Undo::Vmar(caller.process, handle, vmar),
        };
        self.begin(caller, Body::CopyOut(copy), Vec::new())
    }

    /// NO_RESOURCES when a process has as many mappings and child VMARs as it may have.
    pub(crate) fn have_room_for_regions(&self, process: ProcessId) -> Result<(), Status> {
        let process = self.processes.get(&process).ok_or(Status::BAD_STATE)?;
        match process.mappings.len() + process.child_vmars < MAX_REGIONS {
            true => Ok(()),
            false => Err(Status::NO_RESOURCES),
        }
    }

    pub(crate) fn sys_vmar_destroy(&mut self, caller: Caller, vmar: RawHandle) -> Begin {
        let (id, _) = self.typed::<VmarId>(caller.process, vmar, Rights::OP_CHILDREN)?;
        let vmar = self.live_vmar(id)?;
        if vmar.parent.is_none() {
            return Err(Status::NOT_SUPPORTED);
        }
        let (process, start, end) = (vmar.process, vmar.base, vmar.end());
        self.destroy_vmar(id);
        let taken = self.take_mappings(process, start, end);
        let body = flushing(vec![(process, start, end)], None);
        self.begin_holding(caller, body, taken)
    }

    /// Takes a VMAR and all VMARs in it out of the tree; their mappings are left to the caller.
    pub(crate) fn destroy_vmar(&mut self, id: VmarId) {
        let Some(vmar) = self.vmars.get(&id).filter(|vmar| !vmar.dead) else {
            return;
        };
        let (process, parent, base) = (vmar.process, vmar.parent, vmar.base);
        if let Some(parent) = parent.and_then(|parent| self.vmars.get_mut(&parent)) {
            parent.children.remove(&base);
        }
        // Trees can be deep.
        let mut left = vec![id];
        let mut gone = 0;
        while let Some(id) = left.pop() {
            let Some(vmar) = self.vmars.get_mut(&id) else {
                continue;
            };
            vmar.dead = true;
            let children = std::mem::take(&mut vmar.children).into_values();
            left.extend(children.map(|(_, child)| child));
            gone += usize::from(vmar.parent.is_some());
            if vmar.header.handles == 0 {
                self.vmars.remove(&id);
            }
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.child_vmars -= gone;
        }
    }

    /// The last handle of a VMAR is closed: it stays unless it was destroyed.
    pub(crate) fn drop_vmar(&mut self, id: VmarId) {
        if self.vmars.get(&id).is_some_and(|vmar| vmar.dead) {
            self.vmars.remove(&id);
        }
    }

    /// Finds the place of a new mapping or VMAR in a VMAR, which is alive. With SPECIFIC_OVERWRITE something may be there.
    pub(crate) fn find_spot(&self, id: VmarId, spot: Spot) -> Result<u64, Status> {
        let vmar = self.live_vmar(id)?;
        let Spot {
            options,
            offset,
            length,
            ..
        } = spot;
        if length == 0 {
            return Err(Status::INVALID_ARGS);
        }
        let overwrite = options.contains(VmOptions::SPECIFIC_OVERWRITE);
        let specific = overwrite || options.contains(VmOptions::SPECIFIC);
        let upper = options.contains(VmOptions::OFFSET_IS_UPPER_LIMIT);
        if specific && upper || !specific && !upper && offset != 0 {
            return Err(Status::INVALID_ARGS);
        }
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        if (specific || upper) && !vmar.can_map.contains(VmOptions::CAN_MAP_SPECIFIC) {
            return Err(Status::ACCESS_DENIED);
        }
        let fits = if upper {
            offset <= vmar.size && length <= offset
        } else {
            offset < vmar.size && length <= vmar.size - offset
        };
        if !fits {
            return Err(Status::INVALID_ARGS);
        }
        if !specific {
            let high = if upper {
                vmar.base + offset
            } else {
                vmar.end()
            };
            return self.find_gap(vmar, high, spot).ok_or(Status::NO_RESOURCES);
        }
        let base = vmar.base + offset;
        if !base.is_multiple_of(spot.alignment) {
            return Err(Status::INVALID_ARGS);
        }
        if !overwrite && self.is_occupied(vmar, base, base + length) {
            return Err(Status::ALREADY_EXISTS);
        }
        Ok(base)
    }

    fn is_occupied(&self, vmar: &Vmar, start: u64, end: u64) -> bool {
        !vmar.children_in(start, end).is_empty() || self.is_mapped(vmar.process, start, end - start)
    }

    /// The lowest gap below `high`. What is large is placed so that 2 MiB pages can serve it, if there is room for that.
    fn find_gap(&self, vmar: &Vmar, high: u64, spot: Spot) -> Option<u64> {
        const LARGE_PAGE: u64 = 2 << 20;
        let phase = spot.vmo_offset % LARGE_PAGE;
        let large = spot.length >= LARGE_PAGE
            && spot.alignment < LARGE_PAGE
            && phase.is_multiple_of(spot.alignment);
        let gap = |alignment, phase| self.lowest_gap(vmar, high, spot.length, (alignment, phase));
        large
            .then(|| gap(LARGE_PAGE, phase))
            .flatten()
            .or_else(|| gap(spot.alignment, 0))
    }

    /// The lowest gap of `length` bytes in `vmar` below `high`, `phase` bytes after a multiple of `alignment`.
    fn lowest_gap(
        &self,
        vmar: &Vmar,
        high: u64,
        length: u64,
        (alignment, phase): (u64, u64),
    ) -> Option<u64> {
        let mappings = &self.processes.get(&vmar.process)?.mappings;
        let mappings = mappings.range(vmar.base..high);
        let mut mappings = mappings
            .map(|(&base, mapping)| (base, mapping.end()))
            .peekable();
        let children = vmar.children.iter();
        let mut children = children.map(|(&base, &(end, _))| (base, end)).peekable();
        let mut from = vmar.base;
        loop {
            let behind = (from % alignment).checked_sub(phase).filter(|&n| n > 0);
            let base = match behind {
                Some(behind) => from.checked_add(alignment - behind)?,
                None => from + (phase - from % alignment),
            };
            let end = base.checked_add(length).filter(|&end| end <= high)?;
            let child_first = match (children.peek(), mappings.peek()) {
                (Some(child), Some(mapping)) => child < mapping,
                (child, _) => child.is_some(),
            };
            let next = if child_first {
                children.next()
            } else {
                mappings.next()
            };
            match next {
                Some((occupied, occupied_end)) if occupied < end => from = from.max(occupied_end),
                _ => return Some(base),
            }
        }
    }
}
