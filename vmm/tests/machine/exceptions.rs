//! Exceptions of ring 3, page-table links and flushes.

use protocol::{
    boot::{ARENA_BASE, KERNEL_BASE, KernelCall, RAM_SIZE},
    vcpu::EntryKind::{Flush, Kill, Link, Resume},
};
use vmm::machine::Exit;

use crate::{
    harness::{Guest, UNMAPPED, USER, entry},
    program,
};

program!(invalid_opcode, "ud2");
program!(privileged, "hlt");
program!(port_write, "mov eax, 1", "out 0x5A, al");
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
    let cases: [(&str, &[u8], u64); 10] = [
        ("ud2", invalid_opcode(), 6),
        ("hlt", privileged(), 13),
        ("out al", port_write(), 13),
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
fn an_idle_vcpu_leaves_the_page_tables_on_a_flush() {
    let mut guest = Guest::new(invalid_opcode());
    guest.start(0, 0);
    guest.expect_exception();
    guest.post(&[entry(Kill, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::Halt);
    assert_eq!(guest.vcpu.area().root().unwrap(), guest.root());
    guest.post(&[entry(Flush, 0, 1, 0)]);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Flushed));
    assert_eq!(
        guest.vcpu.special_registers().unwrap().cr3,
        vmm::machine::BOOT_ROOT
    );
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
    let message = guest.panic_message();
    assert!(message.contains("link outside guest RAM"), "{message}");
}
