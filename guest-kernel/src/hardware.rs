//! The instructions behind [`Cpu`]: page-table links, CR3, segment bases, x87/SSE state; and the Rust side of the
//! entry stubs.
//!
//! Everything is reached from one pointer, the vCPU's area; its layout is that of `protocol::vcpu`.

use core::{arch::asm, slice};

use guest_kernel::{Cpu, CpuPage, schedule};
use protocol::{
    boot::{KERNEL_BASE, KernelCall, MAILBOX_VECTOR, RAM_SIZE},
    vcpu::{CONTEXTS, MAX_THREADS, ThreadContext},
};

use crate::port;

const MSR_FS_BASE: u32 = 0xC000_0100;
/// Holds the program's gs base while the kernel runs; `swapgs` exchanges it with the kernel's.
const MSR_KERNEL_GS_BASE: u32 = 0xC000_0102;

/// This vCPU. The pointer is that of the vCPU's own area, which no other vCPU touches.
struct ThisCpu(*mut CpuPage);

impl ThisCpu {
    /// Chooses a thread and returns its context for the return path.
    fn run_next(&mut self) -> *const ThreadContext {
        let slot = schedule::run_next(self);
        let context = self.context_pointer(slot);
        self.page().area.current = context as u64;
        context
    }

    /// The context in `slot`.
    fn context_pointer(&mut self, slot: u32) -> *mut ThreadContext {
        self.context(slot)
            .map_or(core::ptr::null_mut(), core::ptr::from_mut)
    }
}

impl Cpu for ThisCpu {
    fn page(&mut self) -> &mut CpuPage {
        // SAFETY: the pointer came from the entry stubs, which take it from rdi at start or from the kernel stack's
        // top: it is this vCPU's area, mapped for good, written only by this vCPU and, while it is out of the guest,
        // by the VMM. The borrow of `self` keeps a second reference from being made, and hypercalls need `self` too.
        unsafe { &mut *self.0 }
    }

    fn contexts(&mut self) -> &mut [ThreadContext] {
        // SAFETY: as for `page`; the contexts lie in the same area (asserted in `protocol::vcpu`), and any bytes are
        // a valid context.
        unsafe {
            let first = self.0.byte_add(CONTEXTS as usize).cast::<ThreadContext>();
            slice::from_raw_parts_mut(first, MAX_THREADS)
        }
    }

    fn write_link(&mut self, address: u64, value: u64) {
        assert!(
            address < RAM_SIZE && address % 8 == 0,
            "link outside guest RAM"
        );
        // SAFETY: guest RAM is mapped at KERNEL_BASE, and the address is in it and aligned. Page tables are no Rust
        // objects; the VMM names only entries of tables that it built.
        unsafe { ((KERNEL_BASE + address) as *mut u64).write_volatile(value) }
    }

    fn refresh_table(&mut self, address: u64) {
        assert!(
            address < RAM_SIZE && address % 8 == 0,
            "table outside guest RAM"
        );
        let word = (KERNEL_BASE + address) as *mut u16;
        // SAFETY: as for a link; the page is linked nowhere, and keeps its content.
        unsafe { word.write_volatile(word.read_volatile()) }
    }

    fn load_cr3(&mut self, root: u64) {
        // SAFETY: every root that the VMM hands out maps the kernel's half as the boot tables do.
        unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) }
    }

    fn load_fs_base(&mut self, base: u64) {
        write_msr(MSR_FS_BASE, base);
    }

    fn load_gs_base(&mut self, base: u64) {
        write_msr(MSR_KERNEL_GS_BASE, base);
    }

    fn save_fx(&mut self, slot: u32) {
        if let Some(context) = self.context(slot) {
            // SAFETY: `fx` is 512 bytes at a 16-byte boundary (asserted in `protocol::vcpu`). The kernel itself is
            // built without SSE, so the registers hold the program's values.
            unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut context.fx, options(nostack)) }
        }
    }

    fn load_fx(&mut self, slot: u32) {
        if let Some(context) = self.context(slot) {
            // SAFETY: as for `save_fx`; the state was saved by it or filled in by the VMM with a valid MXCSR.
            unsafe { asm!("fxrstor64 [{}]", in(reg) &raw const context.fx, options(nostack)) }
        }
    }

    fn call(&mut self, call: KernelCall, argument: u64) {
        port::call(call, argument, 0, 0);
    }

    fn halt(&mut self) {
        port::halt();
    }
}

/// Writes a model-specific register.
fn write_msr(msr: u32, value: u64) {
    // SAFETY: both callers name a segment base, which the kernel's own code does not use; the VMM gives canonical
    // addresses only.
    unsafe {
        asm!(
            "wrmsr",
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack),
        );
    }
}

/// The address whose access raised the last page fault.
fn read_cr2() -> u64 {
    let address;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack)) }
    address
}

/// First code of a vCPU, without a thread; or a system call that the VMM answered with "drain the mailbox": the caller's registers are
/// in its context.
pub extern "C" fn reschedule(page: *mut CpuPage) -> *const ThreadContext {
    ThisCpu(page).run_next()
}

/// An exception of a program, or the mailbox interrupt. The program's registers are in its context.
pub extern "C" fn interrupted(
    page: *mut CpuPage,
    vector: u64,
    error_code: u64,
) -> *const ThreadContext {
    if vector != u64::from(MAILBOX_VECTOR) {
        port::call(KernelCall::Exception, vector, error_code, read_cr2());
    }
    ThisCpu(page).run_next()
}
