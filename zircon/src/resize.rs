//! Changing a VMO's size.
//!
//! A VMO has its new size at once; then the pages of the cut are dropped, then what lies between the new content size and the end of its
//! page is zeroed, for which the page may have to be asked for.

use std::ops::Range;

use protocol::{MAX_VMO_SIZE, PAGE_SIZE, RawHandle, Rights, Status};

use crate::handle::require;
use crate::ids::{Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::vmo::VmoKind;
use crate::work::Work;
use crate::zero_slots::ZeroKind;
use crate::zeroing::Zeroing;

/// How far a change of size has come.
#[derive(Clone, Debug)]
pub(crate) struct Resizing {
    vmo: VmoId,
    /// First of all, give the VMO this content size, and the size that goes with it.
    size: Option<u64>,
    /// The next change waits until `drop` is empty.
    exclusive: bool,
    /// Clones that the cut is to be hidden from.
    conceal: Vec<(VmoId, Range<u64>)>,
    /// Pages to drop.
    drop: Range<u64>,
    /// The rest of the last page.
    rest: Option<Zeroing>,
}

/// `value` rounded up to whole pages; `None` above the largest VMO.
pub(crate) fn page_round(value: u64) -> Option<u64> {
    let rounded = value.checked_next_multiple_of(PAGE_SIZE)?;
    (rounded <= MAX_VMO_SIZE).then_some(rounded)
}

impl Kernel {
    pub(crate) fn sys_vmo_set_size(&mut self, caller: Caller, raw: RawHandle, size: u64) -> Begin {
        let (called, rights) = self.typed::<VmoId>(caller.process, raw, Rights::WRITE)?;
        let id = self.sized(called);
        let vmo = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        if !vmo.is_resizable() {
            return Err(Status::UNAVAILABLE);
        }
        require(rights, Rights::RESIZE)?;
        page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        let resizing = Resizing {
            vmo: id,
            size: Some(size),
            exclusive: false,
            conceal: Vec::new(),
            drop: 0..0,
            rest: None,
        };
        self.begin(caller, Body::Resize(resizing), vec![called])
    }

    pub(crate) fn step_resize(
        &mut self,
        token: Token,
        op: &mut Op,
        resizing: &mut Resizing,
    ) -> StepResult {
        let result = self.resize_on(token, op, resizing);
        if result.is_err() {
            self.end_resizing(resizing);
        }
        result
    }

    /// What a change of size cut off is gone: the next change may begin.
    fn end_resizing(&mut self, resizing: &mut Resizing) {
        if !std::mem::take(&mut resizing.exclusive) {
            return;
        }
        self.clip_view(resizing.vmo);
        if let Some(vmo) = self.vmos.get_mut(&resizing.vmo) {
            vmo.resizing = false;
            for waiter in std::mem::take(&mut vmo.busy_waiters) {
                self.wake(waiter);
            }
        }
    }

    fn resize_on(&mut self, token: Token, op: &mut Op, resizing: &mut Resizing) -> StepResult {
        let id = resizing.vmo;
        if let Some(size) = resizing.size {
            let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
            if !resizing.exclusive {
                if vmo.resizing || vmo.is_shut() {
                    return self.wait_busy(id, token);
                }
                if vmo.is_pinned(&(size.div_ceil(PAGE_SIZE)..u64::MAX)) {
                    return Err(Status::BAD_STATE);
                }
                vmo.resizing = true;
                resizing.exclusive = true;
                self.check_accumulated(id, size)?;
            }
            op.take_reply()?;
            let cut = size.div_ceil(PAGE_SIZE)..u64::MAX;
            if let Some(wait) = self.conceal(token, id, &cut, &mut resizing.conceal)? {
                return Ok(wait);
            }
            resizing.size = None;
            resizing.drop = self.resize(id, size)?;
            let rest = size.next_multiple_of(PAGE_SIZE) - size;
            resizing.rest = Some(Zeroing::new(id, size, rest));
        }
        if !resizing.drop.is_empty() {
            op.take_reply()?;
            if let Some(wait) = self.drop_pages(token, id, &mut resizing.drop)? {
                return Ok(wait);
            }
        }
        self.end_resizing(resizing);
        match &mut resizing.rest {
            Some(rest) => match self.step_zeroing(token, op, rest) {
                // Another change has cut it off.
                Err(Status::OUT_OF_RANGE) => OK,
                result => result,
            },
            None => OK,
        }
    }

    /// Gives the VMO its new size; says which pages to drop.
    fn resize(&mut self, id: VmoId, size: u64) -> Result<Range<u64>, Status> {
        let rounded = page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let (old, new) = (vmo.page_count(), rounded / PAGE_SIZE);
        if vmo.is_pinned(&(new..old)) {
            return Err(Status::BAD_STATE);
        }
        vmo.size = rounded;
        vmo.stream_size = size;
        vmo.modified = true;
        if new > old {
            self.work.push_back(Work::Sized {
                vmo: id,
                pages: new,
            });
        }
        if new > old && matches!(vmo.kind, VmoKind::Paged(_)) {
            vmo.zero.insert(old..new, ZeroKind::Dirty { awaiting: 0 });
        }
        if new < old {
            // Pages of the cut count as answered: whoever waits finds the VMO's new end.
            vmo.zero.remove(new..old);
            self.resolve(id, new..old, None);
            self.resolve_dirty(id, new..old, None);
        }
        Ok(new..old.max(new))
    }

    /// Drops the next run of pages of a cut; `None` when all are gone.
    fn drop_pages(
        &mut self,
        token: Token,
        id: VmoId,
        cut: &mut Range<u64>,
    ) -> Result<Option<Step>, Status> {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return Ok(None);
        };
        if vmo.conflicts(cut, true) {
            return self.wait_busy(id, token).map(Some);
        }
        let Some(run) = vmo.next_to_drop(cut) else {
            cut.start = cut.end;
            return Ok(None);
        };
        cut.start = run.end;
        self.drop_run(Some(token), id, run);
        Ok(Some(Step::Wait(Waiting::Memory)))
    }
}
