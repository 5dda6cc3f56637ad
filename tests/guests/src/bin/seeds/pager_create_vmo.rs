//! `zx_pager_create_vmo`: description, packets and errors; and `zx_pager_detach_vmo`, which it points to.

use test_guests::pages::{PAGE, check_vmo};
use test_guests::raw::{self, BAD_HANDLES, out};
use test_guests::{Outcome, Service, Via, cases, check, equal, fail, reader, soon, status};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, MAX_VMO_SIZE, Mapping, PAGE_SIZE, Pager, Port, Rights,
    Status, Unowned, Vmo, VmoInfoFlags, VmoOptions,
};

const KEY: u64 = 0x1234_5678_9ABC_DEF0;

/// Calls with a service's own handles.
fn create(service: &Service, options: u32, size: u64) -> Status {
    let mut handle = 0u32;
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    raw::pager_create_vmo(pager, options, port, KEY, size, out(&mut handle))
}

/// "size will be rounded up to the next page size boundary"
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

/// "options must be zero or ZX_VMO_RESIZABLE"
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

/// "the returned vmo has the same rights as a vmo created with zx_vmo_create()"
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

/// "READ: Sent when an application accesses a non-resident page": the whole packet, and no more than the page.
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
    // "Supplying pages is an implicit positive acknowledgement of the request."
    service.supply(&vmo, 7, 2, 1)?;
    reader.expect_done()?;
    service.expect_silence()
}

/// "offset and length are always page-aligned": ten bytes across a boundary ask for two pages.
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

/// "COMPLETE: ... because of zx_pager_detach_vmo()", once.
fn complete_on_detach() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    service.pager.detach_vmo(&vmo)?;
    service.expect_complete(KEY)?;
    service.pager.detach_vmo(&vmo)?;
    drop(vmo);
    service.expect_silence()
}

/// "or because no references to the VMO remain"
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

/// "If pager is closed, then no more packets will be delivered to port (including no COMPLETE message)."
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

/// "all future accesses will behave as if zx_pager_detach_vmo() had been called" - but for resident pages, which newer
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

/// "ZX_ERR_INVALID_ARGS out is an invalid pointer or NULL"
fn out_invalid_args() -> Outcome {
    let service = Service::new()?;
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    for address in raw::bad_addresses() {
        status!(
            INVALID_ARGS,
            raw::pager_create_vmo(pager, 0, port, KEY, PAGE_SIZE, address)
        );
    }
    Ok(())
}

/// "or options is any value other than 0 or ZX_VMO_RESIZABLE" (and the two newer ones)
fn options_invalid_args() -> Outcome {
    let service = Service::new()?;
    let known = VmoOptions::RESIZABLE | VmoOptions::TRAP_DIRTY | VmoOptions::UNBOUNDED;
    for bit in (0..32).filter(|bit| known.bits() & (1 << bit) == 0) {
        status!(INVALID_ARGS, create(&service, 1 << bit, PAGE_SIZE));
    }
    let both = VmoOptions::RESIZABLE | VmoOptions::UNBOUNDED;
    status!(INVALID_ARGS, create(&service, both.bits(), PAGE_SIZE));
    Ok(())
}

/// "ZX_ERR_BAD_HANDLE pager or port is not a valid handle."
fn bad_handle() -> Outcome {
    let service = Service::new()?;
    let mut handle = 0u32;
    let out = out(&mut handle);
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    for bad in BAD_HANDLES {
        status!(
            BAD_HANDLE,
            raw::pager_create_vmo(bad, 0, port, KEY, PAGE_SIZE, out)
        );
        status!(
            BAD_HANDLE,
            raw::pager_create_vmo(pager, 0, bad, KEY, PAGE_SIZE, out)
        );
    }
    Ok(())
}

/// "ZX_ERR_ACCESS_DENIED port does not have ZX_RIGHT_WRITE."
fn port_without_write_access_denied() -> Outcome {
    let service = Service::new()?;
    let port = service
        .port
        .duplicate_handle(Rights::DEFAULT_PORT - Rights::WRITE)?;
    let vmo = service
        .pager
        .create_vmo(VmoOptions::empty(), &port, KEY, PAGE_SIZE);
    equal!(vmo, Err(Status::ACCESS_DENIED));
    Ok(())
}

/// Newer than the document: the pager handle needs ATTACH_VMO.
fn pager_without_attach_access_denied() -> Outcome {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let pager = pager.replace_handle(Rights::DEFAULT_PAGER - Rights::ATTACH_VMO)?;
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, KEY, PAGE_SIZE);
    equal!(vmo, Err(Status::ACCESS_DENIED));
    Ok(())
}

/// "ZX_ERR_WRONG_TYPE pager is not a pager handle or port is not a port handle."
fn wrong_type() -> Outcome {
    let service = Service::new()?;
    let mut handle = 0u32;
    let out = out(&mut handle);
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    let vmo = Vmo::create(PAGE_SIZE)?.replace_handle(Rights::TRANSFER)?;
    status!(
        WRONG_TYPE,
        raw::pager_create_vmo(port, 0, port, KEY, PAGE_SIZE, out)
    );
    status!(
        WRONG_TYPE,
        raw::pager_create_vmo(pager, 0, pager, KEY, PAGE_SIZE, out)
    );
    // The type is looked at before the rights.
    status!(
        WRONG_TYPE,
        raw::pager_create_vmo(pager, 0, vmo.raw_handle(), KEY, PAGE_SIZE, out)
    );
    Ok(())
}

/// "ZX_ERR_OUT_OF_RANGE The requested size is larger than the maximum vmo size."
fn too_large_out_of_range() -> Outcome {
    let service = Service::new()?;
    for size in [MAX_VMO_SIZE + 1, u64::MAX - 4095, u64::MAX] {
        status!(OUT_OF_RANGE, create(&service, 0, size));
    }
    status!(OK, create(&service, 0, MAX_VMO_SIZE));
    Ok(())
}

/// Pager, then port, then options, then size.
fn order_of_checks() -> Outcome {
    let service = Service::new()?;
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    status!(
        WRONG_TYPE,
        raw::pager_create_vmo(port, 1, 0, KEY, u64::MAX, 0)
    );
    status!(
        BAD_HANDLE,
        raw::pager_create_vmo(pager, 1, 0, KEY, u64::MAX, 0)
    );
    status!(
        INVALID_ARGS,
        raw::pager_create_vmo(pager, 1, port, KEY, u64::MAX, 0)
    );
    status!(
        OUT_OF_RANGE,
        raw::pager_create_vmo(pager, 0, port, KEY, u64::MAX, 0)
    );
    Ok(())
}

/// What `zx_pager_detach_vmo` refuses.
fn detach_errors() -> Outcome {
    let service = Service::new()?;
    let other = Pager::create()?;
    let vmo = service.vmo(KEY, 1)?;
    equal!(other.detach_vmo(&vmo), Err(Status::INVALID_ARGS));
    equal!(
        service.pager.detach_vmo(&Vmo::create(PAGE_SIZE)?),
        Err(Status::INVALID_ARGS)
    );
    let child = vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    equal!(service.pager.detach_vmo(&child), Err(Status::INVALID_ARGS));
    let read_only = vmo.duplicate_handle(Rights::DEFAULT_VMO - Rights::WRITE)?;
    equal!(
        service.pager.detach_vmo(&read_only),
        Err(Status::ACCESS_DENIED)
    );
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    status!(BAD_HANDLE, raw::pager_detach_vmo(0, vmo.raw_handle()));
    status!(BAD_HANDLE, raw::pager_detach_vmo(pager, 0));
    status!(
        WRONG_TYPE,
        raw::pager_detach_vmo(vmo.raw_handle(), vmo.raw_handle())
    );
    status!(WRONG_TYPE, raw::pager_detach_vmo(pager, port));
    service.expect_silence()
}

cases! { "pager_create_vmo":
    size_rounds_up resizable unbounded rights read_packet_for_read read_packet_for_mapping
    packets_are_page_aligned read_packet_for_write no_packet_for_resident_pages complete_on_detach
    complete_on_last_reference a_mapping_is_a_reference a_child_is_a_reference
    detach_ends_waits_and_accesses detach_withdraws_the_request closed_pager_sends_nothing
    closed_pager_fails_accesses key_is_opaque out_invalid_args options_invalid_args bad_handle
    port_without_write_access_denied pager_without_attach_access_denied wrong_type
    too_large_out_of_range order_of_checks detach_errors
}
