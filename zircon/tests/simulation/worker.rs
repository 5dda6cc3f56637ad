//! A simulated thread: it reads, writes, touches, commits, cuts and copies VMOs, one thing at a time.

use std::ops::Range;

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};
use zircon::{Access, OpResult, ThreadId, Token};

use super::words::{self, BLOCK, Floors};
use super::{Call, Origin, PAGES, VMOS, WORKERS, World};
use crate::common::Touch;
use crate::common::random::Source;

/// What a worker has begun.
#[derive(Clone, Debug)]
enum Doing {
    Nothing,
    Reading(Span, Floors),
    /// Pages with the number of the writing.
    Writing(Vec<(usize, u64, u64)>),
    Touching {
        vmo: usize,
        page: u64,
        /// The number of the writing, or what the touch must find at least.
        version: u64,
        write: bool,
    },
    Making(Origin, u64),
    Other,
}

/// Pages of a VMO.
#[derive(Clone, Debug)]
struct Span {
    vmo: usize,
    pages: Range<u64>,
}

pub struct Worker {
    number: usize,
    thread: ThreadId,
    /// Where it keeps bytes; a page for results behind it.
    buffer: u64,
    doing: Doing,
    waits: Option<Token>,
}

impl Worker {
    pub fn new(world: &mut World, number: usize) -> Self {
        let m = &mut world.m;
        let length = (PAGES + 1) * PAGE_SIZE;
        let buffer = m.alloc(length);
        m.poke(buffer, &vec![1; length as usize]);
        Worker {
            number,
            thread: m.thread(),
            buffer,
            doing: Doing::Nothing,
            waits: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing)
    }

    pub fn step(&mut self, world: &mut World, source: &mut Source<'_>, finishing: bool) {
        if let Some(token) = self.waits {
            match world.result(token) {
                None => {}
                Some(OpResult::Returned(value)) => self.ended(world, value),
                Some(OpResult::Retry) => self.touch(world),
                Some(OpResult::Restart | OpResult::Gone) => panic!("{:?} is gone", self.thread),
            }
        } else if !finishing {
            self.begin(world, source);
        }
    }

    fn begin(&mut self, world: &mut World, source: &mut Source<'_>) {
        let vmo = source.below(world.vmos.len() as u64) as usize;
        let (first, count) = (source.below(PAGES), 1 + source.below(PAGES));
        let end = (first + count).min(world.vmos[vmo].pages);
        if !world.vmos[vmo].open || first >= end {
            return;
        }
        let pages = first..end;
        match source.below(16) {
            0..4 => self.read(world, vmo, pages),
            4..8 => self.write(world, vmo, pages),
            8..12 => self.begin_touch(world, vmo, first, source.below(2) == 1),
            12 => self.on_range(world, vmo, 1, pages),
            13 if world.is_wild(vmo) => match source.below(2) {
                0 => self.on_range(world, vmo, 10, pages),
                _ => self.set_size(world, vmo, source.below(PAGES * PAGE_SIZE / 8 + 1) * 8),
            },
            14 => self.make(world, vmo, pages, source.below(4)),
            15 if world.vmos[vmo].origin.is_some() && source.below(3) == 0 => {
                world.vmos[vmo].open = false;
                let args = [world.vmos[vmo].handle.into()];
                self.call(world, N::HandleClose, &args, Doing::Other);
            }
            _ => {}
        }
    }

    fn call(&mut self, world: &mut World, number: N, args: &[u64], doing: Doing) {
        self.doing = doing;
        match world.call(self.thread, number, args) {
            Call::Over(value) => self.ended(world, value),
            Call::Waits(token) => self.waits = Some(token),
        }
    }

    fn transfer(&self, world: &World, vmo: usize, pages: &Range<u64>) -> [u64; 4] {
        let (offset, length) = (pages.start * PAGE_SIZE, pages.end - pages.start);
        let handle = world.vmos[vmo].handle.into();
        [handle, self.buffer, offset, length * PAGE_SIZE]
    }

    fn read(&mut self, world: &mut World, vmo: usize, pages: Range<u64>) {
        let floors = world.floors(vmo, pages.clone());
        let args = self.transfer(world, vmo, &pages);
        let doing = Doing::Reading(Span { vmo, pages }, floors);
        self.call(world, N::VmoRead, &args, doing);
    }

    /// Whether this worker, and no other one, writes to a page.
    fn writes_to(&self, world: &World, vmo: usize, page: u64) -> bool {
        let (_, page) = world.same(vmo, page);
        (page / BLOCK) as usize % WORKERS == self.number
    }

    fn write(&mut self, world: &mut World, vmo: usize, pages: Range<u64>) {
        let mine = |page: &u64| self.writes_to(world, vmo, *page);
        let mine: Vec<u64> = pages
            .skip_while(|page| !mine(page))
            .take_while(mine)
            .collect();
        let (Some(&first), Some(&last)) = (mine.first(), mine.last()) else {
            return;
        };
        let mut bytes = Vec::new();
        let mut writing = Vec::new();
        for page in mine {
            let (owner, at) = world.same(vmo, page);
            let version = world.words.begin(owner, at);
            bytes.extend(words::page(owner, at, version));
            writing.push((owner, at, version));
        }
        world.m.poke_present(self.buffer, &bytes);
        let args = self.transfer(world, vmo, &(first..last + 1));
        self.call(world, N::VmoWrite, &args, Doing::Writing(writing));
    }

    fn on_range(&mut self, world: &mut World, vmo: usize, op: u64, pages: Range<u64>) {
        let [handle, _, offset, length] = self.transfer(world, vmo, &pages);
        let args = [handle, op, offset, length, 0, 0];
        self.call(world, N::VmoOpRange, &args, Doing::Other);
    }

    fn set_size(&mut self, world: &mut World, vmo: usize, size: u64) {
        if world.vmos[vmo].resizable {
            let args = [world.vmos[vmo].handle.into(), size];
            self.call(world, N::VmoSetSize, &args, Doing::Other);
        }
    }

    /// A child, of a kind that there may not be for its parent.
    fn make(&mut self, world: &mut World, parent: usize, pages: Range<u64>, kind: u64) {
        if world.vmos.len() >= VMOS {
            return;
        }
        let [handle, _, offset, length] = self.transfer(world, parent, &pages);
        let option = [8, 1, 0x10, 0x80][kind as usize];
        let out = self.buffer + PAGES * PAGE_SIZE;
        let origin = Origin {
            parent,
            page: pages.start,
            same: kind == 0,
        };
        let args = [handle, option, offset, length, out];
        let doing = Doing::Making(origin, pages.end - pages.start);
        self.call(world, N::VmoCreateChild, &args, doing);
    }

    /// Touches that fail would end everything: only pages that stay are touched.
    fn begin_touch(&mut self, world: &mut World, vmo: usize, page: u64, write: bool) {
        let write = write && self.writes_to(world, vmo, page);
        if world.vmos[vmo].address.is_none() || world.is_short {
            return;
        }
        let version = match write {
            true => world.words.begin(vmo, page),
            false => world.floors(vmo, page..page + 1)[0],
        };
        self.doing = Doing::Touching {
            vmo,
            page,
            version,
            write,
        };
        self.touch(world);
    }

    fn touch(&mut self, world: &mut World) {
        let Doing::Touching {
            vmo,
            page,
            version,
            write,
        } = self.doing
        else {
            panic!("{:?} is no touch", self.doing);
        };
        let address = world.vmos[vmo].address.unwrap() + page * PAGE_SIZE;
        let access = if write { Access::Write } else { Access::Read };
        match world.m.touch(self.thread, address, access) {
            Touch::Blocked(token) => {
                self.waits = Some(token);
                return;
            }
            other @ (Touch::Restart | Touch::Fatal(_)) => {
                panic!("VMO {vmo} page {page}: {other:?}")
            }
            Touch::Done => {}
        }
        if write {
            let bytes = words::page(vmo, page, version);
            world.m.poke_present(address, &bytes);
            world.words.end(vmo, page, version);
        } else {
            let bytes = world.m.try_peek(address, PAGE_SIZE);
            world.check(vmo, page, &bytes.unwrap(), version);
        }
        self.doing = Doing::Nothing;
        self.waits = None;
    }

    /// A call is over.
    fn ended(&mut self, world: &mut World, value: u64) {
        self.waits = None;
        let status = Status::from_register(value);
        match (std::mem::replace(&mut self.doing, Doing::Nothing), status) {
            (Doing::Reading(Span { vmo, pages }, floors), Status::OK) => {
                let bytes = world
                    .m
                    .peek(self.buffer, (pages.end - pages.start) * PAGE_SIZE);
                let bytes = bytes.chunks(PAGE_SIZE as usize);
                for ((page, bytes), floor) in pages.zip(bytes).zip(floors) {
                    world.check(vmo, page, bytes, floor);
                }
            }
            (Doing::Nothing, _) => panic!("{status} of nothing"),
            (_, Status::NO_MEMORY | Status::NO_SPACE) if world.is_short => {}
            (Doing::Reading(Span { vmo, .. }, _), Status::OUT_OF_RANGE) => {
                assert!(world.is_wild(vmo));
            }
            (Doing::Writing(writing), status) => {
                for (vmo, page, version) in writing {
                    match status {
                        Status::OK => world.words.end(vmo, page, version),
                        Status::OUT_OF_RANGE => assert!(world.is_wild(vmo)),
                        other => panic!("{other}"),
                    }
                }
            }
            (Doing::Making(origin, pages), Status::OK) => {
                let handle = world.m.peek_u32(self.buffer + PAGES * PAGE_SIZE);
                let vmo = world.add(handle, pages, false);
                world.vmos[vmo].origin = Some(origin);
                world.vmos[vmo].service = world.vmos[origin.parent].service;
            }
            // Not every kind of child is to be had of every VMO, nor of one that is not as large any more.
            (
                Doing::Making(..),
                Status::NOT_SUPPORTED | Status::INVALID_ARGS | Status::BAD_HANDLE,
            ) => {}
            (Doing::Other, Status::OK | Status::OUT_OF_RANGE | Status::BAD_HANDLE) => {}
            (doing, status) => panic!("{doing:?}: {status}"),
        }
    }
}
