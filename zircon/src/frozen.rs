//! Frozen VMOs: what several clones show of what one of them held once. They have no handles, and nobody writes to them.
//!
//! A VMO is frozen into a new one ([`MemoryOp::Freeze`]) when a snapshot of it is taken. What none of its clones sees any more is
//! dropped; when one clone is left it takes the rest over and the frozen VMO ends.

use std::ops::Range;

use protocol::Status;

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::look::Cow;
use crate::memory::MemoryOp;
use crate::op::{Body, OK, Op, StepResult, Waiting};
use crate::pages::{PageState, runs};
use crate::vmo::{Vmo, VmoKind};
use crate::watch::Arrival;

/// Most runs of pages that a merge drops in one step.
const MERGE_RUNS: usize = 1024;

/// Most clones that are looked at to find whether a page is still seen: with more, it stays until a merge.
const MAX_LOOK: usize = 64;

impl Kernel {
    /// Freezes what a VMO owns: nothing is under way on it.
    pub(crate) fn emit_freeze(&mut self, token: Token, id: VmoId) -> Result<Waiting, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        let own = vmo.pages.occupied(0..u64::MAX).into_iter();
        let owned = runs(own.filter(|&page| vmo.pages.get(page) != PageState::Inherited));
        let mut frozen = Vmo::new(vmo.size, vmo.stream_size, vmo.options, VmoKind::Frozen);
        frozen.header.name = vmo.header.name;
        let into = self.add_vmo(frozen);
        let freeze = MemoryOp::Freeze {
            vmo: id,
            into,
            owned,
        };
        self.emit(Some(token), freeze);
        Ok(Waiting::Memory)
    }

    /// What a VMO held is frozen: it shows that from now on.
    pub(crate) fn publish_freeze(&mut self, id: VmoId, into: VmoId) {
        self.tell_freeze(id, into);
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let pages = std::mem::take(&mut vmo.pages);
        let zero = std::mem::take(&mut vmo.zero);
        let view = Cow::of(into, &(0..vmo.page_count()));
        let behind = std::mem::replace(&mut vmo.cow, view);
        if let Some(behind) = behind
            .as_ref()
            .and_then(|cow| self.vmos.get_mut(&cow.behind))
        {
            behind.viewers.remove(&id);
            behind.viewers.insert(into);
        }
        if let Some(frozen) = self.vmos.get_mut(&into) {
            (frozen.pages, frozen.zero) = (pages, zero);
            frozen.cow = behind;
        }
        self.add_viewer(into, id);
    }

    /// A frozen VMO that one clone is left of merges with it, when that is possible.
    pub(crate) fn merge_if_alone(&mut self, id: VmoId) {
        let Some(vmo) = self.vmos.get_mut(&id).filter(|vmo| vmo.is_frozen()) else {
            return;
        };
        if vmo.viewers.len() == 1 && !vmo.merging {
            vmo.merging = true;
            // Nobody waits for it.
            let _ = self.start(None, Body::Merge(id), Vec::new(), None);
        }
    }

    pub(crate) fn step_merge(&mut self, token: Token, op: &mut Op, id: VmoId) -> StepResult {
        op.take_reply()?;
        let Some(frozen) = self.vmos.get_mut(&id) else {
            return OK;
        };
        let (Some(&heir), 1) = (frozen.viewers.first(), frozen.viewers.len()) else {
            frozen.merging = false;
            return OK;
        };
        if !frozen.busy.is_empty() {
            return self.wait_busy(id, token);
        }
        let clone = self.vmos.get(&heir);
        if clone.is_some_and(|clone| !clone.busy.is_empty() || clone.resizing) {
            return self.wait_busy(heir, token);
        }
        let unseen = self.unseen_by(id, heir);
        if unseen.is_empty() {
            self.publish_merge(id, heir);
            return OK;
        }
        for run in unseen {
            self.drop_frozen(id, run);
        }
        self.wait_busy(id, token)
    }

    /// Runs of pages of a frozen VMO that its only clone does not see, or that stand for zeros only.
    fn unseen_by(&self, id: VmoId, heir: VmoId) -> Vec<Range<u64>> {
        let (Some(frozen), Some(heir)) = (self.vmos.get(&id), self.vmos.get(&heir)) else {
            return Vec::new();
        };
        let unseen = frozen.pages.occupied(0..u64::MAX).into_iter();
        let unseen = unseen.filter(|&page| {
            frozen.pages.get(page) == PageState::Blank || heir.shows_as(page).is_none()
        });
        let mut runs = frozen.storage_runs(unseen);
        runs.truncate(MERGE_RUNS);
        runs
    }

    /// The only clone of a frozen VMO takes over what it holds, all of which it sees.
    fn publish_merge(&mut self, id: VmoId, heir: VmoId) {
        let (Some(frozen), Some(clone)) = (self.vmos.remove(&id), self.vmos.get_mut(&heir)) else {
            return;
        };
        let Some(view) = clone.cow.take() else {
            return;
        };
        for page in frozen.pages.occupied(0..u64::MAX) {
            let page = page - view.offset;
            clone.pages.set(page..page + 1, PageState::Inherited);
        }
        let inherited = frozen.pages.occupied(0..u64::MAX).into_iter();
        let inherited = inherited.map(|page| page - view.offset);
        let window = view.visible.start + view.offset..view.visible.end + view.offset;
        for (zero, kind) in frozen.zero.within(window) {
            let pages = zero.start - view.offset..zero.end - view.offset;
            clone.zero.insert(pages, kind);
        }
        clone.cow = frozen
            .cow
            .as_ref()
            .and_then(|cow| cow.through(view.offset, &view.visible));
        let still = clone.cow.is_some();
        self.tell_arrival(heir, runs(inherited), Arrival::Inherited);
        self.free_storage(id, 0);
        self.epoch += 1;
        if let Some(behind) = frozen.cow.map(|cow| cow.behind) {
            if let Some(vmo) = self.vmos.get_mut(&behind) {
                vmo.viewers.remove(&id);
            }
            if still {
                self.add_viewer(behind, heir);
            }
            self.release_storage(behind);
            self.merge_if_alone(behind);
        }
        for waiter in frozen.busy_waiters {
            self.wake(waiter);
        }
    }

    /// Drops pages of a frozen VMO that nobody sees. What it showed there of others is hidden with them.
    fn drop_frozen(&mut self, id: VmoId, run: Range<u64>) {
        self.drop_run(None, id, run.clone());
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.hide(run);
        }
    }

    /// Pages of a VMO are no longer what they were: drops those of frozen VMOs behind it that nobody sees any more.
    pub(crate) fn drop_unseen(&mut self, id: VmoId, pages: Range<u64>) {
        for (behind, pages) in self.behind(id, pages) {
            let Some(vmo) = self.vmos.get(&behind).filter(|vmo| vmo.is_frozen()) else {
                continue;
            };
            let unseen = vmo.pages.occupied(pages).into_iter().filter(|&page| {
                !vmo.conflicts(&(page..page + 1), true) && !self.is_seen(behind, page)
            });
            for run in vmo.storage_runs(unseen) {
                self.drop_frozen(behind, run);
            }
        }
    }

    /// Whether a clone sees a page of a frozen VMO: yes, too, when that is not quickly told.
    fn is_seen(&self, id: VmoId, page: u64) -> bool {
        let mut open = vec![(id, page)];
        let mut looked = 0;
        while let Some((id, page)) = open.pop() {
            let viewers = self.vmos.get(&id).map(|vmo| &vmo.viewers);
            for viewer in viewers.into_iter().flatten() {
                looked += 1;
                if looked > MAX_LOOK {
                    return true;
                }
                let Some(vmo) = self.vmos.get(viewer) else {
                    continue;
                };
                match vmo.shows_as(page) {
                    Some(page) if vmo.is_frozen() => open.push((*viewer, page)),
                    Some(_) => return true,
                    None => {}
                }
            }
        }
        false
    }
}
