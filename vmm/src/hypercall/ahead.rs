//! Whether pages that came ahead are used, for runs that show it.
//!
//! **The life of such a page.** It comes, and is taken out of the page tables at once ([`crate::memory::Memory::unmap`]); an access brings it
//! back without an exit. Before it goes, or when the run is over, it is looked at: it was used, or came for nothing. An access between
//! its coming and its being taken out goes unseen, if it is the only one: that is a few microseconds in which another vCPU would have
//! to touch it.

use std::{collections::BTreeMap, ops::Range, sync::Mutex};

use zircon::{Intervals, MemoryOp, Pages, VmoId};

use super::shared::{Vm, lock};
use crate::observe::Event;

/// Every page that a VMO can have.
const ALL: Range<u64> = 0..u64::MAX;

/// Pages that came ahead and have not been judged.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<BTreeMap<VmoId, Intervals>>);

impl Vm {
    /// Pages came ahead.
    pub(super) fn came_ahead(&self, pages: Pages) {
        if let Some(ahead) = &self.ahead {
            self.memory.unmap(pages);
            lock(&ahead.0)
                .entry(pages.vmo)
                .or_default()
                .insert(pages.range());
        }
    }

    /// An operation is about to be performed: what it takes away is judged before.
    pub(super) fn judge_before(&self, op: &MemoryOp) {
        match op {
            MemoryOp::Evict(pages)
            | MemoryOp::Decommit { pages, .. }
            | MemoryOp::Move { from: pages, .. } => {
                self.judge(pages.vmo, pages.range(), Vm::note);
            }
            MemoryOp::Freeze { vmo, .. } => self.judge(*vmo, ALL, Vm::note),
            _ => {}
        }
    }

    /// Judges all pages of a VMO.
    pub(super) fn judge_vmo(&self, vmo: VmoId) {
        self.judge(vmo, ALL, Vm::note);
    }

    /// Judges what is left when the run is over.
    pub(crate) fn judge_rest(&self) {
        let Some(ahead) = &self.ahead else { return };
        let vmos: Vec<VmoId> = lock(&ahead.0).keys().copied().collect();
        for vmo in vmos {
            self.judge(vmo, ALL, Vm::note_at_leisure);
        }
    }

    fn judge(&self, vmo: VmoId, pages: Range<u64>, note: fn(&Vm, Event)) {
        let Some(ahead) = &self.ahead else { return };
        let judged = {
            let mut ahead = lock(&ahead.0);
            let Some(mine) = ahead.get_mut(&vmo) else {
                return;
            };
            let judged = mine.within(pages.clone());
            mine.remove(pages);
            if mine.is_empty() {
                ahead.remove(&vmo);
            }
            judged
        };
        let run_of = |run: &Range<u64>| Pages {
            vmo,
            first: run.start,
            count: run.end - run.start,
        };
        for run in judged {
            let mut unused = Intervals::of(run.clone());
            for used in self.memory.touched(run_of(&run)) {
                unused.remove(used);
            }
            let unused = unused.within(run.clone());
            let mut used = Intervals::of(run.clone());
            unused.iter().for_each(|part| used.remove(part.clone()));
            for (parts, used) in [(used.within(run), true), (unused, false)] {
                for pages in parts.iter().map(run_of) {
                    self.stats.judged(pages.count, used);
                    note(self, Event::Judged { pages, used });
                }
            }
        }
    }
}
