//! The calls of pagers and on ports, on both sides.

use std::ops::Range;

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};

use super::player::Player;
use super::{Call, Line};
use crate::model::{Kind, Op, PagerOp, Shown};

/// What a pager may fail a request with.
const CODES: [Status; 5] = [
    Status::IO,
    Status::IO_DATA_INTEGRITY,
    Status::BAD_STATE,
    Status::NO_SPACE,
    Status::BUFFER_TOO_SMALL,
];

impl Player {
    pub fn pager_call(&mut self, line: &Line) {
        let vmos = self.handles.len();
        let vmo = |n: u64| n as usize % vmos.max(1);
        match (line.call, &line.args[..]) {
            (Call::Supply, &[to, page, count, aux, at]) => {
                self.supply(vmo(to), page, count, vmo(aux), at);
            }
            (Call::Fail, &[of, code, page, count]) => {
                self.pager_op(vmo(of), PagerOp::Fail(CODES[code as usize]), page, count);
            }
            (Call::Dirty, &[of, page, count]) => {
                self.pager_op(vmo(of), PagerOp::Dirty, page, count);
            }
            (Call::Begin, &[of, page, count, zero]) => {
                let only_zero = zero == 1;
                self.pager_op(vmo(of), PagerOp::WritebackBegin { only_zero }, page, count);
            }
            (Call::End, &[of, page, count]) => {
                self.pager_op(vmo(of), PagerOp::WritebackEnd, page, count);
            }
            (Call::QueryDirty, &[of, page, count]) => self.query_dirty(vmo(of), page, count),
            (Call::QueryStats, &[of, reset]) => self.query_stats(vmo(of), reset),
            (Call::Detach, &[of]) => self.detach(vmo(of)),
            (Call::ClosePager, &[pager, mood]) => self.close_pager(pager as usize, mood),
            (Call::Poll, _) => self.poll(),
            (Call::PortWait, _) => self.port_wait(),
            (call, args) => panic!("{call:?} {args:?}"),
        }
    }

    /// The handle of the pager of an open VMO, or of any pager.
    fn pager_of(&self, vmo: usize) -> Option<u32> {
        let pager = match self.model.vmos[vmo].kind {
            Kind::Paged { pager, .. } => pager,
            _ => 0,
        };
        let open = self.model.vmos[vmo].open && self.model.pagers[pager];
        open.then(|| self.pagers[pager])
    }

    /// Whether taking these pages means to ask a pager for them, so that who does that may wait for itself; or whether what is
    /// taken is left open: zeros of a pager's VMO that were read through a mapping may have been written to as well.
    pub fn is_taken_oddly(&self, vmo: usize, mut pages: Range<u64>) -> bool {
        let absent = |page| matches!(self.model.shown(vmo, page), Shown::Absent(..));
        let read = self.model.root(vmo).map(|_| self.blank(vmo));
        let is_read = |page| read.as_ref().is_some_and(|blank| blank.contains(&page));
        pages.end <= self.model.count(vmo) && pages.any(|page| absent(page) || is_read(page))
    }

    /// Whether zeroing part of the page at this byte is left open: a clone of a pager's VMO has it of its own only if the page
    /// below is not zeros, and zeros that were read through a mapping may have been written to as well.
    pub fn is_cut_oddly(&self, vmo: usize, byte: u64) -> bool {
        let clone = self.model.root(vmo).is_some_and(|root| root != vmo);
        let (page, part) = (byte / PAGE_SIZE, byte % PAGE_SIZE);
        let inside = part != 0 && page < self.model.count(vmo);
        clone && inside && self.model.shown(vmo, page) == Shown::Zero
    }

    /// Whether some zeros may be pages of their own, since they were read through a mapping, here or before there were clones.
    fn has_zeros_of_two_kinds(&self, vmo: usize) -> bool {
        let (owner, _) = self.model.owner(vmo, 0);
        self.model.is_cloned(owner) || !self.blank(vmo).is_empty()
    }

    fn supply(&mut self, vmo: usize, page: u64, count: u64, aux: usize, at: u64) {
        let Some(pager) = self.pager_of(vmo).filter(|_| self.model.vmos[aux].open) else {
            return;
        };
        let expected = self.model.supply_check(vmo, page, count, aux, at);
        if expected == Status::OK && self.is_taken_oddly(aux, at..at + count) {
            return;
        }
        let mut count = count;
        // Runs of pages that are not alike come one after another, and wake one after another.
        if expected == Status::OK && count > 0 && self.is_waited_for(vmo) {
            let run = self.model.supply_run(vmo, page, count, aux, at);
            count = if self.has_zeros_of_two_kinds(aux) {
                1
            } else {
                run
            };
        }
        let args = [
            pager.into(),
            self.handles[vmo].into(),
            page * PAGE_SIZE,
            count * PAGE_SIZE,
            self.handles[aux].into(),
            at * PAGE_SIZE,
        ];
        self.at_once(N::PagerSupplyPages, &args, |model| {
            if expected == Status::OK {
                model.supply(vmo, page, count, aux, at);
            }
            expected
        });
    }

    fn pager_op(&mut self, vmo: usize, op: PagerOp, page: u64, count: u64) {
        let Some(pager) = self.pager_of(vmo) else {
            return;
        };
        let (number, data) = match op {
            PagerOp::Fail(status) => (1, status.to_register()),
            PagerOp::Dirty => (2, 0),
            PagerOp::WritebackBegin { only_zero } => (3, u64::from(only_zero)),
            PagerOp::WritebackEnd => (4, 0),
        };
        let (offset, length) = (page * PAGE_SIZE, count * PAGE_SIZE);
        let args = [
            pager.into(),
            number,
            self.handles[vmo].into(),
            offset,
            length,
            data,
        ];
        self.at_once(N::PagerOpRange, &args, |model| {
            model.pager_op(vmo, op, page..page + count)
        });
    }

    fn query_dirty(&mut self, vmo: usize, page: u64, count: u64) {
        let Some(pager) = self.pager_of(vmo) else {
            return;
        };
        let (offset, length) = (page * PAGE_SIZE, count * PAGE_SIZE);
        let at = self.m.alloc(1024);
        let (actual, avail) = (at + 1008, at + 1016);
        let mut args = vec![pager.into(), self.handles[vmo].into(), offset, length];
        args.extend([at, 1008, actual, avail]);
        let inside = page + count <= self.model.count(vmo);
        let paged = self.model.source(vmo).is_some();
        self.at_once(N::PagerQueryDirtyRanges, &args, |_| match (paged, inside) {
            (false, _) => Status::INVALID_ARGS,
            (true, false) => Status::OUT_OF_RANGE,
            (true, true) => Status::OK,
        });
        if paged && inside {
            let expected = self.model.dirty_ranges(vmo, page..page + count);
            let count = self.m.peek_u64(actual);
            assert_eq!(self.m.peek_u64(avail), count);
            let got: Vec<_> = (0..count)
                .map(|entry| {
                    let word = |n: u64| self.m.peek_u64(at + entry * 24 + n * 8);
                    let first = word(0) / PAGE_SIZE;
                    (first..first + word(1) / PAGE_SIZE, word(2) == 1)
                })
                .collect();
            assert_eq!(got, expected, "dirty ranges of VMO {vmo}");
        }
    }

    fn query_stats(&mut self, vmo: usize, reset: u64) {
        let Some(pager) = self.pager_of(vmo) else {
            return;
        };
        if self.model.source(vmo).is_none() {
            return;
        }
        let at = self.m.alloc(4);
        let args = [pager.into(), self.handles[vmo].into(), reset, at, 4];
        let expected = u32::from(self.model.vmos[vmo].modified);
        self.at_once(N::PagerQueryVmoStats, &args, |model| {
            model.vmos[vmo].modified &= reset == 0;
            Status::OK
        });
        assert_eq!(
            self.m.peek_u32(at),
            expected,
            "whether VMO {vmo} was modified"
        );
    }

    fn detach(&mut self, vmo: usize) {
        if let Some(pager) = self.pager_of(vmo) {
            let args = [pager.into(), self.handles[vmo].into()];
            self.at_once(N::PagerDetachVmo, &args, |model| model.detach(vmo));
        }
    }

    fn close_pager(&mut self, pager: usize, mood: u64) {
        let pager = pager % self.pagers.len();
        // A script without pagers is a dull one.
        if self.model.pagers[pager] && mood == 0 {
            self.at_once(N::HandleClose, &[self.pagers[pager].into()], |model| {
                model.close_pager(pager);
                Status::OK
            });
        }
    }

    fn poll(&mut self) {
        let expected = self.foresee(|model| model.take_packet()).unwrap();
        assert_eq!(
            self.m.port_poll(self.port),
            expected.ok_or(Status::TIMED_OUT)
        );
    }

    fn port_wait(&mut self) {
        let mut waits = self.model.waits.iter().flatten();
        if !waits.any(|op| matches!(op, Op::PortWait)) {
            let at = self.m.alloc(48);
            let args = [self.port.into(), i64::MAX as u64, at];
            self.both(N::PortWait, &args, (at, 48), |model| {
                model.start(Op::PortWait)
            });
        }
    }
}
