//! Exceptions: whose channel hears of one, and what becomes of the thread.
//!
//! ```text
//! raised -> the thread is stopped -> told to the next handler: thread, process, job, its parents
//!              ^                        |  the last handle of the exception is closed
//!              |                        |  HANDLED: the thread goes on     THREAD_EXIT: it ends
//!              +---------- TRY_NEXT ----+  no handler is left: its process is killed, with a report
//! ```
//! A debugger outside the VM comes before all of them (debugger.rs).
//!
//! A task's end of its exception channel has no handle: the task writes to it as long as the other end is open.

use protocol::exception::{CHANNEL_DEBUGGER, ExceptionInfo, ExceptionReport, channel_type, state};
use protocol::{RawHandle, Rights, Signals, Status};

use crate::channel::Message;
use crate::debugger::Step;
use crate::handle::{Handle, require};
use crate::header::Header;
use crate::ids::{ChannelId, ExceptionId, JobId, ObjectRef, ProcessId, ThreadId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{OK, StepResult};
use crate::process::EXCEPTION_KILL;
use crate::work::{Access, Exception, ExceptionKind, Work};

/// What a task knows of its exception channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExceptionChannel {
    /// The end that the task writes to.
    end: ChannelId,
    /// Rights of the handles that handlers get to threads and processes.
    thread_rights: Rights,
    process_rights: Option<Rights>,
}

/// The exception that a thread is in.
#[derive(Clone, Debug)]
pub(crate) struct Raised {
    pub kind: ExceptionKind,
    /// A debugger has yet to look at it.
    pub debugged: bool,
    /// Whose turn it is: 0 the thread's channel, 1 the process's, 2 and more the jobs'.
    pub turn: usize,
    /// What its handler holds, once it was told.
    pub object: Option<ExceptionId>,
}

impl Raised {
    /// `ZX_EXCEPTION_CHANNEL_TYPE_*` of the handler that was told.
    pub fn channel_type(&self) -> u32 {
        match (self.object, self.turn) {
            (None, _) => channel_type::NONE,
            (_, 0) => channel_type::THREAD,
            (_, 1) => channel_type::PROCESS,
            _ => channel_type::JOB,
        }
    }
}

/// An exception as a handler holds it.
#[derive(Clone, Debug)]
pub(crate) struct ExceptionObject {
    pub header: Header,
    pub thread: ThreadId,
    process: ProcessId,
    /// One of [`state`].
    pub state: u32,
    channel: ExceptionChannel,
}

impl Kernel {
    pub(crate) fn sys_task_create_exception_channel(
        &mut self,
        caller: Caller,
        task: RawHandle,
        options: u32,
        out: u64,
    ) -> Begin {
        let handle = self.handle(caller.process, task)?;
        let object = handle.object;
        let needed = Rights::INSPECT | Rights::DUPLICATE | Rights::TRANSFER;
        require(handle.rights, needed | Rights::MANAGE_THREAD)?;
        match object {
            ObjectRef::Thread(_) => {}
            ObjectRef::Process(_) | ObjectRef::Job(_) => {
                require(handle.rights, Rights::ENUMERATE)?;
            }
            _ => return Err(Status::WRONG_TYPE),
        }
        match options {
            0 => {}
            CHANNEL_DEBUGGER if !matches!(object, ObjectRef::Thread(_)) => {
                return Err(Status::NOT_SUPPORTED);
            }
            _ => return Err(Status::INVALID_ARGS),
        }
        let (thread_rights, process_rights) = match object {
            ObjectRef::Thread(_) => (handle.rights, None),
            ObjectRef::Process(_) => (Rights::DEFAULT_THREAD, Some(handle.rights)),
            _ => (Rights::DEFAULT_THREAD, Some(Rights::DEFAULT_PROCESS)),
        };
        let bound = *self.exception_channel(object).ok_or(Status::BAD_STATE)?;
        if bound.is_some_and(|bound| self.is_open(bound.end)) {
            return Err(Status::ALREADY_BOUND);
        }
        self.close_exception_channel(bound);
        let (end, theirs) = self.new_channel();
        if let Some(place) = self.exception_channel(object) {
            *place = Some(ExceptionChannel {
                end,
                thread_rights,
                process_rights,
            });
        }
        let rights = Rights::EXCEPTION_CHANNEL;
        self.return_handle(caller, ObjectRef::Channel(theirs), rights, out)
    }

    /// Where a task that has not ended keeps its exception channel.
    fn exception_channel(&mut self, task: ObjectRef) -> Option<&mut Option<ExceptionChannel>> {
        match task {
            ObjectRef::Thread(id) => {
                self.process_of_live(id)?;
                Some(&mut self.threads.get_mut(&id)?.exceptions)
            }
            ObjectRef::Process(id) => {
                let process = self.processes.get_mut(&id);
                Some(&mut process.filter(|process| !process.ended)?.exceptions)
            }
            ObjectRef::Job(id) => {
                let job = self.jobs.get_mut(&id);
                Some(&mut job.filter(|job| job.killed.is_none())?.exceptions)
            }
            _ => None,
        }
    }

    /// Whether somebody has the other end.
    fn is_open(&self, end: ChannelId) -> bool {
        self.channels
            .get(&end)
            .is_some_and(|channel| channel.peer.is_some())
    }

    /// A task gives its end up: the other one sees PEER_CLOSED.
    pub(crate) fn close_exception_channel(&mut self, channel: Option<ExceptionChannel>) {
        if let Some(channel) = channel {
            self.drop_channel(channel.end);
        }
    }

    /// A touch failed for good; says whether a handler looks at it.
    pub(crate) fn raise_page_fault(
        &mut self,
        thread: ThreadId,
        process: ProcessId,
        address: u64,
        access: Access,
        status: Status,
    ) -> bool {
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
        )
    }

    /// A thread raised an exception. Without a handler its process ends.
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

    /// Raises an exception of a thread; says whether a handler looks at it. If not, its process has ended.
    pub(crate) fn raise(&mut self, id: ThreadId, kind: ExceptionKind) -> bool {
        let Some(process) = self.process_of_live(id) else {
            return false;
        };
        let debugged = self.is_debugged(process);
        let leftover = kind.is_step()
            && self
                .threads
                .get(&id)
                .is_some_and(|it| it.step == Step::Leftover);
        let handled = debugged || leftover || self.handler(id, 0).is_some();
        let Some(thread) = self.threads.get_mut(&id) else {
            return false;
        };
        if thread.raised.is_some() {
            // It has yet to be stopped for the one before.
            return true;
        }
        if !handled {
            self.kill_for(id, kind);
            return false;
        }
        thread.raised = Some(Raised {
            kind,
            debugged,
            turn: 0,
            object: None,
        });
        self.stop_thread(id);
        true
    }

    /// The next handler of a thread's exceptions, from a turn on.
    fn handler(&self, id: ThreadId, turn: usize) -> Option<(usize, ExceptionChannel)> {
        let thread = self.threads.get(&id)?;
        let process = self.processes.get(&thread.process)?;
        let mut line = vec![thread.exceptions, process.exceptions];
        let mut job = self.jobs.get(&process.job);
        while let Some(at) = job {
            line.push(at.exceptions);
            job = at.parent.and_then(|parent: JobId| self.jobs.get(&parent));
        }
        let open = |(turn, channel): (usize, Option<ExceptionChannel>)| {
            let channel = channel.filter(|channel| self.is_open(channel.end))?;
            Some((turn, channel))
        };
        line.into_iter().enumerate().skip(turn).find_map(open)
    }

    /// A thread stands in its exception: tells the handler whose turn it is. If none is left, its process ends.
    pub(crate) fn tell_handler(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        let (process, Some(raised)) = (thread.process, thread.raised.clone()) else {
            return;
        };
        let Some((turn, channel)) = self.handler(id, raised.turn) else {
            return self.kill_for(id, raised.kind);
        };
        let object = ExceptionId(self.next_koid());
        let mut header = Header::new(Signals::empty());
        // The one in the message.
        header.handles = 1;
        let new = ExceptionObject {
            header,
            thread: id,
            process,
            state: state::TRY_NEXT,
            channel,
        };
        self.exceptions.insert(object, new);
        let info = ExceptionInfo {
            pid: process.0,
            tid: id.0,
            kind: raised.kind.number(),
            padding: 0,
        };
        if let Some(thread) = self.threads.get_mut(&id) {
            thread.raised = Some(Raised {
                turn,
                object: Some(object),
                ..raised
            });
        }
        let handle = Handle {
            object: ObjectRef::Exception(object),
            rights: Rights::DEFAULT_EXCEPTION,
        };
        let message = Message {
            bytes: info.to_bytes().to_vec(),
            handles: vec![handle],
        };
        let end = self.channels.get(&channel.end);
        if let Some(peer) = end.and_then(|end| end.peer) {
            self.queue_message(peer, message);
        }
    }

    /// The last handle of an exception is closed.
    pub(crate) fn drop_exception(&mut self, id: ExceptionId) {
        let Some(object) = self.exceptions.remove(&id) else {
            return;
        };
        let thread = object.thread;
        let told = self
            .threads
            .get_mut(&thread)
            .map(|thread| &mut thread.raised);
        if let Some(place) = told
            && let Some(raised) = place
            && raised.object == Some(id)
        {
            match object.state {
                state::HANDLED => *place = None,
                state::THREAD_EXIT => return self.end_thread(thread),
                _ => {
                    raised.turn += 1;
                    raised.object = None;
                }
            }
            return self.go_or_stay(thread);
        }
        self.drop_thread(thread);
    }

    /// Nobody handles an exception: its process ends, and the VMM reports it.
    fn kill_for(&mut self, id: ThreadId, kind: ExceptionKind) {
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        let process = thread.process;
        let owner = self.processes.get(&process);
        let exception = Exception {
            thread: id,
            thread_name: thread.header.name(),
            process,
            process_name: owner.map(|owner| owner.header.name()).unwrap_or_default(),
            kind,
            registers: self.stopped_registers(id).ok().map(Box::new),
            present: self.present_runs(process),
        };
        self.work.push_back(Work::Exception(exception));
        self.end_process(process, EXCEPTION_KILL);
    }

    pub(crate) fn sys_exception_get_thread(
        &mut self,
        caller: Caller,
        exception: RawHandle,
        out: u64,
    ) -> Begin {
        let (id, _) = self.typed::<ExceptionId>(caller.process, exception, Rights::empty())?;
        let object = self.exceptions.get(&id).ok_or(Status::INTERNAL)?;
        let (thread, rights) = (object.thread, object.channel.thread_rights);
        self.return_handle(caller, ObjectRef::Thread(thread), rights, out)
    }

    /// A handler of a thread's own channel gets no handle to its process.
    pub(crate) fn sys_exception_get_process(
        &mut self,
        caller: Caller,
        exception: RawHandle,
        out: u64,
    ) -> Begin {
        let (id, _) = self.typed::<ExceptionId>(caller.process, exception, Rights::empty())?;
        let object = self.exceptions.get(&id).ok_or(Status::INTERNAL)?;
        let rights = object.channel.process_rights.ok_or(Status::ACCESS_DENIED)?;
        let process = object.process;
        self.return_handle(caller, ObjectRef::Process(process), rights, out)
    }

    pub(crate) fn exception_state(&self, object: ObjectRef) -> Result<u32, Status> {
        let ObjectRef::Exception(id) = object else {
            return Err(Status::WRONG_TYPE);
        };
        let exception = self.exceptions.get(&id).ok_or(Status::INTERNAL)?;
        Ok(exception.state)
    }

    /// Says what becomes of the thread: INVALID_ARGS for a state that there is not.
    pub(crate) fn set_exception_state(&mut self, object: ObjectRef, state: u32) -> StepResult {
        let ObjectRef::Exception(id) = object else {
            return Err(Status::WRONG_TYPE);
        };
        if state > state::THREAD_EXIT {
            return Err(Status::INVALID_ARGS);
        }
        let exception = self.exceptions.get_mut(&id).ok_or(Status::INTERNAL)?;
        exception.state = state;
        OK
    }

    /// What a thread's exception looks like: BAD_STATE if it is in none.
    pub(crate) fn exception_report(&self, id: ThreadId) -> Result<ExceptionReport, Status> {
        let thread = self.threads.get(&id).ok_or(Status::BAD_STATE)?;
        let raised = thread.raised.as_ref().ok_or(Status::BAD_STATE)?;
        raised.object.ok_or(Status::BAD_STATE)?;
        Ok(raised.kind.report())
    }
}

/// The error code that a processor gives with a page fault of ring 3.
fn error_code(access: Access, status: Status) -> u64 {
    let present = u64::from(status == Status::ACCESS_DENIED);
    let access = match access {
        Access::Read => 0,
        Access::Write => 2,
        Access::Execute => 16,
    };
    4 | access | present
}

impl ExceptionKind {
    fn report(&self) -> ExceptionReport {
        let mut report = ExceptionReport {
            size: size_of::<ExceptionReport>() as u32,
            kind: self.number(),
            ..ExceptionReport::default()
        };
        match self {
            ExceptionKind::PageFault {
                address,
                access,
                status,
                ..
            } => {
                report.vector = 14;
                report.err_code = error_code(*access, *status);
                report.cr2 = *address;
                report.synth_code = status.0 as u32;
            }
            ExceptionKind::Processor { vector, error } => {
                report.vector = (*vector).into();
                report.err_code = *error;
            }
            ExceptionKind::Policy(code) => report.synth_code = code.number(),
            ExceptionKind::Unexplained(_) => {}
        }
        report
    }
}
