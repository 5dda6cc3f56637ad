//! `zx_vmar_map`, `zx_vmar_unmap` and `zx_vmar_protect`.
//!
//! The core keeps the mappings; page tables are the VMM's. Taking something away (unmap, protect, overwrite) is only over
//! when they have forgotten it (`flush.rs`).

use protocol::options::{VmOptions, VmoOptions};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::flush::flushing;
use crate::handle::require;
use crate::ids::{ProcessId, VmarId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::mappings::{MappedRun, Mapping};
use crate::op::Body;
use crate::user::{CopyOut, Undo};
use crate::vmar::{Spot, perm_rights, split_options};

/// The arguments of `zx_vmar_map`, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapArgs {
    pub vmar: RawHandle,
    pub options: u32,
    pub vmar_offset: u64,
    pub vmo: RawHandle,
    pub vmo_offset: u64,
    pub length: u64,
    pub out: u64,
}

/// An option word with PERM_READ where execute-only was asked for: no x86 page table can have that.
fn with_readable(options: u32) -> u32 {
    match options & VmOptions::PERM_READ_IF_XOM_UNSUPPORTED.bits() {
        0 => options,
        _ => options | VmOptions::PERM_READ.bits(),
    }
}

/// The three PERM bits: INVALID_ARGS for those that go with PERM_READ only.
fn perms_of(options: u32) -> Result<VmOptions, Status> {
    let all = VmOptions::PERM_READ | VmOptions::PERM_WRITE | VmOptions::PERM_EXECUTE;
    let perms = VmOptions::from_bits_truncate(options) & all;
    match perms.is_empty() || perms.contains(VmOptions::PERM_READ) {
        true => Ok(perms),
        false => Err(Status::INVALID_ARGS),
    }
}

/// The PERM bits that rights allow.
fn perms_allowed(rights: Rights) -> VmOptions {
    let mut perms = VmOptions::empty();
    perms.set(VmOptions::PERM_READ, rights.contains(Rights::READ));
    perms.set(VmOptions::PERM_WRITE, rights.contains(Rights::WRITE));
    perms.set(VmOptions::PERM_EXECUTE, rights.contains(Rights::EXECUTE));
    perms
}

/// What a mapping may be used for, and what protect may make of that later.
fn mapping_perms(word: u32, rights: Rights) -> Result<(VmOptions, VmOptions), Status> {
    let perms = perms_of(word)?;
    let named = VmOptions::from_bits_truncate(word);
    let can_map = VmOptions::CAN_MAP_SPECIFIC
        | VmOptions::CAN_MAP_READ
        | VmOptions::CAN_MAP_WRITE
        | VmOptions::CAN_MAP_EXECUTE;
    if named.contains(VmOptions::MAP_RANGE | VmOptions::SPECIFIC_OVERWRITE)
        || named.intersects(can_map)
    {
        return Err(Status::INVALID_ARGS);
    }
    let max_perms = perms_allowed(rights);
    if !max_perms.contains(perms) {
        return Err(Status::ACCESS_DENIED);
    }
    let beyond = named.contains(VmOptions::FAULT_BEYOND_STREAM_SIZE);
    if beyond && !named.contains(VmOptions::ALLOW_FAULTS) {
        return Err(Status::INVALID_ARGS);
    }
    Ok((perms, max_perms))
}

impl Kernel {
    pub(crate) fn sys_vmar_map(&mut self, caller: Caller, args: MapArgs) -> Begin {
        let (vmar_id, vmar_rights) =
            self.typed::<VmarId>(caller.process, args.vmar, Rights::empty())?;
        let (vmo, vmo_rights) = self.typed::<VmoId>(caller.process, args.vmo, Rights::empty())?;
        let beyond = args.options & VmOptions::FAULT_BEYOND_STREAM_SIZE.bits() != 0;
        if beyond && (self.is_physical(vmo) || self.is_contiguous(vmo)) {
            return Err(Status::NOT_SUPPORTED);
        }
        require(vmo_rights, Rights::MAP)?;
        let word = with_readable(args.options);
        let (perms, max_perms) = mapping_perms(word, vmo_rights & vmar_rights)?;
        let (options, alignment) = split_options(word)?;
        let spot = Spot {
            options,
            offset: args.vmar_offset,
            length: self.mapping_length(vmo, options, args.vmo_offset, args.length)?,
            alignment,
            vmo_offset: args.vmo_offset,
        };
        let base = self.find_spot(vmar_id, spot)?;
        let mapping = Mapping {
            base,
            length: spot.length,
            vmar: vmar_id,
            vmo,
            vmo_offset: args.vmo_offset,
            perms,
            max_perms,
            fault_beyond_stream_size: beyond,
        };
        self.map(caller, mapping, args.out)
    }

    /// The length of a mapping in whole pages, if the VMO goes with the options: of the VMOs whose touch can fail only
    /// discardable ones have to be mapped with ALLOW_FAULTS; only physical ones cannot be mapped beyond their end.
    fn mapping_length(
        &self,
        id: VmoId,
        options: VmOptions,
        offset: u64,
        length: u64,
    ) -> Result<u64, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        let fixed = options.contains(VmOptions::REQUIRE_NON_RESIZABLE);
        let faults = options.contains(VmOptions::ALLOW_FAULTS);
        if fixed && vmo.is_resizable() || !faults && vmo.options.contains(VmoOptions::DISCARDABLE) {
            return Err(Status::NOT_SUPPORTED);
        }
        // COMPACT is for VMARs only.
        if options.contains(VmOptions::COMPACT) || !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let length = length.checked_next_multiple_of(PAGE_SIZE);
        let length = length.ok_or(Status::OUT_OF_RANGE)?;
        let end = offset.checked_add(length).ok_or(Status::OUT_OF_RANGE)?;
        if self.is_physical(id) && end > self.size(id) {
            return Err(Status::OUT_OF_RANGE);
        }
        Ok(length)
    }

    /// Makes a mapping, in place of what lies there (which only SPECIFIC_OVERWRITE lets happen).
    fn map(&mut self, caller: Caller, mapping: Mapping, out: u64) -> Begin {
        let (base, end) = (mapping.base, mapping.end());
        let vmar = self.live_vmar(mapping.vmar)?;
        let process = vmar.process;
        if !vmar.children_in(base, end).is_empty() {
            return Err(Status::INVALID_ARGS);
        }
        self.have_room_for_regions(process)?;
        let taken = self.take_mappings(process, base, end);
        self.add_mapping(process, mapping);
        let copy = Body::CopyOut(CopyOut {
            process: caller.process,
            writes: vec![(out, base.to_le_bytes().to_vec())],
            value: Status::OK,
            undo: Undo::Mapping(process, base, mapping.length),
        });
        let body = match taken.is_empty() {
            true => copy,
            false => flushing(vec![(process, base, end)], Some(copy)),
        };
        self.begin_holding(caller, body, taken)
    }

    /// Maps a VMO at a fixed place of an empty address space, for a program's start.
    pub fn map_at(&mut self, process: ProcessId, run: MappedRun) -> Result<(), Status> {
        let vmar = self.processes.get(&process).ok_or(Status::BAD_STATE)?.root;
        let mut perms = VmOptions::PERM_READ;
        perms.set(VmOptions::PERM_WRITE, run.write);
        perms.set(VmOptions::PERM_EXECUTE, run.execute);
        let root = self.live_vmar(vmar)?;
        let spot = Spot {
            options: VmOptions::SPECIFIC,
            offset: run
                .address
                .checked_sub(root.base)
                .ok_or(Status::INVALID_ARGS)?,
            length: self.mapping_length(run.vmo, perms, run.page * PAGE_SIZE, run.length)?,
            alignment: PAGE_SIZE,
            vmo_offset: run.page * PAGE_SIZE,
        };
        let mapping = Mapping {
            base: self.find_spot(vmar, spot)?,
            length: spot.length,
            vmar,
            vmo: run.vmo,
            vmo_offset: spot.vmo_offset,
            perms,
            max_perms: perms,
            fault_beyond_stream_size: false,
        };
        self.add_mapping(process, mapping);
        Ok(())
    }

    pub(crate) fn sys_vmar_unmap(
        &mut self,
        caller: Caller,
        vmar: RawHandle,
        address: u64,
        length: u64,
    ) -> Begin {
        let (id, rights) = self.typed::<VmarId>(caller.process, vmar, Rights::empty())?;
        let (process, end) = self.vmar_range(id, address, length)?;
        let vmar = self.live_vmar(id)?;
        let children = vmar.children_in(address, end);
        let cut = |&(base, region_end, _): &(u64, u64, VmarId)| base < address || region_end > end;
        if !children.is_empty() && !rights.contains(Rights::OP_CHILDREN) || children.iter().any(cut)
        {
            return Err(Status::INVALID_ARGS);
        }
        if children.is_empty() && !self.is_mapped(process, address, end - address) {
            return Err(Status::NOT_FOUND);
        }
        for (_, _, child) in children {
            self.destroy_vmar(child);
        }
        let taken = self.take_mappings(process, address, end);
        let body = flushing(vec![(process, address, end)], None);
        self.begin_holding(caller, body, taken)
    }

    pub(crate) fn sys_vmar_protect(
        &mut self,
        caller: Caller,
        vmar: RawHandle,
        options: u32,
        address: u64,
        length: u64,
    ) -> Begin {
        let options = with_readable(options);
        let needed = perm_rights(VmOptions::from_bits_truncate(options));
        let (id, rights) = self.typed::<VmarId>(caller.process, vmar, needed)?;
        let perms = perms_of(options)?;
        if options & !VmOptions::PERM_READ_IF_XOM_UNSUPPORTED.bits() != perms.bits() {
            return Err(Status::INVALID_ARGS);
        }
        let (process, end) = self.vmar_range(id, address, length)?;
        let mappings = self.mappings_in(process, address, end);
        let mut covered = address;
        for mapping in &mappings {
            if mapping.base > covered {
                return Err(Status::NOT_FOUND);
            }
            if !mapping.max_perms.contains(perms) {
                return Err(Status::ACCESS_DENIED);
            }
            if mapping.vmar != id {
                if !rights.contains(Rights::OP_CHILDREN) {
                    return Err(Status::INVALID_ARGS);
                }
                // From above, permissions can only be taken.
                if !mapping.perms.contains(perms) {
                    return Err(Status::ACCESS_DENIED);
                }
            }
            covered = mapping.end();
        }
        if covered < end {
            return Err(Status::NOT_FOUND);
        }
        let taken = self.take_mappings(process, address, end);
        for mapping in mappings {
            let mapping = Mapping {
                perms,
                ..mapping.part(address, end)
            };
            self.add_mapping(process, mapping);
        }
        let body = flushing(vec![(process, address, end)], None);
        self.begin_holding(caller, body, taken)
    }

    /// The range of an unmap or protect: (process, end). INVALID_ARGS when it is empty or unaligned, BAD_STATE when the
    /// VMAR was destroyed, INVALID_ARGS when it is outside.
    fn vmar_range(
        &self,
        id: VmarId,
        address: u64,
        length: u64,
    ) -> Result<(ProcessId, u64), Status> {
        let length = length
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|&length| length > 0 && address.is_multiple_of(PAGE_SIZE));
        let length = length.ok_or(Status::INVALID_ARGS)?;
        let vmar = self.live_vmar(id)?;
        let end = address
            .checked_add(length)
            .filter(|&end| end <= vmar.end() && address >= vmar.base);
        Ok((vmar.process, end.ok_or(Status::INVALID_ARGS)?))
    }
}
