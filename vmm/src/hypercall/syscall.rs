//! Programs' system calls: what the core makes of them, and how the thread goes on.

use protocol::regs::{FLAGS_ALWAYS, SINGLE_STEP, USER_FLAGS};
use protocol::syscall::SyscallNumber;
use protocol::{Status, USER_END};
use zircon::{ExceptionKind, OpResult, SyscallOutcome, ThreadId};

use super::run::{RunError, Runner, SYSCALL_LENGTH};
use super::work::{Mine, Parked};
use crate::machine::{Left, Registers};
use crate::observe::Event;

impl Runner {
    /// Answers a program's system call, or parks the thread until there is an answer.
    pub(super) fn on_syscall(&mut self) -> Result<(), RunError> {
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
}
