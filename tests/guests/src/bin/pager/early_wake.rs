//! Reads that go on with what is there.

use test_guests::{Outcome, Via};
use zx::{PAGE_SIZE, Status, VmoOptions};

use crate::scene::{Read, scene, scene_with};

fn early_wake_on_supply() -> Outcome {
    let s = scene(128)?;
    let reader = s.read(Via::Read, 0..128)?;
    s.packets(&[Read(0, 128)])?;
    for part in 0..4 {
        reader.waits()?;
        s.supply(part * 32..(part + 1) * 32)?;
        s.packets(&[])?;
    }
    reader.ends(Status::OK)
}

fn early_wake_non_linear_supply() -> Outcome {
    let s = scene(128)?;
    let reader = s.read(Via::Read, 0..128)?;
    s.packets(&[Read(0, 128)])?;
    for part in [2, 0, 3, 1] {
        reader.waits()?;
        s.supply(part * 32..(part + 1) * 32)?;
    }
    reader.ends(Status::OK)?;
    s.packets(&[])
}

fn early_wake_overlapping_requests() -> Outcome {
    let s = scene(128)?;
    let read = |pages| s.read(Via::Read, pages);
    let first = read(0..92)?;
    s.packets(&[Read(0, 92)])?;
    let (two, three, four, last) = (read(16..42)?, read(0..32)?, read(48..64)?, read(82..128)?);
    s.packets(&[])?;
    s.supply(0..92)?;
    for reader in [first, two, three, four] {
        reader.ends(Status::OK)?;
    }
    s.packets(&[Read(92, 128)])?;
    s.supply(92..128)?;
    last.ends(Status::OK)
}

fn early_wake_with_resize() -> Outcome {
    let s = scene_with(4, VmoOptions::RESIZABLE)?;
    let reader = s.read(Via::Read, 0..4)?;
    s.packets(&[Read(0, 4)])?;
    s.supply(0..2)?;
    reader.waits()?;
    s.vmo.set_size(2 * PAGE_SIZE)?;
    reader.ends(Status::OUT_OF_RANGE)?;
    s.packets(&[])
}

/// A clone's pages are zeroed while it is read: what is asked for next begins behind them.
fn early_wake_clone_race() -> Outcome {
    let s = scene(4)?;
    let clone = s.child(zx::ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0..4)?;
    let reader = s.act_on(
        &clone,
        crate::scene::Deed::Op(zx::VmoOp::Prefetch, 0, 4 * PAGE_SIZE),
    )?;
    s.packets(&[Read(0, 4)])?;
    clone.op_range(zx::VmoOp::Zero, PAGE_SIZE..3 * PAGE_SIZE)?;
    s.supply(0..3)?;
    reader.waits()?;
    s.supply(3..4)?;
    reader.ends(Status::OK)?;
    s.bytes_are(&clone, 0, &[0, 0, 0, 3])
}

crate::scenarios! {
    "EarlyWakeOnSupply" early_wake_on_supply
    "EarlyWakeNonLinearSupply" early_wake_non_linear_supply
    "EarlyWakeOverlappingRequests" early_wake_overlapping_requests
    "EarlyWakeWithResize" early_wake_with_resize
    "EarlyWakeCloneRace" early_wake_clone_race;
    reading;
    writing;
}
