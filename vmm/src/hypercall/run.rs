//! A vCPU's thread: enter the guest, look at why it came back, enter again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use protocol::boot::{KernelCall, PANIC_RUST};
use protocol::regs::{FLAGS_ALWAYS, SINGLE_STEP, USER_FLAGS};
use protocol::syscall::SyscallNumber;
use protocol::vcpu::register;
use protocol::{GeneralRegs, Status, USER_END};
use zircon::{ExceptionKind, OpResult, SyscallOutcome, ThreadId};

use super::explain::KnownCode;
use super::fault::Puzzle;
use super::mailbox::Item;
use super::operands::OperandDecoder;
use super::report::describe;
use super::shared::{Vm, lock};
use super::slots::Slots;
use super::spaces::Acknowledged;
use super::work::{Mine, Parked};
use crate::machine::{
    Exit, Injection, Left, MachineError, Registers, Vcpu, in_machine, in_protocol,
};
use crate::observe::{Event, ExitKind, on_vcpu};
use crate::outcome::End;

/// Bytes of the instruction `syscall`.
const SYSCALL_LENGTH: u64 = 2;

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
    calling: bool,
    /// The current thread met a page fault that the guest kernel has only passed on: its registers, which are in no context yet.
    faulting: Option<Registers>,
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
    fn deliver_urgent(&mut self) -> Result<bool, RunError> {
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

    /// A page fault of the guest's tables: what needs no more than links is done with at once, and everything else comes again as an
    /// exception.
    fn on_page_fault(&mut self) -> Result<(), RunError> {
        let fault = self.vcpu.page_fault()?;
        let mut again = false;
        if fault.in_ring_3 {
            self.faulting = Some(fault.registers);
            again = self.link_at_once(&fault)? && !self.deliver_urgent()?;
        }
        self.vcpu.answer_page_fault(again);
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
    fn program_registers(&mut self) -> Registers {
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

    fn on_syscall(&mut self) -> Result<(), RunError> {
        let registers = self.program_registers();
        let thread = self.current_thread()?;
        // rcx and r11 are what `sysret` will use. A program that jumped to the entry by itself chose them.
        let step = match self.vm.debug_event() {
            Some(_) => registers.r11 & SINGLE_STEP,
            None => 0,
        };
        self.vcpu.registers_mut().r11 = registers.r11 & USER_FLAGS | step | FLAGS_ALWAYS;
        let value = if registers.rcx >= USER_END {
            // The thread does not come back, but the register must not reach `sysret` either.
            self.vcpu.registers_mut().rcx = 0;
            let what = format!("a system call that would return to {:#x}", registers.rcx);
            self.raise(thread, ExceptionKind::Unexplained(what))?;
            0
        } else {
            self.syscall(thread, &registers)?
        };
        if self.switch(Left::Syscall)? {
            self.calling = false;
            return Ok(());
        }
        let drain = self.deliver_urgent()?;
        self.vcpu.answer(value, drain);
        Ok(())
    }

    /// Makes the call; its value, if the thread goes on at once.
    fn syscall(&mut self, thread: ThreadId, registers: &Registers) -> Result<u64, RunError> {
        let r = registers;
        let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9, r.r12, r.r13];
        if let Some(number) = SyscallNumber::from_register(r.rax) {
            self.vm.stats.syscall(self.index, number);
        }
        self.vm.note(Event::Call {
            thread: thread.0,
            number: r.rax,
        });
        let outcome = {
            let mut core = self.vm.core();
            let outcome = core.syscall(self.vm.now(), thread, r.rax, &args);
            if let SyscallOutcome::Parked(token) = outcome {
                self.vm.open_call(self.index, thread, token, registers);
            }
            outcome
        };
        let token = match outcome {
            SyscallOutcome::Parked(token) => Some(token),
            SyscallOutcome::Done(_) | SyscallOutcome::Restart | SyscallOutcome::Gone => None,
        };
        let mine = Mine {
            vcpu: self.index,
            token,
            thread: Some(thread),
            registers,
        };
        let ended = self.vm.drain(Some(mine));
        if let SyscallOutcome::Done(value) = outcome {
            self.vm.note(Event::Ended(thread.0));
            self.end_step(thread)?;
            return Ok(value);
        }
        let ended = match (token, ended) {
            (Some(_), None) => {
                let parked = Parked {
                    fault: None,
                    registers: *registers,
                    writes: None,
                };
                self.vm.close_call(self.index, thread, parked)
            }
            (Some(_), ended) => {
                self.vm.forget_call(self.index, thread);
                ended
            }
            (None, _) if outcome == SyscallOutcome::Restart => Some(OpResult::Restart),
            (None, _) => None,
        };
        if ended.is_some() {
            self.vm.note(Event::Ended(thread.0));
        }
        Ok(match ended {
            Some(OpResult::Returned(value)) => {
                self.end_step(thread)?;
                value
            }
            Some(OpResult::Restart) => {
                // The thread will be stopped; when it goes on, it executes `syscall` again.
                self.vcpu.registers_mut().rcx = registers.rcx.saturating_sub(SYSCALL_LENGTH);
                registers.rax
            }
            // Parked or ended: nobody reads it.
            _ => Status::INTERNAL.to_register(),
        })
    }

    /// A system call that a thread was to step over has ended: `sysret` would trap only after the instruction behind it.
    fn end_step(&mut self, thread: ThreadId) -> Result<(), RunError> {
        if self.vcpu.registers().r11 & SINGLE_STEP == 0 {
            return Ok(());
        }
        let (vector, error) = (1, 0);
        self.raise(thread, ExceptionKind::Processor { vector, error })
    }

    fn on_kernel_call(&mut self, call: KernelCall, since: Instant) -> Result<(), RunError> {
        let registers = *self.vcpu.registers();
        match call {
            KernelCall::Mailbox => Ok(()),
            KernelCall::Flushed => {
                self.on_flushed(registers.rdi, &registers);
                Ok(())
            }
            KernelCall::Stopped => self.on_stopped(registers.rdi as u32, &registers),
            KernelCall::Exception => {
                let slot = self.vcpu.area().current_slot()?;
                let thread = self.current_thread()?;
                let saved = self.saved_registers(slot)?;
                let (vector, error, address) = (registers.rdi, registers.rsi, registers.rdx);
                if vector == 14 {
                    return self.on_guest_page_fault(thread, address, error, &saved, since);
                }
                let kind = ExceptionKind::Processor {
                    vector: vector as u8,
                    error,
                };
                self.raise_with(thread, kind, &saved);
                Ok(())
            }
            KernelCall::Panic => {
                let message = self.panic_message(&registers);
                Err(RunError::GuestKernel(format!(
                    "{message}\n{}",
                    describe(&registers)
                )))
            }
        }
    }

    /// A thread is stopped: the core gets its registers.
    fn on_stopped(&mut self, slot: u32, registers: &Registers) -> Result<(), RunError> {
        let Some(thread) = self.slots.thread(slot) else {
            let what = format!("no thread is in slot {slot}, which it stopped");
            return Err(RunError::GuestKernel(what));
        };
        let mut context = self.vcpu.area().context(slot)?;
        if let Some(number) = self.vm.take_restart(self.index, thread) {
            if let Some(rax) = context.registers.get_mut(register::RAX) {
                *rax = number;
            }
            context.rip = context.rip.saturating_sub(SYSCALL_LENGTH);
            self.vcpu.area().set_context(slot, &context)?;
        }
        let process = self.vm.core().process_of(thread);
        if let Some(process) = process {
            lock(&self.vm.spaces).unpark(process, thread);
        }
        let now = self.vm.now();
        let general = context.general_regs();
        self.vm.core().thread_stopped(now, thread, general);
        self.drain_for_all(registers);
        Ok(())
    }

    /// The guest kernel has carried out a flush.
    fn on_flushed(&mut self, id: u64, registers: &Registers) {
        let mut spaces = lock(&self.vm.spaces);
        match spaces.acknowledge(id, self.vm.vcpus()) {
            Acknowledged::Waiting => {}
            Acknowledged::Again(order) => self.vm.order_flush(order, Some(self.index)),
            Acknowledged::Done(flushed) => {
                // While the tables are locked, so that nothing newer for a thread gets ahead of it.
                for thread in flushed.resume {
                    let item = Item::Resume(thread);
                    self.vm.post(thread, item, Some(self.index));
                }
                drop(spaces);
                if let Some(token) = flushed.token {
                    let now = self.vm.now();
                    self.vm.core().flush_done(now, token);
                    self.drain_for_all(registers);
                }
            }
        }
    }

    fn panic_message(&self, registers: &Registers) -> String {
        if registers.rdi != PANIC_RUST {
            let (vector, error) = (registers.rdi, registers.rsi);
            let (address, rip) = (registers.rdx, registers.r10);
            return format!(
                "exception {vector} in ring 0 at {rip:#x}, error code {error:#x}, CR2 {address:#x}"
            );
        }
        let length = registers.rdx.min(1024) as usize;
        let gpa = registers.rsi.wrapping_sub(protocol::boot::KERNEL_BASE);
        let mut text = vec![0; length];
        match self.vcpu.area().read_bytes(gpa, &mut text) {
            Ok(()) => format!("panic: {}", String::from_utf8_lossy(&text)),
            Err(_) => "panic, with a message outside its memory".into(),
        }
    }

    /// The registers that the guest kernel saved for the thread in `slot`.
    fn saved_registers(&self, slot: Option<u32>) -> Result<Registers, RunError> {
        let context = self.vcpu.area().context(slot.unwrap_or(u32::MAX))?;
        Ok(in_machine(&context.general_regs()))
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

    fn raise_with(&mut self, thread: ThreadId, kind: ExceptionKind, registers: &Registers) {
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

    fn drain_for_all(&self, registers: &Registers) {
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
