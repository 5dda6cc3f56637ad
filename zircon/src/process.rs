//! Processes: making, starting and ending them; killing tasks.
//!
//! A process is *new* until its first thread is started, and *ended* from its exit, its kill, or the end of its last thread on.
//! It is forgotten when it has ended and no handle refers to it or to a thread of it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    GeneralRegs, PolicyCondition, RawHandle, Rights, Signals, Status, USER_BASE, USER_END,
};

use crate::exception::ExceptionChannel;
use crate::flush::flushing;
use crate::handle::{HandleTable, require};
use crate::header::Header;
use crate::ids::{JobId, ObjectRef, ProcessId, ThreadId, VmarId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::mappings::Mapping;
use crate::op::{Body, Step, StepResult};
use crate::policy::JobPolicy;
use crate::user::AfterCopyIn;
use crate::work::Work;

/// Return code of a process that `zx_task_kill` ended (`ZX_TASK_RETCODE_SYSCALL_KILL`).
pub const SYSCALL_KILL: i64 = -1024;

/// Return code of a process that an exception ended (`ZX_TASK_RETCODE_EXCEPTION_KILL`).
pub const EXCEPTION_KILL: i64 = -1028;

/// Most processes at a time, those that have ended but are still referred to included.
const MAX_PROCESSES: usize = 1024;

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub header: Header,
    pub job: JobId,
    pub handles: HandleTable,
    /// Its root VMAR.
    pub root: VmarId,
    /// VMARs below the root.
    pub child_vmars: usize,
    pub mappings: BTreeMap<u64, Mapping>,
    /// Its running threads.
    pub threads: BTreeSet<ThreadId>,
    /// When its first thread was started.
    pub started: Option<i64>,
    pub ended: bool,
    /// What it had has been taken from it.
    pub stripped: bool,
    pub return_code: i64,
    /// Suspend tokens for all its threads.
    pub suspends: u32,
    pub exceptions: Option<ExceptionChannel>,
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

/// What a root VMAR's handle grants.
fn root_rights() -> Rights {
    Rights::DEFAULT_VMAR | Rights::READ | Rights::WRITE | Rights::EXECUTE
}

/// The arguments of `zx_process_start`, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartArgs {
    pub process: RawHandle,
    pub thread: RawHandle,
    pub entry: u64,
    pub stack: u64,
    pub arg1: RawHandle,
    pub arg2: u64,
}

impl Kernel {
    /// Makes a process with a root VMAR, a root job with this policy, and a first thread.
    pub fn create_process(&mut self, name: &str, policy: JobPolicy) -> Result<NewProcess, Status> {
        let job = self.new_root_job(policy);
        let (process, vmar) = self.new_process(job, name.as_bytes())?;
        let thread = self.new_thread(process, b"main")?;
        let mut give = |object, rights| self.give_handle(process, object, rights);
        Ok(NewProcess {
            process,
            thread,
            vmar_handle: give(ObjectRef::Vmar(vmar), root_rights())?,
            process_handle: give(ObjectRef::Process(process), Rights::DEFAULT_PROCESS)?,
            thread_handle: give(ObjectRef::Thread(thread), Rights::DEFAULT_THREAD)?,
            job_handle: give(ObjectRef::Job(job), Rights::DEFAULT_JOB)?,
        })
    }

    fn new_process(&mut self, job: JobId, name: &[u8]) -> Result<(ProcessId, VmarId), Status> {
        if self.processes.len() >= MAX_PROCESSES {
            return Err(Status::NO_RESOURCES);
        }
        let process = ProcessId(self.next_koid());
        let root = self.new_root_vmar(process);
        let mut header = Header::new(Signals::empty());
        header.set_name(name);
        let new = Process {
            header,
            job,
            handles: HandleTable::default(),
            root,
            child_vmars: 0,
            mappings: BTreeMap::new(),
            threads: BTreeSet::new(),
            started: None,
            ended: false,
            stripped: false,
            return_code: 0,
            suspends: 0,
            exceptions: None,
        };
        self.processes.insert(process, new);
        if let Err(status) = self.join_job(job, process) {
            self.processes.remove(&process);
            self.vmars.remove(&root);
            return Err(status);
        }
        self.tell_name(ObjectRef::Process(process));
        Ok((process, root))
    }

    pub(crate) fn sys_process_create(
        &mut self,
        caller: Caller,
        job: RawHandle,
        (name, length): (u64, u64),
        options: u32,
        outs: (u64, u64),
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        self.enforce(caller, PolicyCondition::NewProcess)?;
        let length = length.min(protocol::MAX_NAME_LEN as u64 - 1);
        let then = AfterCopyIn::ProcessCreate { job, outs };
        let body = self.copy_in(caller.process, caller.thread, name, length, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_process_create`.
    pub(crate) fn create_user_process(
        &mut self,
        caller: ProcessId,
        job: RawHandle,
        name: &[u8],
        outs: (u64, u64),
    ) -> StepResult {
        let (job, rights) = self.typed::<JobId>(caller, job, Rights::empty())?;
        if !rights.intersects(Rights::MANAGE_PROCESS | Rights::WRITE) {
            return Err(Status::ACCESS_DENIED);
        }
        let (process, vmar) = self.new_process(job, name)?;
        let results = [
            (ObjectRef::Process(process), Rights::DEFAULT_PROCESS, outs.0),
            (ObjectRef::Vmar(vmar), root_rights(), outs.1),
        ];
        let copy = self.handles_to_user(caller, &results)?;
        Ok(Step::Become(Body::CopyOut(copy)))
    }

    /// The handle for the new process is consumed in every case.
    pub(crate) fn sys_process_start(&mut self, caller: Caller, args: StartArgs) -> Begin {
        let moved = match args.arg1 {
            0 => Ok(None),
            raw => self.take_handle(caller.process, raw).map(Some),
        };
        let checked = self.check_process_start(caller, args).and_then(|ids| {
            let handle = moved?;
            if let Some(handle) = handle {
                require(handle.rights, Rights::TRANSFER)?;
            }
            Ok(ids)
        });
        let handle = moved.ok().flatten();
        let (process, thread) = match checked {
            Ok(ids) => ids,
            Err(status) => {
                self.discard(handle);
                return Err(status);
            }
        };
        let arg1 = match handle {
            Some(handle) => self.place_handle(process, handle)?,
            None => 0,
        };
        let regs = GeneralRegs::at_start(args.entry, args.stack, arg1.into(), args.arg2);
        self.run_thread(thread, regs)?;
        Ok(Started::Done(0))
    }

    fn check_process_start(
        &self,
        caller: Caller,
        args: StartArgs,
    ) -> Result<(ProcessId, ThreadId), Status> {
        let (process, _) = self.typed::<ProcessId>(caller.process, args.process, Rights::WRITE)?;
        let (thread, _) = self.typed::<ThreadId>(caller.process, args.thread, Rights::WRITE)?;
        if self.process_of(thread) != Some(process) {
            return Err(Status::ACCESS_DENIED);
        }
        crate::task::check_start(args.entry, args.stack)?;
        let owner = self.processes.get(&process).ok_or(Status::BAD_STATE)?;
        if owner.started.is_some() || owner.ended || !self.is_new(thread) {
            return Err(Status::BAD_STATE);
        }
        Ok((process, thread))
    }

    /// Ends a process: its threads, its mappings, its handles.
    pub(crate) fn end_process(&mut self, id: ProcessId, code: i64) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| !process.ended) else {
            return;
        };
        process.ended = true;
        process.return_code = code;
        let threads = std::mem::take(&mut process.threads);
        let channel = process.exceptions.take();
        let job = process.job;
        self.usage_at_end = Some(self.usage());
        for thread in threads {
            self.end_thread(thread);
        }
        // Before the rest: nothing that follows matters to a VMM whose only program this was.
        self.work
            .push_back(Work::ProcessEnded { process: id, code });
        self.close_exception_channel(channel);
        self.change_signals(
            ObjectRef::Process(id),
            Signals::empty(),
            Signals::TASK_TERMINATED,
        );
        self.unmap_all(id);
        let handles = self
            .processes
            .get(&id)
            .map(|process| process.handles.values());
        let handles = handles.into_iter().flatten();
        // All are taken before one is closed: with the last one to the process itself it is forgotten.
        let taken: Vec<_> = handles
            .filter_map(|raw| self.take_handle(id, raw).ok())
            .collect();
        self.discard(taken);
        self.sweep = true;
        if let Some(process) = self.processes.get_mut(&id) {
            process.stripped = true;
        }
        self.leave_job(job, id);
        self.bury_process(id);
    }

    /// Takes all mappings and VMARs of a process out. A vCPU may still run a thread of it: the VMOs stay until page tables have
    /// forgotten them.
    fn unmap_all(&mut self, id: ProcessId) {
        if let Some(owner) = self.processes.get(&id) {
            self.destroy_vmar(owner.root);
        }
        let taken = self.take_mappings(id, 0, u64::MAX);
        if !taken.is_empty() {
            let body = flushing(vec![(id, USER_BASE, USER_END)], None);
            // Nobody waits for it.
            let _ = self.start(None, body, taken.clone(), None);
        }
        self.release_all(taken);
    }

    /// The last handle of a process is closed: one that nobody can start any more ends.
    pub(crate) fn drop_process(&mut self, id: ProcessId) {
        let process = self.processes.get(&id);
        if process.is_some_and(|process| process.started.is_none()) {
            self.end_process(id, 0);
        }
        self.bury_process(id);
    }

    /// Forgets a process that has ended and that no handle leads to.
    pub(crate) fn bury_process(&mut self, id: ProcessId) {
        let gone = |process: &Process| process.stripped && process.header.handles == 0;
        if !self.processes.get(&id).is_some_and(gone)
            || self.threads.values().any(|thread| thread.process == id)
        {
            return;
        }
        self.processes.remove(&id);
    }

    pub(crate) fn sys_task_kill(&mut self, caller: Caller, raw: RawHandle) -> Begin {
        let task = self.handle(caller.process, raw)?;
        require(task.rights, Rights::DESTROY)?;
        match task.object {
            ObjectRef::Job(id) => self.kill_job(id, SYSCALL_KILL),
            ObjectRef::Process(id) => self.end_process(id, SYSCALL_KILL),
            ObjectRef::Thread(id) if self.is_running(id) => self.end_thread(id),
            ObjectRef::Thread(_) => {}
            _ => return Err(Status::WRONG_TYPE),
        }
        Ok(Started::Done(0))
    }

    pub(crate) fn sys_process_exit(&mut self, caller: Caller, code: i64) -> Begin {
        self.end_process(caller.process, code);
        Ok(Started::Gone)
    }

    /// Ends a process that the VMM cannot run, for want of page tables.
    pub fn kill_process(&mut self, now: i64, process: ProcessId) {
        self.now = now;
        self.end_process(process, SYSCALL_KILL);
        self.settle();
    }

    /// Whether a process is there and has not ended.
    pub fn is_alive(&self, process: ProcessId) -> bool {
        self.processes
            .get(&process)
            .is_some_and(|process| !process.ended)
    }
}
