//! A thread: one thing at a time, and it remembers what it wrote.

use std::collections::BTreeMap;

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};
use zircon::{Access, OpResult, ThreadId, Token};

use super::{Kind, NEEDED, PAGES, THREADS, Vmo, WRITTEN, World, supplied};
use crate::common::random::Source;
use crate::common::{Outcome, Touch};

/// Touches of one access before it must have gone through.
const PATIENCE: u32 = 100;

/// A page of a VMO.
type Page = (usize, u64);

#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    Reading(Page),
    Writing(Page, u8),
    /// From a VMO to a page that is mapped.
    Copying(Page, Page),
    Touching(Page, Option<u8>),
    Locking(usize),
    Unlocking,
    Hinting,
}

pub struct Thread {
    number: usize,
    thread: ThreadId,
    /// A page for bytes, and one for results.
    buffer: u64,
    /// There is memory enough for everybody.
    enough: bool,
    doing: Doing,
    waits: Option<Token>,
    tries: u32,
    /// What fills the pages that it wrote to.
    written: BTreeMap<Page, u8>,
    locked: Option<usize>,
    next: u8,
}

impl Thread {
    pub fn new(world: &mut World, number: usize, enough: bool) -> Self {
        let buffer = world.m.alloc(2 * PAGE_SIZE);
        world.m.poke(buffer, &[0; 2 * PAGE_SIZE as usize]);
        Thread {
            number,
            thread: world.m.thread(),
            buffer,
            enough,
            doing: Doing::Nothing,
            waits: None,
            tries: 0,
            written: BTreeMap::new(),
            locked: None,
            next: 0,
        }
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing)
    }

    pub fn step(&mut self, world: &mut World, source: &mut Source<'_>, finishing: bool) {
        if let Some(token) = self.waits {
            match world.m.result(token) {
                None => {}
                Some(OpResult::Returned(value)) => self.ended(world, value),
                Some(OpResult::Retry) => self.touch(world),
                Some(other) => panic!("{:?}: {other:?}", self.doing),
            }
        } else if !finishing {
            self.begin(world, source);
        }
    }

    /// A page of its own that it may use now.
    fn pick(&self, world: &World, source: &mut Source<'_>) -> Option<(Page, Kind)> {
        let at = source.below(world.vmos.len() as u64) as usize;
        let kind = world.vmos[at].kind;
        let page = source.below(kind.pages() / THREADS as u64) * THREADS as u64;
        let usable = match kind {
            // A service that cannot supply for want of memory would leave everybody waiting.
            Kind::Paged => self.enough,
            Kind::Discardable(owner) => owner == self.number,
            Kind::Host | Kind::Plain => true,
        };
        let page = (at, page + self.number as u64);
        usable.then_some((page, kind))
    }

    fn can_write(&self, page: Page, kind: Kind) -> bool {
        match kind {
            Kind::Paged | Kind::Host => page.1 < WRITTEN,
            Kind::Plain => true,
            Kind::Discardable(_) => self.locked == Some(page.0),
        }
    }

    fn begin(&mut self, world: &mut World, source: &mut Source<'_>) {
        let Some((page, kind)) = self.pick(world, source) else {
            return;
        };
        let can_write = self.can_write(page, kind);
        let can_touch = self.enough && (can_write || kind.is_supplied());
        self.next = self.next.wrapping_add(1);
        let byte = self.next;
        match source.below(12) {
            0..3 => self.transfer(world, N::VmoRead, page, Doing::Reading(page)),
            3..5 if can_write => {
                world
                    .m
                    .poke_present(self.buffer, &[byte; PAGE_SIZE as usize]);
                self.transfer(world, N::VmoWrite, page, Doing::Writing(page, byte));
            }
            5 if can_write => {
                let from = self.pick(world, source);
                let from = from.filter(|(_, kind)| kind.is_supplied());
                if let Some((from, _)) = from.filter(|(from, _)| *from != page) {
                    self.copy(world, from, page);
                }
            }
            6..8 if can_touch => self.begin_touch(world, page, None),
            8 if can_touch && can_write => self.begin_touch(world, page, Some(byte)),
            9..11 if matches!(kind, Kind::Discardable(_)) => self.lock(world, page.0),
            11 if kind.is_supplied() => self.hint(world, page, source.below(2) == 0),
            _ => {}
        }
    }

    fn call(&mut self, world: &mut World, number: N, args: &[u64], doing: Doing) {
        self.doing = doing;
        match world.m.call_on(self.thread, number, args) {
            Outcome::Value(value) => self.ended(world, value),
            Outcome::Blocked(token) => self.waits = Some(token),
            other => panic!("{:?}: {other:?}", self.doing),
        }
    }

    fn transfer(&mut self, world: &mut World, number: N, (vmo, page): Page, doing: Doing) {
        let handle = world.vmos[vmo].handle.into();
        let args = [handle, self.buffer, page * PAGE_SIZE, PAGE_SIZE];
        self.call(world, number, &args, doing);
    }

    /// Needs two pages at once.
    fn copy(&mut self, world: &mut World, from: Page, to: Page) {
        let (source, target) = (world.vmos[from.0].handle, world.vmos[to.0].address);
        let buffer = target + to.1 * PAGE_SIZE;
        let args = [source.into(), buffer, from.1 * PAGE_SIZE, PAGE_SIZE];
        self.call(world, N::VmoRead, &args, Doing::Copying(from, to));
    }

    fn lock(&mut self, world: &mut World, vmo: usize) {
        let (op, doing) = match self.locked.is_some() {
            true => (VmoOp::Unlock, Doing::Unlocking),
            false => (VmoOp::Lock, Doing::Locking(vmo)),
        };
        let Vmo { handle, kind, .. } = world.vmos[vmo];
        let (length, result) = (kind.pages() * PAGE_SIZE, self.buffer + PAGE_SIZE);
        let args = [handle.into(), op as u64, 0, length, result, 32];
        self.call(world, N::VmoOpRange, &args, doing);
    }

    fn hint(&mut self, world: &mut World, (vmo, page): Page, need: bool) {
        let (op, page) = match need && self.enough {
            true => (VmoOp::AlwaysNeed, PAGES - 1 - page % NEEDED),
            false => (VmoOp::DontNeed, page),
        };
        let handle = world.vmos[vmo].handle.into();
        let args = [handle, op as u64, page * PAGE_SIZE, PAGE_SIZE, 0, 0];
        self.call(world, N::VmoOpRange, &args, Doing::Hinting);
    }

    fn begin_touch(&mut self, world: &mut World, page: Page, write: Option<u8>) {
        self.doing = Doing::Touching(page, write);
        self.tries = 0;
        self.touch(world);
    }

    /// As a processor does: what is there and permits the access is reached without anybody being asked.
    fn touch(&mut self, world: &mut World) {
        let Doing::Touching(page, write) = self.doing else {
            panic!("{:?} is no touch", self.doing);
        };
        self.waits = None;
        let vmo = world.vmos[page.0];
        let reached = match write {
            Some(_) => world.m.memory.is_writable(vmo.id, page.1),
            None => world.m.memory.page(vmo.id, page.1).is_some(),
        };
        if !reached {
            self.tries += 1;
            assert!(self.tries < PATIENCE, "{:?} never goes through", self.doing);
            let access = if write.is_some() {
                Access::Write
            } else {
                Access::Read
            };
            let address = vmo.address + page.1 * PAGE_SIZE;
            match world.m.touch(self.thread, address, access) {
                Touch::Done => {}
                Touch::Blocked(token) => {
                    self.waits = Some(token);
                    return;
                }
                other => panic!("{:?}: {other:?}", self.doing),
            }
        }
        self.doing = Doing::Nothing;
        match write {
            Some(byte) => {
                let there = world.m.memory.page_mut(vmo.id, page.1);
                there.unwrap().fill(byte);
                self.written.insert(page, byte);
            }
            None => {
                let there = *world.m.memory.page(vmo.id, page.1).unwrap();
                self.check(world, page, &there);
            }
        }
    }

    fn expected(&self, world: &World, page: Page) -> u8 {
        let at_first = match world.vmos[page.0].kind.is_supplied() {
            true => supplied(page.1),
            false => 0,
        };
        self.written.get(&page).copied().unwrap_or(at_first)
    }

    fn check(&self, world: &World, page: Page, bytes: &[u8]) {
        let expected = self.expected(world, page);
        let right = bytes.iter().all(|byte| *byte == expected);
        assert!(right, "{page:?}: {} instead of {expected}", bytes[0]);
    }

    fn ended(&mut self, world: &mut World, value: u64) {
        self.waits = None;
        let status = Status::from_register(value);
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        match (doing, status) {
            (Doing::Reading(page), Status::OK) => {
                let bytes = world.m.peek(self.buffer, PAGE_SIZE);
                self.check(world, page, &bytes);
            }
            (Doing::Reading((vmo, _)), Status::NOT_FOUND) => {
                let kind = world.vmos[vmo].kind;
                assert!(matches!(kind, Kind::Discardable(_)) && self.locked != Some(vmo));
            }
            (Doing::Writing(page, byte), Status::OK) => {
                self.written.insert(page, byte);
            }
            (Doing::Copying(from, to), Status::OK) => {
                self.written.insert(to, self.expected(world, from));
            }
            (Doing::Locking(vmo), Status::OK) => {
                self.locked = Some(vmo);
                if world.m.peek_u64(self.buffer + PAGE_SIZE + 24) > 0 {
                    self.written.retain(|page, _| page.0 != vmo);
                }
            }
            (Doing::Unlocking, Status::OK) => self.locked = None,
            (Doing::Hinting, Status::OK) => {}
            (Doing::Reading(_) | Doing::Writing(..) | Doing::Copying(..), Status::NO_MEMORY)
                if !self.enough => {}
            (doing, status) => panic!("{doing:?}: {status}"),
        }
    }
}
