//! `ZX_PAGER_OP_WRITEBACK_BEGIN` and `_END`: dirty pages are written back by their pager.
//!
//! BEGIN protects dirty pages: what is written to them from then on is told, and they await their cleaning. END cleans those that
//! still do. Zero intervals are marked at their start; the part that is cleaned becomes a gap, for the pager has it now.

use std::ops::Range;

use protocol::Status;

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, Pages, Writes};
use crate::op::{OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;

/// Most pages that one scan looks at.
const MAX_SCAN: u64 = 1 << 16;

/// What becomes of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Their writeback begins.
    Awaiting,
    /// Their writeback ends.
    Clean,
}

/// A writeback that begins or ends, and how far that has come.
#[derive(Clone, Debug)]
pub(crate) struct Writeback {
    vmo: VmoId,
    whole: Range<u64>,
    /// First page to look at next.
    next: u64,
    end: End,
}

impl Writeback {
    pub fn new(vmo: VmoId, whole: Range<u64>, end: End) -> Writeback {
        Writeback {
            vmo,
            next: whole.start,
            whole,
            end,
        }
    }
}

impl Kernel {
    /// The writeback of zero intervals begins.
    pub(crate) fn begin_writeback(&mut self, id: VmoId, pages: Range<u64>) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.zero.begin_writeback(pages);
        }
    }

    pub(crate) fn step_writeback(
        &mut self,
        token: Token,
        op: &mut Op,
        writeback: &mut Writeback,
    ) -> StepResult {
        op.take_reply()?;
        let (id, end) = (writeback.vmo, writeback.whole.end);
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        if vmo.storage_writes() == Writes::Noted {
            let becomes = match writeback.end {
                End::Awaiting => PageState::Awaiting,
                End::Clean => PageState::Clean,
            };
            if let Some(wait) =
                self.scan_next(token, id, &mut writeback.next, end, Some(becomes))?
            {
                return Ok(wait);
            }
        }
        while writeback.next < end {
            if let Some(wait) = self.write_back_run(token, writeback)? {
                return Ok(wait);
            }
        }
        match writeback.end {
            End::Awaiting => OK,
            End::Clean => self.end_intervals(token, id, writeback.whole.clone()),
        }
    }

    /// Scans the next pages of storage of a VMO whose writes are noted; `None` when there are no more before `end`.
    pub(crate) fn scan_next(
        &mut self,
        token: Token,
        id: VmoId,
        next: &mut u64,
        end: u64,
        becomes: Option<PageState>,
    ) -> Result<Option<Step>, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let (first, limit) = loop {
            let Some(first) = vmo.pages.first_occupied(*next..end) else {
                *next = end;
                return Ok(None);
            };
            let limit = match becomes {
                // What a device may write to stays dirty.
                Some(PageState::Awaiting) => vmo.unpinned_run(first, end - first, true),
                _ => end - first,
            };
            if limit > 0 {
                break (first, limit);
            }
            *next = first + 1;
        };
        let count = vmo.calm_run(first, limit.min(MAX_SCAN), true);
        if count == 0 {
            return self.wait_busy(id, token).map(Some);
        }
        *next = first + count;
        let pages = Pages {
            vmo: id,
            first,
            count,
        };
        let protect = becomes == Some(PageState::Awaiting);
        self.emit_to_be(Some(token), MemoryOp::Scan { pages, protect }, becomes);
        Ok(Some(Step::Wait(Waiting::Memory)))
    }

    /// Begins or ends the writeback of the next run of pages of a VMO that traps writes; `None` if that needed no memory operation.
    fn write_back_run(
        &mut self,
        token: Token,
        writeback: &mut Writeback,
    ) -> Result<Option<Step>, Status> {
        let (id, end) = (writeback.vmo, writeback.whole.end);
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let Some(first) = vmo.pages.first_occupied(writeback.next..end) else {
            writeback.next = end;
            return Ok(None);
        };
        let (state, run) = vmo.state_run(first, end - first);
        let run = match writeback.end {
            // What a device may write to stays dirty.
            End::Awaiting => vmo.unpinned_run(first, run, true),
            End::Clean => run,
        };
        if run == 0 {
            writeback.next = first + 1;
            return Ok(None);
        }
        let count = vmo.calm_run(first, run, true);
        if count == 0 {
            return self.wait_busy(id, token).map(Some);
        }
        writeback.next = first + count;
        match (writeback.end, state) {
            (End::Awaiting, PageState::Dirty) => {
                let pages = Pages {
                    vmo: id,
                    first,
                    count,
                };
                let protect = MemoryOp::Protect { pages, on: true };
                self.emit_to_be(Some(token), protect, Some(PageState::Awaiting));
                Ok(Some(Step::Wait(Waiting::Memory)))
            }
            (End::Clean, PageState::Awaiting) => {
                self.publish(id, first..first + count, PageState::Clean);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The parts of zero intervals that were written back become gaps; pages that stand for them go first.
    fn end_intervals(&mut self, token: Token, id: VmoId, whole: Range<u64>) -> StepResult {
        loop {
            let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
            let Some(part) = vmo.zero.written_back(whole.clone()) else {
                return OK;
            };
            if vmo.conflicts(&part, true) {
                return self.wait_busy(id, token);
            }
            match vmo.pages.first_occupied(part.clone()) {
                None => vmo.zero.remove(part),
                Some(first) => {
                    let (_, run) = vmo.state_run(first, part.end - first);
                    self.drop_unwritten(token, id, first..first + run);
                    return Ok(Step::Wait(Waiting::Memory));
                }
            }
        }
    }
}
