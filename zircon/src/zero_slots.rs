//! Page slots that are zero without a page of storage, as intervals of one kind.
//!
//! A dirty interval tells how much of it, from its start on, waits for its writeback to end. What is cut out of an interval takes its
//! share of that along; an interval that comes to begin earlier forgets it, for the pager was not told of the pages before.

use std::collections::BTreeMap;
use std::ops::Range;

/// Why a slot is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ZeroKind {
    /// The pager supplied it, or a clone hides what it would show: a marker, clean.
    Marker,
    /// The VMO grew, or was zeroed; the pager does not know yet.
    Dirty {
        /// Pages from the interval's start on whose writeback has begun.
        awaiting: u64,
    },
    /// It lies beyond the content, which the pager does not keep.
    Untracked,
}

impl ZeroKind {
    fn is_like(self, other: ZeroKind) -> bool {
        matches!(
            (self, other),
            (ZeroKind::Marker, ZeroKind::Marker)
                | (ZeroKind::Dirty { .. }, ZeroKind::Dirty { .. })
                | (ZeroKind::Untracked, ZeroKind::Untracked)
        )
    }

    /// What the part of `whole`, an interval of this kind, is of.
    fn of_part(self, whole: &Range<u64>, part: &Range<u64>) -> ZeroKind {
        match self {
            ZeroKind::Dirty { awaiting } => {
                let end = (whole.start + awaiting).min(part.end);
                let awaiting = end.saturating_sub(part.start);
                ZeroKind::Dirty { awaiting }
            }
            kind => kind,
        }
    }
}

/// The zero slots of a VMO.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZeroSlots {
    /// Start to end and kind; neighbours are of different kinds.
    slots: BTreeMap<u64, (u64, ZeroKind)>,
}

impl ZeroSlots {
    /// The interval that holds `page`.
    pub fn containing(&self, page: u64) -> Option<(Range<u64>, ZeroKind)> {
        let (&start, &(end, kind)) = self.slots.range(..=page).next_back()?;
        (page < end).then_some((start..end, kind))
    }

    /// First page at or after `page` that is a zero slot.
    pub fn next_in(&self, page: u64) -> Option<u64> {
        match self.containing(page) {
            Some(_) => Some(page),
            None => self.slots.range(page..).next().map(|(start, _)| *start),
        }
    }

    /// The parts of intervals within `pages`, with their kinds.
    pub fn within(&self, pages: Range<u64>) -> impl Iterator<Item = (Range<u64>, ZeroKind)> {
        let first = self.containing(pages.start).map(|(whole, _)| whole.start);
        let from = first.unwrap_or(pages.start);
        let slots = match pages.is_empty() {
            true => self.slots.range(0..0),
            false => self.slots.range(from..pages.end),
        };
        slots.map(move |(&start, &(end, kind))| {
            let part = start.max(pages.start)..end.min(pages.end);
            (part.clone(), kind.of_part(&(start..end), &part))
        })
    }

    /// Pages are zero slots no longer.
    pub fn remove(&mut self, pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        let before = |slots: &BTreeMap<u64, (u64, ZeroKind)>| {
            let last = slots.range(..pages.end).next_back();
            last.filter(|(_, (end, _))| *end > pages.start)
                .map(|(&start, &(end, kind))| (start..end, kind))
        };
        while let Some((whole, kind)) = before(&self.slots) {
            self.slots.remove(&whole.start);
            for part in [whole.start..pages.start, pages.end..whole.end] {
                if !part.is_empty() {
                    let kind = kind.of_part(&whole, &part);
                    self.slots.insert(part.start, (part.end, kind));
                }
            }
        }
    }

    /// Pages become zero slots of a kind, whatever they were; those that are dirty stay so as they are.
    pub fn insert(&mut self, pages: Range<u64>, kind: ZeroKind) {
        let mut at = pages.start;
        while at < pages.end {
            match self.containing(at) {
                Some((old, old_kind)) if old_kind.is_like(kind) => at = old.end,
                _ => {
                    let next = self
                        .within(at..pages.end)
                        .find(|(_, old)| old.is_like(kind));
                    let part = at..next.map_or(pages.end, |(old, _)| old.start);
                    at = part.end;
                    self.remove(part.clone());
                    self.join(part, kind);
                }
            }
        }
    }

    /// Inserts where nothing is, and joins what lies on both sides.
    fn join(&mut self, pages: Range<u64>, kind: ZeroKind) {
        let (mut start, mut end, mut joined) = (pages.start, pages.end, kind);
        let left = pages
            .start
            .checked_sub(1)
            .and_then(|page| self.containing(page));
        if let Some((old, old_kind)) = left.filter(|(_, old)| old.is_like(kind)) {
            (start, joined) = (old.start, old_kind);
        }
        if let Some((old, _)) = self
            .containing(end)
            .filter(|(_, old_kind)| old_kind.is_like(kind))
        {
            self.slots.remove(&old.start);
            end = old.end;
        }
        self.slots.insert(start, (end, joined));
    }

    /// The writeback of dirty intervals begins as far as they start within `pages`.
    pub fn begin_writeback(&mut self, pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        for (&start, (end, kind)) in self.slots.range_mut(pages.clone()) {
            if let ZeroKind::Dirty { awaiting } = kind {
                *awaiting = (*awaiting).max(pages.end.min(*end) - start);
            }
        }
    }

    /// The first part of a dirty interval whose writeback has begun and ends now: the interval starts within `pages`.
    pub fn written_back(&self, pages: Range<u64>) -> Option<Range<u64>> {
        if pages.is_empty() {
            return None;
        }
        let mut slots = self.slots.range(pages.clone());
        slots.find_map(|(&start, &(_, kind))| match kind {
            ZeroKind::Dirty { awaiting } if awaiting > 0 => {
                Some(start..(start + awaiting).min(pages.end))
            }
            _ => None,
        })
    }

    /// Forgets what the pager supplied.
    pub fn forget_markers(&mut self) {
        self.slots.retain(|_, (_, kind)| *kind != ZeroKind::Marker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW: ZeroKind = ZeroKind::Dirty { awaiting: 0 };

    fn all(slots: &ZeroSlots) -> Vec<(Range<u64>, ZeroKind)> {
        slots.within(0..u64::MAX).collect()
    }

    fn awaiting(slots: &ZeroSlots) -> Vec<(u64, u64, u64)> {
        let dirty = all(slots)
            .into_iter()
            .filter_map(|(range, kind)| match kind {
                ZeroKind::Dirty { awaiting } => Some((range.start, range.end, awaiting)),
                _ => None,
            });
        dirty.collect()
    }

    #[test]
    fn writeback_begins_only_at_the_start() {
        let mut slots = ZeroSlots::default();
        slots.insert(5..10, NEW);
        slots.begin_writeback(5..7);
        slots.begin_writeback(7..10);
        assert_eq!(awaiting(&slots), [(5, 10, 2)], "mid-interval is nothing");
        slots.begin_writeback(0..6);
        assert_eq!(awaiting(&slots), [(5, 10, 2)], "the larger one stays");
        assert_eq!(slots.written_back(5..20), Some(5..7));
        assert_eq!(slots.written_back(6..20), None);
        slots.remove(5..7);
        assert_eq!(awaiting(&slots), [(7, 10, 0)]);
    }

    #[test]
    fn a_cut_takes_its_share_along() {
        let mut slots = ZeroSlots::default();
        slots.insert(0..10, NEW);
        slots.begin_writeback(0..6);
        slots.remove(3..4);
        assert_eq!(awaiting(&slots), [(0, 3, 3), (4, 10, 2)]);
        slots.remove(8..u64::MAX);
        assert_eq!(awaiting(&slots), [(0, 3, 3), (4, 8, 2)]);
    }

    #[test]
    fn an_earlier_start_forgets_and_a_later_end_does_not() {
        let mut slots = ZeroSlots::default();
        slots.insert(5..10, NEW);
        slots.begin_writeback(0..10);
        slots.insert(10..12, NEW);
        assert_eq!(awaiting(&slots), [(5, 12, 5)]);
        slots.insert(4..12, NEW);
        assert_eq!(awaiting(&slots), [(4, 12, 0)]);
    }

    #[test]
    fn kinds_do_not_mix() {
        let mut slots = ZeroSlots::default();
        slots.insert(0..4, ZeroKind::Marker);
        slots.insert(4..8, NEW);
        slots.insert(6..9, ZeroKind::Untracked);
        slots.insert(1..2, NEW);
        assert_eq!(
            all(&slots),
            [
                (0..1, ZeroKind::Marker),
                (1..2, NEW),
                (2..4, ZeroKind::Marker),
                (4..6, NEW),
                (6..9, ZeroKind::Untracked),
            ]
        );
        slots.forget_markers();
        assert_eq!(slots.next_in(2), Some(4));
        assert_eq!(slots.containing(3), None);
    }

    fn kind(number: u8) -> ZeroKind {
        [ZeroKind::Marker, NEW, ZeroKind::Untracked][usize::from(number)]
    }

    proptest! {
        #[test]
        fn behaves_like_an_array(ops in prop::collection::vec((0u8..4, 0u64..40, 0u64..12), 1..60)) {
            let (mut slots, mut model) = (ZeroSlots::default(), vec![None; 60]);
            for (what, start, length) in ops {
                let range = start..start + length;
                let new = (what < 3).then(|| kind(what));
                match new {
                    Some(kind) => slots.insert(range.clone(), kind),
                    None => slots.remove(range.clone()),
                }
                for page in range {
                    model[page as usize] = new;
                }
                for page in 0..60 {
                    let there = slots.containing(page).map(|(_, kind)| kind);
                    prop_assert_eq!(there, model[page as usize]);
                    let next = (page..60).find(|page| model[*page as usize].is_some());
                    prop_assert_eq!(slots.next_in(page), next);
                }
                let parts = all(&slots);
                for pair in parts.windows(2) {
                    prop_assert!(pair[0].0.end < pair[1].0.start || !pair[0].1.is_like(pair[1].1));
                }
                let within = slots.within(5..33).flat_map(|(range, _)| range);
                let model = (5..33).filter(|page: &u64| model[*page as usize].is_some());
                prop_assert_eq!(within.collect::<Vec<_>>(), model.collect::<Vec<_>>());
            }
        }
    }
}
