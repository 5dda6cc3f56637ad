//! What does not grow: the cost of a fault with the size of the VMO, and with a second vCPU on the same one.

use std::io;
use std::sync::Arc;

use super::figures::{Figure, Ground, Statistic, args};
use super::order::shuffled;
use super::side::{self, Content, Observation, Ours, Touches};
use crate::config::SupplyPolicy;
use crate::pager::{HostPager, ReadError, Wait};

/// Places in a VMO.
const PLACES: u64 = 64;

/// Bytes that make up a place at most.
const PLACE: u64 = 2 << 20;

const TIB: u64 = 1 << 40;

/// Content that is at hand at once, and takes no memory however large it is.
#[derive(Debug)]
struct Pattern(u64);

impl HostPager for Pattern {
    fn size(&self) -> u64 {
        self.0
    }

    fn read(&self, offset: u64, buffer: &mut [u8], _: Wait) -> Result<(), ReadError> {
        buffer.fill((offset >> 12) as u8);
        Ok(())
    }
}

impl Ground {
    /// The first loads of pages in 64 places of a pager's VMO of a terabyte, beside those of one that is just as large as the places.
    pub(super) fn sparse(&self, each: u64) -> Figure<'_> {
        let of = |size: u64| Ours {
            vmos: vec![Content::Pager(Arc::new(Pattern(size)))],
            policy: SupplyPolicy::Fixed(1),
            ..self.calls(args(["places"], [PLACES, each], 1))
        };
        let name = format!("VmoMap/Read, 1TiB, {PLACES}x{each} pages, beside 128MiB");
        Figure {
            rows: vec![(Statistic::P50, Some(1.25)), (Statistic::Mean, None)],
            ..self.grown(10, name, of(PLACES * PLACE), of(TIB))
        }
    }

    /// Two vCPUs that load other pages of one VMO at random; and what a fault of theirs takes by what it takes with one vCPU alone.
    pub(super) fn one_vmo(&self) -> [Figure<'_>; 2] {
        let both = Figure {
            number: 3,
            name: "VmoMap/Read, random/2 vCPUs, 1 VMO".into(),
            rows: vec![(Statistic::Mean, Some(1.15)), (Statistic::P50, None)],
            floor: Some(Box::new(|| self.floor_reads(2))),
            ours: Box::new(|| self.our_reads(2)),
        };
        let slowdown = Figure {
            number: 3,
            name: "VmoMap/Read, random/2 vCPUs by 1, 1 VMO".into(),
            rows: vec![(Statistic::Factor, Some(1.0 / 0.95))],
            floor: Some(Box::new(|| slowdown(|cpus| self.floor_reads(cpus)))),
            ours: Box::new(|| slowdown(|cpus| self.our_reads(cpus))),
        };
        [both, slowdown]
    }

    fn floor_reads(&self, cpus: usize) -> io::Result<Observation> {
        let order = shuffled(self.pages, 7);
        let parts = order.chunks(self.count as usize).take(cpus);
        let parts = parts.map(<[u64]>::to_vec).collect();
        let touches = Touches::one_by_one(parts, self.pages);
        side::touches(&touches, &self.source, self.nanoseconds)
    }

    fn our_reads(&self, cpus: usize) -> io::Result<Observation> {
        let names = vec!["one".to_owned(); cpus];
        let args = args(["read", "7"], [self.count], 0);
        let ours = Ours {
            vmos: vec![self.file()],
            cpus: cpus as u32,
            ..self.calls(args.into_iter().chain(names).collect())
        };
        side::ours(&ours, self.nanoseconds)
    }
}

/// How many times as long a fault takes with two vCPUs as with one, in thousandths.
fn slowdown(run: impl Fn(usize) -> io::Result<Observation>) -> io::Result<Observation> {
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len().max(1) as f64;
    let (alone, both) = (run(1)?, run(2)?);
    Ok(Observation {
        samples: vec![1000.0 * mean(&both.samples) / mean(&alone.samples)],
        work: both.work,
    })
}
