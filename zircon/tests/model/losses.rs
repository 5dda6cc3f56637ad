//! Pages that go: locks of discardable VMOs, and what becomes of pages when others need some.

use protocol::{PAGE_SIZE, Status};

use super::{Dirt, Lock, Model, Slot, Source};

impl Model {
    /// A VMO just made is a discardable one.
    pub fn make_discardable(&mut self, vmo: usize) {
        self.clock += 1;
        self.vmos[vmo].lock = Some(Lock {
            count: 0,
            discarded: false,
            since: self.clock,
        });
    }

    pub fn is_discarded(&self, owner: usize) -> bool {
        self.vmos[owner].lock.is_some_and(|lock| lock.discarded)
    }

    /// LOCK, or TRY_LOCK, of all of a VMO.
    pub fn lock(&mut self, vmo: usize, tried: bool) -> Status {
        let Some(lock) = &mut self.vmos[vmo].lock else {
            return Status::NOT_SUPPORTED;
        };
        if tried && lock.discarded {
            return Status::UNAVAILABLE;
        }
        lock.count += 1;
        lock.discarded = false;
        Status::OK
    }

    /// UNLOCK of all of a VMO.
    pub fn unlock(&mut self, vmo: usize) -> Status {
        let Some(lock) = &mut self.vmos[vmo].lock else {
            return Status::NOT_SUPPORTED;
        };
        if lock.count == 0 {
            return Status::BAD_STATE;
        }
        self.clock += 1;
        lock.count -= 1;
        lock.since = self.clock;
        Status::OK
    }

    /// Discardable VMOs that may be discarded, the one that goes first first.
    pub fn unlocked(&self) -> Vec<usize> {
        let since = |vmo: &usize| self.vmos[*vmo].lock.map(|lock| lock.since);
        let may_go = |vmo: &usize| {
            let unlocked = self.vmos[*vmo].lock.is_some_and(|lock| lock.count == 0);
            unlocked && self.is_needed(*vmo) && !self.is_pinned(*vmo, 0..u64::MAX)
        };
        let mut all: Vec<usize> = (0..self.vmos.len()).filter(may_go).collect();
        all.sort_by_key(since);
        all
    }

    /// A VMO is discarded.
    pub fn discard(&mut self, vmo: usize) {
        self.vmos[vmo].slots.fill(Slot::Absent);
        if let Some(lock) = &mut self.vmos[vmo].lock {
            lock.discarded = true;
        }
    }

    /// Whether a pager can supply a page again, so that it may be evicted.
    pub fn may_be_evicted(&self, vmo: usize, page: u64) -> bool {
        let clean = matches!(
            self.vmos[vmo].slots[page as usize],
            Slot::Page(_, Dirt::Clean)
        );
        let attached = self.source(vmo) == Some(Source::Attached);
        clean && attached && !self.is_pinned(vmo, page..page + 1)
    }

    /// Whether a change of content size meets pinned pages of a pager's VMO, which are zeroed where they are and may have to be made
    /// dirty first.
    pub fn meets_pinned(&self, vmo: usize, size: u64) -> bool {
        let from = self.vmos[self.stream_owner(vmo)].stream.min(size);
        let (owner, first) = self.owner(vmo, from.div_ceil(PAGE_SIZE));
        self.source(owner).is_some() && self.is_pinned(owner, first..u64::MAX)
    }
}
