//! The table of a process's mappings: looking up, adding, taking out, and finding room.

use protocol::PAGE_SIZE;
use protocol::options::VmOptions;

use crate::ids::{ProcessId, VmoId};
use crate::kernel::Kernel;
use crate::vmar::flushing;
use crate::work::Access;

const LARGE_PAGE: u64 = 2 << 20;

/// One mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub base: u64,
    pub length: u64,
    pub vmo: VmoId,
    /// Byte offset of `base` in the VMO.
    pub vmo_offset: u64,
    /// PERM_* bits in force.
    pub perms: VmOptions,
    /// PERM_* bits that the handles used for mapping permit.
    pub max_perms: VmOptions,
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
    /// What is mapped at `address`, for building page tables; the run is the whole mapping, cut at the VMO's end.
    pub fn mapped_run(&self, process: ProcessId, address: u64) -> Option<MappedRun> {
        let mapping = self.mapping_at(process, address)?;
        let size = self.vmos.get(&mapping.vmo)?.size;
        let length = mapping.length.min(size.checked_sub(mapping.vmo_offset)?);
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

    pub(crate) fn mapping_at(&self, process: ProcessId, address: u64) -> Option<Mapping> {
        let mappings = &self.processes.get(&process)?.mappings;
        let (_, mapping) = mappings.range(..=address).next_back()?;
        (address < mapping.end()).then_some(*mapping)
    }

    /// Mappings of a process.
    pub(crate) fn mapping_count(&self, process: ProcessId) -> usize {
        self.processes
            .get(&process)
            .map_or(0, |process| process.mappings.len())
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
        let body = flushing(process, address, end, None);
        let _ = self.start(None, body, taken.clone(), None);
        self.release_all(taken);
    }

    /// All mappings of a process that ends.
    pub(crate) fn remove_all_mappings(&mut self, process: ProcessId) {
        let taken = self.take_mappings(process, 0, u64::MAX);
        self.release_all(taken);
    }

    /// The lowest gap of `length` bytes in `[low, high)`. Large mappings are placed so that 2 MiB pages can serve them.
    pub(crate) fn find_gap(
        &self,
        process: ProcessId,
        low: u64,
        high: u64,
        length: u64,
        alignment: u64,
        vmo_offset: u64,
    ) -> Option<u64> {
        let phase = vmo_offset % LARGE_PAGE;
        let large =
            length >= LARGE_PAGE && alignment < LARGE_PAGE && phase.is_multiple_of(alignment);
        let (alignment, phase) = if large {
            (LARGE_PAGE, phase)
        } else {
            (alignment, 0)
        };
        let place = |from: u64| {
            let base = from
                .saturating_sub(phase)
                .checked_next_multiple_of(alignment)?;
            let base = base.checked_add(phase)?;
            if base >= from {
                Some(base)
            } else {
                base.checked_add(alignment)
            }
        };
        let mut from = low;
        let mappings = &self.processes.get(&process)?.mappings;
        for mapping in mappings.values() {
            let base = place(from)?;
            if base.checked_add(length)? <= mapping.base && base + length <= high {
                return Some(base);
            }
            from = from.max(mapping.end());
        }
        let base = place(from)?;
        (base.checked_add(length)? <= high).then_some(base)
    }
}
