//! Several threads on a vCPU, and several vCPUs.

use std::{thread, time::Instant};

use protocol::{
    boot::{ARENA_BASE, BOOT_ROOT, KernelCall},
    vcpu::EntryKind::{Complete, Flush, Kill, Link, Park, Preempt, Resume},
};
use vmm::machine::{Exit, new_context};

use crate::{
    harness::{Guest, UNMAPPED, USER, entry},
    program,
};

program!(
    keep_sse_state,
    "movq xmm0, rdi",
    "movq xmm15, rdi",
    "push rdi",
    "fild qword ptr [rsp]",
    "2: pxor xmm1, xmm1",
    "mov eax, 1",
    "movq rsi, xmm0",
    "movq rdx, xmm15",
    "syscall",
    "jmp 2b",
);

#[test]
fn threads_take_turns_and_keep_their_sse_state() {
    let mut guest = Guest::new(keep_sse_state());
    for slot in 0..3 {
        guest.start(slot, 100 + u64::from(slot));
        // Let it be taken off the mailbox before the next batch.
        if slot == 0 {
            assert_eq!(guest.expect_syscall(), (1, 100, 100));
        } else {
            guest.vcpu.answer(0, true);
            guest.expect_syscall();
        }
    }
    let mut seen = Vec::new();
    let start = Instant::now();
    for _ in 0..9 {
        guest.post(&[entry(Preempt, 0, 0, 0)]);
        guest.vcpu.answer(0, true);
        let (_, rdi, rsi) = guest.expect_syscall();
        assert_eq!((rsi, guest.vcpu.registers().rdx), (rdi, rdi));
        assert_eq!(guest.vcpu.area().runnable().unwrap(), 2);
        seen.push(rdi);
    }
    println!(
        "a system call and a switch of threads: {:?}",
        start.elapsed() / 9
    );
    assert_eq!(seen, [101, 102, 100, 101, 102, 100, 101, 102, 100]);
}

#[test]
fn a_parked_thread_lets_another_run_and_comes_back() {
    let mut guest = Guest::new(keep_sse_state());
    guest.start(0, 7);
    assert_eq!(guest.expect_syscall().1, 7);
    guest.vcpu.answer(0, true);
    guest.start(1, 8);
    guest.expect_syscall();
    guest.vcpu.answer(0, true);
    guest.post(&[entry(Park, 0, 0, 0)]);
    assert_eq!(guest.expect_syscall(), (1, 8, 8));
    assert_eq!(guest.vcpu.area().current_slot().unwrap(), Some(1));
    guest.vcpu.answer(0, true);
    guest.post(&[entry(Park, 1, 0, 0)]);
    assert_eq!(guest.run(), Exit::Halt);
    guest.post(&[entry(Complete, 1, 0, 0), entry(Kill, 0, 0, 0)]);
    assert_eq!(guest.expect_syscall(), (1, 8, 8));
    assert_eq!(guest.vcpu.area().runnable().unwrap(), 0);
}

program!(
    show_bases,
    "2: mov rsi, fs:[0]",
    "mov rdx, gs:[0]",
    "mov eax, 1",
    "syscall",
    "jmp 2b",
);

#[test]
fn each_thread_has_its_segment_bases() {
    let mut guest = Guest::new(show_bases());
    for slot in 0..2u64 {
        let base = USER + 0x3000 + 0x100 * slot;
        guest.write(base, &(10 + slot).to_le_bytes());
        guest.write(base + 0x80, &(20 + slot).to_le_bytes());
        let mut context = new_context(
            slot as u32,
            guest.root(),
            &protocol::GeneralRegs::at_start(USER, USER + 0x8000, slot, 0),
        );
        context.fs_base = base;
        context.gs_base = base + 0x80;
        guest
            .vcpu
            .area()
            .set_context(slot as u32, &context)
            .unwrap();
    }
    guest.post(&[entry(Resume, 0, 0, 0), entry(Resume, 1, 0, 0)]);
    for turn in 0..6 {
        let (_, slot, fs) = guest.expect_syscall();
        assert_eq!(
            (slot, fs, guest.vcpu.registers().rdx),
            (turn % 2, 10 + slot, 20 + slot)
        );
        let bases = guest.vcpu.segment_bases().unwrap();
        assert_eq!(bases.fs, USER + 0x3000 + 0x100 * slot);
        assert_eq!(bases.gs, bases.fs + 0x80);
        guest.vcpu.answer(0, true);
        guest.post(&[entry(Preempt, 0, 0, 0)]);
    }
}

program!(
    show_what_is_loaded,
    "2: mov rsi, fs:[0]",
    "mov rdx, gs:[0]",
    "push 0",
    "fnstcw [rsp]",
    "stmxcsr [rsp + 4]",
    "pop r8",
    "mov eax, 1",
    "syscall",
    "jmp 2b",
);

#[test]
fn a_thread_is_the_first_that_a_vcpu_runs() {
    let mut guest = Guest::not_started(1, show_what_is_loaded());
    let base = USER + 0x3000;
    guest.write(base, &10u64.to_le_bytes());
    guest.write(base + 0x80, &20u64.to_le_bytes());
    for slot in 0..2 {
        let mut context = new_context(
            slot,
            guest.root(),
            &protocol::GeneralRegs::at_start(USER, USER + 0x8000, slot.into(), 0),
        );
        (context.fs_base, context.gs_base) = (base, base + 0x80);
        guest.vcpu.area().set_context(slot, &context).unwrap();
    }
    guest.vcpu.begin_thread(0).unwrap();
    let seen = |guest: &mut Guest| {
        let (_, slot, fs) = guest.expect_syscall();
        let registers = guest.vcpu.registers();
        assert_eq!((fs, registers.rdx), (10, 20));
        assert_eq!(registers.r8, 0x1F80 << 32 | 0x37F, "MXCSR and FCW");
        assert_eq!(registers.rsp, USER + 0x8000);
        assert_eq!(guest.vcpu.area().current_slot().unwrap(), Some(slot as u32));
        slot
    };
    // A call that is passed through, then a switch there and one back by the guest kernel.
    assert_eq!(seen(&mut guest), 0);
    guest.vcpu.answer(0, false);
    assert_eq!(seen(&mut guest), 0);
    guest.post(&[entry(Resume, 1, 0, 0), entry(Preempt, 0, 0, 0)]);
    guest.vcpu.answer(0, true);
    assert_eq!(seen(&mut guest), 1);
    guest.post(&[entry(Preempt, 1, 0, 0)]);
    guest.vcpu.answer(0, true);
    assert_eq!(seen(&mut guest), 0);
    // Without a thread the boot page tables are loaded.
    guest.post(&[
        entry(Kill, 0, 0, 0),
        entry(Kill, 1, 0, 0),
        entry(Flush, 0, 5, 0),
    ]);
    guest.vcpu.answer(0, true);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Flushed));
    let loaded = guest.vcpu.special_registers().unwrap().cr3;
    assert_eq!(
        (loaded, guest.vcpu.area().root().unwrap()),
        (BOOT_ROOT, BOOT_ROOT)
    );
    assert_eq!(guest.run(), Exit::Halt);
}

#[test]
fn every_slot_of_a_vcpu_can_hold_a_thread() {
    let mut guest = Guest::new(keep_sse_state());
    let mut seen = Vec::new();
    for slot in 0..512 {
        let context = new_context(
            slot,
            guest.root(),
            &protocol::GeneralRegs::at_start(USER, USER + 0x8000, slot.into(), 0),
        );
        guest.vcpu.area().set_context(slot, &context).unwrap();
    }
    let resume: Vec<_> = (0..512).map(|slot| entry(Resume, slot, 0, 0)).collect();
    let mut queue: std::collections::VecDeque<_> = resume.into();
    guest.vcpu.area().post(&mut queue).unwrap();
    while seen.len() < 512 {
        match guest.run() {
            Exit::Syscall => {
                seen.push(guest.vcpu.registers().rdi);
                guest.vcpu.answer(0, true);
                guest.post(&[entry(Preempt, 0, 0, 0)]);
            }
            exit => {
                assert_eq!(exit, Exit::KernelCall(KernelCall::Mailbox));
                guest.vcpu.area().post(&mut queue).unwrap();
            }
        }
    }
    assert_eq!(seen, (0..512).collect::<Vec<u64>>());
}

program!(
    read_again_and_again,
    "2: mov rsi, [rdi]",
    "mov eax, 4",
    "syscall",
    "jmp 2b",
);

#[test]
fn a_link_written_on_one_vcpu_counts_on_the_other() {
    let mut guest = Guest::with_cpus(2, read_again_and_again());
    let mut other = guest.others.remove(0);
    guest.write(USER + 0x5000, &11u64.to_le_bytes());
    guest.write(USER + 0x6000, &22u64.to_le_bytes());
    let page_entry = guest.entry_of(UNMAPPED);
    let link = |page: u64| entry(Link, 0, page_entry, (ARENA_BASE + page) | 7);

    // Both fault; the first vCPU links the page, and the second, which runs after it, finds it.
    guest.start(0, UNMAPPED);
    assert_eq!(guest.expect_exception(), (14, 4, UNMAPPED));
    let context = new_context(
        0,
        guest.root(),
        &protocol::GeneralRegs::at_start(USER, USER + 0x9000, UNMAPPED, 0),
    );
    other.area().set_context(0, &context).unwrap();
    assert_eq!(other.run().unwrap(), Exit::Halt);
    let mut batch = [entry(Resume, 0, 0, 0)].into();
    other.area().post(&mut batch).unwrap();
    assert_eq!(other.run().unwrap(), Exit::PageFault);
    other.answer_page_fault(false);
    assert_eq!(
        other.run().unwrap(),
        Exit::KernelCall(KernelCall::Exception)
    );
    guest.post(&[link(0x5000)]);
    assert_eq!(guest.expect_syscall().2, 11);
    assert_eq!(other.run().unwrap(), Exit::Syscall);
    assert_eq!(other.registers().rsi, 11);

    // The first replaces the link; the second sees it once it has flushed.
    guest.vcpu.answer(0, true);
    guest.post(&[link(0x6000), entry(Flush, 0, 1, 0)]);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Flushed));
    assert_eq!(guest.expect_syscall().2, 22);
    other.answer(0, true);
    other
        .area()
        .post(&mut [entry(Flush, 0, 2, 0)].into())
        .unwrap();
    assert_eq!(other.run().unwrap(), Exit::KernelCall(KernelCall::Flushed));
    assert_eq!(other.run().unwrap(), Exit::Syscall);
    assert_eq!(other.registers().rsi, 22);
}

program!(count, "2: inc rsi", "mov eax, 1", "syscall", "jmp 2b");

#[test]
fn two_vcpus_run_side_by_side() {
    let mut guest = Guest::with_cpus(2, count());
    let mut other = guest.others.remove(0);
    let root = guest.root();
    let on_other = thread::spawn(move || {
        assert_eq!(other.run().unwrap(), Exit::Halt);
        assert_eq!(other.index(), 1);
        let context = new_context(
            0,
            root,
            &protocol::GeneralRegs::at_start(USER, USER + 0x9000, 1, 0),
        );
        other.area().set_context(0, &context).unwrap();
        other
            .area()
            .post(&mut [entry(Resume, 0, 0, 0)].into())
            .unwrap();
        for n in 1..=500 {
            assert_eq!(other.run().unwrap(), Exit::Syscall);
            assert_eq!((other.registers().rdi, other.registers().rsi), (1, n));
            other.answer(0, false);
        }
    });
    guest.start(0, 0);
    for n in 1..=500 {
        assert_eq!(guest.expect_syscall(), (1, 0, n));
        guest.vcpu.answer(0, false);
    }
    on_other.join().unwrap();
}
