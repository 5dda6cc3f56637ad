//! The hints, and PREFETCH.

use test_guests::{Outcome, equal};
use zx::{ChildOptions, PAGE_SIZE, Status, Vmo, VmoOp, VmoOptions};

use crate::scene::{Complete, Read, scene, scene_with};

const ALOW: ChildOptions = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;

fn eviction_hint_always_need() -> Outcome {
    let s = scene(20)?;
    let hint = s.op(VmoOp::AlwaysNeed, 10..15)?;
    s.packets(&[Read(10, 15)])?;
    s.supply(10..15)?;
    hint.ends(Status::OK)?;
    equal!(s.committed(&s.vmo)?, 5);
    Ok(())
}

fn eviction_hints_op_range() -> Outcome {
    let s = scene(3)?;
    s.supply(0..3)?;
    let plain = Vmo::create(PAGE_SIZE)?;
    for hint in [VmoOp::AlwaysNeed, VmoOp::DontNeed] {
        for (range, status) in [
            (1..2, Ok(())),
            (4095..8193, Ok(())),
            (3 * PAGE_SIZE..3 * PAGE_SIZE, Ok(())),
            (3 * PAGE_SIZE..3 * PAGE_SIZE + 1, Err(Status::OUT_OF_RANGE)),
            (0..3 * PAGE_SIZE + 1, Err(Status::OUT_OF_RANGE)),
        ] {
            equal!(s.vmo.op_range(hint, range), status);
        }
        equal!(plain.op_range(hint, 0..u64::MAX), Ok(()));
    }
    s.packets(&[])
}

/// Forked pages need nothing; DONT_NEED asks for nothing.
fn eviction_hints_with_clones() -> Outcome {
    let s = scene(10)?;
    let clone = s.child(ALOW, 0..10)?;
    clone.op_range(VmoOp::Zero, 2 * PAGE_SIZE..3 * PAGE_SIZE)?;
    let inner = clone.create_child(ALOW, 0, 10 * PAGE_SIZE)?;
    inner.op_range(VmoOp::Zero, 6 * PAGE_SIZE..7 * PAGE_SIZE)?;
    for vmo in [&clone, &inner] {
        equal!(vmo.op_range(VmoOp::DontNeed, 0..10 * PAGE_SIZE), Ok(()));
    }
    s.packets(&[])?;
    let hint = s.op_on(&inner, VmoOp::AlwaysNeed, 0..10)?;
    for (first, end) in [(0, 2), (3, 6), (7, 10)] {
        s.packets(&[Read(first, end)])?;
        s.supply(first..end)?;
    }
    hint.ends(Status::OK)?;
    equal!(s.committed(&s.vmo)?, 8);
    equal!((s.committed(&clone)?, s.committed(&inner)?), (0, 0));
    Ok(())
}

fn eviction_hints_with_resize() -> Outcome {
    let s = scene_with(10, VmoOptions::RESIZABLE)?;
    let hint = s.op(VmoOp::AlwaysNeed, 0..10)?;
    hint.waits()?;
    s.vmo.set_size(0)?;
    hint.ends(Status::OK)?;
    s.packets(&[])
}

/// What the pager says to a hint is not told; to a prefetch it is.
fn eviction_hint_swallows_errors() -> Outcome {
    let s = scene(2)?;
    let hint = s.op(VmoOp::AlwaysNeed, 0..2)?;
    s.fail(0..2, Status::IO)?;
    hint.ends(Status::OK)?;
    let prefetch = s.op(VmoOp::Prefetch, 0..2)?;
    s.fail(0..2, Status::NO_SPACE)?;
    prefetch.ends(Status::NO_SPACE)?;
    let (hint, prefetch) = (s.op(VmoOp::AlwaysNeed, 0..2)?, s.op(VmoOp::Prefetch, 0..2)?);
    s.detach()?;
    hint.ends(Status::OK)?;
    prefetch.ends(Status::BAD_STATE)?;
    s.packets(&[Complete])
}

fn prefetch() -> Outcome {
    let s = scene(6)?;
    let act = s.op(VmoOp::Prefetch, 0..2)?;
    s.packets(&[Read(0, 2)])?;
    s.supply(0..2)?;
    act.ends(Status::OK)?;
    let slice = s.child(ChildOptions::SLICE, 1..4)?;
    let act = s.op_on(&slice, VmoOp::Prefetch, 0..3)?;
    s.packets(&[Read(2, 4)])?;
    s.supply(2..4)?;
    act.ends(Status::OK)?;
    let clone = s.child(ALOW, 3..6)?;
    clone.write(&[9; 4096], 0)?;
    let act = s.op_on(&clone, VmoOp::Prefetch, 0..3)?;
    s.packets(&[Read(4, 6)])?;
    s.supply(4..6)?;
    act.ends(Status::OK)?;
    equal!(s.committed(&clone)?, 1);
    s.dirty_are(&[])
}

crate::scenarios! {
    "EvictionHintAlwaysNeed" eviction_hint_always_need
    "EvictionHintsOpRange" eviction_hints_op_range
    "EvictionHintsWithClones" eviction_hints_with_clones
    "EvictionHintsWithResize" eviction_hints_with_resize
    "EvictionHintSwallowsErrors" eviction_hint_swallows_errors
    "Prefetch" prefetch;
    reading;
    writing;
}
