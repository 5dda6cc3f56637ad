//! `zx_vmo_transfer_data`: moves pages from one VMO to another.
//!
//! Run by run: what the destination has gives way, then the source's pages move. A page that the source shows of another VMO becomes
//! its own first; where the source is zero, so is the destination. The source is zero afterwards. Within one VMO the runs go in the
//! order in which no page is overwritten before it has moved.

use std::ops::Range;

use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::ids::{Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::look::Seen;
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::ready::{Intent, Need, Ready};
use crate::supply::check_range;

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransferDataArgs {
    pub to: RawHandle,
    pub options: u32,
    pub offset: u64,
    pub length: u64,
    pub from: RawHandle,
    pub from_offset: u64,
}

/// How far the call has come.
#[derive(Clone, Debug)]
pub(crate) struct TransferData {
    /// The VMOs that own the pages.
    to: VmoId,
    to_page: u64,
    from: VmoId,
    from_page: u64,
    /// Pages still to go, of both.
    count: u64,
}

impl TransferData {
    /// Whether the last pages go first.
    fn is_backwards(&self) -> bool {
        self.to == self.from && self.from_page < self.to_page
    }

    /// Takes the next `count` pages: where they come from, and where they go to.
    fn advance(&mut self, count: u64) {
        self.count -= count;
        if !self.is_backwards() {
            self.to_page += count;
            self.from_page += count;
        }
    }

    /// The next pages, at most `count` of them, as pages of source and destination.
    fn next(&self, count: u64) -> (Range<u64>, Range<u64>) {
        let ahead = if self.is_backwards() {
            self.count - count
        } else {
            0
        };
        let (from, to) = (self.from_page + ahead, self.to_page + ahead);
        (from..from + count, to..to + count)
    }
}

impl Kernel {
    /// Options and alignment, destination, source; the source's kind and range, then the destination's.
    pub(crate) fn sys_vmo_transfer_data(
        &mut self,
        caller: Caller,
        args: TransferDataArgs,
    ) -> Begin {
        let TransferDataArgs {
            offset,
            length,
            from_offset,
            ..
        } = args;
        let aligned = (offset | length | from_offset).is_multiple_of(PAGE_SIZE);
        if args.options != 0 || !aligned {
            return Err(Status::INVALID_ARGS);
        }
        let (to, _) = self.typed::<VmoId>(caller.process, args.to, Rights::WRITE)?;
        let rights = Rights::READ | Rights::WRITE;
        let (from, _) = self.typed::<VmoId>(caller.process, args.from, rights)?;
        if to == from && offset == from_offset {
            return Ok(Started::Done(0));
        }
        self.check_transfer(from, from_offset, length)?;
        self.check_transfer(to, offset, length)?;
        let holds = vec![to, from];
        let ((to, offset), (from, from_offset)) =
            (self.root(to, offset), self.root(from, from_offset));
        if to == from && offset == from_offset {
            return Ok(Started::Done(0));
        }
        let transfer = TransferData {
            to,
            to_page: offset / PAGE_SIZE,
            from,
            from_page: from_offset / PAGE_SIZE,
            count: length / PAGE_SIZE,
        };
        self.begin(caller, Body::TransferData(transfer), holds)
    }

    fn check_transfer(&self, id: VmoId, offset: u64, length: u64) -> Result<(), Status> {
        if self.is_pager_backed(id) || self.is_physical(id) || self.is_contiguous(id) {
            return Err(Status::NOT_SUPPORTED);
        }
        check_range(offset, length, self.size(id))?;
        let (root, offset) = self.root(id, offset);
        self.check_unpinned(root, offset, length)
    }

    pub(crate) fn step_transfer_data(
        &mut self,
        token: Token,
        op: &mut Op,
        transfer: &mut TransferData,
    ) -> StepResult {
        op.take_reply()?;
        if let Some(error) = op.error.take() {
            return Err(error);
        }
        while transfer.count > 0 {
            let ends = [
                (transfer.from, transfer.from_page),
                (transfer.to, transfer.to_page),
            ];
            for (id, page) in ends {
                let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
                if vmo.is_discarded() {
                    return Err(Status::NOT_FOUND);
                }
                check_range(page, transfer.count, vmo.page_count())?;
                if vmo.is_pinned(&(page..page + transfer.count)) {
                    return Err(Status::BAD_STATE);
                }
            }
            if let Some(wait) = self.transfer_run(token, transfer)? {
                return Ok(wait);
            }
        }
        OK
    }

    /// Deals with the next run of pages; `None` if that needed nothing to wait for.
    fn transfer_run(
        &mut self,
        token: Token,
        transfer: &mut TransferData,
    ) -> Result<Option<Step>, Status> {
        let (from, to) = (transfer.from, transfer.to);
        let count = match from == to {
            true => transfer
                .count
                .min(transfer.from_page.abs_diff(transfer.to_page)),
            false => transfer.count,
        };
        let (source, _) = transfer.next(count);
        // Going backwards, a run is known by its end: page by page where it is not all alike.
        let vmo = self.vmos.get(&from).ok_or(Status::BAD_STATE)?;
        let calm = vmo.calm_run(source.start, count, true);
        if calm == 0 {
            return self.wait_busy(from, token).map(Some);
        }
        let (seen, alike) = self.look(from, source.start, calm);
        if alike < count && transfer.is_backwards() {
            return self.transfer_last(token, transfer);
        }
        self.transfer_alike(token, transfer, alike.min(count), seen)
    }

    /// Deals with the last page only.
    fn transfer_last(
        &mut self,
        token: Token,
        transfer: &mut TransferData,
    ) -> Result<Option<Step>, Status> {
        let (source, _) = transfer.next(1);
        let vmo = self.vmos.get(&transfer.from).ok_or(Status::BAD_STATE)?;
        if vmo.calm_run(source.start, 1, true) == 0 {
            return self.wait_busy(transfer.from, token).map(Some);
        }
        let (seen, _) = self.look(transfer.from, source.start, 1);
        self.transfer_alike(token, transfer, 1, seen)
    }

    /// Deals with the next pages, all alike in the source.
    fn transfer_alike(
        &mut self,
        token: Token,
        transfer: &mut TransferData,
        count: u64,
        seen: Seen,
    ) -> Result<Option<Step>, Status> {
        let (source, target) = transfer.next(count);
        let (from, to) = (transfer.from, transfer.to);
        let held = match seen {
            Seen::Page(owner, _, state) => owner == from && state != PageState::Inherited,
            Seen::Absent(..) => false,
            // It may have been written to through a mapping.
            Seen::Zero(owner, _, state) if owner != from && self.may_hide(owner, state) => false,
            Seen::Zero(..) | Seen::Nothing => {
                return self.transfer_zeros(token, transfer, (source, target));
            }
        };
        if !held {
            let (offset, length) = (source.start * PAGE_SIZE, count * PAGE_SIZE);
            let need = Need::whole(Intent::Write);
            return match self.prepare(token, from, offset, length, need)? {
                Ready::Wait(waiting) => Ok(Some(Step::Wait(waiting))),
                Ready::Present(_) | Ready::Zeros(_) => Err(Status::INTERNAL),
            };
        }
        if let Some(wait) = self.give_way(token, to, target.clone())? {
            return Ok(Some(wait));
        }
        transfer.advance(count);
        self.move_run(token, (from, source.start, count), (to, target.start));
        Ok(Some(Step::Wait(Waiting::Memory)))
    }

    /// Where the source is zero, the destination becomes so, for good.
    fn transfer_zeros(
        &mut self,
        token: Token,
        transfer: &mut TransferData,
        (source, target): (Range<u64>, Range<u64>),
    ) -> Result<Option<Step>, Status> {
        if let Some(wait) = self.give_way(token, transfer.to, target)? {
            return Ok(Some(wait));
        }
        if let Some(wait) = self.give_way(token, transfer.from, source.clone())? {
            return Ok(Some(wait));
        }
        transfer.advance(source.end - source.start);
        Ok(None)
    }

    /// Drops the next run of what a VMO owns or shows within some pages, which are zero then; `None` when nothing is left.
    fn give_way(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
    ) -> Result<Option<Step>, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        if vmo.calm_run(pages.start, pages.end - pages.start, true) < pages.end - pages.start {
            return self.wait_busy(id, token).map(Some);
        }
        let Some(run) = vmo.next_to_drop(&pages) else {
            return Ok(None);
        };
        self.take_away(token, id, run);
        Ok(Some(Step::Wait(Waiting::Memory)))
    }
}
