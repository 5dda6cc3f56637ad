//! A debugger outside the VM: it holds the threads of a process, and hears of their exceptions before any handler.
//!
//! ```text
//! debug             attaches, or says anew which threads may run: the others are stopped, and new ones do not start
//! Work::DebugEvent  a thread stands now: held, or in an exception that the debugger has yet to look at
//! end_exception     it goes to the next handler, or never happened
//! debug_end         the debugger leaves: all threads go on
//! ```
//! The program learns nothing of it: suspending and debugging are counted apart.

use std::collections::BTreeSet;

use protocol::regs::SINGLE_STEP;
use protocol::{GeneralRegs, PAGE_SIZE, Status};

use crate::ids::{ProcessId, ThreadId, VmoId};
use crate::kernel::Kernel;
use crate::look::Seen;
use crate::memory::Writes;
use crate::op::Waiting;
use crate::pages::PageState;
use crate::task::ThreadState;
use crate::work::ExceptionKind;

/// Which threads of a debugged process may run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Running {
    /// All.
    All,
    /// None, new ones included.
    Nobody,
    /// These.
    Only(BTreeSet<ThreadId>),
}

/// Whether a thread's trap flag is a debugger's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    No,
    /// It is to be set as soon as the thread stands.
    Wanted,
    /// It is set.
    Set,
    /// It is set, and the exception that will come of it never happened.
    Leftover,
}

/// A debugger and the process that it is attached to.
#[derive(Clone, Debug)]
pub(crate) struct Debugger {
    process: ProcessId,
    running: Running,
}

/// A thread as the debugger sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DebuggedThread {
    /// The thread.
    pub thread: ThreadId,
    /// Its name.
    pub name: String,
    /// Its registers, if it stands.
    pub registers: Option<GeneralRegs>,
    /// It waits in a call that cannot be dropped: it stops when that has ended.
    pub waits: bool,
    /// The exception that the debugger has yet to end.
    pub exception: Option<ExceptionKind>,
}

impl Kernel {
    /// A debugger attaches to a process, or says which of its threads may run from now on.
    pub fn debug(&mut self, now: i64, process: ProcessId, running: Running) {
        self.now = now;
        self.debugger = Some(Debugger { process, running });
        self.hold_or_let_go_all(process);
        self.settle();
    }

    /// The debugger leaves. Exceptions that it has not ended go to the next handler, but for those of its own steps.
    pub fn debug_end(&mut self, now: i64) {
        self.now = now;
        if let Some(debugger) = self.debugger.take() {
            for thread in self.threads_of(debugger.process) {
                if self.is_stepped(thread)
                    && let Some(thread) = self.threads.get_mut(&thread)
                {
                    let raised = &mut thread.raised;
                    raised.take_if(|raised| raised.debugged && raised.kind.is_step());
                }
                self.pass_exception(thread);
                self.set_step(thread, false);
            }
            self.hold_or_let_go_all(debugger.process);
        }
        self.settle();
    }

    fn threads_of(&self, process: ProcessId) -> Vec<ThreadId> {
        let process = self.processes.get(&process);
        process.map_or_else(Vec::new, |process| {
            process.threads.iter().copied().collect()
        })
    }

    fn hold_or_let_go_all(&mut self, process: ProcessId) {
        for thread in self.threads_of(process) {
            self.hold_or_let_go(thread);
        }
    }

    /// Whether a debugger is attached to a process.
    pub(crate) fn is_debugged(&self, process: ProcessId) -> bool {
        let debugger = self.debugger.as_ref();
        debugger.is_some_and(|debugger| debugger.process == process)
    }

    /// Whether a debugger wants a thread to stand.
    pub(crate) fn is_held_by_debugger(&self, id: ThreadId) -> bool {
        let (Some(debugger), Some(thread)) = (&self.debugger, self.threads.get(&id)) else {
            return false;
        };
        debugger.process == thread.process
            && match &debugger.running {
                _ if thread.step == Step::Wanted => true,
                Running::All => false,
                Running::Nobody => true,
                Running::Only(threads) => !threads.contains(&id),
            }
    }

    /// The threads of the debugged process that were started and have not ended, oldest first.
    pub fn debugged_threads(&self) -> Vec<DebuggedThread> {
        let Some(debugger) = &self.debugger else {
            return Vec::new();
        };
        let waits = |id: ThreadId| {
            let mut mine = self.ops.values().filter(|op| op.thread == Some(id));
            mine.any(|op| matches!(op.waiting, Waiting::Request(_) | Waiting::Room))
        };
        self.threads_of(debugger.process)
            .into_iter()
            .filter_map(|id| {
                let thread = self.threads.get(&id)?;
                let exception = thread.raised.as_ref().filter(|raised| raised.debugged);
                let exception = exception.map(|raised| raised.kind.clone());
                (thread.state == ThreadState::Running).then(|| DebuggedThread {
                    thread: id,
                    name: thread.header.name(),
                    registers: self.stopped_registers(id).ok(),
                    waits: waits(id),
                    exception,
                })
            })
            .collect()
    }

    /// Has a thread raise an exception, #DB, behind the next instruction that it executes, or not any more. One that waits in a call takes
    /// it up when the call has ended.
    pub fn debug_step(&mut self, now: i64, id: ThreadId, on: bool) {
        self.now = now;
        self.set_step(id, on);
        self.settle();
    }

    fn set_step(&mut self, id: ThreadId, on: bool) {
        let Some(thread) = self.threads.get_mut(&id) else {
            return;
        };
        let set = thread.stop.set_flag(SINGLE_STEP, on);
        thread.step = match (on, set, thread.step) {
            (true, true, _) => Step::Set,
            (true, false, Step::Set | Step::Leftover) => Step::Set,
            (true, false, _) => Step::Wanted,
            (false, false, Step::Set | Step::Leftover) => Step::Leftover,
            (false, ..) => Step::No,
        };
        self.hold_or_let_go(id);
    }

    /// Whether a thread's trap flag is set, and a debugger's: the program learns nothing of it, and cannot change it.
    pub(crate) fn is_stepped(&self, id: ThreadId) -> bool {
        let thread = self.threads.get(&id);
        thread.is_some_and(|thread| matches!(thread.step, Step::Set | Step::Leftover))
    }

    /// A thread stands: what was to be done about its trap flag is.
    pub(crate) fn settle_step(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(&id) else {
            return;
        };
        match thread.step {
            Step::Wanted => {
                thread.stop.set_flag(SINGLE_STEP, true);
                thread.step = Step::Set;
            }
            Step::Leftover => {
                thread.stop.set_flag(SINGLE_STEP, false);
                thread.step = Step::No;
                // The exception, if that is why it stands.
                thread.raised.take_if(|raised| raised.kind.is_step());
            }
            Step::No | Step::Set => {}
        }
    }

    /// Ends the debugger's look at an exception: it never happened, or goes to the next handler as soon as the thread may run.
    pub fn end_exception(&mut self, id: ThreadId, pass: bool) {
        if pass {
            return self.pass_exception(id);
        }
        if let Some(thread) = self.threads.get_mut(&id) {
            thread.raised.take_if(|raised| raised.debugged);
        }
    }

    fn pass_exception(&mut self, id: ThreadId) {
        let thread = self.threads.get_mut(&id);
        if let Some(raised) = thread.and_then(|thread| thread.raised.as_mut()) {
            raised.debugged = false;
        }
    }

    /// Where the byte at an address lies, if its page is there: nothing is asked for.
    pub fn debug_place(&self, process: ProcessId, address: u64) -> Option<(VmoId, u64)> {
        let mapping = self.mapping_at(process, address)?;
        let offset = mapping.vmo_offset + (address - mapping.base);
        if offset >= self.reach(&mapping) {
            return None;
        }
        let (vmo, offset) = self.root(mapping.vmo, offset);
        let seen = self.look(vmo, offset / PAGE_SIZE, 1).0;
        let there = matches!(seen, Seen::Page(..) | Seen::Zero(_, _, PageState::Blank));
        there.then_some((vmo, offset))
    }

    /// As [`Kernel::debug_place`], for a write that the mapping need not permit; from now on the page counts as written to.
    ///
    /// # Errors
    /// NOT_FOUND if the page is not there, SHOULD_WAIT while something is under way on it, NOT_SUPPORTED if it is not the VMO's own, or a
    /// pager has to be told of the write first.
    pub fn debug_place_to_write(
        &mut self,
        process: ProcessId,
        address: u64,
    ) -> Result<(VmoId, u64), Status> {
        let (id, offset) = self
            .debug_place(process, address)
            .ok_or(Status::NOT_FOUND)?;
        let page = offset / PAGE_SIZE;
        let seen = self.look(id, page, 1).0;
        let vmo = self.vmos.get(&id).ok_or(Status::NOT_FOUND)?;
        let (Seen::Page(owner, _, state) | Seen::Zero(owner, _, state)) = seen else {
            return Err(Status::NOT_FOUND);
        };
        if vmo.conflicts(&(page..page + 1), true) {
            return Err(Status::SHOULD_WAIT);
        }
        if owner != id || !vmo.permits_write(state) {
            return Err(Status::NOT_SUPPORTED);
        }
        if vmo.storage_writes() == Writes::Noted {
            let written = page..page + 1;
            self.note_written(id, std::slice::from_ref(&written));
        }
        Ok((id, offset))
    }
}
