//! Address spaces: mappings of VMOs, and the calls that change them.
//!
//! The core keeps the mappings; page tables are the VMM's. Taking something away (unmap, protect, overwrite) is only over
//! when the VMM has dropped what its tables said about the range on every vCPU ([`crate::Work::Flush`]).

use protocol::options::{VmOptions, VmoOptions};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status, USER_BASE, USER_END};

use crate::handle::require;
use crate::header::Header;
use crate::ids::{ProcessId, Token, VmarId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::mappings::{MappedRun, Mapping};
use crate::op::{Body, Step, StepResult, Waiting};
use crate::user::{CopyOut, Undo};
use crate::work::Work;

/// Most mappings of a process: what a program can make the core keep is bounded.
const MAX_MAPPINGS: usize = 1 << 16;

/// The root VMAR of a process.
#[derive(Clone, Debug)]
pub(crate) struct Vmar {
    pub header: Header,
    pub process: ProcessId,
    pub base: u64,
    pub size: u64,
}

/// Waits until page tables are flushed, then ends the call.
#[derive(Clone, Debug)]
pub(crate) struct Flushing {
    pub process: ProcessId,
    pub start: u64,
    pub end: u64,
    /// The flush was asked for.
    pub asked: bool,
    pub flushed: bool,
    /// What the call returns then.
    pub then: Option<CopyOut>,
}

/// The three PERM bits.
fn perms_of(options: VmOptions) -> VmOptions {
    options & (VmOptions::PERM_READ | VmOptions::PERM_WRITE | VmOptions::PERM_EXECUTE)
}

/// The PERM bits that a handle's rights allow.
fn perms_allowed(rights: Rights) -> VmOptions {
    let mut perms = VmOptions::empty();
    perms.set(VmOptions::PERM_READ, rights.contains(Rights::READ));
    perms.set(VmOptions::PERM_WRITE, rights.contains(Rights::WRITE));
    perms.set(VmOptions::PERM_EXECUTE, rights.contains(Rights::EXECUTE));
    perms
}

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

impl Kernel {
    pub(crate) fn sys_vmar_map(&mut self, caller: Caller, args: MapArgs) -> Begin {
        let (vmar_id, vmar_rights) =
            self.typed::<VmarId>(caller.process, args.vmar, Rights::empty())?;
        let (vmo, vmo_rights) = self.typed::<VmoId>(caller.process, args.vmo, Rights::empty())?;
        require(vmo_rights, Rights::MAP)?;
        // The top byte asks for an alignment.
        let alignment = match args.options >> 24 {
            0 => PAGE_SIZE,
            log2 @ 10..=32 => PAGE_SIZE.max(1 << log2),
            _ => return Err(Status::INVALID_ARGS),
        };
        let options = VmOptions::from_bits(args.options & 0xFF_FFFF).ok_or(Status::INVALID_ARGS)?;
        let perms = perms_of(options);
        if !perms.contains(VmOptions::PERM_READ) && !perms.is_empty() {
            return Err(Status::INVALID_ARGS);
        }
        if options.contains(VmOptions::MAP_RANGE | VmOptions::SPECIFIC_OVERWRITE) {
            return Err(Status::INVALID_ARGS);
        }
        let can_map = VmOptions::CAN_MAP_SPECIFIC
            | VmOptions::CAN_MAP_READ
            | VmOptions::CAN_MAP_WRITE
            | VmOptions::CAN_MAP_EXECUTE;
        if options.intersects(can_map) {
            return Err(Status::INVALID_ARGS);
        }
        let allowed = perms_allowed(vmo_rights & vmar_rights);
        if !allowed.contains(perms) {
            return Err(Status::ACCESS_DENIED);
        }
        let beyond = VmOptions::FAULT_BEYOND_STREAM_SIZE;
        if options.contains(beyond) && !options.contains(VmOptions::ALLOW_FAULTS) {
            return Err(Status::INVALID_ARGS);
        }
        let length = args
            .length
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|&length| length > 0);
        let length = length.ok_or(Status::INVALID_ARGS)?;
        if !args.vmo_offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        args.vmo_offset
            .checked_add(length)
            .ok_or(Status::OUT_OF_RANGE)?;
        let vmo_options = self.options(vmo);
        let resizable = vmo_options.contains(VmoOptions::RESIZABLE);
        let discardable = vmo_options.contains(VmoOptions::DISCARDABLE);
        if options.contains(VmOptions::REQUIRE_NON_RESIZABLE) && resizable
            || discardable && !options.contains(VmOptions::ALLOW_FAULTS)
        {
            return Err(Status::NOT_SUPPORTED);
        }
        let vmar = self.vmars.get(&vmar_id).ok_or(Status::BAD_STATE)?;
        let (process, low, high) = (vmar.process, vmar.base, vmar.base + vmar.size);
        if self.mapping_count(process) >= MAX_MAPPINGS {
            return Err(Status::NO_RESOURCES);
        }
        let overwrite = options.contains(VmOptions::SPECIFIC_OVERWRITE);
        let specific = overwrite || options.contains(VmOptions::SPECIFIC);
        let upper = options.contains(VmOptions::OFFSET_IS_UPPER_LIMIT);
        if specific && upper {
            return Err(Status::INVALID_ARGS);
        }
        let base = if specific {
            let base = low
                .checked_add(args.vmar_offset)
                .ok_or(Status::INVALID_ARGS)?;
            let end = base.checked_add(length).ok_or(Status::INVALID_ARGS)?;
            if base % alignment != 0 || end > high {
                return Err(Status::INVALID_ARGS);
            }
            if !overwrite && self.is_mapped(process, base, length) {
                return Err(Status::ALREADY_EXISTS);
            }
            base
        } else {
            if !upper && args.vmar_offset != 0 {
                return Err(Status::INVALID_ARGS);
            }
            let limit = if upper {
                low.saturating_add(args.vmar_offset).min(high)
            } else {
                high
            };
            self.find_gap(process, low, limit, length, alignment, args.vmo_offset)
                .ok_or(Status::NO_RESOURCES)?
        };
        let replaced = overwrite && self.is_mapped(process, base, length);
        let taken = match overwrite {
            true => self.take_mappings(process, base, base + length),
            false => Vec::new(),
        };
        let mapping = Mapping {
            base,
            length,
            vmo,
            vmo_offset: args.vmo_offset,
            perms,
            max_perms: allowed,
        };
        self.add_mapping(process, mapping);
        let copy = CopyOut {
            process: caller.process,
            writes: vec![(args.out, base.to_le_bytes().to_vec())],
            value: Status::OK,
            undo: Undo::Mapping(process, base, length),
        };
        let body = match replaced {
            false => Body::CopyOut(copy),
            true => flushing(process, base, base + length, Some(copy)),
        };
        self.begin_holding(caller, body, taken)
    }

    /// Maps a VMO at a fixed place of an empty address space, for a program's start.
    pub fn map_at(&mut self, process: ProcessId, run: MappedRun) -> Result<(), Status> {
        let vmo_offset = run.page * PAGE_SIZE;
        let (address, length) = (run.address, run.length);
        let end = address
            .checked_add(length)
            .filter(|&end| end <= USER_END && length > 0);
        if end.is_none()
            || !(address | length | vmo_offset).is_multiple_of(PAGE_SIZE)
            || address < USER_BASE
        {
            return Err(Status::INVALID_ARGS);
        }
        if self.is_mapped(process, address, length) {
            return Err(Status::ALREADY_EXISTS);
        }
        let mut perms = VmOptions::PERM_READ;
        perms.set(VmOptions::PERM_WRITE, run.write);
        perms.set(VmOptions::PERM_EXECUTE, run.execute);
        let (vmo, max_perms) = (run.vmo, perms);
        let mapping = Mapping {
            base: address,
            length,
            vmo,
            vmo_offset,
            perms,
            max_perms,
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
        let (process, end) = self.vmar_range(caller, vmar, address, length)?;
        if !self.is_mapped(process, address, end - address) {
            return Err(Status::NOT_FOUND);
        }
        let taken = self.take_mappings(process, address, end);
        self.begin_holding(caller, flushing(process, address, end, None), taken)
    }

    /// Starts an operation that keeps VMOs alive which have lost a mapping: their storage must not go before page tables
    /// have forgotten it.
    fn begin_holding(&mut self, caller: Caller, body: Body, taken: Vec<VmoId>) -> Begin {
        let begun = self.begin(caller, body, taken.clone());
        self.release_all(taken);
        begun
    }

    pub(crate) fn release_all(&mut self, taken: Vec<VmoId>) {
        for vmo in taken {
            self.release(vmo);
        }
    }

    pub(crate) fn sys_vmar_protect(
        &mut self,
        caller: Caller,
        vmar: RawHandle,
        options: u32,
        address: u64,
        length: u64,
    ) -> Begin {
        let options = VmOptions::from_bits(options).ok_or(Status::INVALID_ARGS)?;
        let perms = perms_of(options);
        if perms != options || (!perms.contains(VmOptions::PERM_READ) && !perms.is_empty()) {
            return Err(Status::INVALID_ARGS);
        }
        let (process, end) = self.vmar_range(caller, vmar, address, length)?;
        let (_, rights) = self.typed::<VmarId>(caller.process, vmar, Rights::empty())?;
        if !perms_allowed(rights).contains(perms) {
            return Err(Status::ACCESS_DENIED);
        }
        let mappings = self.mappings_in(process, address, end);
        let mut covered = address;
        for mapping in &mappings {
            if mapping.base > covered {
                return Err(Status::NOT_FOUND);
            }
            if !mapping.max_perms.contains(perms) {
                return Err(Status::ACCESS_DENIED);
            }
            covered = mapping.end();
        }
        if covered < end {
            return Err(Status::NOT_FOUND);
        }
        let taken = self.take_mappings(process, address, end);
        for mapping in mappings {
            self.add_mapping(
                process,
                Mapping {
                    perms,
                    ..mapping.part(address, end)
                },
            );
        }
        self.begin_holding(caller, flushing(process, address, end, None), taken)
    }

    /// The range of an unmap or protect: (process, end). INVALID_ARGS when it is empty, unaligned or outside.
    fn vmar_range(
        &self,
        caller: Caller,
        vmar: RawHandle,
        address: u64,
        length: u64,
    ) -> Result<(ProcessId, u64), Status> {
        let (id, _) = self.typed::<VmarId>(caller.process, vmar, Rights::empty())?;
        let vmar = self.vmars.get(&id).ok_or(Status::BAD_STATE)?;
        let length = length
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|&length| length > 0);
        let end = length.and_then(|length| address.checked_add(length));
        let end = end.filter(|&end| end <= vmar.base + vmar.size && address >= vmar.base);
        match end {
            Some(end) if address.is_multiple_of(PAGE_SIZE) => Ok((vmar.process, end)),
            _ => Err(Status::INVALID_ARGS),
        }
    }

    pub(crate) fn step_flush(&mut self, token: Token, flushing: &mut Flushing) -> StepResult {
        let Flushing {
            process,
            start,
            end,
            ..
        } = *flushing;
        if !flushing.asked {
            flushing.asked = true;
            self.work.push_back(Work::Flush {
                process,
                start,
                end,
                token,
            });
        }
        if !flushing.flushed {
            return Ok(Step::Wait(Waiting::Outside));
        }
        match flushing.then.take() {
            Some(copy) => Ok(Step::Become(Body::CopyOut(copy))),
            None => Ok(Step::Done(0)),
        }
    }

    /// A [`Work::Flush`] was carried out.
    pub fn flush_done(&mut self, now: i64, token: Token) {
        self.now = now;
        if let Some(Body::Flush(flushing)) = self.ops.get_mut(&token).map(|op| &mut op.body) {
            flushing.flushed = true;
            self.wake(token);
        }
        self.settle();
    }
}

pub(crate) fn flushing(process: ProcessId, start: u64, end: u64, then: Option<CopyOut>) -> Body {
    Body::Flush(Flushing {
        process,
        start,
        end,
        asked: false,
        flushed: false,
        then,
    })
}
