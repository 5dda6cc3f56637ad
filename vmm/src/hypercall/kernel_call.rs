//! Calls of the guest kernel itself: exceptions, flushes that were carried out, threads that were stopped, its own end.

use std::time::Instant;

use protocol::boot::{KernelCall, PANIC_RUST};
use protocol::vcpu::register;
use zircon::ExceptionKind;

use super::mailbox::Item;
use super::report::describe;
use super::run::{RunError, Runner, SYSCALL_LENGTH};
use super::shared::lock;
use super::spaces::Acknowledged;
use crate::machine::{Registers, in_machine};

impl Runner {
    /// Does what the guest kernel calls for.
    pub(super) fn on_kernel_call(
        &mut self,
        call: KernelCall,
        since: Instant,
    ) -> Result<(), RunError> {
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
}
