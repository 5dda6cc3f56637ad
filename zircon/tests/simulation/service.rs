//! A pager service: one thread that takes packets and answers them, in pieces and in any order.

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, PortPacket, Status};
use zircon::{OpResult, ThreadId, Token};

use super::{Call, PAGES, World, words};
use crate::common::random::Source;
use crate::common::{Packet, read_packet};

/// What the service's thread does.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    Taking(Token),
    /// Writes pages into its auxiliary VMO.
    Filling(Token, Piece),
    Supplying(Token, Piece),
}

/// Pages that were asked for.
#[derive(Clone, Copy, Debug)]
struct Piece {
    vmo: usize,
    first: u64,
    count: u64,
}

pub struct Service {
    pub pager: u32,
    pub port: u32,
    thread: ThreadId,
    aux: u32,
    /// Where it keeps packets and pages.
    buffer: u64,
    doing: Doing,
    todo: Vec<Piece>,
}

impl Service {
    pub fn new(world: &mut World) -> Self {
        let m = &mut world.m;
        let buffer = m.alloc(PAGES * PAGE_SIZE);
        m.poke(buffer, &vec![1; (PAGES * PAGE_SIZE) as usize]);
        Service {
            pager: m.pager_create(),
            port: m.port_create(),
            thread: m.thread(),
            aux: m.vmo(PAGES),
            buffer,
            doing: Doing::Nothing,
            todo: Vec::new(),
        }
    }

    /// Nothing is asked of it.
    pub fn is_idle(&self) -> bool {
        self.todo.is_empty() && matches!(self.doing, Doing::Taking(_))
    }

    pub fn step(&mut self, world: &mut World, source: &mut Source<'_>) {
        match self.doing {
            Doing::Nothing if self.todo.is_empty() || source.below(3) == 0 => self.take(world),
            Doing::Nothing => self.answer(world, source),
            Doing::Taking(token) => {
                if let Some(value) = value(world, token) {
                    self.taken(world, value);
                } else if !self.todo.is_empty() {
                    world.m.advance(source.below(20) as i64);
                }
            }
            Doing::Filling(token, piece) => {
                if let Some(value) = value(world, token) {
                    self.filled(world, piece, value);
                }
            }
            Doing::Supplying(token, piece) => {
                if let Some(value) = value(world, token) {
                    self.supplied(piece, value);
                }
            }
        }
    }

    /// Waits for a packet no longer than for a moment if there is something to do.
    fn take(&mut self, world: &mut World) {
        let deadline = match self.todo.is_empty() {
            true => i64::MAX,
            false => world.m.now + 10,
        };
        let args = [self.port.into(), deadline as u64, self.buffer];
        match world.call(self.thread, N::PortWait, &args) {
            Call::Over(value) => self.taken(world, value),
            Call::Waits(token) => self.doing = Doing::Taking(token),
        }
    }

    fn taken(&mut self, world: &World, value: u64) {
        self.doing = Doing::Nothing;
        if Status::from_register(value) == Status::TIMED_OUT {
            return;
        }
        assert_eq!(value, 0, "port_wait");
        let bytes = world.m.peek(self.buffer, PortPacket::SIZE as u64);
        match read_packet(&bytes).into() {
            Packet::Read(vmo, first, end) => self.todo.push(Piece {
                vmo: vmo as usize,
                first,
                count: end - first,
            }),
            Packet::Complete(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Answers a part of something that was asked for.
    fn answer(&mut self, world: &mut World, source: &mut Source<'_>) {
        let at = source.below(self.todo.len() as u64) as usize;
        let whole = self.todo.swap_remove(at);
        let from = source.below(whole.count);
        let count = match source.below(2) {
            0 => whole.count - from,
            _ => 1 + source.below(whole.count - from),
        };
        let first = whole.first + from;
        for (first, end) in [
            (whole.first, first),
            (first + count, whole.first + whole.count),
        ] {
            if first < end {
                let count = end - first;
                self.todo.push(Piece {
                    first,
                    count,
                    ..whole
                });
            }
        }
        let piece = Piece {
            first,
            count,
            ..whole
        };
        let pages = (first..first + count).flat_map(|page| words::page(piece.vmo, page, 0));
        world
            .m
            .poke_present(self.buffer, &pages.collect::<Vec<u8>>());
        let args = [self.aux.into(), self.buffer, 0, count * PAGE_SIZE];
        match world.call(self.thread, N::VmoWrite, &args) {
            Call::Over(value) => self.filled(world, piece, value),
            Call::Waits(token) => self.doing = Doing::Filling(token, piece),
        }
    }

    fn filled(&mut self, world: &mut World, piece: Piece, value: u64) {
        assert_eq!(value, 0, "the auxiliary VMO is written to");
        let (offset, length) = (piece.first * PAGE_SIZE, piece.count * PAGE_SIZE);
        let vmo = world.vmos[piece.vmo].handle;
        let (pager, aux) = (self.pager.into(), self.aux.into());
        let args = [pager, vmo.into(), offset, length, aux, 0];
        match world.call(self.thread, N::PagerSupplyPages, &args) {
            Call::Over(value) => self.supplied(piece, value),
            Call::Waits(token) => self.doing = Doing::Supplying(token, piece),
        }
    }

    fn supplied(&mut self, piece: Piece, value: u64) {
        self.doing = Doing::Nothing;
        let status = Status::from_register(value);
        if status == Status::OUT_OF_RANGE && piece.count > 1 {
            // A part of it was cut off meanwhile, which nobody waits for; somebody may for the rest.
            let count = piece.count / 2;
            let (first, rest) = (piece.first + count, piece.count - count);
            self.todo.push(Piece { count, ..piece });
            self.todo.push(Piece {
                first,
                count: rest,
                ..piece
            });
            return;
        }
        assert!(
            [Status::OK, Status::OUT_OF_RANGE].contains(&status),
            "{status}"
        );
    }
}

/// The value of a call that had to wait, if it is over.
fn value(world: &mut World, token: Token) -> Option<u64> {
    match world.result(token)? {
        OpResult::Returned(value) => Some(value),
        other => panic!("{other:?}"),
    }
}
