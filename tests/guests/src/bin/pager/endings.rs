//! Resizing, detaching, closing.

use test_guests::{NOW, Outcome, Via, equal, fail};
use zx::{PAGE_SIZE, Pager, Port, Status, VmoOptions};

use crate::scene::{Complete, KEY, Read, scene, scene_with};

fn read_resize(via: Via) -> Outcome {
    let s = scene_with(1, VmoOptions::RESIZABLE)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.vmo.set_size(0)?;
    reader.ends(Status::OUT_OF_RANGE)?;
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
    for _ in 0..100 {
        let s = scene(1)?;
        s.detach()?;
        let port = zx::AsHandleRef::raw_handle(&s.port);
        let taker = zx::thread::spawn("taker", move || {
            let mut packet = [0u64; 6];
            test_guests::raw::port_wait(port, NOW, test_guests::raw::out(&mut packet))
        })?;
        s.close_pager()?;
        match taker.join(test_guests::soon())? {
            Status::OK | Status::TIMED_OUT => s.packets(&[])?,
            status => fail!("{status}"),
        }
    }
    Ok(())
}

/// A pager is closed while another thread makes a VMO with its handle.
fn zero_handles_race() -> Outcome {
    let port = Port::create()?;
    let raw_port = zx::AsHandleRef::raw_handle(&port);
    for _ in 0..100 {
        let pager = Pager::create()?;
        let raw = zx::AsHandleRef::raw_handle(&pager);
        let maker = zx::thread::spawn("maker", move || {
            let mut vmo = 0u32;
            let out = test_guests::raw::out(&mut vmo);
            let made = test_guests::raw::pager_create_vmo(raw, 0, raw_port, 1, PAGE_SIZE, out);
            let _ = test_guests::raw::handle_close(vmo);
            made
        })?;
        drop(pager);
        match maker.join(test_guests::soon())? {
            Status::OK | Status::BAD_HANDLE | Status::BAD_STATE => {}
            status => fail!("{status}"),
        }
    }
    Ok(())
}

/// The queries of a pager are for its own VMOs, also when the VMO's pager is gone.
fn proxy_use_after_free() -> Outcome {
    let s = scene(1)?;
    s.close_pager()?;
    let other = Pager::create()?;
    let mut stats = 0u32;
    let vmo = zx::AsHandleRef::raw_handle(&s.vmo);
    let args = [
        zx::AsHandleRef::raw_handle(&other).into(),
        vmo.into(),
        0,
        test_guests::raw::out(&mut stats),
        4,
    ];
    // SAFETY: the record is alive during the call.
    let status =
        unsafe { zx::sys::call(protocol::syscall::SyscallNumber::PagerQueryVmoStats, args) };
    equal!(status, Status::INVALID_ARGS);
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
