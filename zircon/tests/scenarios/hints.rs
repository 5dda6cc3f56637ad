//! Scenarios of the hints, and of PREFETCH.

use protocol::options::VmoOp;

use super::{RESIZABLE, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status};

#[test]
fn eviction_hint_always_need() {
    let mut s = scene(20);
    let hint = s.range_op(VmoOp::AlwaysNeed, 10..15);
    assert_eq!(s.packets(), [Packet::Read(7, 10, 15)]);
    s.supply(10..15);
    assert_eq!(s.m.status(hint), Status::OK);
    assert_eq!(s.m.committed(s.vmo), 5);
}

#[test]
fn eviction_hints_op_range() {
    let mut s = scene(3);
    s.supply(0..3);
    for hint in [VmoOp::AlwaysNeed, VmoOp::DontNeed] {
        for (offset, length, status) in [
            (1, 1, Ok(())),
            (4095, 4098, Ok(())),
            (3 * PAGE_SIZE, 0, Ok(())),
            (3 * PAGE_SIZE, 1, Err(Status::OUT_OF_RANGE)),
            (0, 3 * PAGE_SIZE + 1, Err(Status::OUT_OF_RANGE)),
            (PAGE_SIZE, u64::MAX, Err(Status::OUT_OF_RANGE)),
        ] {
            assert_eq!(s.m.vmo_op_range(s.vmo, hint, offset, length), status);
        }
        let plain = s.m.vmo(1);
        assert_eq!(s.m.vmo_op_range(plain, hint, 0, u64::MAX), Ok(()));
    }
    assert_eq!(s.packets(), []);
}

/// Bytes are rounded outward to pages.
#[test]
fn eviction_hint_rounds_outward() {
    let mut s = scene(4);
    let args = [s.vmo.into(), VmoOp::AlwaysNeed as u64, 4095, 2, 0, 0];
    let hint = s.begin(protocol::syscall::SyscallNumber::VmoOpRange, &args);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.m.status(hint), Status::OK);
}

#[test]
fn eviction_hint_dont_need_asks_nothing() {
    let mut s = scene(4);
    s.m.vmo_op_range(s.vmo, VmoOp::DontNeed, 0, 4 * PAGE_SIZE)
        .unwrap();
    assert_eq!(s.packets(), []);
}

#[test]
fn eviction_hints_with_resize() {
    let mut s = scene_with(10, RESIZABLE);
    let hint = s.range_op(VmoOp::AlwaysNeed, 0..10);
    s.m.vmo_set_size(s.vmo, 0).unwrap();
    assert_eq!(s.m.status(hint), Status::OK);
    assert_eq!(s.packets(), [], "withdrawn");
}

/// What the pager says to a hint is not told.
#[test]
fn eviction_hint_swallows_errors() {
    let mut s = scene(2);
    let hint = s.range_op(VmoOp::AlwaysNeed, 0..2);
    s.fail(0..2, Status::IO);
    assert_eq!(s.m.status(hint), Status::OK);
    let hint = s.range_op(VmoOp::AlwaysNeed, 0..2);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    assert_eq!(s.m.status(hint), Status::OK);
}

#[test]
fn prefetch() {
    let mut s = scene(4);
    let prefetch = s.range_op(VmoOp::Prefetch, 0..2);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.m.status(prefetch), Status::OK);
    let slice = s.m.vmo_create_child(s.vmo, 8, PAGE_SIZE, 3 * PAGE_SIZE);
    let root = std::mem::replace(&mut s.vmo, slice.unwrap());
    let prefetch = s.range_op(VmoOp::Prefetch, 0..3);
    assert_eq!(s.packets(), [Packet::Read(7, 2, 4)], "root offsets");
    s.vmo = root;
    s.supply(2..4);
    assert_eq!(s.m.status(prefetch), Status::OK);
    assert_eq!(s.m.committed(s.vmo), 4);
    assert_eq!(s.dirty_ranges(), []);
}

#[test]
fn prefetch_tells_errors() {
    let mut s = scene(2);
    let prefetch = s.range_op(VmoOp::Prefetch, 0..2);
    s.fail(0..1, Status::NO_SPACE);
    assert!(s.m.is_blocked(prefetch));
    s.supply(1..2);
    assert_eq!(s.m.status(prefetch), Status::NO_SPACE);
}
