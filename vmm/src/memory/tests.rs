//! Every operation against real windows: memfds and userfaultfd, but no KVM. What KVM would see is
//! read back through the same kernel path that KVM uses, which fails on an absent page.

use protocol::Status;
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId};

use super::{
    ArenaGeometry, Memory,
    units::{PAGE_SIZE, UNIT_PAGES},
    watch::Watch,
};

pub(super) const GIB: u64 = 1 << 30;
pub(super) const DONE: MemoryResult = MemoryResult::Done;
pub(super) const INTERNAL: MemoryResult = MemoryResult::Failed(Status::INTERNAL);

/// A memory with an arena of `gib` GiB whose memslots go nowhere.
pub(super) fn memory(gib: u64) -> Memory {
    super::raise_limits();
    let geometry = ArenaGeometry {
        base: 4 * GIB,
        end: (4 + gib) * GIB,
    };
    Memory::with_watch(geometry, watch(), Box::new(|_, _, _, _| Ok(()))).unwrap()
}

/// Descriptors, or a failure that says what to do.
pub(super) fn watch() -> Watch {
    Watch::open().unwrap_or_else(|error| panic!("this test needs userfaultfd: {error}"))
}

pub(super) fn vmo(memory: &Memory, id: u64, pages: u64) -> VmoId {
    memory.create(VmoId(id), Storage::of(pages)).unwrap();
    VmoId(id)
}

pub(super) fn pages(vmo: VmoId, first: u64, count: u64) -> Pages {
    Pages { vmo, first, count }
}

pub(super) fn zero(memory: &Memory, vmo: VmoId, first: u64, count: u64) {
    assert_eq!(
        memory.perform(&MemoryOp::Zero {
            pages: pages(vmo, first, count),
            protect: false
        }),
        DONE
    );
}

pub(super) fn read(memory: &Memory, vmo: VmoId, offset: u64, length: usize) -> MemoryResult {
    memory.perform(&MemoryOp::Read {
        vmo,
        offset,
        length,
    })
}

pub(super) fn write(memory: &Memory, vmo: VmoId, offset: u64, bytes: &[u8]) -> MemoryResult {
    memory.perform(&MemoryOp::Write {
        vmo,
        offset,
        bytes: bytes.to_vec(),
    })
}

pub(super) fn filled(byte: u8, length: usize) -> MemoryResult {
    MemoryResult::Bytes(vec![byte; length])
}

/// A page-sized buffer of one byte.
pub(super) fn page_of(byte: u8) -> Vec<u8> {
    vec![byte; PAGE_SIZE as usize]
}

pub(super) fn present(memory: &Memory, vmo: VmoId, page: u64) -> bool {
    read(memory, vmo, page * PAGE_SIZE, 1) != INTERNAL
}

#[test]
fn an_untouched_vmo_costs_nothing() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, UNIT_PAGES * 1000);
    assert_eq!(
        memory.perform(&MemoryOp::Decommit {
            pages: pages(vmo, 0, UNIT_PAGES),
            inherited: false
        }),
        DONE
    );
    assert!(memory.window(vmo).unwrap().chunks().is_empty());
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
        protect: false,
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
        protect: false,
    };
    assert_eq!(memory.perform(&op), INTERNAL);
    assert_eq!(memory.resident(aux).unwrap(), 2 * PAGE_SIZE);
    assert_eq!(memory.resident(target).unwrap(), PAGE_SIZE);
    // Source pages that were never placed.
    let op = MemoryOp::Move {
        from: pages(aux, 8, 1),
        to: target,
        to_first: 1,
        protect: false,
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
        memory.perform(&MemoryOp::Decommit {
            pages: pages(vmo, 1, 200),
            inherited: false
        }),
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
