//! `zx_vmar_op_range`: the order of checks, walks over several mappings, and what happens to them meanwhile.

use protocol::options::VmarOp;
use protocol::syscall::SyscallNumber as N;
use protocol::{USER_BASE, USER_END};

use super::*;
use crate::common::{Order, Outcome, Packet};

const R: u32 = 1;
const RW: u32 = 3;
const SPECIFIC: u32 = 0x10;
const CAN_RW: u32 = 0x1C0;
const ALLOW_FAULTS: u32 = 0x1000;
const BEYOND: u32 = 0x8000;
const P: u64 = PAGE_SIZE;
const ALL: [VmarOp; 7] = [
    VmarOp::Commit,
    VmarOp::Decommit,
    VmarOp::MapRange,
    VmarOp::Zero,
    VmarOp::DontNeed,
    VmarOp::AlwaysNeed,
    VmarOp::Prefetch,
];

impl TestMachine {
    fn op(&mut self, op: VmarOp, address: u64, length: u64) -> Result<(), Status> {
        self.vmar_op_range(self.main.vmar_handle, op, address, length)
    }

    /// A child VMAR of eight pages.
    fn region(&mut self) -> (u32, u64) {
        self.vmar_allocate(self.main.vmar_handle, CAN_RW, 0, 8 * P)
            .unwrap()
    }
}

#[test]
fn vmar_op_range_order_of_checks() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.main.vmar_handle, m.vmo(4));
    let (dead, base) = m.region();
    m.vmar_destroy(dead).unwrap();
    let at = m.map(vmo, 4);
    let bare = m.without(root, Rights::READ | Rights::WRITE);
    let (invalid, denied) = (Status::INVALID_ARGS, Status::ACCESS_DENIED);
    for (vmar, op, address, length, buffer, size, status) in [
        (BAD, 99, 1, 0, 1, 1, Status::BAD_HANDLE),
        (vmo, 99, 1, 0, 1, 1, Status::WRONG_TYPE),
        (bare, 0, 1, 0, 1, 1, invalid),
        (bare, 4, 1, 0, 1, 1, invalid),
        (bare, 11, 1, 0, 1, 1, invalid),
        (bare, 15, 1, 0, 1, 1, invalid),
        (bare, 1, 1, 0, 1, 1, denied),
        (bare, 2, 1, 0, 1, 1, denied),
        (bare, 3, 1, 0, 1, 1, denied),
        (bare, 10, 1, 0, 1, 1, denied),
        (bare, 14, 1, 0, 1, 1, denied),
        (bare, 12, 0, P, 1, 0, invalid),
        (bare, 13, 0, P, 0, 1, invalid),
        (root, 1, 0, 0, 0, 0, invalid),
        (root, 1, 1, P, 0, 0, invalid),
        (root, 1, 0, u64::MAX, 0, 0, invalid),
        (dead, 1, base, 9 * P, 0, 0, Status::OUT_OF_RANGE),
        (root, 1, USER_END, P, 0, 0, Status::OUT_OF_RANGE),
        (root, 1, USER_BASE - P, P, 0, 0, Status::OUT_OF_RANGE),
        (root, 1, u64::MAX - P + 1, P, 0, 0, Status::OUT_OF_RANGE),
        (dead, 1, base, P, 0, 0, Status::BAD_STATE),
        (bare, 12, at + 3 * P, P, 0, 0, Status::OK),
    ] {
        let args = [vmar.into(), op, address, length, buffer, size];
        assert_eq!(m.call(N::VmarOpRange, &args), status, "{op} {address:#x}");
    }
}

/// The pages before a gap get what was asked for.
#[test]
fn vmar_op_range_gap_bad_state() {
    let mut m = TestMachine::new();
    let (region, base) = m.region();
    let vmo = m.vmo(4);
    for op in ALL {
        assert_eq!(
            m.vmar_op_range(region, op, base, P),
            Err(Status::BAD_STATE),
            "{op:?}"
        );
    }
    m.map_in(region, RW | SPECIFIC, 0, vmo, 2 * P).unwrap();
    m.map_in(region, RW | SPECIFIC, 3 * P, vmo, 4 * P).unwrap();
    for (op, committed) in [(VmarOp::Commit, 2), (VmarOp::Decommit, 0)] {
        let got = m.vmar_op_range(region, op, base, 7 * P);
        assert_eq!(got, Err(Status::BAD_STATE));
        assert_eq!(m.committed(vmo), committed);
    }
    m.unmap_in(region, base, P).unwrap();
    let got = m.vmar_op_range(region, VmarOp::Commit, base, 2 * P);
    assert_eq!(got, Err(Status::BAD_STATE), "at the start");
    let got = m.vmar_op_range(region, VmarOp::Commit, base + 6 * P, 2 * P);
    assert_eq!(got, Err(Status::BAD_STATE), "at the end");
    assert_eq!(m.committed(vmo), 1);
}

#[test]
fn vmar_op_range_works_on_the_part_of_each_mapping() {
    let mut m = TestMachine::new();
    let (region, base) = m.region();
    let (one, two) = (m.vmo(4), m.vmo(4));
    m.map_at(region, RW | SPECIFIC, 0, (one, P), 3 * P).unwrap();
    m.map_in(region, RW | SPECIFIC, 3 * P, two, 3 * P).unwrap();
    m.vmar_op_range(region, VmarOp::Commit, base + 2 * P, 2 * P)
        .unwrap();
    assert_eq!((m.committed(one), m.committed(two)), (1, 1));
    m.vmo_write(one, 0, &[7; 4 * P as usize]).unwrap();
    m.vmo_write(two, 0, &[7; 4 * P as usize]).unwrap();
    m.vmar_op_range(region, VmarOp::Zero, base + P, 3 * P)
        .unwrap();
    assert_eq!(m.page_bytes(one, 0..4), [7, 7, 0, 0]);
    assert_eq!(m.page_bytes(two, 0..4), [0, 7, 7, 7]);
    m.vmar_op_range(region, VmarOp::Decommit, base, 6 * P)
        .unwrap();
    assert_eq!((m.committed(one), m.committed(two)), (1, 1));
}

/// What a mapping could be given by protect is enough; what its VMO's handle did not allow is not.
#[test]
fn vmar_op_range_needs_what_the_mapping_may_have() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let (no_write, no_read) = (m.without(vmo, Rights::WRITE), m.without(vmo, Rights::READ));
    let none = m.vmar_map(0, 0, vmo, 0, P).unwrap();
    let read = m.vmar_map(R, 0, no_write, 0, P).unwrap();
    let write = m.vmar_map(0, 0, no_read, 0, P).unwrap();
    let denied = Err(Status::ACCESS_DENIED);
    for op in ALL {
        assert_eq!(m.op(op, none, P), Ok(()), "{op:?}");
    }
    for op in [VmarOp::Commit, VmarOp::Decommit, VmarOp::Zero] {
        assert_eq!(m.op(op, read, P), denied);
        assert_eq!(m.op(op, write, P), Ok(()));
    }
    assert_eq!(m.op(VmarOp::Prefetch, read, P), Ok(()));
    assert_eq!(m.op(VmarOp::Prefetch, write, P), denied);
    for op in [VmarOp::MapRange, VmarOp::DontNeed, VmarOp::AlwaysNeed] {
        assert_eq!(m.op(op, read, P), Ok(()));
        assert_eq!(m.op(op, write, P), Ok(()));
    }
}

/// Child VMARs: not without OP_CHILDREN, and never for what acts as if it added permissions.
#[test]
fn vmar_op_range_of_children() {
    let mut m = TestMachine::new();
    let (outer, base) = m.region();
    let weak = m.without(outer, Rights::OP_CHILDREN);
    let vmo = m.vmo(2);
    let options = CAN_RW | SPECIFIC;
    let (inner, at) = m.vmar_allocate(outer, options, P, 2 * P).unwrap();
    m.map_in(outer, RW | SPECIFIC, 0, vmo, P).unwrap();
    m.map_in(inner, RW | SPECIFIC, 0, vmo, P).unwrap();
    for op in ALL {
        let own = matches!(op, VmarOp::Commit | VmarOp::Decommit | VmarOp::Prefetch);
        let expected = match own {
            true => Err(Status::INVALID_ARGS),
            false => Ok(()),
        };
        assert_eq!(m.vmar_op_range(outer, op, base, 2 * P), expected, "{op:?}");
        assert_eq!(
            m.vmar_op_range(weak, op, base, 2 * P),
            Err(Status::INVALID_ARGS)
        );
        assert_eq!(m.vmar_op_range(weak, op, base, P), Ok(()));
        assert_eq!(m.vmar_op_range(inner, op, at, P), Ok(()));
        assert_eq!(
            m.vmar_op_range(outer, op, base, 3 * P),
            expected.and(Err(Status::BAD_STATE))
        );
    }
}

#[test]
fn vmar_op_range_beyond_the_vmo_and_the_stream() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let at = m.vmar_map(RW, 0, vmo, 0, 3 * P).unwrap();
    for op in [
        VmarOp::Commit,
        VmarOp::Decommit,
        VmarOp::Zero,
        VmarOp::Prefetch,
    ] {
        assert_eq!(m.op(op, at, 3 * P), Err(Status::OUT_OF_RANGE), "{op:?}");
        assert_eq!(m.op(op, at, 2 * P), Ok(()));
    }
    for op in [VmarOp::MapRange, VmarOp::DontNeed, VmarOp::AlwaysNeed] {
        assert_eq!(m.op(op, at, 3 * P), Ok(()), "{op:?}");
    }
    m.set_content_size(vmo, 1).unwrap();
    let options = RW | ALLOW_FAULTS | BEYOND;
    let at = m.vmar_map(options, 0, vmo, 0, 2 * P).unwrap();
    for op in ALL {
        assert_eq!(m.op(op, at, 2 * P), Err(Status::OUT_OF_RANGE), "{op:?}");
        assert_eq!(m.op(op, at, P), Ok(()));
    }
}

/// MAP_RANGE asks for nothing.
#[test]
fn vmar_op_range_map_range_asks_for_nothing() {
    let mut p = paged(2);
    let at = p.m.map(p.vmo, 2);
    p.m.op(VmarOp::MapRange, at, 2 * P).unwrap();
    assert_eq!(p.m.packets(p.port), []);
}

/// Two pager VMOs with a plain one between: one request each, in the order of addresses.
#[test]
fn vmar_op_range_commit_across_vmos() {
    let mut p = paged(4);
    let second = p.m.pager_create_vmo(p.pager, 0, p.port, 8, 4 * P).unwrap();
    let plain = p.m.vmo(4);
    let (region, base) = p.m.region();
    for (page, vmo, pages) in [(0, p.vmo, 3), (3, plain, 2), (5, second, 3)] {
        let at = RW | SPECIFIC;
        p.m.map_in(region, at, page * P, vmo, pages * P).unwrap();
    }
    let thread = p.m.thread();
    let args = [region.into(), 1, base + P, 6 * P, 0, 0];
    let token = p.m.begin(thread, N::VmarOpRange, &args);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 3)]);
    assert_eq!(p.m.committed(plain), 0);
    p.m.supply(p.pager, p.vmo, 1..3, 0).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Read(8, 0, 2)]);
    assert_eq!(p.m.committed(plain), 2);
    p.m.supply(p.pager, second, 0..2, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
}

/// While a part waits for its pager, what is mapped can change: the part under way keeps its VMO, the rest is what is there then.
#[test]
fn vmar_op_range_while_mappings_change() {
    for destroy in [false, true] {
        let mut p = paged(2);
        let (region, base) = p.m.region();
        let (first, last) = (p.m.vmo(1), p.m.vmo(1));
        p.m.map_in(region, RW | SPECIFIC, 0, p.vmo, 2 * P).unwrap();
        p.m.map_in(region, RW | SPECIFIC, 2 * P, first, P).unwrap();
        let thread = p.m.thread();
        let args = [region.into(), 1, base, 3 * P, 0, 0];
        let token = p.m.begin(thread, N::VmarOpRange, &args);
        assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 2)]);
        p.m.unmap_in(region, base, 3 * P).unwrap();
        p.m.map_in(region, RW | SPECIFIC, 2 * P, last, P).unwrap();
        if destroy {
            p.m.vmar_destroy(region).unwrap();
        }
        p.m.supply(p.pager, p.vmo, 0..2, 0).unwrap();
        let expected = match destroy {
            true => (Status::BAD_STATE, 0),
            false => (Status::OK, 1),
        };
        assert_eq!((p.m.status(token), p.m.committed(last)), expected);
        assert_eq!(p.m.committed(first), 0);
    }
}

/// A VMO whose last reference was its mapping lives until the operation on it is over.
#[test]
fn vmar_op_range_keeps_the_vmo() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let at = m.map(vmo, 2);
    m.handle_close(vmo).unwrap();
    let (thread, other) = (m.thread(), m.thread());
    m.order = Order::Held;
    let root = m.main.vmar_handle;
    let args = [root.into(), 1, at, 2 * P, 0, 0];
    let token = m.begin(thread, N::VmarOpRange, &args);
    let unmap = [root.into(), at, 2 * P];
    assert!(m.ends_with(other, N::VmarUnmap, &unmap, Status::OK));
    assert_eq!(m.freed.len(), 0);
    m.settle();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.freed.len(), 1);
}

/// A thread that ends in the middle leaves nothing behind.
#[test]
fn vmar_op_range_thread_ends() {
    let mut p = paged(2);
    let at = p.m.map(p.vmo, 2);
    let thread = p.m.thread();
    let args = [p.m.main.vmar_handle.into(), 1, at, 2 * P, 0, 0];
    p.m.begin(thread, N::VmarOpRange, &args);
    assert_eq!(p.m.call_on(thread, N::ThreadExit, &[]), Outcome::Gone);
    assert_eq!(p.m.packets(p.port), [], "the request is withdrawn");
    p.m.handle_close(p.vmo).unwrap();
    p.m.vmar_unmap(at, 2 * P).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
}
