//! What runs in the floor's guest: a few instructions each, copied into guest memory.
//!
//! Ring 3 programs get rdi = addresses to touch, rsi = how often, r10 = where to put the cycles that each took, 32 bits each; they end
//! with a write to [`DONE`]. Programs measured by zvmm (`programs/src/bin/bench.rs`) take time by the same instructions.

use std::arch::global_asm;

/// Port of the end of a program.
pub const DONE: u16 = 0x10;
/// Port of a call, from ring 3 or from the stub in ring 0.
pub const CALL: u16 = 0x11;

global_asm!(
    r#"
    .macro BEGIN_TIME
        lfence
        rdtsc
        shl rdx, 32
        or rdx, rax
        mov r9, rdx
    .endm

    .macro END_TIME
        lfence
        rdtsc
        shl rdx, 32
        or rax, rdx
        sub rax, r9
        mov [r10], eax
        add r10, 4
    .endm

    .macro PROGRAM name
        .globl \name\()
        .globl \name\()_end
        \name\():
    .endm

    .section .rodata
    PROGRAM zvmm_floor_read
    2:  mov r8, [rdi]
        add rdi, 8
        BEGIN_TIME
        mov al, [r8]
        END_TIME
        dec rsi
        jnz 2b
        out {done}, al
    zvmm_floor_read_end:

    PROGRAM zvmm_floor_write
    2:  mov r8, [rdi]
        add rdi, 8
        BEGIN_TIME
        mov byte ptr [r8], 1
        END_TIME
        dec rsi
        jnz 2b
        out {done}, al
    zvmm_floor_write_end:

    PROGRAM zvmm_floor_call
    2:  BEGIN_TIME
        syscall
        END_TIME
        dec rsi
        jnz 2b
        out {done}, al
    zvmm_floor_call_end:

    PROGRAM zvmm_floor_port
    2:  BEGIN_TIME
        out {call}, al
        END_TIME
        dec rsi
        jnz 2b
        out {done}, al
    zvmm_floor_port_end:

    // Ring 0. Where `syscall` stays in ring 3, its landing on a supervisor page is a page fault: frame and error code.
    PROGRAM zvmm_floor_stub
    PROGRAM zvmm_floor_landing
        mov rsp, [rsp + 32]
    zvmm_floor_landing_end:
        out {call}, al
        sysretq
    zvmm_floor_stub_end:
    .text
    "#,
    done = const DONE,
    call = const CALL,
);

/// A piece of guest code.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub(super) start: *const u8,
    pub(super) end: *const u8,
}

impl Code {
    /// Its bytes.
    pub fn bytes(self) -> &'static [u8] {
        let length = self.end as usize - self.start as usize;
        // SAFETY: both are labels in this order in one section, which never changes.
        unsafe { std::slice::from_raw_parts(self.start, length) }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $start:ident, $end:ident;)*) => {
        unsafe extern "C" { $(static $start: u8; static $end: u8;)* }
        $(
            $(#[$doc])*
            pub fn $name() -> Code {
                Code { start: &raw const $start, end: &raw const $end }
            }
        )*
    };
}
pub(super) use codes;

codes! {
    /// Reads a byte at each address.
    read = zvmm_floor_read, zvmm_floor_read_end;
    /// Writes a byte at each address.
    write = zvmm_floor_write, zvmm_floor_write_end;
    /// Makes system calls.
    call = zvmm_floor_call, zvmm_floor_call_end;
    /// Writes to [`CALL`] from ring 3.
    port = zvmm_floor_port, zvmm_floor_port_end;
    /// The kernel: page-fault gate and system-call entry.
    stub = zvmm_floor_stub, zvmm_floor_stub_end;
    /// The part of it before the system-call entry.
    landing = zvmm_floor_landing, zvmm_floor_landing_end;
}
