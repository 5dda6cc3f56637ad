//! A set of page numbers as disjoint, non-adjacent ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// The set. Most have one range, or none, for most of their lives: those need no allocation.
#[derive(Clone, Debug)]
pub struct Intervals {
    ranges: Ranges,
}

#[derive(Clone, Debug)]
enum Ranges {
    /// One, or none if it is empty.
    One(Range<u64>),
    /// Start to end.
    Many(BTreeMap<u64, u64>),
}

impl Ranges {
    /// The last one that begins at `page` or before.
    fn last_until(&self, page: u64) -> Option<Range<u64>> {
        match self {
            Ranges::One(range) => Some(range.clone()).filter(|r| !r.is_empty() && r.start <= page),
            Ranges::Many(ranges) => {
                let (start, end) = ranges.range(..=page).next_back()?;
                Some(*start..*end)
            }
        }
    }

    /// Where the first one begins that does so at `page` or after.
    fn first_from(&self, page: u64) -> Option<u64> {
        match self {
            Ranges::One(range) => (!range.is_empty() && range.start >= page).then_some(range.start),
            Ranges::Many(ranges) => ranges.range(page..).next().map(|(start, _)| *start),
        }
    }

    /// Takes out the one that begins at `start`.
    fn take(&mut self, start: u64) {
        match self {
            Ranges::One(range) => *range = 0..0,
            Ranges::Many(ranges) => {
                ranges.remove(&start);
            }
        }
    }

    /// Puts one in that touches no other.
    fn put(&mut self, new: Range<u64>) {
        match self {
            Ranges::One(range) if range.is_empty() => *range = new,
            Ranges::One(range) => {
                let both = [(range.start, range.end), (new.start, new.end)];
                *self = Ranges::Many(BTreeMap::from(both));
            }
            Ranges::Many(ranges) if ranges.is_empty() => *self = Ranges::One(new),
            Ranges::Many(ranges) => {
                ranges.insert(new.start, new.end);
            }
        }
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals {
            ranges: Ranges::One(0..0),
        }
    }
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
        match &self.ranges {
            Ranges::One(range) => range.is_empty(),
            Ranges::Many(ranges) => ranges.is_empty(),
        }
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        let meets = |other: &Range<u64>, start| other.end >= start;
        while let Some(other) = self.ranges.last_until(end).filter(|r| meets(r, start)) {
            self.ranges.take(other.start);
            start = start.min(other.start);
            end = end.max(other.end);
        }
        self.ranges.put(start..end);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let meets = |other: &Range<u64>| other.end > range.start;
        while let Some(other) = self.ranges.last_until(range.end - 1).filter(meets) {
            self.ranges.take(other.start);
            for part in [other.start..range.start, range.end..other.end] {
                if !part.is_empty() {
                    self.ranges.put(part);
                }
            }
        }
    }

    /// The range that holds `page`.
    pub fn containing(&self, page: u64) -> Option<Range<u64>> {
        self.ranges
            .last_until(page)
            .filter(|range| range.end > page)
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
            None => self.ranges.first_from(page),
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
