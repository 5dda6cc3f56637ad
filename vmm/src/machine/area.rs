//! One vCPU's area as the VMM uses it: mailbox, run state, thread contexts.
//!
//! Only the thread that runs the vCPU may use this, and only while the vCPU is out of the guest: then nothing here
//! changes under its hands.

use std::collections::VecDeque;

use protocol::{
    GeneralRegs,
    boot::{KERNEL_BASE, VCPU_AREAS, VCPU_STRIDE},
    vcpu::{CONTEXTS, Entry, MAILBOX_ENTRIES, MAX_THREADS, NO_THREAD, ThreadContext, VcpuArea},
};

use super::{error::MachineError, ram::Ram};

/// Guest-physical address of the area of vCPU `index`.
pub(super) fn area_base(index: u32) -> u64 {
    VCPU_AREAS + u64::from(index) * VCPU_STRIDE
}

/// A vCPU's area in guest RAM.
#[derive(Clone, Debug)]
pub struct Area {
    ram: Ram,
    base: u64,
}

macro_rules! field {
    ($self:ident, $field:ident) => {
        $self.base + std::mem::offset_of!(VcpuArea, $field) as u64
    };
}

impl Area {
    pub(super) fn new(ram: Ram, index: u32) -> Self {
        Self {
            ram,
            base: area_base(index),
        }
    }

    /// Slot of the current thread; `None`: idle.
    ///
    /// # Errors
    /// As for all methods here: [`MachineError::OutsideRam`], which the layout excludes.
    pub fn current_slot(&self) -> Result<Option<u32>, MachineError> {
        let slot = self.ram.read(field!(self, current_slot))?;
        Ok((slot != NO_THREAD).then_some(slot))
    }

    /// Threads in the run queue, the current one not counted.
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn runnable(&self) -> Result<u32, MachineError> {
        self.ram.read(field!(self, runnable))
    }

    /// Slot of the thread whose x87 and SSE state the processor holds, or [`NO_THREAD`].
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn fx_owner(&self) -> Result<u32, MachineError> {
        self.ram.read(field!(self, fx_owner))
    }

    /// Makes the thread in `slot` the current one; its x87 and SSE state is in the processor.
    ///
    /// # Errors
    /// See [`Area::context`].
    pub fn set_current(&self, slot: u32) -> Result<(), MachineError> {
        let context = KERNEL_BASE + self.context_address(slot)?;
        self.ram.write(field!(self, current), &context)?;
        self.ram.write(field!(self, current_slot), &slot)?;
        self.ram.write(field!(self, fx_owner), &slot)
    }

    /// Says which page-table root is loaded.
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn set_root(&self, root: u64) -> Result<(), MachineError> {
        self.ram.write(field!(self, cr3), &root)
    }

    /// The page-table root that is loaded.
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn root(&self) -> Result<u64, MachineError> {
        self.ram.read(field!(self, cr3))
    }

    /// Whether the guest kernel has drained the last batch, so that the next can be posted.
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn is_drained(&self) -> Result<bool, MachineError> {
        Ok(self.ram.read::<u32>(field!(self, mailbox_len))? == 0)
    }

    /// Moves entries from the front of `queue` into the mailbox, as many as fit, and tells the guest kernel whether
    /// more are waiting. Returns how many were moved: none while the last batch is not drained, but even then the
    /// kernel learns that it must ask for more.
    ///
    /// # Errors
    /// See [`Area::current_slot`].
    pub fn post(&self, queue: &mut VecDeque<Entry>) -> Result<usize, MachineError> {
        let mut posted = 0;
        if self.is_drained()? {
            let batch: Vec<Entry> = queue.drain(..queue.len().min(MAILBOX_ENTRIES)).collect();
            for (at, entry) in (field!(self, mailbox)..)
                .step_by(size_of::<Entry>())
                .zip(&batch)
            {
                self.ram.write(at, entry)?;
            }
            posted = batch.len();
            self.ram
                .write(field!(self, mailbox_len), &(posted as u32))?;
        }
        self.ram
            .write(field!(self, mailbox_more), &u32::from(!queue.is_empty()))?;
        Ok(posted)
    }

    /// The context of the thread in `slot`; its registers are current unless it is the current thread and the vCPU
    /// left the guest from ring 3, from a system call or with a page fault that was passed on.
    ///
    /// # Errors
    /// See [`Area::current_slot`]; also for a slot of [`MAX_THREADS`] or more.
    pub fn context(&self, slot: u32) -> Result<ThreadContext, MachineError> {
        self.ram.read(self.context_address(slot)?)
    }

    /// Writes the context of a thread in a free slot, which the guest kernel does not know yet, or of one that is stopped.
    ///
    /// # Errors
    /// See [`Area::context`].
    pub fn set_context(&self, slot: u32, context: &ThreadContext) -> Result<(), MachineError> {
        self.ram.write(self.context_address(slot)?, context)
    }

    /// Fills `bytes` from guest RAM: what the guest kernel points at when it panics.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn read_bytes(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), MachineError> {
        self.ram.read_bytes(gpa, bytes)
    }

    fn context_address(&self, slot: u32) -> Result<u64, MachineError> {
        let gpa = self.base + CONTEXTS + u64::from(slot) * size_of::<ThreadContext>() as u64;
        if slot as usize >= MAX_THREADS {
            return Err(MachineError::OutsideRam {
                gpa,
                len: size_of::<ThreadContext>(),
            });
        }
        Ok(gpa)
    }
}

/// The context of a thread that has not run yet: x87 and SSE are in their power-on state.
pub fn new_context(slot: u32, root: u64, registers: &GeneralRegs) -> ThreadContext {
    // FXSAVE area (SDM vol. 1, 10.5.1): FCW at 0, MXCSR at 24.
    let mut fx = [0; 512];
    if let Some(fcw) = fx.get_mut(..2) {
        fcw.copy_from_slice(&0x37Fu16.to_le_bytes());
    }
    if let Some(mxcsr) = fx.get_mut(24..28) {
        mxcsr.copy_from_slice(&0x1F80u32.to_le_bytes());
    }
    let mut context = ThreadContext {
        registers: [0; 16],
        rip: 0,
        rflags: 0,
        fs_base: 0,
        gs_base: 0,
        cr3: root,
        state: 0,
        next: 0,
        slot,
        reserved: [0; 3],
        fx,
    };
    context.set_general_regs(registers);
    context
}

#[cfg(test)]
mod tests {
    use protocol::vcpu::register;

    use super::*;

    fn area() -> Area {
        Area::new(Ram::new().unwrap(), 1)
    }

    fn entries(n: u64) -> VecDeque<Entry> {
        (0..n)
            .map(|a| Entry {
                kind: 2,
                slot: 0,
                a,
                b: 0,
            })
            .collect()
    }

    #[test]
    fn a_batch_takes_what_fits_and_says_that_there_is_more() {
        let area = area();
        let mut queue = entries(130);
        assert_eq!(area.post(&mut queue).unwrap(), 128);
        assert_eq!(queue.front().unwrap().a, 128);
        let head: VcpuArea = area.ram.read(area.base).unwrap();
        assert_eq!((head.mailbox_len, head.mailbox_more), (128, 1));
        assert_eq!(head.mailbox[127].a, 127);

        assert_eq!(area.post(&mut queue).unwrap(), 0, "not drained");
        area.ram.write(field!(area, mailbox_len), &0u32).unwrap();
        assert_eq!(area.post(&mut queue).unwrap(), 2);
        let head: VcpuArea = area.ram.read(area.base).unwrap();
        assert_eq!((head.mailbox_len, head.mailbox_more), (2, 0));
    }

    #[test]
    fn entries_that_come_while_a_batch_is_there_are_announced() {
        let area = area();
        area.post(&mut entries(1)).unwrap();
        area.post(&mut entries(1)).unwrap();
        assert_eq!(area.ram.read::<u32>(field!(area, mailbox_more)).unwrap(), 1);
    }

    #[test]
    fn contexts_lie_side_by_side_and_end() {
        let area = area();
        let context = new_context(511, 0x9000, &GeneralRegs::at_start(0x20_0000, 0x7000, 1, 2));
        area.set_context(511, &context).unwrap();
        let back = area.context(511).unwrap();
        assert_eq!((back.rip, back.cr3, back.slot), (0x20_0000, 0x9000, 511));
        assert_eq!(back.registers[register::RSI], 2);
        assert_eq!(&back.fx[..2], [0x7F, 3]);
        assert_eq!(&back.fx[24..28], [0x80, 0x1F, 0, 0]);
        assert!(area.context(512).is_err());
    }
}
