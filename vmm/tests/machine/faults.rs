//! Guest-physical memory that is not there.

use protocol::{
    boot::ARENA_BASE,
    vcpu::EntryKind::{Park, Preempt, Resume},
};
use vmm::machine::{Exit, Injection, MmioAccess, new_context};

use crate::{
    harness::{Guest, NO_SLOT, USER, entry},
    program,
};

program!(
    read_and_call,
    "2: mov rsi, [rdi]",
    "mov eax, 4",
    "syscall",
    "jmp 2b"
);
program!(write_and_call, "mov [rdi], rdi", "mov eax, 4", "syscall");
program!(
    shadow_and_read,
    "mov eax, 0x2B",
    "mov ss, eax",
    "mov rsi, [rdi]",
    "mov eax, 4",
    "syscall",
);
program!(call_only, "2: mov eax, 6", "syscall", "jmp 2b");

const ABSENT: u64 = USER + 0x5000;

fn expect_fault(guest: &mut Guest) {
    match guest.run() {
        Exit::Fault { gpa } => {
            assert!(gpa.is_none_or(|gpa| gpa & !0xFFF == ARENA_BASE + ABSENT - USER));
        }
        exit => panic!("{exit:?}"),
    }
}

#[test]
fn a_fault_restarts_once_the_page_is_there() {
    for code in [read_and_call(), write_and_call()] {
        let mut guest = Guest::new(code);
        guest.set_present(ABSENT, false);
        guest.start(0, ABSENT);
        expect_fault(&mut guest);
        assert!(guest.vcpu.registers().rip < USER + 4096);
        expect_fault(&mut guest);
        guest.set_present(ABSENT, true);
        assert_eq!(guest.expect_syscall().0, 4);
    }
}

/// The faulting thread is parked by interrupt, another runs on the vCPU, the first comes back.
fn park_at_fault(code: &[u8]) {
    let mut guest = Guest::new(code);
    guest.write(USER + 0x800, call_only());
    guest.start(0, ABSENT);
    guest.set_present(ABSENT, false);
    expect_fault(&mut guest);
    let other = new_context(
        1,
        guest.root(),
        &protocol::GeneralRegs::at_start(USER + 0x800, USER + 0x8000, 1, 0),
    );
    guest.vcpu.area().set_context(1, &other).unwrap();
    guest.post(&[entry(Park, 0, 0, 0), entry(Resume, 1, 0, 0)]);
    assert_eq!(guest.vcpu.inject_mailbox().unwrap(), Injection::Done);
    assert_eq!(guest.expect_syscall().0, 6);
    assert_eq!(guest.vcpu.area().current_slot().unwrap(), Some(1));
    let rip = guest.vcpu.area().context(0).unwrap().rip;
    assert!((USER..USER + 0x40).contains(&rip));

    guest.set_present(ABSENT, true);
    guest.write(ABSENT, &4242u64.to_le_bytes());
    guest.vcpu.answer(0, true);
    guest.post(&[entry(Resume, 0, 0, 0), entry(Preempt, 0, 0, 0)]);
    assert_eq!(guest.expect_syscall(), (4, ABSENT, 4242));
}

#[test]
fn a_thread_can_be_parked_at_its_fault() {
    park_at_fault(read_and_call());
}

#[test]
fn a_fault_behind_mov_ss_can_be_parked_all_the_same() {
    park_at_fault(shadow_and_read());
}

#[test]
fn a_read_where_no_memslot_is_can_be_discarded_and_restarted() {
    let mut guest = Guest::new(read_and_call());
    let gpa = ARENA_BASE + NO_SLOT - USER;
    guest.start(0, NO_SLOT);
    let exit = guest.run();
    assert_eq!(
        exit,
        Exit::Mmio {
            gpa,
            access: MmioAccess::Read { len: 8 }
        }
    );
    let before = *guest.vcpu.registers();
    guest.vcpu.discard_mmio().unwrap();
    assert_eq!(*guest.vcpu.registers(), before);

    guest.write(USER + 0x5000, &[7; 8]);
    guest.add_alias(1, gpa, USER + 0x5000);
    let exit = guest.run();
    let exit = if exit == Exit::Interrupted {
        guest.run()
    } else {
        exit
    };
    assert_eq!(exit, Exit::Syscall);
    assert_eq!(guest.vcpu.registers().rsi, 0x0707_0707_0707_0707);
}

#[test]
fn a_write_where_no_memslot_is_hands_over_what_is_written() {
    let mut guest = Guest::new(write_and_call());
    guest.start(0, NO_SLOT);
    let gpa = ARENA_BASE + NO_SLOT - USER;
    let access = MmioAccess::Write {
        data: NO_SLOT.to_le_bytes(),
        len: 8,
    };
    assert_eq!(guest.run(), Exit::Mmio { gpa, access });
    assert_eq!(guest.expect_syscall().0, 4);
}
