//! `zx_pager_op_range`, `zx_pager_query_dirty_ranges`, `zx_pager_query_vmo_stats`: their errors, in the order of the checks.

use protocol::options::PagerOp;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::NOWHERE;

const TRAP_DIRTY: u32 = 8;
const IO: u64 = Status::IO.to_register();

fn op(p: &mut Paged, op: u64, pages: std::ops::Range<u64>, data: u64) -> Status {
    let (offset, length) = (pages.start * 4096, (pages.end - pages.start) * 4096);
    let args = [p.pager.into(), op, p.vmo.into(), offset, length, data];
    p.m.call(N::PagerOpRange, &args)
}

#[test]
fn pager_op_range_order_of_checks() {
    let mut p = paged_with(2 * 4096, TRAP_DIRTY);
    let (pager, vmo, port) = (p.pager, p.vmo, p.port);
    let plain = p.m.vmo(2);
    let slice = p.m.vmo_create_child(vmo, 8, 0, 4096).unwrap();
    let no_manage = Rights::DEFAULT_PAGER - Rights::MANAGE_VMO;
    let weak = p.m.pager_create();
    let weak = p.m.handle_replace(weak, no_manage).unwrap();
    let other = p.m.pager_create();
    let read_only = p.m.without(vmo, Rights::WRITE);
    let huge = 1 << 40;
    for (pager, op, vmo, offset, length, data, status) in [
        (BAD, 99, BAD, 1, huge, 9, Status::INVALID_ARGS),
        (BAD, 99, BAD, 0, 1, 9, Status::INVALID_ARGS),
        (BAD, 99, BAD, 0, huge, 9, Status::BAD_HANDLE),
        (port, 99, BAD, 0, huge, 9, Status::WRONG_TYPE),
        (weak, 99, BAD, 0, huge, 9, Status::ACCESS_DENIED),
        (pager, 99, BAD, 0, huge, 9, Status::BAD_HANDLE),
        (pager, 99, port, 0, huge, 9, Status::WRONG_TYPE),
        (pager, 99, read_only, 0, huge, 9, Status::ACCESS_DENIED),
        (other, 99, vmo, 0, huge, 9, Status::INVALID_ARGS),
        (pager, 99, plain, 0, huge, 9, Status::INVALID_ARGS),
        (pager, 99, slice, 0, huge, 9, Status::INVALID_ARGS),
        (pager, 99, vmo, 0, huge, 9, Status::NOT_SUPPORTED),
        (pager, 0, vmo, 0, huge, 9, Status::NOT_SUPPORTED),
        (pager, 1, vmo, 0, huge, 9, Status::INVALID_ARGS),
        (pager, 2, vmo, 0, huge, 9, Status::INVALID_ARGS),
        (pager, 3, vmo, 0, huge, 2, Status::INVALID_ARGS),
        (pager, 4, vmo, 0, huge, 1, Status::INVALID_ARGS),
        (pager, 1, vmo, 0, huge, IO, Status::OUT_OF_RANGE),
        (pager, 2, vmo, 4096, 8192, 0, Status::OUT_OF_RANGE),
        (
            pager,
            3,
            vmo,
            u64::MAX - 4095,
            8192,
            1,
            Status::OUT_OF_RANGE,
        ),
        (pager, 4, vmo, 0, huge, 0, Status::OUT_OF_RANGE),
        (pager, 1, vmo, 0, 8192, IO, Status::OK),
        (pager, 2, vmo, 0, 8192, 0, Status::NOT_FOUND),
        (pager, 3, vmo, 0, 8192, 1, Status::OK),
        (pager, 4, vmo, 0, 8192, 0, Status::OK),
    ] {
        let args = [pager.into(), op, vmo.into(), offset, length, data];
        assert_eq!(p.m.call(N::PagerOpRange, &args), status, "{args:x?}");
    }
}

#[test]
fn pager_op_range_fail_codes() {
    let mut p = paged(1);
    for status in [
        Status::IO,
        Status::IO_DATA_INTEGRITY,
        Status::BAD_STATE,
        Status::NO_SPACE,
        Status::BUFFER_TOO_SMALL,
    ] {
        assert_eq!(op(&mut p, 1, 0..1, status.to_register()), Status::OK);
        // Not sign-extended.
        let half = status.to_register() & 0xFFFF_FFFF;
        assert_eq!(op(&mut p, 1, 0..1, half), Status::INVALID_ARGS);
    }
    for data in [
        0,
        100,
        0x11_FFFF_FFFF,
        Status::INTERNAL.to_register(),
        Status::NO_MEMORY.to_register(),
    ] {
        assert_eq!(op(&mut p, 1, 0..1, data), Status::INVALID_ARGS, "{data:x}");
    }
}

#[test]
fn pager_op_range_dirty_without_trap_not_supported() {
    let mut p = paged(2);
    p.m.supply(p.pager, p.vmo, 0..2, 0).unwrap();
    assert_eq!(op(&mut p, 2, 0..5, 9), Status::NOT_SUPPORTED);
}

#[test]
fn pager_op_range_after_detach() {
    let mut p = paged_with(2 * 4096, TRAP_DIRTY);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    for (number, data, status) in [
        (1, IO, Status::BAD_STATE),
        (2, 0, Status::BAD_STATE),
        (3, 0, Status::OK),
        (4, 0, Status::OK),
    ] {
        assert_eq!(op(&mut p, number, 0..2, data), status, "{number}");
        let beyond = op(&mut p, number, 0..3, data);
        assert_eq!(beyond, Status::OUT_OF_RANGE, "before the state");
    }
}

#[test]
fn pager_op_range_of_no_length() {
    let mut p = paged_with(2 * 4096, TRAP_DIRTY);
    for (number, data) in [(1, IO), (2, 0), (3, 0), (3, 1), (4, 0)] {
        assert_eq!(op(&mut p, number, 2..2, data), Status::OK, "{number}");
        assert_eq!(op(&mut p, number, 3..3, data), Status::OUT_OF_RANGE);
    }
}

#[test]
fn pager_op_range_dirty_no_memory() {
    let mut p = paged_with(2 * 4096, TRAP_DIRTY);
    let aux = p.m.vmo(2);
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 8192, aux, 0)
        .unwrap();
    p.m.no_memory = true;
    assert_eq!(op(&mut p, 2, 0..2, 0), Status::NO_MEMORY);
    p.m.no_memory = false;
    assert_eq!(p.m.dirty_ranges(p.pager, p.vmo, 0..2), []);
    assert_eq!(op(&mut p, 2, 0..2, 0), Status::OK);
}

#[test]
fn pager_query_order_of_checks() {
    let mut p = paged(2);
    let (pager, vmo, port) = (p.pager, p.vmo, p.port);
    let plain = p.m.vmo(2);
    let slice = p.m.vmo_create_child(vmo, 8, 0, 4096).unwrap();
    let weak = p.m.pager_create();
    let no_manage = Rights::DEFAULT_PAGER - Rights::MANAGE_VMO;
    let weak = p.m.handle_replace(weak, no_manage).unwrap();
    let other = p.m.pager_create();
    let write_only = p.m.without(vmo, Rights::READ);
    for (pager, vmo, status) in [
        (BAD, BAD, Status::BAD_HANDLE),
        (port, BAD, Status::WRONG_TYPE),
        (weak, BAD, Status::ACCESS_DENIED),
        (pager, BAD, Status::BAD_HANDLE),
        (pager, port, Status::WRONG_TYPE),
        (pager, write_only, Status::ACCESS_DENIED),
        (other, vmo, Status::INVALID_ARGS),
        (pager, plain, Status::INVALID_ARGS),
        (pager, slice, Status::INVALID_ARGS),
    ] {
        let args = [pager.into(), vmo.into(), 0, 1 << 40, NOWHERE, 24, 0, 0];
        assert_eq!(p.m.call(N::PagerQueryDirtyRanges, &args), status);
        let args = [pager.into(), vmo.into(), 9, NOWHERE, 0];
        assert_eq!(p.m.call(N::PagerQueryVmoStats, &args), status);
    }
    for (offset, length, status) in [
        (0, 8193, Status::OUT_OF_RANGE),
        (8192, 1, Status::OUT_OF_RANGE),
        (1, u64::MAX, Status::OUT_OF_RANGE),
        (8192, 0, Status::OK),
        (0, 8192, Status::OK),
    ] {
        let args = [pager.into(), vmo.into(), offset, length, NOWHERE, 24, 0, 0];
        assert_eq!(p.m.call(N::PagerQueryDirtyRanges, &args), status);
    }
}

/// Three dirty ranges, and how they are told.
#[test]
fn pager_query_dirty_ranges_fits_what_fits() {
    let mut p = paged(6);
    p.m.supply(p.pager, p.vmo, 0..6, 0).unwrap();
    for page in [0, 2, 4] {
        p.m.vmo_write(p.vmo, page * 4096, b"x").unwrap();
    }
    let at = p.m.alloc(4096);
    let (actual, avail) = (at + 2048, at + 2056);
    let (pager, vmo) = (u64::from(p.pager), u64::from(p.vmo));
    for (size, fit) in [(0, 0), (23, 0), (24, 1), (71, 2), (72, 3), (1024, 3)] {
        let args = [pager, vmo, 0, 6 * 4096, at, size, actual, avail];
        assert_eq!(p.m.call(N::PagerQueryDirtyRanges, &args), Status::OK);
        assert_eq!((p.m.peek_u64(actual), p.m.peek_u64(avail)), (fit, 3));
    }
    assert_eq!(p.m.peek_u64(at + 24), 2 * 4096, "in order");
    let rounded = [pager, vmo, 4095, 2, at, 1024, actual, avail];
    assert_eq!(p.m.call(N::PagerQueryDirtyRanges, &rounded), Status::OK);
    assert_eq!(p.m.peek_u64(avail), 1, "rounded outward: pages 0 and 1");
    let without = [pager, vmo, 0, 6 * 4096, at, 72, 0, 0];
    assert_eq!(p.m.call(N::PagerQueryDirtyRanges, &without), Status::OK);
    let nowhere = [pager, vmo, 0, 6 * 4096, NOWHERE, 72, 0, 0];
    let status = p.m.call(N::PagerQueryDirtyRanges, &nowhere);
    assert_eq!(status, Status::INVALID_ARGS);
    let nothing = [pager, vmo, 4096, 4096, NOWHERE, 72, 0, 0];
    let status = p.m.call(N::PagerQueryDirtyRanges, &nothing);
    assert_eq!(status, Status::OK, "there is nothing to write");
}

/// Runs of pages and of zeros are told apart, and sorted.
#[test]
fn pager_query_dirty_ranges_splits_where_zeros_begin() {
    let mut p = paged_with(4096, 2);
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    p.m.vmo_set_size(p.vmo, 6 * 4096).unwrap();
    p.m.vmo_write(p.vmo, 0, &[1; 8192]).unwrap();
    p.m.vmo_write(p.vmo, 4 * 4096, &[1]).unwrap();
    assert_eq!(
        p.m.dirty_ranges(p.pager, p.vmo, 0..6),
        [(0, 2, false), (2, 4, true), (4, 5, false), (5, 6, true)]
    );
    assert_eq!(
        p.m.dirty_ranges(p.pager, p.vmo, 3..5),
        [(3, 4, true), (4, 5, false)],
        "clipped"
    );
}

#[test]
fn pager_query_vmo_stats_rows() {
    let mut p = paged(1);
    let at = p.m.alloc(8);
    let (pager, vmo) = (u64::from(p.pager), u64::from(p.vmo));
    for (options, buffer, size, status) in [
        (9, NOWHERE, 3, Status::BUFFER_TOO_SMALL),
        (2, NOWHERE, 4, Status::INVALID_ARGS),
        (0, NOWHERE, 4, Status::INVALID_ARGS),
        (0, at, 4, Status::OK),
        (1, at, 100, Status::OK),
    ] {
        let args = [pager, vmo, options, buffer, size];
        assert_eq!(p.m.call(N::PagerQueryVmoStats, &args), status);
    }
    assert_eq!(p.m.peek_u32(at), 0);
    assert_eq!(PagerOp::from_number(5), None);
}
