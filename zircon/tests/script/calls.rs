//! The calls on VMOs, on both sides.

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};

use super::player::Player;
use super::{Call, Line};
use crate::model::{Kind, Op, RangeOp, Source};

/// `ZX_VMO_CHILD_*`
const SNAPSHOT: u32 = 1;
const RESIZABLE: u32 = 4;
const SLICE: u32 = 8;
const AT_LEAST_ON_WRITE: u32 = 0x10;
const REFERENCE: u32 = 0x40;
const MODIFIED: u32 = 0x80;

impl Player {
    pub fn call(&mut self, line: &Line) {
        let vmos = self.handles.len();
        let vmo = |n: u64| n as usize % vmos.max(1);
        match (line.call, &line.args[..]) {
            (Call::Create, &[size, options]) => self.create(size, options),
            (Call::Paged, &[pager, size, options]) => self.paged(pager as usize, size, options),
            (Call::Slice, &[parent, page, count]) => self.slice(vmo(parent), page, count),
            (Call::Snapshot, &[parent, page, size, kind, resizable]) => {
                self.snapshot(vmo(parent), page, size, kind, resizable == 1);
            }
            (Call::Reference, &[parent]) => self.reference(vmo(parent)),
            (Call::Read, &[of, offset, length]) => self.read(vmo(of), offset, length),
            (Call::Write, &[of, offset, length, tag]) => {
                self.write(vmo(of), offset, length, tag as u8);
            }
            (Call::Touch, &[of, page, write]) => self.touch(vmo(of), page, write == 1),
            (Call::Unmap, &[of]) => self.unmap(vmo(of)),
            (Call::SetSize, &[of, size]) => self.set_size(vmo(of), size),
            (Call::SetStream, &[of, size]) => self.set_stream(vmo(of), size),
            (Call::Pin, &[of, page, count, write]) => {
                self.pin(vmo(of), page, count, write == 1);
            }
            (Call::Unpin, &[which]) => self.unpin(which as usize),
            (Call::Lock, &[of, tried]) => self.lock(vmo(of), tried == 1),
            (Call::Unlock, &[of]) => self.unlock(vmo(of)),
            (Call::Squeeze, &[pages]) => self.squeeze(pages + 1),
            (Call::Commit, &[of, offset, length]) => {
                self.pages(RangeOp::Commit, vmo(of), offset, length);
            }
            (Call::AlwaysNeed, &[of, offset, length]) => {
                self.pages(RangeOp::AlwaysNeed, vmo(of), offset, length);
            }
            (Call::Prefetch, &[of, offset, length]) => {
                self.pages(RangeOp::Prefetch, vmo(of), offset, length);
            }
            (Call::Decommit, &[of, offset, length]) => self.decommit(vmo(of), offset, length),
            (Call::Zero, &[of, offset, length]) => self.zero(vmo(of), offset, length),
            (Call::DontNeed, &[of, offset, length]) => self.dont_need(vmo(of), offset, length),
            (Call::Transfer, &[to, at, count, from, first]) => {
                self.transfer(vmo(to), at, count, vmo(from), first);
            }
            (Call::Close, &[of]) => self.close(vmo(of)),
            (Call::Kill, &[wait]) => self.kill(wait as usize),
            _ => self.pager_call(line),
        }
    }

    fn create(&mut self, size: u64, options: u64) {
        let handle = self.m.vmo_create(size, options as u32 * 2).unwrap();
        self.foresee(|model| {
            let vmo = model.add(Kind::Plain, None, size, options & 1 != 0);
            if options & 2 != 0 {
                model.make_discardable(vmo);
            }
        });
        self.added(handle);
    }

    /// Whether a VMO, which may not have children, refuses to be cloned in any way.
    fn refuses_children(&mut self, parent: usize) -> bool {
        let (owner, _) = self.model.owner(parent, 0);
        let refuses = self.model.vmos[owner].lock.is_some();
        if refuses && self.model.vmos[parent].open {
            let args = (self.handles[parent], SNAPSHOT, 0, PAGE_SIZE);
            let made = self.m.vmo_create_child(args.0, args.1, args.2, args.3);
            assert_eq!(made, Err(Status::NOT_SUPPORTED), "child of a discardable");
        }
        refuses
    }

    fn paged(&mut self, pager: usize, size: u64, options: u64) {
        let pager = pager % self.pagers.len();
        if !self.model.pagers[pager] {
            return;
        }
        let (resizable, trap) = (options & 1 != 0, options & 2 != 0);
        let key = self.handles.len() as u64;
        let bits = u32::from(resizable) * 2 + u32::from(trap) * 8;
        let made = self
            .m
            .pager_create_vmo(self.pagers[pager], bits, self.port, key, size);
        let source = Source::Attached;
        let kind = Kind::Paged {
            pager,
            source,
            trap,
        };
        self.foresee(|model| model.add(kind, None, size, resizable));
        self.added(made.unwrap());
    }

    fn slice(&mut self, parent: usize, page: u64, count: u64) {
        let pages = self.model.count(parent);
        let state = &self.model.vmos[parent];
        if !state.open || state.resizable || page + count > pages || self.refuses_children(parent) {
            return;
        }
        let (offset, size) = (page * PAGE_SIZE, count * PAGE_SIZE);
        let made = self
            .m
            .vmo_create_child(self.handles[parent], SLICE, offset, size);
        let kind = Kind::Slice {
            parent,
            page,
            count,
        };
        self.foresee(|model| model.add(kind, Some(parent), size, false));
        self.added(made.unwrap());
    }

    fn reference(&mut self, parent: usize) {
        let state = &self.model.vmos[parent];
        if !state.open || matches!(state.kind, Kind::Slice { .. }) || self.refuses_children(parent)
        {
            return;
        }
        let state = &self.model.vmos[parent];
        let bits = REFERENCE + if state.resizable { RESIZABLE } else { 0 };
        let (resizable, size) = (state.resizable, self.model.size(parent));
        let made = self.m.vmo_create_child(self.handles[parent], bits, 0, 0);
        let kind = Kind::Reference { parent };
        self.foresee(|model| model.add(kind, Some(parent), size, resizable));
        self.added(made.unwrap());
    }

    fn snapshot(&mut self, parent: usize, page: u64, size: u64, kind: u64, resizable: bool) {
        let left_open = self.model.is_cut_off(parent);
        let open = self.model.vmos[parent].open && !left_open;
        if !open || self.is_waited_for(parent) || self.refuses_children(parent) {
            return;
        }
        let kind = [SNAPSHOT, AT_LEAST_ON_WRITE, MODIFIED][kind as usize];
        let bits = kind + u32::from(resizable) * RESIZABLE;
        let of = (self.handles[parent], page * PAGE_SIZE);
        let made = self.m.vmo_create_child(of.0, bits, of.1, size);
        let (owner, _) = self.model.owner(parent, 0);
        if self.model.source(owner).is_none() && self.model.is_pinned(owner, 0..u64::MAX) {
            assert_eq!(made, Err(Status::BAD_STATE), "snapshot of a pinned VMO");
            return;
        }
        if kind == SNAPSHOT && self.model.root(parent).is_some() {
            assert_eq!(made, Err(Status::NOT_SUPPORTED), "SNAPSHOT below a pager");
            return;
        }
        let is_slice = !matches!(self.model.vmos[parent].kind, Kind::Paged { .. })
            && self.model.owner(parent, 0).0 != parent;
        if made == Err(Status::NOT_SUPPORTED) && is_slice {
            return;
        }
        self.foresee(|model| model.snapshot(parent, page, size, resizable));
        self.added(made.unwrap());
    }

    fn read(&mut self, vmo: usize, offset: u64, length: u64) {
        if !self.model.vmos[vmo].open {
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
        self.both(N::VmoRead, &args, (buffer, length), |model| model.start(op));
    }

    fn write(&mut self, vmo: usize, offset: u64, length: u64, tag: u8) {
        if !self.model.vmos[vmo].open {
            return;
        }
        let bytes: Vec<u8> = (0..length)
            .map(|at| (at / 100) as u8 ^ at as u8 ^ tag)
            .collect();
        let buffer = self.m.alloc(length);
        self.m.poke(buffer, &bytes);
        let args = [self.handles[vmo].into(), buffer, offset, length];
        let op = Op::Write { vmo, offset, bytes };
        self.both(N::VmoWrite, &args, (0, 0), |model| model.start(op));
    }

    fn set_size(&mut self, vmo: usize, size: u64) {
        if self.model.vmos[vmo].open && !self.is_cut_oddly(vmo, size) {
            let args = [self.handles[vmo].into(), size];
            self.both(N::VmoSetSize, &args, (0, 0), |model| {
                model.set_size(vmo, size)
            });
        }
    }

    fn set_stream(&mut self, vmo: usize, size: u64) {
        let open = self.model.vmos[vmo].open && !self.is_waited_for(vmo);
        if !open || self.is_cut_oddly(vmo, size) || self.model.meets_pinned(vmo, size) {
            return;
        }
        let args = [self.handles[vmo].into(), size];
        self.both(N::VmoSetStreamSize, &args, (0, 0), |model| {
            model.set_stream(vmo, size)
        });
    }

    fn op_range(&self, vmo: usize, op: u64, offset: u64, length: u64) -> [u64; 6] {
        [self.handles[vmo].into(), op, offset, length, 0, 0]
    }

    fn pages(&mut self, op: RangeOp, vmo: usize, offset: u64, length: u64) {
        let left_open = op == RangeOp::AlwaysNeed && self.model.is_cut_off(vmo);
        if !self.model.vmos[vmo].open || left_open {
            return;
        }
        let number = match op {
            RangeOp::Commit => 1,
            RangeOp::AlwaysNeed => 13,
            RangeOp::Prefetch => 14,
        };
        let args = self.op_range(vmo, number, offset, length);
        self.both(N::VmoOpRange, &args, (0, 0), |model| {
            model.range_op(op, vmo, offset..offset + length)
        });
    }

    fn pin(&mut self, vmo: usize, page: u64, count: u64, write: bool) {
        if !self.model.vmos[vmo].open || count == 0 {
            return;
        }
        let (addresses, out) = (self.m.alloc(8 * count), self.m.alloc(4));
        let args = [
            self.bti.into(),
            1 | u64::from(write) << 1,
            self.handles[vmo].into(),
            page * PAGE_SIZE,
            count * PAGE_SIZE,
            addresses,
            count,
            out,
        ];
        let op = Op::Pin {
            vmo,
            pages: page..page + count,
            write,
            token: out,
        };
        self.both(N::BtiPin, &args, (0, 0), |model| model.start(op));
    }

    /// One of the pins that are held ends.
    pub fn unpin(&mut self, which: usize) {
        let pins = &self.model.pins;
        let Some(token) = pins.get(which % pins.len().max(1)).map(|pin| pin.token) else {
            return;
        };
        let pmt = self.m.peek_u32(token);
        self.at_once(N::PmtUnpin, &[pmt.into()], |model| {
            model.pins.retain(|pin| pin.token != token);
            Status::OK
        });
    }

    fn lock(&mut self, vmo: usize, tried: bool) {
        if !self.model.vmos[vmo].open {
            return;
        }
        let size = self.model.size(vmo);
        let state = self.m.alloc(32);
        let number = if tried { VmoOp::TryLock } else { VmoOp::Lock };
        let args = [self.handles[vmo].into(), number as u64, 0, size, state, 32];
        let before = self.model.vmos[vmo].lock.is_some_and(|lock| lock.discarded);
        let mut expected = Status::OK;
        self.at_once(N::VmoOpRange, &args, |model| {
            expected = model.lock(vmo, tried);
            expected
        });
        if !tried && expected == Status::OK {
            let told = [0, 8, 16, 24].map(|at| self.m.peek_u64(state + at));
            let discarded = if before { size } else { 0 };
            assert_eq!(told, [0, size, 0, discarded], "lock state of VMO {vmo}");
        }
    }

    fn unlock(&mut self, vmo: usize) {
        if self.model.vmos[vmo].open {
            let args = self.op_range(vmo, VmoOp::Unlock as u64, 0, self.model.size(vmo));
            self.at_once(N::VmoOpRange, &args, |model| model.unlock(vmo));
        }
    }

    fn decommit(&mut self, vmo: usize, offset: u64, length: u64) {
        let (owner, _) = self.model.owner(vmo, 0);
        // Whether what has been cloned can be decommitted depends on what it held then.
        let left_open = self.model.vmos[owner].parent.is_none() && self.model.is_cloned(owner);
        if self.model.vmos[vmo].open && !left_open {
            let args = self.op_range(vmo, 2, offset, length);
            self.at_once(N::VmoOpRange, &args, |model| {
                model.decommit(vmo, offset..offset + length)
            });
        }
    }

    fn zero(&mut self, vmo: usize, offset: u64, length: u64) {
        // Page runs that are zeroed one after another wake one after another.
        let end = offset.saturating_add(length);
        let is_cut_oddly = |at| self.is_cut_oddly(vmo, at);
        let open = self.model.vmos[vmo].open && !self.is_waited_for(vmo);
        if open && !is_cut_oddly(offset) && !is_cut_oddly(end) {
            let args = self.op_range(vmo, 10, offset, length);
            self.both(N::VmoOpRange, &args, (0, 0), |model| {
                model.zero_range(vmo, offset..offset + length)
            });
        }
    }

    fn dont_need(&mut self, vmo: usize, offset: u64, length: u64) {
        if self.model.vmos[vmo].open && !self.model.is_cut_off(vmo) {
            let args = self.op_range(vmo, 12, offset, length);
            self.at_once(N::VmoOpRange, &args, |model| {
                model.dont_need(vmo, offset..offset + length)
            });
        }
    }

    fn transfer(&mut self, to: usize, at: u64, count: u64, from: usize, first: u64) {
        let open = self.model.vmos[to].open && self.model.vmos[from].open;
        if !open || self.is_waited_for(to) || self.is_waited_for(from) {
            return;
        }
        if self.is_taken_oddly(from, first..first + count) {
            return;
        }
        let bytes = |pages: u64| pages * PAGE_SIZE;
        let (target, source) = (self.handles[to].into(), self.handles[from].into());
        let args = [target, 0, bytes(at), bytes(count), source, bytes(first)];
        self.at_once(N::VmoTransferData, &args, |model| {
            model.transfer_data(to, at, count, from, first)
        });
    }

    fn close(&mut self, vmo: usize) {
        if self.model.vmos[vmo].open {
            self.foresee(|model| model.vmos[vmo].open = false).unwrap();
            self.m.handle_close(self.handles[vmo]).unwrap();
        }
    }
}
