//! A whole machine in one thread: simulated threads and pager services over the core, moved by a seeded scheduler.
//!
//! The scheduler picks who moves next: a thread that starts a call or a touch, or finds out how its last one went; a service
//! that waits for packets and answers them in pieces, in any order; or a memory operation, which may end long after it began
//! and after others that began later. The same seed gives the same run, to the last step.
//!
//! Every word of memory says whose it is: of which page, and the how manyeth written there. So each word that a thread reads can
//! be checked, however much goes on at the same time: it is of the page that was read (or that was cloned), and no older than what
//! was written before the read began.

mod service;
mod words;
mod worker;

use std::hash::{DefaultHasher, Hash, Hasher};

use protocol::PAGE_SIZE;
use protocol::syscall::SyscallNumber as N;
use zircon::{OpResult, ThreadId, Token};

use crate::common::random::Source;
use crate::common::{Order, Outcome, TestMachine, random};
use service::Service;
use words::Words;
use worker::Worker;

const WORKERS: usize = 6;
const SERVICES: usize = 2;
/// Pages of each VMO: every worker writes to a block of them of its own.
const PAGES: u64 = WORKERS as u64 * words::BLOCK;
/// Moves of a run before everybody finishes what was begun.
const MOVES: usize = 600;
/// Moves within which that must be done.
const PATIENCE: usize = 60_000;
/// Pages that a run may take that is short of memory: what is clean has to go, and some calls fail.
const ROOM: u64 = 40;
/// `ZX_VMO_*`
const RESIZABLE: u32 = 2;
const TRAP_DIRTY: u32 = 8;
/// Most VMOs.
const VMOS: usize = 16;

/// A VMO of the simulation.
pub struct Vmo {
    pub handle: u32,
    pub open: bool,
    /// Where it is mapped, if it is.
    pub address: Option<u64>,
    /// The service that answers for it.
    pub service: Option<usize>,
    /// What it is of the VMO it was made from.
    pub origin: Option<Origin>,
    pub pages: u64,
    pub resizable: bool,
}

/// What a child shows of its parent.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub parent: usize,
    /// The child's first page there.
    pub page: u64,
    /// The same pages, not a copy.
    pub same: bool,
}

/// Everything but those who move.
pub struct World {
    pub m: TestMachine,
    pub vmos: Vec<Vmo>,
    pub words: Words,
    /// Memory is short: calls may fail for want of it, and nobody touches what could kill it.
    pub is_short: bool,
    /// What happened so far.
    trace: DefaultHasher,
}

/// A call that was made, or how it went.
pub enum Call {
    Over(u64),
    Waits(Token),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut m = TestMachine::new();
        m.unchecked = true;
        m.random = seed | 1;
        World {
            m,
            vmos: Vec::new(),
            words: Words::default(),
            is_short: false,
            trace: DefaultHasher::new(),
        }
    }

    fn add(&mut self, handle: u32, pages: u64, resizable: bool) -> usize {
        self.vmos.push(Vmo {
            handle,
            open: true,
            address: None,
            service: None,
            origin: None,
            pages,
            resizable,
        });
        self.vmos.len() - 1
    }

    /// Makes a call that must not end its thread.
    pub fn call(&mut self, thread: ThreadId, number: N, args: &[u64]) -> Call {
        let outcome = self.m.call_on(thread, number, args);
        (number as u64, args, format!("{outcome:?}")).hash(&mut self.trace);
        match outcome {
            Outcome::Value(value) => Call::Over(value),
            Outcome::Blocked(token) => Call::Waits(token),
            Outcome::Restart | Outcome::Gone => {
                panic!("{} {args:x?} ended the thread", number.name())
            }
        }
    }

    /// How a call went that had to wait, if it is over.
    pub fn result(&mut self, token: Token) -> Option<OpResult> {
        let result = self.m.result(token);
        format!("{result:?}").hash(&mut self.trace);
        result
    }

    /// The pages of a VMO that is the same as part of another one, as those of that one.
    pub fn same(&self, mut vmo: usize, mut page: u64) -> (usize, u64) {
        while let Some(origin) = self.vmos[vmo].origin.filter(|origin| origin.same) {
            (vmo, page) = (origin.parent, page + origin.page);
        }
        (vmo, page)
    }

    /// Whether pages of a VMO may become zero, or may never come.
    pub fn is_wild(&self, vmo: usize) -> bool {
        let (vmo, _) = self.same(vmo, 0);
        self.vmos[vmo].resizable
            || self.vmos[vmo]
                .origin
                .is_some_and(|o| self.is_wild(o.parent))
    }
}

struct Simulation {
    world: World,
    workers: Vec<Worker>,
    services: Vec<Service>,
}

impl Simulation {
    /// Two services with a VMO of each kind; two VMOs that nobody serves. Every third run is short of memory.
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let size = PAGES * PAGE_SIZE;
        let mut services = Vec::new();
        for number in 0..SERVICES {
            let service = Service::new(&mut world);
            for options in [0, RESIZABLE, TRAP_DIRTY] {
                let key = world.vmos.len() as u64;
                let resizable = options == RESIZABLE;
                let (pager, port) = (service.pager, service.port);
                let vmo = world.m.pager_create_vmo(pager, options, port, key, size);
                let vmo = world.add(vmo.unwrap(), PAGES, resizable);
                world.vmos[vmo].service = Some(number);
            }
            services.push(service);
        }
        for resizable in [false, true] {
            let vmo = world.m.vmo_create(size, u32::from(resizable) * 2).unwrap();
            world.add(vmo, PAGES, resizable);
        }
        for vmo in 0..world.vmos.len() {
            if !world.vmos[vmo].resizable {
                let at = world.m.map(world.vmos[vmo].handle, PAGES);
                world.vmos[vmo].address = Some(at);
            }
        }
        world.is_short = seed.is_multiple_of(3);
        let workers: Vec<Worker> = (0..WORKERS).map(|n| Worker::new(&mut world, n)).collect();
        if world.is_short {
            let resident: u64 = world.m.kernel.usage().iter().map(|(.., pages)| pages).sum();
            world.m.limit(resident + ROOM);
        }
        world.m.order = Order::Held;
        Simulation {
            world,
            workers,
            services,
        }
    }

    /// Somebody moves.
    fn step(&mut self, source: &mut Source<'_>, finishing: bool) {
        let held = self.world.m.held.len();
        match source.below(10) {
            0..4 if held > 0 => {
                let at = source.below(held as u64) as usize;
                (at, format!("{:?}", self.world.m.held[at])).hash(&mut self.world.trace);
                self.world.m.perform(at);
                self.world.m.drain();
            }
            0..7 => {
                let at = source.below(WORKERS as u64) as usize;
                self.workers[at].step(&mut self.world, source, finishing);
            }
            _ => {
                let at = source.below(SERVICES as u64) as usize;
                let all = self.world.vmos.iter().zip(0..);
                let own = all.filter(|(vmo, _)| vmo.service == Some(at) && vmo.origin.is_none());
                let own: Vec<usize> = own.map(|(_, vmo)| vmo).collect();
                self.services[at].step(&mut self.world, source, &own);
            }
        }
    }

    /// Nobody begins anything any more; everybody gets what it waits for.
    fn finish(&mut self, seed: u64) {
        let bytes = random::bytes(!seed, PATIENCE * 4);
        let mut source = Source::new(&bytes);
        for _ in 0..PATIENCE {
            let done = self.workers.iter().all(Worker::is_idle) && self.world.m.held.is_empty();
            if done && self.services.iter().all(Service::is_idle) {
                return;
            }
            self.step(&mut source, true);
        }
        panic!("somebody is stuck: {:?}", self.world.m.kernel.waits());
    }

    /// Everything is closed: nothing is left.
    fn close(mut self) -> u64 {
        let trace = self.world.trace.finish();
        let m = &mut self.world.m;
        assert_eq!(m.exceptions.len(), 0, "{:?}", m.exceptions);
        m.check();
        let main = m.main.thread;
        m.order = Order::Now;
        assert_eq!(m.call_on(main, N::ProcessExit, &[0]), Outcome::Gone);
        assert_eq!(m.kernel.usage(), [], "nothing is left");
        assert_eq!(m.memory.total(), 0);
        assert_eq!(m.kernel.waits(), []);
        trace
    }
}

/// A run: what happened in it, as a number.
fn run(seed: u64) -> u64 {
    let mut simulation = Simulation::new(seed);
    let bytes = random::bytes(seed, MOVES * 16);
    let mut source = Source::new(&bytes);
    for _ in 0..MOVES {
        simulation.step(&mut source, false);
    }
    simulation.finish(seed);
    simulation.close()
}

#[test]
fn nobody_is_stuck_and_all_data_is_right() {
    let runs = std::env::var("ZVMM_RUNS").map_or(300, |runs| runs.parse().unwrap());
    for seed in 0..runs {
        if let Some(why) = random::failure(|| _ = run(seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in 1000..1020 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
