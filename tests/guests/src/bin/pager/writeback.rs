//! Writing back: what BEGIN and END do to pages and to zero intervals.

use test_guests::{Outcome, Via, check, equal};
use zx::{
    Mapping, PAGE_SIZE, PagerOp, PagerWritebackBeginOptions, Status, VmoDirtyRange, VmoOptions,
};

use crate::act::Deed;
use crate::scene::{Dirty, Read, Scene, in_pages, scene_with};

const RESIZABLE: VmoOptions = VmoOptions::RESIZABLE;
const ZEROS: PagerWritebackBeginOptions = PagerWritebackBeginOptions::DIRTY_RANGE_IS_ZERO;

fn write_back(s: &Scene, first: u64, end: u64) -> Outcome {
    s.begin(first..end)?;
    s.end(first..end)
}

fn writeback_cleans(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..4)?;
    s.written(1..3, 9)?;
    s.begin(0..4)?;
    s.dirty_are(&[(1, 3, false)])?;
    s.end(0..2)?;
    s.dirty_are(&[(2, 3, false)])?;
    s.end(0..4)?;
    s.dirty_are(&[])?;
    s.bytes_are(&s.vmo, 0, &[0, 9, 9, 3])
}

/// A mapped write after BEGIN dirties again, and END leaves it so.
fn writeback_dirty_again(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options)?;
    s.supply(0..2)?;
    s.written(0..2, 9)?;
    s.begin(0..2)?;
    let store = s.act(Deed::Store((1, 2), 8))?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(1, 2)])?;
        s.dirty(1..2)?;
    }
    store.ends(Status::OK)?;
    s.end(0..2)?;
    s.dirty_are(&[(1, 2, false)])?;
    s.bytes_are(&s.vmo, 0, &[9, 8])?;
    write_back(&s, 0, 2)?;
    s.dirty_are(&[])
}

/// What was not begun does not end; gaps do not matter.
fn writeback_end_without_begin(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..1)?;
    s.written(0..1, 9)?;
    s.zero(1..2)?;
    s.end(0..4)?;
    s.dirty_are(&[(0, 1, false), (1, 2, true)])?;
    write_back(&s, 2, 4)?;
    s.packets(&[])
}

/// The same through a mapping that was writable all along.
fn writeback_of_a_mapping() -> Outcome {
    let s = scene_with(2, VmoOptions::empty())?;
    s.supply(0..2)?;
    let mapping = Mapping::read_write(&s.vmo, 0, 2 * PAGE_SIZE as usize)?;
    mapping.set_word(0, 1)?;
    s.dirty_are(&[(0, 1, false)])?;
    write_back(&s, 0, 2)?;
    s.dirty_are(&[])?;
    mapping.set_word(0, 2)?;
    s.dirty_are(&[(0, 1, false)])?;
    s.begin(0..2)?;
    mapping.set_word(8, 3)?;
    s.end(0..2)?;
    s.dirty_are(&[(0, 1, false)])?;
    write_back(&s, 0, 2)?;
    s.dirty_are(&[])?;
    equal!(mapping.word(8)?, 3);
    Ok(())
}

fn resize_supply_zero(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options | RESIZABLE)?;
    s.supply(0..1)?;
    s.vmo.set_size(3 * PAGE_SIZE)?;
    s.supply(0..3)?;
    s.bytes_are(&s.vmo, 0, &[0, 0, 0])?;
    equal!(s.committed(&s.vmo)?, 1);
    s.dirty_are(&[(1, 3, true)])?;
    write_back(&s, 1, 3)?;
    s.dirty_are(&[])?;
    let reader = s.read(Via::Read, 1..3)?;
    s.packets(&[Read(1, 3)])?;
    s.supply(1..3)?;
    reader.ends(Status::OK)
}

fn resize_writeback_dirty_after_query(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options | RESIZABLE)?;
    s.supply(0..1)?;
    s.vmo.set_size(4 * PAGE_SIZE)?;
    s.dirty_are(&[(1, 4, true)])?;
    s.written(2..3, 9)?;
    s.pager_op(PagerOp::WritebackBegin(ZEROS), 1..4)?;
    s.end(1..4)?;
    s.dirty_are(&[(2, 3, false)])?;
    s.bytes_are(&s.vmo, 2, &[9])
}

fn resize_writeback_repeated(options: VmoOptions) -> Outcome {
    let s = scene_with(5, options | RESIZABLE)?;
    s.supply(0..5)?;
    s.vmo.set_size(10 * PAGE_SIZE)?;
    s.begin(5..7)?;
    s.begin(7..10)?;
    s.end(5..7)?;
    s.end(7..10)?;
    s.dirty_are(&[(7, 10, true)])
}

/// Shrinking clips an interval and how much of it is written back.
fn resize_writeback_clipped(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options | RESIZABLE)?;
    s.supply(0..1)?;
    s.vmo.set_size(6 * PAGE_SIZE)?;
    s.begin(1..6)?;
    s.vmo.set_size(3 * PAGE_SIZE)?;
    for op in [PagerOp::WritebackBegin(ZEROS), PagerOp::WritebackEnd] {
        equal!(s.pager_op(op, 1..6), Err(Status::OUT_OF_RANGE));
    }
    s.vmo.set_size(6 * PAGE_SIZE)?;
    s.end(1..6)?;
    s.dirty_are(&[(3, 6, true)])
}

/// The pager looks at a part of its VMO, with room for a part of what is dirty; what it does not ask for it is not told.
fn query_dirty_ranges() -> Outcome {
    let s = scene_with(12, VmoOptions::empty())?;
    s.supply(0..4)?;
    for page in [0, 2] {
        s.written(page..page + 1, 9)?;
    }
    s.zero(6..10)?;
    s.begin(0..7)?;
    let all = [(0, 1, false), (2, 3, false), (6, 10, true)];
    s.dirty_are(&all)?;
    // (bytes, room, what comes, how many there are)
    for (bytes, room, expected, available) in [
        (0..12 * PAGE_SIZE, 3, &all[..], 3),
        (0..12 * PAGE_SIZE, 2, &all[..2], 3),
        (0..12 * PAGE_SIZE, 0, &[], 3),
        (PAGE_SIZE..2 * PAGE_SIZE, 3, &[], 0),
        (2 * PAGE_SIZE + 5..2 * PAGE_SIZE + 6, 3, &all[1..2], 1),
        (7 * PAGE_SIZE..12 * PAGE_SIZE, 3, &[(7, 10, true)], 1),
    ] {
        let mut ranges = [VmoDirtyRange::default(); 3];
        let buffer = ranges.get_mut(..room).unwrap_or_default();
        let count = s.pager.query_dirty_ranges(&s.vmo, bytes, buffer)?;
        equal!((count.actual, count.available), (expected.len(), available));
        let found = ranges.iter().take(count.actual).map(in_pages);
        check!(found.eq(expected.iter().copied()), "{ranges:?}");
    }
    let beyond = s
        .pager
        .query_dirty_ranges(&s.vmo, 0..13 * PAGE_SIZE, &mut []);
    equal!(beyond, Err(Status::OUT_OF_RANGE));
    Ok(())
}

fn op_zero_writeback(options: VmoOptions) -> Outcome {
    let s = scene_with(6, options)?;
    s.supply(0..6)?;
    s.zero(3..6)?;
    s.begin(3..6)?;
    s.zero(2..3)?;
    s.end(0..6)?;
    s.dirty_are(&[(2, 6, true)])?;
    write_back(&s, 2, 6)?;
    s.dirty_are(&[])
}

crate::scenarios! {
    "WritebackOfAMapping" writeback_of_a_mapping
    "QueryDirtyRanges" query_dirty_ranges;
    reading;
    writing
    "WritebackCleans" writeback_cleans
    "WritebackDirtyAgain" writeback_dirty_again
    "ResizeSupplyZero" resize_supply_zero
    "ResizeWritebackDirtyAfterQuery" resize_writeback_dirty_after_query
    "ResizeWritebackRepeated" resize_writeback_repeated
    "ResizeWritebackClipped" resize_writeback_clipped
    "WritebackEndWithoutBegin" writeback_end_without_begin
    "OpZeroWriteback" op_zero_writeback;
}
