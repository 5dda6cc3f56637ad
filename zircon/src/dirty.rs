//! What of a pager's VMO was written to: how its own pages become dirty, and `ZX_PAGER_OP_DIRTY`.
//!
//! A VMO with TRAP_DIRTY asks before anything becomes dirty: its clean pages are protected, and a write waits for a DIRTY request. Without
//! it a call's write dirties at once, and a mapping's write to a clean page goes through unseen: the memory notes it, and a scan tells
//! of it before anybody asks what is dirty.

use std::ops::Range;

use protocol::Status;

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, Pages, Writes};
use crate::op::{OK, Op, Step, StepResult};
use crate::pages::PageState;
use crate::ready::{Intent, Need, Ready};
use crate::source::{Asked, SourceState};
use crate::vmo::Vmo;
use crate::zero_slots::ZeroKind;

/// `ZX_PAGER_OP_DIRTY`, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Dirtying {
    pub vmo: VmoId,
    /// Pages to go.
    pub pages: Range<u64>,
    /// No gap was found in the range.
    pub checked: bool,
}

impl Vmo {
    /// How many of the `limit` pages from `page` on are there and not dirty: a DIRTY request asks for them together.
    fn dirtiable_run(&self, page: u64, limit: u64) -> u64 {
        let mut run = 0;
        while run < limit {
            match self.state_run(page + run, limit - run) {
                (PageState::Dirty | PageState::Absent | PageState::Inherited, _) => break,
                (_, more) => run += more,
            }
        }
        run
    }
}

/// Takes write protection away.
fn unprotect(pages: Pages) -> MemoryOp {
    MemoryOp::Protect { pages, on: false }
}

impl Kernel {
    /// Pages of storage of the VMO's own are to be used as such: does what has to happen first, and notes that a write is to come.
    pub(crate) fn own(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        limit: u64,
        (state, need): (PageState, Need),
    ) -> Result<Option<Ready>, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        match state {
            PageState::Inherited if need.intent.writes() || need.intent == Intent::Pin => {
                let fork = |pages| MemoryOp::Fork {
                    pages,
                    inherited: true,
                };
                let wait = self.change_own(token, id, pages, PageState::Dirty, fork);
                wait.map(Some)
            }
            _ if !need.intent.writes() => Ok(None),
            PageState::Clean | PageState::Awaiting if vmo.source().is_some() => {
                if vmo.traps_dirty() {
                    return self
                        .ask_to_dirty(token, id, pages.start, limit, need)
                        .map(Some);
                }
                vmo.pages.set(pages, PageState::Dirty);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Zero slots of the VMO's own, all of one kind, are to become pages of storage that count.
    pub(crate) fn own_zeros(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        limit: u64,
        (state, need): (PageState, Need),
    ) -> Result<Option<Ready>, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let paged = vmo.source().is_some();
        let slot = vmo.zero.containing(pages.start);
        let clean = matches!(slot, None | Some((_, ZeroKind::Marker)));
        let becomes = match paged && (!clean || !need.intent.commits()) {
            true => PageState::Dirty,
            false => PageState::Clean,
        };
        if becomes == PageState::Dirty && vmo.traps_dirty() {
            // COMMIT leaves clean what is clean.
            let limit = match (need.intent.commits(), slot) {
                (true, Some((slot, _))) => limit.min(slot.end - pages.start),
                _ => limit,
            };
            let wait = self.ask_to_dirty(token, id, pages.start, limit, need);
            return wait.map(Some);
        }
        let protect = paged && becomes == PageState::Clean;
        let ready = match state {
            PageState::Blank if protect || vmo.storage_writes() == Writes::Noted => {
                self.publish(id, pages, becomes);
                return Ok(None);
            }
            PageState::Blank => self.change_own(token, id, pages, becomes, unprotect),
            _ => self.install_zeros(token, id, pages, protect, becomes),
        };
        ready.map(Some)
    }

    /// Asks the pager whether pages from `first` on may become dirty.
    fn ask_to_dirty(
        &mut self,
        token: Token,
        id: VmoId,
        first: u64,
        limit: u64,
        need: Need,
    ) -> Result<Ready, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let limit = limit.min(need.request).min(vmo.page_count() - first);
        let run = vmo.dirtiable_run(first, limit);
        self.request(token, id, Asked::Dirty, first..first + run, false)
    }

    /// The next run of `ZX_PAGER_OP_DIRTY`: NOT_FOUND if there is a gap, but whoever waits looks again.
    pub(crate) fn step_dirtying(
        &mut self,
        token: Token,
        op: &mut Op,
        dirtying: &mut Dirtying,
    ) -> StepResult {
        op.take_reply()?;
        let (id, whole) = (dirtying.vmo, dirtying.pages.clone());
        loop {
            let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
            let source = vmo.source().ok_or(Status::BAD_STATE)?;
            if whole.end > vmo.page_count() {
                return Err(Status::OUT_OF_RANGE);
            }
            if source.state != SourceState::Attached {
                return Err(Status::BAD_STATE);
            }
            if !dirtying.checked && self.has_gap(id, whole.clone()) {
                self.resolve_dirty(id, whole, None);
                return Err(Status::NOT_FOUND);
            }
            dirtying.checked = true;
            if dirtying.pages.is_empty() {
                return OK;
            }
            if let Some(wait) = self.dirty_run(token, dirtying)? {
                return Ok(wait);
            }
        }
    }

    fn has_gap(&self, id: VmoId, pages: Range<u64>) -> bool {
        let mut at = pages.start;
        while let Some(vmo) = self.vmos.get(&id).filter(|_| at < pages.end) {
            match vmo.state_run(at, pages.end - at) {
                (PageState::Absent, _) => return true,
                (_, run) => at += run,
            }
        }
        false
    }

    /// Makes the next run of pages of one state dirty; `None` if they are.
    fn dirty_run(&mut self, token: Token, dirtying: &mut Dirtying) -> Result<Option<Step>, Status> {
        let (id, left) = (dirtying.vmo, &mut dirtying.pages);
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let (state, run) = vmo.state_run(left.start, left.end - left.start);
        let run = left.start..left.start + run;
        let ready = match state {
            PageState::Dirty => {
                left.start = run.end;
                self.resolve_dirty(id, run, None);
                return Ok(None);
            }
            PageState::Absent => {
                // It went while others were made dirty.
                dirtying.checked = false;
                return Ok(None);
            }
            PageState::Zero => self.install_zeros(token, id, run, false, PageState::Dirty)?,
            _ => self.change_own(token, id, run, PageState::Dirty, unprotect)?,
        };
        match ready {
            Ready::Wait(waiting) => Ok(Some(Step::Wait(waiting))),
            Ready::Present(_) | Ready::Zeros(_) => Ok(None),
        }
    }

    /// A scan told which pages of a VMO were written to. Of its pages, those that are dirty then, or were to be cleaned and were not
    /// written to, become what the scan was for.
    pub(crate) fn note_scan(
        &mut self,
        pages: Pages,
        written: &[Range<u64>],
        becomes: Option<PageState>,
    ) {
        self.note_written(pages.vmo, written);
        let Some(vmo) = self.vmos.get_mut(&pages.vmo) else {
            return;
        };
        let from = match becomes {
            Some(PageState::Awaiting) => PageState::Dirty,
            Some(PageState::Clean) => PageState::Awaiting,
            _ => return,
        };
        vmo.pages.change(pages.range(), |state| match becomes {
            Some(becomes) if state == from => becomes,
            _ => state,
        });
        if becomes == Some(PageState::Clean) {
            self.may_go(pages.vmo, pages.range());
        }
    }

    /// A call, or a mapping that asked, writes to a VMO.
    pub(crate) fn note_modified(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.modified = true;
        }
    }

    /// Mappings have written to pages, given as ascending runs.
    pub(crate) fn note_written(&mut self, id: VmoId, written: &[Range<u64>]) {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let new = |state| match state {
            PageState::Absent | PageState::Dirty | PageState::Inherited => false,
            PageState::Zero | PageState::Clean | PageState::Awaiting | PageState::Blank => true,
        };
        for run in vmo.pages.runs_among(written, new) {
            vmo.zero.remove(run.clone());
            vmo.pages.set(run, PageState::Dirty);
            vmo.modified = true;
        }
    }
}
