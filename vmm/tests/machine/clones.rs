//! VMOs that share pages, and pages whose writes are noted, as a guest meets them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use protocol::{PAGE_SIZE, boot::ARENA_BASE};
use vmm::{
    machine::Exit,
    memory::{ArenaGeometry, Memory},
};
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId, Writes};

use crate::{
    harness::{Guest, USER},
    program,
};

const GIB: u64 = 1 << 30;
const DONE: MemoryResult = MemoryResult::Done;
const PARENT: VmoId = VmoId(1);
const CHILD: VmoId = VmoId(2);
/// Where the guest sees the VMO under test.
const SEEN: u64 = USER + 0x8000;

// Tells what it reads, and writes what it is answered.
program!(
    read_then_write,
    "2: mov rsi, [rdi]",
    "mov eax, 4",
    "syscall",
    "mov [rdi], rax",
    "jmp 2b",
);
// The first page is never behind the second.
program!(
    count_in_two_pages,
    "2: inc rsi",
    "mov [rdi], rsi",
    "mov [rdi + 4096], rsi",
    "jmp 2b",
);

/// A guest, and memory above what the guest has of its own.
fn stage(code: &[u8]) -> (Guest, Memory) {
    let guest = Guest::new(code);
    let slots = guest.machine.memslots();
    let base = ARENA_BASE + GIB;
    let geometry = ArenaGeometry {
        base,
        end: base + GIB,
    };
    let add = move |index: u32, gpa, host, length| {
        slots.add(index + 1, gpa, host, length).map_err(Into::into)
    };
    let memory = Memory::new(geometry, Box::new(add)).unwrap();
    (guest, memory)
}

/// Lets the guest see two pages of a VMO.
fn show(guest: &Guest, memory: &Memory, vmo: VmoId) {
    for page in 0..2 {
        let place = memory.place(vmo, page).unwrap();
        let gpa = place.gpa + (page - place.first_page) * PAGE_SIZE;
        let entry = guest.entry_of(SEEN + page * PAGE_SIZE);
        guest.machine.ram().write_u64(entry, gpa | 7).unwrap();
    }
}

fn pages(vmo: VmoId, count: u64) -> Pages {
    let first = 0;
    Pages { vmo, first, count }
}

fn supply(memory: &Memory, vmo: VmoId, value: u64) {
    let content = value.to_le_bytes().repeat(PAGE_SIZE as usize / 8);
    assert_eq!(memory.supply(vmo, 0, &content), DONE);
}

fn value(memory: &Memory, vmo: VmoId, page: u64) -> u64 {
    let op = MemoryOp::Read {
        vmo,
        offset: page * PAGE_SIZE,
        length: 8,
    };
    match memory.perform(&op) {
        MemoryResult::Bytes(bytes) => u64::from_le_bytes(bytes.try_into().unwrap()),
        other => panic!("page {page} of {vmo:?}: {other:?}"),
    }
}

fn noted(pages: u64) -> Storage {
    Storage {
        writes: Writes::Noted,
        ..Storage::of(pages)
    }
}

fn expect_fault(guest: &mut Guest) {
    assert!(matches!(guest.run(), Exit::Fault { .. }));
}

#[test]
fn a_clone_shares_what_it_reads_and_its_first_write_is_one_exit() {
    // The large one is armed block by block, the small one at once.
    for size in [2, 4096] {
        let (mut guest, memory) = stage(read_then_write());
        memory.create(PARENT, noted(size)).unwrap();
        memory.create(CHILD, Storage::of(size)).unwrap();
        memory.view(pages(CHILD, size), PARENT, 0).unwrap();
        show(&guest, &memory, CHILD);
        guest.start(0, SEEN);
        expect_fault(&mut guest);
        supply(&memory, PARENT, 11);
        assert_eq!(guest.expect_syscall().2, 11);

        // What the parent comes to hold shows through, until the clone writes.
        let bytes = 12u64.to_le_bytes().to_vec();
        let (vmo, offset) = (PARENT, 0);
        let write = MemoryOp::Write { vmo, offset, bytes };
        assert_eq!(memory.perform(&write), DONE);
        assert_eq!(value(&memory, CHILD, 0), 12);
        guest.vcpu.answer(21, false);
        expect_fault(&mut guest);
        let (pages, inherited) = (pages(CHILD, 1), false);
        assert_eq!(memory.perform(&MemoryOp::Fork { pages, inherited }), DONE);
        assert_eq!(guest.expect_syscall().2, 21);
        guest.vcpu.answer(22, false);
        assert_eq!(guest.expect_syscall().2, 22);
        assert_eq!(value(&memory, PARENT, 0), 12);
    }
}

#[test]
fn a_noted_write_is_no_exit_and_an_evicted_page_is_absent() {
    let (mut guest, memory) = stage(read_then_write());
    memory.create(PARENT, noted(2)).unwrap();
    show(&guest, &memory, PARENT);
    supply(&memory, PARENT, 11);
    let pages = pages(PARENT, 1);
    let scan = |protect| memory.perform(&MemoryOp::Scan { pages, protect });
    let (nothing, first) = (Vec::new(), std::iter::once(0..1).collect::<Vec<_>>());
    let (nothing, first) = (MemoryResult::Written(nothing), MemoryResult::Written(first));
    guest.start(0, SEEN);
    assert_eq!(guest.expect_syscall().2, 11);
    assert_eq!(scan(false), nothing);
    guest.vcpu.answer(21, false);
    assert_eq!(guest.expect_syscall().2, 21);
    assert_eq!(scan(true), first);
    assert_eq!(scan(false), nothing);
    guest.vcpu.answer(22, false);
    assert_eq!(guest.expect_syscall().2, 22);
    assert_eq!(memory.perform(&MemoryOp::Evict(pages)), first);
    assert_eq!(scan(true), first);
    assert_eq!(memory.perform(&MemoryOp::Evict(pages)), nothing);
    guest.vcpu.answer(23, false);
    expect_fault(&mut guest);
    supply(&memory, PARENT, 22);
    assert_eq!(guest.expect_syscall().2, 23);
    assert_eq!(scan(false), first);
}

#[test]
fn a_vmo_is_frozen_in_one_moment_under_a_running_vcpu() {
    const ROUNDS: u64 = 60;
    let (mut guest, memory) = stage(count_in_two_pages());
    memory.create(PARENT, Storage::of(2)).unwrap();
    let (pages_of_it, protect) = (pages(PARENT, 2), false);
    let zero = MemoryOp::Zero {
        pages: pages_of_it,
        protect,
    };
    assert_eq!(memory.perform(&zero), DONE);
    show(&guest, &memory, PARENT);
    guest.start(0, SEEN);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut newest = 0;
            for round in 0..ROUNDS {
                newest = freeze_once(&memory, VmoId(100 + round), newest, || {
                    // The guest comes out at its next write.
                    stop.store(round == ROUNDS - 1, Ordering::Relaxed);
                    round < ROUNDS - 1
                });
            }
            assert!(newest > 0);
        });
        while !stop.load(Ordering::Relaxed) {
            let exit = guest.run();
            assert!(matches!(exit, Exit::Fault { .. }), "{exit:?}");
            thread::yield_now();
        }
    });
}

/// Freezes the parent as `into`, and lets it go on if `go_on` says so; the frozen number of its second page.
fn freeze_once(memory: &Memory, into: VmoId, newest: u64, go_on: impl FnOnce() -> bool) -> u64 {
    memory.create(into, Storage::of(2)).unwrap();
    let (vmo, owned) = (PARENT, std::iter::once(0..2).collect());
    let freeze = MemoryOp::Freeze { vmo, into, owned };
    assert_eq!(memory.perform(&freeze), DONE);
    let (first, second) = (value(memory, into, 0), value(memory, into, 1));
    assert!(first == second || first == second + 1, "{first} {second}");
    assert!(second >= newest, "{second} {newest}");
    if go_on() {
        let (pages, inherited) = (pages(PARENT, 2), false);
        let fork = MemoryOp::Fork { pages, inherited };
        assert_eq!(memory.perform(&fork), DONE);
        thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(value(memory, into, 0), first);
    second
}
