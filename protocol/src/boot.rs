//! Guest RAM, the kernel image's header and the hypercall port.
//!
//! ```text
//! guest-physical            what                                            who writes it
//! 0x0000_0000  16 MiB RAM   mapped at KERNEL_BASE, supervisor only
//!   0x0000_1000             BootPage                                        VMM, before start
//!   0x0000_2000             GDT, IDT, one TSS a vCPU, boot page tables      VMM, before start
//!   0x0010_0000             kernel image (IMAGE_BASE .. VCPU_AREAS)         VMM, before start
//!   0x0020_0000             vCPU areas, VCPU_STRIDE each (see `vcpu`)       both, see there
//!   ...         to the end  page tables of processes                        VMM; linked entries: guest kernel
//! ARENA_BASE and above      windows: the storage of VMOs                    user memory, never the guest kernel
//! ```
//!
//! **Hypercalls.** There is one port, [`HYPERCALL_PORT`]. A four-byte `out` is a program's system call passed on:
//! all registers are the program's. A one-byte `out` is a call of the guest kernel itself: al = [`KernelCall`],
//! arguments in rdi, rsi, rdx, r10, r8. The answer is in rax; the carry flag, set by the VMM, tells the
//! guest kernel to save the current thread, drain the mailbox and schedule. A two-byte `out` is a page fault that nothing has been done
//! about: rax = CR2, on the stack a [`PageFaultFrame`], all other registers as they were. The carry flag, clear, says that the
//! instruction can be tried again at once; set, that the fault is an exception like any other.

/// Bytes of guest RAM, at guest-physical 0.
pub const RAM_SIZE: u64 = 16 << 20;

/// Where guest RAM appears in the address space of the guest kernel and (supervisor only) of every process.
pub const KERNEL_BASE: u64 = 0xFFFF_FFFF_8000_0000;

/// Guest-physical address of the [`BootPage`].
pub const BOOT_PAGE: u64 = 0x1000;

/// Guest-physical range for the descriptor tables and boot page tables that the VMM prepares.
pub const DESCRIPTORS: core::ops::Range<u64> = 0x2000..0x10_0000;

/// Root of the boot page tables, which map the kernel's half only and belong to no process.
pub const BOOT_ROOT: u64 = DESCRIPTORS.start;

/// Guest-physical address at which the kernel image is linked (plus [`KERNEL_BASE`]).
pub const IMAGE_BASE: u64 = 0x10_0000;

/// Guest-physical address of the first vCPU's area; the kernel image ends below it.
pub const VCPU_AREAS: u64 = 0x20_0000;

/// Bytes from one vCPU's area to the next.
pub const VCPU_STRIDE: u64 = 0x8_0000;

/// Most vCPUs that guest RAM has room for (half of it is left to page tables).
pub const MAX_VCPUS: u32 = 12;

/// Lowest guest-physical address of the arena.
pub const ARENA_BASE: u64 = 1 << 32;

/// The one port.
pub const HYPERCALL_PORT: u16 = 0x5A;

/// The one paravirtual interrupt vector: "look at your mailbox".
pub const MAILBOX_VECTOR: u8 = 32;

/// Number of entry stubs in [`ImageHeader::vectors`]: the 32 exceptions and [`MAILBOX_VECTOR`].
pub const VECTORS: usize = 33;

/// Selector of the kernel's code segment (Linux's layout, which `syscall` and `sysret` need).
pub const KERNEL_CS: u16 = 0x10;
/// Selector of the kernel's data segment.
pub const KERNEL_SS: u16 = 0x18;
/// `STAR` base for `sysret`: user data is +8, 64-bit user code +16.
pub const USER_STAR: u16 = 0x23;
/// Selector of the user's data segment.
pub const USER_SS: u16 = 0x2B;
/// Selector of the user's 64-bit code segment.
pub const USER_CS: u16 = 0x33;
/// Selector of the task-state segment.
pub const TSS_SELECTOR: u16 = 0x40;

/// First eight bytes of an [`ImageHeader`]: "zvmmkern".
pub const IMAGE_MAGIC: u64 = u64::from_le_bytes(*b"zvmmkern");

/// Section of the kernel's ELF file that holds its [`ImageHeader`].
pub const IMAGE_HEADER_SECTION: &str = ".zvmm.header";

/// What the VMM needs to know of a kernel image. All addresses are virtual ([`KERNEL_BASE`] and above).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`].
    pub magic: u64,
    /// [`crate::ABI_VERSION`] that the kernel was built against.
    pub abi_version: u32,
    /// Zero.
    pub reserved: u32,
    /// First instruction of a vCPU that does not begin with a thread: rdi = its [`crate::vcpu::VcpuArea`], rsp = its stack, gs base = the area.
    pub entry: u64,
    /// Goes into MSR LSTAR.
    pub syscall_entry: u64,
    /// Address of the `out` instruction that passes system calls on.
    pub syscall_out: u64,
    /// First address after the `syscall_out` instruction.
    pub syscall_out_end: u64,
    /// Entry stubs of the exceptions and of the mailbox interrupt.
    pub vectors: [u64; VECTORS],
    /// Entry stub for vector 14 on software KVM, where `syscall` arrives at `syscall_entry` still in ring 3 and so
    /// raises a page fault: the stub recognises this and goes on as a system call. On hardware KVM the VMM installs
    /// the one in `vectors`.
    pub landing: u64,
    /// Address of the `iretq` with which the kernel goes back to ring 3.
    pub iretq: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(
        offset_of!(ImageHeader, entry) == 16,
        "the kernel's assembly fills the header by offset"
    );
    assert!(
        offset_of!(ImageHeader, vectors) == 48,
        "the kernel's assembly fills the header by offset"
    );
    assert!(
        offset_of!(ImageHeader, landing) == 48 + 8 * VECTORS,
        "the kernel's assembly fills the header by offset"
    );
    assert!(
        offset_of!(ImageHeader, iretq) == 56 + 8 * VECTORS,
        "the kernel's assembly fills the header by offset"
    );
};

/// What the guest may know of its host.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct BootPage {
    /// [`crate::ABI_VERSION`] of the VMM.
    pub abi_version: u32,
    /// 0: hardware KVM, 1: software KVM (ring 0 is emulated).
    pub host_class: u32,
    /// vCPUs of this VM.
    pub vcpus: u32,
    /// Bit n set: CPUID offers pages of 2^n bytes (12, 21, 30).
    pub page_sizes: u32,
    /// First guest-physical address of the arena.
    pub arena_base: u64,
    /// Bytes of the arena.
    pub arena_size: u64,
}

/// Calls of the guest kernel itself: one-byte `out` with al = the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum KernelCall {
    /// An exception in ring 3: rdi = vector, rsi = error code, rdx = CR2. The thread's registers are saved in its
    /// context. The mailbox says how it goes on.
    Exception = 1,
    /// A [`crate::vcpu::EntryKind::Flush`] was carried out: rdi = its id.
    Flushed = 2,
    /// The mailbox was drained while `mailbox_more` was set: refill it.
    Mailbox = 3,
    /// The kernel cannot go on: rdi = vector (or 0x100 for a Rust panic), rsi = error code, rdx = CR2, r10 = RIP,
    /// r8 = RSP; for a Rust panic rsi = address and rdx = length of the message.
    Panic = 4,
    /// A [`crate::vcpu::EntryKind::Stop`] was carried out: rdi = the thread's slot. Its registers are in its context.
    Stopped = 5,
}

impl KernelCall {
    /// The call that al names, if there is one.
    pub const fn from_register(al: u8) -> Option<Self> {
        match al {
            1 => Some(KernelCall::Exception),
            2 => Some(KernelCall::Flushed),
            3 => Some(KernelCall::Mailbox),
            4 => Some(KernelCall::Panic),
            5 => Some(KernelCall::Stopped),
            _ => None,
        }
    }
}

/// What lies on the kernel's stack when it tells of a page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PageFaultFrame {
    /// rax.
    pub rax: u64,
    /// Of the processor (SDM vol. 3, 5.7): bit 0 is clear if an entry was not present.
    pub error_code: u64,
    /// The instruction.
    pub rip: u64,
    /// Code segment: bits 0 and 1 tell the ring.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

/// `rdi` of [`KernelCall::Panic`] for a Rust panic.
pub const PANIC_RUST: u64 = 0x100;
