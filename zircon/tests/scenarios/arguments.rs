//! Scenarios of arguments that are refused, and of auxiliary VMOs that are mapped.

use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use super::{RESIZABLE, TRAP_DIRTY, scene};
use crate::common::{PAGE_SIZE, Rights, Status, Touch, Via};

const UNBOUNDED: u32 = 16;

#[test]
fn invalid_pager_create() {
    let mut s = scene(1);
    let out = s.m.alloc(4);
    assert_eq!(s.m.call(N::PagerCreate, &[1, out]), Status::INVALID_ARGS);
    assert_eq!(s.m.call(N::PagerCreate, &[0, 0]), Status::INVALID_ARGS);
}

#[test]
fn invalid_pager_create_vmo() {
    let mut s = scene(1);
    let (pager, port, vmo) = (s.pager, s.port, s.vmo);
    let unwritable = s.m.without(port, Rights::WRITE);
    for (pager, options, port, size, status) in [
        (pager, u32::MAX, port, PAGE_SIZE, Status::INVALID_ARGS),
        (0, 0, port, PAGE_SIZE, Status::BAD_HANDLE),
        (vmo, 0, port, PAGE_SIZE, Status::WRONG_TYPE),
        (pager, 0, 0, PAGE_SIZE, Status::BAD_HANDLE),
        (pager, 0, vmo, PAGE_SIZE, Status::WRONG_TYPE),
        (pager, 0, unwritable, PAGE_SIZE, Status::ACCESS_DENIED),
        (pager, 0, port, u64::MAX, Status::OUT_OF_RANGE),
        (pager, TRAP_DIRTY | 4, port, PAGE_SIZE, Status::INVALID_ARGS),
        (pager, RESIZABLE | UNBOUNDED, port, 0, Status::INVALID_ARGS),
    ] {
        let made = s.m.pager_create_vmo(pager, options, port, 0, size);
        assert_eq!(made, Err(status), "{options:#x} {size:#x}");
    }
}

#[test]
fn create_vmo_unbounded_invalid_stream_size() {
    let mut s = scene(1);
    let made =
        s.m.pager_create_vmo(s.pager, UNBOUNDED, s.port, 0, u64::MAX);
    assert_eq!(made, Err(Status::INVALID_ARGS));
}

#[test]
fn invalid_pager_detach_vmo() {
    let mut s = scene(1);
    let (plain, other) = (s.m.vmo(1), s.m.pager_create());
    let clone = s.m.vmo_create_child(s.vmo, 0x10, 0, PAGE_SIZE).unwrap();
    for (pager, vmo, status) in [
        (0, s.vmo, Status::BAD_HANDLE),
        (s.vmo, s.vmo, Status::WRONG_TYPE),
        (s.pager, 0, Status::BAD_HANDLE),
        (s.pager, s.pager, Status::WRONG_TYPE),
        (s.pager, plain, Status::INVALID_ARGS),
        (s.pager, clone, Status::INVALID_ARGS),
        (other, s.vmo, Status::INVALID_ARGS),
    ] {
        assert_eq!(s.m.pager_detach_vmo(pager, vmo), Err(status));
    }
}

#[test]
fn invalid_pager_supply_pages() {
    let mut s = scene(2);
    let (aux, plain, page) = (s.m.vmo(2), s.m.vmo(2), PAGE_SIZE);
    let (other, small) = (s.m.pager_create(), s.m.vmo(1));
    let vmo = s.vmo;
    for (pager, vmo, offset, length, aux, aux_offset, status) in [
        (s.pager, vmo, 1, page, aux, 0, Status::INVALID_ARGS),
        (s.pager, vmo, 0, 1, aux, 0, Status::INVALID_ARGS),
        (s.pager, vmo, 0, page, aux, 1, Status::INVALID_ARGS),
        (0, vmo, 0, page, aux, 0, Status::BAD_HANDLE),
        (vmo, vmo, 0, page, aux, 0, Status::WRONG_TYPE),
        (s.pager, 0, 0, page, aux, 0, Status::BAD_HANDLE),
        (s.pager, s.pager, 0, page, aux, 0, Status::WRONG_TYPE),
        (s.pager, plain, 0, page, aux, 0, Status::INVALID_ARGS),
        (other, vmo, 0, page, aux, 0, Status::INVALID_ARGS),
        (s.pager, vmo, 0, page, 0, 0, Status::BAD_HANDLE),
        (s.pager, vmo, 0, page, s.pager, 0, Status::WRONG_TYPE),
        (s.pager, vmo, 0, 2 * page, small, 0, Status::OUT_OF_RANGE),
        (s.pager, vmo, page, 2 * page, aux, 0, Status::OUT_OF_RANGE),
    ] {
        let supplied =
            s.m.pager_supply_pages(pager, vmo, offset, length, aux, aux_offset);
        assert_eq!(supplied, Err(status), "{offset} {length} {aux_offset}");
    }
}

/// The pages of a mapped auxiliary VMO move all the same; its mapping shows zeros then.
#[test]
fn mapped_supply_pages() {
    let mut s = scene(1);
    let aux = s.m.vmo(1);
    let at = s.m.map(aux, 1);
    s.m.poke(at, &[9; 4096]);
    s.m.pager_supply_pages(s.pager, s.vmo, 0, PAGE_SIZE, aux, 0)
        .unwrap();
    assert_eq!(s.m.page_bytes(s.vmo, 0..1), [9]);
    let thread = s.m.thread();
    assert_eq!(s.m.touch(thread, at, Access::Read), Touch::Done);
    assert_eq!(s.m.peek(at, 4096), [0; 4096]);
}

/// The queries of a pager are for its own VMOs, also when the VMO's pager is gone.
#[test]
fn proxy_use_after_free() {
    let mut s = scene(1);
    s.m.handle_close(s.pager).unwrap();
    let (other, out) = (s.m.pager_create(), s.m.alloc(4));
    let args = [other.into(), s.vmo.into(), 0, out, 4];
    let status = s.m.call(N::PagerQueryVmoStats, &args);
    assert_eq!(status, Status::INVALID_ARGS);
    let mut reader = s.reader(Via::Read, 0..1);
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
}
