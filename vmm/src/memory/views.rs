//! What a clone shows of others: ranges of its pages, each with the store where they lie.
//!
//! Views are flat: a clone of a clone names the store that holds the page, not the VMO in between, so a page is found by one look-up
//! however long the chain of clones is.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::store::Store;

/// One view: pages from `at` on in a store.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) store: Arc<Store>,
    /// Page of the store that the first page of the range shows.
    pub(super) at: u64,
}

impl View {
    /// The same, `ahead` pages further.
    pub(super) fn ahead(&self, ahead: u64) -> View {
        View {
            store: Arc::clone(&self.store),
            at: self.at + ahead,
        }
    }
}

/// Disjoint ranges of pages with what they show.
#[derive(Clone, Default, Debug)]
pub(super) struct Views {
    /// By first page: the end, and what the first page shows.
    ranges: BTreeMap<u64, (u64, View)>,
}

/// A run of pages and what it shows, if that is another's.
pub(super) type Shown = (Range<u64>, Option<View>);

impl Views {
    /// Shows `view` from the start of `pages` on, instead of anything else there.
    pub(super) fn insert(&mut self, pages: Range<u64>, view: View) {
        self.cut(pages.clone());
        let mut start = pages.start;
        while start < pages.end {
            let view = view.ahead(start - pages.start);
            // A mapping shows one file.
            let end = pages.end.min(start + (Store::file_end(view.at) - view.at));
            self.ranges.insert(start, (end, view));
            start = end;
        }
    }

    /// Shows nothing in `pages` any more.
    pub(super) fn cut(&mut self, pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        while let Some((&start, &(end, _))) = self
            .ranges
            .range(..pages.end)
            .next_back()
            .filter(|(_, (end, _))| *end > pages.start)
        {
            let Some((_, view)) = self.ranges.remove(&start) else {
                return;
            };
            if end > pages.end {
                let rest = view.ahead(pages.end - start);
                self.ranges.insert(pages.end, (end, rest));
            }
            if start < pages.start {
                self.ranges.insert(start, (pages.start, view));
            }
        }
    }

    /// All of `pages`, in ascending runs without gaps.
    pub(super) fn over(&self, pages: Range<u64>) -> Vec<Shown> {
        let mut runs = Vec::new();
        let mut at = pages.start;
        let before = self.ranges.range(..pages.start).next_back();
        for (&start, (end, view)) in before.into_iter().chain(self.ranges.range(pages.clone())) {
            let (first, last) = (start.max(pages.start), pages.end.min(*end));
            if first >= last {
                continue;
            }
            if at < first {
                runs.push((at..first, None));
            }
            runs.push((first..last, Some(view.ahead(first - start))));
            at = last;
        }
        if at < pages.end {
            runs.push((at..pages.end, None));
        }
        runs
    }

    /// The range that holds `page`.
    pub(super) fn around(&self, page: u64) -> Option<Range<u64>> {
        let (start, (end, _)) = self.ranges.range(..=page).next_back()?;
        (page < *end).then_some(*start..*end)
    }

    /// The stores shown whose VMO is no more.
    pub(super) fn orphans(&self) -> Vec<Arc<Store>> {
        let mut found: Vec<Arc<Store>> = Vec::new();
        for (_, view) in self
            .ranges
            .values()
            .filter(|(_, view)| view.store.is_orphan())
        {
            if !found.iter().any(|store| Arc::ptr_eq(store, &view.store)) {
                found.push(Arc::clone(&view.store));
            }
        }
        found
    }

    /// The pages of `store` that are shown.
    pub(super) fn of(&self, store: &Arc<Store>) -> impl Iterator<Item = Range<u64>> {
        let of_it = |(_, (_, view)): &(&u64, &(u64, View))| Arc::ptr_eq(&view.store, store);
        let ranges = self.ranges.iter().filter(of_it);
        ranges.map(|(start, (end, view))| view.at..view.at + (end - start))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zircon::VmoId;

    use super::*;

    proptest! {
        #[test]
        fn views_are_a_map_from_pages(steps in prop::collection::vec((0..3_usize, 0..40_u64, 0..12_u64, 0..100_u64), 1..40)) {
            let stores = [1, 2].map(|vmo| Arc::new(Store::new(VmoId(vmo))));
            let (mut views, mut model) = (Views::default(), BTreeMap::new());
            for (what, start, length, at) in steps {
                let pages = start..start + length;
                model.retain(|page, _| !pages.contains(page));
                match stores.get(what) {
                    Some(store) if length > 0 => {
                        model.extend(pages.clone().map(|page| (page, (what, at + page - start))));
                        views.insert(pages, View { store: Arc::clone(store), at });
                    }
                    _ => views.cut(pages),
                }
            }
            let mut next = 5;
            for (run, view) in views.over(5..48) {
                prop_assert_eq!(run.start, next);
                next = run.end;
                for page in run.clone() {
                    let shown = view.as_ref().map(|view| {
                        let what = stores.iter().position(|store| Arc::ptr_eq(store, &view.store));
                        (what.unwrap(), view.at + page - run.start)
                    });
                    prop_assert_eq!(shown, model.get(&page).copied());
                }
            }
            prop_assert_eq!(next, 48);
            for (what, store) in stores.iter().enumerate() {
                let mut shown: Vec<u64> = views.of(store).flatten().collect();
                let mut expected: Vec<u64> = model.values().filter(|(of, _)| *of == what).map(|(_, page)| *page).collect();
                shown.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(shown, expected);
            }
        }
    }
}
