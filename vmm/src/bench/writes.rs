//! Figure 9: first writes to pages of a clone, and the scan for pages that were written to.

use std::fs::File;
use std::io;
use std::time::Instant;

use super::figures::{Figure, Ground, Statistic, args};
use super::floor::{Event, Floor, Region, Window, Writes, guest};
use super::order::shuffled;
use super::side::{self, Observation, Work};

/// One page in so many was written to.
const EVERY: u64 = 100;

/// Scans in a run.
const SCANS: u64 = 8;

impl Ground {
    /// The first stores to pages of a snapshot that were read before, at random: an exit, and a copy by the host. The floor only permits
    /// the write.
    pub(super) fn clone_writes(&self) -> Figure<'_> {
        let ours = self.calls(args(["clone-write"], [self.pages, self.count], 0));
        Figure {
            number: 9,
            name: "Vmo/CloneWrite".into(),
            rows: vec![(Statistic::P50, Some(1.2)), (Statistic::Mean, None)],
            floor: Some(Box::new(|| self.floor_clone_writes())),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }

    fn floor_clone_writes(&self) -> io::Result<Observation> {
        let mut order = shuffled(self.pages, 7);
        order.truncate(self.count as usize);
        let window = Window::protected(self.pages, Writes::Copied)?;
        let mut floor = Floor::with_window(1, window)?;
        let unexpected = |_: &Window, _: usize, _: u64, event: Event| {
            Err(io::Error::other(format!("a read makes {event:?}")))
        };
        let pages = [order];
        floor.run(guest::read(), self.count, &pages, &unexpected)?;
        let permit = |window: &Window, _: usize, number: u64, _: Event| {
            let page = pages.iter().flatten().nth(number as usize);
            window.permit(page.copied().unwrap_or_default())
        };
        let cycles = floor.run(guest::write(), self.count, &pages, &permit)?;
        let work = Work {
            pages: self.count,
            faults: self.count,
            exits: self.count,
        };
        Ok(side::observed(&cycles, self.nanoseconds, work))
    }

    /// `zx_pager_query_dirty_ranges` over a gigabyte of which one page in a hundred was written to, beside one `PAGEMAP_SCAN`.
    pub(super) fn write_back_scan(&self) -> Figure<'_> {
        let pages = 16 * self.pages;
        let ours = self.calls(args(["dirty"], [pages, EVERY, SCANS], 0));
        Figure {
            number: 9,
            name: format!("Pager/QueryDirtyRanges/{}MiB, 1 % dirty", pages >> 8),
            rows: vec![(Statistic::P50, Some(1.5))],
            floor: Some(Box::new(move || scans(pages))),
            ours: Box::new(move || {
                let Observation { samples, work } = side::ours(&ours, self.nanoseconds)?;
                let work = Work { pages, ..work };
                Ok(Observation { samples, work })
            }),
        }
    }
}

fn scans(pages: u64) -> io::Result<Observation> {
    let window = Window::protected(pages, Writes::Noted)?;
    window.write_every(EVERY);
    let pagemap = File::open("/proc/self/pagemap")?;
    let written = pages.div_ceil(EVERY) as usize;
    let mut regions = vec![Region::default(); written + 1];
    let samples = (0..SCANS).map(|_| {
        let began = Instant::now();
        let found = window.scan(&pagemap, &mut regions)?;
        let took = began.elapsed().as_nanos() as f64;
        match found == written {
            true => Ok(took),
            false => Err(io::Error::other(format!(
                "{found} runs of pages were written to, not {written}"
            ))),
        }
    });
    let work = Work {
        pages,
        faults: 0,
        exits: 0,
    };
    Ok(Observation {
        samples: samples.collect::<io::Result<_>>()?,
        work,
    })
}
