//! `zx_vmo_transfer_data`.

use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::Packet;

const SNAPSHOT: u32 = 1;
const SLICE: u32 = 8;
const ALOW: u32 = 0x10;

fn transfer(
    m: &mut TestMachine,
    (to, to_page): (u32, u64),
    pages: u64,
    (from, from_page): (u32, u64),
) -> Result<(), Status> {
    let args = [
        to.into(),
        0,
        to_page * PAGE_SIZE,
        pages * PAGE_SIZE,
        from.into(),
        from_page * PAGE_SIZE,
    ];
    m.call(N::VmoTransferData, &args).ok()
}

/// A VMO whose pages are filled with 1, 2, 3 and so on.
fn filled(m: &mut TestMachine, pages: u64) -> u32 {
    let vmo = m.vmo(pages);
    for page in 0..pages {
        m.vmo_write(vmo, page * PAGE_SIZE, &[page as u8 + 1; 4096])
            .unwrap();
    }
    vmo
}

#[test]
fn vmo_transfer_data_moves_pages() {
    let mut m = TestMachine::new();
    let (from, to) = (filled(&mut m, 4), filled(&mut m, 3));
    let total = m.memory.total();
    transfer(&mut m, (to, 1), 2, (from, 0)).unwrap();
    assert_eq!(m.memory.total(), total - 2, "what was there gave way");
    assert_eq!(m.page_bytes(to, 0..3), [1, 1, 2]);
    assert_eq!(m.page_bytes(from, 0..4), [0, 0, 3, 4]);
    assert_eq!((m.committed(from), m.committed(to)), (2, 3));
    m.vmo_write(to, 4096, &[9; 4096]).unwrap();
    assert_eq!(m.page_bytes(to, 0..3), [1, 9, 2]);
}

/// Pages that the source does not have overwrite as well.
#[test]
fn vmo_transfer_data_of_uncommitted_pages() {
    let mut m = TestMachine::new();
    let (from, parent) = (m.vmo(2), filled(&mut m, 2));
    let to = m.vmo_create_child(parent, SNAPSHOT, 0, 8192).unwrap();
    transfer(&mut m, (to, 0), 1, (from, 0)).unwrap();
    assert_eq!(
        m.page_bytes(to, 0..2),
        [0, 2],
        "the parent's data is hidden"
    );
    assert_eq!(m.page_bytes(parent, 0..2), [1, 2]);
    transfer(&mut m, (parent, 1), 1, (from, 1)).unwrap();
    assert_eq!(m.page_bytes(parent, 0..2), [1, 0]);
    assert_eq!(m.page_bytes(to, 0..2), [0, 2]);
}

#[test]
fn vmo_transfer_data_within_a_vmo() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 6);
    transfer(&mut m, (vmo, 2), 3, (vmo, 0)).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..6), [0, 0, 1, 2, 3, 6]);
    transfer(&mut m, (vmo, 1), 3, (vmo, 3)).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..6), [0, 2, 3, 6, 0, 0]);
    // A part that is zero in between.
    transfer(&mut m, (vmo, 1), 5, (vmo, 0)).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..6), [0, 0, 2, 3, 6, 0]);
    transfer(&mut m, (vmo, 2), 3, (vmo, 2)).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..6), [0, 0, 2, 3, 6, 0], "onto itself");
}

#[test]
fn vmo_transfer_data_through_slices() {
    let mut m = TestMachine::new();
    let (from, to) = (filled(&mut m, 4), m.vmo(4));
    let from_slice = m.vmo_create_child(from, SLICE, 4096, 8192).unwrap();
    let to_slice = m.vmo_create_child(to, SLICE, 8192, 8192).unwrap();
    transfer(&mut m, (to_slice, 0), 2, (from_slice, 0)).unwrap();
    assert_eq!(m.page_bytes(to, 0..4), [0, 0, 2, 3]);
    assert_eq!(m.page_bytes(from, 0..4), [1, 0, 0, 4]);
    let outside = transfer(&mut m, (to_slice, 1), 2, (from, 0));
    assert_eq!(outside, Err(Status::OUT_OF_RANGE));
    let again = m.vmo_create_child(to, SLICE, 8192, 8192).unwrap();
    transfer(&mut m, (again, 0), 2, (to, 2)).unwrap();
    assert_eq!(m.page_bytes(to, 0..4), [0, 0, 2, 3], "the same pages");
}

/// Clones of a pager's VMO may be on both sides; what the source shows is asked for and copied.
#[test]
fn vmo_transfer_data_between_clones_of_a_pagers_vmo() {
    let mut p = paged(2);
    let from = p.m.vmo_create_child(p.vmo, ALOW, 0, 8192).unwrap();
    let to = p.m.vmo_create_child(p.vmo, ALOW, 0, 8192).unwrap();
    let thread = p.m.thread();
    let args = [to.into(), 0, 4096, 4096, from.into(), 0];
    let token = p.m.begin(thread, N::VmoTransferData, &args);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
    p.m.supply(p.pager, p.vmo, 0..2, 5).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.page_bytes(to, 0..2), [5, 5]);
    assert_eq!(p.m.page_bytes(from, 0..2), [0, 6]);
    assert_eq!(p.m.page_bytes(p.vmo, 0..2), [5, 6]);
    for vmo in [from, to] {
        let clone = transfer(&mut p.m, (p.vmo, 0), 1, (vmo, 0));
        assert_eq!(clone, Err(Status::NOT_SUPPORTED));
    }
}

#[test]
fn vmo_transfer_data_order_of_checks() {
    let mut p = paged(2);
    let m = &mut p.m;
    let (plain, port) = (m.vmo(2), p.port);
    let unwritable = m.without(plain, Rights::WRITE);
    let unreadable = m.without(plain, Rights::READ);
    for (to, options, offset, length, from, from_offset, status) in [
        (BAD, 1, 0, 0, BAD, 0, Status::INVALID_ARGS),
        (BAD, 0, 1, 0, BAD, 0, Status::INVALID_ARGS),
        (BAD, 0, 0, 1, BAD, 0, Status::INVALID_ARGS),
        (BAD, 0, 0, 0, BAD, 1, Status::INVALID_ARGS),
        (BAD, 0, 0, 0, BAD, 0, Status::BAD_HANDLE),
        (port, 0, 0, 0, BAD, 0, Status::WRONG_TYPE),
        (unwritable, 0, 0, 0, BAD, 0, Status::ACCESS_DENIED),
        (plain, 0, 0, 0, BAD, 0, Status::BAD_HANDLE),
        (plain, 0, 0, 0, port, 0, Status::WRONG_TYPE),
        (plain, 0, 0, 0, unreadable, 0, Status::ACCESS_DENIED),
        (plain, 0, 0, 0, unwritable, 0, Status::ACCESS_DENIED),
        (plain, 0, 0, 1 << 40, plain, 0, Status::OK),
        (p.vmo, 0, 0, 1 << 40, p.vmo, 4096, Status::NOT_SUPPORTED),
        (p.vmo, 0, 0, 8192, plain, 4096, Status::OUT_OF_RANGE),
        (p.vmo, 0, 0, 4096, plain, 4096, Status::NOT_SUPPORTED),
        (plain, 0, 4096, 8192, plain, 0, Status::OUT_OF_RANGE),
        (plain, 0, WHOLE, 4096, plain, 0, Status::OUT_OF_RANGE),
        (plain, 0, 8192, 0, plain, 0, Status::OK),
    ] {
        let args = [to.into(), options, offset, length, from.into(), from_offset];
        assert_eq!(m.call(N::VmoTransferData, &args), status, "{args:x?}");
    }
}

const WHOLE: u64 = u64::MAX - PAGE_SIZE + 1;
