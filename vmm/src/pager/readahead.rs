//! Decides how much to supply at a fault. Unless a [`SupplyPolicy`] says otherwise, one page to a random reader, more and more to a
//! sequential one.
//!
//! A reader is sequential when it asks for the page where its last answer ended. Each time it does, its window doubles,
//! up to [`MAX_WINDOW`]. A few readers are told apart, so that two threads that each read in sequence both count as
//! sequential; any other request starts a new reader with one page, in place of the one unheard of for longest.

use std::ops::Range;

/// Most pages supplied ahead at once, in all: 256 KiB.
const MAX_WINDOW: u64 = 64;

/// Readers told apart in one VMO.
const READERS: usize = 4;

/// How much host pagers supply at a fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SupplyPolicy {
    /// What the reader's past suggests.
    #[default]
    Adaptive,
    /// So many pages, from the one asked for on.
    Fixed(u64),
    /// What was asked for.
    None,
}

/// What is known of the readers of one VMO.
#[derive(Debug, Clone, Default)]
pub struct ReadAhead {
    policy: SupplyPolicy,
    /// Least recently heard of first; at most [`READERS`].
    readers: Vec<Reader>,
}

#[derive(Debug, Clone, Copy)]
struct Reader {
    /// The page after its last answer.
    next: u64,
    /// Pages in its last answer.
    window: u64,
}

impl ReadAhead {
    /// No reader yet.
    pub fn new(policy: SupplyPolicy) -> Self {
        ReadAhead {
            policy,
            ..Self::default()
        }
    }

    /// Pages to supply for a request of `request` (pages) in a VMO of `vmo_pages`: they start with the request, cover
    /// it, and end with the VMO at the latest.
    pub fn plan(&mut self, request: Range<u64>, vmo_pages: u64) -> Range<u64> {
        let until = |window: u64| {
            let end = request.start.saturating_add(window);
            end.min(vmo_pages).max(request.end)
        };
        match self.policy {
            SupplyPolicy::Adaptive => {}
            SupplyPolicy::Fixed(pages) => return request.start..until(pages),
            SupplyPolicy::None => return request,
        }
        let asked = request.end.saturating_sub(request.start);
        let known = self
            .readers
            .iter()
            .position(|reader| reader.next == request.start);
        let window = match known {
            Some(place) => self
                .readers
                .remove(place)
                .window
                .saturating_mul(2)
                .min(MAX_WINDOW),
            None => 1,
        };
        let end = until(window);
        if self.readers.len() >= READERS {
            self.readers.remove(0);
        }
        self.readers.push(Reader {
            next: end,
            window: window.max(asked).min(MAX_WINDOW),
        });
        request.start..end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One page asked at `page`; how many are planned.
    fn ask(state: &mut ReadAhead, page: u64) -> u64 {
        let plan = state.plan(page..page + 1, 100_000);
        assert_eq!(plan.start, page);
        plan.end - plan.start
    }

    /// Reads on from `*page`, as a sequential reader would find the next absent page.
    fn read_on(state: &mut ReadAhead, page: &mut u64) -> u64 {
        let count = ask(state, *page);
        *page += count;
        count
    }

    #[test]
    fn sequential_reader_gets_double_up_to_64() {
        let mut state = ReadAhead::default();
        let mut page = 0;
        let windows: Vec<u64> = (0..9).map(|_| read_on(&mut state, &mut page)).collect();
        assert_eq!(windows, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn random_reader_gets_one_page_each() {
        let mut state = ReadAhead::default();
        for step in 0..1000u64 {
            // 7919 is prime to the size: no page follows the one before it.
            assert_eq!(ask(&mut state, (step * 7919) % 100_000), 1);
        }
    }

    #[test]
    fn a_jump_drops_back_to_one_page() {
        let mut state = ReadAhead::default();
        let mut page = 0;
        for _ in 0..7 {
            read_on(&mut state, &mut page);
        }
        page = 50_000;
        let windows: Vec<u64> = (0..3).map(|_| read_on(&mut state, &mut page)).collect();
        assert_eq!(windows, [1, 2, 4]);
    }

    #[test]
    fn two_interleaved_readers_are_both_sequential() {
        let mut state = ReadAhead::default();
        let (mut low, mut high) = (0, 50_000);
        for _ in 0..6 {
            read_on(&mut state, &mut low);
            read_on(&mut state, &mut high);
        }
        assert_eq!(
            (
                read_on(&mut state, &mut low),
                read_on(&mut state, &mut high)
            ),
            (64, 64)
        );
    }

    #[test]
    fn more_readers_than_are_told_apart_get_single_pages() {
        let mut state = ReadAhead::default();
        let mut pages: Vec<u64> = (0..READERS as u64 + 1)
            .map(|reader| reader * 10_000)
            .collect();
        for _ in 0..4 {
            for page in &mut pages {
                assert_eq!(read_on(&mut state, page), 1);
            }
        }
    }

    #[test]
    fn a_long_request_is_covered_and_sets_the_pace() {
        let mut state = ReadAhead::default();
        assert_eq!(state.plan(0..10, 1000), 0..10);
        assert_eq!(state.plan(10..11, 1000), 10..30);
        assert_eq!(state.plan(100..900, 1000), 100..900);
        assert_eq!(state.plan(900..901, 1000), 900..964);
    }

    #[test]
    fn a_fixed_policy_knows_no_readers() {
        let mut fixed = ReadAhead::new(SupplyPolicy::Fixed(4));
        let mut none = ReadAhead::new(SupplyPolicy::None);
        for first in [0, 4, 50, 8] {
            assert_eq!(fixed.plan(first..first + 1, 100), first..first + 4);
            assert_eq!(none.plan(first..first + 1, 100), first..first + 1);
        }
        assert_eq!(fixed.plan(98..99, 100), 98..100, "it ends with the VMO");
        assert_eq!(fixed.plan(0..9, 100), 0..9, "what is asked for is covered");
        assert_eq!(none.plan(0..9, 100), 0..9);
    }

    #[test]
    fn a_plan_ends_with_the_vmo() {
        let mut state = ReadAhead::default();
        assert_eq!(state.plan(0..1, 3), 0..1);
        assert_eq!(state.plan(1..2, 3), 1..3);
    }

    proptest! {
        #[test]
        fn a_plan_covers_the_request_and_little_more(
            requests in prop::collection::vec((0u64..200, 1u64..100), 1..200),
        ) {
            let mut state = ReadAhead::default();
            for (first, count) in requests {
                let request = first..(first + count).min(200);
                let plan = state.plan(request.clone(), 200);
                prop_assert_eq!(plan.start, request.start);
                prop_assert!(plan.end >= request.end && plan.end <= 200);
                prop_assert!(plan.end <= request.end.max(request.start + MAX_WINDOW));
                prop_assert!(state.readers.len() <= READERS);
            }
        }
    }
}
