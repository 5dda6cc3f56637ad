//! Figure 4: the faults of figures 1 to 3 as queued events, beside the same faults as exits.

use super::figures::{Figure, Ground, Statistic, args};
use super::side::{self, Ours};
use crate::config::{FaultDelivery, SupplyPolicy};

impl Ground {
    /// zvmm is on either side. There is no target: events are there to be compared with.
    pub(super) fn deliveries(&self) -> [Figure<'_>; 4] {
        // Where not every touch is a fault, only the mean tells.
        let of = |name: &str, seed, count, cpus: u32, policy, statistic| {
            let files = cpus as usize;
            let ours = Ours {
                cpus,
                policy,
                vmos: (0..files).map(|_| self.file()).collect(),
                ..self.calls(args(["read", seed], [count], files))
            };
            let exits = ours.clone();
            Figure {
                number: 4,
                name: format!("Events/{name}, beside exits"),
                rows: vec![(statistic, None)],
                floor: Some(Box::new(move || side::ours(&exits, self.nanoseconds))),
                ours: Box::new(move || {
                    side::delivered(&ours, FaultDelivery::Event, self.nanoseconds)
                }),
            }
        };
        let (count, pages) = (self.count, self.pages);
        let (adaptive, fixed) = (SupplyPolicy::Adaptive, SupplyPolicy::Fixed);
        [
            of("Random", "7", count, 1, adaptive, Statistic::P50),
            of("Sequential/1", "0", pages, 1, fixed(1), Statistic::P50),
            of("Sequential/16", "0", pages, 1, fixed(16), Statistic::Mean),
            of("Random/2 vCPUs", "7", count, 2, adaptive, Statistic::P50),
        ]
    }
}
