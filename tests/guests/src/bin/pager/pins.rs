//! Pinning pages of a pager's VMO.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use protocol::syscall::SyscallNumber as N;
use test_guests::{Outcome, equal, raw};
use zx::{AsHandleRef, Mapping, PAGE_SIZE, RawHandle, Startup, Status, Vmo, VmoOp, VmoOptions};

use crate::scene::{Deed, Dirty, Read, call, scene, scene_with};

const READ: u64 = 1;
const WRITE: u64 = 2;

/// The program's BTI.
static BTI: AtomicU32 = AtomicU32::new(0);

/// Makes the BTI out of the grant that the program was given.
pub fn make_bti(startup: &Startup<'_>) -> Outcome {
    let grant = startup.handle("iommu").unwrap_or(0);
    let (mut iommu, mut bti) = (0u32, 0u32);
    let args = [grant.into(), 0, 0, 8, raw::out(&mut iommu)];
    call(N::IommuCreate, args).ok()?;
    let args = [iommu.into(), 0, 1, raw::out(&mut bti)];
    call(N::BtiCreate, args).ok()?;
    BTI.store(bti, Relaxed);
    Ok(())
}

/// Pins pages, and leaves them so.
pub fn pin(vmo: &Vmo, write: bool, (first, end): (u64, u64)) -> Result<(RawHandle, u64), Status> {
    let count = end - first;
    let addresses = Mapping::read_write(&Vmo::create(PAGE_SIZE)?, 0, PAGE_SIZE as usize)?;
    let mut pmt = 0u32;
    let args = [
        BTI.load(Relaxed).into(),
        if write { READ | WRITE } else { READ },
        vmo.raw_handle().into(),
        first * PAGE_SIZE,
        count * PAGE_SIZE,
        addresses.base() as u64,
        count,
        raw::out(&mut pmt),
    ];
    call(N::BtiPin, args).ok()?;
    Ok((pmt, addresses.word(0)?))
}

pub fn unpin(pmt: RawHandle) -> Result<(), Status> {
    call(N::PmtUnpin, [pmt.into()]).ok()
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
    Ok(unpin(pmt)?)
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

fn not_modified_partial_failed_pin_write() -> Outcome {
    let s = scene_with(2, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..1)?;
    let act = s.act(Deed::Pin(true, (0, 2)))?;
    s.dirty(0..1)?;
    act.waits()?;
    s.fail(1..2, Status::IO)?;
    act.ends(Status::IO)?;
    equal!(s.was_modified()?, false);
    s.dirty_are(&[(0, 1, false)])
}

/// The writeback ends before the page may become dirty again: it is clean until then.
fn delayed_pin_awaiting_clean() -> Outcome {
    let s = scene_with(1, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..1)?;
    s.written(0..1, 9)?;
    s.begin(0..1)?;
    let act = s.act(Deed::Pin(true, (0, 1)))?;
    s.packets(&[Dirty(0, 1)])?;
    s.end(0..1)?;
    s.dirty_are(&[])?;
    act.waits()?;
    s.dirty(0..1)?;
    act.ends(Status::OK)?;
    s.dirty_are(&[(0, 1, false)])
}

/// What may be written to by a device stays dirty when it is written back.
fn pinned_pages_stay_dirty(options: VmoOptions) -> Outcome {
    let s = scene_with(3, options)?;
    s.supply(0..3)?;
    s.written(0..3, 9)?;
    let (pmt, _) = pin(&s.vmo, true, (1, 2))?;
    s.begin(0..3)?;
    s.end(0..3)?;
    s.dirty_are(&[(1, 2, false)])?;
    unpin(pmt)?;
    s.begin(0..3)?;
    s.end(0..3)?;
    s.dirty_are(&[])
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
    unpin(one.0)?;
    Ok(unpin(two.0)?)
}

crate::scenarios! {
    "ResizeBlockedPin" resize_blocked_pin
    "BtiPinFails" bti_pin_fails
    "PinnedSupplyPages" pinned_supply_pages
    "PinForWriting" pin_for_writing
    "NotModifiedPartialFailedPinWrite" not_modified_partial_failed_pin_write
    "DelayedPinAwaitingClean" delayed_pin_awaiting_clean
    "PinsOfClones" pins_of_clones;
    reading;
    writing
    "PinnedPagesStayDirty" pinned_pages_stay_dirty;
}
