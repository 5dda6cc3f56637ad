//! The area that a vCPU's guest kernel shares with the VMM: mailbox, run state, thread contexts.
//!
//! ```text
//! +0          VcpuArea      header and mailbox
//! +0x1000     kernel stack, growing down from +0x5000
//! +0x5000     double-fault stack, growing down from +0x8000
//! +0x8000     MAX_THREADS x ThreadContext
//! ```
//! Before its vCPU starts the VMM fills in the header; all else is zero. A vCPU whose first thread is all that it has begins in ring 3, with
//! the area as the kernel would have left it.
//!
//! The VMM writes to an area only while its vCPU is out of the guest (on that vCPU's own thread), so no field needs an
//! atomic access. Where the current thread waits and all that is to be done is to run another one, the VMM switches between the two
//! by itself and leaves area and contexts as the kernel would have. A mailbox batch is written when the previous one has been drained (`mailbox_len` = 0); if more is
//! waiting than fits, `mailbox_more` is set and the kernel asks again with [`crate::boot::KernelCall::Mailbox`].

use crate::GeneralRegs;

/// Threads that one vCPU can hold; the next one is refused with NO_RESOURCES.
pub const MAX_THREADS: usize = 512;

/// Entries of a mailbox batch.
pub const MAILBOX_ENTRIES: usize = 128;

/// Byte offset of the kernel stack's top in an area.
pub const STACK_TOP: u64 = 0x5000;

/// Byte offset of the thread contexts in an area.
pub const CONTEXTS: u64 = 0x8000;

/// A thread slot that means "none".
pub const NO_THREAD: u32 = u32::MAX;

/// The head of a vCPU's area; the kernel reaches it through gs.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VcpuArea {
    /// Kernel-virtual address of the current thread's [`ThreadContext`], 0 when idle. Written by the kernel, as the two below.
    pub current: u64,
    /// The kernel's scratch word (user rsp while the system-call path finds its stack).
    pub scratch: u64,
    /// Kernel-virtual address of the stack's top.
    pub stack_top: u64,
    /// Kernel-virtual address of the first [`ThreadContext`].
    pub contexts: u64,
    /// CR3 now loaded. Written by the kernel.
    pub cr3: u64,
    /// Slot of the current thread, or [`NO_THREAD`], as at start. Written by the kernel.
    pub current_slot: u32,
    /// Threads waiting in the run queue, the current one not counted. Written by the kernel.
    pub runnable: u32,
    /// Entries in `mailbox`; the kernel sets it to 0 when it has drained them.
    pub mailbox_len: u32,
    /// Not zero: more entries are waiting in the VMM.
    pub mailbox_more: u32,
    /// Number of this vCPU.
    pub index: u32,
    /// Slot of the thread whose x87 and SSE state is in the registers, or [`NO_THREAD`].
    pub fx_owner: u32,
    /// The batch.
    pub mailbox: [Entry; MAILBOX_ENTRIES],
}

/// One mailbox entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Entry {
    /// An [`EntryKind`] as a number.
    pub kind: u32,
    /// Thread slot, where the kind names a thread.
    pub slot: u32,
    /// First operand.
    pub a: u64,
    /// Second operand.
    pub b: u64,
}

/// What a mailbox entry asks for. Entries take effect in the order of the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum EntryKind {
    /// The thread in `slot` (the current one) waits: do not run it until `Complete` or `Resume`.
    Park = 1,
    /// The thread in `slot` goes on with rax = `a`.
    Complete = 2,
    /// The thread in `slot` goes on with its registers as they are: a new thread, or a fault that is resolved.
    Resume = 3,
    /// The thread in `slot` is no more; its slot may be used again once this batch is drained.
    Kill = 4,
    /// Write `b` into the page-table entry at guest-physical address `a`.
    Link = 5,
    /// Reload CR3, then tell with [`crate::boot::KernelCall::Flushed`] (rdi = `a`). Without a current thread the
    /// boot page tables are loaded, so that the tables of a process that is gone can be used again.
    Flush = 6,
    /// Let the next thread run.
    Preempt = 7,
    /// Write the first two bytes of the table page at guest-physical address `a` once more, as they are. A KVM that shadows
    /// page tables forgets by that what it knew of the page; the VMM has filled it anew, and no link leads there yet.
    Refresh = 8,
    /// The fs base (`b` = 0) or gs base (`b` = 1) of the thread in `slot` is `a` from now on.
    SetBase = 9,
    /// The thread in `slot` waits until `Resume`, wherever it was; then tell with
    /// [`crate::boot::KernelCall::Stopped`].
    Stop = 10,
}

impl EntryKind {
    /// The kind that `number` names, if there is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(EntryKind::Park),
            2 => Some(EntryKind::Complete),
            3 => Some(EntryKind::Resume),
            4 => Some(EntryKind::Kill),
            5 => Some(EntryKind::Link),
            6 => Some(EntryKind::Flush),
            7 => Some(EntryKind::Preempt),
            8 => Some(EntryKind::Refresh),
            9 => Some(EntryKind::SetBase),
            10 => Some(EntryKind::Stop),
            _ => None,
        }
    }
}

/// A thread's state while it does not run: all registers a program can see.
///
/// The VMM fills a free slot before it sends the first `Resume` or begins with it; after that the kernel owns it, but for the time that the
/// thread is stopped (see [`EntryKind::Stop`]) and for switches that the VMM makes itself.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct ThreadContext {
    /// The sixteen general registers, indexed by [`register`].
    pub registers: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// fs base.
    pub fs_base: u64,
    /// gs base.
    pub gs_base: u64,
    /// Page-table root of the thread's process (guest-physical).
    pub cr3: u64,
    /// One of [`state`].
    pub state: u32,
    /// The kernel's: next slot in the run queue.
    pub next: u32,
    /// This context's slot.
    pub slot: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// x87 and SSE state in fxsave form.
    pub fx: [u8; 512],
}

impl ThreadContext {
    /// The registers as a supervisor sees them.
    pub fn general_regs(&self) -> GeneralRegs {
        let [
            rax,
            rcx,
            rdx,
            rbx,
            rsp,
            rbp,
            rsi,
            rdi,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
        ] = self.registers;
        let (rip, rflags) = (self.rip, self.rflags);
        let (fs_base, gs_base) = (self.fs_base, self.gs_base);
        GeneralRegs {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rbp,
            rsp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags,
            fs_base,
            gs_base,
        }
    }

    /// Sets the registers, segment bases included.
    pub fn set_general_regs(&mut self, r: &GeneralRegs) {
        self.registers = [
            r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11,
            r.r12, r.r13, r.r14, r.r15,
        ];
        (self.rip, self.rflags) = (r.rip, r.rflags);
        (self.fs_base, self.gs_base) = (r.fs_base, r.gs_base);
    }
}

/// Values of [`ThreadContext::state`].
pub mod state {
    /// No thread in this slot.
    pub const FREE: u32 = 0;
    /// In the run queue.
    pub const READY: u32 = 1;
    /// The current thread.
    pub const RUNNING: u32 = 2;
    /// Waiting for `Complete` or `Resume`.
    pub const PARKED: u32 = 3;
}

/// Indices into [`ThreadContext::registers`], in the hardware's own numbering.
pub mod register {
    #![allow(missing_docs)]
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R8: usize = 8;
    pub const R9: usize = 9;
    pub const R10: usize = 10;
    pub const R11: usize = 11;
    pub const R12: usize = 12;
    pub const R13: usize = 13;
    pub const R14: usize = 14;
    pub const R15: usize = 15;
}

const _: () = {
    use core::mem::offset_of;
    assert!(
        size_of::<VcpuArea>() <= 0x1000,
        "the area's head is one page"
    );
    assert!(
        offset_of!(VcpuArea, scratch) == 8,
        "the kernel's assembly uses gs:8"
    );
    assert!(
        offset_of!(VcpuArea, stack_top) == 16,
        "the kernel's assembly uses gs:16"
    );
    assert!(
        offset_of!(ThreadContext, rip) == 128,
        "the kernel's assembly saves registers by offset"
    );
    assert!(
        offset_of!(ThreadContext, rflags) == 136,
        "the kernel's assembly saves registers by offset"
    );
    assert!(
        offset_of!(ThreadContext, fx) == 192,
        "fxsave needs 16-byte alignment"
    );
    assert!(
        size_of::<ThreadContext>() == 704,
        "contexts are an array with stride 704"
    );
    assert!(
        CONTEXTS + (MAX_THREADS * size_of::<ThreadContext>()) as u64 <= crate::boot::VCPU_STRIDE,
        "an area holds its contexts"
    );
};
