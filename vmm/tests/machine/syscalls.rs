//! System calls: the pass-through path, the slow path, and programs that enter the kernel's code by themselves.

use std::time::Instant;

use protocol::{
    boot::KERNEL_BASE,
    vcpu::EntryKind::{Complete, Park},
};
use vmm::{
    guest_image::KERNEL,
    machine::{Exit, HostClass, KernelImage, Registers},
};

use crate::{
    harness::{Guest, USER, entry},
    program,
};

program!(
    call_twice,
    "mov rbx, 0x1111111111111111",
    "mov rdx, 0x2222222222222222",
    "mov rsi, 0x3333333333333333",
    "mov rbp, 0x4444444444444444",
    "mov r8, 0x5555555555555555",
    "mov r9, 0x6666666666666666",
    "mov r10, 0x7777777777777777",
    "mov r12, 0x8888888888888888",
    "mov r13, 0x9999999999999999",
    "mov r14, 0xAAAAAAAAAAAAAAAA",
    "mov r15, 0xBBBBBBBBBBBBBBBB",
    "std",
    "stc",
    "mov eax, 5",
    "syscall",
    "jmp 3f",
    "3: syscall",
    "ud2",
);

/// What a program may expect to keep over a system call.
fn kept(registers: &Registers) -> [u64; 13] {
    let r = registers;
    [
        r.rbx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r12, r.r13, r.r14, r.r15,
    ]
}

fn two_calls(slow: bool) {
    let mut guest = Guest::new(call_twice());
    guest.start(0, 77);
    assert_eq!(guest.run(), Exit::Syscall);
    let first = *guest.vcpu.registers();
    assert_eq!((first.rax, first.rdi), (5, 77));
    assert_eq!(first.rbx, 0x1111_1111_1111_1111);
    assert_eq!(first.r11 & 0x401, 0x401, "the program's flags are in r11");
    assert!(
        first.rcx > USER && first.rcx < USER + 4096,
        "rcx is the address after syscall"
    );
    assert_eq!(guest.vcpu.area().current_slot().unwrap(), Some(0));

    let expected_rax = if slow {
        guest.vcpu.answer(0xBAD, true);
        guest.post(&[entry(Park, 0, 0, 0), entry(Complete, 0, 1234, 0)]);
        1234
    } else {
        guest.vcpu.answer(0xFFFF_FFFF_FFFF_FFF6, false);
        0xFFFF_FFFF_FFFF_FFF6
    };
    assert_eq!(guest.run(), Exit::Syscall);
    let second = *guest.vcpu.registers();
    assert_eq!(second.rax, expected_rax);
    assert_eq!(kept(&second), kept(&first));
    assert_eq!(second.r11, first.r11, "flags survive");
}

#[test]
fn a_system_call_passes_through_and_keeps_all_registers() {
    two_calls(false);
}

#[test]
fn a_parked_system_call_is_completed_with_all_registers() {
    two_calls(true);
}

#[test]
fn completing_the_current_thread_without_parking_works_too() {
    let mut guest = Guest::new(call_twice());
    guest.start(0, 0);
    assert_eq!(guest.run(), Exit::Syscall);
    guest.vcpu.answer(1, true);
    guest.post(&[entry(Complete, 0, 99, 0)]);
    assert_eq!(guest.expect_syscall().0, 99);
    guest.vcpu.answer(42, true);
    assert_eq!(
        guest.expect_exception().0,
        6,
        "an empty mailbox lets the thread go on"
    );
    assert_eq!(guest.vcpu.area().context(0).unwrap().registers[0], 42);
}

program!(many_calls, "2: inc rdi", "mov eax, 9", "syscall", "jmp 2b");

#[test]
fn thousands_of_system_calls_in_a_row() {
    let mut guest = Guest::new(many_calls());
    guest.start(0, 0);
    for (way, every) in [("passed through", u64::MAX), ("by the slow path", 1)] {
        let start = Instant::now();
        for n in 1..=3000 {
            assert_eq!(guest.expect_syscall(), (9, n, 0));
            guest.vcpu.registers_mut().rdi = if n == 3000 { 0 } else { n };
            guest.vcpu.answer(n, n % every == 0);
        }
        println!("a system call {way}: {:?}", start.elapsed() / 3000);
    }
}

program!(
    jump_into_the_kernel,
    "mov rax, 0x1234",
    "mov rcx, 0xDEAD000000000000",
    "mov r11, 0x3FFFFF",
    "jmp rdi",
);

#[test]
fn jumping_to_the_system_call_entry_gains_nothing() {
    let entry = KernelImage::parse(KERNEL).unwrap().header().syscall_entry;
    let mut guest = Guest::new(jump_into_the_kernel());
    guest.start(0, entry);
    match guest.machine.host().class {
        // It looks like a system call; what is in rcx and r11 is the program's lie, which the caller of `run` must check.
        HostClass::Software => {
            assert_eq!(guest.run(), Exit::Syscall);
            let registers = *guest.vcpu.registers();
            assert_eq!(
                (registers.rcx, registers.r11),
                (0xDEAD_0000_0000_0000, 0x3F_FFFF)
            );
            guest.vcpu.registers_mut().rcx = USER;
            guest.vcpu.registers_mut().r11 = 0x202;
            guest.vcpu.answer(0, true);
            assert_eq!(guest.expect_syscall().0, 0x1234, "it starts again at rcx");
        }
        HostClass::Hardware => assert_eq!(guest.expect_exception(), (14, 0x15, entry)),
    }
}

#[test]
fn jumping_elsewhere_into_the_kernel_is_a_page_fault() {
    let header = *KernelImage::parse(KERNEL).unwrap().header();
    for address in [
        header.syscall_out_end,
        header.entry,
        header.vectors[3],
        KERNEL_BASE,
    ] {
        let mut guest = Guest::new(jump_into_the_kernel());
        guest.start(0, address);
        let (vector, _, cr2) = guest.expect_exception();
        assert_eq!((vector, cr2), (14, address));
    }
}
