//! Figure 12: what zvmm adds to a random single-page fault, part by part: each by itself on this thread, and in the floor's place, where
//! caches are as cold as they are in a run.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use zircon::{MemoryResult, Storage, VmoId};

use super::core::Core;
use super::figures::{Figure, Ground, Run, Statistic};
use super::floor::Window;
use super::order::shuffled;
use super::side::{self, Observation, Work};
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
            self.in_a_run("reading the file", || {
                let reader = Mutex::new(self.reader()?);
                Ok(Box::new(move |window: &Window, page, count| {
                    let bytes = read(&mut alone(&reader), page)?;
                    window.supply(page, count, bytes)
                }))
            }),
            self.in_a_run("reading the file, object core", || {
                let both = Mutex::new((self.reader()?, Core::new(self.pages)?));
                Ok(Box::new(move |window: &Window, page, count| {
                    let (reader, core) = &mut *alone(&both);
                    core.fault(page, || {
                        let bytes = read(reader, page)?;
                        window.supply(page, count, bytes)
                    })
                }))
            }),
        ]
    }

    /// The floor of figure 1 with something more in it, beside the floor.
    fn in_a_run<'a>(
        &'a self,
        name: &str,
        supply: impl Fn() -> io::Result<Supply<'a>> + 'a,
    ) -> Figure<'a> {
        let touches = self.touches(&[0]);
        let (bare, nanoseconds) = (touches.clone(), self.nanoseconds);
        Figure {
            number: 12,
            name: format!("Fault/InARun/{name}"),
            rows: vec![(Statistic::P50, None)],
            floor: Some(Box::new(move || {
                side::touches(&bare, &self.source, nanoseconds)
            })),
            ours: Box::new(move || side::touches_by(&touches, &*supply()?, nanoseconds)),
        }
    }

    fn reader(&self) -> io::Result<Reader> {
        let pager = FilePager::open(&self.path).map_err(io::Error::other)?;
        let buffer = vec![0; PAGE as usize];
        Ok(Reader { pager, buffer })
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

    /// `preadv2` into a buffer, and `lseek` to the end.
    fn reading(&self) -> io::Result<Observation> {
        let mut reader = self.reader()?;
        mean(&self.order(), |page| read(&mut reader, page).map(|_| ()))
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

/// What brings pages to a window of the floor's: the window, the first page, how many.
type Supply<'a> = Box<dyn Fn(&Window, u64, u64) -> io::Result<()> + Sync + 'a>;

/// The file as zvmm reads it, and what it reads into.
#[derive(Debug)]
struct Reader {
    pager: FilePager,
    buffer: Vec<u8>,
}

/// There is one vCPU.
fn alone<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a page: the host address where it lies until the next is read.
fn read(reader: &mut Reader, page: u64) -> io::Result<u64> {
    let read = reader
        .pager
        .read(page * PAGE, &mut reader.buffer, Wait::Never);
    read.map_err(io::Error::other)?;
    Ok(reader.buffer.as_ptr().expose_provenance() as u64)
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
