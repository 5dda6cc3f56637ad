//! `zx_job_create`, the life of jobs and their signals; `zx_task_kill` of jobs.

use protocol::syscall::SyscallNumber as N;
use zircon::SYSCALL_KILL;

use super::*;
use crate::common::{NOWHERE, Outcome};

const TERMINATED: u32 = 1 << 3;
const NO_JOBS: u32 = 1 << 4;
const NO_PROCESSES: u32 = 1 << 5;
const NO_CHILDREN: u32 = 1 << 6;
const EMPTY: u32 = NO_JOBS | NO_PROCESSES | NO_CHILDREN;

#[test]
fn job_create_rows() {
    let mut m = TestMachine::new();
    let (job, vmo) = (m.main.job_handle, m.vmo(1));
    let either = m.without(job, Rights::MANAGE_JOB);
    let neither = m.without(job, Rights::MANAGE_JOB | Rights::WRITE);
    let manage = m.without(job, Rights::WRITE);
    let out = m.alloc(4);
    for (parent, options, out, status) in [
        (BAD, 1, 0, Status::INVALID_ARGS),
        (BAD, 0, 0, Status::BAD_HANDLE),
        (0, 0, out, Status::BAD_HANDLE),
        (vmo, 0, 0, Status::WRONG_TYPE),
        (neither, 0, 0, Status::ACCESS_DENIED),
        (job, 0, 0, Status::INVALID_ARGS),
        (job, 0, NOWHERE, Status::INVALID_ARGS),
        (either, 0, out, Status::OK),
        (manage, 0, out, Status::OK),
    ] {
        let args = [parent.into(), options, out];
        assert_eq!(m.call(N::JobCreate, &args), status);
    }
    let child = m.peek_u32(out);
    assert_eq!(m.rights(child), Rights::DEFAULT_JOB);
}

#[test]
fn job_create_out_of_range_below_32_levels() {
    let mut m = TestMachine::new();
    let mut job = m.main.job_handle;
    for level in 1..=32 {
        let child = m.job_create(job).unwrap_or_else(|e| panic!("{level}: {e}"));
        if level > 1 {
            // A job lives by those below it.
            m.handle_close(job).unwrap();
        }
        job = child;
    }
    assert_eq!(m.job_create(job), Err(Status::OUT_OF_RANGE));
}

#[test]
fn job_signals_tell_of_children() {
    let mut m = TestMachine::new();
    let root = m.main.job_handle;
    assert_eq!(m.signals(root), NO_JOBS, "it has a process");
    let job = m.job_create(root).unwrap();
    assert_eq!(m.signals(root), 0);
    assert_eq!(m.signals(job), EMPTY);
    let child = m.job_create(job).unwrap();
    assert_eq!(m.signals(job), NO_PROCESSES);
    m.handle_close(child).unwrap();
    assert_eq!(m.signals(job), EMPTY, "the child is gone with its handle");
    m.handle_close(job).unwrap();
    assert_eq!(m.signals(root), NO_JOBS);
}

#[test]
fn a_chain_of_jobs_goes_with_the_last_handle() {
    let mut m = TestMachine::new();
    let root = m.main.job_handle;
    let top = m.job_create(root).unwrap();
    let middle = m.job_create(top).unwrap();
    let leaf = m.job_create(middle).unwrap();
    for job in [top, middle] {
        m.handle_close(job).unwrap();
        assert_eq!(m.signals(root), 0, "the leaf keeps what is above it");
    }
    m.handle_close(leaf).unwrap();
    assert_eq!(m.signals(root), NO_JOBS);
}

#[test]
fn job_signals_can_be_waited_for() {
    let mut m = TestMachine::new();
    let (root, thread) = (m.main.job_handle, m.thread());
    let child = m.job_create(root).unwrap();
    let wait = [root.into(), NO_JOBS.into(), i64::MAX as u64, 0];
    let token = m.begin(thread, N::ObjectWaitOne, &wait);
    m.handle_close(child).unwrap();
    assert_eq!(m.status(token), Status::OK);
}

#[test]
fn a_killed_job_takes_no_children_and_is_terminated() {
    let mut m = TestMachine::new();
    let root = m.main.job_handle;
    let job = m.job_create(root).unwrap();
    let child = m.job_create(job).unwrap();
    m.task_kill(job).unwrap();
    for killed in [job, child] {
        assert_eq!(m.signals(killed), EMPTY | TERMINATED);
        assert_eq!(m.job_create(killed), Err(Status::BAD_STATE));
    }
    assert_eq!(m.signals(root), NO_JOBS, "it is out of the tree");
    assert_eq!(m.task_kill(job), Ok(()), "again");
    m.handle_close(child).unwrap();
    m.handle_close(job).unwrap();
    assert_eq!(m.signals(root), NO_JOBS);
}

#[test]
fn killing_a_job_ends_its_processes() {
    let mut m = TestMachine::new();
    let kill = [m.main.job_handle.into()];
    assert_eq!(m.call_on(m.main.thread, N::TaskKill, &kill), Outcome::Gone);
    assert_eq!(m.processes_ended, [(m.main.process, SYSCALL_KILL)]);
    assert!(m.ended.contains(&m.main.thread));
}

#[test]
fn task_kill_rows() {
    let mut m = TestMachine::new();
    let (vmo, job) = (m.vmo(1), m.main.job_handle);
    let tame = m.without(job, Rights::DESTROY);
    assert_eq!(m.task_kill(BAD), Err(Status::BAD_HANDLE));
    assert_eq!(m.task_kill(tame), Err(Status::ACCESS_DENIED));
    assert_eq!(
        m.task_kill(vmo),
        Err(Status::ACCESS_DENIED),
        "no handle to anything but a task has DESTROY"
    );
}

#[test]
fn task_kill_of_a_thread() {
    let mut m = TestMachine::new();
    let handle = m.thread_handle();
    let thread = *m.started.last().unwrap();
    m.task_kill(handle).unwrap();
    assert!(m.ended.contains(&thread));
    assert_eq!(m.task_kill(handle), Ok(()), "again");
    let (out, process) = (m.alloc(4), m.main.process_handle);
    let create = [process.into(), out, 0, 0, out];
    assert_eq!(m.call(N::ThreadCreate, &create), Status::OK);
    let new = m.peek_u32(out);
    assert_eq!(m.task_kill(new), Ok(()));
    let start = [new.into(), 0x20_0000, 0, 0, 0];
    let status = m.call(N::ThreadStart, &start);
    assert_eq!(status, Status::OK, "one that had not started stays");
}
