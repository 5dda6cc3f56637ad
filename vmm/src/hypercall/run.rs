//! A vCPU's thread: enter the guest, look at why it came back, enter again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use protocol::boot::KernelCall;
use protocol::{GeneralRegs, USER_END};
use zircon::{ExceptionKind, ThreadId};

use super::explain::KnownCode;
use super::fault::Puzzle;
use super::operands::OperandDecoder;
use super::report::describe;
use super::shared::{Vm, lock};
use super::slots::Slots;
use super::work::Mine;
use crate::machine::{Exit, Injection, Left, MachineError, Registers, Vcpu, in_protocol};
use crate::observe::{Event, ExitKind, on_vcpu};
use crate::outcome::End;

/// Bytes of the instruction `syscall`.
pub(super) const SYSCALL_LENGTH: u64 = 2;

/// Why a vCPU cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// KVM or guest RAM.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The guest kernel broke its contract.
    #[error("the guest kernel failed: {0}")]
    GuestKernel(String),
}

/// One vCPU and what its thread keeps.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(super) vm: Arc<Vm>,
    pub(super) vcpu: Vcpu,
    pub(super) index: u32,
    pub(super) decoder: OperandDecoder,
    pub(super) puzzle: Puzzle,
    pub(super) known_code: KnownCode,
    pub(super) slots: Slots,
    /// Links were posted that the guest may not have written yet.
    pub(super) linking: bool,
    /// The current thread made a system call, and has not left the way of it since: its registers are in the vCPU only.
    pub(super) calling: bool,
    /// The current thread met a page fault that the guest kernel has only passed on: its registers, which are in no context yet.
    pub(super) faulting: Option<Registers>,
}

impl Runner {
    pub fn new(vm: Arc<Vm>, vcpu: Vcpu) -> Self {
        Runner {
            vm,
            index: vcpu.index(),
            vcpu,
            decoder: OperandDecoder::new(),
            puzzle: Puzzle::default(),
            known_code: KnownCode::default(),
            slots: Slots::new(),
            linking: false,
            calling: false,
            faulting: None,
        }
    }

    /// Number of the vCPU.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Runs the vCPU until the VM stops; whatever goes wrong stops the VM, a panic of this thread as well.
    pub fn run(mut self) {
        let (vm, index) = (Arc::clone(&self.vm), self.index);
        on_vcpu(index);
        let what = match catch_unwind(AssertUnwindSafe(|| self.run_until_stopped())) {
            Ok(Ok(())) => return self.keep_registers(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its thread panicked".into(),
        };
        vm.stop(End::GuestKernel(format!("vCPU {index}: {what}")));
    }

    /// Leaves the registers of the vCPU's threads for a core, if the program has crashed.
    fn keep_registers(&mut self) {
        if lock(&self.vm.crash).is_none() {
            return;
        }
        let current = self.vcpu.area().current_slot().ok().flatten();
        let in_vcpu =
            self.calling || self.faulting.is_some() || self.vcpu.registers().rip < USER_END;
        let running = in_protocol(&self.program_registers());
        for (thread, slot) in self.slots.iter() {
            let saved = self.vcpu.area().context(slot);
            let Ok(saved) = saved.map(|context| context.general_regs()) else {
                continue;
            };
            // In ring 0 its registers are where the guest kernel saved them; its segment bases are there in any case.
            let registers = match current == Some(slot) && in_vcpu {
                true => GeneralRegs {
                    fs_base: saved.fs_base,
                    gs_base: saved.gs_base,
                    ..running
                },
                false => saved,
            };
            lock(&self.vm.last_registers).push((thread, registers));
        }
    }

    /// A vCPU whose first thread is all that it has begins with that; else the guest kernel starts and looks into its mailbox.
    fn begin(&mut self) -> Result<(), RunError> {
        let mailbox = self.vm.mailbox(self.index);
        let first = mailbox.and_then(|mailbox| mailbox.lock().take_only_start());
        if let Some((thread, context)) = first
            && let Some(slot) = self.slots.begin(self.vcpu.area(), thread, context)?
        {
            return Ok(self.vcpu.begin_thread(slot)?);
        }
        self.deliver()?;
        Ok(())
    }

    fn run_until_stopped(&mut self) -> Result<(), RunError> {
        self.begin()?;
        while !self.vm.is_stopped() {
            self.vm.note(Event::Enter);
            let exit = self.vcpu.run()?;
            let since = Instant::now();
            self.calling = false;
            if !self.is_on_the_way(&exit) {
                self.faulting = None;
            }
            self.vm.stats.exit(self.index, kind(&exit));
            self.vm.note(Event::Exit(kind(&exit)));
            if self.is_of_ring_3(&exit) {
                self.vm.stats.left_ring_3(since);
            }
            if self.linking && self.slots.is_settled(self.vcpu.area())? {
                self.linking = false;
                lock(&self.vm.spaces).links_written(self.index);
            }
            match exit {
                Exit::Syscall => {
                    self.calling = true;
                    self.on_syscall()?;
                }
                Exit::KernelCall(call) => {
                    self.on_kernel_call(call, since)?;
                    self.deliver()?;
                }
                Exit::PageFault => self.on_page_fault()?,
                Exit::Halt => self.on_halt()?,
                Exit::Fault { gpa } => {
                    self.on_fault(gpa, since)?;
                    if !self.switch(Left::Instruction)? {
                        self.interrupt()?;
                    }
                }
                Exit::Mmio { gpa, access } => {
                    self.on_mmio(gpa, access, since)?;
                    self.interrupt()?;
                }
                Exit::Interrupted => {
                    self.on_kick()?;
                    self.interrupt()?;
                }
                Exit::InterruptWindow => self.interrupt()?,
                Exit::Shutdown => {
                    let registers = describe(self.vcpu.registers());
                    return Err(RunError::GuestKernel(format!("triple fault\n{registers}")));
                }
                Exit::Unexpected(report) => {
                    return Err(RunError::GuestKernel(report.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Whether the guest kernel was interrupted, perhaps on its way from a page fault: the thread is still where it met that, then.
    fn is_on_the_way(&mut self, exit: &Exit) -> bool {
        let interrupted = matches!(exit, Exit::Interrupted | Exit::InterruptWindow);
        interrupted && self.vcpu.registers().rip >= USER_END
    }

    /// Whether a program was running.
    fn is_of_ring_3(&mut self, exit: &Exit) -> bool {
        match exit {
            Exit::Syscall
            | Exit::PageFault
            | Exit::Fault { .. }
            | Exit::Mmio { .. }
            | Exit::KernelCall(KernelCall::Exception) => true,
            Exit::Interrupted | Exit::InterruptWindow => self.vcpu.registers().rip < USER_END,
            Exit::KernelCall(_) | Exit::Halt | Exit::Shutdown | Exit::Unexpected(_) => false,
        }
    }

    /// Puts what was posted into the mailbox; says whether the guest has something to drain.
    fn deliver(&mut self) -> Result<bool, RunError> {
        let Some(mailbox) = self.vm.mailbox(self.index) else {
            return Ok(false);
        };
        let items = std::mem::take(&mut mailbox.lock().items);
        Ok(self.slots.deliver(self.vcpu.area(), items)?)
    }

    /// Delivers if the current thread cannot go on before the guest kernel has looked.
    pub(super) fn deliver_urgent(&mut self) -> Result<bool, RunError> {
        let urgent = self
            .vm
            .mailbox(self.index)
            .is_some_and(|mailbox| mailbox.lock().is_urgent());
        if urgent || !self.slots.is_settled(self.vcpu.area())? {
            return self.deliver();
        }
        Ok(false)
    }

    /// Delivers what is urgent, and has the guest look at its mailbox.
    fn interrupt(&mut self) -> Result<(), RunError> {
        if self.deliver_urgent()? {
            // If the guest cannot take it now, `InterruptWindow` comes and this is tried again.
            let _: Injection = self.vcpu.inject_mailbox()?;
        }
        Ok(())
    }

    /// The thread that runs on this vCPU.
    pub(super) fn current_thread(&self) -> Result<ThreadId, RunError> {
        let slot = self.vcpu.area().current_slot()?;
        slot.and_then(|slot| self.slots.thread(slot))
            .ok_or_else(|| {
                RunError::GuestKernel(format!("no thread is in slot {slot:?}, which it runs"))
            })
    }

    /// The registers of the program that left ring 3; in a system call, as it has them behind that.
    pub(super) fn program_registers(&mut self) -> Registers {
        if let Some(registers) = self.faulting {
            return registers;
        }
        let registers = *self.vcpu.registers();
        match self.calling {
            true => Registers {
                rip: registers.rcx,
                rflags: registers.r11,
                ..registers
            },
            false => registers,
        }
    }

    /// The guest kernel has nothing to run. A batch that came after it last looked ends the wait before it begins.
    fn on_halt(&mut self) -> Result<(), RunError> {
        if self.deliver()? {
            return Ok(());
        }
        self.wait_for_items();
        self.deliver()?;
        Ok(())
    }

    /// Waits until something is posted or the VM stops.
    pub(super) fn wait_for_items(&self) {
        let vm = &self.vm;
        if let Some(mailbox) = vm.mailbox(self.index) {
            mailbox.wait(|| vm.is_stopped());
        }
    }

    fn on_kick(&mut self) -> Result<(), RunError> {
        let Some(mailbox) = self.vm.mailbox(self.index) else {
            return Ok(());
        };
        if mailbox.preempt.swap(false, Ordering::Relaxed) {
            // Before looking, so that whoever posts meanwhile sets it again.
            mailbox.contended.store(false, Ordering::SeqCst);
            let others = !mailbox.lock().items.is_empty() || self.slots.has_waiting();
            if others || self.vcpu.area().runnable()? > 0 {
                mailbox.contended.store(true, Ordering::SeqCst);
                self.deliver()?;
                self.slots.preempt();
            }
        }
        Ok(())
    }

    /// The current thread did something that ends it.
    pub(super) fn raise(&mut self, thread: ThreadId, kind: ExceptionKind) -> Result<(), RunError> {
        let registers = self.program_registers();
        self.raise_with(thread, kind, &registers);
        Ok(())
    }

    pub(super) fn raise_with(
        &mut self,
        thread: ThreadId,
        kind: ExceptionKind,
        registers: &Registers,
    ) {
        let now = self.vm.now();
        self.vm.core().exception(now, thread, kind);
        let (vcpu, thread) = (self.index, Some(thread));
        self.vm.drain(Some(Mine {
            vcpu,
            token: None,
            thread,
            registers,
        }));
    }

    pub(super) fn drain_for_all(&self, registers: &Registers) {
        let vcpu = self.index;
        self.vm.drain(Some(Mine {
            vcpu,
            token: None,
            thread: None,
            registers,
        }));
    }
}

fn kind(exit: &Exit) -> ExitKind {
    match exit {
        Exit::Syscall => ExitKind::Syscall,
        Exit::KernelCall(_) | Exit::PageFault => ExitKind::KernelCall,
        Exit::Halt => ExitKind::Halt,
        Exit::Fault { .. } => ExitKind::Fault,
        Exit::Mmio { .. } => ExitKind::Mmio,
        Exit::InterruptWindow => ExitKind::InterruptWindow,
        Exit::Interrupted | Exit::Shutdown | Exit::Unexpected(_) => ExitKind::Interrupted,
    }
}
