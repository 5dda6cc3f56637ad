//! In which order pages are touched.

use std::ops::Range;

use fastrand::Rng;

/// How long the runs of an executable's pages are, in pages, and how many of a hundred are so long. Both are those of Fuchsia's storage
/// benchmark `PageInBlobRandom`.
const RUNS: [(u64, usize); 6] = [(1, 25), (3, 15), (15, 40), (40, 10), (60, 6), (80, 4)];

/// 0 to `count`, shuffled; a seed gives one order.
pub fn shuffled(count: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    order
}

/// The runs in which an executable of `pages` pages touches them when it starts, as `PageInBlobRandom` has it: its first three fifths, cut
/// into runs of [`RUNS`], in an order that a seed gives.
pub fn runs(pages: u64, seed: u64) -> Vec<Range<u64>> {
    let of_a_hundred = |(length, share)| std::iter::repeat_n(length, share);
    let lengths: Vec<u64> = RUNS.into_iter().flat_map(of_a_hundred).collect();
    let mut random = Rng::with_seed(seed);
    let (end, mut runs, mut start) = (pages / 5 * 3, Vec::new(), 0);
    while start < end {
        let length = random.choice(&lengths).copied().unwrap_or(1);
        runs.push(start..end.min(start + length));
        start += length;
    }
    random.shuffle(&mut runs);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_page() {
        let mut order = shuffled(1000, 3);
        assert_ne!(order, shuffled(1000, 4));
        assert_eq!(order, shuffled(1000, 3));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..1000));
    }

    #[test]
    fn runs_make_up_three_fifths_of_the_pages_once_each() {
        let mut runs = runs(100_000, 3);
        let last = runs.iter().position(|run| run.end == 60_000).unwrap();
        let cut = runs.swap_remove(last);
        let mut pages: Vec<u64> = runs.iter().cloned().chain([cut]).flatten().collect();
        assert!(!pages.is_sorted());
        pages.sort_unstable();
        assert!(pages.into_iter().eq(0..60_000));
        for (length, share) in RUNS {
            let count = runs.iter().filter(|run| run.end - run.start == length);
            let found = 100.0 * count.count() as f64 / runs.len() as f64;
            let share = share as f64;
            let deviation = (share * (100.0 - share) / runs.len() as f64).sqrt();
            assert!(
                (found - share).abs() < 4.0 * deviation,
                "{length}: {found} %"
            );
        }
        assert_eq!(super::runs(4, 3), []);
        assert_eq!(super::runs(5, 3).into_iter().flatten().count(), 3);
    }
}
