//! Decides how much to supply at a fault. Unless a [`SupplyPolicy`] says otherwise, one page to a random reader, more and more to one
//! whose next request can be foretold.
//!
//! A reader goes forward, backward or by strides. Whoever asks for a page is expected to read on, or, if a request came from near there
//! before, to keep that distance. Each time a reader comes where it is expected, its window doubles, up to [`MAX_WINDOW`]; anybody
//! else is a new reader, who gets what was asked for, in place of the one unheard of for longest. A few are told apart.
//!
//! What was supplied to a reader who never came back was in vain. The host tells nothing of accesses, so this is the only sign that there
//! is. It is counted, and no reader of the VMO gets more than half of that window from then on, until some have come back from that
//! several times.

use std::ops::Range;

/// Most pages supplied ahead at once, in all: 256 KiB.
const MAX_WINDOW: u64 = 64;

/// Readers told apart in one VMO.
const READERS: usize = 8;

/// A reader that came back so often from the largest window may have a larger one.
const PROOF: u64 = 4;

/// Longest stride, in pages.
const MAX_STEP: u64 = 1024;

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
#[derive(Debug, Clone)]
pub struct ReadAhead {
    policy: SupplyPolicy,
    /// Least recently heard of first; at most [`READERS`].
    readers: Vec<Reader>,
    /// Largest window for now.
    limit: u64,
}

#[derive(Debug, Clone, Copy)]
struct Reader {
    /// First page of its last request.
    last: u64,
    /// Where it is expected if it reads on.
    on: Option<u64>,
    /// Where it is expected if it keeps its step, and the step.
    step: Option<(u64, i64)>,
    /// Pages in its last answer.
    window: u64,
    /// Those of them that nobody had asked for; 0 where it cannot come back, for the VMO ends there.
    ahead: u64,
    /// How often it came back from a window that could not be larger, since that last grew.
    full: u64,
}

/// How a request came.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Unforeseen; perhaps as far as this from one before.
    New(Option<i64>),
    /// Where the last answer ended, with this window.
    Forward(u64),
    /// By this step, with this window.
    Step(i64, u64),
}

/// What to supply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Pages that begin with those that were asked for.
    pub run: Range<u64>,
    others: Others,
    /// Pages supplied before that turned out to be in vain.
    pub in_vain: u64,
}

/// Runs of pages, all of one length and one step apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Others {
    first: u64,
    step: i64,
    count: u64,
    length: u64,
}

impl Plan {
    fn of(run: Range<u64>) -> Plan {
        Plan {
            run,
            others: Others::default(),
            in_vain: 0,
        }
    }

    /// Further runs, in the order in which they will be asked for.
    pub fn others(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let others = self.others;
        (0..others.count as i64).filter_map(move |number| {
            let first = others.first.checked_add_signed(number * others.step)?;
            Some(first..first + others.length)
        })
    }
}

impl ReadAhead {
    /// No reader yet.
    pub fn new(policy: SupplyPolicy) -> Self {
        ReadAhead {
            policy,
            readers: Vec::with_capacity(READERS),
            limit: MAX_WINDOW,
        }
    }

    /// What to supply for a request of `asked` (pages, at least one) in a VMO of `pages`: not more than `room` pages besides.
    pub fn plan(&mut self, asked: Range<u64>, pages: u64, room: u64) -> Plan {
        let most = asked.end.saturating_add(room).min(pages);
        let forward = |window: u64| {
            let end = asked.start.saturating_add(window).min(most);
            asked.start..end.max(asked.end)
        };
        match self.policy {
            SupplyPolicy::Adaptive => {}
            SupplyPolicy::Fixed(pages) => return Plan::of(forward(pages)),
            SupplyPolicy::None => return Plan::of(asked),
        }
        let length = asked.end.saturating_sub(asked.start).max(1);
        let (way, full, in_vain) = self.come(asked.start);
        let mut reader = Reader {
            last: asked.start,
            on: None,
            step: None,
            window: length.min(MAX_WINDOW),
            ahead: 0,
            full,
        };
        let mut plan = Plan::of(asked.clone());
        match way {
            Way::New(near) => {
                reader.on = Some(asked.end);
                let next = |step| Some((asked.start.checked_add_signed(step)?, step));
                reader.step = near.and_then(next);
            }
            Way::Forward(window) => {
                plan.run = forward(window);
                reader.on = Some(plan.run.end);
                reader.window = reader.window.max(window);
                reader.ahead = plan.run.end - asked.end;
            }
            Way::Step(step, window) => {
                plan.others = others(&asked, step, (window - 1).min(room), pages);
                let requests = plan.others.count * plan.others.length / length;
                let next = step * (requests as i64 + 1);
                reader.step = asked
                    .start
                    .checked_add_signed(next)
                    .map(|next| (next, step));
                reader.window = reader.window.max(window);
                reader.ahead = plan.others.count * plan.others.length;
            }
        }
        let ends = |next: u64| next >= pages;
        let next = reader.on.or(reader.step.map(|(next, _)| next));
        if next.is_none_or(ends) {
            reader.ahead = 0;
        }
        self.readers.push(reader);
        Plan { in_vain, ..plan }
    }

    /// How a request comes, how often its reader came back from the largest window, and how many pages are known to have been in vain now.
    fn come(&mut self, start: u64) -> (Way, u64, u64) {
        let expected = |reader: &Reader| {
            let by_step = reader.step.filter(|(next, _)| *next == start);
            match reader.on == Some(start) {
                true => Some(None),
                false => by_step.map(|(_, step)| Some(step)),
            }
        };
        let mut readers = self.readers.iter().enumerate();
        if let Some((at, step)) = readers.find_map(|(at, reader)| Some((at, expected(reader)?))) {
            let reader = self.readers.remove(at);
            let mut full = reader.full + u64::from(reader.window >= self.limit);
            if full == PROOF {
                (self.limit, full) = ((self.limit * 2).min(MAX_WINDOW), 0);
            }
            let window = (reader.window * 2).min(self.limit);
            let way = step.map_or(Way::Forward(window), |step| Way::Step(step, window));
            return (way, full, 0);
        }
        let distances = self.readers.iter().rev();
        let mut distances = distances.map(|reader| start.wrapping_sub(reader.last) as i64);
        let near = distances.find(|step| (1..=MAX_STEP).contains(&step.unsigned_abs()));
        let mut in_vain = 0;
        if self.readers.len() >= READERS {
            let oldest = self.readers.remove(0);
            in_vain = oldest.ahead;
            if in_vain > 0 {
                self.limit = self.limit.min(oldest.window / 2).max(1);
            }
        }
        (Way::New(near), 0, in_vain)
    }

    /// Pages supplied ahead whose readers have not come back so far.
    pub fn unproven(&self) -> u64 {
        self.readers.iter().map(|reader| reader.ahead).sum()
    }
}

/// The requests that follow one by `step`, of `most` pages in all and within the VMO; one run if they touch.
fn others(asked: &Range<u64>, step: i64, most: u64, pages: u64) -> Others {
    let length = asked.end - asked.start;
    let left = match step > 0 {
        true => pages.saturating_sub(asked.end),
        false => asked.start,
    };
    let count = (most / length).min(left / step.unsigned_abs());
    if step == -(length as i64) {
        return Others {
            first: asked.start - count * length,
            step: 0,
            count: count.min(1),
            length: count * length,
        };
    }
    Others {
        first: asked.start.saturating_add_signed(step),
        step,
        count,
        length,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGES: u64 = 100_000;

    fn adaptive() -> ReadAhead {
        ReadAhead::new(SupplyPolicy::Adaptive)
    }

    /// One page asked at `page`; how many are planned.
    fn ask(state: &mut ReadAhead, page: u64) -> u64 {
        let plan = state.plan(page..page + 1, PAGES, PAGES);
        assert_eq!(plan.run.start, page);
        let others = plan.others().map(|run| run.end - run.start);
        plan.run.end - page + others.sum::<u64>()
    }

    /// Reads on from `*page`, as a sequential reader would find the next absent page.
    fn read_on(state: &mut ReadAhead, page: &mut u64) -> u64 {
        let count = ask(state, *page);
        *page += count;
        count
    }

    /// What a reader of these pages is supplied at each fault.
    fn windows(state: &mut ReadAhead, pages: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut there = std::collections::BTreeSet::new();
        let mut windows = Vec::new();
        for page in pages {
            if there.contains(&page) {
                continue;
            }
            let plan = state.plan(page..page + 1, PAGES, PAGES);
            let before = there.len();
            let runs = std::iter::once(plan.run.clone()).chain(plan.others());
            runs.for_each(|run| there.extend(run));
            windows.push((there.len() - before) as u64);
        }
        windows
    }

    #[test]
    fn sequential_reader_gets_double_up_to_64() {
        let mut state = adaptive();
        let mut page = 0;
        let windows: Vec<u64> = (0..9).map(|_| read_on(&mut state, &mut page)).collect();
        assert_eq!(windows, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn readers_that_go_backward_or_by_strides_get_as_much() {
        let expected = [1, 1, 2, 4, 8, 16, 32, 64, 64];
        let nine = |windows: Vec<u64>| windows.into_iter().take(9).collect::<Vec<_>>();
        let backward = windows(&mut adaptive(), (0..400).map(|step| 5000 - step));
        assert_eq!(nine(backward), expected);
        for stride in [2, 3, 17, 64, 200, MAX_STEP as i64] {
            for way in [stride, -stride] {
                let first = if way > 0 { 0 } else { 95_000 };
                let pages = (0..90).map(|step| (first + step * way) as u64);
                let got = nine(windows(&mut adaptive(), pages));
                assert_eq!(got[..7], expected[..7], "{way}");
            }
        }
        let far = (0..50).map(|step| step * (MAX_STEP + 1));
        assert_eq!(windows(&mut adaptive(), far), [1; 50]);
    }

    #[test]
    fn random_reader_gets_one_page_each() {
        let mut state = adaptive();
        for step in 0..1000u64 {
            // 7919 is prime to the size: no page follows the one before it.
            assert_eq!(ask(&mut state, (step * 7919) % PAGES), 1);
        }
        assert_eq!(state.unproven(), 0);
    }

    #[test]
    fn a_jump_drops_back_to_one_page() {
        let mut state = adaptive();
        let mut page = 0;
        for _ in 0..7 {
            read_on(&mut state, &mut page);
        }
        page = 50_000;
        let windows: Vec<u64> = (0..3).map(|_| read_on(&mut state, &mut page)).collect();
        assert_eq!(windows, [1, 2, 4]);
    }

    #[test]
    fn what_is_in_vain_is_counted_and_makes_windows_smaller() {
        let mut state = adaptive();
        let mut page = 0;
        for _ in 0..7 {
            read_on(&mut state, &mut page);
        }
        assert_eq!(state.unproven(), 63);
        // Readers elsewhere push it out.
        let far = |number: u64| (number + 1) * 5000;
        let mut in_vain = 0;
        for number in 0..READERS as u64 {
            in_vain += state
                .plan(far(number)..far(number) + 1, PAGES, PAGES)
                .in_vain;
        }
        assert_eq!((in_vain, state.unproven()), (63, 0));
        // Half of the largest window, until some have come back from that.
        let mut page = far(3) + 1;
        let windows: Vec<u64> = (0..10).map(|_| read_on(&mut state, &mut page)).collect();
        assert_eq!(windows, [2, 4, 8, 16, 32, 32, 32, 32, 64, 64]);
    }

    /// Records of four pages: what came ahead of one is mostly in vain, and little does soon.
    #[test]
    fn short_records_get_little_ahead() {
        let mut state = adaptive();
        let records = (0..200).map(|record: u64| record * 7919 % PAGES);
        let read: Vec<u64> = records.flat_map(|first| first..first + 4).collect();
        let there: u64 = windows(&mut state, read).iter().sum();
        assert!(there < 800 + 100, "{there} pages for 800 that were read");
        // Whoever reads on after that gets as much as ever.
        let mut page = 90_000;
        let last = (0..40).map(|_| read_on(&mut state, &mut page)).last();
        assert_eq!(last, Some(MAX_WINDOW));
    }

    #[test]
    fn a_reader_that_came_to_the_end_wants_no_more() {
        let mut state = adaptive();
        assert_eq!(state.plan(0..1, 3, 9).run, 0..1);
        assert_eq!(state.plan(1..2, 3, 9).run, 1..3);
        assert_eq!(state.unproven(), 0);
        let mut state = adaptive();
        let windows = windows(&mut state, (0..6).rev());
        assert_eq!(windows, [1, 1, 2, 2]);
        assert_eq!(state.unproven(), 0);
    }

    #[test]
    fn two_interleaved_readers_are_both_sequential() {
        // Far apart, and near enough to be taken for one that strides.
        for distance in [50_000, 700] {
            let mut state = adaptive();
            let (mut low, mut high) = (0, distance);
            for _ in 0..6 {
                read_on(&mut state, &mut low);
                read_on(&mut state, &mut high);
            }
            let next = [&mut low, &mut high].map(|page| read_on(&mut state, page));
            assert_eq!(next, [64, 64]);
        }
    }

    #[test]
    fn more_readers_than_are_told_apart_get_single_pages() {
        let mut state = adaptive();
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
        let mut state = adaptive();
        let mut plan = |asked| state.plan(asked, 1000, 1000).run;
        assert_eq!(plan(0..10), 0..10);
        assert_eq!(plan(10..11), 10..30);
        assert_eq!(plan(100..900), 100..900);
        assert_eq!(plan(900..901), 900..964);
    }

    #[test]
    fn a_fixed_policy_knows_no_readers() {
        let run = |policy, asked: Range<u64>| {
            let plan = ReadAhead::new(policy).plan(asked, 100, 100);
            assert_eq!(plan.others().count(), 0);
            plan.run
        };
        let (fixed, none) = (SupplyPolicy::Fixed(4), SupplyPolicy::None);
        for first in [0, 4, 50, 8] {
            assert_eq!(run(fixed, first..first + 1), first..first + 4);
            assert_eq!(run(none, first..first + 1), first..first + 1);
        }
        assert_eq!(run(fixed, 98..99), 98..100, "it ends with the VMO");
        assert_eq!(run(fixed, 0..9), 0..9, "what is asked for is covered");
        assert_eq!(run(none, 0..9), 0..9);
    }

    #[test]
    fn there_may_be_no_room() {
        for step in [1i64, -1, 5] {
            let mut state = adaptive();
            for number in 0..20 {
                let page = (5000 + number * step) as u64;
                let plan = state.plan(page..page + 1, PAGES, 0);
                assert_eq!((plan.run.end, plan.others().count()), (page + 1, 0));
            }
        }
    }

    proptest! {
        #[test]
        fn a_plan_covers_the_request_and_little_more(
            requests in prop::collection::vec((0u64..200, 1u64..100), 1..200),
            room in 0u64..100,
        ) {
            let mut state = adaptive();
            let (mut ahead, mut in_vain) = (0, 0);
            for (first, count) in requests {
                let asked = first..(first + count).min(200);
                let plan = state.plan(asked.clone(), 200, room);
                prop_assert_eq!(plan.run.start, asked.start);
                prop_assert!(plan.run.end >= asked.end && plan.run.end <= 200);
                let others: Vec<_> = plan.others().collect();
                prop_assert!(others.iter().all(|run| run.start < run.end && run.end <= 200));
                let besides = plan.run.end - asked.end
                    + others.iter().map(|run| run.end - run.start).sum::<u64>();
                prop_assert!(besides <= room.min(MAX_WINDOW));
                prop_assert!(state.readers.len() <= READERS);
                prop_assert!((1..=MAX_WINDOW).contains(&state.limit));
                ahead += besides;
                in_vain += plan.in_vain;
                prop_assert!(in_vain + state.unproven() <= ahead);
            }
        }
    }
}
