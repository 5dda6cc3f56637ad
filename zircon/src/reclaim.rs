//! Giving pages back: which ones, and in which order.
//!
//! What can be had again goes when pages are needed: first discardable VMOs that nobody has locked, each as a whole, the one unlocked
//! longest ago first (`discard.rs`); then single pages, in the order in which they were supplied or faulted in: clean ones that a
//! pager supplied and can supply again, and pages of zeros that were only read.
//!
//! **The life of a candidate.** A page that can go is *offered*: it joins the queue ([`crate::candidates`]). When its turn comes it
//! goes, unless it was met again in the meantime, which takes it to the end of the queue once (the second chance), or an operation
//! works on it, or is about to ([`Kernel::in_use`]). One that cannot go any more, for it was written to, is needed always, or its pager is gone, leaves the queue; whoever
//! changes that offers it again. The host tells nothing of accesses, so what counts as met is what calls and faults see. The first
//! meeting does not count: it is what the page came for.
//!
//! **The price.** A reclaim looks at a bounded number of pages for each that it gives back before it stops to honour second chances, and
//! every page that it drops from the queue was put there once. A queue with much in it that is gone already is sifted.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::candidates::Candidates;
use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, Pages, Writes};
use crate::pages::{Mark, PageState, runs};
use crate::source::SourceState;
use crate::vmo::Vmo;

/// Second chances that a reclaim honours for each page that it is to give back.
const PATIENCE: u64 = 16;

/// Candidates that may be in the queue without being there, before it is sifted.
const SLACK: u64 = 1024;

/// What reclaim did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reclaimed {
    /// Pages that were evicted.
    pub evicted: u64,
    /// Pages that stayed because they turned out to be written to.
    pub written: u64,
    /// Discardable VMOs that were discarded.
    pub discarded_vmos: u64,
    /// Their pages.
    pub discarded_pages: u64,
}

/// What a look at candidates found.
#[derive(Debug, Default)]
struct Look {
    victims: Vec<Pages>,
    count: u64,
    /// Second chances left.
    patience: u64,
    /// Some cannot go just now because operations work on them.
    busy: bool,
    /// Those that somebody is about to use.
    spared: BTreeSet<(VmoId, u64)>,
}

impl Look {
    fn add(&mut self, vmo: VmoId, page: u64) {
        self.count += 1;
        match self.victims.last_mut() {
            Some(run) if run.vmo == vmo && run.range().end == page => run.count += 1,
            _ => self.victims.push(Pages {
                vmo,
                first: page,
                count: 1,
            }),
        }
    }
}

/// Whether a page can be had again once it is gone.
fn can_go(vmo: &Vmo, page: u64) -> bool {
    let source = vmo.source();
    let again = match vmo.pages.get(page) {
        PageState::Blank => true,
        PageState::Clean => source.is_some_and(|source| source.state == SourceState::Attached),
        _ => false,
    };
    again && !vmo.pages.has(page, Mark::Needed) && !vmo.is_pinned(&(page..page + 1))
}

impl Kernel {
    /// What reclaim did so far.
    pub fn reclaimed(&self) -> Reclaimed {
        self.reclaimed
    }

    /// Pages were published: they may be able to go from now on.
    pub(crate) fn may_go(&mut self, id: VmoId, pages: Range<u64>) {
        self.may_be_discarded(id);
        self.offer(id, pages);
    }

    /// Those of the pages that can go join the queue.
    pub(crate) fn offer(&mut self, id: VmoId, pages: Range<u64>) {
        if !self.room.is_limited() {
            return;
        }
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        for page in pages {
            if can_go(vmo, page) && !vmo.pages.mark(page, Mark::Queued, true) {
                self.candidates.push_back(id, page);
            }
        }
        if self.candidates.len() > 2 * self.room.taken() + SLACK {
            self.sift();
        }
    }

    /// Pages of a VMO are met by an operation or a fault.
    pub(crate) fn meet(&mut self, id: VmoId, pages: Range<u64>) {
        if self.room.is_limited()
            && let Some(vmo) = self.vmos.get_mut(&id)
        {
            vmo.pages.meet(pages);
        }
    }

    /// The pages of a pager's VMO that are there are not needed any more: they go first.
    pub(crate) fn not_needed(&mut self, id: VmoId, pages: Range<u64>) {
        let Some(vmo) = self.vmos.get_mut(&id).filter(|_| self.room.is_limited()) else {
            return;
        };
        let mut first = Vec::new();
        for page in vmo.pages.occupied(pages) {
            for mark in [Mark::Needed, Mark::Met, Mark::Again] {
                vmo.pages.mark(page, mark, false);
            }
            if can_go(vmo, page) {
                vmo.pages.mark(page, Mark::Queued, true);
                first.push(page);
            }
        }
        for run in runs(first).into_iter().rev() {
            self.candidates.push_front(Pages {
                vmo: id,
                first: run.start,
                count: run.end - run.start,
            });
        }
        if self.candidates.len() > 2 * self.room.taken() + SLACK {
            self.sift();
        }
    }

    /// The pages of a pager's VMO that are there never go, until they are not needed.
    pub(crate) fn always_needed(&mut self, id: VmoId, pages: Range<u64>) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            for page in vmo.pages.occupied(pages) {
                vmo.pages.mark(page, Mark::Needed, true);
            }
        }
    }

    /// Starts to give back a batch of pages. Says whether there is an end to wait for: of what it started, or of an operation that
    /// works on what could go.
    pub(crate) fn reclaim(&mut self) -> bool {
        let want = self.room.batch();
        let (mut gone, mut busy) = self.discard_unlocked(want);
        if gone < want {
            let look = self.look_for(want - gone);
            busy |= look.busy;
            gone += look.count;
            for pages in look.victims {
                self.room.leave(pages.count);
                self.emit(None, MemoryOp::Evict(pages));
            }
        }
        gone > 0 || busy
    }

    /// Takes up to `want` pages that can go out of the queue.
    fn look_for(&mut self, want: u64) -> Look {
        let mut look = Look {
            patience: want * PATIENCE,
            spared: self.in_use(),
            ..Look::default()
        };
        // Once around honours second chances, once more finds those who had theirs.
        let mut turns = 2 * self.candidates.len();
        while look.count < want && turns > 0 {
            let Some(run) = self.candidates.pop((want - look.count).min(turns)) else {
                break;
            };
            turns -= run.count;
            self.take_turns(run, &mut look);
        }
        look
    }

    /// The turn of these candidates has come.
    fn take_turns(&mut self, run: Pages, look: &mut Look) {
        let id = run.vmo;
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        for page in run.range() {
            if !vmo.pages.mark(page, Mark::Queued, false) || !can_go(vmo, page) {
                continue;
            }
            let busy = vmo.conflicts(&(page..page + 1), true);
            let chance = look.patience > 0 && vmo.pages.has(page, Mark::Again);
            if !busy && !chance && !look.spared.contains(&(id, page)) {
                look.add(id, page);
                continue;
            }
            look.busy |= busy;
            look.patience = look.patience.saturating_sub(1);
            vmo.pages.mark(page, Mark::Again, false);
            vmo.pages.mark(page, Mark::Queued, true);
            self.candidates.push_back(id, page);
        }
    }

    /// An eviction of reclaim's ended.
    pub(crate) fn count_evicted(&mut self, id: VmoId, gone: u64, stayed: u64) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.reclaims += gone;
        }
        self.reclaimed.evicted += gone;
        self.reclaimed.written += stayed;
    }

    /// An eviction ended: `written` stayed. Says how many pages went.
    pub(crate) fn note_evicted(&mut self, pages: Pages, written: &[Range<u64>]) -> u64 {
        let stayed: u64 = written.iter().map(|run| run.end - run.start).sum();
        let gone = pages.count.saturating_sub(stayed);
        self.room.left_behind(pages.count, gone);
        let mut first = pages.first;
        for run in written {
            self.publish(pages.vmo, first..run.start, PageState::Absent);
            first = run.end;
        }
        self.publish(pages.vmo, first..pages.range().end, PageState::Absent);
        self.note_written(pages.vmo, written);
        gone
    }

    /// Drops pages of one state that a pager can supply again, or of zeros that were only read. What is written to on the way stays, and
    /// is dirty.
    pub(crate) fn drop_unwritten(&mut self, token: Token, id: VmoId, run: Range<u64>) {
        let noted = |vmo: &Vmo| vmo.storage_writes() == Writes::Noted;
        if !self.vmos.get(&id).is_some_and(noted) {
            return self.drop_run(Some(token), id, run);
        }
        let pages = Pages {
            vmo: id,
            first: run.start,
            count: run.end - run.start,
        };
        self.room.leave(pages.count);
        let evict = MemoryOp::Evict(pages);
        self.emit_to_be(Some(token), evict, Some(PageState::Absent));
    }

    /// Drops from the queue what is not there any more, or is in it twice.
    fn sift(&mut self) {
        let mut old = std::mem::take(&mut self.candidates);
        let mut kept = Candidates::default();
        while let Some(run) = old.pop(u64::MAX) {
            let Some(vmo) = self.vmos.get_mut(&run.vmo) else {
                continue;
            };
            for page in run.range() {
                if vmo.pages.mark(page, Mark::Queued, false) && can_go(vmo, page) {
                    kept.push_back(run.vmo, page);
                }
            }
        }
        while let Some(run) = kept.pop(u64::MAX) {
            if let Some(vmo) = self.vmos.get_mut(&run.vmo) {
                for page in run.range() {
                    vmo.pages.mark(page, Mark::Queued, true);
                    self.candidates.push_back(run.vmo, page);
                }
            }
        }
    }
}
