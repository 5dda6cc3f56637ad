//! Threads that are held: suspended by a token, or in an exception.
//!
//! ```text
//! a reason to hold it   what it waits for is dropped (its call will be made again), unless it must be finished first
//!   Work::StopThread    the VMM takes it off its vCPU
//!   thread_stopped      its registers come: now it counts as suspended, or its handler is told
//! no reason is left     Work::GoThread, with the registers if somebody changed them
//! ```
//! An operation that is dropped ends with [`OpResult::Restart`]: the VMM lets the thread execute the same instruction again
//! when it goes on, so a page request is made anew. Copies between a call and its caller's memory are finished first.

use protocol::regs::{FLAGS_ALWAYS, SINGLE_STEP, USER_FLAGS, state_kind};
use protocol::{GeneralRegs, RawHandle, Rights, Signals, Status, USER_END};

use crate::handle::require;
use crate::header::Header;
use crate::ids::{ObjectRef, ProcessId, SuspendId, ThreadId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, OK, Op, StepResult, Waiting};
use crate::task::ThreadState;
use crate::user::{AfterCopyIn, Undo};
use crate::work::{Completion, OpResult, Work};

/// A suspend token: as long as it lives its task stays suspended.
#[derive(Clone, Debug)]
pub(crate) struct SuspendToken {
    pub header: Header,
    pub task: ObjectRef,
}

/// Whether a thread is held.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// It runs, or waits in a call.
    Not,
    /// It will start with these registers.
    NotStarted(Box<GeneralRegs>),
    /// The VMM was asked to stop it.
    Asked,
    /// It stands, with these registers.
    Stopped {
        registers: Box<GeneralRegs>,
        /// Somebody has written them.
        changed: bool,
    },
}

impl Stop {
    /// Sets or clears a flag of a thread that stands; says whether it does.
    pub fn set_flag(&mut self, flag: u64, on: bool) -> bool {
        let registers = match self {
            Stop::NotStarted(registers) => registers,
            Stop::Stopped { registers, changed } => {
                *changed = true;
                registers
            }
            Stop::Not | Stop::Asked => return false,
        };
        match on {
            true => registers.rflags |= flag,
            false => registers.rflags &= !flag,
        }
        true
    }

    /// The registers of a thread that stands.
    fn registers(&self) -> Option<&GeneralRegs> {
        match self {
            Stop::NotStarted(registers) | Stop::Stopped { registers, .. } => Some(registers),
            Stop::Not | Stop::Asked => None,
        }
    }
}

impl Op {
    /// Whether the operation can be dropped and made again. A copy to or from the caller's memory cannot: what the call did
    /// is done.
    fn is_interruptible(&self) -> bool {
        match self.waiting {
            Waiting::Port(_) | Waiting::Objects(..) | Waiting::Futex(..) => true,
            Waiting::Outside => matches!(self.body, Body::Sleep | Body::Wait(_)),
            Waiting::Request(_) => match &self.body {
                Body::Fault { again, .. } => *again,
                Body::Transfer(transfer) => !transfer.outside,
                Body::CopyIn(_) | Body::CopyOut(_) | Body::FutexWait(_) => false,
                _ => true,
            },
            Waiting::Nothing | Waiting::Memory | Waiting::Busy(_) | Waiting::Room => false,
        }
    }
}

impl Kernel {
    pub(crate) fn sys_task_suspend(&mut self, caller: Caller, task: RawHandle, out: u64) -> Begin {
        let handle = self.handle(caller.process, task)?;
        require(handle.rights, Rights::WRITE)?;
        let (own, alive) = match handle.object {
            ObjectRef::Thread(id) => (id == caller.thread, self.process_of_live(id).is_some()),
            ObjectRef::Process(id) => (id == caller.process, self.is_alive(id)),
            _ => return Err(Status::WRONG_TYPE),
        };
        if own {
            return Err(Status::NOT_SUPPORTED);
        }
        if !alive {
            return Err(Status::BAD_STATE);
        }
        let id = SuspendId(self.next_koid());
        let token = SuspendToken {
            header: Header::new(Signals::empty()),
            task: handle.object,
        };
        self.suspend_tokens.insert(id, token);
        self.count_suspends(handle.object, |count| *count += 1);
        let rights = Rights::DEFAULT_SUSPEND_TOKEN;
        self.return_handle(caller, ObjectRef::SuspendToken(id), rights, out)
    }

    /// The last handle of a token is closed.
    pub(crate) fn drop_suspend_token(&mut self, id: SuspendId) {
        if let Some(token) = self.suspend_tokens.remove(&id) {
            self.count_suspends(token.task, |count| *count -= 1);
        }
    }

    fn count_suspends(&mut self, task: ObjectRef, change: impl FnOnce(&mut u32)) {
        let threads = match task {
            ObjectRef::Thread(id) => {
                if let Some(thread) = self.threads.get_mut(&id) {
                    change(&mut thread.suspends);
                }
                vec![id]
            }
            ObjectRef::Process(id) => match self.processes.get_mut(&id) {
                Some(process) => {
                    change(&mut process.suspends);
                    process.threads.iter().copied().collect()
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        for thread in threads {
            self.hold_or_let_go(thread);
        }
    }

    pub(crate) fn hold_or_let_go(&mut self, id: ThreadId) {
        if self.is_held(id) {
            self.stop_thread(id);
        }
        self.go_or_stay(id);
    }

    fn is_suspended(&self, id: ThreadId) -> bool {
        self.threads.get(&id).is_some_and(|thread| {
            let process = self.processes.get(&thread.process);
            thread.suspends > 0 || process.is_some_and(|process| process.suspends > 0)
        })
    }

    /// Whether a thread is to stand.
    fn is_held(&self, id: ThreadId) -> bool {
        let raised = |thread: &crate::task::Thread| thread.raised.is_some();
        self.is_suspended(id)
            || self.is_held_by_debugger(id)
            || self.threads.get(&id).is_some_and(raised)
    }

    /// Stops a thread: what it waits for is dropped, and once it has no operation any more the VMM is asked.
    pub(crate) fn stop_thread(&mut self, id: ThreadId) {
        let mine = |op: &Op| op.thread == Some(id) && op.is_interruptible();
        let dropped: Vec<_> = self
            .ops
            .iter()
            .filter(|(_, op)| mine(op))
            .map(|(token, _)| token)
            .collect();
        for token in dropped {
            self.cancel(token);
            self.work.push_back(Work::Complete(Completion {
                token,
                thread: id,
                result: OpResult::Restart,
                stop: false,
            }));
        }
        self.stopping.push(id);
    }

    /// An operation is about to wait: whether it has to be dropped instead, because its thread is held.
    pub(crate) fn is_to_restart(&self, op: &Op) -> bool {
        op.thread.is_some_and(|thread| self.is_held(thread)) && op.is_interruptible()
    }

    /// An operation of a thread has ended: one that is held is stopped now.
    pub(crate) fn call_ended(&mut self, id: ThreadId) {
        if self.is_held(id) {
            self.stopping.push(id);
        }
    }

    /// Asks the VMM to stop those that have no operation any more; whoever has one comes again at its end.
    pub(crate) fn ask_to_stop(&mut self) {
        for id in std::mem::take(&mut self.stopping) {
            if self.begin_stop(id) {
                self.work.push_back(Work::StopThread(id));
            }
        }
    }

    /// Whether a thread is to be stopped now: it is held, and runs, and has no operation.
    pub(crate) fn begin_stop(&mut self, id: ThreadId) -> bool {
        if !self.is_held(id) || self.ops.values().any(|op| op.thread == Some(id)) {
            return false;
        }
        let Some(thread) = self.threads.get_mut(&id) else {
            return false;
        };
        let runs = thread.state == ThreadState::Running && matches!(thread.stop, Stop::Not);
        if runs {
            thread.stop = Stop::Asked;
        }
        runs
    }

    /// The VMM has stopped a thread as [`Work::StopThread`] asked, with these registers.
    pub fn thread_stopped(&mut self, now: i64, id: ThreadId, registers: GeneralRegs) {
        self.now = now;
        if let Some(thread) = self.threads.get_mut(&id)
            && matches!(thread.stop, Stop::Asked)
        {
            thread.stop = Stop::Stopped {
                registers: Box::new(registers),
                changed: false,
            };
            self.go_or_stay(id);
        }
        self.settle();
    }

    /// A thread that stands tells its handler, counts as suspended, or goes on, whichever comes first.
    pub(crate) fn go_or_stay(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        if thread.stop.registers().is_none() {
            return;
        }
        let process = thread.process;
        self.settle_step(id);
        let Some(thread) = self.threads.get(&id) else {
            return;
        };
        if let Some(raised) = &thread.raised {
            // Nor does a handler hear of anything while the debugger has it stand.
            if raised.debugged || self.is_held_by_debugger(id) {
                return self.work.push_back(Work::DebugEvent);
            }
            if raised.object.is_none() {
                self.tell_handler(id);
            }
            return;
        }
        let (running, suspended) = (Signals::THREAD_RUNNING, Signals::THREAD_SUSPENDED);
        if self.is_suspended(id) {
            return self.change_signals(ObjectRef::Thread(id), running, suspended);
        }
        self.change_signals(ObjectRef::Thread(id), suspended, running);
        if self.is_held_by_debugger(id) {
            return self.work.push_back(Work::DebugEvent);
        }
        let Some(thread) = self.threads.get_mut(&id) else {
            return;
        };
        self.work
            .push_back(match std::mem::replace(&mut thread.stop, Stop::Not) {
                Stop::NotStarted(registers) => Work::StartThread {
                    thread: id,
                    process,
                    registers,
                },
                Stop::Stopped {
                    registers,
                    changed: true,
                } => Work::GoThread(id, Some(registers)),
                _ => Work::GoThread(id, None),
            });
    }

    /// The registers of a thread that is suspended or in an exception: BAD_STATE for any other.
    pub(crate) fn stopped_registers(&self, id: ThreadId) -> Result<GeneralRegs, Status> {
        let thread = self.threads.get(&id).ok_or(Status::BAD_STATE)?;
        thread.stop.registers().copied().ok_or(Status::BAD_STATE)
    }

    pub(crate) fn sys_thread_read_state(
        &mut self,
        caller: Caller,
        thread: RawHandle,
        kind: u32,
        buffer: u64,
        size: u64,
    ) -> Begin {
        let (id, _) = self.typed::<ThreadId>(caller.process, thread, Rights::READ)?;
        check_kind(kind)?;
        if size < GeneralRegs::SIZE as u64 {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        let mut registers = self.stopped_registers(id)?;
        if self.is_stepped(id) {
            registers.rflags &= !SINGLE_STEP;
        }
        let bytes = registers.to_bytes();
        let body = self.copy_out(caller.process, buffer, &bytes, Undo::Nothing);
        self.begin(caller, body, Vec::new())
    }

    pub(crate) fn sys_thread_write_state(
        &mut self,
        caller: Caller,
        thread: RawHandle,
        kind: u32,
        buffer: u64,
        size: u64,
    ) -> Begin {
        self.typed::<ThreadId>(caller.process, thread, Rights::WRITE)?;
        check_kind(kind)?;
        if size != GeneralRegs::SIZE as u64 {
            return Err(Status::INVALID_ARGS);
        }
        let then = AfterCopyIn::WriteState { thread };
        let body = self.copy_in(caller.process, caller.thread, buffer, size, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_thread_write_state`. Addresses have to be a program's; of the flags only a program's are taken.
    pub(crate) fn write_state(
        &mut self,
        process: ProcessId,
        thread: RawHandle,
        bytes: &[u8],
    ) -> StepResult {
        let (id, _) = self.typed::<ThreadId>(process, thread, Rights::WRITE)?;
        let bytes = bytes.try_into().map_err(|_| Status::INTERNAL)?;
        let mut new = GeneralRegs::from_bytes(bytes);
        new.rflags &= USER_FLAGS;
        if self.is_stepped(id) {
            new.rflags |= SINGLE_STEP;
        }
        self.set_stopped_registers(id, new)?;
        OK
    }

    /// Gives a thread that stands other registers. Of the flags those are taken that ring 3 may have, the trap flag included.
    ///
    /// # Errors
    /// BAD_STATE if it does not stand, INVALID_ARGS for addresses that are not a program's.
    pub fn set_stopped_registers(
        &mut self,
        id: ThreadId,
        mut new: GeneralRegs,
    ) -> Result<(), Status> {
        self.stopped_registers(id)?;
        let addresses = [new.rip, new.fs_base, new.gs_base];
        if addresses.iter().any(|address| *address >= USER_END) {
            return Err(Status::INVALID_ARGS);
        }
        new.rflags = new.rflags & (USER_FLAGS | SINGLE_STEP) | FLAGS_ALWAYS;
        match self.threads.get_mut(&id).map(|thread| &mut thread.stop) {
            Some(Stop::NotStarted(registers)) => **registers = new,
            Some(Stop::Stopped { registers, changed }) => {
                **registers = new;
                *changed = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Only general registers can be had.
fn check_kind(kind: u32) -> Result<(), Status> {
    match kind {
        state_kind::GENERAL_REGS => Ok(()),
        state_kind::FP_REGS
        | state_kind::VECTOR_REGS
        | state_kind::DEBUG_REGS
        | state_kind::SINGLE_STEP => Err(Status::NOT_SUPPORTED),
        _ => Err(Status::INVALID_ARGS),
    }
}
