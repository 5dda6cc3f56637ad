//! Pagers: who answers for the absent pages of a VMO.

use core::ops::Range;
use protocol::Status;
use protocol::options::{
    self, DIRTY_RANGE_IS_ZERO, PagerVmoStats, RESET_VMO_STATS, VMO_STATS_MODIFIED, VmoDirtyRange,
    VmoOptions, WRITEBACK_RANGE_IS_ZERO,
};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, Port, Vmo, sys};

object! {
    /// A pager.
    Pager
}

/// What [`Pager::op_range`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagerOp {
    /// Fails the requests of the range with a status.
    Fail(Status),
    /// The range becomes dirty: its DIRTY requests are answered.
    Dirty,
    /// The pager begins to write the range back.
    WritebackBegin(PagerWritebackBeginOptions),
    /// The pager has written the range back: it is clean, but for what was written to it meanwhile.
    WritebackEnd,
}

bitflags::bitflags! {
    /// Options of [`PagerOp::WritebackBegin`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct PagerWritebackBeginOptions: u64 {
        /// Only zeros without pages are written back, as a dirty range with this option tells of them.
        const DIRTY_RANGE_IS_ZERO = WRITEBACK_RANGE_IS_ZERO;
    }
}

impl PagerOp {
    /// The operation's number, and its data.
    fn to_raw(self) -> (u32, u64) {
        let (op, data) = match self {
            PagerOp::Fail(status) => (options::PagerOp::Fail, status.to_register()),
            PagerOp::Dirty => (options::PagerOp::Dirty, 0),
            PagerOp::WritebackBegin(options) => (options::PagerOp::WritebackBegin, options.bits()),
            PagerOp::WritebackEnd => (options::PagerOp::WritebackEnd, 0),
        };
        (op as u32, data)
    }
}

/// How many dirty ranges a VMO has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirtyRangeCount {
    /// How many were written to the buffer.
    pub actual: usize,
    /// How many there are.
    pub available: usize,
}

/// Whether a range is zeros without pages, as [`PagerOp::WritebackBegin`] is to be told.
pub fn writeback_options(range: &VmoDirtyRange) -> PagerWritebackBeginOptions {
    let mut options = PagerWritebackBeginOptions::empty();
    options.set(
        PagerWritebackBeginOptions::DIRTY_RANGE_IS_ZERO,
        range.options & DIRTY_RANGE_IS_ZERO != 0,
    );
    options
}

impl Pager {
    /// `zx_pager_create`.
    pub fn create() -> Result<Pager, Status> {
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::pager_create(0, out) }).map(Pager)
    }

    /// `zx_pager_create_vmo`: requests for its pages come to `port` with `key`.
    pub fn create_vmo(
        &self,
        options: VmoOptions,
        port: &Port,
        key: u64,
        size: u64,
    ) -> Result<Vmo, Status> {
        let (pager, port, options) = (self.raw_handle(), port.raw_handle(), options.bits());
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::pager_create_vmo(pager, options, port, key, size, out) })
            .map(Vmo::from)
    }

    /// `zx_pager_detach_vmo`.
    pub fn detach_vmo(&self, vmo: &Vmo) -> Result<(), Status> {
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::pager_detach_vmo(self.raw_handle(), vmo.raw_handle()).ok() }
    }

    /// `zx_pager_supply_pages`: moves pages of `aux` from `aux_offset` on into `range` of `vmo`.
    pub fn supply_pages(
        &self,
        vmo: &Vmo,
        range: Range<u64>,
        aux: &Vmo,
        aux_offset: u64,
    ) -> Result<(), Status> {
        let length = range.end.saturating_sub(range.start);
        let (pager, vmo, aux) = (self.raw_handle(), vmo.raw_handle(), aux.raw_handle());
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::pager_supply_pages(pager, vmo, range.start, length, aux, aux_offset).ok() }
    }

    /// `zx_pager_op_range`.
    pub fn op_range(&self, op: PagerOp, vmo: &Vmo, range: Range<u64>) -> Result<(), Status> {
        let length = range.end.saturating_sub(range.start);
        let (pager, vmo, (op, data)) = (self.raw_handle(), vmo.raw_handle(), op.to_raw());
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::pager_op_range(pager, op, vmo, range.start, length, data).ok() }
    }

    /// `zx_pager_query_dirty_ranges`: the first of the dirty ranges within `range`, in order.
    pub fn query_dirty_ranges(
        &self,
        vmo: &Vmo,
        range: Range<u64>,
        buffer: &mut [VmoDirtyRange],
    ) -> Result<DirtyRangeCount, Status> {
        let (offset, length) = (range.start, range.end.saturating_sub(range.start));
        let (address, size) = (buffer.as_mut_ptr() as u64, size_of_val(buffer) as u64);
        let mut count = DirtyRangeCount::default();
        let (actual, available) = (
            address_of(&mut count.actual),
            address_of(&mut count.available),
        );
        let (pager, vmo) = (self.raw_handle(), vmo.raw_handle());
        // SAFETY: the buffer and both counts outlive the call.
        let status = unsafe {
            sys::pager_query_dirty_ranges(
                pager, vmo, offset, length, address, size, actual, available,
            )
        };
        status.ok().map(|()| count)
    }

    /// `zx_pager_query_vmo_stats`: whether the VMO was modified since this was asked with `reset`.
    pub fn query_vmo_stats(&self, vmo: &Vmo, reset: bool) -> Result<bool, Status> {
        let mut stats = PagerVmoStats::default();
        let (buffer, size) = (address_of(&mut stats), size_of::<PagerVmoStats>() as u64);
        let options = if reset { RESET_VMO_STATS } else { 0 };
        let (pager, vmo) = (self.raw_handle(), vmo.raw_handle());
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::pager_query_vmo_stats(pager, vmo, options, buffer, size).ok()? };
        Ok(stats.modified & VMO_STATS_MODIFIED != 0)
    }
}
