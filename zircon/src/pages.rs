//! The state of every page of a VMO: one byte a page and four marks of one bit, in leaves of 512 pages that exist where something was
//! touched.

use std::collections::BTreeMap;
use std::ops::Range;

const LEAF_PAGES: u64 = 512;

/// Pages that [`PageMap::runs_of`] looks at together.
const BLOCK: usize = 16;

/// Most pages of storage that [`PageMap::run_length`] looks at.
const MAX_RUN: u64 = 512;

/// What a page slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum PageState {
    /// Nothing: an access asks the provider (zeros for an anonymous VMO, the pager for a pager-owned one).
    #[default]
    Absent,
    /// Known to be zero, without a page of storage. Kept beside the map ([`crate::zero_slots`]), never in it.
    Zero,
    /// A page of storage, as the provider supplied it, or with what it has been given back.
    Clean,
    /// A page of storage that was written to; a clone's own page.
    Dirty,
    /// A page of storage whose writeback has begun and that was not written to since.
    Awaiting,
    /// A page of storage that came with the frozen VMO that this one merged with, and still lies there: the first write copies it.
    Inherited,
    /// A write-protected page of zeros that a mapping reads. The slot counts as if it were not there: absent, or zero.
    Blank,
}

impl PageState {
    /// Whether there is a page of storage that counts as the VMO's.
    pub fn is_committed(self) -> bool {
        matches!(
            self,
            PageState::Clean | PageState::Dirty | PageState::Awaiting | PageState::Inherited
        )
    }

    /// Whether there is a page of storage.
    pub fn is_resident(self) -> bool {
        self.is_committed() || self == PageState::Blank
    }
}

/// What reclaim remembers of a page while it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// It is among the candidates.
    Queued,
    /// Somebody met it: what it came for.
    Met,
    /// Somebody met it again since its last turn.
    Again,
    /// It was hinted to be needed always.
    Needed,
}

/// One bit a page.
type Bits = [u64; (LEAF_PAGES / 64) as usize];

#[derive(Clone, Debug)]
struct Leaf {
    /// Apart: the nodes of the tree, which are half empty as a rule, are small then.
    pages: Box<LeafPages>,
    used: u16,
    committed: u16,
}

#[derive(Clone, Debug)]
struct LeafPages {
    states: [PageState; LEAF_PAGES as usize],
    marks: [Bits; 4],
}

impl Leaf {
    /// The word that holds a mark of a page, and the page's bit in it.
    fn word(&mut self, page: u64, mark: Mark) -> Option<(&mut u64, u64)> {
        let at = page % LEAF_PAGES;
        let word = self
            .pages
            .marks
            .get_mut(mark as usize)?
            .get_mut((at / 64) as usize)?;
        Some((word, 1 << (at % 64)))
    }

    /// Sets or clears a mark; says what it was.
    fn mark(&mut self, page: u64, mark: Mark, on: bool) -> bool {
        let Some((word, bit)) = self.word(page, mark) else {
            return false;
        };
        let was = *word & bit != 0;
        *word = if on { *word | bit } else { *word & !bit };
        was
    }
}

/// Page states of one VMO.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageMap {
    leaves: BTreeMap<u64, Leaf>,
    resident: u64,
}

impl PageMap {
    /// State of `page`.
    pub fn get(&self, page: u64) -> PageState {
        let leaf = self.leaves.get(&(page / LEAF_PAGES));
        leaf.and_then(|leaf| leaf.pages.states.get((page % LEAF_PAGES) as usize))
            .copied()
            .unwrap_or_default()
    }

    /// Pages of `range` that are storage and count as the VMO's; leaves that lie wholly in it are not looked into.
    pub fn committed_in(&self, range: Range<u64>) -> u64 {
        let count = |(first, states): (u64, &[PageState])| {
            if states.len() as u64 == LEAF_PAGES {
                let leaf = self.leaves.get(&(first / LEAF_PAGES));
                return leaf.map_or(0, |leaf| leaf.committed.into());
            }
            states.iter().filter(|state| state.is_committed()).count() as u64
        };
        self.parts(range).map(count).sum()
    }

    /// Pages of storage.
    pub fn resident(&self) -> u64 {
        self.resident
    }

    /// Sets all pages of `range`; proportional to the range, or to the leaves there when `state` is `Absent`.
    pub fn set(&mut self, range: Range<u64>, state: PageState) {
        let mut at = range.start;
        while at < range.end {
            let mut index = at / LEAF_PAGES;
            if state == PageState::Absent {
                match self.leaves.range(index..).next() {
                    Some((&there, _)) if there * LEAF_PAGES < range.end => index = there,
                    _ => return,
                }
            }
            let start = index * LEAF_PAGES;
            let end = range.end.min(start.saturating_add(LEAF_PAGES));
            self.set_in(index, at.max(start)..end, state);
            at = end;
        }
    }

    /// Gives the pages of storage in `range` new states.
    pub fn change(&mut self, range: Range<u64>, change: impl Fn(PageState) -> PageState) {
        for page in self.occupied(range) {
            let old = self.get(page);
            let new = change(old);
            if new != old {
                self.set_in(page / LEAF_PAGES, page..page + 1, new);
            }
        }
    }

    /// Sets pages that lie in one leaf.
    fn set_in(&mut self, index: u64, pages: Range<u64>, state: PageState) {
        let leaf = self.leaves.entry(index).or_insert_with(|| Leaf {
            pages: Box::new(LeafPages {
                states: [PageState::Absent; LEAF_PAGES as usize],
                marks: [Bits::default(); 4],
            }),
            used: 0,
            committed: 0,
        });
        let first = (pages.start % LEAF_PAGES) as usize;
        let states = leaf.pages.states.iter_mut().skip(first);
        for slot in states.take((pages.end - pages.start) as usize) {
            let old = std::mem::replace(slot, state);
            leaf.used += u16::from(state != PageState::Absent);
            leaf.used -= u16::from(old != PageState::Absent);
            leaf.committed += u16::from(state.is_committed());
            leaf.committed -= u16::from(old.is_committed());
            self.resident += u64::from(state.is_resident());
            self.resident -= u64::from(old.is_resident());
        }
        if state == PageState::Absent {
            for page in pages {
                for mark in [Mark::Queued, Mark::Met, Mark::Again, Mark::Needed] {
                    leaf.mark(page, mark, false);
                }
            }
        }
        if leaf.used == 0 {
            self.leaves.remove(&index);
        }
    }

    /// Sets or clears a mark of a page that is there; says what it was.
    pub fn mark(&mut self, page: u64, mark: Mark, on: bool) -> bool {
        let leaf = self.leaves.get_mut(&(page / LEAF_PAGES));
        leaf.is_some_and(|leaf| leaf.mark(page, mark, on))
    }

    /// Whether a page has a mark.
    pub fn has(&self, page: u64, mark: Mark) -> bool {
        let at = page % LEAF_PAGES;
        let leaf = self.leaves.get(&(page / LEAF_PAGES));
        let bits = leaf.and_then(|leaf| leaf.pages.marks.get(mark as usize));
        let word = bits.and_then(|bits| bits.get((at / 64) as usize));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// An operation or a fault meets these pages.
    pub fn meet(&mut self, pages: Range<u64>) {
        for page in pages {
            if self.mark(page, Mark::Met, true) {
                self.mark(page, Mark::Again, true);
            }
        }
    }

    /// The states of the pages of `range`, as far as leaves hold them, in order: first page and states of each leaf's part.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &[PageState])> {
        let first = range.start / LEAF_PAGES;
        let leaves = self
            .leaves
            .range(first..range.end.div_ceil(LEAF_PAGES).max(first));
        leaves.filter_map(move |(&index, leaf)| {
            let start = index * LEAF_PAGES;
            let from = range.start.max(start);
            let end = range.end.min(start + LEAF_PAGES);
            let states = leaf
                .pages
                .states
                .get((from - start) as usize..(end - start) as usize)?;
            Some((from, states))
        })
    }

    /// Pages of `range` that are not absent, in order.
    pub fn occupied(&self, range: Range<u64>) -> Vec<u64> {
        let pages = self
            .parts(range)
            .flat_map(|(first, states)| (first..).zip(states));
        pages
            .filter(|(_, state)| **state != PageState::Absent)
            .map(|(page, _)| page)
            .collect()
    }

    /// The runs of pages of `range` whose state is as asked, which absent pages' is not. Fast over pages that are not.
    pub fn runs_of(
        &self,
        range: Range<u64>,
        wanted: impl Fn(PageState) -> bool,
    ) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        for (mut page, mut states) in self.parts(range) {
            // Without a branch a page, so that all pages of a block are looked at at once.
            while let Some((block, rest)) = states.split_first_chunk::<BLOCK>() {
                if block.iter().fold(false, |any, state| any | wanted(*state)) {
                    let pages = (page..).zip(block);
                    found.extend(pages.filter_map(|(page, state)| wanted(*state).then_some(page)));
                }
                (page, states) = (page + BLOCK as u64, rest);
            }
            let pages = (page..).zip(states);
            found.extend(pages.filter_map(|(page, state)| wanted(*state).then_some(page)));
        }
        runs(found)
    }

    /// The runs of pages among `ranges`, which ascend, whose state is as asked. Fast for single pages that are not.
    pub fn runs_among(
        &self,
        ranges: &[Range<u64>],
        wanted: impl Fn(PageState) -> bool,
    ) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        let (mut known, mut leaf) = (u64::MAX, None);
        for range in ranges {
            if range.end - range.start > 1 {
                found.extend(self.runs_of(range.clone(), &wanted).into_iter().flatten());
                continue;
            }
            let index = range.start / LEAF_PAGES;
            if known != index {
                (known, leaf) = (index, self.leaves.get(&index));
            }
            let at = (range.start % LEAF_PAGES) as usize;
            let state = leaf.and_then(|leaf: &Leaf| leaf.pages.states.get(at));
            found.extend(state.filter(|state| wanted(**state)).map(|_| range.start));
        }
        runs(found)
    }

    /// First page of `range` that is not absent.
    pub fn first_occupied(&self, range: Range<u64>) -> Option<u64> {
        self.parts(range).find_map(|(first, states)| {
            let at = states
                .iter()
                .position(|state| *state != PageState::Absent)?;
            Some(first + at as u64)
        })
    }

    /// How many pages from `page` on are in the state that `page` is in, which is not absent: at most `limit`, and not all of a long run,
    /// so that who goes through it piece by piece does not look at the rest each time.
    pub fn run_length(&self, page: u64, limit: u64) -> u64 {
        let state = self.get(page);
        let end = page.saturating_add(limit.min(MAX_RUN));
        let mut next = page;
        for (first, states) in self.parts(page..end) {
            if first != next {
                break;
            }
            let run = states.iter().take_while(|other| **other == state).count();
            next += run as u64;
            if run < states.len() {
                break;
            }
        }
        next - page
    }
}

/// Groups ascending page numbers into maximal runs.
pub(crate) fn runs(pages: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for page in pages {
        match out.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            _ => out.push(page..page + 1),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_go_with_their_page() {
        let mut map = PageMap::default();
        map.mark(7, Mark::Queued, true);
        assert!(!map.has(7, Mark::Queued), "nothing is there");
        map.set(0..600, PageState::Clean);
        assert!(!map.mark(513, Mark::Queued, true), "it was not set");
        map.meet(512..514);
        map.meet(513..515);
        let marks = |map: &PageMap, page| {
            [Mark::Queued, Mark::Met, Mark::Again].map(|mark| map.has(page, mark))
        };
        assert_eq!(marks(&map, 512), [false, true, false]);
        assert_eq!(marks(&map, 513), [true, true, true], "met twice");
        map.set(513..514, PageState::Dirty);
        assert_eq!(marks(&map, 513), [true, true, true]);
        map.set(513..514, PageState::Absent);
        map.set(513..514, PageState::Clean);
        assert_eq!(marks(&map, 513), [false; 3]);
    }

    #[test]
    fn sparse_states_and_counts() {
        let mut map = PageMap::default();
        let far = 1 << 50;
        map.set(510..514, PageState::Clean);
        map.set(far..far + 1, PageState::Dirty);
        assert_eq!(map.committed_in(0..u64::MAX), 5);
        assert_eq!(map.get(513), PageState::Clean);
        assert_eq!(map.get(514), PageState::Absent);
        assert_eq!(map.first_occupied(0..far + 9), Some(510));
        assert_eq!(map.first_occupied(514..far), None);
        assert_eq!(map.occupied(512..u64::MAX), vec![512, 513, far]);
        assert_eq!(
            runs(map.occupied(0..u64::MAX)),
            vec![510..514, far..far + 1]
        );
        let dirty = |state| state == PageState::Dirty;
        assert_eq!(map.runs_of(0..u64::MAX, dirty), runs([far]));
        assert_eq!(map.runs_of(511..513, |_| true), runs(511..513));
        let among = [
            500..501,
            511..512,
            512..513,
            600..far,
            far..far + 1,
            far + 9..far + 10,
        ];
        let there = |state| state != PageState::Absent;
        assert_eq!(map.runs_among(&among, there), runs([511, 512, far]));
        assert_eq!(map.runs_of(0..far, dirty), []);
        assert_eq!(map.run_length(510, 100), 4);
        for (range, committed) in [
            (0..u64::MAX, 5),
            (0..512, 2),
            (511..513, 2),
            (512..far, 2),
            (514..far + 1, 1),
            (600..600, 0),
        ] {
            assert_eq!(map.committed_in(range.clone()), committed, "{range:?}");
        }
        map.set(512..513, PageState::Absent);
        assert_eq!(map.committed_in(512..1024), 1);
        map.set(0..u64::MAX, PageState::Absent);
        assert_eq!(
            (map.committed_in(0..u64::MAX), map.leaves.len()),
            (0, 0),
            "empty leaves are given back"
        );
    }
}
