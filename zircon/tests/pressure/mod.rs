//! Threads that touch, read, write, hint and lock more than memory holds: the limit is never exceeded, what they find is right, and
//! nobody is stuck.
//!
//! The VMOs: two of a pager in the program, whose service runs among the threads, one of the host's, a plain one, and two
//! discardable ones. Each thread has pages of each for itself, some of which it writes to, and remembers what it wrote; what it
//! never wrote to holds what the provider supplies. Memory operations end in any order, and threads reach pages that are there
//! without asking, as processors do. The same seed gives the same run.

mod service;
mod thread;

use protocol::{PAGE_SIZE, Rights};
use zircon::{ObjectRef, Reclaimed, VmoId};

use crate::common::random::{self, Source};
use crate::common::{Order, TestMachine};
use service::Service;
use thread::Thread;

const THREADS: usize = 4;
/// Pages of a VMO that a pager supplies.
const PAGES: u64 = 48;
/// Those that threads write to: the first ones.
const WRITTEN: u64 = 4;
/// Those that they may say they always need: the last ones.
const NEEDED: u64 = 2;
/// Pages of the other VMOs.
const FEW: u64 = 8;
const MOVES: usize = 2_500;
const PATIENCE: usize = 40_000;

/// What a VMO is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Of the program's pager.
    Paged,
    Host,
    Plain,
    /// Only this thread uses it.
    Discardable(usize),
}

impl Kind {
    pub fn is_supplied(self) -> bool {
        matches!(self, Kind::Paged | Kind::Host)
    }

    pub fn pages(self) -> u64 {
        if self.is_supplied() { PAGES } else { FEW }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Vmo {
    pub id: VmoId,
    pub handle: u32,
    pub address: u64,
    pub kind: Kind,
}

/// Everything but those who move.
pub struct World {
    pub m: TestMachine,
    pub vmos: Vec<Vmo>,
}

/// The byte that fills a page as it is supplied.
pub fn supplied(page: u64) -> u8 {
    100 + page as u8
}

impl World {
    fn new(seed: u64) -> (World, Service) {
        let mut m = TestMachine::new();
        m.limit(1 << 30);
        m.random = seed | 1;
        let size = PAGES * PAGE_SIZE;
        let (pager, port) = (m.pager_create(), m.port_create());
        let mut vmos = Vec::new();
        for key in 0..2 {
            let vmo = m.pager_create_vmo(pager, 0, port, key, size).unwrap();
            vmos.push((vmo, Kind::Paged));
        }
        let host = ObjectRef::Vmo(m.kernel.add_host_vmo("host", size, true).unwrap());
        let process = m.main.process;
        let host = m.kernel.give_handle(process, host, Rights::DEFAULT_VMO);
        m.drain();
        vmos.push((host.unwrap(), Kind::Host));
        vmos.push((m.vmo(FEW), Kind::Plain));
        for owner in 0..2 {
            let vmo = m.vmo_create(FEW * PAGE_SIZE, 4).unwrap();
            vmos.push((vmo, Kind::Discardable(owner)));
        }
        let allow_faults = 1 << 12;
        let vmos = vmos.into_iter().map(|(handle, kind)| {
            let length = kind.pages() * PAGE_SIZE;
            Vmo {
                id: VmoId(m.koid(handle)),
                handle,
                address: m.vmar_map(3 | allow_faults, 0, handle, 0, length).unwrap(),
                kind,
            }
        });
        let vmos = vmos.collect();
        let service = Service::new(&mut m, pager, port);
        (World { m, vmos }, service)
    }
}

/// Pages that can come not to go, whatever goes.
const FIXED: u64 = 3 * (WRITTEN + NEEDED) + 3 * FEW + service::AUX;

/// A run with so much memory beyond what threads and service have for themselves.
fn run(seed: u64, memory: u64) -> Reclaimed {
    let (mut world, mut service) = World::new(seed);
    let enough = memory >= FIXED;
    let new = |number| Thread::new(&mut world, number, enough);
    let mut threads: Vec<Thread> = (0..THREADS).map(new).collect();
    let (own, _) = world.m.kernel.resident_pages();
    world.m.limit(own + memory);
    world.m.order = Order::Held;
    world.m.unchecked = true;
    let bytes = random::bytes(seed, MOVES * 8);
    let mut source = Source::new(&bytes);
    for _ in 0..MOVES {
        step(&mut world, &mut threads, &mut service, &mut source, false);
    }
    let bytes = random::bytes(!seed, PATIENCE * 4);
    let mut source = Source::new(&bytes);
    for _ in 0..PATIENCE {
        if threads.iter().all(Thread::is_idle) && world.m.held.is_empty() {
            world.m.check();
            return world.m.kernel.reclaimed();
        }
        step(&mut world, &mut threads, &mut service, &mut source, true);
    }
    panic!("somebody is stuck: {:?}", world.m.kernel.waits());
}

fn step(
    world: &mut World,
    threads: &mut [Thread],
    service: &mut Service,
    source: &mut Source<'_>,
    finishing: bool,
) {
    let held = world.m.held.len();
    match source.below(10) {
        0..4 if held > 0 => {
            world.m.perform(source.below(held as u64) as usize);
            world.m.drain();
        }
        0..7 => {
            let at = source.below(threads.len() as u64) as usize;
            threads[at].step(world, source, finishing);
        }
        7 => world.m.answer_host_reads(100),
        _ => service.step(world),
    }
    world.m.check_limit();
}

fn runs(memory: u64) {
    let runs = std::env::var("ZVMM_RUNS").map_or(150, |runs| runs.parse().unwrap());
    let mut all = Reclaimed::default();
    for seed in 0..runs {
        let mut one = Reclaimed::default();
        if let Some(why) = random::failure(|| one = run(seed, memory)) {
            panic!("seed {seed}: {why}");
        }
        all.evicted += one.evicted;
        all.written += one.written;
        all.discarded_vmos += one.discarded_vmos;
    }
    let much = all.evicted > 10 * runs && all.discarded_vmos > runs / 10;
    let written = all.written > runs / 10 || memory < FIXED;
    assert!(much && written, "{runs} runs: {all:?}");
}

/// Each thread may wait for a page or two while all of these are there.
#[test]
fn whoever_needs_a_page_gets_it_while_others_can_go() {
    runs(FIXED + 3 * THREADS as u64);
}

#[test]
fn whoever_needs_a_page_gets_it_or_is_told_that_there_is_none() {
    runs(10);
}
