//! A pager service: one thread that takes packets and answers them, in pieces and in any order, and writes back what is dirty.

use std::collections::BTreeMap;

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, PortPacket, Status};
use zircon::{OpResult, ThreadId, Token};

use super::{Call, PAGES, World, words};
use crate::common::random::Source;
use crate::common::{Packet, read_packet};

/// `ZX_PAGER_OP_*`
const FAIL: u64 = 1;
const DIRTY: u64 = 2;
const WRITEBACK_BEGIN: u64 = 3;
const WRITEBACK_END: u64 = 4;

/// What the service's thread does.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    Taking,
    /// Writes pages into its auxiliary VMO.
    Filling(Piece),
    Supplying(Piece),
    Dirtying(Piece),
    Failing(Piece),
    Asking(usize),
    Beginning(Piece),
    /// Reads what is to be written back.
    Reading(Piece),
    Ending,
}

/// Pages that were asked for, or are to be written back.
#[derive(Clone, Copy, Debug)]
struct Piece {
    vmo: usize,
    first: u64,
    count: u64,
    /// They are to be dirty, or to be written back as zeros.
    special: bool,
}

impl Piece {
    fn offset(&self) -> u64 {
        self.first * PAGE_SIZE
    }

    fn length(&self) -> u64 {
        self.count * PAGE_SIZE
    }

    fn part(&self, first: u64, end: u64) -> Piece {
        let count = end - first;
        Piece {
            first,
            count,
            ..*self
        }
    }
}

pub struct Service {
    pub pager: u32,
    pub port: u32,
    thread: ThreadId,
    aux: u32,
    /// Where it keeps packets and pages.
    buffer: u64,
    doing: Doing,
    waits: Option<Token>,
    todo: Vec<Piece>,
    /// What was written back.
    file: BTreeMap<(usize, u64), Vec<u8>>,
}

impl Service {
    pub fn new(world: &mut World) -> Self {
        let m = &mut world.m;
        let buffer = m.alloc(PAGES * PAGE_SIZE);
        m.poke(buffer, &vec![1; (PAGES * PAGE_SIZE) as usize]);
        let aux = m.vmo(PAGES);
        Service {
            pager: m.pager_create(),
            port: m.port_create(),
            thread: m.thread(),
            aux,
            buffer,
            doing: Doing::Nothing,
            waits: None,
            todo: Vec::new(),
            file: BTreeMap::new(),
        }
    }

    /// Nothing is asked of it.
    pub fn is_idle(&self) -> bool {
        self.todo.is_empty() && matches!(self.doing, Doing::Taking)
    }

    /// `own`: the VMOs that it answers for.
    pub fn step(&mut self, world: &mut World, source: &mut Source<'_>, own: &[usize]) {
        if let Some(token) = self.waits {
            match world.result(token) {
                Some(OpResult::Returned(value)) => self.ended(world, value),
                Some(other) => panic!("{other:?}"),
                None if matches!(self.doing, Doing::Taking) => {
                    // A wait for more while there is something to do is not for ever.
                    world.m.advance(source.below(20) as i64);
                }
                None => {}
            }
            return;
        }
        match source.below(6) {
            0 => {
                let vmo = own[source.below(own.len() as u64) as usize];
                self.write_back(world, vmo);
            }
            1..4 if !self.todo.is_empty() => self.answer(world, source),
            _ => self.take(world),
        }
    }

    fn call(&mut self, world: &mut World, number: N, args: &[u64], doing: Doing) {
        self.doing = doing;
        match world.call(self.thread, number, args) {
            Call::Over(value) => self.ended(world, value),
            Call::Waits(token) => self.waits = Some(token),
        }
    }

    fn op_range(&mut self, world: &mut World, op: u64, piece: Piece, data: u64, doing: Doing) {
        let vmo = world.vmos[piece.vmo].handle.into();
        let args = [
            self.pager.into(),
            op,
            vmo,
            piece.offset(),
            piece.length(),
            data,
        ];
        self.call(world, N::PagerOpRange, &args, doing);
    }

    fn take(&mut self, world: &mut World) {
        let deadline = match self.todo.is_empty() {
            true => i64::MAX,
            false => world.m.now + 10,
        };
        let args = [self.port.into(), deadline as u64, self.buffer];
        self.call(world, N::PortWait, &args, Doing::Taking);
    }

    /// Answers a part of something that was asked for.
    fn answer(&mut self, world: &mut World, source: &mut Source<'_>) {
        let at = source.below(self.todo.len() as u64) as usize;
        let whole = self.todo.swap_remove(at);
        let first = whole.first + source.below(whole.count);
        let end = match source.below(2) {
            0 => whole.first + whole.count,
            _ => first + 1 + source.below(whole.first + whole.count - first),
        };
        for (first, end) in [(whole.first, first), (end, whole.first + whole.count)] {
            if first < end {
                self.todo.push(whole.part(first, end));
            }
        }
        let piece = whole.part(first, end);
        if piece.special {
            self.op_range(world, DIRTY, piece, 0, Doing::Dirtying(piece));
            return;
        }
        let mut bytes = Vec::new();
        for page in first..end {
            match self.file.get(&(piece.vmo, page)) {
                Some(kept) => bytes.extend_from_slice(kept),
                None => bytes.extend(words::page(piece.vmo, page, 0)),
            }
        }
        world.m.poke_present(self.buffer, &bytes);
        let args = [self.aux.into(), self.buffer, 0, piece.length()];
        self.call(world, N::VmoWrite, &args, Doing::Filling(piece));
    }

    fn write_back(&mut self, world: &mut World, vmo: usize) {
        let handle = world.vmos[vmo].handle.into();
        let length = PAGES * PAGE_SIZE;
        let mut args = vec![self.pager.into(), handle, 0, length, self.buffer, 24];
        args.extend([self.buffer + 24, 0]);
        self.call(world, N::PagerQueryDirtyRanges, &args, Doing::Asking(vmo));
    }

    /// A call is over.
    fn ended(&mut self, world: &mut World, value: u64) {
        self.waits = None;
        let status = Status::from_register(value);
        match (std::mem::replace(&mut self.doing, Doing::Nothing), status) {
            (Doing::Taking, Status::OK) => self.taken(world),
            (Doing::Taking, Status::TIMED_OUT) => {}
            (Doing::Filling(piece), Status::OK) => self.supply(world, piece),
            // What cannot be had is not waited for.
            (
                Doing::Filling(piece) | Doing::Supplying(piece) | Doing::Dirtying(piece),
                Status::NO_MEMORY,
            ) => {
                let data = Status::NO_SPACE.to_register();
                self.op_range(world, FAIL, piece, data, Doing::Failing(piece));
            }
            (Doing::Supplying(_) | Doing::Dirtying(_) | Doing::Failing(_), Status::OK) => {}
            // The pages went meanwhile: whoever waited asks for them first.
            (Doing::Dirtying(piece), Status::NOT_FOUND | Status::OUT_OF_RANGE)
            | (Doing::Supplying(piece) | Doing::Failing(piece), Status::OUT_OF_RANGE) => {
                self.halve(piece);
            }
            (Doing::Asking(vmo), Status::OK) => self.asked(world, vmo),
            (Doing::Asking(_), Status::OUT_OF_RANGE) => {}
            (Doing::Beginning(piece), Status::OK) => {
                let vmo = world.vmos[piece.vmo].handle.into();
                let args = [vmo, self.buffer, piece.offset(), piece.length()];
                self.call(world, N::VmoRead, &args, Doing::Reading(piece));
            }
            (Doing::Reading(piece), Status::OK) => self.written_back(world, piece),
            (Doing::Beginning(_) | Doing::Reading(_) | Doing::Ending, Status::OUT_OF_RANGE) => {}
            (Doing::Ending, Status::OK) => {}
            (doing, status) => panic!("{doing:?}: {status}"),
        }
    }

    fn taken(&mut self, world: &World) {
        let bytes = world.m.peek(self.buffer, PortPacket::SIZE as u64);
        let packet = read_packet(&bytes).into();
        let (vmo, first, end) = match packet {
            Packet::Read(vmo, first, end) | Packet::Dirty(vmo, first, end) => (vmo, first, end),
            other => panic!("{other:?}"),
        };
        self.todo.push(Piece {
            vmo: vmo as usize,
            first,
            count: end - first,
            special: matches!(packet, Packet::Dirty(..)),
        });
    }

    fn supply(&mut self, world: &mut World, piece: Piece) {
        let vmo = world.vmos[piece.vmo].handle.into();
        let (pager, aux) = (self.pager.into(), self.aux.into());
        let args = [pager, vmo, piece.offset(), piece.length(), aux, 0];
        self.call(world, N::PagerSupplyPages, &args, Doing::Supplying(piece));
    }

    /// A part of the pages is no more, and nobody waits for it; somebody may for the rest.
    fn halve(&mut self, piece: Piece) {
        let middle = piece.first + piece.count / 2;
        if piece.count > 1 {
            self.todo.push(piece.part(piece.first, middle));
            self.todo
                .push(piece.part(middle, piece.first + piece.count));
        }
    }

    /// Writes back the first range that is dirty.
    fn asked(&mut self, world: &mut World, vmo: usize) {
        if world.m.peek_u64(self.buffer + 24) == 0 {
            return;
        }
        let word = |n: u64| world.m.peek_u64(self.buffer + 8 * n);
        let piece = Piece {
            vmo,
            first: word(0) / PAGE_SIZE,
            count: word(1) / PAGE_SIZE,
            special: word(2) == 1,
        };
        let zero = u64::from(piece.special);
        self.op_range(world, WRITEBACK_BEGIN, piece, zero, Doing::Beginning(piece));
    }

    fn written_back(&mut self, world: &mut World, piece: Piece) {
        let bytes = world.m.peek(self.buffer, piece.length());
        let pages = (piece.first..).zip(bytes.chunks(PAGE_SIZE as usize));
        for (page, bytes) in pages {
            self.file.insert((piece.vmo, page), bytes.to_vec());
        }
        self.op_range(world, WRITEBACK_END, piece, 0, Doing::Ending);
    }
}
