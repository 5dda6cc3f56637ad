//! Others need pages when none are left: what the core gives back, and what the model permits to go.
//!
//! Which pages go is the core's choice; the model says which may, and takes over what went.

use protocol::options::VmoOp;
use protocol::{PAGE_SIZE, Status};

use super::player::{PLENTY, Player};
use crate::model::{Op, Slot};

impl Player {
    /// Somebody takes so many pages, of which none are left; then there is plenty again.
    pub fn squeeze(&mut self, pages: u64) {
        // What a touch that waits has seen of zeros may go.
        let mut waits = self.model.waits.iter().flatten();
        if waits.any(|op| matches!(op, Op::Touch { .. })) {
            return;
        }
        let all = 0..self.handles.len();
        let held: Vec<u64> = all
            .map(|vmo| self.m.memory.resident(self.koids[vmo]))
            .collect();
        let before = self.m.kernel.reclaimed();
        let (taken, _) = self.m.kernel.resident_pages();
        self.m.limit(taken);
        let length = pages * PAGE_SIZE;
        let committed = self.m.vmo_op_range(self.taker, VmoOp::Commit, 0, length);
        self.m.limit(PLENTY);
        let given_back = self.m.vmo_op_range(self.taker, VmoOp::Decommit, 0, length);
        assert_eq!(given_back, Ok(()));

        let after = self.m.kernel.reclaimed();
        let evicted = after.evicted - before.evicted;
        let short = committed.is_err();
        assert!(
            !short || committed == Err(Status::NO_MEMORY),
            "{committed:?}"
        );
        let gone = self.adopt_discarded(&held, short || evicted > 0);
        assert_eq!(after.discarded_vmos - before.discarded_vmos, gone);
        assert!(self.adopt_evicted() <= evicted);
        (0..self.handles.len()).for_each(|vmo| self.compare_bytes(vmo));
        self.played += 1;
    }

    /// Unlocked VMOs are discarded as a whole, the one unlocked longest ago first, and all of them before anything else goes. Says how
    /// many were. `held`: pages that each VMO had.
    fn adopt_discarded(&mut self, held: &[u64], all: bool) -> u64 {
        let mut unlocked = self.model.unlocked();
        unlocked.retain(|vmo| held[*vmo] > 0);
        let stays = |vmo: &&usize| self.m.memory.resident(self.koids[**vmo]) > 0;
        let first = unlocked.iter().position(|vmo| stays(&vmo));
        let (gone, stay) = unlocked.split_at(first.unwrap_or(unlocked.len()));
        for vmo in stay {
            let there = self.m.memory.resident(self.koids[*vmo]);
            assert!(!all && there == held[*vmo], "{there} pages of VMO {vmo}");
        }
        gone.iter().for_each(|vmo| self.model.discard(*vmo));
        gone.len() as u64
    }

    /// Says how many pages of pagers were evicted.
    fn adopt_evicted(&mut self) -> u64 {
        let mut gone = 0;
        for vmo in 0..self.handles.len() {
            for page in 0..self.model.vmos[vmo].slots.len() as u64 {
                let there = self.m.memory.page(self.koids[vmo], page).is_some();
                if !there && self.model.may_be_evicted(vmo, page) {
                    *self.model.slot(vmo, page) = Slot::Absent;
                    gone += 1;
                }
            }
        }
        gone
    }
}
