//! `zx_pager_create_vmo`: its errors; and those of `zx_pager_detach_vmo`, which it points to.

use test_guests::raw::{self, BAD_HANDLES, out};
use test_guests::{Outcome, Service, cases, equal, status};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, MAX_VMO_SIZE, PAGE_SIZE, Pager, Port, Rights, Status,
    Vmo, VmoOptions,
};

const KEY: u64 = 5;

/// Calls with a service's own handles.
fn create(service: &Service, options: u32, size: u64) -> Status {
    let mut handle = 0u32;
    let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
    raw::pager_create_vmo(pager, options, port, KEY, size, out(&mut handle))
}

/// INVALID_ARGS: an out-pointer that is null or cannot be written.
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

/// INVALID_ARGS: options other than RESIZABLE and the newer ones.
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

/// BAD_HANDLE: no such pager or port handle.
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

/// ACCESS_DENIED: a port handle without WRITE.
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

/// WRONG_TYPE: something else where a pager or a port belongs.
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

/// OUT_OF_RANGE: above the largest VMO.
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

cases! { "pager_create_vmo.errors":
    out_invalid_args options_invalid_args bad_handle port_without_write_access_denied
    pager_without_attach_access_denied wrong_type too_large_out_of_range order_of_checks
    detach_errors
}
