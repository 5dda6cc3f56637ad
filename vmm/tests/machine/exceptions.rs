//! Exceptions of ring 3, page-table links and flushes.

use protocol::{
    boot::{ARENA_BASE, BOOT_ROOT, KERNEL_BASE, KernelCall, RAM_SIZE},
    vcpu::EntryKind::{Flush, Kill, Link, Resume},
};
use vmm::machine::{Exit, new_context};

use crate::{
    harness::{Guest, UNMAPPED, USER, entry},
    program,
};

program!(invalid_opcode, "ud2");
program!(privileged, "hlt");
program!(port_write, "mov eax, 1", "out 0x5A, al");
program!(port_write_of_two, "out 0x5A, ax");
program!(port_write_of_four, "out 0x5A, eax");
program!(divide, "xor ecx, ecx", "div ecx");
program!(breakpoint, "int3", "mov eax, 3", "syscall");
program!(
    non_canonical,
    "mov rax, 0x8000000000000000",
    "mov rax, [rax]"
);
program!(kernel_read, "mov rax, 0xFFFFFFFF80100000", "mov rax, [rax]");
program!(change_segment, "mov ax, 0x23", "mov ds, ax");
program!(swap_gs, "swapgs");
program!(
    compatibility_mode,
    "push 0x23",
    "lea rax, [rip + 4f]",
    "push rax",
    ".byte 0x48, 0xCB", // far return
    "4: syscall"
);

#[test]
fn exceptions_reach_the_vmm_with_their_vector() {
    let cases: [(&str, &[u8], u64); 11] = [
        ("ud2", invalid_opcode(), 6),
        ("hlt", privileged(), 13),
        ("out al", port_write(), 13),
        ("out ax", port_write_of_two(), 13),
        ("out eax", port_write_of_four(), 13),
        ("div by zero", divide(), 0),
        ("int3", breakpoint(), 3),
        ("non-canonical address", non_canonical(), 13),
        ("32-bit code segment as data", change_segment(), 13),
        ("swapgs", swap_gs(), 13),
        (
            "far return to a 32-bit code segment",
            compatibility_mode(),
            13,
        ),
    ];
    for (name, code, vector) in cases {
        let mut guest = Guest::new(code);
        guest.start(0, 0);
        assert_eq!(guest.expect_exception().0, vector, "{name}");
        let context = guest.vcpu.area().context(0).unwrap();
        assert!((USER..USER + 4096).contains(&context.rip), "{name}");
        assert_eq!(guest.vcpu.area().current_slot().unwrap(), Some(0), "{name}");
        guest.post(&[entry(Kill, 0, 0, 0)]);
        assert_eq!(guest.run(), Exit::Halt, "{name}");
        assert_eq!(guest.vcpu.area().current_slot().unwrap(), None, "{name}");
    }
}

#[test]
fn a_program_goes_on_behind_a_breakpoint() {
    let mut guest = Guest::new(breakpoint());
    guest.start(0, 0);
    assert_eq!(guest.expect_exception().0, 3);
    assert_eq!(guest.expect_syscall().0, 3);
}

#[test]
fn the_kernel_is_out_of_reach() {
    let mut guest = Guest::new(kernel_read());
    guest.start(0, 0);
    assert_eq!(guest.expect_exception(), (14, 5, KERNEL_BASE + 0x10_0000));
}

program!(
    read_through_rdi,
    "mov rsi, [rdi]",
    "mov eax, 4",
    "syscall",
    "mov rsi, [rdi]",
    "ud2"
);

#[test]
fn a_link_makes_an_address_reachable_and_a_flush_makes_it_unreachable() {
    let mut guest = Guest::new(read_through_rdi());
    guest.write(USER + 0x5000, &0xC0FF_EE00_1234u64.to_le_bytes());
    let page_entry = guest.entry_of(UNMAPPED);
    guest.start(0, UNMAPPED);
    assert_eq!(guest.expect_exception(), (14, 4, UNMAPPED));

    let link = entry(Link, 0, page_entry, (ARENA_BASE + 0x5000) | 7);
    guest.post(&[link, entry(Resume, 0, 0, 0)]);
    assert_eq!(guest.expect_syscall(), (4, UNMAPPED, 0xC0FF_EE00_1234));

    guest.vcpu.answer(0, true);
    guest.post(&[entry(Link, 0, page_entry, 0), entry(Flush, 0, 0x77, 0)]);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Flushed));
    assert_eq!(guest.vcpu.registers().rdi, 0x77);
    assert_eq!(guest.machine.ram().read_u64(page_entry).unwrap(), 0);
    assert_eq!(guest.expect_exception(), (14, 4, UNMAPPED));
}

#[test]
fn a_page_fault_is_tried_again_at_once_with_what_was_linked_meanwhile() {
    let mut guest = Guest::new(read_through_rdi());
    guest.write(USER + 0x5000, &0xC0FF_EE00_1234u64.to_le_bytes());
    guest.start(0, UNMAPPED);
    assert_eq!(guest.run(), Exit::PageFault);
    let fault = guest.vcpu.page_fault().unwrap();
    assert_eq!((fault.address, fault.error_code), (UNMAPPED, 4));
    assert!(fault.in_ring_3);
    assert_eq!((fault.registers.rip, fault.registers.rdi), (USER, UNMAPPED));
    // The host's write is seen, for nothing was there before.
    let page_entry = guest.entry_of(UNMAPPED);
    let ram = guest.machine.ram();
    ram.store_u64(page_entry, (ARENA_BASE + 0x5000) | 7)
        .unwrap();
    guest.vcpu.answer_page_fault(true);
    assert_eq!(guest.expect_syscall(), (4, UNMAPPED, 0xC0FF_EE00_1234));
    let after = *guest.vcpu.registers();
    assert_eq!(
        (after.rsp, after.rbx),
        (fault.registers.rsp, fault.registers.rbx)
    );
    assert_eq!(after.r11, fault.registers.rflags & !0x1_0000, "without RF");
}

#[test]
fn a_step_over_a_page_fault_that_is_tried_again_ends_behind_the_instruction() {
    const TRAP: u64 = 1 << 8;
    let mut guest = Guest::new(read_through_rdi());
    guest.seat(0, UNMAPPED);
    let mut context = guest.vcpu.area().context(0).unwrap();
    context.rflags |= TRAP;
    guest.vcpu.area().set_context(0, &context).unwrap();
    guest.post(&[entry(Resume, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::PageFault);
    let page_entry = guest.entry_of(UNMAPPED);
    let ram = guest.machine.ram();
    ram.store_u64(page_entry, (ARENA_BASE + 0x5000) | 7)
        .unwrap();
    guest.vcpu.answer_page_fault(true);
    assert_eq!(guest.expect_exception().0, 1);
    let context = guest.vcpu.area().context(0).unwrap();
    assert_eq!(context.rip, USER + 3, "behind mov rsi, [rdi]");
}

#[test]
fn an_idle_vcpu_leaves_the_page_tables_on_a_flush() {
    let mut guest = Guest::new(invalid_opcode());
    guest.start(0, 0);
    guest.expect_exception();
    guest.post(&[entry(Kill, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::Halt);
    assert_eq!(guest.vcpu.area().root().unwrap(), guest.root());
    guest.post(&[entry(Flush, 0, 1, 0)]);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Flushed));
    assert_eq!(guest.vcpu.special_registers().unwrap().cr3, BOOT_ROOT);
    assert_eq!(guest.run(), Exit::Halt);
}

#[test]
fn a_panic_of_the_kernel_comes_with_its_message() {
    let mut guest = Guest::new(invalid_opcode());
    guest.post(&[entry(Link, 0, RAM_SIZE, 0)]);
    assert_eq!(
        guest.vcpu.run().unwrap(),
        Exit::KernelCall(KernelCall::Panic)
    );
    let report = guest.vcpu.panic_report().to_string();
    assert!(report.contains("link outside guest RAM"), "{report}");
}

#[test]
fn an_exception_in_ring_0_is_reported_with_its_place() {
    let mut guest = Guest::new(invalid_opcode());
    let mut context = new_context(
        0,
        guest.root(),
        &protocol::GeneralRegs::at_start(USER, 0, 0, 0),
    );
    // Reserved bits of MXCSR: fxrstor refuses them.
    context.fx[24..28].fill(0xFF);
    guest.vcpu.area().set_context(0, &context).unwrap();
    guest.post(&[entry(Resume, 0, 0, 0)]);
    assert_eq!(
        guest.vcpu.run().unwrap(),
        Exit::KernelCall(KernelCall::Panic)
    );
    let report = guest.vcpu.panic_report().to_string();
    assert!(
        report.starts_with("exception 13 in the guest kernel"),
        "{report}"
    );
}

#[test]
fn a_triple_fault_is_a_shutdown() {
    let mut guest = Guest::new(invalid_opcode());
    let nothing_mapped = RAM_SIZE - 0x1000;
    let context = new_context(
        0,
        nothing_mapped,
        &protocol::GeneralRegs::at_start(USER, 0, 0, 0),
    );
    guest.vcpu.area().set_context(0, &context).unwrap();
    guest.post(&[entry(Resume, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::Shutdown);
}

program!(
    single_step,
    "pushf",
    "or qword ptr [rsp], 0x100",
    "popf",
    "nop",
    "mov eax, 7",
    "syscall",
);

#[test]
fn a_program_that_single_steps_itself_gets_debug_exceptions() {
    let mut guest = Guest::new(single_step());
    guest.start(0, 0);
    assert_eq!(guest.expect_exception().0, 1);
    let context = guest.vcpu.area().context(0).unwrap();
    assert_eq!(context.rflags & 0x100, 0x100);
    // Nothing in the mailbox: it goes on, a step at a time, to the system call.
    assert_eq!(guest.expect_exception().0, 1);
    assert_eq!(guest.expect_syscall().0, 7);
    assert_eq!(
        guest.vcpu.registers().r11 & 0x100,
        0x100,
        "the caller of run masks this"
    );
}

program!(
    odd_flags,
    "pushf",
    "or qword ptr [rsp], 0x244000", // ID, AC, NT
    "popf",
    "std",
    "mov eax, 7",
    "syscall",
    "ud2",
);

#[test]
fn odd_flags_of_a_program_do_not_disturb_the_kernel() {
    let mut guest = Guest::new(odd_flags());
    guest.start(0, 0);
    assert_eq!(guest.expect_syscall().0, 7);
    guest.vcpu.answer(0, true);
    assert_eq!(guest.expect_exception().0, 6);
    assert_eq!(guest.vcpu.area().context(0).unwrap().rflags & 0x400, 0x400);
}

program!(software_interrupt, "int 32");
program!(legacy_call, "int 0x80");
program!(sysenter, "sysenter");
program!(
    shadow_call,
    "mov eax, 0x2B",
    "mov ss, eax",
    "syscall",
    "ud2"
);
program!(
    write_base,
    "mov rax, 0x1000",
    "wrgsbase rax",
    "mov eax, 8",
    "syscall"
);

#[test]
fn other_ways_into_a_kernel_are_closed() {
    for (name, code) in [
        ("int 32", software_interrupt()),
        ("int 0x80", legacy_call()),
        ("sysenter", sysenter()),
    ] {
        let mut guest = Guest::new(code);
        guest.start(0, 0);
        let vector = guest.expect_exception().0;
        assert!(matches!(vector, 6 | 13), "{name}: {vector}");
    }
}

#[test]
fn a_system_call_behind_mov_ss_is_an_ordinary_one() {
    let mut guest = Guest::new(shadow_call());
    guest.start(0, 0);
    assert_eq!(guest.expect_syscall().0, 0x2B);
    guest.vcpu.answer(0, true);
    assert_eq!(guest.expect_exception().0, 6);
}

#[test]
fn a_program_that_writes_its_gs_base_does_not_reach_the_kernels() {
    let mut guest = Guest::new(write_base());
    guest.start(0, 0);
    // Software KVM executes the instruction although CR4 forbids it.
    match guest.run() {
        Exit::Syscall => {
            guest.vcpu.answer(0, true);
            guest.post(&[entry(Kill, 0, 0, 0)]);
            assert_eq!(guest.run(), Exit::Halt);
        }
        exit => assert_eq!(exit, Exit::KernelCall(KernelCall::Exception)),
    }
}
