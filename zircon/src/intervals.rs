//! A set of page numbers as disjoint, non-adjacent ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges keyed by their start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals {
    ranges: BTreeMap<u64, u64>,
}

impl Intervals {
    /// A set of one range.
    pub fn of(range: Range<u64>) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&s, &e)) = self
            .ranges
            .range(..=end)
            .next_back()
            .filter(|(_, e)| **e >= start)
        {
            self.ranges.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&s, &e)) = self
            .ranges
            .range(..range.end)
            .next_back()
            .filter(|(_, e)| **e > range.start)
        {
            self.ranges.remove(&s);
            if s < range.start {
                self.ranges.insert(s, range.start);
            }
            if e > range.end {
                self.ranges.insert(range.end, e);
            }
        }
    }

    /// The range that holds `page`.
    pub fn containing(&self, page: u64) -> Option<Range<u64>> {
        self.ranges
            .range(..=page)
            .next_back()
            .filter(|(_, e)| **e > page)
            .map(|(s, e)| *s..*e)
    }

    /// The parts of the set within `pages`.
    pub fn within(&self, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let mut at = pages.start;
        while let Some(start) = self.next_in(at).filter(|&start| start < pages.end) {
            at = self
                .containing(start)
                .map_or(pages.end, |range| range.end.min(pages.end));
            parts.push(start..at);
        }
        parts
    }

    /// How many pages of `pages` are in the set.
    pub fn count(&self, pages: Range<u64>) -> u64 {
        let parts = self.within(pages).into_iter();
        parts.map(|part| part.end - part.start).sum()
    }

    /// First page at or after `page` that is in the set.
    pub fn next_in(&self, page: u64) -> Option<u64> {
        match self.containing(page) {
            Some(_) => Some(page),
            None => self.ranges.range(page..).next().map(|(s, _)| *s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 1..60)) {
            let (mut set, mut model) = (Intervals::default(), BTreeSet::new());
            for (add, start, length) in ops {
                let range = start..start + length;
                if add {
                    set.insert(range.clone());
                    model.extend(range);
                } else {
                    set.remove(range.clone());
                    model.retain(|page| !range.contains(page));
                }
                for page in 0..60 {
                    prop_assert_eq!(set.containing(page).is_some(), model.contains(&page));
                    prop_assert_eq!(set.next_in(page), model.range(page..).next().copied());
                }
                prop_assert_eq!(set.is_empty(), model.is_empty());
                let within: Vec<u64> = set.within(5..33).into_iter().flatten().collect();
                prop_assert_eq!(set.count(5..33), within.len() as u64);
                prop_assert_eq!(within, model.range(5..33).copied().collect::<Vec<_>>());
            }
        }
    }
}
