//! Threads: making, starting and ending them.
//!
//! ```text
//! thread_create -> New -> start -> Running <-> stopped (suspend.rs, exception.rs)
//!                   \______________ end _______/ -> Dead -> forgotten with its last handle
//! ```

use protocol::{GeneralRegs, PolicyCode, RawHandle, Rights, Signals, Status, USER_END};

use crate::debugger::Step;
use crate::exception::{ExceptionChannel, Raised};
use crate::header::Header;
use crate::ids::{ObjectRef, ProcessId, ThreadId};
use crate::in_use::LastFaults;
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::StepResult;
use crate::suspend::Stop;
use crate::user::AfterCopyIn;
use crate::work::Work;

/// A thread.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub header: Header,
    pub process: ProcessId,
    pub state: ThreadState,
    /// An exception for the end of the system call that the thread is in.
    pub policy_exception: Option<PolicyCode>,
    /// Suspend tokens of its own.
    pub suspends: u32,
    pub stop: Stop,
    pub exceptions: Option<ExceptionChannel>,
    /// The exception that it is in.
    pub raised: Option<Raised>,
    /// Whether a debugger steps it.
    pub step: Step,
    /// Its last page faults.
    pub last_faults: LastFaults,
}

/// How far a thread's life has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreadState {
    New,
    Running,
    Dead,
}

/// INVALID_ARGS unless a thread can start there.
pub(crate) fn check_start(entry: u64, stack: u64) -> Result<(), Status> {
    if entry >= USER_END || stack > USER_END {
        return Err(Status::INVALID_ARGS);
    }
    Ok(())
}

impl Kernel {
    pub(crate) fn new_thread(
        &mut self,
        process: ProcessId,
        name: &[u8],
    ) -> Result<ThreadId, Status> {
        if !self.is_alive(process) {
            return Err(Status::BAD_STATE);
        }
        let alive = self
            .threads
            .values()
            .filter(|thread| thread.state != ThreadState::Dead)
            .count();
        if alive >= self.max_threads {
            return Err(Status::NO_RESOURCES);
        }
        let id = ThreadId(self.next_koid());
        let mut header = Header::new(Signals::empty());
        header.set_name(name);
        self.threads.insert(
            id,
            Thread {
                header,
                process,
                state: ThreadState::New,
                policy_exception: None,
                suspends: 0,
                stop: Stop::Not,
                exceptions: None,
                raised: None,
                step: Step::No,
                last_faults: LastFaults::default(),
            },
        );
        self.tell_name(ObjectRef::Thread(id));
        Ok(id)
    }

    pub(crate) fn sys_thread_create(
        &mut self,
        caller: Caller,
        process: RawHandle,
        name: u64,
        length: u64,
        options: u32,
        out: u64,
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let length = length.min(protocol::MAX_NAME_LEN as u64 - 1);
        let then = AfterCopyIn::ThreadCreate { process, out };
        let body = self.copy_in(caller.process, caller.thread, name, length, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_thread_create`.
    pub(crate) fn create_user_thread(
        &mut self,
        caller: ProcessId,
        process: RawHandle,
        name: &[u8],
        out: u64,
    ) -> StepResult {
        let (process, _) = self.typed::<ProcessId>(caller, process, Rights::MANAGE_THREAD)?;
        let thread = self.new_thread(process, name)?;
        self.handle_to_user(
            caller,
            ObjectRef::Thread(thread),
            Rights::DEFAULT_THREAD,
            out,
        )
    }

    pub(crate) fn sys_thread_start(
        &mut self,
        caller: Caller,
        thread: RawHandle,
        entry: u64,
        stack: u64,
        args: (u64, u64),
    ) -> Begin {
        let (id, _) = self.typed::<ThreadId>(caller.process, thread, Rights::MANAGE_THREAD)?;
        check_start(entry, stack)?;
        let owner = self.process_of(id).and_then(|id| self.processes.get(&id));
        if owner.is_none_or(|owner| owner.started.is_none()) {
            return Err(Status::BAD_STATE);
        }
        self.start_thread(id, entry, stack, args)?;
        Ok(Started::Done(0))
    }

    /// Starts a thread: BAD_STATE if it was started before or its process has ended.
    pub fn start_thread(
        &mut self,
        id: ThreadId,
        entry: u64,
        stack: u64,
        (arg1, arg2): (u64, u64),
    ) -> Result<(), Status> {
        self.run_thread(id, GeneralRegs::at_start(entry, stack, arg1, arg2))
    }

    /// Starts a thread, and with the first one its process. One that is suspended already does not run before it is resumed.
    pub(crate) fn run_thread(
        &mut self,
        id: ThreadId,
        registers: GeneralRegs,
    ) -> Result<(), Status> {
        let thread = self.threads.get_mut(&id).ok_or(Status::BAD_HANDLE)?;
        let owner = self
            .processes
            .get_mut(&thread.process)
            .filter(|process| !process.ended);
        let owner = owner.ok_or(Status::BAD_STATE)?;
        if thread.state != ThreadState::New {
            return Err(Status::BAD_STATE);
        }
        thread.state = ThreadState::Running;
        owner.threads.insert(id);
        owner.started.get_or_insert(self.now);
        thread.stop = Stop::NotStarted(Box::new(registers));
        let running = Signals::THREAD_RUNNING;
        self.change_signals(ObjectRef::Thread(id), Signals::empty(), running);
        self.go_or_stay(id);
        Ok(())
    }

    /// Ends a thread; with the last one, its process.
    pub(crate) fn end_thread(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut thread.state, ThreadState::Dead);
        if before == ThreadState::Dead {
            return;
        }
        let process = thread.process;
        thread.raised = None;
        thread.stop = Stop::Not;
        let channel = thread.exceptions.take();
        self.cancel_ops_of(id);
        if before == ThreadState::Running {
            self.work.push_back(Work::EndThread(id));
        }
        self.close_exception_channel(channel);
        self.change_signals(
            ObjectRef::Thread(id),
            Signals::THREAD_RUNNING | Signals::THREAD_SUSPENDED,
            Signals::TASK_TERMINATED,
        );
        self.drop_thread(id);
        if let Some(owner) = self.processes.get_mut(&process)
            && owner.threads.remove(&id)
            && owner.threads.is_empty()
        {
            self.end_process(process, 0);
        }
    }

    /// The process of a thread that has not ended. A vCPU may still come with what a thread did before it was ended.
    pub(crate) fn process_of_live(&self, id: ThreadId) -> Option<ProcessId> {
        let thread = self.threads.get(&id)?;
        (thread.state != ThreadState::Dead).then_some(thread.process)
    }

    /// Whether a thread was started and has not ended.
    pub(crate) fn is_running(&self, id: ThreadId) -> bool {
        self.threads
            .get(&id)
            .is_some_and(|thread| thread.state == ThreadState::Running)
    }

    /// Whether a thread has not been started.
    pub(crate) fn is_new(&self, id: ThreadId) -> bool {
        self.threads
            .get(&id)
            .is_some_and(|thread| thread.state == ThreadState::New)
    }

    /// Forgets a thread that no handle and no exception refers to, if it has not run or has ended.
    pub(crate) fn drop_thread(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        let process = thread.process;
        if thread.state != ThreadState::Running
            && thread.header.handles == 0
            && !self.exceptions.values().any(|raised| raised.thread == id)
        {
            self.threads.remove(&id);
            self.bury_process(process);
        }
    }

    fn cancel_ops_of(&mut self, thread: ThreadId) {
        let mine = self.ops.iter().filter(|(_, op)| op.thread == Some(thread));
        let mine: Vec<_> = mine.map(|(token, _)| token).collect();
        for token in mine {
            self.cancel(token);
        }
    }

    pub(crate) fn sys_thread_exit(&mut self, caller: Caller) -> Begin {
        self.end_thread(caller.thread);
        Ok(Started::Gone)
    }
}
