//! Threads that begin on a vCPU, and that take turns there, without the guest kernel: while the vCPU is out of the guest, all that a thread has
//! in its registers can be read and written from here.
//!
//! A context is left as the guest kernel would leave it, and the vCPU goes on in ring 3: at once if it left the guest there, else by
//! one `iretq` of the kernel's, for which the frame is put on its stack.

use kvm_bindings::kvm_regs;
use protocol::GeneralRegs;
use protocol::boot::{USER_CS, USER_SS};
use protocol::vcpu::{NO_THREAD, STACK_TOP, ThreadContext, register, state};

use super::{MachineError, Vcpu};
use crate::machine::area::area_base;
use crate::machine::{boot, in_machine, in_protocol, new_context};

/// Bytes of the x87 and SSE state at the start of KVM's `kvm_xsave`, in fxsave form.
const FX_SIZE: usize = 512;
/// Behind it, which parts of the state there are: bit 0 x87, bit 1 SSE (SDM vol. 1, 13.4.2).
const PARTS: u32 = 3;

/// Where a thread was when its vCPU left the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// At an instruction, which will be executed again.
    Instruction,
    /// In a system call, which has not been answered.
    Syscall,
}

impl Vcpu {
    /// Has the new thread in `slot` run first, in ring 3 from the vCPU's first instruction on: as if the guest kernel had started
    /// and found it. Only before the first [`Vcpu::run`], and only with the x87 and SSE state of
    /// [`new_context`], which the vCPU has then.
    ///
    /// # Errors
    /// [`MachineError::Kvm`], and those of [`crate::machine::Area::context`].
    pub fn begin_thread(&mut self, slot: u32) -> Result<(), MachineError> {
        let mut context = self.area.context(slot)?;
        debug_assert_eq!(context.fx, new_context(slot, 0, &GeneralRegs::default()).fx);
        debug_assert_eq!(self.area.fx_owner()?, NO_THREAD, "nothing has run");
        context.state = state::RUNNING;
        self.area.set_context(slot, &context)?;
        self.area.set_current(slot)?;
        self.area.set_root(context.cr3)?;
        let start = self.special_registers()?;
        self.set_special_registers(&boot::ring_3_registers(&context, start))?;
        *self.registers_mut() = general(&context);
        Ok(())
    }

    /// Saves the general registers of the current thread, which is in `slot`, in its context.
    ///
    /// # Errors
    /// Those of [`crate::machine::Area::context`].
    pub fn save_thread(&mut self, slot: u32, left: Left) -> Result<(), MachineError> {
        let r = *self.registers();
        let mut context = self.area.context(slot)?;
        let (rip, rflags) = match left {
            Left::Instruction => (r.rip, r.rflags),
            Left::Syscall => (r.rcx, r.r11),
        };
        let (fs_base, gs_base) = (context.fs_base, context.gs_base);
        context.set_general_regs(&GeneralRegs {
            rip,
            rflags,
            fs_base,
            gs_base,
            ..in_protocol(&r)
        });
        self.area.set_context(slot, &context)
    }

    /// Whether [`Vcpu::switch_thread`] may be used: both threads share page tables, have no segment bases, and are in the states that
    /// they ought to be in.
    ///
    /// # Errors
    /// Those of [`crate::machine::Area::context`].
    pub fn can_switch(&self, from: u32, to: u32) -> Result<bool, MachineError> {
        let (old, new) = (self.area.context(from)?, self.area.context(to)?);
        let bases = [old.fs_base, old.gs_base, new.fs_base, new.gs_base];
        Ok(self.area.fx_owner()? == from
            && (old.state, new.state) == (state::RUNNING, state::PARKED)
            && old.cr3 == new.cr3
            && bases == [0; 4])
    }

    /// The thread in slot `from`, which was saved, waits, and the one in slot `to` goes on; with `rax` in that register, if there
    /// is a value.
    ///
    /// # Errors
    /// [`MachineError::Kvm`], and those of [`crate::machine::Area::context`].
    pub fn switch_thread(
        &mut self,
        from: u32,
        to: u32,
        left: Left,
        rax: Option<u64>,
    ) -> Result<(), MachineError> {
        let mut old = self.area.context(from)?;
        let mut new = self.area.context(to)?;
        if let (Some(value), Some(place)) = (rax, new.registers.get_mut(register::RAX)) {
            *place = value;
        }
        self.exchange_fx(&mut old.fx, &new.fx)?;
        old.state = state::PARKED;
        new.state = state::RUNNING;
        self.area.set_context(from, &old)?;
        self.area.set_context(to, &new)?;
        self.area.set_current(to)?;
        match left {
            Left::Instruction => *self.registers_mut() = general(&new),
            Left::Syscall => self.return_to(&new)?,
        }
        Ok(())
    }

    /// The current thread, whose system call has ended with `rax`, goes on; at an instruction it just does.
    pub fn resume_thread(&mut self, left: Left, rax: Option<u64>) {
        match (left, rax) {
            (Left::Instruction, None) => {}
            (Left::Instruction, Some(value)) => self.registers_mut().rax = value,
            (Left::Syscall, value) => {
                let rax = value.unwrap_or(self.registers().rax);
                self.answer(rax, false);
            }
        }
    }

    /// Leaves ring 0, where a system call was passed on, for a thread that is at any instruction.
    fn return_to(&mut self, context: &ThreadContext) -> Result<(), MachineError> {
        let r = general(context);
        let frame = [r.rip, USER_CS.into(), r.rflags, r.rsp, USER_SS.into()];
        let rsp = STACK_TOP - size_of_val(&frame) as u64;
        self.ram.write(area_base(self.index) + rsp, &frame)?;
        let iretq = self.iretq;
        *self.registers_mut() = kvm_regs {
            rip: iretq,
            rsp: protocol::boot::KERNEL_BASE + area_base(self.index) + rsp,
            rflags: 2,
            ..r
        };
        Ok(())
    }

    /// Saves the x87 and SSE registers to `old` and loads `new`.
    fn exchange_fx(
        &self,
        old: &mut [u8; FX_SIZE],
        new: &[u8; FX_SIZE],
    ) -> Result<(), MachineError> {
        let mut state = self
            .fd
            .get_xsave()
            .map_err(MachineError::kvm("read x87 and SSE registers"))?;
        let (places, _) = old.as_chunks_mut::<4>();
        for (place, word) in places.iter_mut().zip(&state.region) {
            *place = word.to_le_bytes();
        }
        let (words, _) = new.as_chunks::<4>();
        let words = words.iter().map(|bytes| u32::from_le_bytes(*bytes));
        let behind = std::iter::once(PARTS).chain(std::iter::repeat(0));
        for (place, word) in state.region.iter_mut().zip(words.chain(behind)) {
            *place = word;
        }
        // SAFETY: KVM reads as many bytes as it wrote above: the state is no larger than 4 KiB, or reading it would have failed.
        unsafe { self.fd.set_xsave(&state) }.map_err(MachineError::kvm("set x87 and SSE registers"))
    }
}

/// A context's general registers as the machine's.
fn general(context: &ThreadContext) -> kvm_regs {
    in_machine(&context.general_regs())
}
