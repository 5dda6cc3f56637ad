//! The end of a page source: `zx_pager_detach_vmo`, the last handle of a pager, the last use of its VMO.
//!
//! A detached VMO loses what its pager supplied and nobody wrote to; dirty pages, pinned ones and zeros of its own stay. A closed pager
//! leaves all.

use protocol::{RawHandle, Rights, Status};

use crate::ids::{PagerId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::source::{Provider, SourceState, Woken};
use crate::vmo::Vmo;

/// How far a detach has come.
#[derive(Clone, Debug)]
pub(crate) struct Detaching {
    vmo: VmoId,
    /// First page to look at next.
    next: u64,
    /// Who waited for the pager, to be told when all is gone.
    failed: Vec<Woken>,
}

impl Vmo {
    /// Whether a page of storage goes with the pager, or stands for zeros that it supplied. What devices use does not go.
    pub fn goes_with_pager(&self, page: u64, state: PageState) -> bool {
        match state {
            _ if self.is_pinned(&(page..page + 1)) => false,
            PageState::Clean => true,
            PageState::Blank => self.zero.containing(page).is_none(),
            _ => false,
        }
    }
}

impl Kernel {
    pub(crate) fn sys_pager_detach_vmo(
        &mut self,
        caller: Caller,
        pager: RawHandle,
        vmo: RawHandle,
    ) -> Begin {
        let rights = Rights::ATTACH_VMO | Rights::MANAGE_VMO;
        let (pager, _) = self.typed::<PagerId>(caller.process, pager, rights)?;
        let (vmo, _) = self.typed::<VmoId>(caller.process, vmo, Rights::WRITE)?;
        self.check_owner(vmo, pager)?;
        let source = self.vmos.get(&vmo).and_then(|vmo| vmo.source());
        if source.is_none_or(|source| source.state != SourceState::Attached) {
            return Ok(Started::Done(0));
        }
        let failed = self.stop_source(vmo, SourceState::Detached);
        if let Some(vmo) = self.vmos.get_mut(&vmo) {
            vmo.zero.forget_markers();
            vmo.detaching = true;
        }
        let detaching = Detaching {
            vmo,
            next: 0,
            failed,
        };
        self.begin(caller, Body::Detach(detaching), vec![vmo])
    }

    pub(crate) fn step_detach(
        &mut self,
        token: Token,
        op: &mut Op,
        detaching: &mut Detaching,
    ) -> StepResult {
        let result = self.drop_supplied(token, op, detaching);
        if !matches!(result, Ok(Step::Wait(_))) {
            if let Some(vmo) = self.vmos.get_mut(&detaching.vmo) {
                vmo.detaching = false;
            }
            self.wake_all(std::mem::take(&mut detaching.failed));
        }
        result
    }

    /// Drops the next pages that the pager supplied. Whoever meets one before it is gone waits, or is told that it is lost.
    fn drop_supplied(
        &mut self,
        token: Token,
        op: &mut Op,
        detaching: &mut Detaching,
    ) -> StepResult {
        op.take_reply()?;
        let id = detaching.vmo;
        loop {
            let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
            let left = vmo.page_count().saturating_sub(detaching.next);
            if left == 0 {
                return OK;
            }
            let calm = vmo.calm_run(detaching.next, left, true);
            if calm == 0 {
                return self.wait_busy(id, token);
            }
            let end = detaching.next + calm;
            let Some(first) = vmo.pages.first_occupied(detaching.next..end) else {
                detaching.next = end;
                continue;
            };
            let (state, run) = vmo.state_run(first, end - first);
            let unpinned = vmo.unpinned_run(first, run, false);
            let run = first..first + unpinned.max(1);
            let goes = vmo.goes_with_pager(first, state);
            detaching.next = run.end;
            if goes {
                self.drop_unwritten(token, id, run);
                return Ok(Step::Wait(Waiting::Memory));
            }
        }
    }

    /// Ends a source: says who waited, and gets BAD_STATE. Detaching owes COMPLETE; a closed pager is silent.
    fn stop_source(&mut self, id: VmoId, state: SourceState) -> Vec<Woken> {
        let Some(source) = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut()) else {
            return Vec::new();
        };
        let queued = source.is_packet_queued();
        let was = std::mem::replace(&mut source.state, state);
        let woken = source.fail_all(Status::BAD_STATE);
        match state {
            SourceState::Detached if was == SourceState::Attached => source.owe_complete(),
            SourceState::Closed => source.silence(),
            _ => {}
        }
        self.pump_source(id, queued);
        woken
    }

    /// The last handle of a pager is closed.
    pub(crate) fn drop_pager(&mut self, id: PagerId) {
        self.pagers.remove(&id);
        let is_owned = |vmo: &Vmo| {
            let provider = vmo.source().map(|source| source.provider);
            matches!(provider, Some(Provider::Pager { pager, .. }) if pager == id)
        };
        let owned: Vec<VmoId> = self
            .vmos
            .iter()
            .filter(|(_, vmo)| is_owned(vmo))
            .map(|(id, _)| *id)
            .collect();
        for vmo in owned {
            let failed = self.stop_source(vmo, SourceState::Closed);
            self.wake_all(failed);
            self.bury(vmo);
        }
    }

    /// A VMO ends: its source owes COMPLETE if it was attached.
    pub(crate) fn end_source(&mut self, id: VmoId) {
        let Some(source) = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut()) else {
            return;
        };
        let queued = source.is_packet_queued();
        if source.state == SourceState::Attached {
            source.state = SourceState::Detached;
            let woken = source.fail_all(Status::BAD_STATE);
            source.owe_complete();
            self.wake_all(woken);
        }
        self.pump_source(id, queued);
    }
}
