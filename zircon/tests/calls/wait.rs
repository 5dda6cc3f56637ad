//! `zx_object_wait_one`, `zx_object_wait_async`, `zx_object_signal`, `zx_nanosleep`.

use protocol::syscall::SyscallNumber as N;
use protocol::{PortPacket, TIME_INFINITE, TIME_INFINITE_PAST};

use super::*;
use crate::common::{NOWHERE, Packet};

const USER_0: u64 = 1 << 24;
const USER_1: u64 = 1 << 25;
const CLOSED: u32 = 1 << 23;

fn signal(key: u64, trigger: u64, observed: u64, timestamp: i64) -> Packet {
    Packet::Other(PortPacket {
        key,
        kind: 1,
        status: 0,
        payload: [observed << 32 | trigger, 1, timestamp as u64, 0],
    })
}

#[test]
fn object_signal_rows() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    for (handle, clear, set, status) in [
        (u64::from(BAD), 0, 1, Status::BAD_HANDLE),
        (port.into(), 0, USER_0, Status::ACCESS_DENIED),
        (vmo.into(), 0, 8, Status::INVALID_ARGS),
        (vmo.into(), 8, 0, Status::INVALID_ARGS),
        (vmo.into(), 0, u64::from(CLOSED), Status::INVALID_ARGS),
        (vmo.into(), 0xFF00_0000, USER_0, Status::OK),
    ] {
        assert_eq!(m.call(N::ObjectSignal, &[handle, clear, set]), status);
    }
    assert_eq!(m.signals(vmo), 8 | USER_0 as u32);
    let both = [vmo.into(), USER_0, USER_0 | USER_1];
    assert_eq!(m.call(N::ObjectSignal, &both), Status::OK);
    assert_eq!(
        m.signals(vmo),
        8 | (USER_0 | USER_1) as u32,
        "clear, then set"
    );
}

#[test]
fn object_wait_one_rows() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let out = m.alloc(4);
    let past = TIME_INFINITE_PAST as u64;
    for (handle, signals, out, status) in [
        (BAD, 8, out, Status::BAD_HANDLE),
        (port, 8, out, Status::ACCESS_DENIED),
        (vmo, 8, NOWHERE, Status::INVALID_ARGS),
        (vmo, 8, 0, Status::OK),
        (vmo, 8, out, Status::OK),
        (vmo, USER_0, out, Status::TIMED_OUT),
        (vmo, 0, 0, Status::TIMED_OUT),
    ] {
        let args = [handle.into(), signals, past, out];
        assert_eq!(m.call(N::ObjectWaitOne, &args), status);
    }
    assert_eq!(m.peek_u32(out), 8);
}

#[test]
fn object_wait_one_wakes_and_times_out() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let threads = [m.thread(), m.thread(), m.thread()];
    let outs = [m.alloc(4), m.alloc(4), m.alloc(4)];
    let deadlines = [TIME_INFINITE, m.now + 10, m.now + 100];
    let tokens = [0, 1, 2].map(|i: usize| {
        let args = [vmo.into(), USER_0, deadlines[i] as u64, outs[i]];
        m.begin(threads[i], N::ObjectWaitOne, &args)
    });
    m.advance(10);
    assert_eq!(m.status(tokens[1]), Status::TIMED_OUT);
    assert_eq!(m.peek_u32(outs[1]), 8, "observed in both cases");
    let set_one = [vmo.into(), 0, USER_1];
    m.call(N::ObjectSignal, &set_one);
    assert!(m.is_blocked(tokens[0]));
    m.call(N::ObjectSignal, &[vmo.into(), 0, USER_0]);
    for i in [0, 2] {
        assert_eq!(m.status(tokens[i]), Status::OK);
        assert_eq!(m.peek_u32(outs[i]), 8 | (USER_0 | USER_1) as u32);
    }
    assert_eq!(m.kernel.next_deadline(), None);
}

#[test]
fn object_wait_one_handle_closed_canceled() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let other = m.handle_duplicate(vmo, Rights::SAME_RIGHTS).unwrap();
    let threads = [m.thread(), m.thread()];
    let out = m.alloc(4);
    let infinite = TIME_INFINITE as u64;
    let args = [vmo.into(), USER_0, infinite, out];
    let one = m.begin(threads[0], N::ObjectWaitOne, &args);
    let args = [other.into(), USER_0, infinite, 0];
    let two = m.begin(threads[1], N::ObjectWaitOne, &args);
    m.handle_close(vmo).unwrap();
    assert_eq!(m.status(one), Status::CANCELED);
    assert_eq!(m.peek_u32(out), 8 | CLOSED);
    assert!(m.is_blocked(two), "another handle");
    m.handle_close(other).unwrap();
    assert_eq!(m.status(two), Status::CANCELED, "the last handle");
    assert_eq!(m.freed.len(), 1);
}

#[test]
fn object_wait_one_handle_replaced_canceled() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let thread = m.thread();
    let args = [vmo.into(), USER_0, TIME_INFINITE as u64, 0];
    let token = m.begin(thread, N::ObjectWaitOne, &args);
    m.handle_replace(vmo, Rights::SAME_RIGHTS).unwrap();
    assert_eq!(m.status(token), Status::CANCELED);
}

#[test]
fn object_wait_async_rows() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let mute = m.without(port, Rights::WRITE);
    let blind = m.without(vmo, Rights::WAIT);
    for (object, port, options, status) in [
        (BAD, BAD, 8, Status::INVALID_ARGS),
        (BAD, BAD, 5, Status::INVALID_ARGS),
        (BAD, BAD, 7, Status::INVALID_ARGS),
        (BAD, vmo, 0, Status::WRONG_TYPE),
        (vmo, BAD, 0, Status::BAD_HANDLE),
        (BAD, mute, 0, Status::ACCESS_DENIED),
        (BAD, port, 0, Status::BAD_HANDLE),
        (blind, port, 0, Status::ACCESS_DENIED),
        (port, port, 0, Status::ACCESS_DENIED),
    ] {
        let args = [object.into(), port.into(), 1, 8, options];
        assert_eq!(m.call(N::ObjectWaitAsync, &args), status);
    }
    assert_eq!(m.packets(port), []);
}

#[test]
fn object_wait_async_once_edge_timestamp() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let now = m.now;
    for (key, signals, options) in [(1, 8, 0), (2, 8, 1), (3, 8, 4), (4, 8, 2), (5, USER_0, 1)] {
        let args = [vmo.into(), port.into(), key, signals, options];
        assert_eq!(m.call(N::ObjectWaitAsync, &args), Status::OK);
    }
    assert_eq!(
        m.packets(port),
        [
            signal(1, 8, 8, 0),
            signal(2, 8, 8, now),
            signal(3, 8, 8, now)
        ],
        "already asserted: at once, but not with EDGE"
    );
    m.now += 77;
    for _ in 0..2 {
        m.call(N::ObjectSignal, &[vmo.into(), 0, USER_0]);
        m.call(N::ObjectSignal, &[vmo.into(), USER_0, 0]);
    }
    let packets = m.packets(port);
    assert_eq!(packets, [signal(5, USER_0, 8 | USER_0, now + 77)], "once");
    let child = m.vmo_create_child(vmo, 8, 0, 0).unwrap();
    m.handle_close(child).unwrap();
    assert_eq!(m.packets(port), [signal(4, 8, 8, 0)]);
}

#[test]
fn object_wait_async_handle_closed() {
    let mut m = TestMachine::new();
    let (vmo, port) = (m.vmo(1), m.port_create());
    let other = m.handle_duplicate(vmo, Rights::SAME_RIGHTS).unwrap();
    for (key, handle) in [(1, vmo), (2, other)] {
        let args = [handle.into(), port.into(), key, USER_0, 0];
        assert_eq!(m.call(N::ObjectWaitAsync, &args), Status::OK);
    }
    m.handle_close(other).unwrap();
    m.call(N::ObjectSignal, &[vmo.into(), 0, USER_0]);
    assert_eq!(m.packets(port), [signal(1, USER_0, 8 | USER_0, 0)]);
}

#[test]
fn nanosleep_rows() {
    let mut m = TestMachine::new();
    let thread = m.thread();
    for past in [0, -1, i64::MIN, m.now] {
        assert_eq!(m.call(N::Nanosleep, &[past as u64]), Status::OK);
    }
    let args = [(m.now + 10) as u64];
    let token = m.begin(thread, N::Nanosleep, &args);
    m.advance(9);
    assert!(m.is_blocked(token));
    m.advance(1);
    assert_eq!(m.status(token), Status::OK);
}

#[test]
fn nanosleep_infinite_sleeps_for_ever() {
    let mut m = TestMachine::new();
    let thread = m.thread();
    let token = m.begin(thread, N::Nanosleep, &[TIME_INFINITE as u64]);
    m.advance(1 << 60);
    assert!(m.is_blocked(token));
    assert_eq!(m.kernel.next_deadline(), None);
    m.call_on(thread, N::ThreadExit, &[]);
}

#[test]
fn clock_get_monotonic_is_the_time() {
    let mut m = TestMachine::new();
    m.now = 123_456_789_012;
    assert_eq!(m.value(N::ClockGetMonotonic, &[]), 123_456_789_012);
}

#[test]
fn bad_syscall_numbers() {
    let mut m = TestMachine::new();
    for number in [N::ALL.len() as u64, 1 << 32, u64::MAX] {
        let value = m.raw_call(m.main.thread, number, &[0; 8]);
        let bad = Status::BAD_SYSCALL.to_register();
        assert_eq!(value, crate::common::Outcome::Value(bad), "{number:#x}");
    }
}

#[test]
fn debug_write_rows() {
    let mut m = TestMachine::new();
    let at = m.alloc(8192);
    m.poke(at + 4090, b"hello, world");
    assert_eq!(m.call(N::DebugWrite, &[at + 4090, 12]), Status::OK);
    assert_eq!(m.output, b"hello, world");
    assert_eq!(m.call(N::DebugWrite, &[0, 0]), Status::OK);
    for (buffer, length) in [(0, 1), (NOWHERE, 4), (at, u64::MAX), (u64::MAX, 1)] {
        let args = [buffer, length];
        assert_eq!(m.call(N::DebugWrite, &args), Status::INVALID_ARGS);
    }
    assert_eq!(m.output.len(), 12);
}
