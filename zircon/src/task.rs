//! Processes and threads: making, starting and ending them, and exceptions that end a process.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{PolicyCode, RawHandle, Rights, Signals, Status, USER_END};

use crate::handle::{HandleTable, require};
use crate::header::Header;
use crate::ids::{JobId, ObjectRef, ProcessId, ThreadId, VmarId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::mappings::Mapping;
use crate::op::StepResult;
use crate::policy::JobPolicy;
use crate::user::AfterCopyIn;
use crate::work::{Access, Exception, ExceptionKind, Work};

/// Return code of a process that an exception ended (`ZX_TASK_RETCODE_EXCEPTION_KILL`).
pub const EXCEPTION_KILL: i64 = -1028;

/// Return code of a task that `zx_task_kill` ended (`ZX_TASK_RETCODE_SYSCALL_KILL`).
pub const SYSCALL_KILL: i64 = -1024;

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub header: Header,
    pub handles: HandleTable,
    /// Its root VMAR.
    pub root: VmarId,
    /// VMARs below the root.
    pub child_vmars: usize,
    pub mappings: BTreeMap<u64, Mapping>,
    pub threads: BTreeSet<ThreadId>,
    pub job: JobId,
    pub ended: bool,
}

/// A thread.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub header: Header,
    pub process: ProcessId,
    pub state: ThreadState,
    /// An exception for the end of the system call that the thread is in.
    pub policy_exception: Option<PolicyCode>,
}

/// How far a thread's life has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreadState {
    New,
    Running,
    Dead,
}

/// A program's first thread, and the handles that every program gets.
#[derive(Clone, Copy, Debug)]
pub struct NewProcess {
    /// The process.
    pub process: ProcessId,
    /// Its first thread, not started yet.
    pub thread: ThreadId,
    /// Handle to the root VMAR.
    pub vmar_handle: RawHandle,
    /// Handle to the process.
    pub process_handle: RawHandle,
    /// Handle to the first thread.
    pub thread_handle: RawHandle,
    /// Handle to the job.
    pub job_handle: RawHandle,
}

impl Kernel {
    /// Makes a process with a root VMAR, a root job with this policy, and a first thread.
    pub fn create_process(&mut self, name: &str, policy: JobPolicy) -> Result<NewProcess, Status> {
        let job = self.new_root_job(policy);
        let process = ProcessId(self.next_koid());
        let root = self.new_root_vmar(process);
        let mut header = Header::new(Signals::empty());
        header.set_name(name.as_bytes());
        let new = Process {
            header,
            handles: HandleTable::default(),
            root,
            child_vmars: 0,
            mappings: BTreeMap::new(),
            threads: BTreeSet::new(),
            job,
            ended: false,
        };
        self.processes.insert(process, new);
        self.join_job(job, process)?;
        let thread = self.new_thread(process, b"main")?;
        let root_rights = Rights::DEFAULT_VMAR | Rights::READ | Rights::WRITE | Rights::EXECUTE;
        let mut give = |object, rights| self.give_handle(process, object, rights);
        Ok(NewProcess {
            process,
            thread,
            vmar_handle: give(ObjectRef::Vmar(root), root_rights)?,
            process_handle: give(ObjectRef::Process(process), Rights::DEFAULT_PROCESS)?,
            thread_handle: give(ObjectRef::Thread(thread), Rights::DEFAULT_THREAD)?,
            job_handle: give(ObjectRef::Job(job), Rights::DEFAULT_JOB)?,
        })
    }

    fn new_thread(&mut self, process: ProcessId, name: &[u8]) -> Result<ThreadId, Status> {
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
            },
        );
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
        if entry >= USER_END || stack > USER_END {
            return Err(Status::INVALID_ARGS);
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
        let thread = self.threads.get_mut(&id).ok_or(Status::BAD_HANDLE)?;
        let process = thread.process;
        let owner = self
            .processes
            .get_mut(&process)
            .filter(|process| !process.ended);
        let owner = owner.ok_or(Status::BAD_STATE)?;
        if thread.state != ThreadState::New {
            return Err(Status::BAD_STATE);
        }
        thread.state = ThreadState::Running;
        owner.threads.insert(id);
        self.work.push_back(Work::StartThread {
            thread: id,
            process,
            entry,
            stack,
            arg1,
            arg2,
        });
        Ok(())
    }

    /// Ends a thread; with the last one, its process.
    pub(crate) fn end_thread(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut thread.state, ThreadState::Dead) == ThreadState::Dead {
            return;
        }
        let process = thread.process;
        let handles = thread.header.handles;
        self.cancel_ops_of(id);
        self.work.push_back(Work::EndThread(id));
        self.change_signals(
            ObjectRef::Thread(id),
            Signals::empty(),
            Signals::TASK_TERMINATED,
        );
        if handles == 0 {
            self.threads.remove(&id);
        }
        if let Some(owner) = self.processes.get_mut(&process) {
            owner.threads.remove(&id);
            if owner.threads.is_empty() {
                self.end_process(process, 0);
            }
        }
    }

    /// The process of a thread that has not ended. A vCPU may still come with what a thread did before it was ended.
    pub(crate) fn process_of_live(&self, id: ThreadId) -> Option<ProcessId> {
        let thread = self.threads.get(&id)?;
        (thread.state != ThreadState::Dead).then_some(thread.process)
    }

    /// The last handle of a thread is closed: one that has not run, or has ended, is forgotten.
    pub(crate) fn drop_thread(&mut self, id: ThreadId) {
        if self
            .threads
            .get(&id)
            .is_some_and(|thread| thread.state != ThreadState::Running)
        {
            self.threads.remove(&id);
        }
    }

    fn cancel_ops_of(&mut self, thread: ThreadId) {
        let mine = self.ops.iter().filter(|(_, op)| op.thread == Some(thread));
        let mine: Vec<_> = mine.map(|(token, _)| *token).collect();
        for token in mine {
            self.cancel(token);
        }
    }

    /// Ends a process: its threads, its mappings, its handles.
    pub(crate) fn end_process(&mut self, id: ProcessId, code: i64) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| !process.ended) else {
            return;
        };
        process.ended = true;
        let job = process.job;
        let threads = std::mem::take(&mut process.threads);
        self.usage_at_end = Some(self.usage());
        // First of all: nothing that follows matters to a VMM whose only program this was.
        self.work
            .push_back(Work::ProcessEnded { process: id, code });
        for thread in threads {
            self.end_thread(thread);
        }
        self.end_address_space(id);
        let handles = self
            .processes
            .get(&id)
            .map(|process| process.handles.values());
        self.change_signals(
            ObjectRef::Process(id),
            Signals::empty(),
            Signals::TASK_TERMINATED,
        );
        for handle in handles.into_iter().flatten() {
            // Each value was live a moment ago; closing one may have closed another.
            let _ = self.close_handle(id, handle);
        }
        self.leave_job(job, id);
    }

    /// A touch failed for good.
    pub(crate) fn raise_page_fault(
        &mut self,
        thread: ThreadId,
        process: ProcessId,
        address: u64,
        access: Access,
        status: Status,
    ) {
        let vmo = self.mapping_at(process, address).and_then(|mapping| {
            let name = self.vmos.get(&mapping.vmo)?.header.name();
            Some((
                mapping.vmo,
                name,
                mapping.vmo_offset + (address - mapping.base),
            ))
        });
        self.raise(
            thread,
            ExceptionKind::PageFault {
                address,
                access,
                status,
                vmo,
            },
        );
    }

    /// A thread raised an exception: nobody handles it, so its process ends.
    pub fn exception(&mut self, now: i64, thread: ThreadId, kind: ExceptionKind) {
        self.now = now;
        self.raise(thread, kind);
        self.settle();
    }

    /// A system call of a thread is over: raises the exception that was kept for this moment. Whether the thread goes on.
    pub(crate) fn end_call(&mut self, id: ThreadId) -> bool {
        let thread = self.threads.get_mut(&id);
        if let Some(code) = thread.and_then(|thread| thread.policy_exception.take()) {
            self.raise(id, ExceptionKind::Policy(code));
        }
        self.process_of_live(id).is_some()
    }

    fn raise(&mut self, id: ThreadId, kind: ExceptionKind) {
        let Some(process) = self.process_of_live(id) else {
            return;
        };
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        let thread_name = thread.header.name();
        let owner = self.processes.get(&process);
        let process_name = owner.map(|owner| owner.header.name()).unwrap_or_default();
        let exception = Exception {
            thread: id,
            thread_name,
            process,
            process_name,
            kind,
        };
        self.work.push_back(Work::Exception(exception));
        self.end_process(process, EXCEPTION_KILL);
    }

    /// Ends a thread that has started, a process, or all that belongs to a job.
    pub(crate) fn sys_task_kill(&mut self, caller: Caller, raw: RawHandle) -> Begin {
        let task = self.handle(caller.process, raw)?;
        require(task.rights, Rights::DESTROY)?;
        match task.object {
            ObjectRef::Job(id) => self.kill_job(id, SYSCALL_KILL),
            ObjectRef::Process(id) => self.end_process(id, SYSCALL_KILL),
            ObjectRef::Thread(id) => {
                let thread = self.threads.get(&id);
                if thread.is_some_and(|thread| thread.state == ThreadState::Running) {
                    self.end_thread(id);
                }
            }
            _ => return Err(Status::WRONG_TYPE),
        }
        Ok(Started::Done(0))
    }

    pub(crate) fn sys_thread_exit(&mut self, caller: Caller) -> Begin {
        self.end_thread(caller.thread);
        Ok(Started::Gone)
    }

    pub(crate) fn sys_process_exit(&mut self, caller: Caller, code: i64) -> Begin {
        self.end_process(caller.process, code);
        Ok(Started::Gone)
    }
}
