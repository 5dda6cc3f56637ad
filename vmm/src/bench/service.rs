//! Figure 5: a pager's service inside the guest, on the client's vCPU and on one of its own.

use std::io;

use super::figures::{Figure, Ground, Statistic, args};
use super::floor::{Floor, Window};
use super::side::{self, Observation, Ours, Work};

/// Pages touched, as a share of the sample file's.
const SHARE: u64 = 8;

impl Ground {
    /// Faults that a thread of the guest answers, beside a hand-written guest that does no more than this takes.
    pub(super) fn services(&self) -> [Figure<'_>; 2] {
        [("same vCPU", 1), ("other vCPU", 2)].map(|(place, cpus)| {
            let count = self.pages / SHARE;
            let ours = Ours {
                cpus,
                ..self.calls(args(["service"], [count], 0))
            };
            Figure {
                number: 5,
                name: format!("PagerServiceInGuest/{place}"),
                rows: vec![(Statistic::P50, Some(1.25)), (Statistic::P99, None)],
                floor: Some(Box::new(move || floor(cpus, count, self.nanoseconds))),
                ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
            }
        })
    }
}

/// The floor's service moves each page out of memory of its own, as `zx_pager_supply_pages` does.
fn floor(cpus: u32, count: u64, nanoseconds: f64) -> io::Result<Observation> {
    let aux = Window::new(count, false)?;
    aux.fill();
    let supply = |window: &Window, number| {
        window.supply(number, 1, aux.page(number))?;
        aux.drop_pages(number, 1)
    };
    let pages: Vec<u64> = (0..count).collect();
    let cycles = Floor::new(cpus.into(), count, true)?.serve(&pages, &supply)?;
    let work = Work {
        pages: count,
        faults: count,
        exits: 3 * count,
    };
    Ok(side::observed(&[cycles], nanoseconds, work))
}
