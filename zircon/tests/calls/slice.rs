//! `zx_vmo_create_child` (slices) and ZX_VMO_ZERO_CHILDREN.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{Packet, Via};

const SLICE: u32 = 8;
const NO_WRITE: u32 = 0x20;
const RESIZABLE: u32 = 4;

#[test]
fn vmo_create_child_slice_shares_pages() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 4096, &[1; 8192]).unwrap();
    let slice = m.vmo_create_child(vmo, SLICE, 4096, 5000).unwrap();
    assert_eq!(m.vmo_get_size(slice), Ok(8192));
    assert_eq!(m.content_size(slice), Ok(5000));
    assert_eq!(m.page_bytes(slice, 0..2), [1, 1]);
    m.vmo_write(slice, 4096, &[2; 4096]).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..4), [0, 1, 2, 0]);
    assert_eq!(m.committed(slice), 0, "pages belong to the parent");
    let inner = m.vmo_create_child(slice, SLICE, 4096, 4096).unwrap();
    assert_eq!(m.page_bytes(inner, 0..1), [2]);
    assert_eq!(m.vmo_read(inner, 0, 4097), Err(Status::OUT_OF_RANGE));
    assert_eq!(m.vmo_info(inner, 48), m.koid(slice), "parent koid");
    assert_eq!(m.vmo_set_size(slice, 0), Err(Status::UNAVAILABLE));
}

#[test]
fn vmo_create_child_order_of_checks() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(2), m.port_create());
    let plain = m.vmo_create(8192, 2).unwrap();
    let discardable = m.vmo_create(8192, 4).unwrap();
    let sealed = m.without(vmo, Rights::DUPLICATE);
    let unreadable = m.without(vmo, Rights::READ);
    for (handle, options, offset, size, status) in [
        (BAD, u32::MAX, 1, u64::MAX, Status::OUT_OF_RANGE),
        (BAD, NO_WRITE | RESIZABLE, 1, 0, Status::INVALID_ARGS),
        (BAD, 0, 1, 0, Status::BAD_HANDLE),
        (port, 0, 1, 0, Status::WRONG_TYPE),
        (sealed, 0, 1, 0, Status::ACCESS_DENIED),
        (unreadable, 0, 1, 0, Status::ACCESS_DENIED),
        (discardable, 0, 1, 0, Status::NOT_SUPPORTED),
        (vmo, 0, 0, 4096, Status::INVALID_ARGS),
        (vmo, SLICE | 1, 0, 4096, Status::INVALID_ARGS),
        (vmo, SLICE | 0x100, 0, 4096, Status::INVALID_ARGS),
        (vmo, SLICE | RESIZABLE, 0, 4096, Status::INVALID_ARGS),
        (vmo, SLICE, 1, 4096, Status::INVALID_ARGS),
        (vmo, SLICE, 4096, 8192, Status::INVALID_ARGS),
        (vmo, SLICE, 12288, 0, Status::INVALID_ARGS),
        (vmo, SLICE, u64::MAX - 4095, 4096, Status::INVALID_ARGS),
        (vmo, SLICE, 4096, MAX_VMO_SIZE, Status::INVALID_ARGS),
        (plain, SLICE, 4096, 8192, Status::INVALID_ARGS),
        (plain, SLICE, 0, 4096, Status::NOT_SUPPORTED),
    ] {
        assert_eq!(
            m.vmo_create_child(handle, options, offset, size),
            Err(status),
            "{options:#x} {offset:#x} {size:#x}"
        );
    }
    assert!(m.vmo_create_child(vmo, SLICE, 8192, 0).is_ok(), "empty");
}

#[test]
fn vmo_create_child_rights_and_name() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let name = m.alloc(8);
    m.poke(name, b"parent\0\0");
    let set = [vmo.into(), 3, name, 8];
    assert_eq!(m.call(N::ObjectSetProperty, &set), Status::OK);
    let slice = m.vmo_create_child(vmo, SLICE, 0, 4096).unwrap();
    assert_eq!(m.rights(slice), Rights::DEFAULT_VMO);
    let frozen = m.vmo_create_child(vmo, SLICE | NO_WRITE, 0, 4096).unwrap();
    assert_eq!(m.rights(frozen), Rights::DEFAULT_VMO - Rights::WRITE);
    let info = m.info(slice, 0x3000_0017, 176).unwrap();
    assert_eq!(&info[8..15], b"parent\0");
    let anonymous = m.without(vmo, Rights::GET_PROPERTY);
    let nameless = m.vmo_create_child(anonymous, SLICE, 0, 4096).unwrap();
    let info = m.info(nameless, 0x3000_0017, 176).unwrap();
    assert_eq!(&info[8..40], [0; 32]);
    let both = Rights::GET_PROPERTY | Rights::SET_PROPERTY;
    assert!(m.rights(nameless).contains(both));
}

#[test]
fn vmo_create_child_out_invalid_args() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let args = [vmo.into(), SLICE.into(), 0, 4096, 0];
    assert_eq!(m.call(N::VmoCreateChild, &args), Status::INVALID_ARGS);
    assert_eq!(m.signals(vmo), 8, "the child is gone again");
    assert_eq!(m.vmo_info(vmo, 56), 0);
}

#[test]
fn zero_children_signal() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    assert_eq!(m.signals(vmo), 8);
    let slice = m.vmo_create_child(vmo, SLICE, 0, 4096).unwrap();
    assert_eq!(m.signals(vmo), 0, "inactive while there is a child");
    let second = m.vmo_create_child(vmo, SLICE, 0, 4096).unwrap();
    assert_eq!(m.vmo_info(vmo, 56), 2);
    let grandchild = m.vmo_create_child(slice, SLICE, 0, 4096).unwrap();
    let at = m.map(grandchild, 1);
    m.handle_close(second).unwrap();
    m.handle_close(slice).unwrap();
    assert_eq!(m.signals(vmo), 0, "the middle one lives on in its child");
    m.handle_close(grandchild).unwrap();
    assert_eq!(m.signals(vmo), 0, "the mapping is left");
    m.vmar_unmap(at, 4096).unwrap();
    assert_eq!(m.signals(vmo), 8);
    assert_eq!(m.vmo_info(vmo, 56), 0);
}

#[test]
fn zero_children_waits() {
    let mut p = paged(1);
    let slice = p.m.vmo_create_child(p.vmo, SLICE, 0, 4096).unwrap();
    let thread = p.m.thread();
    let args = [p.vmo.into(), 8, i64::MAX as u64, 0];
    let token = p.m.begin(thread, N::ObjectWaitOne, &args);
    p.m.handle_close(slice).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
}

/// A slice of a pager's VMO asks with the root's offsets and key, and keeps the source alive.
#[test]
fn slice_of_a_pager_vmo() {
    for via in Via::BOTH {
        let mut p = paged(4);
        let slice = p.m.vmo_create_child(p.vmo, SLICE, 4096, 8192).unwrap();
        let mut reader = p.m.reader(via, slice, 1..2);
        assert_eq!(p.m.packets(p.port), [Packet::Read(7, 2, 3)]);
        p.m.supply(p.pager, p.vmo, 0..4, 0).unwrap();
        assert_eq!(p.m.read_bytes(&mut reader), [2]);
        assert_eq!(p.m.vmo_info(slice, 80) as u32 & 0x20, 0x20);
    }
}

/// A chain of slices can be deep: its end must not recurse.
#[test]
fn slices_deep() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let root = m.vmo(1);
    let out = m.alloc(4);
    let mut last = root;
    for _ in 0..100_000 {
        let args = [last.into(), SLICE.into(), 0, 4096, out];
        assert_eq!(m.call(N::VmoCreateChild, &args), Status::OK);
        if last != root {
            m.handle_close(last).unwrap();
        }
        last = m.peek_u32(out);
    }
    m.vmo_write(last, 0, b"deep").unwrap();
    assert_eq!(m.vmo_read(root, 0, 4).unwrap(), b"deep");
    m.handle_close(last).unwrap();
    assert_eq!(m.signals(root), 8);
}
