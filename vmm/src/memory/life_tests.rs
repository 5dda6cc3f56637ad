//! Where chunks come and go: placement, cost, re-use of addresses, several threads.

use std::{
    fs,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use protocol::Status;
use zircon::{MemoryOp, MemoryResult, Storage, VmoId};

use super::{
    ArenaGeometry, Memory, MemoryError,
    tests::{
        DONE, GIB, INTERNAL, filled, memory, page_of, pages, present, read, vmo, watch, write, zero,
    },
    units::{MAX_VMO_PAGES, PAGE_SIZE, SLOT_PAGES, UNIT_PAGES},
};

#[test]
fn chunks_are_aligned_like_their_offsets() {
    let memory = memory(8);
    let vmo = vmo(&memory, 1, 3);
    let small = memory.place(vmo, 0).unwrap();
    assert_eq!((small.first_page, small.pages), (0, 4));
    memory.set_size_hint(vmo, UNIT_PAGES + 700).unwrap();
    for (page, first_page, pages) in [
        (4, 4, 4),
        // Of a chunk of half a GiB; what is placed lies in one memslot.
        (1 << 17, 1 << 17, SLOT_PAGES),
        (
            (1 << 17) + 5 * SLOT_PAGES + 1,
            (1 << 17) + 5 * SLOT_PAGES,
            SLOT_PAGES,
        ),
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
fn mappings(vmo: VmoId) -> usize {
    let name = format!("/memfd:zvmm-vmo-{} ", vmo.0);
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
    assert!(mappings(vmo) <= 3);
    assert_eq!(
        memory.perform(&MemoryOp::Decommit {
            pages: pages(vmo, 0, 1024 * UNIT_PAGES),
            inherited: false
        }),
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
    let memory = Memory::with_watch(geometry, watch(), Box::new(add)).unwrap();
    for id in 0..1000 {
        let vmo = vmo(&memory, id, 10);
        assert_eq!(memory.supply(vmo, 3, &page_of(id as u8)), DONE);
        memory.place(vmo, 3).unwrap();
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
    assert!(matches!(
        memory.create(new, Storage::of(1)),
        Err(MemoryError::Exists(_))
    ));
}

#[test]
fn a_full_arena_is_no_memory_and_recovers() {
    let memory = memory(1);
    let (a, b) = (vmo(&memory, 1, UNIT_PAGES), vmo(&memory, 2, 1));
    zero(&memory, a, 0, 1);
    let op = MemoryOp::Zero {
        pages: pages(b, 0, 1),
        protect: false,
    };
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
