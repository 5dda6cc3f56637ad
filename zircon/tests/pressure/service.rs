//! The program's pager service: it supplies what is asked for, a few pages at a time.

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, PortPacket, Status};
use zircon::{OpResult, ThreadId, Token};

use super::{World, supplied};
use crate::common::{Outcome, Packet, TestMachine, read_packet};

/// Most pages that it supplies at a time.
pub const AUX: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    Taking,
    Filling(Piece),
    Supplying,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    vmo: usize,
    first: u64,
    count: u64,
}

pub struct Service {
    pager: u32,
    port: u32,
    thread: ThreadId,
    aux: u32,
    buffer: u64,
    doing: Doing,
    waits: Option<Token>,
    todo: Vec<Piece>,
}

impl Service {
    pub fn new(m: &mut TestMachine, pager: u32, port: u32) -> Self {
        let buffer = m.alloc(AUX * PAGE_SIZE);
        m.poke(buffer, &[0; (AUX * PAGE_SIZE) as usize]);
        Service {
            pager,
            port,
            thread: m.thread(),
            aux: m.vmo(AUX),
            buffer,
            doing: Doing::Nothing,
            waits: None,
            todo: Vec::new(),
        }
    }

    pub fn step(&mut self, world: &mut World) {
        if let Some(token) = self.waits {
            match world.m.result(token) {
                None => {}
                Some(OpResult::Returned(value)) => self.ended(world, value),
                Some(other) => panic!("{other:?}"),
            }
            return;
        }
        let Some(mut piece) = self.todo.pop() else {
            let args = [self.port.into(), i64::MAX as u64, self.buffer];
            return self.call(world, N::PortWait, &args, Doing::Taking);
        };
        if piece.count > AUX {
            self.todo.push(Piece {
                first: piece.first + AUX,
                count: piece.count - AUX,
                ..piece
            });
            piece.count = AUX;
        }
        let pages = piece.first..piece.first + piece.count;
        let bytes = pages.flat_map(|page| [supplied(page); PAGE_SIZE as usize]);
        world
            .m
            .poke_present(self.buffer, &bytes.collect::<Vec<u8>>());
        let length = piece.count * PAGE_SIZE;
        let args = [self.aux.into(), self.buffer, 0, length];
        self.call(world, N::VmoWrite, &args, Doing::Filling(piece));
    }

    fn call(&mut self, world: &mut World, number: N, args: &[u64], doing: Doing) {
        self.doing = doing;
        match world.m.call_on(self.thread, number, args) {
            Outcome::Value(value) => self.ended(world, value),
            Outcome::Blocked(token) => self.waits = Some(token),
            other => panic!("the service: {other:?}"),
        }
    }

    fn ended(&mut self, world: &mut World, value: u64) {
        self.waits = None;
        assert_eq!(Status::from_register(value), Status::OK, "{:?}", self.doing);
        match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Taking => {
                let bytes = world.m.peek(self.buffer, PortPacket::SIZE as u64);
                let Packet::Read(vmo, first, end) = read_packet(&bytes).into() else {
                    panic!("no READ");
                };
                self.todo.push(Piece {
                    vmo: vmo as usize,
                    first,
                    count: end - first,
                });
            }
            Doing::Filling(piece) => {
                let vmo = world.vmos[piece.vmo].handle;
                let (offset, length) = (piece.first * PAGE_SIZE, piece.count * PAGE_SIZE);
                let (pager, aux) = (self.pager.into(), self.aux.into());
                let args = [pager, vmo.into(), offset, length, aux, 0];
                self.call(world, N::PagerSupplyPages, &args, Doing::Supplying);
            }
            Doing::Supplying | Doing::Nothing => {}
        }
    }
}
