//! `zx_object_wait_many`.

use protocol::syscall::SyscallNumber as N;
use protocol::{TIME_INFINITE, TIME_INFINITE_PAST};
use zircon::{ThreadId, Token};

use super::*;
use crate::common::NOWHERE;

const SIGNALED: u32 = 1 << 3;
const USER_0: u32 = 1 << 24;
const CLOSED: u32 = 1 << 23;

/// Items in the program's memory: each (handle, signals), with rubbish where the answer comes.
fn items(m: &mut TestMachine, items: &[(u32, u32)]) -> u64 {
    let at = m.alloc(12 * items.len() as u64);
    let words = items
        .iter()
        .flat_map(|&(handle, signals)| [handle, signals, 0xABCD_EF01]);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    m.poke(at, &bytes);
    at
}

fn pending(m: &TestMachine, at: u64, count: u64) -> Vec<u32> {
    (0..count).map(|n| m.peek_u32(at + 12 * n + 8)).collect()
}

fn poll(m: &mut TestMachine, at: u64, count: u64) -> Status {
    m.call(N::ObjectWaitMany, &[at, count, TIME_INFINITE_PAST as u64])
}

fn begin(m: &mut TestMachine, thread: ThreadId, at: u64, count: u64, deadline: i64) -> Token {
    m.begin(thread, N::ObjectWaitMany, &[at, count, deadline as u64])
}

#[test]
fn object_wait_many_rows() {
    let mut m = TestMachine::new();
    let (event, port) = (m.event_create(), m.port_create());
    let blind = m.without(event, Rights::WAIT);
    for count in [65, 66, 1 << 32, u64::MAX] {
        assert_eq!(poll(&mut m, 0, count), Status::OUT_OF_RANGE, "{count}");
    }
    for (bad, count) in [(0, 1), (NOWHERE, 64), (u64::MAX - 3, 2)] {
        assert_eq!(poll(&mut m, bad, count), Status::INVALID_ARGS);
    }
    for (second, status) in [
        (0, Status::BAD_HANDLE),
        (BAD, Status::BAD_HANDLE),
        (blind, Status::ACCESS_DENIED),
        (port, Status::ACCESS_DENIED),
    ] {
        m.object_signal(event, 0, SIGNALED).unwrap();
        let at = items(&mut m, &[(event, SIGNALED), (second, 0)]);
        assert_eq!(poll(&mut m, at, 2), status, "even if the first is asserted");
        assert_eq!(pending(&m, at, 2), [0xABCD_EF01; 2], "nothing is written");
    }
}

#[test]
fn object_wait_many_first_bad_item_decides() {
    let mut m = TestMachine::new();
    let event = m.event_create();
    let blind = m.without(event, Rights::WAIT);
    let at = items(&mut m, &[(blind, 0), (BAD, 0)]);
    assert_eq!(poll(&mut m, at, 2), Status::ACCESS_DENIED);
    let at = items(&mut m, &[(BAD, 0), (blind, 0)]);
    assert_eq!(poll(&mut m, at, 2), Status::BAD_HANDLE);
}

#[test]
fn object_wait_many_of_nothing_sleeps() {
    let mut m = TestMachine::new();
    assert_eq!(poll(&mut m, 0, 0), Status::TIMED_OUT);
    let thread = m.thread();
    let deadline = m.now + 10;
    let token = begin(&mut m, thread, NOWHERE, 0, deadline);
    m.advance(9);
    assert!(m.is_blocked(token));
    m.advance(1);
    assert_eq!(m.status(token), Status::TIMED_OUT);
    let token = begin(&mut m, thread, 0, 0, TIME_INFINITE);
    m.advance(1 << 60);
    assert!(m.is_blocked(token), "for ever");
}

#[test]
fn object_wait_many_fills_pending_always() {
    let mut m = TestMachine::new();
    let (a, b, vmo) = (m.event_create(), m.event_create(), m.vmo(1));
    m.object_signal(b, 0, USER_0).unwrap();
    let at = items(&mut m, &[(a, SIGNALED), (b, SIGNALED), (vmo, 0)]);
    assert_eq!(poll(&mut m, at, 3), Status::TIMED_OUT);
    assert_eq!(pending(&m, at, 3), [0, USER_0, 8]);
    m.object_signal(b, 0, SIGNALED).unwrap();
    assert_eq!(poll(&mut m, at, 3), Status::OK);
    assert_eq!(pending(&m, at, 3), [0, USER_0 | SIGNALED, 8]);
    assert_eq!(m.peek_u32(at), a, "handle and signals stay");
    assert_eq!(m.peek_u32(at + 4), SIGNALED);
}

#[test]
fn object_wait_many_takes_64_items() {
    let mut m = TestMachine::new();
    let events: Vec<u32> = (0..64).map(|_| m.event_create()).collect();
    let all: Vec<_> = events.iter().map(|&event| (event, SIGNALED)).collect();
    let at = items(&mut m, &all);
    let thread = m.thread();
    let token = begin(&mut m, thread, at, 64, TIME_INFINITE);
    m.object_signal(events[0], 0, USER_0).unwrap();
    assert!(m.is_blocked(token), "another signal");
    m.object_signal(events[63], 0, SIGNALED).unwrap();
    assert_eq!(m.status(token), Status::OK);
    let seen = pending(&m, at, 64);
    assert_eq!((seen[0], seen[1], seen[63]), (USER_0, 0, SIGNALED));
}

/// The wait is over with the first signal, even if it is cleared before the waiter runs.
#[test]
fn object_wait_sees_a_signal_that_is_only_strobed() {
    let mut p = paged(1);
    let (event, thread) = (p.m.event_create(), p.m.thread());
    let many = p.m.map(p.vmo, 1);
    let out = p.m.alloc(4);
    let args = [event.into(), SIGNALED.into(), TIME_INFINITE as u64, out];
    let token = p.m.begin(thread, N::ObjectWaitOne, &args);
    p.m.object_signal(event, 0, SIGNALED).unwrap();
    p.m.object_signal(event, SIGNALED, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.peek_u32(out), SIGNALED);
    // Results on a page that a pager has: what was seen is kept until it comes.
    let args = [event.into(), SIGNALED.into(), TIME_INFINITE as u64, many];
    let token = p.m.begin(thread, N::ObjectWaitOne, &args);
    p.m.object_signal(event, 0, SIGNALED).unwrap();
    p.m.object_signal(event, SIGNALED, 0).unwrap();
    assert!(p.m.is_blocked(token));
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.peek_u32(many), SIGNALED);
}

#[test]
fn object_wait_many_handle_closed_canceled() {
    let mut m = TestMachine::new();
    let (a, b) = (m.event_create(), m.event_create());
    let other = m.handle_duplicate(a, Rights::SAME_RIGHTS).unwrap();
    m.object_signal(a, 0, USER_0).unwrap();
    let at = items(&mut m, &[(b, SIGNALED), (a, SIGNALED), (other, SIGNALED)]);
    let thread = m.thread();
    let token = begin(&mut m, thread, at, 3, TIME_INFINITE);
    m.handle_close(a).unwrap();
    assert_eq!(m.status(token), Status::CANCELED);
    assert_eq!(pending(&m, at, 3), [0, USER_0 | CLOSED, USER_0]);
}

/// Two items may name the same handle: both see its end.
#[test]
fn object_wait_many_same_handle_twice() {
    let mut m = TestMachine::new();
    let a = m.event_create();
    let at = items(&mut m, &[(a, SIGNALED), (a, USER_0)]);
    let thread = m.thread();
    let token = begin(&mut m, thread, at, 2, TIME_INFINITE);
    m.object_signal(a, 0, USER_0).unwrap();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(pending(&m, at, 2), [USER_0; 2]);
    m.object_signal(a, USER_0, 0).unwrap();
    let token = begin(&mut m, thread, at, 2, TIME_INFINITE);
    m.handle_close(a).unwrap();
    assert_eq!(m.status(token), Status::CANCELED);
    assert_eq!(pending(&m, at, 2), [CLOSED; 2]);
}

#[test]
fn object_wait_many_times_out() {
    let mut m = TestMachine::new();
    let (a, b) = (m.event_create(), m.event_create());
    let at = items(&mut m, &[(a, SIGNALED), (b, SIGNALED)]);
    let thread = m.thread();
    let deadline = m.now + 10;
    let token = begin(&mut m, thread, at, 2, deadline);
    m.advance(10);
    assert_eq!(m.status(token), Status::TIMED_OUT);
    assert_eq!(pending(&m, at, 2), [0, 0]);
    assert_eq!(m.kernel.next_deadline(), None);
    m.object_signal(a, 0, SIGNALED).unwrap();
    assert_eq!(m.kernel.waits(), [], "its observers are gone");
}

#[test]
fn object_wait_many_of_a_thread_that_ends_leaves_nothing() {
    let mut m = TestMachine::new();
    let a = m.event_create();
    let at = items(&mut m, &[(a, SIGNALED)]);
    let thread = m.thread();
    begin(&mut m, thread, at, 1, TIME_INFINITE);
    m.call_on(thread, N::ThreadExit, &[]);
    m.object_signal(a, 0, SIGNALED).unwrap();
    m.handle_close(a).unwrap();
    assert_eq!(m.kernel.waits(), []);
}

/// The deadline counts from the call on, not from when the items have come; the results can be refused at the end.
#[test]
fn object_wait_many_with_items_that_a_pager_has() {
    let mut p = paged(1);
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    let deadline = p.m.now + 5;
    let token = begin(&mut p.m, thread, at, 1, deadline);
    p.m.advance(100);
    assert!(p.m.is_blocked(token), "pages take the time they take");
    let event = p.m.event_create();
    let aux = p.m.vmo(1);
    let item = [event.to_le_bytes(), SIGNALED.to_le_bytes(), [0; 4]].concat();
    p.m.vmo_write(aux, 0, &item).unwrap();
    p.m.pager_supply_pages(p.pager, p.vmo, 0, PAGE_SIZE, aux, 0)
        .unwrap();
    assert_eq!(p.m.status(token), Status::TIMED_OUT);
    let token = begin(&mut p.m, thread, at, 1, TIME_INFINITE);
    p.m.vmar_protect(1, at, PAGE_SIZE).unwrap();
    p.m.object_signal(event, 0, SIGNALED).unwrap();
    assert_eq!(p.m.status(token), Status::INVALID_ARGS);
}
