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
        (0, 9999, 0, 0, Status::NOT_SUPPORTED),
        (0, 2, 0, 0, Status::BAD_HANDLE),
        (vmo, 1, 0, 0, Status::OK),
        (vmo, 9999, 0, 0, Status::NOT_SUPPORTED),
        (port, VMO, at, 176, Status::WRONG_TYPE),
        (vmo, VMO, at, 175, Status::BUFFER_TOO_SMALL),
        (vmo, VMO, at, 176, Status::OK),
        (vmo, VMO, at, u64::MAX, Status::OK),
        (vmo, VMO, 0, 176, Status::INVALID_ARGS),
        (vmo, VMO, NOWHERE, 176, Status::INVALID_ARGS),
        (vmo, VMO, u64::MAX - 7, 176, Status::INVALID_ARGS),
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
fn info_handle_basic_tells_the_job() {
    let mut m = TestMachine::new();
    let (process, root) = (m.main.process_handle, m.main.job_handle);
    let related = |m: &mut TestMachine, raw| field(&m.info(raw, 2, 32).unwrap(), 16);
    let child = m.job_create(root).unwrap();
    let job = m.koid(root);
    assert_eq!(related(&mut m, process), job);
    assert_eq!(related(&mut m, child), job);
    assert_eq!(related(&mut m, root), 0, "a root job has no parent");
    let event = m.event_create();
    assert_eq!(field32(&m.info(event, 2, 32).unwrap(), 12), 5);
}

/// Handles in messages count, closed ones do not.
#[test]
fn info_handle_count() {
    let mut m = TestMachine::new();
    let event = m.event_create();
    let count = |m: &mut TestMachine| m.info(event, 19, 4).unwrap();
    assert_eq!(count(&mut m), [1, 0, 0, 0]);
    let other = m.handle_duplicate(event, Rights::SAME_RIGHTS).unwrap();
    assert_eq!(count(&mut m), [2, 0, 0, 0]);
    let (a, _b) = m.channel_create();
    m.channel_write(a, &[], &[other]).unwrap();
    assert_eq!(count(&mut m), [2, 0, 0, 0]);
    m.handle_close(a).unwrap();
    let blind = m.without(event, Rights::INSPECT);
    assert_eq!(m.info(blind, 19, 4), Err(Status::ACCESS_DENIED));
    assert_eq!(m.info(event, 19, 3), Err(Status::BUFFER_TOO_SMALL));
    assert_eq!(m.info(BAD, 19, 4), Err(Status::BAD_HANDLE));
}

#[test]
fn info_job() {
    let mut m = TestMachine::new();
    let job = m.job_create(m.main.job_handle).unwrap();
    assert_eq!(m.info(job, 24, 16).unwrap(), [0; 16]);
    m.task_kill(job).unwrap();
    let info = m.info(job, 24, 16).unwrap();
    assert_eq!(field(&info, 0) as i64, zircon::SYSCALL_KILL);
    assert_eq!(field(&info, 8), 1, "exited");
    let blind = m.without(job, Rights::INSPECT);
    for (raw, size, status) in [
        (BAD, 16, Status::BAD_HANDLE),
        (m.main.process_handle, 16, Status::WRONG_TYPE),
        (blind, 16, Status::ACCESS_DENIED),
        (job, 15, Status::BUFFER_TOO_SMALL),
    ] {
        assert_eq!(m.info(raw, 24, size), Err(status));
    }
}

/// As many ids as fit, and how many there are.
#[test]
fn info_job_children_and_processes() {
    let mut m = TestMachine::new();
    let root = m.main.job_handle;
    let jobs: Vec<u32> = (0..3).map(|_| m.job_create(root).unwrap()).collect();
    let koids: Vec<u64> = jobs.iter().map(|&job| m.koid(job)).collect();
    let (at, counts) = (m.alloc(64), m.alloc(16));
    for (size, fit) in [(24, 3), (64, 3), (23, 2), (7, 0), (0, 0)] {
        let args = [root.into(), 8, at, size, counts, counts + 8];
        assert_eq!(m.call(N::ObjectGetInfo, &args), Status::OK);
        let found: Vec<u64> = (0..fit).map(|n| m.peek_u64(at + 8 * n)).collect();
        assert_eq!(found, koids[..fit as usize]);
        assert_eq!((m.peek_u64(counts), m.peek_u64(counts + 8)), (fit, 3));
    }
    let process = m.koid(m.main.process_handle);
    assert_eq!(field(&m.info(root, 9, 8).unwrap(), 0), process);
    let blind = m.without(root, Rights::ENUMERATE);
    for topic in [8, 9] {
        for (raw, buffer, status) in [
            (BAD, at, Status::BAD_HANDLE),
            (m.main.process_handle, at, Status::WRONG_TYPE),
            (blind, at, Status::ACCESS_DENIED),
            (root, NOWHERE, Status::INVALID_ARGS),
        ] {
            let args = [raw.into(), topic, buffer, 64, 0, 0];
            assert_eq!(m.call(N::ObjectGetInfo, &args), status, "{topic}");
        }
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
