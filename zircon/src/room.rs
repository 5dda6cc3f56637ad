//! The limit on pages of storage: who takes from it, who gives back, who waits.
//!
//! **A page counts** from before it is installed until after it is dropped: what takes pages calls [`Kernel::reserve`] and only then
//! emits the operation that installs them; what drops pages gives them back when that operation has ended. So the host never holds
//! more pages than are counted, and never more are counted than the limit allows.
//!
//! **At the limit** an operation that needs pages waits, [`Waiting::Room`], while reclaim gives some back (`reclaim.rs`); it gets
//! NO_MEMORY only when nothing can go and nothing is under way that may give pages back.
//!
//! *No lost wake-up*: pages are given back, and candidates become free to go, only in calls into the core, each of which ends with
//! [`Kernel::settle`]. It does not return while somebody waits and pages are left: it wakes the oldest, who takes them. If none are left it
//! starts reclaim; if that finds nothing, and nothing is under way, it wakes the oldest, who gets NO_MEMORY. What is under way is
//! memory operations and reads of the host's, which end without needing pages of the guest's; each end is such a call.
//!
//! *No starvation*: waiters are served in the order of their tokens, the oldest operation first. While an older one waits, nobody takes
//! pages. One that has to come again keeps its token.
//!
//! *No deadlock*: operations that hold pages while they wait for more (a contiguous VMO half made) wait for nobody but memory
//! operations. When all of those have ended and nothing can go, the oldest waiter fails, and what it held serves the others.

use std::collections::BTreeSet;

use protocol::Status;

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::op::Waiting;
use crate::work::Work;

/// Most pages that one reclaim gives back.
const MAX_BATCH: u64 = 64;

/// How the limit stands.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Most pages of storage.
    limit: u64,
    /// Pages that count.
    taken: u64,
    /// Most pages that counted so far.
    peak: u64,
    /// Those of them that are not there yet.
    arriving: u64,
    /// Those that operations under way may give back.
    leaving: u64,
    waiters: BTreeSet<Token>,
    /// The oldest of them, woken because there will be no pages.
    refused: Option<Token>,
}

/// What a reservation gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reserved {
    /// So many pages, at least one.
    Pages(u64),
    /// Nothing yet: the operation is registered with this and has to wait.
    Wait(Waiting),
}

impl Room {
    /// Without a limit.
    pub fn new() -> Self {
        Room {
            limit: u64::MAX,
            taken: 0,
            peak: 0,
            arriving: 0,
            leaving: 0,
            waiters: BTreeSet::new(),
            refused: None,
        }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.limit != u64::MAX
    }

    /// Pages that count.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Pages that can be taken at once.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.taken)
    }

    /// Pages to give back at a time: the price of an eviction is shared by many pages, but not by a large part of all.
    pub fn batch(&self) -> u64 {
        (self.limit / 64).clamp(1, MAX_BATCH)
    }

    /// The share of all pages that may be spared because somebody is about to use them.
    pub fn spared(&self) -> usize {
        usize::try_from(self.limit / 8).unwrap_or(usize::MAX)
    }

    /// Whether pages may be given back without anything else being started.
    pub fn is_moving(&self) -> bool {
        self.arriving > 0 || self.leaving > 0
    }

    /// Takes pages that are to arrive.
    fn take(&mut self, pages: u64) {
        self.taken += pages;
        self.arriving += pages;
        self.peak = self.peak.max(self.taken);
    }

    /// Pages that were taken have arrived.
    pub fn arrived(&mut self, pages: u64) {
        self.arriving -= pages;
    }

    /// Pages that were taken will not arrive.
    pub fn untake(&mut self, pages: u64) {
        self.arriving -= pages;
        self.taken -= pages;
    }

    /// An operation begins that may give pages back.
    pub fn leave(&mut self, pages: u64) {
        self.leaving += pages;
    }

    /// It has ended: so many of them are gone.
    pub fn left_behind(&mut self, pages: u64, gone: u64) {
        self.leaving -= pages;
        self.taken -= gone;
    }

    /// An operation does not wait any more.
    pub fn forget(&mut self, token: Token) {
        self.waiters.remove(&token);
    }
}

impl Kernel {
    /// Limits the pages of storage of all VMOs together. What would take more has to wait until reclaim has made room, and gets
    /// NO_MEMORY if it cannot.
    pub fn limit_memory(&mut self, pages: u64) {
        self.room.limit = pages;
    }

    /// Pages that count now, and the most that did so far: never more than the limit.
    pub fn resident_pages(&self) -> (u64, u64) {
        (self.room.taken, self.room.peak)
    }

    /// Pages that the limit leaves: what is brought in unasked should not be more.
    pub fn room_left(&self) -> u64 {
        self.room.left()
    }

    /// Takes up to `pages` pages out of what the limit leaves, or registers the operation to try again when there are some, or when it is
    /// known that there will be none: then NO_MEMORY.
    pub(crate) fn reserve(&mut self, token: Token, pages: u64) -> Result<Reserved, Status> {
        let older = self
            .room
            .waiters
            .first()
            .is_some_and(|&first| first < token);
        let granted = pages.min(self.room.left());
        if granted > 0 && !older {
            self.room.take(granted);
            return Ok(Reserved::Pages(granted));
        }
        if self
            .room
            .refused
            .take_if(|refused| *refused == token)
            .is_some()
        {
            return Err(Status::NO_MEMORY);
        }
        self.room.waiters.insert(token);
        Ok(Reserved::Wait(Waiting::Room))
    }

    /// Takes up to `pages` pages if they can be had at once, and nobody waits for them.
    pub(crate) fn reserve_spare(&mut self, pages: u64) -> u64 {
        let spare = match self.room.waiters.is_empty() {
            true => pages.min(self.room.left()),
            false => 0,
        };
        self.room.take(spare);
        spare
    }

    /// Whether pages may be given back, now that reclaim was started if need be.
    fn will_move(&mut self) -> bool {
        let reclaimed = self.room.leaving == 0 && self.reclaim();
        reclaimed || self.room.is_moving()
    }

    /// Wakes operations that wait for pages: as many as there are pages, or the oldest if there will be none. Says whether it
    /// woke any.
    pub(crate) fn wake_for_room(&mut self) -> bool {
        // Whoever was refused has looked again, and may not have needed a page any more.
        self.room.refused = None;
        let Some(&oldest) = self.room.waiters.first() else {
            return false;
        };
        let left = self.room.left();
        if left == 0 {
            if self.will_move() {
                return false;
            }
            self.room.refused = Some(oldest);
        }
        let count = usize::try_from(left.max(1)).unwrap_or(usize::MAX);
        let woken: Vec<Token> = self.room.waiters.iter().take(count).copied().collect();
        for &token in &woken {
            self.wake(token);
        }
        true
    }

    /// Gives a VMO's storage back, and the pages in it once it is gone.
    pub(crate) fn free_storage(&mut self, id: VmoId, pages: u64) {
        self.room.leave(pages);
        self.freeing.insert(id, pages);
        self.work.push_back(Work::Free(id));
    }

    /// The VMO's storage is no more: the end of [`Work::Free`].
    pub fn freed(&mut self, now: i64, id: VmoId) {
        self.now = now;
        let pages = self.freeing.remove(&id).unwrap_or(0);
        self.room.left_behind(pages, pages);
        self.settle();
    }
}
