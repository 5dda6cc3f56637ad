//! Kicks, the mailbox interrupt, idling.

use std::{sync::mpsc, thread, time::Instant};

use protocol::boot::KernelCall;
use protocol::vcpu::EntryKind::{Complete, Kill, Preempt, Resume, Stop};
use protocol::vcpu::register;
use vmm::machine::{Exit, Injection};

use crate::{
    harness::{Guest, USER, entry},
    program,
};

program!(spin, "2: inc rsi", "jmp 2b");

#[test]
fn no_kick_is_lost() {
    let mut guest = Guest::new(spin());
    guest.start(0, 0);
    let kick = guest.vcpu.kick_handle();
    let (done, wait) = mpsc::channel();
    let kicker = thread::spawn(move || {
        for _ in 0..300 {
            kick.kick();
            // The next only when this one has been reported.
            wait.recv().unwrap();
        }
    });
    let start = Instant::now();
    for _ in 0..300 {
        assert_eq!(guest.run(), Exit::Interrupted);
        done.send(()).unwrap();
    }
    kicker.join().unwrap();
    println!(
        "300 kicks of a running vCPU: {:?} each",
        start.elapsed() / 300
    );
}

#[test]
fn a_kick_of_a_vcpu_that_is_out_takes_effect_at_the_next_run() {
    let mut guest = Guest::new(spin());
    guest.start(0, 0);
    guest.vcpu.kick_handle().kick();
    assert_eq!(guest.run(), Exit::Interrupted);
    let kick = guest.vcpu.kick_handle();
    drop(guest);
    kick.kick();
}

program!(
    call_and_spin,
    "mov eax, 2",
    "syscall",
    "3: cmp rax, 0",
    "je 3b",
    "mov eax, 3",
    "syscall"
);

/// A thread behind its system call, kicked out of its loop by another host thread.
fn kicked_out_of_a_loop() -> Guest {
    let mut guest = Guest::new(call_and_spin());
    guest.start(0, 0);
    assert_eq!(guest.expect_syscall().0, 2);
    guest.vcpu.answer(0, false);
    let kick = guest.vcpu.kick_handle();
    let kicker = thread::spawn(move || kick.kick());
    assert_eq!(guest.run(), Exit::Interrupted);
    kicker.join().unwrap();
    guest
}

/// Injects the mailbox interrupt, however long it is put off.
fn inject(guest: &mut Guest) {
    while guest.vcpu.inject_mailbox().unwrap() == Injection::PutOff {
        assert_eq!(guest.run(), Exit::InterruptWindow);
    }
}

#[test]
fn the_mailbox_interrupt_reaches_a_spinning_program() {
    let mut guest = kicked_out_of_a_loop();
    guest.post(&[entry(Complete, 0, 1, 0), entry(Preempt, 0, 0, 0)]);
    inject(&mut guest);
    assert_eq!(guest.expect_syscall().0, 3);
}

#[test]
fn a_spinning_program_can_be_killed() {
    let mut guest = kicked_out_of_a_loop();
    guest.post(&[entry(Kill, 0, 0, 0)]);
    inject(&mut guest);
    assert_eq!(guest.run(), Exit::Halt);
    assert_eq!(guest.vcpu.area().current_slot().unwrap(), None);
}

#[test]
fn an_idle_vcpu_halts_again_when_the_mailbox_is_empty() {
    let mut guest = Guest::new(spin());
    for _ in 0..3 {
        assert_eq!(guest.run(), Exit::Halt);
    }
    assert_eq!(
        guest.vcpu.inject_mailbox().unwrap(),
        Injection::PutOff,
        "ring 0 takes none"
    );
    assert_eq!(guest.run(), Exit::Halt);
}

program!(illegal, "ud2");

#[test]
fn a_thread_can_be_stopped_before_the_first_instruction_of_its_vcpu() {
    let mut guest = Guest::not_started(1, illegal());
    guest.seat(0, 7);
    guest.vcpu.begin_thread(0).unwrap();
    guest.vcpu.kick_handle().kick();
    assert_eq!(guest.run(), Exit::Interrupted);
    guest.post(&[entry(Stop, 0, 0, 0)]);
    inject(&mut guest);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Stopped));
    let context = guest.vcpu.area().context(0).unwrap();
    assert_eq!((context.rip, context.registers[register::RDI]), (USER, 7));
    // The batch with the order to stop is not drained yet.
    guest.post(&[entry(Resume, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::KernelCall(KernelCall::Mailbox));
    guest.post(&[]);
    assert_eq!(guest.expect_exception().0, 6);
}

#[test]
fn the_first_instruction_of_a_vcpu_can_be_an_exception() {
    let mut guest = Guest::not_started(1, illegal());
    guest.seat(0, 7);
    guest.vcpu.begin_thread(0).unwrap();
    assert_eq!(guest.expect_exception().0, 6);
    let context = guest.vcpu.area().context(0).unwrap();
    assert_eq!((context.rip, context.registers[register::RDI]), (USER, 7));
    guest.post(&[entry(Kill, 0, 0, 0)]);
    assert_eq!(guest.run(), Exit::Halt);
}
