//! Pinning pages of a pager's VMO.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use test_guests::{Outcome, equal};
use zx::{
    Bti, BtiOptions, HandleBased, Iommu, Mapping, PAGE_SIZE, Pmt, Resource, Startup, Status,
    Unowned, Vmo, VmoOp, VmoOptions,
};

use crate::act::Deed;
use crate::scene::{Dirty, Read, scene, scene_with};

const READ: BtiOptions = BtiOptions::PERM_READ;

/// The program's BTI.
static BTI: AtomicU32 = AtomicU32::new(0);

/// Makes the BTI out of the grant that the program was given.
pub fn make_bti(startup: &Startup<'_>) -> Outcome {
    let grant = Unowned::<Resource>::from_raw(startup.handle("iommu").unwrap_or(0));
    let bti = Bti::create(&Iommu::create_stub(&grant)?, 1)?;
    BTI.store(bti.into_raw(), Relaxed);
    Ok(())
}

/// Pins pages, and leaves them so; the token, and the first one's address.
pub fn pin(vmo: &Vmo, write: bool, (first, end): (u64, u64)) -> Result<(Pmt, u64), Status> {
    let bti = Unowned::<Bti>::from_raw(BTI.load(Relaxed));
    let options = if write {
        READ | BtiOptions::PERM_WRITE
    } else {
        READ
    };
    let (offset, count) = (first * PAGE_SIZE, end - first);
    let mut addresses = [0; 8];
    let buffer = addresses.get_mut(..count as usize).unwrap_or_default();
    let pmt = bti.pin(options, vmo, offset, count * PAGE_SIZE, buffer)?;
    Ok((pmt, addresses[0]))
}

fn resize_blocked_pin() -> Outcome {
    let s = scene_with(2, VmoOptions::RESIZABLE)?;
    s.supply(0..1)?;
    let act = s.act(Deed::Pin(false, (0, 2)))?;
    s.packets(&[Read(1, 2)])?;
    s.vmo.set_size(0)?;
    act.ends(Status::OUT_OF_RANGE)
}

fn bti_pin_fails() -> Outcome {
    let s = scene(2)?;
    s.supply(0..1)?;
    let act = s.act(Deed::Pin(false, (0, 2)))?;
    s.packets(&[Read(1, 2)])?;
    s.fail(1..2, Status::IO)?;
    act.ends(Status::IO)
}

/// What is pinned is not replaced.
fn pinned_supply_pages() -> Outcome {
    let s = scene(2)?;
    s.supply(0..1)?;
    let (pmt, _) = pin(&s.vmo, false, (0, 1))?;
    s.supply(0..2)?;
    s.bytes_are(&s.vmo, 0, &[0, 1])?;
    Ok(pmt.unpin()?)
}

/// A pin for writing goes front to back: leave for what is there, then what is not, then leave for that.
fn pin_for_writing() -> Outcome {
    let s = scene_with(2, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..1)?;
    let act = s.act(Deed::Pin(true, (0, 2)))?;
    s.packets(&[Dirty(0, 1)])?;
    s.dirty(0..1)?;
    s.packets(&[Read(1, 2)])?;
    s.supply(1..2)?;
    s.packets(&[Dirty(1, 2)])?;
    equal!(s.was_modified()?, false);
    s.dirty(1..2)?;
    act.ends(Status::OK)?;
    equal!(s.was_modified()?, true);
    s.dirty_are(&[(0, 2, false)])
}

/// A pin for writing that fails behind pages that were made dirty for it modifies nothing. The failure of a later page of
/// a request is forgotten: the pin asks for the page again.
fn not_modified_partial_failed_pin_write() -> Outcome {
    let s = scene_with(4, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..2)?;
    let act = s.act(Deed::Pin(true, (0, 4)))?;
    s.packets(&[Dirty(0, 2)])?;
    s.fail(1..2, Status::IO)?;
    act.waits()?;
    s.dirty(0..1)?;
    s.packets(&[Dirty(1, 2)])?;
    s.dirty(1..2)?;
    s.packets(&[Read(2, 4)])?;
    s.fail(3..4, Status::IO)?;
    act.waits()?;
    s.supply(2..3)?;
    s.packets(&[Dirty(2, 3)])?;
    s.dirty(2..3)?;
    s.packets(&[Read(3, 4)])?;
    s.fail(3..4, Status::IO)?;
    act.ends(Status::IO)?;
    s.packets(&[])?;
    equal!(s.was_modified()?, false);
    s.dirty_are(&[(0, 3, false)])?;
    s.act(Deed::Pin(true, (0, 3)))?.ends(Status::OK)?;
    equal!(s.was_modified()?, true);
    Ok(())
}

/// The end of an older writeback comes before the leave that the pin asked for: clean first, then dirty.
fn delayed_pin_awaiting_clean() -> Outcome {
    let s = scene_with(1, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..1)?;
    s.written(0..1, 9)?;
    equal!(s.was_modified()?, true);
    s.begin(0..1)?;
    let act = s.act(Deed::Pin(true, (0, 1)))?;
    s.packets(&[Dirty(0, 1)])?;
    s.end(0..1)?;
    s.dirty_are(&[])?;
    act.waits()?;
    s.dirty(0..1)?;
    act.ends(Status::OK)?;
    s.dirty_are(&[(0, 1, false)])?;
    equal!(s.was_modified()?, true);
    s.packets(&[])
}

/// A pin for writing after the beginning of a writeback is a write: the end leaves the page dirty.
fn pin_during_writeback(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options)?;
    s.supply(0..2)?;
    s.written(0..2, 9)?;
    s.begin(0..2)?;
    let act = s.act(Deed::Pin(true, (0, 1)))?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(0, 1)])?;
        s.dirty(0..1)?;
    }
    act.ends(Status::OK)?;
    s.end(0..2)?;
    s.dirty_are(&[(0, 1, false)])?;
    s.begin(0..2)?;
    s.end(0..2)?;
    s.dirty_are(&[])
}

/// What a device may write to is dirty as long as it may, whatever is written back; so is what a mapping writes meanwhile.
fn writeback_of_pinned_pages(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..4)?;
    s.written(0..3, 9)?;
    let (pmt, _) = pin(&s.vmo, true, (1, 2))?;
    let (read_only, _) = pin(&s.vmo, false, (2, 4))?;
    s.begin(0..4)?;
    s.end(0..4)?;
    s.dirty_are(&[(1, 2, false)])?;
    let mapping = Mapping::read_write(&s.vmo, 0, 4 * PAGE_SIZE as usize)?;
    let at = mapping.base() + PAGE_SIZE as usize;
    for word in 1..3 {
        s.begin(0..4)?;
        s.act(Deed::StoreAt(at, word))?.ends(Status::OK)?;
        equal!(mapping.word(PAGE_SIZE as usize)?, word);
        s.end(0..4)?;
        s.dirty_are(&[(1, 2, false)])?;
    }
    pmt.unpin()?;
    s.dirty_are(&[(1, 2, false)])?;
    s.begin(0..4)?;
    s.end(0..4)?;
    s.dirty_are(&[])?;
    read_only.unpin()?;
    s.packets(&[])
}

/// What pinned pages stand in the way of.
fn pinned_pages_stay() -> Outcome {
    let s = scene_with(3, VmoOptions::RESIZABLE)?;
    s.supply(0..3)?;
    let (pmt, _) = pin(&s.vmo, false, (1, 2))?;
    equal!(s.vmo.set_size(PAGE_SIZE), Err(Status::BAD_STATE));
    equal!(s.vmo.get_size()?, 3 * PAGE_SIZE);
    s.vmo.set_size(2 * PAGE_SIZE)?;
    let plain = Vmo::create(PAGE_SIZE)?;
    plain.write(&[7], 0)?;
    let (source, _) = pin(&plain, false, (0, 1))?;
    let supplied = s.pager.supply_pages(&s.vmo, 0..PAGE_SIZE, &plain, 0);
    equal!(supplied, Err(Status::BAD_STATE));
    let decommitted = plain.op_range(VmoOp::Decommit, 0..PAGE_SIZE);
    equal!(decommitted, Err(Status::BAD_STATE));
    let snapshot = plain.create_child(zx::ChildOptions::SNAPSHOT, 0, PAGE_SIZE);
    equal!(snapshot.map(drop), Err(Status::BAD_STATE));
    for vmo in [&plain, &s.vmo] {
        let size = vmo.get_size()?;
        vmo.op_range(VmoOp::Zero, 0..size)?;
        equal!(s.committed(vmo)?, 1);
        s.bytes_are(vmo, 0, &[0])?;
    }
    source.unpin()?;
    pmt.unpin()?;
    Ok(s.vmo.set_size(0)?)
}

/// Sharers that pin get pages of their own, at addresses of their own.
fn pins_of_clones() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    vmo.write(&[7; 4096], 0)?;
    let clone = vmo.create_child(zx::ChildOptions::SNAPSHOT, 0, PAGE_SIZE)?;
    let (one, two) = (pin(&vmo, false, (0, 1))?, pin(&clone, false, (0, 1))?);
    let mut byte = [0];
    for vmo in [&vmo, &clone] {
        vmo.read(&mut byte, 4095)?;
        equal!(byte, [7]);
        equal!(vmo.op_range(VmoOp::Zero, 0..0), Ok(()));
    }
    test_guests::check!(one.1 != two.1);
    // What comes back from a snapshot that is gone can be pinned, too.
    let back = Vmo::create(PAGE_SIZE)?;
    back.write(&[8; 4096], 0)?;
    drop(back.create_child(zx::ChildOptions::SNAPSHOT, 0, PAGE_SIZE)?);
    pin(&back, false, (0, 1))?.0.unpin()?;
    back.read(&mut byte, 4095)?;
    equal!(byte, [8]);
    one.0.unpin()?;
    Ok(two.0.unpin()?)
}

crate::scenarios! {
    "ResizeBlockedPin" resize_blocked_pin
    "BtiPinFails" bti_pin_fails
    "PinnedSupplyPages" pinned_supply_pages
    "PinForWriting" pin_for_writing
    "PinnedPagesStay" pinned_pages_stay
    "DelayedPinAwaitingClean" delayed_pin_awaiting_clean
    "NotModifiedPartialFailedPinWrite" not_modified_partial_failed_pin_write
    "PinsOfClones" pins_of_clones;
    reading;
    writing
    "PinDuringWriteback" pin_during_writeback
    "WritebackOfPinnedPages" writeback_of_pinned_pages;
}
