//! Resizing, detaching, closing.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use test_guests::{NOW, Outcome, Via, equal, fail, raw, soon};
use zx::{AsHandleRef, Mapping, PAGE_SIZE, Pager, Port, Status, VmoOptions};

use crate::act::Deed;
use crate::scene::{Complete, KEY, Read, scene, scene_with};

fn read_resize(via: Via) -> Outcome {
    let s = scene_with(1, VmoOptions::RESIZABLE)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.vmo.set_size(0)?;
    reader.ends(Status::OUT_OF_RANGE)?;
    s.packets(&[])
}

/// Partly outside: the request stays for the rest, and the write fails when that is there.
fn resize_cuts_a_request() -> Outcome {
    let s = scene_with(3, VmoOptions::RESIZABLE)?;
    let write = s.write(0..3, 9)?;
    s.packets(&[Read(0, 3)])?;
    s.supply(2..3)?;
    s.vmo.set_size(PAGE_SIZE)?;
    write.waits()?;
    s.supply(0..1)?;
    write.ends(Status::OUT_OF_RANGE)?;
    s.packets(&[])
}

/// Unmapped under a thread that waits for a page, which then comes: the thread's access finds no mapping.
fn vmar_unmap() -> Outcome {
    let s = scene(1)?;
    let mapping = Mapping::read_only(&s.vmo, 0, PAGE_SIZE as usize)?;
    let act = s.act(Deed::Load(mapping.base()))?;
    s.packets(&[Read(0, 1)])?;
    drop(mapping);
    act.waits()?;
    s.supply(0..1)?;
    act.ends(Status::NOT_FOUND)?;
    s.packets(&[])
}

fn resize_nonresizable() -> Outcome {
    let s = scene(1)?;
    equal!(s.vmo.set_size(0), Err(Status::UNAVAILABLE));
    Ok(())
}

fn detach_page_complete() -> Outcome {
    let s = scene(1)?;
    s.detach()?;
    s.packets(&[Complete])
}

fn close_page_complete() -> Outcome {
    let s = scene(1)?;
    let vmo = s
        .pager
        .create_vmo(VmoOptions::empty(), &s.port, KEY, PAGE_SIZE)?;
    drop(vmo);
    s.packets(&[Complete])
}

fn decommit_on_detach(via: Via) -> Outcome {
    let s = scene(2)?;
    let clone = s.child(zx::ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0..2)?;
    s.supply(0..2)?;
    equal!(s.committed(&s.vmo)?, 2);
    s.detach()?;
    s.packets(&[Complete])?;
    equal!(s.committed(&s.vmo)?, 0);
    for vmo in [&s.vmo, &clone] {
        s.read_of(vmo, via, 0..1, 0)?.ends(Status::BAD_STATE)?;
    }
    s.packets(&[])
}

fn detach_non_mapping_access() -> Outcome {
    let s = scene(2)?;
    let reader = s.read(Via::Read, 0..2)?;
    s.packets(&[Read(0, 2)])?;
    s.supply(0..1)?;
    s.detach()?;
    reader.ends(Status::BAD_STATE)
}

fn read_close_interrupt_late(via: Via) -> Outcome {
    let s = scene(1)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.close_pager()?;
    reader.ends(Status::BAD_STATE)?;
    s.packets(&[])
}

fn read_close_interrupt_early(via: Via) -> Outcome {
    let s = scene(1)?;
    let reader = s.read(via, 0..1)?;
    s.close_pager()?;
    reader.ends(Status::BAD_STATE)?;
    s.packets(&[])
}

fn read_detach_interrupt_late(via: Via) -> Outcome {
    let s = scene(1)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.detach()?;
    reader.ends(Status::BAD_STATE)?;
    s.packets(&[Complete])
}

fn read_detach_interrupt_early(via: Via) -> Outcome {
    let s = scene(1)?;
    let reader = s.read(via, 0..1)?;
    s.detach()?;
    reader.ends(Status::BAD_STATE)?;
    s.packets(&[Complete])
}

fn close_pager() -> Outcome {
    let s = scene(2)?;
    s.supply(1..2)?;
    let reader = s.read(Via::Read, 0..1)?;
    s.close_pager()?;
    reader.ends(Status::BAD_STATE)?;
    s.bytes_are(&s.vmo, 1, &[1])
}

fn detach_close_pager() -> Outcome {
    let s = scene(2)?;
    s.detach()?;
    s.close_pager()?;
    s.read(Via::Read, 0..1)?.ends(Status::BAD_STATE)?;
    s.read(Via::Mapping, 0..1)?.ends(Status::BAD_STATE)
}

fn close_port(via: Via) -> Outcome {
    let mut s = scene(2)?;
    drop(core::mem::replace(&mut s.port, Port::create()?));
    let first = s.read(via, 0..1)?;
    first.waits()?;
    s.supply(0..1)?;
    first.ends(Status::OK)?;
    let second = s.read(via, 1..2)?;
    second.waits()?;
    s.detach()?;
    second.ends(Status::BAD_STATE)
}

/// The pager is closed while another thread takes the COMPLETE that this withdraws.
fn racy_port_dequeue() -> Outcome {
    for _ in 0..1000 {
        let s = scene(1)?;
        s.detach()?;
        let port = s.port.raw_handle();
        let taker = zx::thread::spawn("taker", move || {
            let mut packet = [0u64; 6];
            raw::port_wait(port, NOW, raw::out(&mut packet))
        })?;
        s.close_pager()?;
        match taker.join(soon())? {
            Status::OK | Status::TIMED_OUT => s.packets(&[])?,
            status => fail!("{status}"),
        }
    }
    Ok(())
}

/// Pagers are made and closed while another thread makes VMOs with their handles, stale or not.
fn zero_handles_race() -> Outcome {
    static PAGER: AtomicU32 = AtomicU32::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Relaxed);
    let port = Port::create()?;
    let raw_port = port.raw_handle();
    let maker = zx::thread::spawn("maker", move || {
        while !OVER.load(Relaxed) {
            let (pager, mut vmo) = (PAGER.load(Relaxed), 0u32);
            let made = raw::pager_create_vmo(pager, 0, raw_port, 1, PAGE_SIZE, raw::out(&mut vmo));
            match made {
                Status::OK => raw::handle_close(vmo).ok()?,
                Status::BAD_HANDLE | Status::BAD_STATE => {}
                status => return Err(status),
            }
        }
        Ok(())
    })?;
    for _ in 0..10_000 {
        let pager = Pager::create()?;
        PAGER.store(pager.raw_handle(), Relaxed);
        drop(pager);
    }
    OVER.store(true, Relaxed);
    equal!(maker.join(soon())?, Ok(()));
    Ok(())
}

/// The queries of a pager are for its own VMOs, also when the VMO's pager is gone.
fn proxy_use_after_free() -> Outcome {
    let s = scene(1)?;
    s.close_pager()?;
    let other = Pager::create()?;
    let asked = other.query_vmo_stats(&s.vmo, false);
    equal!(asked, Err(Status::INVALID_ARGS));
    Ok(())
}

fn supply_after_detach() -> Outcome {
    let s = scene(1)?;
    s.detach()?;
    equal!(s.try_supply(&s.vmo, 0..1), Err(Status::BAD_STATE));
    Ok(())
}

crate::scenarios! {
    "ResizeNonresizableVmo" resize_nonresizable
    "ResizeCutsARequest" resize_cuts_a_request
    "VmarUnmapTest" vmar_unmap
    "DetachPageCompleteTest" detach_page_complete
    "ClosePageCompleteTest" close_page_complete
    "DetachNonMappingAccess" detach_non_mapping_access
    "ClosePagerTest" close_pager
    "DetachClosePagerTest" detach_close_pager
    "RacyPortDequeue" racy_port_dequeue
    "ZeroHandlesRace" zero_handles_race
    "ProxyUseAfterFree" proxy_use_after_free
    "SupplyAfterDetach" supply_after_detach;
    reading
    "ReadResizeTest" read_resize
    "DecommitOnDetachTest" decommit_on_detach
    "ReadCloseInterruptLate" read_close_interrupt_late
    "ReadCloseInterruptEarly" read_close_interrupt_early
    "ReadDetachInterruptLate" read_detach_interrupt_late
    "ReadDetachInterruptEarly" read_detach_interrupt_early
    "ClosePortTest" close_port;
    writing;
}
