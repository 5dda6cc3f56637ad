//! Why threads stand, and what gdb has been told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use protocol::GeneralRegs;
use zircon::{DebuggedThread, ExceptionKind, Running, ThreadId};

use super::breakpoints::Breakpoints;
use crate::debug::Crash;
use crate::hypercall::Vm;
use crate::outcome::End;

/// How long to wait for threads to stand: those that run are stopped at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks at threads that do not stand yet.
const PAUSE: Duration = Duration::from_millis(1);

/// What happened to a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// It is at a breakpoint.
    Break(u64),
    /// It has executed one instruction.
    Step,
    /// It has raised an exception of its own.
    Raised(Signal),
}

/// A thread in an exception that the core keeps for the debugger.
#[derive(Clone, Copy, Debug)]
struct Hit {
    reason: Reason,
    told: bool,
}

/// What is known of the threads' stops.
#[derive(Debug, Default)]
pub(super) struct Stops {
    hits: BTreeMap<ThreadId, Hit>,
    /// Threads whose trap flag is gdb's.
    stepping: BTreeSet<ThreadId>,
}

/// How gdb wants a thread to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Action {
    pub step: bool,
    /// It gets the exception that it is in.
    pub raise: bool,
}

/// gdb's number of the signal that an exception is to a Unix program.
fn signal(kind: &ExceptionKind) -> Signal {
    match Crash::signal_of(kind).0 {
        libc::SIGFPE => Signal::SIGFPE,
        libc::SIGTRAP => Signal::SIGTRAP,
        libc::SIGILL => Signal::SIGILL,
        libc::SIGBUS => Signal::SIGBUS,
        libc::SIGSYS => Signal::SIGSYS,
        libc::SIGSEGV => Signal::SIGSEGV,
        _ => Signal::SIGKILL,
    }
}

/// gdb's number of a thread.
pub(super) fn tid(thread: ThreadId) -> Option<Tid> {
    Tid::new(usize::try_from(thread.0).ok()?)
}

/// What gdb is told when the VM has ended.
pub(super) fn ended(end: Option<&End>) -> MultiThreadStopReason<u64> {
    match end {
        Some(End::Exited(code)) => MultiThreadStopReason::Exited((code & 0xFF) as u8),
        Some(End::Exception(_)) => MultiThreadStopReason::Terminated(Signal::SIGSEGV),
        Some(End::GuestKernel(_)) => MultiThreadStopReason::Terminated(Signal::SIGABRT),
        Some(End::TimedOut) => MultiThreadStopReason::Terminated(Signal::SIGALRM),
        Some(End::Interrupted) => MultiThreadStopReason::Terminated(Signal::SIGINT),
        Some(End::Killed) | None => MultiThreadStopReason::Terminated(Signal::SIGKILL),
    }
}

impl Stops {
    /// Stops all threads. Those that wait in a call which cannot be dropped stand as well as they can.
    pub fn stand(&mut self, vm: &Vm, breakpoints: &Breakpoints) {
        vm.debug(Running::Nobody);
        let began = Instant::now();
        let stands = |thread: &DebuggedThread| thread.registers.is_some();
        while !vm.is_stopped() && !vm.debugged_threads().iter().all(stands) {
            if began.elapsed() > PATIENCE {
                log::warn!("gdb: some threads do not stop");
                break;
            }
            std::thread::sleep(PAUSE);
        }
        self.look(vm, breakpoints);
        for thread in std::mem::take(&mut self.stepping) {
            vm.debug_step(thread, false);
        }
    }

    /// Takes note of the exceptions of threads that stand.
    pub fn look(&mut self, vm: &Vm, breakpoints: &Breakpoints) {
        let threads = vm.debugged_threads();
        let alive: BTreeSet<ThreadId> = threads.iter().map(|thread| thread.thread).collect();
        self.hits.retain(|thread, _| alive.contains(thread));
        self.stepping.retain(|thread| alive.contains(thread));
        for thread in threads {
            let (Some(kind), Some(registers)) = (&thread.exception, thread.registers) else {
                continue;
            };
            if !self.hits.contains_key(&thread.thread) {
                let reason = self.reason(vm, breakpoints, &thread, kind, &registers);
                let told = false;
                self.hits.insert(thread.thread, Hit { reason, told });
            }
        }
    }

    fn reason(
        &self,
        vm: &Vm,
        breakpoints: &Breakpoints,
        thread: &DebuggedThread,
        kind: &ExceptionKind,
        registers: &GeneralRegs,
    ) -> Reason {
        match kind {
            ExceptionKind::Processor { vector: 3, .. }
                if breakpoints.contains(registers.rip.wrapping_sub(1)) =>
            {
                // The instruction is still to be executed.
                let rip = registers.rip - 1;
                set(vm, thread, GeneralRegs { rip, ..*registers });
                Reason::Break(rip)
            }
            ExceptionKind::Processor { vector: 1, .. }
                if self.stepping.contains(&thread.thread) =>
            {
                Reason::Step
            }
            kind => Reason::Raised(signal(kind)),
        }
    }

    /// The next stop that gdb has to hear of, among threads that may run.
    pub fn next(&mut self, running: &Running) -> Option<MultiThreadStopReason<u64>> {
        let mut hits = self.hits.iter_mut();
        let (thread, hit) = hits.find(|(thread, hit)| !hit.told && may_run(running, **thread))?;
        hit.told = true;
        let tid = tid(*thread)?;
        Some(match hit.reason {
            Reason::Break(_) => MultiThreadStopReason::SwBreak(tid),
            Reason::Step => MultiThreadStopReason::SignalWithThread {
                tid,
                signal: Signal::SIGTRAP,
            },
            Reason::Raised(signal) => MultiThreadStopReason::SignalWithThread { tid, signal },
        })
    }

    /// Lets threads go on. What gdb has not been told of and does not want to know any more never happened: a breakpoint that is gone, or
    /// that the thread was moved away from, and a step of a thread that is not to step.
    pub fn go(
        &mut self,
        vm: &Vm,
        breakpoints: &Breakpoints,
        running: &Running,
        actions: &BTreeMap<ThreadId, Action>,
    ) {
        for thread in vm.debugged_threads() {
            let id = thread.thread;
            if !may_run(running, id) {
                continue;
            }
            let action = actions.get(&id).copied().unwrap_or_default();
            if let Some(hit) = self.hits.get(&id).copied() {
                let rip = thread.registers.map(|registers| registers.rip);
                let over = hit.told
                    || match hit.reason {
                        Reason::Break(at) => !breakpoints.contains(at) || rip != Some(at),
                        Reason::Step => !action.step,
                        Reason::Raised(_) => false,
                    };
                if over {
                    vm.end_exception(id, hit.is_own() && action.raise);
                    self.hits.remove(&id);
                }
            }
            if action.step {
                vm.debug_step(id, true);
                self.stepping.insert(id);
            }
        }
        vm.debug(running.clone());
    }

    /// gdb leaves: nothing is left of what it did. An exception that it has not dealt with goes its way.
    pub fn leave(&mut self, vm: &Vm) {
        for (thread, hit) in std::mem::take(&mut self.hits) {
            let own = matches!(hit.reason, Reason::Raised(_)) && !hit.told;
            vm.end_exception(thread, own || hit.is_own());
        }
        vm.debug_end();
    }
}

impl Hit {
    /// Whether it is an exception that can be handed on, and not one for debuggers.
    fn is_own(&self) -> bool {
        matches!(self.reason, Reason::Raised(signal) if signal != Signal::SIGTRAP)
    }
}

fn may_run(running: &Running, thread: ThreadId) -> bool {
    match running {
        Running::All => true,
        Running::Nobody => false,
        Running::Only(threads) => threads.contains(&thread),
    }
}

/// Gives a thread other registers; says whether it took them.
fn set(vm: &Vm, thread: &DebuggedThread, registers: GeneralRegs) -> bool {
    vm.debug_set_registers(thread.thread, registers).is_ok()
}
