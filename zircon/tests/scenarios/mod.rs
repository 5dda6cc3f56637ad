//! Zircon's own pager scenarios, under their names: "Basics", "Mappings", and those of the rest that these calls reach.
//! Where the suite runs a scenario through a read and through a mapping, so does this.

mod arguments;
mod basics;
mod chains;
mod clones;
mod commit;
mod dirty;
mod early_wake;
mod endings;
mod failures;
mod growth;
mod hints;
mod mappings;
mod pins;
mod ranges;
mod suspends;
mod writeback;

use std::ops::Range;

use protocol::options::{PagerOp, VmoOp};
use protocol::syscall::SyscallNumber as N;
use zircon::Token;

use crate::common::{Outcome, PAGE_SIZE, Packet, Reader, Status, TestMachine, Via};

const RESIZABLE: u32 = 2;
const TRAP_DIRTY: u32 = 8;
/// Those whose writes are noted, those whose writes are trapped.
const BOTH: [u32; 2] = [0, TRAP_DIRTY];

fn bytes(pages: &Range<u64>) -> (u64, u64) {
    (
        pages.start * PAGE_SIZE,
        (pages.end - pages.start) * PAGE_SIZE,
    )
}

/// A pager, a port and a VMO of some pages, key 7.
pub struct Scene {
    pub m: TestMachine,
    pub pager: u32,
    pub port: u32,
    pub vmo: u32,
}

pub fn scene(pages: u64) -> Scene {
    scene_with(pages, 0)
}

pub fn scene_with(pages: u64, options: u32) -> Scene {
    let mut m = TestMachine::new();
    let (pager, port) = (m.pager_create(), m.port_create());
    let size = pages * PAGE_SIZE;
    let vmo = m.pager_create_vmo(pager, options, port, 7, size).unwrap();
    Scene {
        m,
        pager,
        port,
        vmo,
    }
}

impl Scene {
    fn reader(&mut self, via: Via, pages: Range<u64>) -> Reader {
        self.m.reader(via, self.vmo, pages)
    }

    /// Page n is filled with n.
    fn supply(&mut self, pages: Range<u64>) {
        self.m.supply(self.pager, self.vmo, pages, 0).unwrap();
    }

    /// A thread that makes a call which has to wait.
    fn begin(&mut self, number: N, args: &[u64]) -> Token {
        let thread = self.m.thread();
        self.m.begin(thread, number, args)
    }

    /// A thread that commits pages, which have to be asked for.
    fn commit(&mut self, pages: Range<u64>) -> Token {
        self.range_op(VmoOp::Commit, pages)
    }

    fn range_op(&mut self, op: VmoOp, pages: Range<u64>) -> Token {
        let (offset, length) = bytes(&pages);
        let args = [self.vmo.into(), op as u64, offset, length, 0, 0];
        self.begin(N::VmoOpRange, &args)
    }

    /// A thread that writes pages, which have to be asked for, or about.
    fn write(&mut self, pages: Range<u64>, byte: u8) -> Token {
        let (offset, length) = bytes(&pages);
        let buffer = self.m.alloc(length);
        self.m.poke(buffer, &vec![byte; length as usize]);
        self.begin(N::VmoWrite, &[self.vmo.into(), buffer, offset, length])
    }

    fn op(&mut self, op: PagerOp, pages: Range<u64>) -> Result<(), Status> {
        let (pager, vmo) = (self.pager, self.vmo);
        self.m.pager_op_range(pager, op, vmo, pages, 0)
    }

    fn fail(&mut self, pages: Range<u64>, status: Status) {
        let (pager, vmo, data) = (self.pager, self.vmo, status.to_register());
        let result = self
            .m
            .pager_op_range(pager, PagerOp::Fail, vmo, pages, data);
        result.unwrap();
    }

    fn dirty(&mut self, pages: Range<u64>) {
        self.op(PagerOp::Dirty, pages).unwrap();
    }

    fn write_back(&mut self, pages: Range<u64>) {
        self.op(PagerOp::WritebackBegin, pages.clone()).unwrap();
        self.op(PagerOp::WritebackEnd, pages).unwrap();
    }

    /// The dirty ranges of the VMO: (first page, end page, zeros without storage).
    fn dirty_ranges(&mut self) -> Vec<(u64, u64, bool)> {
        let pages = self.m.vmo_get_size(self.vmo).unwrap() / PAGE_SIZE;
        self.m.dirty_ranges(self.pager, self.vmo, 0..pages)
    }

    fn was_modified(&mut self) -> bool {
        self.m.was_modified(self.pager, self.vmo)
    }

    fn zero(&mut self, pages: Range<u64>) {
        let (offset, length) = bytes(&pages);
        let result = self.m.vmo_op_range(self.vmo, VmoOp::Zero, offset, length);
        result.unwrap();
    }

    /// Zeros: the auxiliary VMO has no pages.
    fn supply_zeros(&mut self, pages: Range<u64>) {
        let (offset, length) = bytes(&pages);
        let aux = self.m.vmo(pages.end - pages.start);
        let result = self
            .m
            .pager_supply_pages(self.pager, self.vmo, offset, length, aux, 0);
        result.unwrap();
        self.m.handle_close(aux).unwrap();
    }

    /// Writes pages of a VMO that may trap: whatever is asked is granted.
    fn written(&mut self, pages: Range<u64>, byte: u8) {
        let (offset, length) = bytes(&pages);
        let buffer = self.m.alloc(length);
        self.m.poke(buffer, &vec![byte; length as usize]);
        let thread = self.m.thread();
        let args = [self.vmo.into(), buffer, offset, length];
        let Outcome::Blocked(token) = self.m.call_on(thread, N::VmoWrite, &args) else {
            return;
        };
        while self.m.is_blocked(token) {
            let [Packet::Dirty(_, first, end)] = self.packets()[..] else {
                panic!("one DIRTY");
            };
            self.dirty(first..end);
        }
        assert_eq!(self.m.status(token), Status::OK);
    }

    fn packets(&mut self) -> Vec<Packet> {
        self.m.packets(self.port)
    }
}
