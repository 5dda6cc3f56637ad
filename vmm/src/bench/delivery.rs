//! Figure 4: the faults of figures 1 to 3 as queued events, beside the same faults as exits.

use super::figures::{Figure, Ground, Statistic, args};
use super::side::{self, Ours};
use crate::config::{FaultDelivery, SupplyPolicy};

impl Ground {
    /// zvmm is on either side. There is no target: events are there to be compared with.
    pub(super) fn deliveries(&self) -> [Figure<'_>; 4] {
        let of = |name: &str, seed, count, cpus: u32, policy| {
            let files = cpus as usize;
            let ours = Ours {
                cpus,
                policy,
                vmos: (0..files).map(|_| self.file()).collect(),
                ..self.calls(args(["read", seed], [count], files))
            };
            let statistic = match seed {
                "0" => Statistic::Mean,
                _ => Statistic::P50,
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
        [
            of("Random", "7", self.count, 1, SupplyPolicy::Adaptive),
            of("Sequential/1", "0", self.pages, 1, SupplyPolicy::Fixed(1)),
            of("Sequential/16", "0", self.pages, 1, SupplyPolicy::Fixed(16)),
            of("Random/2 vCPUs", "7", self.count, 2, SupplyPolicy::Adaptive),
        ]
    }
}
