//! The ways into ring 0 and the one way out, in assembly; and the image header that tells the VMM where they are.
//!
//! ```text
//! syscall ----------> syscall_entry: out --CF=0--> sysretq                      (pass-through: three instructions)
//!                                     \--CF=1--> save -> reschedule --+
//! exception, mailbox -> vector_N -> save -> interrupted --------------+-> resume: iretq
//! page fault -------> vector_14: out --CF=0--> iretq                  |         (nine instructions)
//!                                 \--CF=1--> save -> interrupted -----+
//! start ------------------------------> kernel_entry -> reschedule ---+
//! ```
//! While ring 3 runs, KERNEL_GS_BASE holds the vCPU's area; ring 0 code past a `swapgs` finds it in gs: +0 current
//! context, +8 scratch word, +16 top of the kernel stack, which is `STACK_TOP` bytes above the area's start.
//! Interrupts stay off in ring 0, and no instruction before a stack switch can fault, so one stack is enough.
//!
//! **Landing.** On a software KVM `syscall` arrives at LSTAR with rcx and r11 set, but still in ring 3, and fetching
//! the supervisor page raises #PF. The VMM then installs `page_fault_landing` for vector 14: RIP alone identifies the
//! case, for a page fault with RIP at `syscall_entry` can only be ring 3's fetch of it (in ring 0 that instruction
//! touches no memory, and were it not mapped, this handler would not be either). It restores rsp and falls
//! into the system call. A program that jumps there by itself gets the same system call, with whatever it put in rcx and
//! r11: the VMM checks both on every system call.

use core::arch::global_asm;

use protocol::{
    ABI_VERSION,
    boot::{HYPERCALL_PORT, IMAGE_MAGIC, KernelCall, USER_CS, USER_SS},
    vcpu::STACK_TOP,
};

use crate::hardware;

// Contexts: general register n at 8*n in the hardware's numbering, rip at 128, rflags at 136 (asserted in
// `protocol::vcpu`).
global_asm!(
    r#"
    // All but rax, rsp, rip and rflags, to the context at \base (which may be rsp or rax).
    .macro SAVE_COMMON base
        mov [\base + 8], rcx
        mov [\base + 16], rdx
        mov [\base + 24], rbx
        mov [\base + 40], rbp
        mov [\base + 48], rsi
        mov [\base + 56], rdi
        mov [\base + 64], r8
        mov [\base + 72], r9
        mov [\base + 80], r10
        mov [\base + 88], r11
        mov [\base + 96], r12
        mov [\base + 104], r13
        mov [\base + 112], r14
        mov [\base + 120], r15
    .endm

    .macro VECTOR number, has_error_code
        vector_\number:
        .if \has_error_code == 0
            push 0
        .endif
            push \number
            jmp save_interrupted
    .endm

    .section .text.entry, "ax"

    .globl kernel_entry
    kernel_entry:
        call {reschedule}
        jmp resume

    .balign 16
    page_fault_landing:                     // stack: error code, rip, cs, rflags, rsp, ss
        cmp qword ptr [rsp + 8], offset syscall_entry
        jne vector_14
        mov rsp, [rsp + 32]
    syscall_entry:
    syscall_out:
        out {port}, eax
    syscall_out_end:
        jc 2f
        sysretq

    2:  swapgs
        mov gs:[8], rsp
        mov rsp, gs:[0]
        mov [rsp], rax
        SAVE_COMMON rsp
        mov [rsp + 128], rcx
        mov [rsp + 136], r11
        mov rax, gs:[8]
        mov [rsp + 32], rax
        mov rsp, gs:[16]
        lea rdi, [rsp - {stack_top}]
        cld
        call {reschedule}
        // Falls through.

    resume:                                 // rax = context; the stack is empty
        push {user_ss}
        push [rax + 32]
        push [rax + 136]
        push {user_cs}
        push [rax + 128]
        mov rcx, [rax + 8]
        mov rdx, [rax + 16]
        mov rbx, [rax + 24]
        mov rbp, [rax + 40]
        mov rsi, [rax + 48]
        mov rdi, [rax + 56]
        mov r8, [rax + 64]
        mov r9, [rax + 72]
        mov r10, [rax + 80]
        mov r11, [rax + 88]
        mov r12, [rax + 96]
        mov r13, [rax + 104]
        mov r14, [rax + 112]
        mov r15, [rax + 120]
        mov rax, [rax]
        swapgs
    resume_iretq:
        iretq

    vector_14:                              // stack: error code, rip, cs, rflags, rsp, ss
        push rax
        mov rax, cr2
        out {port}, ax
        pop rax
        jc 4f
        lea rsp, [rsp + 8]
        iretq
    4:  push 14
        // Falls through.

    save_interrupted:                       // stack: vector, error code, rip, cs, rflags, rsp, ss
        test byte ptr [rsp + 24], 3
        jz kernel_fault
        swapgs
        mov gs:[8], rax
        mov rax, gs:[0]
        SAVE_COMMON rax
        mov rcx, gs:[8]
        mov [rax], rcx
        mov rcx, [rsp + 16]
        mov [rax + 128], rcx
        mov rcx, [rsp + 32]
        mov [rax + 136], rcx
        mov rcx, [rsp + 40]
        mov [rax + 32], rcx
        mov rsi, [rsp]
        mov rdx, [rsp + 8]
        mov rsp, gs:[16]
        lea rdi, [rsp - {stack_top}]
        cld
        call {interrupted}
        jmp resume

    kernel_fault:                           // an exception in ring 0: report it, never return
        mov rdi, [rsp]
        mov rsi, [rsp + 8]
        mov rdx, cr2
        mov r10, [rsp + 16]
        mov r8, [rsp + 40]
        mov eax, {panic}
        out {port}, al
    3:  hlt
        jmp 3b

    .irp number, 0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31,32
        VECTOR \number, 0
    .endr
    .irp number, 8,10,11,12,13,17,21,29,30
        VECTOR \number, 1
    .endr

    .section .zvmm.header, "a"
    .balign 8
        .quad {magic}
        .long {abi_version}
        .long 0
        .quad kernel_entry
        .quad syscall_entry
        .quad syscall_out
        .quad syscall_out_end
    .irp number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32
        .quad vector_\number
    .endr
        .quad page_fault_landing
        .quad resume_iretq
    .text
    "#,
    reschedule = sym hardware::reschedule,
    interrupted = sym hardware::interrupted,
    port = const HYPERCALL_PORT,
    panic = const KernelCall::Panic as u8,
    user_ss = const USER_SS,
    user_cs = const USER_CS,
    stack_top = const STACK_TOP,
    magic = const IMAGE_MAGIC,
    abi_version = const ABI_VERSION,
);
