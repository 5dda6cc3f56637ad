//! What runs in the floor's guest when a pager's service lives there: the service in ring 3, and a kernel that switches between it
//! and the client.
//!
//! Where the service has the client's vCPU, a context that goes is saved and the other one is loaded, x87 and SSE registers
//! included. Where it has a vCPU of its own, either side's registers are saved and loaded around `hlt`.
//!
//! A context that is not loaded is what `iretq` wants, below it the general registers as they are pushed: at [`CLIENT`] and [`SERVICE`].
//! x87 and SSE registers lie [`FX`] bytes further.

use std::arch::global_asm;

use super::SYSTEM;
use super::guest::{CALL, Code, codes};

/// What the service says at [`CALL`]: the page is there.
pub const SUPPLY: u8 = 0;
/// It waits for the next request.
pub const WAIT: u8 = 1;

/// The client's context, in ring 0's memory.
pub const CLIENT: u64 = SYSTEM + 0x8000;
/// The service's.
pub const SERVICE: u64 = SYSTEM + 0x9000;
/// Bytes from a context to its x87 and SSE registers.
const FX: u64 = 0x400;
/// Bytes of the general registers of a context.
const GENERAL: u64 = 15 * 8;
/// From a context to its rip, cs, flags, rsp and ss.
pub const RIP: u64 = GENERAL;
/// To what lies behind it: where the processor begins to push.
pub const END: u64 = GENERAL + 5 * 8;

global_asm!(
    r#"
    .macro PUSH_GENERAL
        push rax
        push rcx
        push rdx
        push rbx
        push rbp
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
    .endm

    .macro POP_GENERAL
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        pop rdx
        pop rcx
        pop rax
    .endm

    .macro SWITCH from, to
        PUSH_GENERAL
        fxsave64 [\from + {fx}]
        fxrstor64 [\to + {fx}]
        mov esp, \to
        POP_GENERAL
        iretq
    .endm

    .macro SLEEP from, to
        PUSH_GENERAL
        hlt
        POP_GENERAL
        iretq
    .endm

    // As the stub without a service (guest.rs): the landing of `syscall` first. Behind it, the gate of the interrupt that stops the client.
    .macro KERNEL name, leave
        .globl \name\()
        .globl \name\()_entry
        .globl \name\()_entry_end
        .globl \name\()_end
        \name\():
        \name\()_entry:
            mov rsp, [rsp + 32]
            out {call}, al
            test al, al
            jnz 2f
            sysretq
        2:  mov [{service} + {rip}], rcx
            mov [{service} + {rip} + 16], r11
            mov [{service} + {rip} + 24], rsp
            mov esp, {service} + {rip}
            \leave {service}, {client}
        \name\()_entry_end:
            \leave {client}, {service}
        \name\()_end:
    .endm

    .section .rodata
    KERNEL zvmm_floor_switch, SWITCH
    KERNEL zvmm_floor_sleep, SLEEP

    .globl zvmm_floor_serve
    .globl zvmm_floor_serve_end
    zvmm_floor_serve:
    2:  mov eax, {supply}
        syscall
        mov eax, {wait}
        syscall
        jmp 2b
    zvmm_floor_serve_end:
    .text
    "#,
    call = const CALL,
    supply = const SUPPLY,
    wait = const WAIT,
    client = const CLIENT,
    service = const SERVICE,
    fx = const FX,
    rip = const RIP,
);

codes! {
    /// The service: answers a request, waits for the next, and so on.
    serve = zvmm_floor_serve, zvmm_floor_serve_end;
    /// The kernel of one vCPU for both.
    switch = zvmm_floor_switch, zvmm_floor_switch_end;
    /// The part of it before the gate of the interrupt.
    switch_entry = zvmm_floor_switch_entry, zvmm_floor_switch_entry_end;
    /// The kernel of a vCPU for each.
    sleep = zvmm_floor_sleep, zvmm_floor_sleep_end;
    /// The part of it before the gate of the interrupt.
    sleep_entry = zvmm_floor_sleep_entry, zvmm_floor_sleep_entry_end;
}
