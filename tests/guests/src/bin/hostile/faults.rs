//! One plain fault each.

use core::arch::asm;
use core::hint::black_box;
use protocol::boot::KERNEL_BASE;

/// A mode: its name and its fault.
type Mode = (&'static str, fn());

/// An address between the two canonical halves.
const NON_CANONICAL: u64 = 0x0000_8000_0000_1000;

/// All of them.
pub const MODES: &[Mode] = &[
    ("port", port),
    ("stack", || {
        black_box(overflow(0));
    }),
    ("null", || load(0)),
    ("wild", || load(NON_CANONICAL)),
    ("wild-jump", || jump(NON_CANONICAL)),
    ("kernel-read", || load(KERNEL_BASE)),
    ("kernel-write", || store(KERNEL_BASE)),
    ("kernel-jump", || jump(KERNEL_BASE)),
    ("exec-data", exec_data),
    ("write-text", || store(load as fn(u64) as usize as u64)),
    ("divide", divide),
    ("int3", int3),
    ("ud2", ud2),
    ("single-step", single_step),
];

fn load(address: u64) {
    // SAFETY: a load; the exception ends the process.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) }
}

fn store(address: u64) {
    // SAFETY: the exception ends the process; if it does not, that is the finding.
    unsafe { asm!("mov byte ptr [{}], 0xC3", in(reg) address) }
}

fn jump(address: u64) {
    // SAFETY: the exception ends the process.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("sysv64")) }
}

/// A system call written to the port directly: number 2, debug_write, of the program's own text.
fn port() {
    let text = "hostile: the port took this\n";
    // SAFETY: either an exception ends the process, or the text is read.
    unsafe {
        asm!(
            "out 0x5A, eax",
            inout("rax") 2u64 => _,
            in("rdi") text.as_ptr(),
            in("rsi") text.len(),
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
}

/// Recursion that ends when the stack does.
#[allow(unconditional_recursion, reason = "its purpose")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow(depth + 1) + black_box(&frame).iter().sum::<u64>()
}

/// Jumps to data, which must not be executable.
fn exec_data() {
    let mut code = [0xC3u8; 16];
    jump((&raw mut code) as u64);
}

fn divide() {
    // SAFETY: the exception ends the process.
    unsafe {
        asm!("div ecx", inout("eax") 1 => _, inout("edx") 0 => _, in("ecx") 0);
    }
}

fn int3() {
    // SAFETY: the exception ends the process.
    unsafe { asm!("int3") }
}

fn ud2() {
    // SAFETY: the exception ends the process.
    unsafe { asm!("ud2") }
}

fn single_step() {
    // SAFETY: the exception ends the process.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop") }
}
