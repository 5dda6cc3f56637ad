//! Figure 6: system calls, beside calls that do as much and nothing around it.

use super::figures::{Figure, Ground, Statistic, args};
use super::floor::{Memory, Window, guest};
use super::side::{self, Observation};

/// Bytes that `zx_vmo_read` and `zx_vmo_write` copy.
const COPIED: u64 = 128 << 10;

/// Pages that are mapped and unmapped, as many as in Zircon's `Mmu/MapUnmap`.
const MAPPED: u64 = 256;

impl Ground {
    /// In the order of the table.
    pub(super) fn syscalls(&self) -> Vec<Figure<'_>> {
        let mut figures = vec![self.null()];
        figures.extend([1, 16, 256].map(|pages| self.supply(pages)));
        figures.extend(["Read", "Write"].map(|what| self.copy(what)));
        figures.push(self.map());
        figures
    }

    /// A call that does nothing to speak of, beside a call that does nothing at all.
    fn null(&self) -> Figure<'_> {
        let ours = self.calls(args(["null"], [self.count], 0));
        Figure {
            number: 6,
            name: "Syscall/Null".into(),
            rows: vec![(Statistic::P50, Some(1.2)), (Statistic::P99, None)],
            floor: Some(Box::new(|| self.bare(self.count))),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }

    fn bare(&self, count: u64) -> std::io::Result<Observation> {
        side::calls(guest::call(), count, 1, &|_, _| Ok(()), self.nanoseconds)
    }

    /// `zx_pager_supply_pages`, beside a call that copies as many pages and drops those they came from.
    fn supply(&self, pages: u64) -> Figure<'_> {
        let count = (self.pages / pages).min(self.count / 4);
        let ours = self.calls(args(["supply"], [pages, count], 0));
        let floor = move || {
            let aux = Window::new(pages * count, false)?;
            aux.fill();
            let serve = |window: &Window, number| {
                let first = number * pages;
                window.supply(first, pages, aux.page(first))?;
                aux.drop_pages(first, pages)
            };
            side::calls(
                guest::call(),
                count,
                pages * count,
                &serve,
                self.nanoseconds,
            )
        };
        Figure {
            number: 6,
            name: format!("Pager/Supply/{pages}"),
            rows: vec![(Statistic::P50, Some(1.2))],
            floor: Some(Box::new(floor)),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }

    /// `zx_vmo_read` or `zx_vmo_write`, beside a call in which the host copies as much.
    fn copy(&self, what: &str) -> Figure<'_> {
        let count = self.count / 4;
        let mode = format!("vmo-{}", what.to_lowercase());
        let ours = self.calls(args([&mode], [COPIED, count], 0));
        let floor = move || {
            let (from, to) = (Memory::anonymous(COPIED)?, Memory::anonymous(COPIED)?);
            from.write_bytes(0, &[1; COPIED as usize]);
            let serve = |_: &Window, _| {
                to.copy(&from);
                Ok(())
            };
            side::calls(guest::call(), count, 1, &serve, self.nanoseconds)
        };
        Figure {
            number: 6,
            name: format!("Vmo/{what}/{}KiB", COPIED >> 10),
            rows: vec![(Statistic::P50, None)],
            floor: Some(Box::new(floor)),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }

    /// `zx_vmar_map` of pages that are there, and `zx_vmar_unmap`, beside two calls that do nothing.
    fn map(&self) -> Figure<'_> {
        let count = self.count / 8;
        let ours = self.calls(args(["map"], [MAPPED, count], 0));
        let floor = move || {
            let calls = self.bare(2 * count)?;
            let both = calls.samples.chunks(2).map(|pair| pair.iter().sum());
            Ok(Observation {
                samples: both.collect(),
                work: calls.work,
            })
        };
        Figure {
            number: 6,
            name: format!("Mmu/MapUnmap/{MAPPED} pages, beside two calls"),
            rows: vec![(Statistic::P50, None)],
            floor: Some(Box::new(floor)),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }
}
