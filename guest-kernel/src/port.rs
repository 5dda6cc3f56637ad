//! The hypercall port: calls of the kernel itself, and idling.
//!
//! A program's system call does not pass through here but through the `out` in `entry`.

use core::arch::asm;

use protocol::boot::{HYPERCALL_PORT, KernelCall};

/// Calls the VMM. Whatever the VMM shares may have changed on return.
pub fn call(call: KernelCall, rdi: u64, rsi: u64, rdx: u64) {
    // SAFETY: a one-byte write to the hypercall port changes no register but rax. The VMM writes to the vCPU's area
    // and contexts meanwhile; nothing borrowed from them lives across this call (rule of `Cpu`).
    unsafe {
        asm!(
            "out {port}, al",
            port = const HYPERCALL_PORT,
            inout("rax") call as u64 => _,
            in("rdi") rdi,
            in("rsi") rsi,
            in("rdx") rdx,
            options(nostack),
        );
    }
}

/// Stops until the VMM has something; it enters the vCPU again when the mailbox has a batch.
pub fn halt() {
    // SAFETY: `hlt` with interrupts off leaves for the VMM and comes back to the next instruction; shared memory as
    // for `call`.
    unsafe { asm!("hlt", options(nostack)) }
}
