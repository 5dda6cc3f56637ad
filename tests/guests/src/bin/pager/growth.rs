//! Zeros that no pager supplied: growth, content size, OP_ZERO.

use test_guests::{Outcome, Via, equal};
use zx::{ChildOptions, PAGE_SIZE, Status, VmoOp, VmoOptions};

use crate::act::Deed;
use crate::scene::{Dirty, Read, scene, scene_with};

fn op_zero(options: VmoOptions) -> Outcome {
    let s = scene_with(6, options)?;
    s.supply(0..2)?;
    s.supply_zeros(2..3)?;
    s.zero(0..5)?;
    s.packets(&[])?;
    equal!(s.committed(&s.vmo)?, 0);
    s.dirty_are(&[(0, 2, true), (3, 5, true)])?;
    s.bytes_are(&s.vmo, 0, &[0; 5])?;
    s.supply(0..5)?;
    s.bytes_are(&s.vmo, 0, &[0; 5])
}

/// Zeroing answers those who wait for the pages.
fn op_zero_answers_reads(via: Via) -> Outcome {
    let s = scene(4)?;
    let reader = s.read(via, 0..1)?;
    reader.waits()?;
    s.zero(0..4)?;
    reader.ends(Status::OK)?;
    s.packets(&[])
}

fn op_zero_partial_page(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    let part = |page: u64| Deed::Op(VmoOp::Zero, page * PAGE_SIZE + 100, 200);
    let zero = s.act(part(0))?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..2)?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(0, 1)])?;
        s.dirty(0..1)?;
    }
    zero.ends(Status::OK)?;
    s.dirty_are(&[(0, 1, false)])?;
    s.supply_zeros(2..3)?;
    s.zero(3..4)?;
    for page in [2, 3] {
        s.act(part(page))?.ends(Status::OK)?;
    }
    s.packets(&[])?;
    s.dirty_are(&[(0, 1, false), (3, 4, true)])?;
    equal!(s.committed(&s.vmo)?, 2);
    Ok(())
}

/// The rest of the last page is asked for, and under TRAP asked about.
fn resize_into_a_page(options: VmoOptions) -> Outcome {
    let s = scene_with(3, options | VmoOptions::RESIZABLE)?;
    s.supply(0..1)?;
    let resize = s.act(Deed::SetSize(PAGE_SIZE + 100))?;
    s.packets(&[Read(1, 2)])?;
    s.supply(1..2)?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(1, 2)])?;
        s.dirty(1..2)?;
    }
    resize.ends(Status::OK)?;
    s.dirty_are(&[(1, 2, false)])?;
    let mut bytes = [9; 4];
    s.vmo.read(&mut bytes, PAGE_SIZE + 98)?;
    equal!(bytes, [1, 1, 0, 0]);
    Ok(())
}

/// What lies between the old content and the new is dirty; what lies beyond is no content, and nothing to write back.
fn stream_size(options: VmoOptions) -> Outcome {
    let s = scene_with(6, options)?;
    s.supply(0..4)?;
    s.vmo.set_stream_size(2 * PAGE_SIZE)?;
    s.bytes_are(&s.vmo, 0, &[0, 1, 0, 0, 0, 0])?;
    s.dirty_are(&[])?;
    equal!(s.committed(&s.vmo)?, 2);
    s.vmo.set_stream_size(4 * PAGE_SIZE)?;
    s.dirty_are(&[(2, 4, true)])?;
    s.packets(&[])?;
    s.written(5..6, 9)?;
    s.dirty_are(&[(2, 4, true), (5, 6, false)])?;
    s.begin(0..6)?;
    s.end(0..6)?;
    s.dirty_are(&[])?;
    s.bytes_are(&s.vmo, 4, &[0, 9])?;
    s.packets(&[])
}

/// What lies beyond a slice's content may be content of its parent.
fn stream_size_of_a_slice() -> Outcome {
    let s = scene(4)?;
    s.supply(0..4)?;
    let slice = s.child(ChildOptions::SLICE, 1..3)?;
    slice.set_stream_size(0)?;
    s.bytes_are(&s.vmo, 0, &[0, 0, 0, 3])?;
    s.dirty_are(&[(1, 3, true)])?;
    equal!(s.was_modified()?, true);
    equal!(s.vmo.get_stream_size()?, 4 * PAGE_SIZE);
    Ok(())
}

/// Looking at zeros through a mapping commits nothing, and they stay what they are.
fn mapped_zeros(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply_zeros(0..1)?;
    s.zero(1..4)?;
    let mapping = zx::Mapping::read_write(&s.vmo, 0, 4 * PAGE_SIZE as usize)?;
    for page in 0..4 {
        equal!(mapping.word(page * PAGE_SIZE as usize)?, 0);
    }
    equal!(s.committed(&s.vmo)?, 0);
    s.dirty_are(&[(1, 4, true)])?;
    let store = s.act(Deed::Store((2, 3), 9))?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(2, 3)])?;
        s.dirty(2..3)?;
    }
    store.ends(Status::OK)?;
    s.dirty_are(&[(1, 2, true), (2, 3, false), (3, 4, true)])?;
    s.bytes_are(&s.vmo, 0, &[0, 0, 9, 0])?;
    equal!(s.committed(&s.vmo)?, 1);
    s.packets(&[])
}

/// Writes through slices are their parents'.
fn slice_writes(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..4)?;
    let slice = s.child(ChildOptions::SLICE, 1..3)?;
    let write = s.act_on(&slice, Deed::Write((1, 2), 5))?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(2, 3)])?;
        s.dirty(2..3)?;
    }
    write.ends(Status::OK)?;
    s.dirty_are(&[(2, 3, false)])?;
    equal!(s.was_modified()?, true);
    Ok(())
}

crate::scenarios! {
    "StreamSizeOfASlice" stream_size_of_a_slice;
    reading "OpZeroAnswersReads" op_zero_answers_reads;
    writing
    "OpZero" op_zero
    "OpZeroPartialPage" op_zero_partial_page
    "ResizeIntoAPage" resize_into_a_page
    "StreamSize" stream_size
    "MappedZeros" mapped_zeros
    "SliceWrites" slice_writes;
}
