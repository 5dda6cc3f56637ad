//! close, close_many, duplicate, replace.

use test_guests::raw::{self, BAD_HANDLES, out};
use test_guests::{Outcome, cases, check, equal, status};
use zx::{AsHandleRef, Handle, HandleBased, PAGE_SIZE, Pager, Rights, Status, Vmo};

fn close() -> Outcome {
    let raw = Vmo::create(PAGE_SIZE)?.into_raw();
    status!(OK, raw::handle_close(raw));
    status!(BAD_HANDLE, raw::handle_close(raw));
    // Closing "no handle" is fine.
    status!(OK, raw::handle_close(0));
    for bad in BAD_HANDLES.into_iter().filter(|handle| *handle != 0) {
        status!(BAD_HANDLE, raw::handle_close(bad));
    }
    Ok(())
}

/// All that can be closed are closed, zeros are skipped, and one bad one shows in the status.
fn close_many() -> Outcome {
    let vmo = || Vmo::create(PAGE_SIZE).map(HandleBased::into_raw);
    let mut good = [vmo()?, 0, vmo()?];
    status!(OK, raw::handle_close_many(out(&mut good), 3));
    status!(BAD_HANDLE, raw::handle_close(good[0]));
    let mut mixed = [vmo()?, good[0], vmo()?];
    status!(BAD_HANDLE, raw::handle_close_many(out(&mut mixed), 3));
    status!(BAD_HANDLE, raw::handle_close(mixed[0]));
    status!(BAD_HANDLE, raw::handle_close(mixed[2]));
    status!(OK, raw::handle_close_many(0, 0));
    Ok(())
}

fn duplicate_with_fewer_rights() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let fewer = vmo.duplicate_handle(Rights::READ | Rights::DUPLICATE)?;
    equal!(
        fewer.basic_info()?.rights,
        (Rights::READ | Rights::DUPLICATE).bits()
    );
    equal!(fewer.write(&[0], 0), Err(Status::ACCESS_DENIED));
    // Rights never come back.
    let more = fewer.duplicate_handle(Rights::READ | Rights::WRITE);
    equal!(more, Err(Status::INVALID_ARGS));
    Ok(())
}

fn duplicate_errors() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let mut handle = 0u32;
    let same = Rights::SAME_RIGHTS.bits();
    status!(BAD_HANDLE, raw::handle_duplicate(0, same, out(&mut handle)));
    for address in raw::bad_addresses() {
        status!(
            INVALID_ARGS,
            raw::handle_duplicate(vmo.raw_handle(), same, address)
        );
    }
    let pager = Pager::create()?;
    equal!(
        pager.duplicate_handle(Rights::SAME_RIGHTS),
        Err(Status::ACCESS_DENIED)
    );
    Ok(())
}

/// The old handle is gone, the new one names the same object.
fn replace() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let (old, koid) = (vmo.raw_handle(), vmo.basic_info()?.koid);
    let new = vmo.replace_handle(Rights::READ)?;
    equal!(new.basic_info()?.koid, koid);
    equal!(new.basic_info()?.rights, Rights::READ.bits());
    check!(
        new.raw_handle() != old,
        "the old handle's value still works"
    );
    status!(BAD_HANDLE, raw::handle_close(old));
    Ok(())
}

/// A replace that asks for too much consumes the handle all the same.
fn failed_replace_consumes() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?.replace_handle(Rights::READ)?;
    let old = vmo.raw_handle();
    equal!(vmo.replace_handle(Rights::WRITE), Err(Status::INVALID_ARGS));
    status!(BAD_HANDLE, raw::handle_close(old));
    Ok(())
}

/// A handle's value is not used again soon, so that a stale one is noticed.
fn stale_handles_stay_bad() -> Outcome {
    let stale = Vmo::create(PAGE_SIZE)?.into_raw();
    status!(OK, raw::handle_close(stale));
    let _others: [Handle; 4] = [new()?, new()?, new()?, new()?];
    let mut size = 0u64;
    status!(BAD_HANDLE, raw::vmo_get_size(stale, out(&mut size)));
    Ok(())
}

fn new() -> Result<Handle, Status> {
    Vmo::create(0).map(Handle::from)
}

cases! { "handles":
    close close_many duplicate_with_fewer_rights duplicate_errors replace failed_replace_consumes
    stale_handles_stay_bad
}
