//! `zx_port_create`, `zx_port_queue`, `zx_port_wait`.

use protocol::PortPacket;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{NOWHERE, Order, Packet, Via, read_packet};

fn user(key: u64) -> PortPacket {
    PortPacket {
        key,
        kind: 77,
        status: -5,
        payload: [key, 2, 3, 4],
    }
}

fn delivered(key: u64) -> Packet {
    Packet::Other(PortPacket {
        kind: 0,
        ..user(key)
    })
}

#[test]
fn port_create_rows() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    for options in [2, 3, 1 << 31] {
        assert_eq!(m.call(N::PortCreate, &[options, out]), Status::INVALID_ARGS);
    }
    assert_eq!(m.call(N::PortCreate, &[1, out]), Status::OK);
    assert_eq!(m.call(N::PortCreate, &[0, 0]), Status::INVALID_ARGS);
    let port = m.port_create();
    assert_eq!(m.rights(port), Rights::DEFAULT_PORT);
}

#[test]
fn port_queue_is_fifo_and_forces_the_type() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    for key in 0..5 {
        m.port_queue(port, &user(key)).unwrap();
    }
    assert_eq!(m.packets(port), [0, 1, 2, 3, 4].map(delivered));
}

#[test]
fn port_queue_rows() {
    let mut m = TestMachine::new();
    let (port, vmo) = (m.port_create(), m.vmo(1));
    let mute = m.without(port, Rights::WRITE);
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (vmo, Status::WRONG_TYPE),
        (mute, Status::ACCESS_DENIED),
        (port, Status::INVALID_ARGS),
    ] {
        assert_eq!(m.call(N::PortQueue, &[handle.into(), 0]), status);
        assert_eq!(m.call(N::PortQueue, &[handle.into(), NOWHERE]), status);
    }
}

#[test]
fn port_wait_rows() {
    let mut m = TestMachine::new();
    let (port, vmo) = (m.port_create(), m.vmo(1));
    let deaf = m.without(port, Rights::READ);
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (vmo, Status::WRONG_TYPE),
        (deaf, Status::ACCESS_DENIED),
        (port, Status::TIMED_OUT),
    ] {
        assert_eq!(m.call(N::PortWait, &[handle.into(), 0, 0]), status);
    }
}

#[test]
fn port_wait_bad_pointer_takes_the_packet() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    m.port_queue(port, &user(1)).unwrap();
    for out in [0, NOWHERE] {
        m.port_queue(port, &user(2)).unwrap();
        let args = [port.into(), 0, out];
        assert_eq!(m.call(N::PortWait, &args), Status::INVALID_ARGS);
    }
    assert_eq!(m.packets(port), [delivered(2)]);
}

#[test]
fn port_wait_deadline() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let (first, second) = (m.thread(), m.thread());
    let (one, _) = m.begin_port_wait(first, port, m.now + 100);
    let (two, _) = m.begin_port_wait(second, port, i64::MAX);
    assert_eq!(m.kernel.next_deadline(), Some(m.now + 100));
    m.advance(99);
    assert!(m.is_blocked(one));
    m.advance(1);
    assert_eq!(m.status(one), Status::TIMED_OUT);
    assert_eq!(m.kernel.next_deadline(), None);
    m.advance(1 << 50);
    assert!(m.is_blocked(two));
    m.port_queue(port, &user(3)).unwrap();
    assert_eq!(m.status(two), Status::OK);
}

#[test]
fn port_wait_takes_a_packet_after_its_deadline() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    m.port_queue(port, &user(1)).unwrap();
    assert_eq!(m.port_poll(port), Ok(delivered(1)));
}

/// A wait that times out is out of the queue: the next packet wakes the other waiter.
#[test]
fn port_wait_timed_out_waiters_take_no_wakeup() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let (first, second) = (m.thread(), m.thread());
    let (one, _) = m.begin_port_wait(first, port, m.now + 10);
    let (two, at) = m.begin_port_wait(second, port, i64::MAX);
    m.advance(10);
    assert_eq!(m.status(one), Status::TIMED_OUT);
    m.port_queue(port, &user(5)).unwrap();
    assert_eq!(m.status(two), Status::OK);
    assert_eq!(read_packet(&m.peek(at, 48)).key, 5);
}

#[test]
fn port_wait_killed_waiters_take_no_wakeup() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let (first, second) = (m.thread(), m.thread());
    m.begin_port_wait(first, port, i64::MAX);
    let (two, _) = m.begin_port_wait(second, port, i64::MAX);
    m.call_on(first, N::ThreadExit, &[]);
    m.port_queue(port, &user(5)).unwrap();
    assert_eq!(m.status(two), Status::OK);
}

#[test]
fn port_wait_several_waiters_in_order() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let threads: Vec<_> = (0..4).map(|_| m.thread()).collect();
    let waits: Vec<_> = threads
        .iter()
        .map(|&thread| m.begin_port_wait(thread, port, i64::MAX))
        .collect();
    for (key, (token, at)) in waits.into_iter().enumerate() {
        m.port_queue(port, &user(key as u64)).unwrap();
        assert_eq!(m.status(token), Status::OK);
        assert_eq!(read_packet(&m.peek(at, 48)).key, key as u64);
    }
}

/// A packet that was taken waits with its call for the caller's buffer page.
#[test]
fn port_wait_into_a_pager_backed_buffer() {
    let mut p = paged(1);
    let port = p.m.port_create();
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    p.m.port_queue(port, &user(9)).unwrap();
    let args = [port.into(), p.m.now as u64 + 5, at + 8];
    let token = p.m.begin(thread, N::PortWait, &args);
    assert_eq!(p.m.packets(port), [], "taken");
    p.m.advance(100);
    assert!(
        p.m.is_blocked(token),
        "the deadline is over with the packet"
    );
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(read_packet(&p.m.peek(at + 8, 48)).key, 9);
}

#[test]
fn port_wait_buffer_unmapped_meanwhile() {
    let mut p = paged(1);
    let port = p.m.port_create();
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    p.m.port_queue(port, &user(9)).unwrap();
    let token = p.m.begin(thread, N::PortWait, &[port.into(), 0, at]);
    p.m.vmar_unmap(at, 4096).unwrap();
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::INVALID_ARGS);
}

#[test]
fn port_queue_limit() {
    let mut p = paged(1);
    p.m.unchecked = true;
    let _reader = p.m.reader(Via::Read, p.vmo, 0..1);
    let at = p.m.alloc(48);
    let args = [p.port.into(), at];
    for count in 1..=4097 {
        assert_eq!(p.m.call(N::PortQueue, &args), Status::OK, "{count}");
    }
    assert_eq!(
        p.m.port_poll(p.port),
        Ok(Packet::Read(7, 0, 1)),
        "a pager's packet does not count"
    );
    p.m.port_poll(p.port).unwrap();
    assert_eq!(p.m.call(N::PortQueue, &args), Status::OK);
    // Nobody handles the exception that comes with SHOULD_WAIT.
    let outcome = p.m.call_on(p.m.main.thread, N::PortQueue, &args);
    assert_eq!(outcome, crate::common::Outcome::Gone, "the 4098th");
}

/// Waiters are not woken when the port's last handle is closed.
#[test]
fn port_closed_under_a_waiter() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let (patient, hasty) = (m.thread(), m.thread());
    let (one, _) = m.begin_port_wait(patient, port, i64::MAX);
    let (two, _) = m.begin_port_wait(hasty, port, m.now + 5);
    m.handle_close(port).unwrap();
    assert!(m.is_blocked(one) && m.is_blocked(two));
    m.advance(5);
    assert_eq!(m.status(two), Status::TIMED_OUT);
    m.call_on(patient, N::ThreadExit, &[]);
}

/// The queue's packet is copied in after the handle check; a handle closed meanwhile is noticed.
#[test]
fn port_queue_from_a_pager_backed_buffer() {
    let mut p = paged(1);
    let port = p.m.port_create();
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    let token = p.m.begin(thread, N::PortQueue, &[port.into(), at]);
    p.m.handle_close(port).unwrap();
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::BAD_HANDLE);
}

/// Memory operations of two packets under way at once.
#[test]
fn port_wait_with_delayed_memory() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let threads = [m.thread(), m.thread()];
    for key in [1, 2] {
        m.port_queue(port, &user(key)).unwrap();
    }
    let at = m.alloc(96);
    m.poke(at, &[0; 96]);
    m.order = Order::Held;
    let one = m.begin(threads[0], N::PortWait, &[port.into(), 0, at]);
    let two = m.begin(threads[1], N::PortWait, &[port.into(), 0, at + 48]);
    m.perform(1);
    assert_eq!(m.status(two), Status::OK);
    assert_eq!(read_packet(&m.peek(at + 48, 48)).key, 2);
    m.perform(0);
    assert_eq!(m.status(one), Status::OK);
    assert_eq!(read_packet(&m.peek(at, 48)).key, 1);
}
