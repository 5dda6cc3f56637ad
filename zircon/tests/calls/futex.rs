//! `zx_futex_wait` and `zx_futex_wake`.

use protocol::TIME_INFINITE;
use protocol::syscall::SyscallNumber as N;
use zircon::{ThreadId, Token};

use super::*;
use crate::common::{NOWHERE, Order, Packet};

fn wait(m: &mut TestMachine, thread: ThreadId, at: u64, value: u32, deadline: i64) -> Token {
    m.begin(
        thread,
        N::FutexWait,
        &[at, value.into(), 0, deadline as u64],
    )
}

#[test]
fn futex_wait_rows() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    m.poke(at, &5u32.to_le_bytes());
    let past = i64::MIN as u64;
    for (address, value, status) in [
        (0, 5, Status::INVALID_ARGS),
        (at + 1, 5, Status::INVALID_ARGS),
        (at + 2, 5, Status::INVALID_ARGS),
        (NOWHERE, 5, Status::INVALID_ARGS),
        (u64::MAX - 3, 5, Status::INVALID_ARGS),
        (at, 4, Status::BAD_STATE),
        (at, 5, Status::TIMED_OUT),
        (at, 5 | 1 << 32, Status::TIMED_OUT),
        (at + 4, 0, Status::TIMED_OUT),
    ] {
        let args = [address, value, 0, past];
        assert_eq!(m.call(N::FutexWait, &args), status, "{address:#x}");
    }
}

#[test]
fn futex_wake_rows() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    for (address, status) in [
        (0, Status::INVALID_ARGS),
        (at + 1, Status::INVALID_ARGS),
        (at, Status::OK),
        (NOWHERE, Status::OK),
    ] {
        assert_eq!(m.call(N::FutexWake, &[address, 1]), status);
    }
}

#[test]
fn futex_wake_counts_and_order() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    let tokens: Vec<Token> = (0..5)
        .map(|_| {
            let thread = m.thread();
            wait(&mut m, thread, at, 0, TIME_INFINITE)
        })
        .collect();
    assert_eq!(m.call(N::FutexWake, &[at, 0]), Status::OK);
    assert_eq!(m.call(N::FutexWake, &[at + 4, 9]), Status::OK);
    assert!(tokens.iter().all(|token| m.is_blocked(*token)));
    assert_eq!(m.call(N::FutexWake, &[at, 2]), Status::OK);
    let blocked: Vec<bool> = tokens.iter().map(|token| m.is_blocked(*token)).collect();
    assert_eq!(blocked, [false, false, true, true, true]);
    assert_eq!(m.status(tokens[0]), Status::OK);
    assert_eq!(m.call(N::FutexWake, &[at, u32::MAX.into()]), Status::OK);
    assert_eq!(m.status(tokens[4]), Status::OK);
}

#[test]
fn futex_wait_times_out() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    let (first, second) = (m.thread(), m.thread());
    let deadline = m.now + 10;
    let one = wait(&mut m, first, at, 0, deadline);
    let two = wait(&mut m, second, at, 0, TIME_INFINITE);
    m.advance(10);
    assert_eq!(m.status(one), Status::TIMED_OUT);
    assert_eq!(m.call(N::FutexWake, &[at, 1]), Status::OK);
    assert_eq!(
        m.status(two),
        Status::OK,
        "the wake is not lost on the first"
    );
}

/// A wake between the check of the word and the sleep is not lost.
#[test]
fn futex_wake_while_the_word_is_read() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    m.poke(at, &[0; 4]);
    let thread = m.thread();
    m.order = Order::Held;
    let token = wait(&mut m, thread, at, 0, TIME_INFINITE);
    assert_eq!(m.call(N::FutexWake, &[at, 1]), Status::OK);
    m.settle();
    assert_eq!(m.status(token), Status::OK);
}

/// The deadline passes while the word is read: TIMED_OUT if it matches, and the clock is not kept busy.
#[test]
fn futex_deadline_while_the_word_is_read() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    m.poke(at, &[0; 4]);
    let thread = m.thread();
    m.order = Order::Held;
    let deadline = m.now + 5;
    let token = wait(&mut m, thread, at, 0, deadline);
    m.advance(10);
    m.settle();
    assert_eq!(m.status(token), Status::TIMED_OUT);
}

#[test]
fn futex_word_is_absent() {
    let mut p = paged(1);
    let at = p.m.map(p.vmo, 1);
    let (thread, late) = (p.m.thread(), p.m.thread());
    let token = wait(&mut p.m, thread, at, 0, TIME_INFINITE);
    let deadline = p.m.now + 10;
    let timed = wait(&mut p.m, late, at, 0x0101_0101, deadline);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
    p.m.advance(20);
    assert_eq!(p.m.packets(p.port), [], "the page is still on its way");
    p.m.supply(p.pager, p.vmo, 0..1, 1).unwrap();
    assert_eq!(p.m.status(token), Status::BAD_STATE, "it holds 0x01010101");
    assert_eq!(p.m.status(timed), Status::TIMED_OUT);
}

/// Woken while its page is asked for: the request is not needed any more.
#[test]
fn futex_woken_while_the_word_is_absent() {
    let mut p = paged(1);
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    let token = wait(&mut p.m, thread, at, 0, TIME_INFINITE);
    assert_eq!(p.m.call(N::FutexWake, &[at, 1]), Status::OK);
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.packets(p.port), [], "withdrawn");
}

#[test]
fn futex_word_cannot_be_had() {
    let mut p = paged(1);
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    let token = wait(&mut p.m, thread, at, 0, TIME_INFINITE);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(p.m.status(token), Status::INVALID_ARGS);
}

#[test]
fn futex_waiter_ends() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    let (first, second) = (m.thread(), m.thread());
    wait(&mut m, first, at, 0, TIME_INFINITE);
    let two = wait(&mut m, second, at, 0, TIME_INFINITE);
    m.call_on(first, N::ThreadExit, &[]);
    m.call(N::FutexWake, &[at, 1]);
    assert_eq!(m.status(two), Status::OK);
}

#[test]
fn futex_keys_are_per_process() {
    let mut m = TestMachine::new();
    let at = m.alloc(8);
    let thread = m.thread();
    let token = wait(&mut m, thread, at, 0, TIME_INFINITE);
    let other = m
        .kernel
        .create_process("other", JobPolicy::default())
        .unwrap();
    m.kernel
        .start_thread(other.thread, 0x20_0000, 0, (0, 0))
        .unwrap();
    m.drain();
    m.call_on(other.thread, N::FutexWake, &[at, 9]);
    assert!(m.is_blocked(token));
}
