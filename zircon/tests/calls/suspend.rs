//! Suspended threads: tokens, what is interrupted, registers.

use protocol::GeneralRegs;
use protocol::syscall::SyscallNumber as N;
use zircon::{OpResult, ThreadId};

use super::*;
use crate::common::{NOWHERE, Outcome};

const RUNNING: u32 = 1 << 4;
const SUSPENDED: u32 = 1 << 5;

pub(crate) fn suspend(m: &mut TestMachine, task: u32) -> Result<u32, Status> {
    let out = m.alloc(4);
    m.status_of(N::TaskSuspend, &[task.into(), out])?;
    Ok(m.peek_u32(out))
}

/// A running thread and a handle to it.
pub(crate) fn thread(m: &mut TestMachine) -> (u32, ThreadId) {
    let handle = m.thread_handle();
    (handle, *m.started.last().unwrap())
}

pub(crate) fn state(m: &mut TestMachine, thread: u32) -> u32 {
    let info = m.info(thread, 10, 72).unwrap();
    u32::from_le_bytes(info[..4].try_into().unwrap())
}

#[test]
fn task_suspend_rows() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    let vmo = m.vmo(1);
    let weak = m.without(handle, Rights::WRITE);
    let out = m.alloc(4);
    for (task, out, status) in [
        (BAD, out, Status::BAD_HANDLE),
        (weak, out, Status::ACCESS_DENIED),
        (vmo, out, Status::WRONG_TYPE),
        (m.main.job_handle, out, Status::WRONG_TYPE),
        (m.main.thread_handle, out, Status::NOT_SUPPORTED),
        (m.main.process_handle, out, Status::NOT_SUPPORTED),
        (handle, NOWHERE, Status::INVALID_ARGS),
        (handle, out, Status::OK),
    ] {
        assert_eq!(m.call(N::TaskSuspend, &[task.into(), out]), status);
    }
    let token = m.peek_u32(out);
    assert_eq!(m.rights(token), Rights::DEFAULT_SUSPEND_TOKEN);
    assert_eq!(m.signals(handle), SUSPENDED);
    m.handle_close(token).unwrap();
    assert_eq!(m.signals(handle), RUNNING);
    m.call_on(id, N::ThreadExit, &[]);
    assert_eq!(suspend(&mut m, handle), Err(Status::BAD_STATE));
}

#[test]
fn task_suspend_counts_its_tokens() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    let tokens = [
        suspend(&mut m, handle).unwrap(),
        suspend(&mut m, handle).unwrap(),
    ];
    m.handle_close(tokens[0]).unwrap();
    assert!(m.stopped.contains(&id));
    assert_eq!(state(&mut m, handle), 2);
    m.handle_close(tokens[1]).unwrap();
    assert!(!m.stopped.contains(&id));
    assert_eq!(state(&mut m, handle), 1);
}

/// The packet that nobody has seen is withdrawn with the request.
#[test]
fn suspended_reader_withdraws_its_packet() {
    let mut p = paged(2);
    let (handle, id) = thread(&mut p.m);
    let (token, _) = p.m.begin_read(id, p.vmo, 0, 4096);
    let suspended = suspend(&mut p.m, handle).unwrap();
    assert_eq!(p.m.result(token), Some(OpResult::Restart));
    assert_eq!(p.m.packets(p.port), []);
    p.m.handle_close(suspended).unwrap();
}

#[test]
fn suspended_waits_are_dropped() {
    let mut m = TestMachine::new();
    let (port, futex, late) = (m.port_create(), m.alloc(4), i64::MAX as u64);
    let packet = m.alloc(48);
    for (number, args, blocked) in [
        (N::PortWait, vec![port.into(), late, packet], 0x403),
        (N::FutexWait, vec![futex, 0, 0, late], 0x303),
        (N::Nanosleep, vec![5_000_000], 0x203),
        (
            N::ObjectWaitOne,
            vec![m.main.process_handle.into(), 8, late, 0],
            0x603,
        ),
    ] {
        let (handle, id) = thread(&mut m);
        let call = m.begin(id, number, &args);
        assert_eq!(state(&mut m, handle), blocked, "{}", number.name());
        let token = suspend(&mut m, handle).unwrap();
        assert_eq!(m.result(call), Some(OpResult::Restart), "{}", number.name());
        assert_eq!(state(&mut m, handle), 2);
        m.handle_close(token).unwrap();
        m.call_on(id, N::ThreadExit, &[]);
    }
    assert_eq!(m.kernel.waits(), []);
    assert_eq!(m.kernel.next_deadline(), None);
}

/// A call that begins while its thread is about to be stopped does not wait.
#[test]
fn suspended_thread_starts_no_wait() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    m.hold_stops = true;
    let token = suspend(&mut m, handle).unwrap();
    assert_eq!(m.signals(handle), RUNNING);
    let outcome = m.call_on(id, N::Nanosleep, &[i64::MAX as u64]);
    assert_eq!(outcome, Outcome::Restart);
    m.stop(id);
    assert_eq!(m.signals(handle), SUSPENDED);
    m.handle_close(token).unwrap();
}

#[test]
fn thread_read_and_write_state_rows() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    let (vmo, at) = (m.vmo(1), m.alloc(160));
    let args = |thread: u32, kind, at, size| [u64::from(thread), kind, at, size];
    let running = args(handle, 0, at, 160);
    assert_eq!(m.call(N::ThreadReadState, &running), Status::BAD_STATE);
    assert_eq!(m.call(N::ThreadWriteState, &running), Status::BAD_STATE);
    let token = suspend(&mut m, handle).unwrap();
    let (unreadable, unwritable) = (
        m.without(handle, Rights::READ),
        m.without(handle, Rights::WRITE),
    );
    for (number, args, status) in [
        (
            N::ThreadReadState,
            args(BAD, 0, at, 160),
            Status::BAD_HANDLE,
        ),
        (
            N::ThreadReadState,
            args(vmo, 0, at, 160),
            Status::WRONG_TYPE,
        ),
        (
            N::ThreadReadState,
            args(unreadable, 0, at, 160),
            Status::ACCESS_DENIED,
        ),
        (
            N::ThreadReadState,
            args(handle, 99, at, 160),
            Status::INVALID_ARGS,
        ),
        (
            N::ThreadReadState,
            args(handle, 1, at, 160),
            Status::NOT_SUPPORTED,
        ),
        (
            N::ThreadReadState,
            args(handle, 0, at, 159),
            Status::BUFFER_TOO_SMALL,
        ),
        (
            N::ThreadReadState,
            args(handle, 0, NOWHERE, 160),
            Status::INVALID_ARGS,
        ),
        (N::ThreadReadState, args(handle, 0, at, 200), Status::OK),
        (
            N::ThreadWriteState,
            args(BAD, 0, at, 160),
            Status::BAD_HANDLE,
        ),
        (
            N::ThreadWriteState,
            args(vmo, 0, at, 160),
            Status::WRONG_TYPE,
        ),
        (
            N::ThreadWriteState,
            args(unwritable, 0, at, 160),
            Status::ACCESS_DENIED,
        ),
        (
            N::ThreadWriteState,
            args(handle, 99, at, 160),
            Status::INVALID_ARGS,
        ),
        (
            N::ThreadWriteState,
            args(handle, 2, at, 160),
            Status::NOT_SUPPORTED,
        ),
        (
            N::ThreadWriteState,
            args(handle, 0, at, 161),
            Status::INVALID_ARGS,
        ),
        (
            N::ThreadWriteState,
            args(handle, 0, NOWHERE, 160),
            Status::INVALID_ARGS,
        ),
    ] {
        assert_eq!(m.call(number, &args), status, "{}", number.name());
    }
    let bytes = m.peek(at, 160);
    let regs = GeneralRegs::from_bytes(&bytes.try_into().unwrap());
    assert_eq!(
        (regs.rip, regs.rsp, regs.rdi, regs.rsi),
        (0x20_0000, 0x30_0000, 1, 2)
    );
    for bad in [
        GeneralRegs {
            rip: 1 << 47,
            ..regs
        },
        GeneralRegs {
            fs_base: 1 << 63,
            ..regs
        },
        GeneralRegs {
            gs_base: 1 << 47,
            ..regs
        },
    ] {
        m.poke(at, &bad.to_bytes());
        let args = args(handle, 0, at, 160);
        assert_eq!(m.call(N::ThreadWriteState, &args), Status::INVALID_ARGS);
    }
    let new = GeneralRegs {
        rip: 4096,
        rax: 7,
        rflags: u64::MAX,
        ..regs
    };
    m.poke(at, &new.to_bytes());
    assert_eq!(m.call(N::ThreadWriteState, &running), Status::OK);
    m.handle_close(token).unwrap();
    let went = m.registers[&id];
    assert_eq!((went.rip, went.rax), (4096, 7));
    assert_eq!(went.rflags, 0x24_0CD5 | 0x202, "only a program's flags");
}
