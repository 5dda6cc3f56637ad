//! Where the pages of one VMO lie.
//!
//! A page is looked for in two places: where the VMO views another store, it is a private page of the VMO's own mapping there, or else
//! the other's; elsewhere it lies in the VMO's store. The windows are mapped accordingly, always.

use std::{ops::Range, sync::Arc};

use zircon::{Intervals, VmoId};

use super::{
    store::Store,
    views::{View, Views},
};

/// Where the pages of one VMO lie.
#[derive(Debug)]
pub(super) struct Layout {
    /// Its own store.
    pub(super) store: Arc<Store>,
    /// What it shows of others.
    pub(super) views: Views,
    /// The pages of its own that lie where it views others. They are in no file.
    pub(super) private: Intervals,
}

impl Layout {
    /// Of a VMO that has nothing, and shows nothing of others.
    pub(super) fn new(vmo: VmoId) -> Layout {
        Layout {
            store: Arc::new(Store::new(vmo)),
            views: Views::default(),
            private: Intervals::default(),
        }
    }

    /// What somebody who shows `pages` of this VMO shows.
    pub(super) fn shown(&self, pages: Range<u64>) -> Vec<(Range<u64>, View)> {
        let runs = self.views.over(pages).into_iter();
        let shown = runs.map(|(run, view)| {
            let view = view.unwrap_or(View {
                store: Arc::clone(&self.store),
                at: run.start,
            });
            (run, view)
        });
        shown.collect()
    }

    /// How many pages are private.
    pub(super) fn private_pages(&self) -> u64 {
        let runs = self.private.within(0..u64::MAX);
        runs.iter().map(|run| run.end - run.start).sum()
    }
}
