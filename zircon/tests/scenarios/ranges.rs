//! The scenarios of commits and hints that go through mappings: `OpCommitVmar` and its like.

use protocol::options::VmarOp;
use protocol::syscall::SyscallNumber as N;

use super::{Scene, scene};
use crate::common::{PAGE_SIZE, Packet, Status};

const P: u64 = PAGE_SIZE;
const AT_LEAST_ON_WRITE: u32 = 0x10;
const CAN_RW: u32 = 0x1C0;
/// Readable, writable, at the given place.
const PLACED: u32 = 0x13;

/// A VMAR of sixteen pages in the root: handle and address.
fn region(s: &mut Scene) -> (u32, u64) {
    let root = s.m.main.vmar_handle;
    s.m.vmar_allocate(root, CAN_RW, 0, 16 * P).unwrap()
}

/// An operation that asks for pages, of a thread of its own.
fn begin(s: &mut Scene, vmar: u32, op: VmarOp, at: u64, pages: u64) -> zircon::Token {
    let thread = s.m.thread();
    let args = [vmar.into(), op as u64, at, pages * P, 0, 0];
    s.m.begin(thread, N::VmarOpRange, &args)
}

#[test]
fn op_commit_vmar() {
    let mut s = scene(4);
    let other = s.m.pager_create_vmo(s.pager, 0, s.port, 8, 4 * P).unwrap();
    let plain = s.m.vmo(2);
    let (vmar, base) = region(&mut s);
    for (page, vmo, pages) in [(0, s.vmo, 4), (4, plain, 2), (6, other, 4)] {
        s.m.map_in(vmar, PLACED, page * P, vmo, pages * P).unwrap();
    }
    let token = begin(&mut s, vmar, VmarOp::Commit, base + 2 * P, 6);
    assert_eq!(s.packets(), [Packet::Read(7, 2, 4)]);
    s.supply(2..4);
    assert_eq!(s.packets(), [Packet::Read(8, 0, 2)]);
    s.m.supply(s.pager, other, 0..2, 0).unwrap();
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.m.committed(plain), 2);
    // What comes before a gap is asked for all the same.
    let token = begin(&mut s, vmar, VmarOp::Commit, base + 9 * P, 2);
    assert_eq!(s.packets(), [Packet::Read(8, 3, 4)]);
    s.m.supply(s.pager, other, 3..4, 0).unwrap();
    assert_eq!(s.m.status(token), Status::BAD_STATE);
    let got = s.m.vmar_op_range(vmar, VmarOp::Commit, base + 10 * P, P);
    assert_eq!(got, Err(Status::BAD_STATE));
}

#[test]
fn op_commit_clone_vmar() {
    let mut s = scene(2);
    let clone =
        s.m.vmo_create_child(s.vmo, AT_LEAST_ON_WRITE, 0, 2 * P)
            .unwrap();
    s.supply(0..1);
    s.m.vmo_write(clone, 0, &[9]).unwrap();
    assert_eq!(s.m.committed(clone), 1);
    let (vmar, base) = region(&mut s);
    s.m.map_in(vmar, PLACED, 0, clone, 2 * P).unwrap();
    let token = begin(&mut s, vmar, VmarOp::Commit, base, 2);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)]);
    s.supply(1..2);
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.m.committed(clone), 2);
    assert_eq!(
        s.m.vmo_read(clone, 0, 1),
        Ok(vec![9]),
        "the forked page is kept"
    );
    assert_eq!(s.m.vmo_read(clone, P, 1), Ok(vec![1]));
}

#[test]
fn eviction_hints_vmar() {
    let mut s = scene(4);
    let other = s.m.pager_create_vmo(s.pager, 0, s.port, 8, 4 * P).unwrap();
    let plain = s.m.vmo(2);
    let (vmar, base) = region(&mut s);
    for (page, vmo, pages) in [(0, s.vmo, 4), (4, plain, 2), (6, other, 4)] {
        s.m.map_in(vmar, PLACED, page * P, vmo, pages * P).unwrap();
    }
    s.m.vmar_op_range(vmar, VmarOp::DontNeed, base, 10 * P)
        .unwrap();
    assert_eq!(s.packets(), []);
    let token = begin(&mut s, vmar, VmarOp::AlwaysNeed, base, 10);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 4)]);
    s.supply(0..4);
    assert_eq!(s.packets(), [Packet::Read(8, 0, 4)]);
    s.m.supply(s.pager, other, 0..4, 0).unwrap();
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.m.committed(plain), 0, "nobody asks for plain pages");
    let got = s.m.vmar_op_range(vmar, VmarOp::AlwaysNeed, base, 11 * P);
    assert_eq!(got, Err(Status::BAD_STATE));
}

#[test]
fn eviction_hints_nested_vmar() {
    let mut s = scene(4);
    let other = s.m.pager_create_vmo(s.pager, 0, s.port, 8, 2 * P).unwrap();
    let (outer, base) = region(&mut s);
    let place = CAN_RW | 0x10;
    let (inner, _) = s.m.vmar_allocate(outer, place, 2 * P, 4 * P).unwrap();
    s.m.map_in(outer, PLACED, 0, s.vmo, 2 * P).unwrap();
    s.m.map_in(inner, PLACED, 0, other, 2 * P).unwrap();
    s.m.map_at(inner, PLACED, 2 * P, (s.vmo, 2 * P), 2 * P)
        .unwrap();
    for op in [VmarOp::DontNeed, VmarOp::MapRange] {
        s.m.vmar_op_range(outer, op, base, 6 * P).unwrap();
    }
    assert_eq!(s.packets(), []);
    let token = begin(&mut s, outer, VmarOp::AlwaysNeed, base, 6);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.packets(), [Packet::Read(8, 0, 2)]);
    s.m.supply(s.pager, other, 0..2, 0).unwrap();
    assert_eq!(s.packets(), [Packet::Read(7, 2, 4)]);
    s.supply(2..4);
    assert_eq!(s.m.status(token), Status::OK);
}

#[test]
fn eviction_hints_clone_vmar() {
    let mut s = scene(4);
    let clone =
        s.m.vmo_create_child(s.vmo, AT_LEAST_ON_WRITE, 0, 4 * P)
            .unwrap();
    s.supply(0..1);
    s.m.vmo_write(clone, 0, &[9]).unwrap();
    let (vmar, base) = region(&mut s);
    s.m.map_in(vmar, PLACED, 0, clone, 4 * P).unwrap();
    let token = begin(&mut s, vmar, VmarOp::AlwaysNeed, base, 4);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 4)]);
    s.supply(1..4);
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.m.committed(clone), 1, "the clone gains no page");
    assert_eq!(s.m.committed(s.vmo), 4);
}
