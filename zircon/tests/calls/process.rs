//! Processes and exception channels: making, starting, handlers in their order.

use protocol::syscall::SyscallNumber as N;
use zircon::{Access, EXCEPTION_KILL, SYSCALL_KILL, ThreadId};

use super::*;
use crate::common::{NOWHERE, Touch};

/// A process of the main job: handles to it, its VMAR, its thread.
fn process(m: &mut TestMachine) -> (u32, u32, u32) {
    let out = m.alloc(12);
    let job = m.main.job_handle.into();
    let args = [job, 0, 0, 0, out, out + 4];
    assert_eq!(m.call(N::ProcessCreate, &args), Status::OK);
    let process = m.peek_u32(out);
    let args = [process.into(), 0, 0, 0, out + 8];
    assert_eq!(m.call(N::ThreadCreate, &args), Status::OK);
    (process, m.peek_u32(out + 4), m.peek_u32(out + 8))
}

/// Starts it.
fn started(m: &mut TestMachine) -> (u32, u32, ThreadId) {
    let (process, _, thread) = process(m);
    let args = [process.into(), thread.into(), 4096, 4096, 0, 5];
    assert_eq!(m.call(N::ProcessStart, &args), Status::OK);
    (process, thread, *m.started.last().unwrap())
}

#[test]
fn process_create_rows() {
    let mut m = TestMachine::new();
    let (vmo, job, out) = (m.vmo(1), m.main.job_handle, m.alloc(8));
    let weak = m.without(job, Rights::MANAGE_PROCESS | Rights::WRITE);
    let manages = m.without(job, Rights::WRITE);
    for (job, name, length, options, outs, status) in [
        (BAD, 0, 0, 1, (out, out), Status::INVALID_ARGS),
        (BAD, NOWHERE, 1, 0, (out, out), Status::INVALID_ARGS),
        (BAD, 0, 0, 0, (out, out), Status::BAD_HANDLE),
        (vmo, 0, 0, 0, (out, out), Status::WRONG_TYPE),
        (weak, 0, 0, 0, (out, out), Status::ACCESS_DENIED),
        (job, 0, 0, 0, (0, out), Status::INVALID_ARGS),
        (job, 0, 0, 0, (out, 0), Status::INVALID_ARGS),
        (manages, 0, 0, 0, (out, out + 4), Status::OK),
    ] {
        let args = [job.into(), name, length, options, outs.0, outs.1];
        assert_eq!(m.call(N::ProcessCreate, &args), status);
    }
    let (process, vmar) = (m.peek_u32(out), m.peek_u32(out + 4));
    assert_eq!(m.rights(process), Rights::DEFAULT_PROCESS);
    assert_eq!(m.rights(vmar), m.rights(m.main.vmar_handle));
    assert_eq!(m.related_koid(process), m.koid(m.main.job_handle));
}

#[test]
fn process_start_rows() {
    let mut m = TestMachine::new();
    let (process, _, thread) = process(&mut m);
    let vmo = m.vmo(1);
    let (weak, weak_thread) = (
        m.without(process, Rights::WRITE),
        m.without(thread, Rights::WRITE),
    );
    let other = m.main.thread_handle;
    let high = protocol::USER_END;
    let early = [thread.into(), 4096, 4096, 0, 0];
    assert_eq!(m.call(N::ThreadStart, &early), Status::BAD_STATE);
    for (process, thread, entry, stack, status) in [
        (BAD, thread, 4096, 0, Status::BAD_HANDLE),
        (vmo, thread, 4096, 0, Status::WRONG_TYPE),
        (weak, thread, 4096, 0, Status::ACCESS_DENIED),
        (process, BAD, 4096, 0, Status::BAD_HANDLE),
        (process, vmo, 4096, 0, Status::WRONG_TYPE),
        (process, weak_thread, 4096, 0, Status::ACCESS_DENIED),
        (process, other, 4096, 0, Status::ACCESS_DENIED),
        (process, thread, high, 0, Status::INVALID_ARGS),
        (process, thread, 4096, high + 1, Status::INVALID_ARGS),
    ] {
        let moved = m.vmo(1);
        let args = [process.into(), thread.into(), entry, stack, moved.into(), 0];
        assert_eq!(m.call(N::ProcessStart, &args), status);
        assert_eq!(m.vmo_get_size(moved), Err(Status::BAD_HANDLE), "consumed");
    }
    let kept = m.without(vmo, Rights::TRANSFER);
    for (moved, status) in [
        (BAD, Status::BAD_HANDLE),
        (kept, Status::ACCESS_DENIED),
        (vmo, Status::OK),
        (0, Status::BAD_STATE),
    ] {
        let args = [process.into(), thread.into(), 4096, 4096, moved.into(), 9];
        assert_eq!(m.call(N::ProcessStart, &args), status);
    }
    let registers = m.registers[m.started.last().unwrap()];
    assert_eq!((registers.rdi & 3, registers.rsi), (3, 9));
}

#[test]
fn process_info_tells_of_its_life() {
    let mut m = TestMachine::new();
    let (process, _, thread) = started(&mut m);
    let info = m.info(process, 0x1000_0003, 24).unwrap();
    assert_eq!(info[16], 1);
    m.call_on(thread, N::ProcessExit, &[7]);
    let info = m.info(process, 3, 16).unwrap();
    assert_eq!((info[0], info[8], info[9]), (7, 1, 1));
    assert_eq!(m.signals(process), 8);
}

#[test]
fn task_kill_ends_a_process_and_nothing_else() {
    let mut m = TestMachine::new();
    let (process, _, thread) = started(&mut m);
    assert_eq!(m.call(N::TaskKill, &[process.into()]), Status::OK);
    assert!(m.ended.contains(&thread));
    assert_eq!(m.processes_ended.last().unwrap().1, SYSCALL_KILL);
    assert_eq!(m.processes_ended.len(), 1);
}

#[test]
fn task_create_exception_channel_rows() {
    let mut m = TestMachine::new();
    let (process, thread, id) = started(&mut m);
    let (vmo, out) = (m.vmo(1), m.alloc(4));
    let weak = m.without(thread, Rights::MANAGE_THREAD);
    let hidden = m.without(process, Rights::ENUMERATE);
    for (task, options, status) in [
        (BAD, 0, Status::BAD_HANDLE),
        (weak, 0, Status::ACCESS_DENIED),
        (hidden, 0, Status::ACCESS_DENIED),
        (vmo, 0, Status::ACCESS_DENIED),
        (thread, 1, Status::INVALID_ARGS),
        (process, 2, Status::INVALID_ARGS),
        (process, 1, Status::NOT_SUPPORTED),
        (thread, 0, Status::OK),
        (thread, 0, Status::ALREADY_BOUND),
    ] {
        let args = [task.into(), options, out];
        assert_eq!(m.call(N::TaskCreateExceptionChannel, &args), status);
    }
    let channel = m.peek_u32(out);
    assert_eq!(m.rights(channel), Rights::EXCEPTION_CHANNEL);
    m.handle_close(channel).unwrap();
    let channel = m.exception_channel(thread).unwrap();
    m.call_on(id, N::ThreadExit, &[]);
    assert_eq!(m.signals(channel), 4, "PEER_CLOSED");
    assert_eq!(m.exception_channel(thread), Err(Status::BAD_STATE));
}

/// The thread's handler, then the process's, then the job's; each looks, and passes it on.
#[test]
fn exception_goes_from_handler_to_handler() {
    let mut m = TestMachine::new();
    let (process, thread, id) = started(&mut m);
    let channels =
        [thread, process, m.main.job_handle].map(|task| m.exception_channel(task).unwrap());
    assert_eq!(m.touch(id, NOWHERE, Access::Read), Touch::Restart);
    for (channel, kind) in channels.into_iter().zip([2, 3, 4]) {
        let message = m.channel_read(channel).unwrap();
        assert_eq!(message.bytes[..8], m.koid(process).to_le_bytes());
        assert_eq!(message.bytes[8..16], m.koid(thread).to_le_bytes());
        assert_eq!(message.bytes[16..20], 0x108u32.to_le_bytes());
        let info = m.info(thread, 10, 72).unwrap();
        assert_eq!((info[0], info[1], info[4]), (3, 1, kind));
        let report = m.info(thread, 0x1000_000B, 40).unwrap();
        assert_eq!(report[32..36], Status::NOT_FOUND.0.to_le_bytes());
        let exception = message.handles[0];
        assert_eq!(m.rights(exception), Rights::DEFAULT_EXCEPTION);
        let out = m.alloc(4);
        assert_eq!(
            m.call(N::ExceptionGetThread, &[exception.into(), out]),
            Status::OK
        );
        assert_eq!(m.koid(m.peek_u32(out)), m.koid(thread));
        let expected = if kind == 2 {
            Status::ACCESS_DENIED
        } else {
            Status::OK
        };
        assert_eq!(
            m.call(N::ExceptionGetProcess, &[exception.into(), out]),
            expected
        );
        m.handle_close(exception).unwrap();
    }
    assert_eq!(m.processes_ended.last().unwrap().1, EXCEPTION_KILL);
    assert_eq!(m.exceptions.len(), 1);
    assert!(m.exceptions[0].registers.is_some());
}

#[test]
fn exception_state_decides() {
    let mut m = TestMachine::new();
    let (process, thread, id) = started(&mut m);
    let channel = m.exception_channel(process).unwrap();
    let (at, vmo) = (m.alloc(8), m.vmo(1));
    m.touch(id, NOWHERE, Access::Read);
    let exception = m.channel_read(channel).unwrap().handles[0];
    for (object, state, size, status) in [
        (exception, 3u32, 4, Status::INVALID_ARGS),
        (exception, 1, 3, Status::BUFFER_TOO_SMALL),
        (vmo, 1, 4, Status::WRONG_TYPE),
        (exception, 1, 4, Status::OK),
    ] {
        m.poke(at, &state.to_le_bytes());
        let args = [object.into(), 16, at, size];
        assert_eq!(m.call(N::ObjectSetProperty, &args), status);
    }
    m.handle_close(exception).unwrap();
    assert!(!m.stopped.contains(&id), "it goes on");
    let args = [thread.into(), 0x1000_000B, at, 8, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::BAD_STATE);
    m.touch(id, NOWHERE, Access::Read);
    let exception = m.channel_read(channel).unwrap().handles[0];
    m.poke(at, &2u32.to_le_bytes());
    let args = [exception.into(), 16, at, 4];
    assert_eq!(m.call(N::ObjectSetProperty, &args), Status::OK);
    m.handle_close(exception).unwrap();
    assert!(m.ended.contains(&id));
    assert_eq!(
        m.processes_ended.last().unwrap().1,
        0,
        "with its last thread"
    );
    assert!(m.exceptions.is_empty());
}

/// A handler that closes its channel without a look passes the exception on; so does one that is killed.
#[test]
fn exception_of_a_closed_channel_is_unhandled() {
    let mut m = TestMachine::new();
    let (_, thread, id) = started(&mut m);
    let channel = m.exception_channel(thread).unwrap();
    m.touch(id, NOWHERE, Access::Read);
    m.handle_close(channel).unwrap();
    assert_eq!(m.processes_ended.last().unwrap().1, EXCEPTION_KILL);
}
