//! Every operation against real windows: memfds and userfaultfd, but no KVM. What KVM would see is read back through
//! the same kernel path that KVM uses, which fails on an absent page.

use std::{
    fs,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use protocol::Status;
use zircon::{MemoryOp, MemoryResult, Pages, VmoId};

use super::{
    ArenaGeometry, Memory, MemoryError,
    uffd::Userfaultfd,
    units::{MAX_VMO_PAGES, PAGE_SIZE, UNIT_PAGES},
};

const GIB: u64 = 1 << 30;
const DONE: MemoryResult = MemoryResult::Done;
const INTERNAL: MemoryResult = MemoryResult::Failed(Status::INTERNAL);

/// A memory with an arena of `gib` GiB whose memslots go nowhere.
pub(super) fn memory(gib: u64) -> Memory {
    super::raise_limits();
    let geometry = ArenaGeometry {
        base: 4 * GIB,
        end: (4 + gib) * GIB,
    };
    Memory::new(geometry, Box::new(|_, _, _, _| Ok(())))
        .unwrap_or_else(|error| panic!("these tests need userfaultfd: {error}"))
}

fn vmo(memory: &Memory, id: u64, pages: u64) -> VmoId {
    memory.create(VmoId(id), pages).unwrap();
    VmoId(id)
}

fn pages(vmo: VmoId, first: u64, count: u64) -> Pages {
    Pages { vmo, first, count }
}

fn zero(memory: &Memory, vmo: VmoId, first: u64, count: u64) {
    assert_eq!(
        memory.perform(&MemoryOp::Zero(pages(vmo, first, count))),
        DONE
    );
}

fn read(memory: &Memory, vmo: VmoId, offset: u64, length: usize) -> MemoryResult {
    memory.perform(&MemoryOp::Read {
        vmo,
        offset,
        length,
    })
}

fn write(memory: &Memory, vmo: VmoId, offset: u64, bytes: &[u8]) -> MemoryResult {
    memory.perform(&MemoryOp::Write {
        vmo,
        offset,
        bytes: bytes.to_vec(),
    })
}

fn filled(byte: u8, length: usize) -> MemoryResult {
    MemoryResult::Bytes(vec![byte; length])
}

/// A page-sized buffer of one byte.
fn page_of(byte: u8) -> Vec<u8> {
    vec![byte; PAGE_SIZE as usize]
}

fn present(memory: &Memory, vmo: VmoId, page: u64) -> bool {
    read(memory, vmo, page * PAGE_SIZE, 1) != INTERNAL
}

#[test]
fn an_untouched_vmo_costs_nothing() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, UNIT_PAGES * 1000);
    assert_eq!(
        memory.perform(&MemoryOp::Decommit(pages(vmo, 0, UNIT_PAGES))),
        DONE
    );
    assert!(memory.window(vmo).unwrap().file().is_none());
    assert_eq!(memory.locate(4 * GIB), None);
    assert_eq!(memory.resident(vmo).unwrap(), 0);
    memory.destroy(vmo).unwrap();
}

#[test]
fn placing_makes_nothing_present() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 100);
    let place = memory.place(vmo, 77).unwrap();
    assert_eq!((place.first_page, place.pages), (0, 128));
    assert_eq!(memory.place(vmo, 5).unwrap(), place);
    assert!(!present(&memory, vmo, 77));
    assert_eq!(memory.resident(vmo).unwrap(), 0);
    assert_eq!(
        memory.locate(place.gpa + 77 * PAGE_SIZE + 123),
        Some((vmo, 77))
    );
}

#[test]
fn zero_read_write_clear() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 8);
    zero(&memory, vmo, 2, 3);
    assert_eq!(memory.resident(vmo).unwrap(), 3 * PAGE_SIZE);
    let offset = 2 * PAGE_SIZE;
    assert_eq!(read(&memory, vmo, offset, 3 * 4096), filled(0, 3 * 4096));
    assert_eq!(write(&memory, vmo, offset + 4000, &[7; 200]), DONE);
    assert_eq!(read(&memory, vmo, offset + 4000, 200), filled(7, 200));
    let clear = MemoryOp::Clear {
        vmo,
        offset: offset + 4050,
        length: 100,
    };
    assert_eq!(memory.perform(&clear), DONE);
    assert_eq!(read(&memory, vmo, offset + 4000, 50), filled(7, 50));
    assert_eq!(read(&memory, vmo, offset + 4050, 100), filled(0, 100));
    assert_eq!(read(&memory, vmo, offset + 4150, 50), filled(7, 50));
}

#[test]
fn absent_pages_fail_every_access_and_stay_absent() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 8);
    zero(&memory, vmo, 0, 2);
    let across = 2 * PAGE_SIZE - 10;
    assert_eq!(read(&memory, vmo, across, 20), INTERNAL);
    assert_eq!(write(&memory, vmo, across, &[1; 20]), INTERNAL);
    let clear = MemoryOp::Clear {
        vmo,
        offset: across,
        length: 20,
    };
    assert_eq!(memory.perform(&clear), INTERNAL);
    assert_eq!(memory.resident(vmo).unwrap(), 2 * PAGE_SIZE);
    assert_eq!(read(&memory, vmo, u64::MAX, 2), INTERNAL);
    assert_eq!(read(&memory, VmoId(9), 0, 1), INTERNAL);
    assert_eq!(read(&memory, vmo, 0, 0), MemoryResult::Bytes(Vec::new()));
}

#[test]
fn a_copy_stops_at_an_absent_page_of_either_side() {
    let memory = memory(1);
    let (a, b) = (vmo(&memory, 1, 8), vmo(&memory, 2, 8));
    zero(&memory, a, 0, 2);
    zero(&memory, b, 0, 4);
    let copy = |from, to| {
        let (from_offset, to_offset, length) = (0, 0, 3 * PAGE_SIZE);
        memory.perform(&MemoryOp::Copy {
            from,
            from_offset,
            to,
            to_offset,
            length,
        })
    };
    assert_eq!(copy(a, b), INTERNAL);
    assert_eq!(copy(b, a), INTERNAL);
    assert_eq!(memory.resident(a).unwrap(), 2 * PAGE_SIZE);
    zero(&memory, a, 2, 1);
    assert_eq!(copy(a, b), DONE);
}

#[test]
fn copies_cross_pages_of_different_chunks() {
    let memory = memory(4);
    let (a, b) = (vmo(&memory, 1, 4), vmo(&memory, 2, UNIT_PAGES * 2));
    // `a` has chunks 0..4 and 4..8, `b` a border between two units.
    zero(&memory, a, 0, 4);
    zero(&memory, a, 4, 3);
    assert_ne!(memory.place(a, 3).unwrap(), memory.place(a, 4).unwrap());
    zero(&memory, b, UNIT_PAGES - 2, 4);
    let text: Vec<u8> = (0..6 * 4096_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(write(&memory, a, 100, &text), DONE);
    let to_offset = (UNIT_PAGES - 2) * PAGE_SIZE + 1000;
    let length = 3 * PAGE_SIZE;
    let copy = MemoryOp::Copy {
        from: a,
        from_offset: PAGE_SIZE * 3,
        to: b,
        to_offset,
        length,
    };
    assert_eq!(memory.perform(&copy), DONE);
    let start = 3 * 4096 - 100;
    let expected = MemoryResult::Bytes(text[start..start + 3 * 4096].to_vec());
    assert_eq!(read(&memory, b, to_offset, 3 * 4096), expected);
}

#[test]
fn a_move_leaves_the_source_absent() {
    let memory = memory(4);
    let (aux, target) = (vmo(&memory, 1, 3), vmo(&memory, 2, UNIT_PAGES * 2));
    zero(&memory, aux, 0, 3);
    zero(&memory, aux, 3, 3);
    for page in 0..6 {
        assert_eq!(
            write(&memory, aux, page * PAGE_SIZE, &page_of(page as u8 + 1)),
            DONE
        );
    }
    let to_first = UNIT_PAGES - 2;
    let op = MemoryOp::Move {
        from: pages(aux, 1, 5),
        to: target,
        to_first,
    };
    assert_eq!(memory.perform(&op), DONE);
    assert!(present(&memory, aux, 0));
    for page in 1..6 {
        assert!(!present(&memory, aux, page));
        let offset = (to_first + page - 1) * PAGE_SIZE;
        assert_eq!(
            read(&memory, target, offset, 4096),
            filled(page as u8 + 1, 4096)
        );
    }
    assert_eq!(memory.resident(aux).unwrap(), PAGE_SIZE);
    assert_eq!(memory.resident_total(), 6 * PAGE_SIZE);
}

#[test]
fn a_failed_move_changes_nothing() {
    let memory = memory(1);
    let (aux, target) = (vmo(&memory, 1, 8), vmo(&memory, 2, 8));
    zero(&memory, aux, 0, 2);
    zero(&memory, target, 0, 1);
    let op = MemoryOp::Move {
        from: pages(aux, 0, 4),
        to: target,
        to_first: 1,
    };
    assert_eq!(memory.perform(&op), INTERNAL);
    assert_eq!(memory.resident(aux).unwrap(), 2 * PAGE_SIZE);
    assert_eq!(memory.resident(target).unwrap(), PAGE_SIZE);
    // Source pages that were never placed.
    let op = MemoryOp::Move {
        from: pages(aux, 8, 1),
        to: target,
        to_first: 1,
    };
    assert_eq!(memory.perform(&op), INTERNAL);
}

#[test]
fn decommitted_pages_come_back_as_zeros() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 8);
    zero(&memory, vmo, 0, 4);
    assert_eq!(write(&memory, vmo, 0, &[9; 4 * 4096]), DONE);
    assert_eq!(
        memory.perform(&MemoryOp::Decommit(pages(vmo, 1, 200))),
        DONE
    );
    assert_eq!(memory.resident(vmo).unwrap(), PAGE_SIZE);
    assert!(!present(&memory, vmo, 1));
    zero(&memory, vmo, 1, 1);
    assert_eq!(read(&memory, vmo, 4095, 2), MemoryResult::Bytes(vec![9, 0]));
}

#[test]
fn present_pages_are_never_replaced() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 8);
    zero(&memory, vmo, 2, 1);
    assert_eq!(write(&memory, vmo, 2 * PAGE_SIZE, &page_of(9)), DONE);
    assert_eq!(memory.supply(vmo, 0, &[5; 5 * 4096]), DONE);
    zero(&memory, vmo, 0, 8);
    for (page, byte) in [(0, 5), (1, 5), (2, 9), (3, 5), (4, 5), (5, 0), (7, 0)] {
        assert_eq!(
            read(&memory, vmo, page * PAGE_SIZE, 4096),
            filled(byte, 4096)
        );
    }
}

#[test]
fn supplies_are_whole_pages() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 8);
    assert_eq!(memory.supply(vmo, 0, &[1; 5000]), INTERNAL);
    assert_eq!(memory.supply(vmo, 0, &[]), DONE);
    assert_eq!(memory.supply(VmoId(2), 0, &[1; 4096]), INTERNAL);
    assert_eq!(memory.resident(vmo).unwrap(), 0);
}

#[test]
fn zeros_are_copied_where_zeropage_is_missing() {
    let geometry = ArenaGeometry {
        base: 4 * GIB,
        end: 5 * GIB,
    };
    let uffd = Userfaultfd::open().unwrap().without_zeropage();
    let memory = Memory::with_uffd(geometry, uffd, Box::new(|_, _, _, _| Ok(()))).unwrap();
    let vmo = vmo(&memory, 1, 64);
    zero(&memory, vmo, 20, 1);
    assert_eq!(write(&memory, vmo, 20 * PAGE_SIZE, &[1]), DONE);
    zero(&memory, vmo, 0, 40);
    assert_eq!(memory.resident(vmo).unwrap(), 40 * PAGE_SIZE);
    assert_eq!(read(&memory, vmo, 39 * PAGE_SIZE, 4096), filled(0, 4096));
    assert_eq!(read(&memory, vmo, 20 * PAGE_SIZE, 1), filled(1, 1));
}

#[test]
fn chunks_are_aligned_like_their_offsets() {
    let memory = memory(8);
    let vmo = vmo(&memory, 1, 3);
    let small = memory.place(vmo, 0).unwrap();
    assert_eq!((small.first_page, small.pages), (0, 4));
    memory.set_size_hint(vmo, UNIT_PAGES + 700).unwrap();
    for (page, first_page, pages) in [
        (4, 4, 4),
        (1 << 17, 1 << 17, 1 << 17),
        (1000, 512, 512),
        (UNIT_PAGES, UNIT_PAGES, 1024),
        (3 * UNIT_PAGES + 513, 3 * UNIT_PAGES, 1024),
    ] {
        let place = memory.place(vmo, page).unwrap();
        assert_eq!(
            (place.first_page, place.pages),
            (first_page, pages),
            "page {page:#x}"
        );
        assert_eq!(place.gpa % (place.pages * PAGE_SIZE), 0);
        assert_eq!(memory.locate(place.gpa), Some((vmo, first_page)));
    }
}

#[test]
fn the_largest_vmo_has_a_last_page_and_none_after() {
    let memory = memory(4);
    let vmo = vmo(&memory, 1, MAX_VMO_PAGES);
    let last = MAX_VMO_PAGES - 1;
    assert_eq!(memory.supply(vmo, last, &page_of(3)), DONE);
    zero(&memory, vmo, 0, 1);
    assert_eq!(read(&memory, vmo, last * PAGE_SIZE, 4096), filled(3, 4096));
    assert_eq!(memory.resident(vmo).unwrap(), 2 * PAGE_SIZE);
    let error = memory.place(vmo, MAX_VMO_PAGES).unwrap_err();
    assert!(matches!(error, MemoryError::OutOfRange { .. }), "{error}");
    assert_eq!(memory.supply(vmo, last, &[0; 8192]), INTERNAL);
}

/// Mappings of the VMO's file in this process.
fn mappings(memory: &Memory, vmo: VmoId) -> usize {
    let window = memory.window(vmo).unwrap();
    let name = format!("/memfd:zvmm-vmo-{} ", vmo.0);
    assert!(window.file().is_some());
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains(&name)).count()
}

#[test]
fn a_sparse_tebibyte_costs_what_is_touched() {
    let memory = memory(16);
    let vmo = vmo(&memory, 0xF00D_0001, 1024 * UNIT_PAGES);
    let touched = [
        0,
        5,
        UNIT_PAGES - 1,
        300 * UNIT_PAGES,
        1023 * UNIT_PAGES + 9,
    ];
    for page in touched {
        zero(&memory, vmo, page, 1);
    }
    assert_eq!(
        memory.resident(vmo).unwrap(),
        touched.len() as u64 * PAGE_SIZE
    );
    assert!(mappings(&memory, vmo) <= 3);
    assert_eq!(
        memory.perform(&MemoryOp::Decommit(pages(vmo, 0, 1024 * UNIT_PAGES))),
        DONE
    );
    assert_eq!(memory.resident(vmo).unwrap(), 0);
}

#[test]
fn a_thousand_vmos_share_a_slot() {
    let slots = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&slots);
    super::raise_limits();
    let geometry = ArenaGeometry {
        base: 4 * GIB,
        end: 64 * GIB,
    };
    let add = move |_, _, _, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let memory = Memory::new(geometry, Box::new(add)).unwrap();
    for id in 0..1000 {
        let vmo = vmo(&memory, id, 10);
        assert_eq!(memory.supply(vmo, 3, &page_of(id as u8)), DONE);
    }
    assert_eq!(slots.load(Ordering::Relaxed), 1);
    assert_eq!(memory.resident_total(), 1000 * PAGE_SIZE);
    for id in 0..1000 {
        assert_eq!(
            read(&memory, VmoId(id), 3 * PAGE_SIZE, 4096),
            filled(id as u8, 4096)
        );
        memory.destroy(VmoId(id)).unwrap();
    }
    assert_eq!(memory.resident_total(), 0);
}

#[test]
fn addresses_are_used_again_without_what_was_there() {
    let memory = memory(1);
    let old = vmo(&memory, 1, UNIT_PAGES);
    zero(&memory, old, 0, 2);
    assert_eq!(write(&memory, old, 0, &[0xEE; 8192]), DONE);
    let place = memory.place(old, 0).unwrap();
    memory.destroy(old).unwrap();
    assert_eq!(memory.locate(place.gpa), None);
    assert!(matches!(memory.destroy(old), Err(MemoryError::Unknown(_))));

    let new = vmo(&memory, 1, UNIT_PAGES);
    assert_eq!(memory.place(new, 0).unwrap().gpa, place.gpa);
    assert!(!present(&memory, new, 0));
    zero(&memory, new, 0, 1);
    assert_eq!(read(&memory, new, 0, 4096), filled(0, 4096));
    assert!(!present(&memory, new, 1));
    assert!(matches!(memory.create(new, 1), Err(MemoryError::Exists(_))));
}

#[test]
fn a_full_arena_is_no_memory_and_recovers() {
    let memory = memory(1);
    let (a, b) = (vmo(&memory, 1, UNIT_PAGES), vmo(&memory, 2, 1));
    zero(&memory, a, 0, 1);
    let op = MemoryOp::Zero(pages(b, 0, 1));
    assert_eq!(memory.perform(&op), MemoryResult::Failed(Status::NO_MEMORY));
    memory.destroy(a).unwrap();
    assert_eq!(memory.perform(&op), DONE);
}

#[test]
fn threads_supply_pages_of_one_vmo() {
    const THREADS: u64 = 4;
    const EACH: u64 = 200;
    let memory = memory(2);
    let vmo = vmo(&memory, 1, 1);
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (memory, start) = (&memory, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let page = n * THREADS + thread;
                    assert_eq!(memory.supply(vmo, page, &page_of(page as u8)), DONE);
                    let place = memory.place(vmo, page).unwrap();
                    let gpa = place.gpa + (page - place.first_page) * PAGE_SIZE;
                    assert_eq!(memory.locate(gpa), Some((vmo, page)));
                }
            });
        }
    });
    for page in 0..THREADS * EACH {
        assert_eq!(
            read(&memory, vmo, page * PAGE_SIZE, 4096),
            filled(page as u8, 4096)
        );
    }
}

#[test]
fn the_same_page_supplied_by_two_threads_is_installed_once() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 64);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for byte in [1, 2] {
            let (memory, start) = (&memory, &start);
            scope.spawn(move || {
                start.wait();
                assert_eq!(memory.supply(vmo, 0, &[byte; 64 * 4096]), DONE);
            });
        }
    });
    assert_eq!(memory.resident(vmo).unwrap(), 64 * PAGE_SIZE);
    for page in 0..64 {
        let MemoryResult::Bytes(bytes) = read(&memory, vmo, page * PAGE_SIZE, 4096) else {
            panic!("page {page} is absent");
        };
        assert!(bytes == page_of(1) || bytes == page_of(2));
    }
}

#[test]
fn destroying_waits_for_no_one_and_confuses_no_one() {
    let memory = memory(4);
    thread::scope(|scope| {
        for id in 1..=3 {
            let memory = &memory;
            scope.spawn(move || {
                for round in 0..100 {
                    let vmo = vmo(memory, id, 1 << (round % 12));
                    let byte = (id * 50 + round % 50) as u8;
                    assert_eq!(memory.supply(vmo, 0, &page_of(byte)), DONE);
                    assert_eq!(read(memory, vmo, 0, 4096), filled(byte, 4096));
                    memory.destroy(vmo).unwrap();
                }
            });
        }
    });
    assert_eq!(memory.resident_total(), 0);
}
