//! Jobs, processes, threads, exceptions.

use protocol::syscall::SyscallNumber;
use zx::Rights;

use crate::row::How::{Cannot, Does, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Out2, Without};
use crate::world::Obj::{Event, Job, Port, Process, RootJob, Thread};
use crate::{args, rows};

rows! { ROWS:
    JobCreate {
        INVALID_ARGS "options" => args![H(RootJob), N(1), Out],
        BAD_HANDLE "the parent" => args![Bad, N(0), Out],
        WRONG_TYPE "not a job" => args![H(Event), N(0), Out],
        ACCESS_DENIED "the handle lacks MANAGE_JOB and WRITE" => args![Without(RootJob, Rights::MANAGE_JOB.union(Rights::WRITE)), N(0), Out],
        INVALID_ARGS "the result cannot be written" => args![H(RootJob), N(0), Nowhere],
        BAD_STATE "the parent is killed" => Shown("waits.jobs.kill"),
        OUT_OF_RANGE "too deep below the root" => Shown("waits.jobs.create_is_limited_in_depth"),
    }
    JobSetPolicy {
        INVALID_ARGS "a topic that there is not" => args![H(Job), N(0), N(99), Out, N(1)],
        INVALID_ARGS "options that there are not" => args![H(Job), N(7), N(0), Out, N(1)],
        INVALID_ARGS "no policies" => args![H(Job), N(0), N(0), Out, N(0)],
        INVALID_ARGS "the policies cannot be read" => args![H(Job), N(0), N(0), Nowhere, N(1)],
        BAD_HANDLE "the job" => args![Bad, N(0), N(0), Out, N(1)],
        WRONG_TYPE "not a job" => args![H(Event), N(0), N(0), Out, N(1)],
        ACCESS_DENIED "the handle lacks SET_POLICY" => args![Without(Job, Rights::SET_POLICY), N(0), N(0), Out, N(1)],
        OUT_OF_RANGE "more than 17 entries" => args![H(Job), N(0), N(0), Out, N(18)],
        INVALID_ARGS "an override that there is not" => Shown("waits.jobs.set_policy_errors"),
        BAD_STATE "the job has processes or jobs" => args![H(RootJob), N(0), N(0), Out, N(1)],
        NOT_SUPPORTED "a condition that there is not" => Does(|w| {
            let policy = [99u32, 0];
            let job = w.handle(Job)?;
            Ok(w.calls(SyscallNumber::JobSetPolicy, [job.into(), 0, 0, (&raw const policy) as u64, 1]))
        }),
        NOT_SUPPORTED "an action that there is not" => Does(|w| {
            let policy = [4u32, 99];
            let job = w.handle(Job)?;
            Ok(w.calls(SyscallNumber::JobSetPolicy, [job.into(), 0, 0, (&raw const policy) as u64, 1]))
        }),
        ALREADY_EXISTS "absolute, and a condition is decided already" => Shown("waits.jobs.set_policy_is_inherited"),
    }
    ProcessCreate {
        INVALID_ARGS "options" => args![H(Job), Out, N(0), N(1), Out, Out2],
        INVALID_ARGS "the name cannot be read" => args![H(Job), Nowhere, N(4), N(0), Out, Out2],
        BAD_HANDLE "the job" => args![Bad, Out, N(0), N(0), Out, Out2],
        WRONG_TYPE "not a job" => args![H(Event), Out, N(0), N(0), Out, Out2],
        ACCESS_DENIED "the handle lacks MANAGE_PROCESS and WRITE" => args![Without(Job, Rights::MANAGE_PROCESS.union(Rights::WRITE)), Out, N(0), N(0), Out, Out2],
        INVALID_ARGS "the results cannot be written" => args![H(Job), Out, N(0), N(0), Nowhere, Out2],
        ACCESS_DENIED "the job's policy denies NEW_PROCESS" => Shown("waits-denied.policy.new_objects_denied"),
        BAD_STATE "the job is killed" => Does(|w| {
            let (job, out) = (w.handle(Job)?, w.out());
            w.calls(SyscallNumber::TaskKill, [job.into()]).ok()?;
            Ok(w.calls(SyscallNumber::ProcessCreate, [job.into(), out, 0, 0, out, out + 8]))
        }),
    }
    ProcessStart {
        BAD_HANDLE "the process" => args![Bad, H(Thread), N(0x20_0000), N(0x20_0000)],
        WRONG_TYPE "not a process" => args![H(Event), H(Thread), N(0x20_0000), N(0x20_0000)],
        ACCESS_DENIED "the process's handle lacks WRITE" => args![Without(Process, Rights::WRITE), H(Thread), N(0x20_0000), N(0x20_0000)],
        BAD_HANDLE "the thread" => args![H(Process), Bad, N(0x20_0000), N(0x20_0000)],
        WRONG_TYPE "not a thread" => args![H(Process), H(Event), N(0x20_0000), N(0x20_0000)],
        ACCESS_DENIED "the thread's handle lacks WRITE" => args![H(Process), Without(Thread, Rights::WRITE), N(0x20_0000), N(0x20_0000)],
        ACCESS_DENIED "a thread of another process" => Does(|w| {
            let (process, thread) = (w.child_process()?, w.handle(Thread)?);
            let args = [process.into(), thread.into(), 0x20_0000, 0x20_0000];
            let status = w.calls(SyscallNumber::ProcessStart, args);
            w.calls(SyscallNumber::HandleClose, [process.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "the process runs already" => args![H(Process), H(Thread), N(0x20_0000), N(0x20_0000)],
        BAD_HANDLE "the handle to pass on" => Does(|w| {
            let (process, out) = (w.child_process()?, w.out());
            let make = [process.into(), out, 0, 0, out];
            let thread = w.makes(SyscallNumber::ThreadCreate, make)?;
            let handle = 0xFFFF_FFF3;
            let args = [process.into(), thread.into(), 0x20_0000, 0x20_0000, handle];
            let status = w.calls(SyscallNumber::ProcessStart, args);
            for handle in [process, thread] {
                w.calls(SyscallNumber::HandleClose, [handle.into()]).ok()?;
            }
            Ok(status)
        }),
        ACCESS_DENIED "the handle to pass on lacks TRANSFER" => Does(|w| {
            let (process, out) = (w.child_process()?, w.out());
            let make = [process.into(), out, 0, 0, out];
            let thread = w.makes(SyscallNumber::ThreadCreate, make)?;
            let handle = w.without(Event, Rights::TRANSFER)?.into();
            let args = [process.into(), thread.into(), 0x20_0000, 0x20_0000, handle];
            let status = w.calls(SyscallNumber::ProcessStart, args);
            for handle in [process, thread] {
                w.calls(SyscallNumber::HandleClose, [handle.into()]).ok()?;
            }
            Ok(status)
        }),
    }
    ProcessExit {
        OK "does not return" => Cannot("it does not return"),
    }
    ThreadCreate {
        INVALID_ARGS "options" => args![H(Process), Out, N(0), N(1), Out],
        INVALID_ARGS "the name cannot be read" => args![H(Process), Nowhere, N(4), N(0), Out],
        BAD_HANDLE "the process" => args![Bad, Out, N(0), N(0), Out],
        WRONG_TYPE "not a process" => args![H(Event), Out, N(0), N(0), Out],
        ACCESS_DENIED "the handle lacks MANAGE_THREAD" => args![Without(Process, Rights::MANAGE_THREAD), Out, N(0), N(0), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Process), Out, N(0), N(0), Nowhere],
        NO_RESOURCES "512 threads a vCPU live" => Shown("waits.threads.too_many_no_resources"),
    }
    ThreadStart {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0x20_0000), N(0x20_0000)],
        WRONG_TYPE "not a thread" => args![H(Event), N(0x20_0000), N(0x20_0000)],
        ACCESS_DENIED "the handle lacks MANAGE_THREAD" => args![Without(Thread, Rights::MANAGE_THREAD), N(0x20_0000), N(0x20_0000)],
        INVALID_ARGS "an entry outside the user half" => args![H(Thread), N(1 << 47), N(0x20_0000)],
        BAD_STATE "started before" => Shown("waits.threads.start_twice_bad_state"),
    }
    ThreadExit {
        OK "does not return" => Cannot("it does not return"),
    }
    TaskKill {
        BAD_HANDLE "the value names no handle" => args![Bad],
        ACCESS_DENIED "the handle lacks DESTROY" => args![Without(Job, Rights::DESTROY)],
        WRONG_TYPE "not a task" => Cannot("only handles to tasks have DESTROY, and the right is looked at first"),
    }
    TaskSuspend {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not a thread or a process" => args![H(Port), Out],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Thread, Rights::WRITE), Out],
        NOT_SUPPORTED "the calling thread or its own process" => args![H(Process), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Thread), Nowhere],
        BAD_STATE "the task has ended" => Does(|w| {
            let (process, out) = (w.dead_process()?, w.out());
            let status = w.calls(SyscallNumber::TaskSuspend, [process.into(), out]);
            w.calls(SyscallNumber::HandleClose, [process.into()]).ok()?;
            Ok(status)
        }),
    }
    TaskCreateExceptionChannel {
        INVALID_ARGS "options that there are not" => args![H(Thread), N(8), Out],
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), Out],
        WRONG_TYPE "not a task" => Cannot("MANAGE_THREAD is looked for first, and no handle to anything else has it"),
        ACCESS_DENIED "the handle lacks INSPECT" => args![Without(Thread, Rights::INSPECT), N(0), Out],
        ALREADY_BOUND "the task has one" => Does(|w| {
            let (thread, out) = (w.handle(Thread)?, w.out());
            let channel = w.makes(SyscallNumber::TaskCreateExceptionChannel, [thread.into(), 0, out])?;
            let status = w.calls(SyscallNumber::TaskCreateExceptionChannel, [thread.into(), 0, out]);
            w.calls(SyscallNumber::HandleClose, [channel.into()]).ok()?;
            Ok(status)
        }),
        INVALID_ARGS "the result cannot be written" => args![H(Thread), N(0), Nowhere],
        BAD_STATE "the task has ended" => Does(|w| {
            let (process, out) = (w.dead_process()?, w.out());
            let status = w.calls(SyscallNumber::TaskCreateExceptionChannel, [process.into(), 0, out]);
            w.calls(SyscallNumber::HandleClose, [process.into()]).ok()?;
            Ok(status)
        }),
    }
    ExceptionGetThread {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not an exception" => args![H(Event), Out],
        INVALID_ARGS "the result cannot be written" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ExceptionGetThread, [exception.into(), 0x1000]);
            w.end_exception()?;
            Ok(status)
        }),
    }
    ExceptionGetProcess {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not an exception" => args![H(Event), Out],
        ACCESS_DENIED "the exception came through a thread's channel" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ExceptionGetProcess, [exception.into(), out]);
            w.end_exception()?;
            Ok(status)
        }),
        INVALID_ARGS "the result cannot be written" => Does(|w| {
            let exception = w.exception(Process)?;
            let args = [exception.into(), 0x1000];
            let status = w.calls(SyscallNumber::ExceptionGetProcess, args);
            w.end_exception()?;
            Ok(status)
        }),
    }
    ThreadReadState {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), Out, N(64)],
        WRONG_TYPE "not a thread" => args![H(Event), N(0), Out, N(64)],
        ACCESS_DENIED "the handle lacks READ" => args![Without(Thread, Rights::READ), N(0), Out, N(64)],
        BAD_STATE "neither suspended nor in an exception" => args![H(Thread), N(0), Out, N(256)],
        BUFFER_TOO_SMALL "the buffer is shorter than the state" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ThreadReadState, [thread.into(), 0, out, 8]);
            w.end_exception()?;
            Ok(status)
        }),
        INVALID_ARGS "a kind that there is not" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ThreadReadState, [thread.into(), 999, out, 64]);
            w.end_exception()?;
            Ok(status)
        }),
        INVALID_ARGS "the state cannot be written" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ThreadReadState, [thread.into(), 0, 0x1000, 256]);
            w.end_exception()?;
            Ok(status)
        }),
    }
    ThreadWriteState {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), Out, N(64)],
        WRONG_TYPE "not a thread" => args![H(Event), N(0), Out, N(64)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Thread, Rights::WRITE), N(0), Out, N(64)],
        BAD_STATE "neither suspended nor in an exception" => args![H(Thread), N(0), Out, N(160)],
        INVALID_ARGS "the state cannot be read" => Does(|w| {
            let exception = w.exception(Thread)?;
            let (thread, out) = (w.handle(Thread)?, w.out());
            let _ = (exception, thread, out);
            let status = w.calls(SyscallNumber::ThreadWriteState, [thread.into(), 0, 0x1000, 160]);
            w.end_exception()?;
            Ok(status)
        }),
    }
}
