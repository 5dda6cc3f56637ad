//! `zx_pager_create_vmo`: what it makes, its packets, and what ends them.

use test_guests::pages::{PAGE, check_vmo};
use test_guests::{Outcome, Service, Via, cases, check, equal, fail, reader, soon};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, MAX_VMO_SIZE, Mapping, PAGE_SIZE, Rights, Status,
    Unowned, Vmo, VmoInfoFlags, VmoOptions,
};

const KEY: u64 = 0x1234_5678_9ABC_DEF0;

/// The size is rounded up to whole pages.
fn size_rounds_up() -> Outcome {
    let service = Service::new()?;
    for (size, rounded) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
        let vmo = service
            .pager
            .create_vmo(VmoOptions::empty(), &service.port, KEY, size)?;
        equal!(vmo.get_size()?, rounded);
        equal!(vmo.get_content_size()?, size);
    }
    Ok(())
}

/// A resizable VMO can change its size, one without the option cannot.
fn resizable() -> Outcome {
    let service = Service::new()?;
    let vmo = service
        .pager
        .create_vmo(VmoOptions::RESIZABLE, &service.port, KEY, PAGE_SIZE)?;
    vmo.set_size(3 * PAGE_SIZE)?;
    equal!(vmo.get_size()?, 3 * PAGE_SIZE);
    // What growing adds is zero and asks nobody.
    check_vmo(&vmo, None, 1, 2)?;
    let fixed = service.vmo(KEY, 1)?;
    equal!(fixed.set_size(2 * PAGE_SIZE), Err(Status::UNAVAILABLE));
    Ok(())
}

/// Superseded: ZX_VMO_UNBOUNDED is accepted now (as is ZX_VMO_TRAP_DIRTY, where dirty pages are tracked).
fn unbounded() -> Outcome {
    let service = Service::new()?;
    let vmo = service
        .pager
        .create_vmo(VmoOptions::UNBOUNDED, &service.port, KEY, 77)?;
    equal!(vmo.get_size()?, MAX_VMO_SIZE);
    equal!(vmo.get_content_size()?, 77);
    Ok(())
}

/// The handle has the rights that `zx_vmo_create` would give.
fn rights() -> Outcome {
    let service = Service::new()?;
    equal!(
        service.vmo(KEY, 1)?.basic_info()?.rights,
        Rights::DEFAULT_VMO.bits()
    );
    let vmo = service
        .pager
        .create_vmo(VmoOptions::RESIZABLE, &service.port, KEY, PAGE_SIZE)?;
    equal!(
        vmo.basic_info()?.rights,
        (Rights::DEFAULT_VMO | Rights::RESIZE).bits()
    );
    check!(vmo.info()?.flags & VmoInfoFlags::PAGER_BACKED.bits() != 0);
    Ok(())
}

/// Touching an absent page sends READ: the whole packet, and no more than the page.
fn read_packet_for_read() -> Outcome {
    read_packet(Via::Read)
}

fn read_packet_for_mapping() -> Outcome {
    read_packet(Via::Mapping)
}

fn read_packet(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 4)?;
    service.expect_silence()?;
    let reader = reader(&vmo, via, Some(7), 2, 1)?;
    service.expect_read(KEY, 2, 1)?;
    reader.expect_blocked()?;
    // The supply is the answer; nothing else has to be said.
    service.supply(&vmo, 7, 2, 1)?;
    reader.expect_done()?;
    service.expect_silence()
}

/// Requests are for whole pages: ten bytes across a boundary ask for two.
fn packets_are_page_aligned() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 4)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("reader", move || {
        Unowned::<Vmo>::from_raw(raw).read(&mut [0; 10], PAGE_SIZE - 5)
    })?;
    service.expect_read(KEY, 0, 2)?;
    service.supply(&vmo, 7, 0, 2)?;
    equal!(thread.join(soon())?, Ok(()));
    Ok(())
}

/// A write to an absent page asks for it first.
fn read_packet_for_write() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("writer", move || {
        Unowned::<Vmo>::from_raw(raw).write(b"new", 1)
    })?;
    service.expect_read(KEY, 0, 1)?;
    service.supply_from(&vmo, 0, 1, &Vmo::create(PAGE_SIZE)?, 0)?;
    equal!(thread.join(soon())?, Ok(()));
    let mut bytes = [0xFF; 5];
    vmo.read(&mut bytes, 0)?;
    equal!(bytes, *b"\0new\0");
    Ok(())
}

/// Pages that are resident ask nobody.
fn no_packet_for_resident_pages() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply(&vmo, 7, 0, 2)?;
    check_vmo(&vmo, Some(7), 0, 2)?;
    service.expect_silence()
}

/// Detaching sends COMPLETE, once.
fn complete_on_detach() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    service.pager.detach_vmo(&vmo)?;
    service.expect_complete(KEY)?;
    service.pager.detach_vmo(&vmo)?;
    drop(vmo);
    service.expect_silence()
}

/// So does the end of the last reference.
fn complete_on_last_reference() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let copy = vmo.duplicate_handle(Rights::SAME_RIGHTS)?;
    drop(vmo);
    service.expect_silence()?;
    drop(copy);
    service.expect_complete(KEY)
}

/// A mapping is a reference ...
fn a_mapping_is_a_reference() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let mapping = Mapping::read_only(&vmo, 0, PAGE)?;
    drop(vmo);
    service.expect_silence()?;
    drop(mapping);
    service.expect_complete(KEY)
}

/// ... and so is a child.
fn a_child_is_a_reference() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let child = vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    drop(vmo);
    service.expect_silence()?;
    drop(child);
    service.expect_complete(KEY)
}

/// Detaching fails waiters and drops clean pages; later accesses fail without a packet.
fn detach_ends_waits_and_accesses() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply(&vmo, 7, 1, 1)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("reader", move || {
        Unowned::<Vmo>::from_raw(raw).read(&mut [0; 8], 0)
    })?;
    service.expect_read(KEY, 0, 1)?;
    service.pager.detach_vmo(&vmo)?;
    equal!(thread.join(soon())?, Err(Status::BAD_STATE));
    service.expect_complete(KEY)?;
    equal!(vmo.info()?.committed_bytes, 0);
    equal!(vmo.read(&mut [0; 8], 0), Err(Status::BAD_STATE));
    equal!(vmo.read(&mut [0; 8], PAGE_SIZE), Err(Status::BAD_STATE));
    service.expect_silence()
}

/// A request that nobody has dequeued goes away with the detach; only COMPLETE is seen.
fn detach_withdraws_the_request() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let reader = failing_reader(&vmo)?;
    if reader.finished_by(test_guests::shortly()) {
        fail!("the reader did not wait");
    }
    service.pager.detach_vmo(&vmo)?;
    equal!(reader.join(soon())?, Err(Status::BAD_STATE));
    service.expect_complete(KEY)?;
    service.expect_silence()
}

/// A thread that reads page 0, and its status.
fn failing_reader(vmo: &Vmo) -> Result<zx::thread::JoinHandle<Result<(), Status>>, Status> {
    let raw = vmo.raw_handle();
    zx::thread::spawn("reader", move || {
        Unowned::<Vmo>::from_raw(raw).read(&mut [0; 8], 0)
    })
}

/// A closed pager sends nothing any more, not even COMPLETE.
fn closed_pager_sends_nothing() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let reader = failing_reader(&vmo)?;
    if reader.finished_by(test_guests::shortly()) {
        fail!("the reader did not wait");
    }
    let port = service.close();
    equal!(reader.join(soon())?, Err(Status::BAD_STATE));
    drop(vmo);
    equal!(
        port.wait(test_guests::shortly()).err(),
        Some(Status::TIMED_OUT)
    );
    Ok(())
}

/// A closed pager fails accesses as a detached VMO does, but for resident pages, which newer
/// behaviour keeps readable.
fn closed_pager_fails_accesses() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply(&vmo, 7, 0, 1)?;
    drop(service.close());
    check_vmo(&vmo, Some(7), 0, 1)?;
    equal!(vmo.read(&mut [0; 8], PAGE_SIZE), Err(Status::BAD_STATE));
    Ok(())
}

/// Keys are the caller's: two VMOs may share one.
fn key_is_opaque() -> Outcome {
    let service = Service::new()?;
    for key in [0, u64::MAX] {
        let (a, b) = (service.vmo(key, 1)?, service.vmo(key, 1)?);
        drop((a, b));
        service.expect_complete(key)?;
        service.expect_complete(key)?;
    }
    Ok(())
}

cases! { "pager_create_vmo":
    size_rounds_up resizable unbounded rights read_packet_for_read read_packet_for_mapping
    packets_are_page_aligned read_packet_for_write no_packet_for_resident_pages complete_on_detach
    complete_on_last_reference a_mapping_is_a_reference a_child_is_a_reference
    detach_ends_waits_and_accesses detach_withdraws_the_request closed_pager_sends_nothing
    closed_pager_fails_accesses key_is_opaque
}
