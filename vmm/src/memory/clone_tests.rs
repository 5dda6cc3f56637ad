//! Views, forks, freezes, protection and eviction, one at a time, where random operations do not reach.

use std::time::Instant;

use protocol::Status;
use zircon::{MemoryOp, MemoryResult, Storage, VmoId, Writes};

use super::{
    Memory, MemoryError,
    tests::{DONE, INTERNAL, filled, memory, page_of, pages, read, vmo, write, zero},
    units::{PAGE_SIZE, UNIT_PAGES},
};

fn fork(memory: &Memory, vmo: VmoId, first: u64, count: u64) -> MemoryResult {
    let (pages, inherited) = (pages(vmo, first, count), false);
    memory.perform(&MemoryOp::Fork { pages, inherited })
}

fn contiguous(memory: &Memory, id: u64, pages: u64, align: u32) -> VmoId {
    let storage = Storage {
        contiguous: Some(align),
        ..Storage::of(pages)
    };
    memory.create(VmoId(id), storage).unwrap();
    VmoId(id)
}

/// A clone that shows all of a pager's VMO with one page, `page`, of nines.
fn clone_of_one_page(memory: &Memory, size: u64, page: u64) -> (VmoId, VmoId) {
    let (parent, clone) = (vmo(memory, 1, size), vmo(memory, 2, size));
    assert_eq!(memory.supply(parent, page, &page_of(9)), DONE);
    memory.view(pages(clone, 0, size), parent, 0).unwrap();
    (parent, clone)
}

#[test]
fn a_contiguous_vmo_lies_in_one_piece_at_its_alignment() {
    let memory = memory(4);
    vmo(&memory, 9, 1);
    zero(&memory, VmoId(9), 0, 1);
    let vmo = contiguous(&memory, 1, 700, 24);
    zero(&memory, vmo, 0, 700);
    let MemoryResult::Addresses(found) = memory.perform(&MemoryOp::Locate(pages(vmo, 0, 700)))
    else {
        panic!("no addresses");
    };
    let first = found[0];
    assert_eq!(first % (1 << 24), 0);
    let expected: Vec<u64> = (0..700).map(|page| first + page * PAGE_SIZE).collect();
    assert_eq!(found, expected);
}

#[test]
fn more_contiguous_space_than_a_chunk_has_is_no_memory() {
    let memory = memory(4);
    for (id, size, align) in [(1, UNIT_PAGES + 1, 12), (2, 1, 31)] {
        let vmo = contiguous(&memory, id, size, align);
        let (pages, protect) = (pages(vmo, 0, 1), false);
        let done = memory.perform(&MemoryOp::Zero { pages, protect });
        assert_eq!(done, MemoryResult::Failed(Status::NO_MEMORY));
        let error = memory.place(vmo, 0).unwrap_err();
        assert!(error.to_string().contains("at most 1 GiB"), "{error}");
    }
}

#[test]
fn the_vmms_own_writes_are_noted_too() {
    let memory = memory(1);
    let (noted, other) = (VmoId(1), vmo(&memory, 2, 8));
    let storage = Storage {
        writes: Writes::Noted,
        ..Storage::of(8)
    };
    memory.create(noted, storage).unwrap();
    assert_eq!(memory.supply(noted, 0, &[5; 8 * 4096]), DONE);
    zero(&memory, other, 0, 8);
    assert_eq!(write(&memory, noted, PAGE_SIZE, &[1]), DONE);
    let clear = MemoryOp::Clear {
        vmo: noted,
        offset: 3 * PAGE_SIZE,
        length: 1,
    };
    assert_eq!(memory.perform(&clear), DONE);
    let copy = MemoryOp::Copy {
        from: other,
        from_offset: 0,
        to: noted,
        to_offset: 5 * PAGE_SIZE,
        length: 2 * PAGE_SIZE,
    };
    assert_eq!(memory.perform(&copy), DONE);
    let (pages, protect) = (pages(noted, 0, 8), false);
    let written = memory.perform(&MemoryOp::Scan { pages, protect });
    assert_eq!(written, MemoryResult::Written(vec![1..2, 3..4, 5..7]));
}

#[test]
fn supplied_pages_are_protected_and_a_write_to_them_fails() {
    let memory = memory(1);
    let vmo = vmo(&memory, 1, 2);
    assert_eq!(memory.supply(vmo, 0, &page_of(1)), DONE);
    assert_eq!(write(&memory, vmo, 0, &[2]), INTERNAL);
    let (pages, on) = (pages(vmo, 0, 1), false);
    assert_eq!(memory.perform(&MemoryOp::Protect { pages, on }), DONE);
    assert_eq!(write(&memory, vmo, 0, &[2]), DONE);
}

#[test]
fn what_nobody_shows_cannot_be_forked() {
    let memory = memory(1);
    let (_, clone) = clone_of_one_page(&memory, 8, 3);
    assert_eq!(fork(&memory, clone, 2, 1), INTERNAL);
    let own = vmo(&memory, 3, 8);
    zero(&memory, own, 0, 1);
    assert_eq!(fork(&memory, own, 0, 1), INTERNAL);
    // The page before the absent one was forked; it is protected until it is asked for again.
    assert_eq!(fork(&memory, clone, 3, 2), INTERNAL);
    assert_eq!(write(&memory, clone, 3 * PAGE_SIZE, &[1]), INTERNAL);
    assert_eq!(read(&memory, clone, 3 * PAGE_SIZE, 4096), filled(9, 4096));
    assert_eq!(fork(&memory, clone, 3, 1), DONE);
    assert_eq!(write(&memory, clone, 3 * PAGE_SIZE, &[1]), DONE);
    assert_eq!(memory.resident(clone).unwrap(), PAGE_SIZE);
}

#[test]
fn private_zeros_outlive_what_the_parent_drops() {
    let memory = memory(1);
    let (parent, clone) = clone_of_one_page(&memory, 8, 3);
    zero(&memory, clone, 5, 1);
    assert_eq!(fork(&memory, clone, 3, 1), DONE);
    let (all, inherited) = (pages(parent, 0, 8), false);
    let drop_all = MemoryOp::Decommit {
        pages: all,
        inherited,
    };
    assert_eq!(memory.perform(&drop_all), DONE);
    assert_eq!(read(&memory, clone, 5 * PAGE_SIZE, 4096), filled(0, 4096));
    assert_eq!(read(&memory, clone, 3 * PAGE_SIZE, 4096), filled(9, 4096));
    assert_eq!(memory.resident(parent).unwrap(), 0);
    assert_eq!(memory.resident_total(), 2 * PAGE_SIZE);
}

#[test]
fn a_clone_that_was_never_touched_can_be_read() {
    let memory = memory(1);
    let (_, clone) = clone_of_one_page(&memory, 8, 3);
    assert_eq!(read(&memory, clone, 3 * PAGE_SIZE, 4096), filled(9, 4096));
    assert_eq!(memory.resident(clone).unwrap(), 0);
}

#[test]
fn a_view_comes_before_the_pages_or_not_at_all() {
    let memory = memory(1);
    let (parent, clone) = (vmo(&memory, 1, 8), vmo(&memory, 2, 8));
    zero(&memory, clone, 0, 1);
    let error = memory.view(pages(clone, 0, 8), parent, 0).unwrap_err();
    assert!(matches!(error, MemoryError::Placed(_)), "{error}");
    let error = memory.view(pages(clone, 8, 8), parent, u64::MAX - 3);
    assert!(matches!(error, Err(MemoryError::OutOfRange { .. })));
    let error = memory.view(pages(clone, 8, 8), VmoId(9), 0);
    assert!(matches!(error, Err(MemoryError::Unknown(_))));
}

#[test]
fn freezing_does_not_cost_by_the_page() {
    let memory = memory(8);
    let time = |id: u64, size: u64| {
        let (parent, into) = (vmo(&memory, id, size), vmo(&memory, id + 1, size));
        zero(&memory, parent, 0, size.min(4096));
        let start = Instant::now();
        let freeze = MemoryOp::Freeze {
            vmo: parent,
            into,
            owned: std::iter::once(0..size.min(4096)).collect(),
        };
        assert_eq!(memory.perform(&freeze), DONE);
        start.elapsed()
    };
    let small = (0..5).map(|n| time(10 * n + 1, 4096)).min().unwrap();
    let large = (5..10).map(|n| time(10 * n + 1, UNIT_PAGES)).min().unwrap();
    assert!(large < 20 * small, "{small:?} {large:?}");
}
