//! Resumable operations.
//!
//! An operation is what a system call or a page fault does that may take several steps. [`Kernel::start`] runs its first
//! step; a step ends it, or leaves it waiting for exactly one thing (a memory operation of its own, somebody else's, a page
//! request, a port, a signal, a futex, the clock, a flush). When that thing happens the operation is woken and runs its
//! next step, which looks everything up again and trusts nothing but an error it was woken with.

use protocol::Status;

use crate::ids::{PortId, ProcessId, ThreadId, Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, MemoryOpId, MemoryResult};
use crate::pages::PageState;
use crate::work::{Access, Completion, OpResult, Work};
use crate::{futex, port, transfer, user, wait};

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// Whose it is; `None` for the VMM's own.
    pub thread: Option<ThreadId>,
    pub body: Body,
    pub waiting: Waiting,
    /// How the operation's own memory operation ended.
    pub reply: Option<MemoryResult>,
    /// The error that the page it waited for got.
    pub error: Option<Status>,
    pub deadline: Option<i64>,
    /// VMOs that stay alive while the operation runs.
    pub holds: Vec<VmoId>,
}

/// What an operation does, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A touch through a mapping.
    Fault {
        process: ProcessId,
        address: u64,
        access: Access,
        /// The thread can make the access again.
        again: bool,
    },
    /// `zx_vmo_read`, `zx_vmo_write`.
    Transfer(transfer::Transfer),
    /// Bytes from user memory, then the rest of the call.
    CopyIn(user::CopyIn),
    /// Results to user memory, then the call's value.
    CopyOut(user::CopyOut),
    /// `zx_port_wait` before it has a packet.
    PortWait(port::PortWait),
    /// `zx_object_wait_one`, `zx_object_wait_many`.
    Wait(wait::Wait),
    /// `zx_futex_wait`.
    FutexWait(futex::FutexWait),
    /// `zx_nanosleep`.
    Sleep,
    /// `zx_vmo_create_child`.
    CreateChild(crate::children::NewChild),
    /// Merging a frozen VMO with the only clone of it.
    Merge(VmoId),
    /// `zx_vmo_transfer_data`.
    TransferData(crate::transfer_data::TransferData),
    /// `zx_pager_supply_pages`.
    Supply(crate::supply::Supply),
    /// `zx_vmo_set_size`.
    Resize(crate::resize::Resizing),
    /// A change of content size.
    StreamSize(crate::zeroing::Zeroing),
    /// `zx_pager_detach_vmo`.
    Detach(crate::detach::Detaching),
    /// `zx_pager_op_range` with DIRTY.
    Dirtying(crate::dirty::Dirtying),
    /// `zx_pager_op_range` with WRITEBACK_BEGIN or WRITEBACK_END.
    Writeback(crate::writeback::Writeback),
    /// `zx_pager_query_dirty_ranges`, `zx_pager_query_vmo_stats`.
    Query(crate::dirty_query::Query),
    /// `zx_vmo_op_range`.
    RangeOp(crate::range_ops::RangeOp),
    /// `zx_vmar_op_range`.
    VmarRange(crate::vmar_range::VmarRange),
    /// Waits for page tables to be flushed.
    Flush(crate::flush::Flushing),
    /// `zx_bti_pin`.
    Pin(crate::pin::Pinning),
    /// Gives a contiguous VMO its pages.
    Contiguous(crate::device_vmo::Contiguous),
}

/// What an operation is registered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    Nothing,
    /// Its own memory operation.
    Memory,
    /// Pages that the limit does not leave just now.
    Room,
    /// Other operations on a VMO.
    Busy(VmoId),
    /// A page request of a VMO.
    Request(VmoId),
    Port(PortId),
    /// The signals of an object, and of so many others.
    Objects(crate::ids::ObjectRef, usize),
    Futex(ProcessId, u64),
    /// Only the clock, or a flush.
    Outside,
}

impl Waiting {
    /// Whether a deadline ends the wait. Pages and memory operations take the time they take.
    fn has_deadline(self) -> bool {
        match self {
            Waiting::Port(_) | Waiting::Objects(..) | Waiting::Futex(..) | Waiting::Outside => true,
            Waiting::Nothing
            | Waiting::Memory
            | Waiting::Room
            | Waiting::Busy(_)
            | Waiting::Request(_) => false,
        }
    }
}

/// How a step ended.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The operation is over.
    Done(u64),
    /// It waits for what it registered with.
    Wait(Waiting),
    /// It goes on as something else at once.
    Become(Body),
}

pub(crate) type StepResult = Result<Step, Status>;

/// The end of a step that succeeded with ZX_OK.
pub(crate) const OK: StepResult = Ok(Step::Done(0));

impl Op {
    /// Whether its own memory operation is under way.
    fn is_in_memory(&self) -> bool {
        self.waiting == Waiting::Memory && self.reply.is_none()
    }

    /// Takes the reply of the operation's memory operation: `None` if there was none.
    pub fn take_reply(&mut self) -> Result<Option<MemoryResult>, Status> {
        match self.reply.take() {
            Some(MemoryResult::Failed(status)) => Err(status),
            reply => Ok(reply),
        }
    }
}

impl Kernel {
    /// Starts an operation: its value if it ended at once, else the token it is known by.
    pub(crate) fn start(
        &mut self,
        thread: Option<ThreadId>,
        body: Body,
        holds: Vec<VmoId>,
        deadline: Option<i64>,
    ) -> Result<OpResult, Token> {
        for &vmo in &holds {
            self.hold(vmo);
        }
        let token = Token(self.next_id());
        let op = Box::new(Op {
            thread,
            body,
            waiting: Waiting::Nothing,
            reply: None,
            error: None,
            deadline,
            holds,
        });
        self.advance(token, op).ok_or(token)
    }

    /// Runs an operation until it ends or waits.
    fn advance(&mut self, token: Token, mut op: Box<Op>) -> Option<OpResult> {
        loop {
            match self.step(token, &mut op) {
                Ok(Step::Become(body)) => op.body = body,
                Ok(Step::Wait(waiting)) => {
                    op.waiting = waiting;
                    let restart = self.is_to_restart(&op);
                    if let Some(deadline) = op.deadline.filter(|_| waiting.has_deadline()) {
                        self.timers.insert((deadline, token));
                    }
                    self.ops.insert(token, op);
                    if restart {
                        self.cancel(token);
                        return Some(OpResult::Restart);
                    }
                    return None;
                }
                Ok(Step::Done(value)) => return Some(self.end(token, &op, Ok(value))),
                Err(status) => return Some(self.end(token, &op, Err(status))),
            }
        }
    }

    fn step(&mut self, token: Token, op: &mut Op) -> StepResult {
        // Each body takes itself apart and leaves what it needs for its next step.
        let mut body = std::mem::replace(&mut op.body, Body::Sleep);
        let result = match &mut body {
            Body::Fault {
                process,
                address,
                access,
                ..
            } => self.step_fault(token, op, *process, *address, *access),
            Body::Transfer(transfer) => self.step_transfer(token, op, transfer),
            Body::CopyIn(copy) => self.step_copy_in(token, op, copy),
            Body::CopyOut(copy) => self.step_copy_out(token, op, copy),
            Body::PortWait(wait) => self.step_port_wait(token, op, wait),
            Body::Wait(wait) => self.step_wait(token, op, wait),
            Body::FutexWait(wait) => self.step_futex_wait(token, op, wait),
            // No deadline is one that never comes.
            Body::Sleep if op.deadline.is_some_and(|deadline| deadline <= self.now) => OK,
            Body::Sleep => Ok(Step::Wait(Waiting::Outside)),
            Body::CreateChild(child) => self.step_create_child(token, op, child),
            Body::Merge(id) => self.step_merge(token, op, *id),
            Body::TransferData(transfer) => self.step_transfer_data(token, op, transfer),
            Body::Supply(supply) => self.step_supply(token, op, supply),
            Body::Resize(resizing) => self.step_resize(token, op, resizing),
            Body::StreamSize(zeroing) => self.step_stream_size(token, op, zeroing),
            Body::Detach(detaching) => self.step_detach(token, op, detaching),
            Body::Dirtying(dirtying) => self.step_dirtying(token, op, dirtying),
            Body::Writeback(writeback) => self.step_writeback(token, op, writeback),
            Body::Query(query) => self.step_query(token, op, query),
            Body::RangeOp(range) => self.step_range_op(token, op, range),
            Body::VmarRange(range) => self.step_vmar_range(token, op, range),
            Body::Flush(flushing) => self.step_flush(token, flushing),
            Body::Pin(pinning) => self.step_pin(token, op, pinning),
            Body::Contiguous(contiguous) => self.step_contiguous(token, op, contiguous),
        };
        op.body = body;
        result
    }

    /// An operation is over: gives back what it holds and says how it ended.
    fn end(&mut self, token: Token, op: &Op, result: Result<u64, Status>) -> OpResult {
        self.forget_deadline(token, op);
        self.abandon_request(token, &op.body);
        for &vmo in &op.holds {
            self.release(vmo);
        }
        match (&op.body, result) {
            (Body::Fault { .. }, Ok(_)) => OpResult::Retry,
            (
                Body::Fault {
                    process,
                    address,
                    access,
                    ..
                },
                Err(status),
            ) => {
                let handled = op.thread.is_some_and(|thread| {
                    self.raise_page_fault(thread, *process, *address, *access, status)
                });
                if handled {
                    OpResult::Restart
                } else {
                    OpResult::Gone
                }
            }
            (body, result) => {
                if let (Body::CopyOut(copy), Err(_)) = (body, &result) {
                    self.undo(&copy.undo);
                }
                if let (Err(status), Some(thread)) = (result, op.thread) {
                    self.enforce_at_end(thread, status);
                }
                OpResult::Returned(result.unwrap_or_else(Status::to_register))
            }
        }
    }

    /// A read that was woken early may end without the rest of what it asked for.
    fn abandon_request(&mut self, token: Token, body: &Body) {
        if let Body::Transfer(transfer) = body {
            let (root, _) = self.root(transfer.vmo, 0);
            if let Some(pager) = self.pager_behind(root) {
                self.unregister(token, Waiting::Request(pager));
            }
        }
    }

    fn forget_deadline(&mut self, token: Token, op: &Op) {
        if let Some(deadline) = op.deadline {
            self.timers.remove(&(deadline, token));
        }
    }

    /// Makes a waiting operation run its next step before the current call into the core returns.
    pub(crate) fn wake(&mut self, token: Token) {
        self.ready.push_back(token);
    }

    /// Wakes what a page source resolved.
    pub(crate) fn wake_all(&mut self, woken: Vec<crate::source::Woken>) {
        for (token, error) in woken {
            if let Some(op) = self.ops.get_mut(token) {
                op.error = op.error.or(error);
            }
            self.wake(token);
        }
    }

    /// Runs woken operations until none is left; their ends become work.
    pub(crate) fn settle(&mut self) {
        self.run_woken();
        while self.sweep_channels() || self.wake_for_room() {
            self.run_woken();
        }
        self.ask_to_stop();
    }

    fn run_woken(&mut self) {
        while let Some(token) = self.ready.pop_front() {
            // An operation whose own memory operation is under way looks again when that ends.
            let Some(mut op) = self.ops.remove_if(token, |op| !op.is_in_memory()) else {
                continue;
            };
            self.forget_deadline(token, &op);
            self.room.forget(token);
            op.waiting = Waiting::Nothing;
            let thread = op.thread;
            if let (Some(result), Some(thread)) = (self.advance(token, op), thread) {
                // What it closed may have been the end of its own process.
                let alive = match result {
                    OpResult::Returned(_) => self.end_call(thread),
                    _ => self.process_of_live(thread).is_some(),
                };
                let result = if alive { result } else { OpResult::Gone };
                let goes_on = matches!(result, OpResult::Returned(_) | OpResult::Retry);
                let stop = goes_on && self.begin_stop(thread);
                self.work.push_back(Work::Complete(Completion {
                    token,
                    thread,
                    result,
                    stop,
                }));
                self.call_ended(thread);
            }
        }
    }

    /// Ends an operation because its thread ends. Nothing is reported; a memory operation under way goes on, and so does an
    /// operation that has begun to change which pages are there, or that keeps storage until page tables have forgotten it.
    pub(crate) fn cancel(&mut self, token: Token) {
        if let Some(op) = self.ops.get_mut(token)
            && matches!(
                op.body,
                Body::CreateChild(_)
                    | Body::Detach(_)
                    | Body::Resize(_)
                    | Body::StreamSize(_)
                    | Body::Supply(_)
                    | Body::TransferData(_)
                    | Body::Flush(_)
            )
            && !matches!(op.waiting, Waiting::Request(_))
        {
            op.thread = None;
            return;
        }
        let Some(op) = self.ops.remove(token) else {
            return;
        };
        self.unregister(token, op.waiting);
        self.abandon_request(token, &op.body);
        self.forget_deadline(token, &op);
        match &op.body {
            Body::CopyOut(copy) => self.undo(&copy.undo),
            Body::FutexWait(wait) => self.leave_futex(wait.process, wait.address, token),
            Body::Pin(pinning) => self.unpin(pinning.pmt),
            Body::Wait(wait) => self.leave_objects(wait),
            _ => {}
        }
        for vmo in op.holds {
            self.release(vmo);
        }
    }

    /// Takes an operation out of whatever it is registered with.
    pub(crate) fn unregister(&mut self, token: Token, waiting: Waiting) {
        match waiting {
            Waiting::Request(id) => {
                if let Some(source) = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut()) {
                    let queued = source.is_packet_queued();
                    source.cancel(token);
                    self.pump_source(id, queued);
                }
            }
            Waiting::Busy(id) => {
                if let Some(vmo) = self.vmos.get_mut(&id) {
                    vmo.busy_waiters.retain(|&waiter| waiter != token);
                }
            }
            Waiting::Room => self.room.forget(token),
            Waiting::Port(id) => self.leave_port(id, token),
            Waiting::Futex(process, address) => self.leave_futex(process, address, token),
            // A wait for signals knows its observers itself.
            Waiting::Objects(..) => {}
            Waiting::Nothing | Waiting::Memory | Waiting::Outside => {}
        }
    }

    /// Emits a memory operation of `token`'s; the step ends waiting for it.
    pub(crate) fn emit(&mut self, token: Option<Token>, op: MemoryOp) -> MemoryOpId {
        self.emit_to_be(token, op, None)
    }

    /// Emits a memory operation whose pages are in a state of the caller's choice afterwards.
    pub(crate) fn emit_to_be(
        &mut self,
        token: Option<Token>,
        op: MemoryOp,
        becomes: Option<PageState>,
    ) -> MemoryOpId {
        if let MemoryOp::Write { vmo, .. }
        | MemoryOp::Clear { vmo, .. }
        | MemoryOp::Copy { to: vmo, .. } = op
        {
            self.note_modified(vmo);
        }
        let id = MemoryOpId(self.next_id());
        let flight = self.mark_busy(id, op.clone(), becomes, token);
        self.memory.insert(id, flight);
        self.work.push_back(Work::Memory(id, op));
        id
    }
}
