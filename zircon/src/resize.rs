//! Changing a VMO's size and content size: dropping whole pages, zeroing the rest of a partial one.

use std::ops::Range;

use protocol::{MAX_VMO_SIZE, PAGE_SIZE, RawHandle, Rights, Status};

use crate::handle::require;
use crate::ids::{Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::MemoryOp;
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::ready::{Need, Ready};
use crate::vmo::VmoKind;
use crate::work::Work;

/// Drops pages, then zeros bytes.
#[derive(Clone, Debug)]
pub(crate) struct ZeroRange {
    /// The VMO that holds the pages.
    vmo: VmoId,
    /// First of all, give the VMO this content size (and the size that goes with it).
    resize: Option<u64>,
    /// It changes the VMO's size: the next change waits until `drop` is empty.
    resizing: bool,
    /// Pages to drop.
    drop: Range<u64>,
    /// The dropped pages are still inside the VMO: they are zero from now on, nobody is asked for them.
    inside: bool,
    /// Bytes to zero: offset, and how many (never across a page end).
    clear: (u64, u64),
}

/// `value` rounded up to whole pages; `None` above the largest VMO.
pub(crate) fn page_round(value: u64) -> Option<u64> {
    let rounded = value.checked_next_multiple_of(PAGE_SIZE)?;
    (rounded <= MAX_VMO_SIZE).then_some(rounded)
}

/// Offset and length of the bytes from `from` to the end of its page.
fn rest_of_page(from: u64) -> (u64, u64) {
    (from, (PAGE_SIZE - from % PAGE_SIZE) % PAGE_SIZE)
}

impl Kernel {
    pub(crate) fn sys_vmo_set_size(&mut self, caller: Caller, raw: RawHandle, size: u64) -> Begin {
        let (id, rights) = self.typed::<VmoId>(caller.process, raw, Rights::WRITE)?;
        let vmo = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        if !vmo.is_resizable() {
            return Err(Status::UNAVAILABLE);
        }
        require(rights, Rights::RESIZE)?;
        page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        let zero = ZeroRange {
            vmo: id,
            resize: Some(size),
            resizing: false,
            drop: 0..0,
            inside: false,
            clear: (0, 0),
        };
        self.begin(caller, Body::ZeroRange(zero), vec![id])
    }

    /// Sets the content size: what lies between the smaller of old and new one and the VMO's end becomes zero.
    pub(crate) fn set_content_size(
        &mut self,
        id: VmoId,
        size: u64,
    ) -> Result<Option<Body>, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        if size > vmo.size {
            return Err(Status::OUT_OF_RANGE);
        }
        if size == vmo.stream_size {
            return Ok(None);
        }
        let from = size.min(vmo.stream_size);
        let length = vmo.size - from;
        vmo.stream_size = size;
        let (vmo, from) = self.root(id, from);
        let drop = from.div_ceil(PAGE_SIZE)..(from + length) / PAGE_SIZE;
        let clear = rest_of_page(from);
        Ok(Some(Body::ZeroRange(ZeroRange {
            vmo,
            resize: None,
            resizing: false,
            drop,
            inside: true,
            clear,
        })))
    }

    pub(crate) fn step_zero_range(
        &mut self,
        token: Token,
        op: &mut Op,
        zero: &mut ZeroRange,
    ) -> StepResult {
        if !op.holds.contains(&zero.vmo) {
            // A property's value was copied in before the VMO was known.
            self.hold(zero.vmo);
            op.holds.push(zero.vmo);
        }
        let result = self.zero_range(token, op, zero);
        if zero.resizing && (zero.drop.is_empty() || result.is_err()) {
            zero.resizing = false;
            if let Some(vmo) = self.vmos.get_mut(&zero.vmo) {
                vmo.resizing = false;
                for waiter in std::mem::take(&mut vmo.busy_waiters) {
                    self.wake(waiter);
                }
            }
        }
        result
    }

    fn zero_range(&mut self, token: Token, op: &mut Op, zero: &mut ZeroRange) -> StepResult {
        op.take_reply()?;
        if let Some(size) = zero.resize {
            let vmo = self.vmos.get_mut(&zero.vmo).ok_or(Status::BAD_STATE)?;
            if vmo.resizing {
                return self.wait_busy(zero.vmo, token);
            }
            zero.resize = None;
            zero.resizing = true;
            (zero.drop, zero.clear) = self.resize(zero.vmo, size)?;
        }
        if !zero.drop.is_empty()
            && let Some(wait) = self.drop_pages(token, zero)?
        {
            return Ok(wait);
        }
        if let Some(error) = op.error.take() {
            return Err(error);
        }
        let (offset, length) = std::mem::take(&mut zero.clear);
        let inside = self
            .vmos
            .get(&zero.vmo)
            .is_some_and(|vmo| offset < vmo.size);
        if length == 0 || !inside {
            return OK;
        }
        let need = Need {
            write: true,
            resident: false,
            request: 1,
            early: false,
        };
        match self.prepare(token, zero.vmo, offset, length, need)? {
            Ready::Zeros(_) => OK,
            Ready::Wait(waiting) => {
                zero.clear = (offset, length);
                Ok(Step::Wait(waiting))
            }
            Ready::Present(_) => {
                self.emit(
                    Some(token),
                    MemoryOp::Clear {
                        vmo: zero.vmo,
                        offset,
                        length,
                    },
                );
                Ok(Step::Wait(Waiting::Memory))
            }
        }
    }

    /// Gives the VMO its new size; says which pages to drop and which bytes to zero.
    fn resize(&mut self, id: VmoId, size: u64) -> Result<(Range<u64>, (u64, u64)), Status> {
        let rounded = page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let (old, new) = (vmo.page_count(), rounded / PAGE_SIZE);
        let clear = rest_of_page(size);
        vmo.size = rounded;
        vmo.stream_size = size;
        vmo.resizing = true;
        if new > old {
            self.work.push_back(Work::Sized {
                vmo: id,
                pages: new,
            });
        }
        if new > old && matches!(vmo.kind, VmoKind::Paged(_)) {
            vmo.make_zero(old..new);
        }
        if new < old {
            // Absent pages of the cut count as answered: whoever waits finds the VMO's new end.
            vmo.end_zero(new..old);
            self.resolve(id, new..old, None);
        }
        Ok((new..old.max(new), clear))
    }

    /// Drops the next run of pages; `None` when all are gone.
    fn drop_pages(&mut self, token: Token, zero: &mut ZeroRange) -> Result<Option<Step>, Status> {
        let Some(vmo) = self.vmos.get_mut(&zero.vmo) else {
            return Ok(None);
        };
        if vmo.conflicts(&zero.drop, true) {
            return self.wait_busy(zero.vmo, token).map(Some);
        }
        let paged = matches!(vmo.kind, VmoKind::Paged(_));
        let run = vmo.pages.first_occupied(zero.drop.clone()).map(|first| {
            let state = vmo.pages.get(first);
            let limit = zero.drop.end - first;
            first..first + vmo.pages.run_length(first, limit, |other| other == state)
        });
        let dropped = zero.drop.start..run.as_ref().map_or(zero.drop.end, |run| run.end);
        if zero.inside && paged {
            vmo.make_zero(dropped.clone());
        }
        zero.drop.start = dropped.end;
        if let Some(run) = run.clone() {
            self.drop_run(Some(token), zero.vmo, run);
        }
        if zero.inside && paged {
            self.resolve(zero.vmo, dropped, None);
        }
        Ok(run.map(|_| Step::Wait(Waiting::Memory)))
    }

    /// Drops the pages of a detached VMO that its pager supplied and nobody wrote to. Those that an operation works on go
    /// when it ends.
    pub(crate) fn drop_clean_pages(&mut self, id: VmoId, pages: Range<u64>) {
        let Some(vmo) = self.vmos.get_mut(&id).filter(|vmo| vmo.is_detached()) else {
            return;
        };
        let idle = |page: &u64| !vmo.conflicts(&(*page..*page + 1), true);
        let clean = vmo.pages.occupied(pages).into_iter();
        let clean = clean
            .filter(|&page| vmo.pages.get(page) == PageState::Clean)
            .filter(idle);
        let clean: Vec<u64> = clean.collect();
        for run in crate::pages::runs(clean) {
            self.drop_run(None, id, run);
        }
    }

    /// `ZX_PROP_VMO_CONTENT_SIZE` was given.
    pub(crate) fn begin_content_size(&mut self, id: VmoId, size: u64) -> StepResult {
        match self.set_content_size(id, size)? {
            Some(body) => Ok(Step::Become(body)),
            None => OK,
        }
    }
}
