//! The pages that could be given back, as runs in the order in which they came.
//!
//! The queue holds numbers of pages, nothing about them. A page that is there and queued has the mark [`crate::pages::Mark::Queued`];
//! what lost the mark, or cannot go any more, is dropped when its turn comes.

use std::collections::VecDeque;

use crate::ids::VmoId;
use crate::memory::Pages;

/// The queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    runs: VecDeque<Pages>,
    /// Pages of all runs.
    pages: u64,
}

impl Candidates {
    /// Pages in the queue, some of them perhaps more than once.
    pub fn len(&self) -> u64 {
        self.pages
    }

    /// A page comes last.
    pub fn push_back(&mut self, vmo: VmoId, page: u64) {
        self.pages += 1;
        match self.runs.back_mut() {
            Some(run) if run.vmo == vmo && run.range().end == page => run.count += 1,
            _ => self.runs.push_back(Pages {
                vmo,
                first: page,
                count: 1,
            }),
        }
    }

    /// Pages come first.
    pub fn push_front(&mut self, run: Pages) {
        self.pages += run.count;
        self.runs.push_front(run);
    }

    /// Takes up to `limit` neighbouring pages from the front.
    pub fn pop(&mut self, limit: u64) -> Option<Pages> {
        let run = self.runs.front_mut()?;
        let taken = Pages {
            count: run.count.min(limit),
            ..*run
        };
        run.first += taken.count;
        run.count -= taken.count;
        if run.count == 0 {
            self.runs.pop_front();
        }
        self.pages -= taken.count;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_run_and_come_out_in_order() {
        let mut queue = Candidates::default();
        for page in [4, 5, 6, 9] {
            queue.push_back(VmoId(1), page);
        }
        queue.push_back(VmoId(2), 10);
        queue.push_front(Pages {
            vmo: VmoId(3),
            first: 0,
            count: 2,
        });
        assert_eq!(queue.len(), 7);
        let mut out = Vec::new();
        while let Some(run) = queue.pop(2) {
            out.push((run.vmo.0, run.range()));
        }
        assert_eq!(
            out,
            [(3, 0..2), (1, 4..6), (1, 6..7), (1, 9..10), (2, 10..11)]
        );
        assert_eq!(queue.len(), 0);
    }
}
