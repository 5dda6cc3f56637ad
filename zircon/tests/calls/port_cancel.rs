//! `zx_port_cancel`, `zx_port_cancel_key`.

use protocol::PortPacket;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{Packet, Via};

const SIGNALED: u32 = 1 << 3;

fn keys(m: &mut TestMachine, port: u32) -> Vec<u64> {
    let key = |packet| match packet {
        Packet::Other(packet) => packet.key,
        Packet::Read(key, ..) | Packet::Dirty(key, ..) | Packet::Complete(key) => key + 1000,
    };
    m.packets(port).into_iter().map(key).collect()
}

fn user(key: u64) -> PortPacket {
    PortPacket {
        key,
        ..PortPacket::default()
    }
}

#[test]
fn port_cancel_rows() {
    let mut m = TestMachine::new();
    let (port, event, vmo) = (m.port_create(), m.event_create(), m.vmo(1));
    let mute = m.without(port, Rights::WRITE);
    let blind = m.without(event, Rights::WAIT);
    for (port, source, status) in [
        (BAD, BAD, Status::BAD_HANDLE),
        (vmo, BAD, Status::WRONG_TYPE),
        (mute, BAD, Status::ACCESS_DENIED),
        (port, BAD, Status::BAD_HANDLE),
        (port, 0, Status::BAD_HANDLE),
        (port, blind, Status::ACCESS_DENIED),
        (port, port, Status::ACCESS_DENIED),
        (port, event, Status::NOT_FOUND),
    ] {
        assert_eq!(m.port_cancel(port, source, 1), Err(status));
    }
}

#[test]
fn port_cancel_removes_waits_and_packets_of_source_and_key() {
    let mut m = TestMachine::new();
    let (port, other_port) = (m.port_create(), m.port_create());
    let (event, vmo) = (m.event_create(), m.vmo(1));
    let same = m.handle_duplicate(event, Rights::SAME_RIGHTS).unwrap();
    m.port_queue(port, &user(1)).unwrap();
    m.wait_async(vmo, port, 1, 8, 0).unwrap();
    for (raw, port, key) in [
        (event, port, 1),
        (event, port, 1),
        (event, port, 2),
        (same, port, 1),
        (event, other_port, 1),
    ] {
        m.wait_async(raw, port, key, SIGNALED, 0).unwrap();
    }
    assert_eq!(m.port_cancel(port, event, 1), Ok(()), "both waits");
    assert_eq!(m.port_cancel(port, event, 1), Err(Status::NOT_FOUND));
    m.object_signal(event, 0, SIGNALED).unwrap();
    m.wait_async(event, port, 1, SIGNALED, 0).unwrap();
    assert_eq!(m.port_cancel(port, event, 1), Ok(()), "a queued packet");
    assert_eq!(
        m.port_cancel(port, vmo, 2),
        Err(Status::NOT_FOUND),
        "another key"
    );
    assert_eq!(
        keys(&mut m, port),
        [1, 1, 2, 1],
        "the program's own, the VMO's, the event's with key 2, the other handle's"
    );
    assert_eq!(keys(&mut m, other_port), [1]);
}

#[test]
fn port_cancel_key_rows() {
    let mut m = TestMachine::new();
    let (port, vmo) = (m.port_create(), m.vmo(1));
    let mute = m.without(port, Rights::WRITE);
    for (port, options, status) in [
        (BAD, 1, Status::INVALID_ARGS),
        (BAD, 0, Status::BAD_HANDLE),
        (vmo, 0, Status::WRONG_TYPE),
        (mute, 0, Status::ACCESS_DENIED),
        (port, 1 << 31, Status::INVALID_ARGS),
        (port, 0, Status::NOT_FOUND),
    ] {
        let args = [port.into(), options, 1];
        assert_eq!(m.call(N::PortCancelKey, &args), status);
    }
}

#[test]
fn port_cancel_key_removes_waits_and_packets_of_all_sources() {
    let mut m = TestMachine::new();
    let (port, event, vmo) = (m.port_create(), m.event_create(), m.vmo(1));
    for key in [1, 2, 1] {
        m.port_queue(port, &user(key)).unwrap();
        m.wait_async(vmo, port, key, 8, 0).unwrap();
        m.wait_async(event, port, key, SIGNALED, 0).unwrap();
    }
    assert_eq!(m.port_cancel_key(port, 1), Ok(()));
    assert_eq!(m.port_cancel_key(port, 1), Err(Status::NOT_FOUND));
    m.object_signal(event, 0, SIGNALED).unwrap();
    assert_eq!(keys(&mut m, port), [2, 2, 2]);
    m.wait_async(event, port, 3, 1 << 24, 0).unwrap();
    assert_eq!(m.port_cancel_key(port, 3), Ok(()), "only a wait");
    m.port_queue(port, &user(4)).unwrap();
    assert_eq!(m.port_cancel_key(port, 4), Ok(()), "only a user packet");
    assert_eq!(keys(&mut m, port), []);
}

/// A pager's packets stay, whoever asks: a request that nobody saw would never be answered.
#[test]
fn port_cancel_leaves_the_packets_of_pagers() {
    let mut p = paged(4);
    let _reader = p.m.reader(Via::Read, p.vmo, 0..1);
    assert_eq!(p.m.port_cancel_key(p.port, 7), Err(Status::NOT_FOUND));
    assert_eq!(p.m.port_cancel(p.port, p.vmo, 7), Err(Status::NOT_FOUND));
    p.m.port_queue(p.port, &user(7)).unwrap();
    p.m.wait_async(p.vmo, p.port, 7, 8, 0).unwrap();
    assert_eq!(p.m.port_cancel(p.port, p.vmo, 7), Ok(()));
    assert_eq!(p.m.port_cancel_key(p.port, 7), Ok(()));
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
}

/// What is cancelled makes room again.
#[test]
fn port_cancel_key_makes_room() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let port = m.port_create();
    let at = m.alloc(48);
    m.poke(at, &user(1).to_bytes());
    for _ in 0..4097 {
        assert_eq!(m.call(N::PortQueue, &[port.into(), at]), Status::OK);
    }
    m.port_cancel_key(port, 1).unwrap();
    for _ in 0..4097 {
        assert_eq!(m.call(N::PortQueue, &[port.into(), at]), Status::OK);
    }
}

/// A packet that is cancelled before its waiter has taken it leaves the waiter waiting.
#[test]
fn port_cancel_under_a_waiter() {
    let mut m = TestMachine::new();
    let (port, event, thread) = (m.port_create(), m.event_create(), m.thread());
    m.wait_async(event, port, 1, SIGNALED, 0).unwrap();
    let (token, _) = m.begin_port_wait(thread, port, i64::MAX);
    m.port_cancel(port, event, 1).unwrap();
    m.object_signal(event, 0, SIGNALED).unwrap();
    assert!(m.is_blocked(token));
    m.port_queue(port, &user(2)).unwrap();
    assert_eq!(m.status(token), Status::OK);
}

/// A handle that is closed ends its waits; what it queued already stays, and can be cancelled by key only.
#[test]
fn packets_stay_when_their_handle_is_closed() {
    let mut m = TestMachine::new();
    let (port, event) = (m.port_create(), m.event_create());
    m.object_signal(event, 0, SIGNALED).unwrap();
    m.wait_async(event, port, 1, SIGNALED, 0).unwrap();
    m.wait_async(event, port, 2, SIGNALED, 0).unwrap();
    m.handle_close(event).unwrap();
    assert_eq!(m.port_cancel(port, event, 1), Err(Status::BAD_HANDLE));
    assert_eq!(m.port_cancel_key(port, 1), Ok(()));
    assert_eq!(keys(&mut m, port), [2]);
}

/// A port that is closed takes its waits with it: an object's list does not fill up with them.
#[test]
fn waits_end_with_their_port() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let event = m.event_create();
    for _ in 0..3 {
        let port = m.port_create();
        for key in 0..4096 {
            m.wait_async(event, port, key, SIGNALED, 0).unwrap();
        }
        assert_eq!(
            m.wait_async(event, port, 0, SIGNALED, 0),
            Err(Status::NO_MEMORY),
            "an object takes 4096"
        );
        m.handle_close(port).unwrap();
    }
    m.object_signal(event, 0, SIGNALED).unwrap();
}

/// All ports together hold so much, waits that will queue a packet included.
#[test]
fn packets_of_all_ports_are_limited() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let (port, packet) = (m.port_create(), m.alloc(48));
    let mut full = 0;
    for n in 0..(1 << 18) / 4096 {
        // No port takes very many waits.
        if n % 8 == 0 {
            full = m.port_create();
        }
        let event = m.event_create();
        for key in 0..4096 {
            let args = [event.into(), full.into(), key, u64::from(SIGNALED), 0];
            assert_eq!(m.call(N::ObjectWaitAsync, &args), Status::OK);
        }
    }
    let event = m.event_create();
    assert_eq!(
        m.wait_async(event, port, 1, SIGNALED, 0),
        Err(Status::NO_MEMORY)
    );
    let queue = [port.into(), packet];
    assert_eq!(m.call(N::PortQueue, &queue), Status::NO_MEMORY);
    m.handle_close(full).unwrap();
    assert_eq!(m.call(N::PortQueue, &queue), Status::OK);
    assert_eq!(m.wait_async(event, port, 1, SIGNALED, 0), Ok(()));
}
