//! Jumps to the kernel's system-call entry instead of executing `syscall`.
//!
//! rcx, where a system call returns to, and r11, the flags it returns with, are then the program's to choose.

use core::arch::asm;

/// rcx (or the address behind the jump) and r11.
const VARIANTS: [(Option<u64>, u64); 12] = [
    (None, 0x202),
    // Not canonical: `sysret` with such an rcx faults in ring 0 on some processors.
    (Some(0x0000_8000_0000_0000), 0x202),
    (Some(0x8000_0000_0000_0000), 0x202),
    // The last canonical user address, and the address where nothing is.
    (Some(0x0000_7FFF_FFFF_FFFF), 0x202),
    (Some(0), 0x202),
    // The kernel's.
    (Some(0xFFFF_FFFF_8000_0000), 0x202),
    (Some(0xFFFF_FFFF_FFFF_FFFF), 0x202),
    // Flags: I/O privilege, trap, nested task, interrupts off, all.
    (None, 0x3202),
    (None, 0x302),
    (None, 0x4202),
    (None, 0x2),
    (None, u64::MAX),
];

/// Jumps to `address` with the `index`-th variant. Comes back only if that was taken for a system call.
pub fn jump(address: u64, index: u64) -> i32 {
    let variant = usize::try_from(index)
        .ok()
        .and_then(|index| VARIANTS.get(index));
    let Some((rcx, r11)) = variant else {
        return crate::NO_SUCH_VARIANT;
    };
    zx::println!("entry-jump {index}: rcx {rcx:x?} r11 {r11:#x}");
    let flags: u64;
    // SAFETY: either an exception ends the process, or the kernel takes it for `syscall` number 0, the clock, which touches
    // no memory, and comes back behind the jump.
    unsafe {
        asm!(
            "test r8, r8",
            "jne 4f",
            "lea rcx, [rip + 5f]",
            "4:",
            "jmp r9",
            "5:",
            "pushfq",
            "pop r10",
            "push 0x202",
            "popfq",
            inout("rax") 0u64 => _,
            inout("rcx") rcx.unwrap_or(0) => _,
            in("r8") u64::from(rcx.is_some()),
            in("r9") address,
            inout("r11") *r11 => _,
            lateout("r10") flags,
        );
    }
    zx::println!("entry-jump {index}: came back with flags {flags:#x}");
    // Neither I/O privilege nor a nested task, and interrupts on.
    i32::from(flags & 0x7200 != 0x200)
}
