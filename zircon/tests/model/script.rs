//! Random scripts, run on the model and on the core side by side: every result, packet and byte is compared.
//!
//! A failure prints the shortest script that shows it; pasted into `replay` it runs again.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};
use zircon::{Access, FaultOutcome, OpResult, ThreadId, Token, VmoId};

use super::{End, Kind, Model, OK, Op, Page, Source};
use crate::common::{Outcome, TestMachine, Touch, read_packet};

const THREADS: usize = 5;
/// Every VMO is mapped with this many pages, so that it may grow under its mapping.
const MAPPED: u64 = 64;

/// One line of a script. VMOs are counted modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    Anonymous {
        size: u64,
        resizable: bool,
    },
    Paged {
        pager: u8,
        size: u64,
        resizable: bool,
    },
    Slice {
        vmo: u8,
        page: u64,
        count: u64,
    },
    Read {
        vmo: u8,
        offset: u64,
        length: u64,
    },
    Write {
        vmo: u8,
        offset: u64,
        length: u64,
        tag: u8,
    },
    Touch {
        vmo: u8,
        page: u64,
        write: bool,
    },
    Unmap {
        vmo: u8,
    },
    SetSize {
        vmo: u8,
        size: u64,
    },
    SetContent {
        vmo: u8,
        size: u64,
    },
    Supply {
        vmo: u8,
        page: u64,
        count: u64,
        aux: u8,
        aux_page: u64,
    },
    Detach {
        vmo: u8,
    },
    ClosePager {
        pager: u8,
    },
    Close {
        vmo: u8,
    },
    Poll,
    PortWait,
    /// A thread that waits ends.
    Kill {
        wait: u8,
    },
}

/// The core's side of an operation that waits.
struct Blocked {
    wait: usize,
    thread: ThreadId,
    token: Token,
    buffer: u64,
    length: u64,
    /// A touch: its address.
    touch: Option<(u64, Access)>,
}

struct Player {
    m: TestMachine,
    model: Model,
    port: u32,
    pagers: Vec<u32>,
    handles: Vec<u32>,
    koids: Vec<VmoId>,
    addresses: Vec<Option<u64>>,
    free: Vec<ThreadId>,
    blocked: Vec<Blocked>,
    /// The process died, as it should.
    dead: bool,
}

impl Player {
    fn new() -> Self {
        let mut m = TestMachine::new();
        let port = m.port_create();
        let pagers = vec![m.pager_create(), m.pager_create()];
        let free = (0..THREADS).map(|_| m.thread()).collect();
        let model = Model {
            pagers: vec![true; pagers.len()],
            ..Model::default()
        };
        Player {
            m,
            model,
            port,
            pagers,
            handles: Vec::new(),
            koids: Vec::new(),
            addresses: Vec::new(),
            free,
            blocked: Vec::new(),
            dead: false,
        }
    }

    fn added(&mut self, handle: u32) {
        self.koids.push(VmoId(self.m.koid(handle)));
        self.handles.push(handle);
        self.addresses.push(None);
    }

    /// Runs one step on both sides; steps that make no sense, or whose outcome is left open, are skipped.
    fn play(&mut self, step: &Step) {
        let count = self.handles.len();
        let pick = |n: u8| usize::from(n) % count.max(1);
        match *step {
            Step::Anonymous { size, resizable } => {
                let handle = self.m.vmo_create(size, u32::from(resizable) * 2).unwrap();
                self.model.add(Kind::Anonymous, size, resizable);
                self.added(handle);
            }
            Step::Paged {
                pager,
                size,
                resizable,
            } => {
                let pager = usize::from(pager) % self.pagers.len();
                if !self.model.pagers[pager] {
                    return;
                }
                let (options, key) = (u32::from(resizable) * 2, count as u64);
                let handle = self
                    .m
                    .pager_create_vmo(self.pagers[pager], options, self.port, key, size)
                    .unwrap();
                let source = Source::Attached;
                self.model
                    .add(Kind::Paged { pager, source }, size, resizable);
                self.added(handle);
            }
            _ if count == 0 => {}
            Step::Slice { vmo, page, count } => self.slice(pick(vmo), page, count),
            Step::Read {
                vmo,
                offset,
                length,
            } => self.read(pick(vmo), offset, length),
            Step::Write {
                vmo,
                offset,
                length,
                tag,
            } => self.write(pick(vmo), offset, length, tag),
            Step::Touch { vmo, page, write } => self.touch(pick(vmo), page, write),
            Step::Unmap { vmo } => self.unmap(pick(vmo)),
            Step::SetSize { vmo, size } => self.set_size(pick(vmo), size),
            Step::SetContent { vmo, size } => self.set_content(pick(vmo), size),
            Step::Supply {
                vmo,
                page,
                count,
                aux,
                aux_page,
            } => self.supply(pick(vmo), page, count, pick(aux), aux_page),
            Step::Detach { vmo } => self.detach(pick(vmo)),
            Step::ClosePager { pager } => {
                let pager = usize::from(pager) % self.pagers.len();
                if std::mem::replace(&mut self.model.pagers[pager], false) {
                    self.m.handle_close(self.pagers[pager]).unwrap();
                    self.model.close_pager(pager);
                }
            }
            Step::Close { vmo } => {
                let vmo = pick(vmo);
                if std::mem::replace(&mut self.model.vmos[vmo].open, false) {
                    self.m.handle_close(self.handles[vmo]).unwrap();
                }
            }
            Step::Poll => {
                let expected = self.model.take_packet().ok_or(Status::TIMED_OUT);
                assert_eq!(self.m.port_poll(self.port), expected);
            }
            Step::PortWait => {
                let waits = self.model.waits.iter().flatten();
                if waits.filter(|op| matches!(op, Op::PortWait)).count() == 0 {
                    let at = self.m.alloc(48);
                    let args = [self.port.into(), i64::MAX as u64, at];
                    self.both(Op::PortWait, N::PortWait, &args, (at, 48));
                }
            }
            Step::Kill { wait } => self.kill(wait),
        }
        self.model.finish();
        self.compare();
    }

    /// Starts an operation on a thread of its own, on both sides.
    fn both(&mut self, op: Op, number: N, args: &[u64], buffer: (u64, u64)) {
        let Some(thread) = self.free.pop() else {
            return;
        };
        let expected = self.model.start(op);
        self.begin(thread, number, args, buffer, expected);
    }

    fn begin(
        &mut self,
        thread: ThreadId,
        number: N,
        args: &[u64],
        (buffer, length): (u64, u64),
        expected: Result<End, usize>,
    ) {
        let got = self.m.call_on(thread, number, args);
        let is_fatal = |(_, end): &(usize, End)| matches!(end, End::Fatal(_));
        if self.model.ended.iter().any(is_fatal) {
            // The call woke a touch that took the process with it, and the caller.
            return;
        }
        match (got, expected) {
            (Outcome::Value(value), Ok(end)) => {
                assert_eq!(self.end(value, buffer, length, &end), end);
                self.free.push(thread);
            }
            (Outcome::Blocked(token), Err(wait)) => self.blocked.push(Blocked {
                wait,
                thread,
                token,
                buffer,
                length,
                touch: None,
            }),
            (got, expected) => panic!("{} {args:x?}: {got:?}, not {expected:?}", number.name()),
        }
    }

    /// What the core's end looks like, in the model's words.
    fn end(&self, value: u64, buffer: u64, length: u64, like: &End) -> End {
        let status = Status::from_register(value);
        match like {
            End::Read(_) if status == Status::OK => End::Read(self.m.peek(buffer, length)),
            End::Packet(_) if status == Status::OK => {
                End::Packet(read_packet(&self.m.peek(buffer, 48)).into())
            }
            _ => End::Status(status),
        }
    }

    /// Whether a transfer of several steps waits for pages of this root, or a packet is waited for: then only one event
    /// at a time may happen to it.
    fn is_delicate(&self, root: usize) -> bool {
        let waits = self.model.waits.iter().flatten();
        waits.clone().any(|op| match op {
            Op::Read { vmo, .. } | Op::Write { vmo, .. } => self.model.root(*vmo, 0).0 == root,
            Op::PortWait => true,
            Op::Touch { .. } | Op::Tail { .. } => false,
        })
    }

    /// Whether several operations wait for pages of a root: woken together by zero pages, the order in which they run
    /// decides how many pages come ahead of them.
    fn is_crowded(&self, root: usize) -> bool {
        let waits = self.model.waits.iter().flatten();
        let here = waits.filter(|op| match op {
            Op::Read { vmo, .. } | Op::Write { vmo, .. } => self.model.root(*vmo, 0).0 == root,
            Op::Touch { vmo, .. } => self.model.root(*vmo, 0).0 == root,
            Op::Tail { vmo, .. } => *vmo == root,
            Op::PortWait => false,
        });
        here.count() > 1
    }

    fn has_transfer(&self, root: usize) -> bool {
        let waits = self.model.waits.iter().flatten();
        waits.clone().any(|op| match op {
            Op::Read { vmo, .. } | Op::Write { vmo, .. } => self.model.root(*vmo, 0).0 == root,
            _ => false,
        })
    }

    fn slice(&mut self, vmo: usize, page: u64, count: u64) {
        let pages = self.model.size(vmo) / PAGE_SIZE;
        let state = &self.model.vmos[vmo];
        if !state.open || state.resizable || page + count > pages {
            return;
        }
        let (offset, size) = (page * PAGE_SIZE, count * PAGE_SIZE);
        let handle = self
            .m
            .vmo_create_child(self.handles[vmo], 8, offset, size)
            .unwrap();
        let kind = Kind::Slice {
            parent: vmo,
            page,
            count,
        };
        self.model.add(kind, size, false);
        self.added(handle);
    }

    fn read(&mut self, vmo: usize, offset: u64, length: u64) {
        let root = self.model.root(vmo, 0).0;
        if !self.model.vmos[vmo].open || self.has_transfer(root) {
            return;
        }
        let buffer = self.m.alloc(length);
        let op = Op::Read {
            vmo,
            offset,
            length,
            got: Vec::new(),
        };
        let args = [self.handles[vmo].into(), buffer, offset, length];
        self.both(op, N::VmoRead, &args, (buffer, length));
    }

    fn write(&mut self, vmo: usize, offset: u64, length: u64, tag: u8) {
        let root = self.model.root(vmo, 0).0;
        if !self.model.vmos[vmo].open || self.has_transfer(root) {
            return;
        }
        let bytes: Vec<u8> = (0..length)
            .map(|at| (at / 100) as u8 ^ at as u8 ^ tag)
            .collect();
        let buffer = self.m.alloc(length);
        self.m.poke(buffer, &bytes);
        let args = [self.handles[vmo].into(), buffer, offset, length];
        self.both(Op::Write { vmo, offset, bytes }, N::VmoWrite, &args, (0, 0));
    }

    fn touch(&mut self, vmo: usize, page: u64, write: bool) {
        if !self.model.vmos[vmo].mapped {
            if !self.model.vmos[vmo].open {
                return;
            }
            let at = self
                .m
                .vmar_map(3, 0, self.handles[vmo], 0, MAPPED * PAGE_SIZE)
                .unwrap();
            self.addresses[vmo] = Some(at);
            self.model.vmos[vmo].mapped = true;
        }
        // A touch that fails at once ends the process: there are tests for that.
        let (root, at) = self.model.root(vmo, page);
        let inside = page * PAGE_SIZE < self.model.size(vmo);
        let attached = self
            .model
            .source(root)
            .is_none_or(|s| s == Source::Attached);
        if !inside || (!attached && *self.model.page(root, at) == Page::Absent) {
            return;
        }
        let Some(thread) = self.free.pop() else {
            return;
        };
        let address = self.addresses[vmo].unwrap() + page * PAGE_SIZE;
        let access = if write { Access::Write } else { Access::Read };
        let expected = self.model.start(Op::Touch { vmo, page, write });
        let touch = self.m.touch(thread, address, access);
        match (touch, expected) {
            (Touch::Done, Ok(End::Retry)) => self.free.push(thread),
            (Touch::Blocked(token), Err(wait)) => self.blocked.push(Blocked {
                wait,
                thread,
                token,
                buffer: 0,
                length: 0,
                touch: Some((address, access)),
            }),
            (got, expected) => panic!("touch {vmo} page {page}: {got:?}, not {expected:?}"),
        }
    }

    fn unmap(&mut self, vmo: usize) {
        let touched = |op: &Op| matches!(op, Op::Touch { vmo: other, .. } if *other == vmo);
        if self.model.waits.iter().flatten().any(touched) {
            return;
        }
        if let Some(at) = self.addresses[vmo].take() {
            self.m.vmar_unmap(at, MAPPED * PAGE_SIZE).unwrap();
            self.model.vmos[vmo].mapped = false;
        }
    }

    fn set_size(&mut self, vmo: usize, size: u64) {
        let Some(thread) = self.free.pop_if(|_| self.model.vmos[vmo].open) else {
            return;
        };
        let expected = self.model.set_size(vmo, size);
        let args = [self.handles[vmo].into(), size];
        self.begin(thread, N::VmoSetSize, &args, (0, 0), expected);
    }

    fn set_content(&mut self, vmo: usize, size: u64) {
        let root = self.model.root(vmo, 0).0;
        let busy = self.is_delicate(root) || self.is_crowded(root) || self.free.is_empty();
        if !self.model.vmos[vmo].open || busy {
            return;
        }
        let at = self.m.alloc(8);
        self.m.poke(at, &size.to_le_bytes());
        let thread = self.free.pop().unwrap();
        let expected = self.model.set_content(vmo, size);
        let args = [self.handles[vmo].into(), 17, at, 8];
        self.begin(thread, N::ObjectSetProperty, &args, (0, 0), expected);
    }

    fn supply(&mut self, vmo: usize, page: u64, count: u64, aux: usize, aux_page: u64) {
        let pager = match self.model.vmos[vmo].kind {
            Kind::Paged { pager, .. } => pager,
            _ => 0,
        };
        let open = self.model.vmos[vmo].open && self.model.vmos[aux].open;
        if !open || !self.model.pagers[pager] {
            return;
        }
        let expected = self.model.supply_check(vmo, page, count, aux, aux_page);
        let mut count = count;
        let crowded = self.is_crowded(vmo);
        if expected == Status::OK && count > 0 && (self.is_delicate(vmo) || crowded) {
            count = self.model.supply_run(vmo, page, count, aux, aux_page);
            let (root, at) = self.model.root(aux, aux_page);
            if crowded && !matches!(self.model.page(root, at), Page::There(..)) {
                return;
            }
        }
        let got = self.m.pager_supply_pages(
            self.pagers[pager],
            self.handles[vmo],
            page * PAGE_SIZE,
            count * PAGE_SIZE,
            self.handles[aux],
            aux_page * PAGE_SIZE,
        );
        assert_eq!(got.err().unwrap_or(Status::OK), expected);
        if expected == Status::OK {
            self.model.supply(vmo, page, count, aux, aux_page);
        }
    }

    fn detach(&mut self, vmo: usize) {
        if let Kind::Paged { pager, .. } = self.model.vmos[vmo].kind
            && self.model.pagers[pager]
            && self.model.vmos[vmo].open
        {
            self.m
                .pager_detach_vmo(self.pagers[pager], self.handles[vmo])
                .unwrap();
            self.model.detach(vmo);
        }
    }

    fn kill(&mut self, wait: u8) {
        if self.blocked.is_empty() {
            return;
        }
        let blocked = self.blocked.remove(usize::from(wait) % self.blocked.len());
        self.m.call_on(blocked.thread, N::ThreadExit, &[]);
        self.model.waits[blocked.wait] = None;
        self.model.abandon(blocked.wait);
        let thread = self.m.thread();
        self.free.push(thread);
    }

    /// Compares what ended meanwhile, and what is resident.
    fn compare(&mut self) {
        let mut ended = std::mem::take(&mut self.model.ended);
        let fatal = ended.iter().find_map(|(wait, end)| match end {
            End::Fatal(status) => Some((*wait, *status)),
            _ => None,
        });
        if let Some((wait, status)) = fatal {
            let blocked = self.blocked.iter().find(|b| b.wait == wait).unwrap();
            // Of several threads that die of one event the first to run takes the process with it.
            let fatal = |thread| self.m.exceptions.iter().any(|e| e.thread == thread);
            assert!(self.m.exceptions.len() == 1, "one report");
            if fatal(blocked.thread) {
                assert_eq!(self.m.fault_status(blocked.thread), status);
            }
            self.dead = true;
            return;
        }
        assert!(self.m.exceptions.is_empty(), "{:?}", self.m.exceptions);
        for blocked in std::mem::take(&mut self.blocked) {
            let at = ended.iter().position(|(wait, _)| *wait == blocked.wait);
            let expected = at.map(|at| ended.swap_remove(at).1);
            let got = match self.m.result(blocked.token) {
                None => None,
                Some(OpResult::Returned(value)) => {
                    let like = expected.as_ref().unwrap_or(&OK);
                    Some(self.end(value, blocked.buffer, blocked.length, like))
                }
                Some(OpResult::Retry) => {
                    let (address, access) = blocked.touch.unwrap();
                    let (now, thread) = (self.m.now, blocked.thread);
                    let again = self.m.kernel.page_fault(now, thread, address, access);
                    assert_eq!(again, FaultOutcome::Present, "{address:#x}");
                    Some(End::Retry)
                }
                Some(OpResult::Gone) => panic!("{:?} is gone", blocked.thread),
            };
            let waits = self.m.kernel.waits();
            assert!(got == expected, "{got:?}, not {expected:?}; {waits:?}");
            match got {
                Some(_) => self.free.push(blocked.thread),
                None => self.blocked.push(blocked),
            }
        }
        assert!(ended.is_empty(), "nobody waits for {ended:?}");
        for (id, _, size, resident) in self.m.kernel.usage() {
            if let Some(vmo) = self.koids.iter().position(|koid| *koid == id)
                && self.model.is_alive(vmo)
            {
                assert_eq!(size, self.model.size(vmo), "size of VMO {vmo}");
                assert_eq!(resident, self.model.committed(vmo), "pages of VMO {vmo}");
            }
        }
    }

    /// At the end: every packet, every byte, every content size.
    fn finish(mut self) {
        loop {
            let expected = self.model.take_packet().ok_or(Status::TIMED_OUT);
            let got = self.m.port_poll(self.port);
            assert_eq!(got, expected);
            if got.is_err() {
                break;
            }
        }
        for vmo in 0..self.handles.len() {
            if !self.model.is_alive(vmo) {
                continue;
            }
            for (page, expected) in self.model.vmos[vmo].pages.iter().zip(0..) {
                let there = self.m.memory.page(self.koids[vmo], expected);
                let same = match page {
                    Page::There(bytes, _) => there.is_some_and(|page| page[..] == bytes[..]),
                    _ => there.is_none(),
                };
                assert!(same, "page {expected} of VMO {vmo}");
            }
            if self.model.vmos[vmo].open {
                let content = self.m.content_size(self.handles[vmo]);
                assert_eq!(content, Ok(self.model.vmos[vmo].content));
            }
        }
        let main = self.m.main.thread;
        assert_eq!(self.m.call_on(main, N::ProcessExit, &[0]), Outcome::Gone);
        assert_eq!(self.m.kernel.usage(), [], "nothing is left");
    }
}

fn play(steps: &[Step]) {
    let mut player = Player::new();
    for step in steps {
        player.play(step);
        if player.dead {
            return;
        }
    }
    player.finish();
}

fn step() -> impl Strategy<Value = Step> {
    let vmo = || 0u8..5;
    let pages = || prop_oneof![6 => 0u64..9, 1 => 0u64..40];
    // Whole pages mostly, and then some.
    let bytes = move || {
        prop_oneof![
            3 => pages().prop_map(|pages| pages * PAGE_SIZE),
            2 => (pages(), 1u64..4096).prop_map(|(pages, more)| pages * PAGE_SIZE + more),
        ]
    };
    let any_bool = any::<bool>;
    prop_oneof![
        2 => (bytes(), any_bool()).prop_map(|(size, resizable)| Step::Anonymous { size, resizable }),
        4 => (0u8..2, bytes(), any_bool()).prop_map(|(pager, size, resizable)| Step::Paged { pager, size, resizable }),
        2 => (vmo(), 0u64..5, pages()).prop_map(|(vmo, page, count)| Step::Slice { vmo, page, count }),
        6 => (vmo(), bytes(), bytes()).prop_map(|(vmo, offset, length)| Step::Read { vmo, offset, length }),
        8 => (vmo(), bytes(), bytes(), any::<u8>())
            .prop_map(|(vmo, offset, length, tag)| Step::Write { vmo, offset, length, tag }),
        8 => (vmo(), 0u64..9, any_bool()).prop_map(|(vmo, page, write)| Step::Touch { vmo, page, write }),
        1 => vmo().prop_map(|vmo| Step::Unmap { vmo }),
        3 => (vmo(), bytes()).prop_map(|(vmo, size)| Step::SetSize { vmo, size }),
        2 => (vmo(), bytes()).prop_map(|(vmo, size)| Step::SetContent { vmo, size }),
        12 => (vmo(), 0u64..6, pages(), vmo(), 0u64..4)
            .prop_map(|(vmo, page, count, aux, aux_page)| Step::Supply { vmo, page, count, aux, aux_page }),
        1 => vmo().prop_map(|vmo| Step::Detach { vmo }),
        1 => (0u8..12).prop_map(|pager| if pager < 2 { Step::ClosePager { pager } } else { Step::Poll }),
        1 => vmo().prop_map(|vmo| Step::Close { vmo }),
        4 => Just(Step::Poll),
        2 => Just(Step::PortWait),
        1 => any::<u8>().prop_map(|wait| Step::Kill { wait }),
    ]
}

#[test]
fn core_and_model_agree() {
    let cases = std::env::var("ZVMM_CASES").map_or(2_000, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    // Something to begin with, so that no script is idle.
    let first = [
        Step::Paged {
            pager: 0,
            size: 8 * PAGE_SIZE,
            resizable: true,
        },
        Step::Anonymous {
            size: 12 * PAGE_SIZE,
            resizable: false,
        },
        Step::Paged {
            pager: 1,
            size: 40 * PAGE_SIZE,
            resizable: false,
        },
    ];
    let mut runner = TestRunner::new(config);
    let scripts = prop::collection::vec(step(), 1..90);
    let result = runner.run(&scripts, |steps| {
        let script: Vec<Step> = first.iter().cloned().chain(steps).collect();
        play(&script);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// A place to paste a failing script; what is here now takes one packet of each kind.
#[test]
fn replay() {
    use Step::*;
    play(&[
        Paged {
            pager: 0,
            size: 8192,
            resizable: false,
        },
        Read {
            vmo: 0,
            offset: 0,
            length: 8192,
        },
        Poll,
        Detach { vmo: 0 },
        Poll,
    ]);
}
