//! `zx_event_create`, and `zx_object_signal` on objects of every type.

use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::NOWHERE;

const SIGNALED: u32 = 1 << 3;
const USER_0: u32 = 1 << 24;

#[test]
fn event_create_rows() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    for options in [1, 2, 1 << 31] {
        assert_eq!(
            m.call(N::EventCreate, &[options, 0]),
            Status::INVALID_ARGS,
            "options come before the pointer"
        );
    }
    for bad in [0, NOWHERE] {
        assert_eq!(m.call(N::EventCreate, &[0, bad]), Status::INVALID_ARGS);
    }
    assert_eq!(m.call(N::EventCreate, &[0, out]), Status::OK);
    let event = m.peek_u32(out);
    assert_eq!(m.rights(event), Rights::DEFAULT_EVENT);
    assert_eq!(m.signals(event), 0);
}

#[test]
fn event_signaled_is_set_and_cleared_on_events_only() {
    let mut m = TestMachine::new();
    let event = m.event_create();
    m.object_signal(event, 0, SIGNALED | USER_0).unwrap();
    assert_eq!(m.signals(event), SIGNALED | USER_0);
    m.object_signal(event, SIGNALED, 0).unwrap();
    assert_eq!(m.signals(event), USER_0);
    for bit in [0, 4, 22, 23] {
        for (clear, set) in [(1 << bit, 0), (0, 1 << bit), (1 << bit, SIGNALED)] {
            assert_eq!(
                m.object_signal(event, clear, set),
                Err(Status::INVALID_ARGS),
                "bit {bit}"
            );
        }
    }
    assert_eq!(m.signals(event), USER_0, "nothing changed");
}

#[test]
fn object_signal_on_every_type() {
    let mut m = TestMachine::new();
    let thread = m.thread_handle();
    for (raw, signals) in [
        (m.vmo(1), 8),
        (m.event_create(), 0),
        (m.main.process_handle, 0),
        (thread, 1 << 4),
    ] {
        m.object_signal(raw, 0, 0xFF << 24).unwrap();
        assert_eq!(m.signals(raw), signals | 0xFF << 24);
        m.object_signal(raw, 0xFE << 24, 0).unwrap();
        assert_eq!(m.signals(raw), signals | USER_0);
    }
    for raw in [m.port_create(), m.pager_create(), m.main.vmar_handle] {
        assert_eq!(
            m.object_signal(raw, 0, USER_0),
            Err(Status::ACCESS_DENIED),
            "no handle to it has SIGNAL"
        );
    }
    assert_eq!(m.object_signal(0, 0, USER_0), Err(Status::BAD_HANDLE));
}

#[test]
fn an_event_ends_with_its_last_handle() {
    let mut m = TestMachine::new();
    let event = m.event_create();
    let port = m.port_create();
    let other = m.handle_duplicate(event, Rights::SAME_RIGHTS).unwrap();
    m.wait_async(other, port, 1, SIGNALED, 0).unwrap();
    m.handle_close(event).unwrap();
    m.object_signal(other, 0, SIGNALED).unwrap();
    assert_eq!(m.packets(port).len(), 1);
    m.handle_close(other).unwrap();
    assert_eq!(m.object_signal(other, 0, 0), Err(Status::BAD_HANDLE));
}
