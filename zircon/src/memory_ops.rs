//! Memory operations under way: what they keep busy, and what their end publishes.

use std::ops::Range;

use protocol::{PAGE_SIZE, Status};

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, MemoryOpId, MemoryResult, Pages};
use crate::op::{Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::source::Asked;
use crate::vmo::Busy;
use crate::zero_slots::ZeroKind;

/// A memory operation that was emitted and has not ended.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub op: MemoryOp,
    /// What its pages are afterwards, where that is not the same for all such operations.
    pub becomes: Option<PageState>,
    /// Who waits for it.
    pub token: Option<Token>,
    /// Pages that are gone with its end.
    pub drops: u64,
    /// What it keeps busy: (VMO, pages, whether it changes which pages are there).
    touched: Vec<(VmoId, Range<u64>, bool)>,
}

/// The pages that hold bytes `[offset, offset + length)`.
pub(crate) fn page_span(offset: u64, length: u64) -> Range<u64> {
    offset / PAGE_SIZE..offset.saturating_add(length).div_ceil(PAGE_SIZE)
}

/// What an operation works on: (VMO, pages, whether it changes which pages are there).
fn touched(op: &MemoryOp) -> Vec<(VmoId, Range<u64>, bool)> {
    match op {
        MemoryOp::Zero { pages, .. }
        | MemoryOp::Decommit { pages, .. }
        | MemoryOp::Evict(pages)
        | MemoryOp::Fork { pages, .. } => {
            vec![(pages.vmo, pages.range(), true)]
        }
        MemoryOp::Protect { pages, .. } | MemoryOp::Scan { pages, .. } => {
            vec![(pages.vmo, pages.range(), true)]
        }
        MemoryOp::Locate(pages) => vec![(pages.vmo, pages.range(), false)],
        MemoryOp::Freeze { vmo, into, .. } => {
            vec![(*vmo, Busy::ALL, true), (*into, Busy::ALL, true)]
        }
        MemoryOp::Move {
            from, to, to_first, ..
        } => {
            vec![
                (from.vmo, from.range(), true),
                (*to, *to_first..to_first + from.count, true),
            ]
        }
        MemoryOp::Read {
            vmo,
            offset,
            length,
        } => {
            vec![(*vmo, page_span(*offset, *length as u64), false)]
        }
        MemoryOp::Write { vmo, offset, bytes } => {
            vec![(*vmo, page_span(*offset, bytes.len() as u64), false)]
        }
        MemoryOp::Clear {
            vmo,
            offset,
            length,
        } => vec![(*vmo, page_span(*offset, *length), false)],
        MemoryOp::Copy {
            from,
            from_offset,
            to,
            to_offset,
            length,
        } => vec![
            (*from, page_span(*from_offset, *length), false),
            (*to, page_span(*to_offset, *length), false),
        ],
    }
}

impl Kernel {
    /// Keeps busy what an operation works on, and what the clones among it show of others while it relies on that.
    pub(crate) fn mark_busy(
        &mut self,
        id: MemoryOpId,
        op: MemoryOp,
        becomes: Option<PageState>,
        token: Option<Token>,
    ) -> InFlight {
        let mut touched = touched(&op);
        let reads = match (&op, touched.first()) {
            (
                MemoryOp::Zero { .. }
                | MemoryOp::Fork { .. }
                | MemoryOp::Read { .. }
                | MemoryOp::Copy { .. },
                first,
            ) => first,
            _ => None,
        };
        if let Some((vmo, pages, _)) = reads {
            let behind = self.behind(*vmo, pages.clone());
            touched.extend(behind.into_iter().map(|(vmo, pages)| (vmo, pages, false)));
        }
        for (vmo, pages, exclusive) in &touched {
            if let Some(vmo) = self.vmos.get_mut(vmo) {
                vmo.busy.push(Busy {
                    op: id,
                    pages: pages.clone(),
                    exclusive: *exclusive,
                });
                vmo.users += 1;
            }
        }
        InFlight {
            op,
            becomes,
            token,
            drops: 0,
            touched,
        }
    }

    /// Drops a run of pages of one state that the VMO owns, or shows; they are absent from now on.
    pub(crate) fn drop_run(&mut self, token: Option<Token>, id: VmoId, run: Range<u64>) {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let inherited = vmo.pages.get(run.start) == PageState::Inherited;
        self.tell_change(id, run.clone(), false);
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let before = vmo.pages.resident();
        vmo.pages.set(run.clone(), PageState::Absent);
        let drops = before - vmo.pages.resident();
        let pages = Pages {
            vmo: id,
            first: run.start,
            count: run.end - run.start,
        };
        let op = self.emit(token, MemoryOp::Decommit { pages, inherited });
        if let Some(flight) = self.memory.get_mut(op) {
            flight.drops = drops;
            self.room.leave(drops);
        }
    }

    /// A memory operation ended: its pages are what they are now, and whoever waited looks again.
    pub fn memory_done(&mut self, now: i64, id: MemoryOpId, result: MemoryResult) {
        self.now = now;
        let Some(flight) = self.memory.remove(id) else {
            return;
        };
        let InFlight {
            op,
            becomes,
            token,
            drops,
            touched,
        } = flight;
        self.room.left_behind(drops, drops);
        for (vmo, ..) in &touched {
            if let Some(vmo) = self.vmos.get_mut(vmo) {
                vmo.busy.retain(|busy| busy.op != id);
            }
        }
        self.epoch += 1;
        self.tell_end_of(token);
        match (&op, &result) {
            (MemoryOp::Freeze { vmo, into, .. }, MemoryResult::Done) => {
                self.publish_freeze(*vmo, *into);
            }
            (MemoryOp::Zero { pages, .. }, MemoryResult::Done) => {
                self.room.arrived(pages.count);
                let state = becomes.unwrap_or(PageState::Clean);
                self.publish(pages.vmo, pages.range(), state);
            }
            (MemoryOp::Protect { pages, .. }, MemoryResult::Done) => {
                let state = becomes.unwrap_or(PageState::Clean);
                self.publish(pages.vmo, pages.range(), state);
            }
            (MemoryOp::Scan { pages, .. }, MemoryResult::Written(written)) => {
                self.note_scan(*pages, written, becomes);
            }
            (MemoryOp::Fork { pages, inherited }, MemoryResult::Done) => {
                self.room.arrived(if *inherited { 0 } else { pages.count });
                self.publish(pages.vmo, pages.range(), PageState::Dirty);
            }
            (MemoryOp::Fork { pages, inherited }, _) => {
                self.room.untake(if *inherited { 0 } else { pages.count });
            }
            (MemoryOp::Zero { pages, .. }, result) => {
                self.room.untake(pages.count);
                // What the VMM could not install will not come: whoever waits for it is told.
                if let (MemoryResult::Failed(status), None) = (result, token) {
                    self.resolve(pages.vmo, pages.range(), Some(*status));
                }
            }
            (MemoryOp::Evict(pages), MemoryResult::Written(written)) => {
                let gone = self.note_evicted(*pages, written);
                if becomes.is_none() {
                    self.count_evicted(pages.vmo, gone, pages.count - gone);
                }
            }
            // None of them is gone, as far as is known; nothing would be gained by trying again at once.
            (MemoryOp::Evict(pages), _) => self.room.left_behind(pages.count, 0),
            (
                MemoryOp::Move {
                    from, to, to_first, ..
                },
                MemoryResult::Done,
            ) => {
                self.publish(from.vmo, from.range(), PageState::Absent);
                self.publish(*to, *to_first..to_first + from.count, PageState::Clean);
            }
            _ => {}
        }
        if let Some(op) = token.and_then(|token| self.ops.get_mut(token)) {
            op.reply = Some(result);
        }
        if let Some(token) = token {
            self.wake(token);
        }
        for (id, pages, exclusive) in touched {
            if exclusive {
                self.drop_unseen(id, pages);
            }
            let waiters = self
                .vmos
                .get_mut(&id)
                .map(|vmo| std::mem::take(&mut vmo.busy_waiters));
            for waiter in waiters.into_iter().flatten() {
                self.wake(waiter);
            }
            self.release_storage(id);
        }
        self.settle();
    }

    /// Pages changed state: present ones resolve requests.
    pub(crate) fn publish(&mut self, id: VmoId, pages: Range<u64>, state: PageState) {
        self.tell_change(id, pages.clone(), state.is_resident());
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        vmo.pages.set(pages.clone(), state);
        if state.is_committed() {
            vmo.zero.remove(pages.clone());
            self.resolve(id, pages.clone(), None);
        }
        if state == PageState::Dirty {
            self.resolve_dirty(id, pages.clone(), None);
        }
        self.may_go(id, pages);
    }

    /// Pages are zero from now on, without storage.
    pub(crate) fn publish_zero(&mut self, id: VmoId, pages: Range<u64>, kind: ZeroKind) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.zero.insert(pages.clone(), kind);
        }
        self.resolve(id, pages, None);
    }

    /// Pages are there or will not come: wakes who waits for them, and moves the VMO's packet on.
    pub(crate) fn resolve(&mut self, id: VmoId, pages: Range<u64>, error: Option<Status>) {
        self.resolve_asked(id, Asked::Read, pages, error);
    }

    /// The pager said that pages are dirty, or that they will not be; or they have to be looked at again.
    pub(crate) fn resolve_dirty(&mut self, id: VmoId, pages: Range<u64>, error: Option<Status>) {
        self.resolve_asked(id, Asked::Dirty, pages, error);
    }

    fn resolve_asked(&mut self, id: VmoId, asked: Asked, pages: Range<u64>, error: Option<Status>) {
        let Some(source) = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut()) else {
            return;
        };
        let queued = source.is_packet_queued();
        let woken = source.resolve(asked, pages.clone(), error);
        if let Some(status) = error {
            self.tell_failure(id, &pages, status);
        }
        self.wake_all(woken);
        self.pump_source(id, queued);
    }

    /// Registers an operation to look again when something under way on the VMO ends.
    pub(crate) fn wait_busy(&mut self, id: VmoId, token: Token) -> StepResult {
        match self.vmos.get_mut(&id) {
            Some(vmo) => {
                vmo.busy_waiters.push(token);
                Ok(Step::Wait(Waiting::Busy(id)))
            }
            None => Err(Status::BAD_STATE),
        }
    }

    /// The first run of absent, idle pages of `pages`, which can be supplied now; a zero interval is not absent.
    pub(crate) fn next_suppliable(&self, id: VmoId, pages: Range<u64>) -> Option<Range<u64>> {
        let vmo = self.vmos.get(&id)?;
        let end = pages.end.min(vmo.page_count());
        let mut page = pages.start;
        while page < end {
            let calm = vmo.calm_run(page, end - page, true);
            let (state, run) = vmo.state_run(page, calm.max(1));
            if calm > 0 && state == PageState::Absent {
                return Some(page..page + run);
            }
            page += run;
        }
        None
    }
}
