//! `zx_object_get_info`, `zx_object_get_property`, `zx_object_set_property`.

use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::NOWHERE;

const VMO: u64 = 0x3000_0017;

fn field32(info: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(info[at..at + 4].try_into().unwrap())
}

fn field(info: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(info[at..at + 8].try_into().unwrap())
}

#[test]
fn object_get_info_rows() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let at = m.alloc(256);
    for (handle, topic, buffer, size, status) in [
        (BAD, 1, 0, 0, Status::BAD_HANDLE),
        (0, 9999, 0, 0, Status::BAD_HANDLE),
        (vmo, 1, 0, 0, Status::OK),
        (vmo, 9999, 0, 0, Status::NOT_SUPPORTED),
        (port, VMO, at, 176, Status::WRONG_TYPE),
        (vmo, VMO, at, 175, Status::BUFFER_TOO_SMALL),
        (vmo, VMO, at, 176, Status::OK),
        (vmo, VMO, at, u64::MAX, Status::OK),
        (vmo, VMO, 0, 176, Status::INVALID_ARGS),
        (vmo, VMO, NOWHERE, 176, Status::INVALID_ARGS),
        (vmo, 2, at, 31, Status::BUFFER_TOO_SMALL),
        (vmo, 2, at, 32, Status::OK),
        (vmo, 0x17, at, 103, Status::BUFFER_TOO_SMALL),
        (vmo, 0x17, at, 104, Status::OK),
        (vmo, 0x1000_0017, at, 119, Status::BUFFER_TOO_SMALL),
        (vmo, 0x1000_0017, at, 120, Status::OK),
        (vmo, 0x2000_0017, at, 127, Status::BUFFER_TOO_SMALL),
        (vmo, 0x2000_0017, at, 128, Status::OK),
    ] {
        let args = [handle.into(), topic, buffer, size, 0, 0];
        assert_eq!(m.call(N::ObjectGetInfo, &args), status, "{topic:#x} {size}");
    }
}

#[test]
fn object_get_info_actual_and_avail() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let (at, counts) = (m.alloc(256), m.alloc(16));
    for (size, actual) in [(176, 1), (10, 0)] {
        m.poke(counts, &[0xFF; 16]);
        let args = [vmo.into(), VMO, at, size, counts, counts + 8];
        m.call(N::ObjectGetInfo, &args);
        assert_eq!((m.peek_u64(counts), m.peek_u64(counts + 8)), (actual, 1));
    }
    let args = [vmo.into(), VMO, at, 176, NOWHERE, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::INVALID_ARGS);
}

#[test]
fn info_vmo_fields() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(5000, 2).unwrap();
    m.vmo_write(vmo, 0, b"x").unwrap();
    m.map(vmo, 2);
    let info = m.info(vmo, VMO as u32, 176).unwrap();
    assert_eq!(field(&info, 0), m.koid(vmo));
    assert_eq!(field(&info, 40), 8192, "size");
    assert_eq!(field(&info, 48), 0, "parent");
    assert_eq!(
        (field(&info, 56), field(&info, 64), field(&info, 72)),
        (0, 1, 1)
    );
    assert_eq!(
        field32(&info, 80),
        1 | 2 | 8,
        "paged, resizable, via handle"
    );
    assert_eq!(field(&info, 88), 4096, "committed");
    assert_eq!(field32(&info, 96), m.rights(vmo).bits());
    assert_eq!(field(&info, 112), 0, "change events");
    assert_eq!(field(&info, 120), 4096, "populated");
}

#[test]
fn info_handle_basic_fields() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let slice = m.vmo_create_child(vmo, 8, 0, 4096).unwrap();
    let info = m.info(slice, 2, 32).unwrap();
    assert_eq!(field32(&info, 8), Rights::DEFAULT_VMO.bits());
    assert_eq!(field32(&info, 12), 3);
    assert_eq!(field(&info, 16), m.koid(vmo), "related: the parent");
    for (handle, object_type) in [
        (m.port_create(), 6),
        (m.pager_create(), 28),
        (m.main.vmar_handle, 18),
        (m.main.process_handle, 1),
        (m.main.thread_handle, 2),
        (m.main.job_handle, 17),
    ] {
        let info = m.info(handle, 2, 32).unwrap();
        assert_eq!(field32(&info, 12), object_type);
    }
}

#[test]
fn property_name() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.alloc(64);
    let long = [b'n'; 40];
    for (size, kept) in [(5, 5), (31, 31), (32, 31), (40, 31), (0, 0)] {
        m.poke(at, &long);
        let set = [vmo.into(), 3, at, size];
        assert_eq!(m.call(N::ObjectSetProperty, &set), Status::OK);
        m.poke(at, &[0xFF; 64]);
        let get = [vmo.into(), 3, at, 32];
        assert_eq!(m.call(N::ObjectGetProperty, &get), Status::OK);
        let name = m.peek(at, 33);
        assert!(name[..kept].iter().all(|byte| *byte == b'n'), "{size}");
        assert!(name[kept..32].iter().all(|byte| *byte == 0), "{size}");
        assert_eq!(name[32], 0xFF, "32 bytes are written");
    }
}

#[test]
fn object_get_property_rows() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let secret = m.without(vmo, Rights::GET_PROPERTY);
    let thread = m.main.thread_handle;
    let at = m.alloc(64);
    for (handle, property, value, size, status) in [
        (BAD, 3, 0, 0, Status::INVALID_ARGS),
        (BAD, 3, at, 32, Status::BAD_HANDLE),
        (secret, 3, at, 32, Status::ACCESS_DENIED),
        (port, 3, at, 32, Status::ACCESS_DENIED),
        (vmo, 3, at, 31, Status::BUFFER_TOO_SMALL),
        (vmo, 3, NOWHERE, 32, Status::INVALID_ARGS),
        (vmo, 3, at, 32, Status::OK),
        (vmo, 17, at, 7, Status::BUFFER_TOO_SMALL),
        (thread, 17, at, 7, Status::BUFFER_TOO_SMALL),
        (thread, 17, at, 8, Status::WRONG_TYPE),
        (vmo, 17, at, 8, Status::OK),
        (vmo, 999, at, 8, Status::NOT_SUPPORTED),
        (secret, 999, at, 8, Status::ACCESS_DENIED),
    ] {
        let args = [handle.into(), property, value, size];
        assert_eq!(
            m.call(N::ObjectGetProperty, &args),
            status,
            "{property} {size}"
        );
    }
}

#[test]
fn object_set_property_rows() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let fixed = m.without(vmo, Rights::SET_PROPERTY);
    let read_only = m.without(vmo, Rights::WRITE);
    let thread = m.main.thread_handle;
    let process = m.main.process_handle;
    let at = m.alloc(64);
    for (handle, property, value, size, status) in [
        (BAD, 3, 0, 0, Status::INVALID_ARGS),
        (BAD, 3, at, 8, Status::BAD_HANDLE),
        (fixed, 3, at, 8, Status::ACCESS_DENIED),
        (vmo, 3, NOWHERE, 8, Status::INVALID_ARGS),
        (read_only, 17, at, 1, Status::ACCESS_DENIED),
        (vmo, 17, at, 7, Status::BUFFER_TOO_SMALL),
        (thread, 17, at, 7, Status::BUFFER_TOO_SMALL),
        (thread, 17, at, 8, Status::WRONG_TYPE),
        (vmo, 999, at, 8, Status::NOT_SUPPORTED),
        (process, 3, at, 8, Status::OK),
        (thread, 4, at, 7, Status::BUFFER_TOO_SMALL),
        (vmo, 4, at, 8, Status::WRONG_TYPE),
    ] {
        let args = [handle.into(), property, value, size];
        assert_eq!(
            m.call(N::ObjectSetProperty, &args),
            status,
            "{property} {size}"
        );
    }
}

#[test]
fn property_segment_bases() {
    let mut m = TestMachine::new();
    let thread = m.main.thread_handle;
    let at = m.alloc(8);
    m.poke(at, &0x1234_5000u64.to_le_bytes());
    for (property, gs) in [(4, false), (2, true)] {
        let args = [thread.into(), property, at, 8];
        assert_eq!(m.call(N::ObjectSetProperty, &args), Status::OK);
        assert_eq!(m.bases.pop(), Some((m.main.thread, gs, 0x1234_5000)));
    }
    let other = m.thread_handle();
    let args = [other.into(), 4, at, 8];
    assert_eq!(m.call(N::ObjectSetProperty, &args), Status::ACCESS_DENIED);
    for bad in [protocol::USER_END, 1 << 63, u64::MAX] {
        m.poke(at, &bad.to_le_bytes());
        let args = [thread.into(), 4, at, 8];
        assert_eq!(m.call(N::ObjectSetProperty, &args), Status::INVALID_ARGS);
    }
}
