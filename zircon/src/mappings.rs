//! The table of a process's mappings: looking up, adding, taking out.

use protocol::PAGE_SIZE;
use protocol::options::VmOptions;

use crate::flush::{AddressRange, flushing};
use crate::ids::{ProcessId, VmarId, VmoId};
use crate::kernel::Kernel;
use crate::look::Seen;
use crate::pages::PageState;
use crate::work::Access;

/// One mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub base: u64,
    pub length: u64,
    /// The VMAR that it was made in.
    pub vmar: VmarId,
    pub vmo: VmoId,
    /// Byte offset of `base` in the VMO.
    pub vmo_offset: u64,
    /// PERM_* bits in force.
    pub perms: VmOptions,
    /// PERM_* bits that the handles used for mapping permit.
    pub max_perms: VmOptions,
    /// It ends with the page that the VMO's stream ends in.
    pub fault_beyond_stream_size: bool,
}

/// A run of a process's address space that one VMO stands behind, for building page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MappedRun {
    /// First address.
    pub address: u64,
    /// Bytes, whole pages, within the mapping and the VMO.
    pub length: u64,
    /// The VMO that holds the pages.
    pub vmo: VmoId,
    /// First page there.
    pub page: u64,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

impl Mapping {
    pub fn end(&self) -> u64 {
        self.base + self.length
    }

    pub fn permits(&self, access: Access) -> bool {
        self.perms.contains(match access {
            Access::Read => VmOptions::PERM_READ,
            Access::Write => VmOptions::PERM_WRITE,
            Access::Execute => VmOptions::PERM_EXECUTE,
        })
    }

    /// The part of the mapping within `[start, end)`, which it overlaps.
    pub fn part(&self, start: u64, end: u64) -> Mapping {
        let base = self.base.max(start);
        let end = self.end().min(end);
        Mapping {
            base,
            length: end - base,
            vmo_offset: self.vmo_offset + (base - self.base),
            ..*self
        }
    }
}

impl Kernel {
    /// Offset in its VMO up to which a mapping can be touched: the VMO's end, or that of the page its stream ends in.
    pub(crate) fn reach(&self, mapping: &Mapping) -> u64 {
        self.vmos.get(&self.sized(mapping.vmo)).map_or(0, |vmo| {
            let stream = vmo.stream_size.checked_next_multiple_of(PAGE_SIZE);
            match mapping.fault_beyond_stream_size {
                true => stream.unwrap_or(u64::MAX).min(vmo.size),
                false => vmo.size,
            }
        })
    }

    /// What is mapped beyond the end of a VMO's stream, cut at `stream` (the VMO is no reference): one range for each
    /// process, for page tables to forget.
    pub(crate) fn mapped_beyond_stream(&self, vmo: VmoId, stream: u64) -> Vec<AddressRange> {
        let mut ranges = Vec::new();
        for (&process, owner) in &self.processes {
            let flagged = owner.mappings.values().filter(|mapping| {
                mapping.fault_beyond_stream_size
                    && self.sized(mapping.vmo) == vmo
                    && mapping.vmo_offset + mapping.length > stream
            });
            let bounds = flagged.map(|mapping| (mapping.base, mapping.end()));
            let around = bounds.reduce(|(start, _), (_, end)| (start, end));
            ranges.extend(around.map(|(start, end)| (process, start, end)));
        }
        ranges
    }

    /// What is mapped at `address`, for building page tables; the run is the whole mapping, as far as it can be touched.
    pub fn mapped_run(&self, process: ProcessId, address: u64) -> Option<MappedRun> {
        let mapping = self.mapping_at(process, address)?;
        let reach = self.reach(&mapping);
        let length = mapping.length.min(reach.checked_sub(mapping.vmo_offset)?);
        if mapping.perms.is_empty() || address - mapping.base >= length {
            return None;
        }
        let (vmo, offset) = self.root(mapping.vmo, mapping.vmo_offset);
        Some(MappedRun {
            address: mapping.base,
            length,
            vmo,
            page: offset / PAGE_SIZE,
            write: mapping.permits(Access::Write),
            execute: mapping.permits(Access::Execute),
        })
    }

    /// The pages that a process has mapped and that are there, by address.
    pub(crate) fn present_runs(&self, process: ProcessId) -> Vec<MappedRun> {
        let mut runs = Vec::new();
        let Some(process) = self.processes.get(&process) else {
            return runs;
        };
        for mapping in process.mappings.values() {
            let reach = self.reach(mapping).checked_sub(mapping.vmo_offset);
            let pages = mapping.length.min(reach.unwrap_or(0)) / PAGE_SIZE;
            let (vmo, offset) = self.root(mapping.vmo, mapping.vmo_offset);
            let (first, mut done) = (offset / PAGE_SIZE, 0);
            while done < pages {
                let (seen, run) = self.look(vmo, first + done, pages - done);
                if let Seen::Page(..) | Seen::Zero(_, _, PageState::Blank) = seen {
                    runs.push(MappedRun {
                        address: mapping.base + done * PAGE_SIZE,
                        length: run * PAGE_SIZE,
                        vmo,
                        page: first + done,
                        write: mapping.permits(Access::Write),
                        execute: mapping.permits(Access::Execute),
                    });
                }
                done += run.max(1);
            }
        }
        runs
    }

    pub(crate) fn mapping_at(&self, process: ProcessId, address: u64) -> Option<Mapping> {
        let mappings = &self.processes.get(&process)?.mappings;
        let (_, mapping) = mappings.range(..=address).next_back()?;
        (address < mapping.end()).then_some(*mapping)
    }

    pub(crate) fn mappings_in(&self, process: ProcessId, start: u64, end: u64) -> Vec<Mapping> {
        let Some(process) = self.processes.get(&process) else {
            return Vec::new();
        };
        let first = process
            .mappings
            .range(..=start)
            .next_back()
            .map_or(start, |(base, _)| *base);
        let near = process
            .mappings
            .range(first..end)
            .map(|(_, mapping)| *mapping);
        near.filter(|mapping| mapping.end() > start).collect()
    }

    pub(crate) fn is_mapped(&self, process: ProcessId, base: u64, length: u64) -> bool {
        !self.mappings_in(process, base, base + length).is_empty()
    }

    pub(crate) fn add_mapping(&mut self, process: ProcessId, mapping: Mapping) {
        self.hold(mapping.vmo);
        if let Some(vmo) = self.vmos.get_mut(&mapping.vmo) {
            vmo.mappings += 1;
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.mappings.insert(mapping.base, mapping);
        }
    }

    /// Takes everything within `[start, end)` out; mappings that reach beyond it keep the rest. The VMOs come back with the
    /// references that the mappings held.
    pub(crate) fn take_mappings(&mut self, process: ProcessId, start: u64, end: u64) -> Vec<VmoId> {
        let taken = self.mappings_in(process, start, end);
        for mapping in &taken {
            if let Some(process) = self.processes.get_mut(&process) {
                process.mappings.remove(&mapping.base);
            }
            if mapping.base < start {
                self.add_mapping(process, mapping.part(mapping.base, start));
            }
            if mapping.end() > end {
                self.add_mapping(process, mapping.part(end, mapping.end()));
            }
        }
        self.epoch += 1;
        for mapping in &taken {
            if let Some(vmo) = self.vmos.get_mut(&mapping.vmo) {
                vmo.mappings -= 1;
            }
        }
        taken.into_iter().map(|mapping| mapping.vmo).collect()
    }

    /// Takes back a mapping that was made for a call that failed.
    pub(crate) fn remove_mappings(&mut self, process: ProcessId, address: u64, length: u64) {
        let end = address + length;
        let taken = self.take_mappings(process, address, end);
        // Nobody waits for it: the call has failed already.
        let body = flushing(vec![(process, address, end)], None);
        let _ = self.start(None, body, taken.clone(), None);
        self.release_all(taken);
    }
}
