//! Jobs: the tree above the processes.
//!
//! A job lives by its handles and its children: child jobs and processes that have not ended. A killed job takes no more
//! children, and is terminated when it has none left.

use std::collections::BTreeSet;

use protocol::{RawHandle, Rights, Signals, Status};

use crate::exception::ExceptionChannel;
use crate::header::Header;
use crate::ids::{JobId, ObjectRef, ProcessId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::policy::JobPolicy;

/// Levels of jobs below a root job.
const MAX_HEIGHT: u32 = 32;

/// A job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub header: Header,
    pub parent: Option<JobId>,
    /// Levels of jobs that there may be below.
    max_height: u32,
    pub policy: JobPolicy,
    pub jobs: BTreeSet<JobId>,
    pub processes: BTreeSet<ProcessId>,
    /// The code it was killed with.
    pub killed: Option<i64>,
    pub exceptions: Option<ExceptionChannel>,
}

impl Job {
    /// Whether it has child jobs or processes.
    pub fn has_children(&self) -> bool {
        !self.jobs.is_empty() || !self.processes.is_empty()
    }

    /// The signals that tell of its children.
    fn child_signals(&self) -> Signals {
        let mut signals = Signals::empty();
        signals.set(Signals::JOB_NO_JOBS, self.jobs.is_empty());
        signals.set(Signals::JOB_NO_PROCESSES, self.processes.is_empty());
        signals.set(Signals::JOB_NO_CHILDREN, !self.has_children());
        signals
    }
}

impl Kernel {
    /// Options, the parent (MANAGE_JOB, or else WRITE), its height, its state: in this order.
    pub(crate) fn sys_job_create(
        &mut self,
        caller: Caller,
        parent: RawHandle,
        options: u32,
        out: u64,
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (parent, rights) = self.typed::<JobId>(caller.process, parent, Rights::empty())?;
        if !rights.intersects(Rights::MANAGE_JOB | Rights::WRITE) {
            return Err(Status::ACCESS_DENIED);
        }
        let id = self.new_child_job(parent)?;
        self.return_handle(caller, ObjectRef::Job(id), Rights::DEFAULT_JOB, out)
    }

    fn new_child_job(&mut self, parent: JobId) -> Result<JobId, Status> {
        let above = self.jobs.get(&parent).ok_or(Status::INTERNAL)?;
        let (height, policy) = (above.max_height, above.policy);
        let height = height.checked_sub(1).ok_or(Status::OUT_OF_RANGE)?;
        if above.killed.is_some() {
            return Err(Status::BAD_STATE);
        }
        let id = self.add_job(Some(parent), height, policy);
        self.change_children(parent, |job| {
            job.jobs.insert(id);
        });
        Ok(id)
    }

    /// A job without a parent.
    pub(crate) fn new_root_job(&mut self, policy: JobPolicy) -> JobId {
        self.add_job(None, MAX_HEIGHT, policy)
    }

    fn add_job(&mut self, parent: Option<JobId>, max_height: u32, policy: JobPolicy) -> JobId {
        let id = JobId(self.next_koid());
        let mut job = Job {
            header: Header::new(Signals::empty()),
            parent,
            max_height,
            policy,
            jobs: BTreeSet::new(),
            processes: BTreeSet::new(),
            killed: None,
            exceptions: None,
        };
        job.header.signals = job.child_signals();
        self.jobs.insert(id, job);
        id
    }

    /// A process joins a job: BAD_STATE if that was killed.
    pub(crate) fn join_job(&mut self, id: JobId, process: ProcessId) -> Result<(), Status> {
        let job = self.jobs.get(&id).ok_or(Status::BAD_STATE)?;
        if job.killed.is_some() {
            return Err(Status::BAD_STATE);
        }
        self.change_children(id, |job| {
            job.processes.insert(process);
        });
        Ok(())
    }

    /// A process of a job has ended.
    pub(crate) fn leave_job(&mut self, id: JobId, process: ProcessId) {
        self.change_children(id, |job| {
            job.processes.remove(&process);
        });
        self.drop_job(id);
    }

    /// Changes a job's children, and the signals that tell of them.
    fn change_children(&mut self, id: JobId, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        change(job);
        let mut signals = job.child_signals();
        let over = job.killed.is_some() && !job.has_children();
        signals.set(Signals::JOB_TERMINATED, over);
        let all = Signals::JOB_NO_JOBS | Signals::JOB_NO_PROCESSES | Signals::JOB_NO_CHILDREN;
        self.change_signals(ObjectRef::Job(id), all, signals);
    }

    /// Kills a job: everything below it ends with `code`. Killed again it stays as it is.
    pub(crate) fn kill_job(&mut self, id: JobId, code: i64) {
        let mut line = vec![id];
        while let Some(id) = line.pop() {
            let Some(job) = self.jobs.get_mut(&id).filter(|job| job.killed.is_none()) else {
                continue;
            };
            job.killed = Some(code);
            let channel = job.exceptions.take();
            let (jobs, processes) = (job.jobs.clone(), job.processes.clone());
            line.extend(jobs);
            for process in processes {
                self.end_process(process, code);
            }
            self.change_children(id, |_| {});
            self.close_exception_channel(channel);
            self.drop_job(id);
        }
    }

    /// Takes a job out of the tree that has no children and is killed or has no handle; its parent may be next.
    pub(crate) fn drop_job(&mut self, id: JobId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(job) = self.jobs.get(&id).filter(|job| !job.has_children()) else {
                return;
            };
            let (unreferenced, killed) = (job.header.handles == 0, job.killed.is_some());
            if !unreferenced && !killed {
                return;
            }
            next = job.parent;
            if unreferenced && let Some(job) = self.jobs.remove(&id) {
                self.close_exception_channel(job.exceptions);
            }
            if let Some(parent) = next {
                self.change_children(parent, |job| {
                    job.jobs.remove(&id);
                });
            }
        }
    }
}
