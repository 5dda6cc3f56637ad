//! Hiding from clones what they showed of others: what a shrinking pager's VMO loses is zero in its clones for good, and what a
//! shrinking clone lost does not come back when it grows.

use std::ops::Range;

use protocol::Status;

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::op::{Step, Waiting};
use crate::pages::PageState;
use crate::resize::page_round;
use crate::vmo::Vmo;

impl Vmo {
    /// The first run of pages within `pages` of the VMO behind that this one shows, as its own pages.
    fn shown_of(&self, pages: &Range<u64>) -> Option<Range<u64>> {
        let cow = self.cow.as_ref()?;
        let end = pages.end.saturating_sub(cow.offset).min(cow.visible.end);
        let mut at = pages
            .start
            .saturating_sub(cow.offset)
            .max(cow.visible.start);
        while at < end {
            let (state, run) = self.state_run(at, end - at);
            if state == PageState::Absent {
                return Some(at..at + run);
            }
            at += run;
        }
        None
    }
}

impl Kernel {
    /// Hides the pages `cut` of a VMO from its clones, and from theirs first, for memory knows only who shows a page in the end. One
    /// run after the other; `None` when none shows any. `left` is where that stands: VMOs with what is to be hidden of them.
    pub(crate) fn conceal(
        &mut self,
        token: Token,
        id: VmoId,
        cut: &Range<u64>,
        left: &mut Vec<(VmoId, Range<u64>)>,
    ) -> Result<Option<Step>, Status> {
        if left.is_empty() {
            left.push((id, cut.clone()));
        }
        while let Some((behind, pages)) = left.last().cloned() {
            let Some((viewer, run)) = self.shown_by(behind, &pages) else {
                left.pop();
                continue;
            };
            if self.shown_by(viewer, &run).is_some() {
                left.push((viewer, run));
                continue;
            }
            let vmo = self.vmos.get(&viewer).ok_or(Status::INTERNAL)?;
            let calm = vmo.calm_run(run.start, run.end - run.start, true);
            if calm == 0 {
                return self.wait_busy(viewer, token).map(Some);
            }
            let run = run.start..run.start + calm;
            self.drop_run(Some(token), viewer, run.clone());
            if let Some(vmo) = self.vmos.get_mut(&viewer) {
                vmo.hide(run);
            }
            return Ok(Some(Step::Wait(Waiting::Memory)));
        }
        Ok(None)
    }

    /// A clone of a VMO that shows some of its pages, and a run of its own pages that does.
    fn shown_by(&self, id: VmoId, pages: &Range<u64>) -> Option<(VmoId, Range<u64>)> {
        let mut viewers = self.vmos.get(&id)?.viewers.iter();
        viewers.find_map(|viewer| Some((*viewer, self.vmos.get(viewer)?.shown_of(pages)?)))
    }

    /// A VMO has been cut, and shows nothing beyond its end any more: that stays so when it grows.
    pub(crate) fn clip_view(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            let count = vmo.page_count();
            if let Some(cow) = &mut vmo.cow {
                cow.visible.end = cow.visible.end.min(count).max(cow.visible.start);
            }
        }
    }

    /// INVALID_ARGS for a size with which a child would end beyond what can be counted from the start of its first ancestor.
    pub(crate) fn check_accumulated(&self, id: VmoId, size: u64) -> Result<(), Status> {
        let base = self.vmos.get(&id).map_or(0, |vmo| vmo.base);
        let rounded = page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        base.checked_add(rounded)
            .map(|_| ())
            .ok_or(Status::INVALID_ARGS)
    }
}
