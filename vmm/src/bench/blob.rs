//! Of figure 2: the pages of an executable, touched as Fuchsia's `PageInBlobRandom` does.

use std::sync::Arc;

use super::figures::{Figure, Ground, Statistic, args};
use super::order::runs;
use super::side::{Content, Ours, Touches};
use crate::config::SupplyPolicy;
use crate::pager::ImagePager;

/// Pages that the floor supplies at a fault, at most, where zvmm has to guess.
const AT_ONCE: u64 = 64;

impl Ground {
    /// One page at a fault on both sides; and zvmm's read-ahead, which guesses, beside a floor that knows where each run ends.
    pub(super) fn blob(&self) -> [Figure<'_>; 2] {
        let runs = runs(self.pages, 7);
        let of = |name: &str, at_once, policy, target| {
            let touches = Touches::of_runs(&runs, at_once, self.pages);
            let order: Vec<u64> = touches.pages.iter().flatten().copied().collect();
            let bytes: Vec<u8> = order.iter().flat_map(|page| page.to_le_bytes()).collect();
            let list = Arc::new(ImagePager::new("order", bytes));
            let ours = Ours {
                vmos: vec![self.file(), Content::Pager(list)],
                policy,
                ..self.calls(args(["listed"], [order.len() as u64], 2))
            };
            let name = format!("PageInBlobRandom/{name}");
            self.touching(2, name, &[(Statistic::Mean, target)], touches, ours)
        };
        let (one, adaptive) = (SupplyPolicy::Fixed(1), SupplyPolicy::Adaptive);
        [
            of("1", 1, one, Some(1.10)),
            of("adaptive, floor knows the runs", AT_ONCE, adaptive, None),
        ]
    }
}
