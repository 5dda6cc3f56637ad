//! Several threads at trees of clones, with memory operations that end late and out of order. What memory is asked for is checked as
//! it comes; and a snapshot that nobody writes to never changes, whatever becomes of those around it.

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use zircon::{OpResult, ThreadId, Token};

use crate::common::{Order, Outcome, PAGE_SIZE, TestMachine};

const PAGES: u64 = 6;
const MAX_VMOS: usize = 8;
const SNAPSHOT: u32 = 1;
const RESIZABLE_CHILD: u32 = 4;
const NO_WRITE: u32 = 0x20;
const TYPES: [u32; 3] = [SNAPSHOT, 0x10, 0x80];

struct Worker {
    thread: ThreadId,
    /// The call under way, and where it puts a handle, if it makes a snapshot that nobody can write to.
    call: Option<(Token, Made)>,
}

#[derive(Clone, Copy)]
enum Made {
    Nothing,
    /// A handle comes here; whether nobody can write to the VMO.
    Handle(u64, bool),
}

struct Race {
    m: TestMachine,
    workers: Vec<Worker>,
    vmos: Vec<u32>,
    /// Snapshots, with what they held when they were first looked at.
    fixed: Vec<(u32, Vec<u8>)>,
    /// What is written: each is filled with another byte.
    buffers: Vec<u64>,
    /// Where the last handle came to.
    outs: u64,
    state: u64,
}

impl Race {
    fn random(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below
    }

    fn start(&mut self, worker: usize) {
        let (pick, page, value) = (self.random(16), self.random(PAGES), self.random(255) + 1);
        let count = self.random(PAGES) + 1;
        let at = self.random(self.vmos.len() as u64) as usize;
        let other = self.random(self.vmos.len() as u64) as usize;
        let (vmo, other) = (u64::from(self.vmos[at]), u64::from(self.vmos[other]));
        let (offset, length) = (page * PAGE_SIZE, count * PAGE_SIZE);
        let mut made = Made::Nothing;
        let (number, args) = match pick {
            0..=5 => {
                let buffer = self.buffers[value as usize % self.buffers.len()];
                (N::VmoWrite, vec![vmo, buffer, offset, length])
            }
            6 => (
                N::VmoOpRange,
                vec![vmo, VmoOp::Zero as u64, offset, length, 0, 0],
            ),
            7 => (
                N::VmoOpRange,
                vec![vmo, VmoOp::Commit as u64, offset, length, 0, 0],
            ),
            8 => (N::VmoSetSize, vec![vmo, length + value % 2]),
            9 => (N::VmoTransferData, vec![vmo, 0, offset, length, other, 0]),
            10 if self.vmos.len() > 2 => {
                self.vmos.swap_remove(at);
                (N::HandleClose, vec![vmo])
            }
            _ if self.vmos.len() + self.fixed.len() < MAX_VMOS => {
                self.outs += 4;
                let out = self.outs;
                let fixed = value % 3 == 0;
                let kind = match fixed {
                    true => SNAPSHOT | NO_WRITE,
                    false => TYPES[value as usize % 3] | RESIZABLE_CHILD,
                };
                made = Made::Handle(out, fixed);
                let size = (count + 1) * PAGE_SIZE;
                (
                    N::VmoCreateChild,
                    vec![
                        vmo,
                        kind.into(),
                        offset / 2 / PAGE_SIZE * PAGE_SIZE,
                        size,
                        out,
                    ],
                )
            }
            _ => (N::VmoGetSize, vec![vmo, 0]),
        };
        let thread = self.workers[worker].thread;
        match self.m.call_on(thread, number, &args) {
            Outcome::Blocked(token) => self.workers[worker].call = Some((token, made)),
            Outcome::Value(0) => self.take(made),
            Outcome::Value(_) | Outcome::Gone | Outcome::Restart => {}
        }
    }

    fn take(&mut self, made: Made) {
        let Made::Handle(out, fixed) = made else {
            return;
        };
        let vmo = self.m.peek_u32(out);
        match fixed {
            true => self.fixed.push((vmo, Vec::new())),
            false => self.vmos.push(vmo),
        }
    }

    fn collect(&mut self) {
        for worker in 0..self.workers.len() {
            if let Some((token, made)) = self.workers[worker].call
                && let Some(result) = self.m.result(token)
            {
                self.workers[worker].call = None;
                if result == OpResult::Returned(0) {
                    self.take(made);
                }
            }
        }
    }

    /// Lets all that is under way end, and looks at the snapshots.
    fn check(&mut self) {
        self.m.settle();
        self.collect();
        let order = std::mem::replace(&mut self.m.order, Order::Now);
        for worker in &self.workers {
            assert!(worker.call.is_none(), "waits: {:?}", self.m.kernel.waits());
        }
        for at in 0..self.fixed.len() {
            let vmo = self.fixed[at].0;
            let size = self.m.vmo_get_size(vmo).unwrap();
            let now = self.m.vmo_read(vmo, 0, size).unwrap();
            let first = &mut self.fixed[at].1;
            if first.is_empty() {
                *first = now;
            } else {
                assert!(*first == now, "a snapshot has changed");
            }
        }
        if self.fixed.len() > 3 {
            let (vmo, _) = self.fixed.remove(0);
            self.m.handle_close(vmo).unwrap();
        }
        self.m.order = order;
    }
}

fn race(seed: u64) {
    let mut m = TestMachine::new();
    m.random = seed;
    let before = m.kernel.usage().len();
    let vmos = (0..2).map(|_| m.vmo_create(PAGES * PAGE_SIZE, 2).unwrap());
    let vmos: Vec<u32> = vmos.collect();
    let workers = (0..4).map(|_| Worker {
        thread: m.thread(),
        call: None,
    });
    let workers = workers.collect();
    let buffers = (1..=8).map(|value| {
        let buffer = m.alloc(PAGES * PAGE_SIZE);
        m.poke(buffer, &[value; (PAGES * PAGE_SIZE) as usize]);
        buffer
    });
    let buffers = buffers.collect();
    let outs = m.alloc(PAGE_SIZE);
    m.poke(outs, &[0; 4]);
    let mut race = Race {
        m,
        buffers,
        outs,
        workers,
        vmos,
        fixed: Vec::new(),
        state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
    };
    race.m.order = Order::Random;
    for step in 0..150 {
        let worker = race.random(4) as usize;
        if race.workers[worker].call.is_none() {
            race.start(worker);
        }
        race.m.drain();
        race.collect();
        if step % 12 == 0 {
            race.check();
        }
    }
    race.check();
    race.m.order = Order::Now;
    let fixed = std::mem::take(&mut race.fixed);
    for vmo in race
        .vmos
        .drain(..)
        .chain(fixed.into_iter().map(|(vmo, _)| vmo))
    {
        race.m.handle_close(vmo).unwrap();
    }
    assert_eq!(
        race.m.kernel.usage().len(),
        before,
        "nothing is left behind"
    );
}

#[test]
fn snapshots_stay_what_they_are_under_many_threads() {
    for seed in 1..=60 {
        race(seed);
    }
}
