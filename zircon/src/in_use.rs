//! Pages that somebody is about to use, and that reclaim leaves alone: without them nobody might ever have all the pages that it needs
//! at once.
//!
//! An operation may need two pages at a time (the two sides of a copy; what a clone shows, and room for a page of its own), an
//! instruction up to six (its own bytes, two operands, each across a page end). Such pages come one after the other. Where memory is
//! short, those that came first could go for those that come last, round and round.
//!
//! So the pages that an operation looks for next are spared, and so are the last pages of a thread whose faults go round: it faulted
//! many times, each time on one of its last few pages. The oldest come first, and only a part of memory is spared, but always what one
//! operation and one instruction need. Whoever is spared goes on, or gets NO_MEMORY if nothing else can go.

use std::collections::{BTreeSet, VecDeque};

use protocol::PAGE_SIZE;

use crate::ids::{ThreadId, VmoId};
use crate::kernel::Kernel;
use crate::look::Seen;
use crate::op::Body;
use crate::range_ops::RangeOp;
use crate::work::Access;

/// Most pages that one instruction needs.
const PAGES: usize = 6;

/// So many faults in a row on a thread's last pages: they go round.
const ROUNDS: u32 = 24;

/// A page, and the VMO that holds it or would.
type Page = (VmoId, u64);

/// The last faults of a thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastFaults {
    pages: VecDeque<Page>,
    /// How many in a row were on one of these pages.
    again: u32,
}

impl LastFaults {
    fn note(&mut self, page: Page) {
        if self.pages.contains(&page) {
            self.again = self.again.saturating_add(1);
            return;
        }
        self.again = 0;
        self.pages.push_back(page);
        if self.pages.len() > PAGES {
            self.pages.pop_front();
        }
    }
}

impl Kernel {
    /// A thread faults at an address.
    pub(crate) fn note_fault(&mut self, thread: ThreadId, address: u64, access: Access) {
        if !self.room.is_limited() {
            return;
        }
        let process = self.threads.get(&thread).map(|thread| thread.process);
        let run = process.and_then(|process| self.user_run(process, address, 1, access).ok());
        let page = run.map(|run| self.holder(run.vmo, run.offset));
        if let (Some(page), Some(thread)) = (page, self.threads.get_mut(&thread)) {
            thread.last_faults.note(page);
        }
    }

    /// The page behind a byte of a VMO (not a slice): its own, or the one that it shows.
    fn holder(&self, vmo: VmoId, offset: u64) -> Page {
        let page = offset / PAGE_SIZE;
        match self.look(vmo, page, 1).0 {
            Seen::Page(owner, page, _) | Seen::Zero(owner, page, _) | Seen::Absent(owner, page) => {
                (owner, page)
            }
            Seen::Nothing => (vmo, page),
        }
    }

    /// The pages that an operation looks for next.
    fn looked_for(&self, body: &Body) -> Vec<Page> {
        let behind = |process, address, access| {
            let run = self.user_run(process, address, 1, access).ok()?;
            Some(self.holder(run.vmo, run.offset))
        };
        match body {
            Body::Fault {
                process,
                address,
                access,
                ..
            } => behind(*process, *address, *access).into_iter().collect(),
            Body::Transfer(transfer) => {
                let (vmo, offset) = self.root(transfer.vmo, transfer.offset);
                let inside = Some(self.holder(vmo, offset));
                let outside = behind(transfer.process, transfer.buffer, Access::Read);
                inside.into_iter().chain(outside).collect()
            }
            Body::CopyIn(copy) => {
                let at = copy.address.saturating_add(copy.bytes.len() as u64);
                behind(copy.process, at, Access::Read).into_iter().collect()
            }
            Body::CopyOut(copy) => {
                let at = copy.writes.first().map(|(address, _)| *address);
                let page = at.and_then(|at| behind(copy.process, at, Access::Write));
                page.into_iter().collect()
            }
            Body::RangeOp(RangeOp::Pages { vmo, offset, .. }) => vec![self.holder(*vmo, *offset)],
            _ => Vec::new(),
        }
    }

    /// The pages to be spared.
    pub(crate) fn in_use(&self) -> BTreeSet<Page> {
        let share = self.room.spared();
        let ops = self.ops.values().flat_map(|op| self.looked_for(&op.body));
        let mut pages = BTreeSet::new();
        take(&mut pages, share.max(2), ops);
        let threads = self.threads.values().map(|thread| &thread.last_faults);
        let threads = threads.filter(|faults| faults.again >= ROUNDS);
        let threads = threads.flat_map(|faults| faults.pages.iter().copied());
        let most = pages.len() + share.max(PAGES);
        take(&mut pages, most, threads);
        pages
    }
}

/// Puts pages into a set until it has so many.
fn take(pages: &mut BTreeSet<Page>, most: usize, from: impl Iterator<Item = Page>) {
    for page in from {
        if pages.len() >= most {
            return;
        }
        pages.insert(page);
    }
}
