//! What the logic sees of a vCPU: its page, its thread contexts, and the few things only hardware can do.

use protocol::{
    boot::KernelCall,
    vcpu::{ThreadContext, VcpuArea},
};

use crate::queue::RunQueue;

/// The first page of a vCPU's area: what is shared with the VMM, then what is the kernel's own.
#[derive(Debug)]
#[repr(C)]
pub struct CpuPage {
    /// Shared with the VMM.
    pub area: VcpuArea,
    /// The kernel's own.
    pub local: Local,
}

const _: () = assert!(
    size_of::<CpuPage>() <= 0x1000,
    "the kernel stack begins after this page"
);

/// The kernel's own state of a vCPU. All zero at start.
#[derive(Debug, Default)]
pub struct Local {
    /// Threads that are ready.
    pub queue: RunQueue,
}

/// A vCPU as the scheduling logic needs it.
///
/// The VMM may change the area and the contexts during any of the calls below that leave the guest
/// ([`Cpu::call`], [`Cpu::halt`]); nothing borrowed from here lives across them.
pub trait Cpu {
    /// The page of this vCPU.
    fn page(&mut self) -> &mut CpuPage;
    /// The thread contexts of this vCPU, indexed by slot.
    fn contexts(&mut self) -> &mut [ThreadContext];
    /// Writes `value` into the page-table entry at guest-physical `address`.
    fn write_link(&mut self, address: u64, value: u64);
    /// Rewrites the first two bytes of the table page at guest-physical `address`.
    fn refresh_table(&mut self, address: u64);
    /// Loads the page-table root, which also drops all cached translations.
    fn load_cr3(&mut self, root: u64);
    /// Loads the fs base.
    fn load_fs_base(&mut self, base: u64);
    /// Loads the gs base that the program will see.
    fn load_gs_base(&mut self, base: u64);
    /// Stores the x87/SSE registers into the context of `slot`.
    fn save_fx(&mut self, slot: u32);
    /// Loads the x87/SSE registers from the context of `slot`.
    fn load_fx(&mut self, slot: u32);
    /// Calls the VMM with one argument.
    fn call(&mut self, call: KernelCall, argument: u64);
    /// Stops until the VMM has filled the mailbox.
    fn halt(&mut self);

    /// The context in `slot`, if there is such a slot.
    fn context(&mut self, slot: u32) -> Option<&mut ThreadContext> {
        self.contexts().get_mut(slot as usize)
    }
}
