//! Figure 12: what zvmm adds to a random single-page fault, part by part, each measured by itself on this thread.

use std::io;
use std::time::Instant;

use zircon::{MemoryResult, Storage, VmoId};

use super::figures::{Figure, Ground, Run, Statistic, shuffled};
use super::floor::Window;
use super::side::{Observation, Work};
use crate::hypercall::operands::{Decoded, OperandDecoder, Registers};
use crate::memory::{ArenaGeometry, Memory};
use crate::pager::{FilePager, HostPager, Wait};

const PAGE: u64 = 4096;

/// `mov eax, [rdi]`, and what follows it.
const LOAD: [u8; 15] = [
    0x8B, 0x07, 0x48, 0x83, 0xC6, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Where the arena would be.
const ARENA: std::ops::Range<u64> = 4 << 30..12 << 30;

impl Ground {
    /// The parts, in the order in which a fault meets them.
    pub(super) fn parts<'a>(&'a self) -> Vec<Figure<'a>> {
        let figure = |name: &str, floor: Option<Run<'a>>, ours: Run<'a>| Figure {
            number: 12,
            name: format!("Fault/Part/{name}"),
            rows: vec![(Statistic::Mean, None)],
            floor,
            ours,
        };
        vec![
            figure("decoding", None, Box::new(|| self.decoding())),
            figure(
                "object core",
                None,
                Box::new(|| super::core::faults(&shuffled(self.count, 7))),
            ),
            figure("reading the file", None, Box::new(|| self.reading())),
            figure(
                "installing, beside bare UFFDIO_COPY",
                Some(Box::new(|| self.copying())),
                Box::new(|| self.installing()),
            ),
        ]
    }

    fn order(&self) -> Vec<u64> {
        let mut order = shuffled(self.pages, 7);
        order.truncate(self.count as usize);
        order
    }

    /// Which page an instruction touches.
    fn decoding(&self) -> io::Result<Observation> {
        let mut decoder = OperandDecoder::new();
        mean(&self.order(), |page| {
            let mut registers = Registers::default();
            if let Some(rdi) = registers.general.get_mut(protocol::vcpu::register::RDI) {
                *rdi = page * PAGE;
            }
            match decoder.decode(&LOAD, &registers) {
                Decoded::Accesses(accesses) if accesses.len() == 2 => Ok(()),
                other => Err(io::Error::other(format!("a load is {other:?}"))),
            }
        })
    }

    /// `preadv2` into a buffer, and `fstat`.
    fn reading(&self) -> io::Result<Observation> {
        let pager = FilePager::open(&self.path).map_err(io::Error::other)?;
        let mut buffer = vec![0; PAGE as usize];
        mean(&self.order(), |page| {
            let read = pager.read(page * PAGE, &mut buffer, Wait::Never);
            read.map_err(io::Error::other)
        })
    }

    /// The memory layer: a look at the VMO's window, and `UFFDIO_COPY` from a buffer.
    fn installing(&self) -> io::Result<Observation> {
        let geometry = ArenaGeometry {
            base: ARENA.start,
            end: ARENA.end,
        };
        let memory = Memory::new(geometry, Box::new(|_, _, _, _| Ok(())));
        let memory = memory.map_err(io::Error::other)?;
        let vmo = VmoId(1);
        let created = memory.create(vmo, Storage::of(self.pages));
        created.map_err(io::Error::other)?;
        let buffer = vec![1; PAGE as usize];
        mean(&self.order(), |page| {
            match memory.supply(vmo, page, &buffer) {
                MemoryResult::Done => Ok(()),
                other => Err(io::Error::other(format!("a supply is {other:?}"))),
            }
        })
    }

    /// The floor's: `UFFDIO_COPY` from the file's mapping.
    fn copying(&self) -> io::Result<Observation> {
        let window = Window::new(self.pages, true)?;
        mean(&self.order(), |page| {
            window.supply(page, 1, self.source.page(page))
        })
    }
}

/// What `each` takes for a page, on the average.
fn mean(order: &[u64], mut each: impl FnMut(u64) -> io::Result<()>) -> io::Result<Observation> {
    let began = Instant::now();
    order.iter().try_for_each(|page| each(*page))?;
    let nanoseconds = began.elapsed().as_nanos() as f64;
    let pages = order.len() as u64;
    Ok(Observation {
        samples: vec![nanoseconds / pages as f64],
        work: Work {
            pages,
            faults: 0,
            exits: 0,
        },
    })
}
