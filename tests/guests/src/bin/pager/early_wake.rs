//! Reads that go on with what is there.

use test_guests::pages::PAGE;
use test_guests::{Outcome, Via, fail, soon};
use zx::{AsHandleRef, PAGE_SIZE, Status, Vmo, VmoOp, VmoOptions};

use crate::act::Deed;
use crate::scene::{Read, scene, scene_with};

fn early_wake_on_supply() -> Outcome {
    let s = scene(128)?;
    let buffer = Vmo::create(128 * PAGE_SIZE)?;
    let reader = s.act(Deed::ReadInto((0, 128), buffer.raw_handle()))?;
    s.packets(&[Read(0, 128)])?;
    for part in 1..=4 {
        reader.waits()?;
        s.supply((part - 1) * 32..part * 32)?;
        until_filled(&buffer, part * 32 - 1)?;
        s.packets(&[])?;
    }
    reader.ends(Status::OK)
}

/// The buffer of a read is filled up to this page soon, with what was supplied.
fn until_filled(buffer: &Vmo, page: u64) -> Outcome {
    let deadline = soon();
    let mut byte = [0];
    while byte != [page as u8] {
        if zx::time::now() > deadline {
            fail!("page {page} of the buffer holds {byte:?}");
        }
        buffer.read(&mut byte, page * PAGE_SIZE + PAGE_SIZE - 1)?;
    }
    Ok(())
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

/// A clone gets pages of its own while it is read: what is asked for next begins behind them.
fn early_wake_clone_race() -> Outcome {
    let s = scene(8)?;
    let clone = s.child(zx::ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0..8)?;
    let buffer = Vmo::create(8 * PAGE_SIZE)?;
    let deed = Deed::ReadInto((0, 8), buffer.raw_handle());
    let reader = s.act_on(&clone, deed)?;
    s.packets(&[Read(0, 8)])?;
    clone.op_range(VmoOp::Zero, PAGE_SIZE..4 * PAGE_SIZE)?;
    s.supply(5..6)?;
    clone.write(&[9; PAGE], 5 * PAGE_SIZE)?;
    s.supply(0..1)?;
    s.packets(&[Read(4, 5)])?;
    s.supply(4..5)?;
    s.packets(&[Read(6, 8)])?;
    s.supply(6..8)?;
    reader.ends(Status::OK)?;
    s.bytes_are(&buffer, 0, &[0, 0, 0, 0, 4, 9, 6, 7])?;
    s.packets(&[])
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
