//! What a job's policy forbids. Run with `--policy new-any=deny --policy ambient-mark-vmo-exec=deny` and a start-up VMO `exec`.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use protocol::syscall::SyscallNumber;
use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, equal, status};
use zx::Status;

fn new_objects_denied() -> Outcome {
    let mut handle = 0u32;
    let at = out(&mut handle);
    status!(ACCESS_DENIED, raw::vmo_create(0, 0, at));
    status!(ACCESS_DENIED, raw::port_create(0, at));
    status!(ACCESS_DENIED, raw::pager_create(0, at));
    status!(ACCESS_DENIED, raw::event_create(0, at));
    let process = SyscallNumber::ProcessCreate;
    // SAFETY: without a name and with nowhere to put results the call touches no memory.
    let denied = unsafe { zx::sys::call(process, [0; 6]) };
    equal!(denied, Status::ACCESS_DENIED);
    Ok(())
}

/// Ports and VMOs ask before they look at their options, pagers and events afterwards.
fn order_of_checks() -> Outcome {
    status!(ACCESS_DENIED, raw::vmo_create(u64::MAX, u32::MAX, 0));
    status!(ACCESS_DENIED, raw::port_create(u32::MAX, 0));
    status!(INVALID_ARGS, raw::pager_create(1, 0));
    status!(INVALID_ARGS, raw::event_create(1, 0));
    status!(ACCESS_DENIED, raw::event_create(0, 0));
    Ok(())
}

/// The policy comes after the size, before the BTI or the resource.
fn device_vmos_denied() -> Outcome {
    status!(INVALID_ARGS, raw::vmo_create_contiguous(0, 0, 0, 0));
    status!(ACCESS_DENIED, raw::vmo_create_contiguous(0, 4096, 0, 0));
    status!(INVALID_ARGS, raw::vmo_create_physical(0, 0, 0, 0));
    status!(ACCESS_DENIED, raw::vmo_create_physical(0, 0, 4096, 0));
    Ok(())
}

static VMO: AtomicU32 = AtomicU32::new(0);

/// A VMO that the program was given, as it may make none.
pub fn remember(vmo: Option<zx::RawHandle>) {
    VMO.store(vmo.unwrap_or(0), Relaxed);
}

/// Without a resource it takes the policy's leave to make a VMO executable; the handle is gone all the same.
fn executable_vmos_denied() -> Outcome {
    let (vmo, mut handle) = (VMO.load(Relaxed), 0u32);
    let at = out(&mut handle);
    status!(ACCESS_DENIED, raw::vmo_replace_as_executable(vmo, 0, at));
    status!(BAD_HANDLE, raw::handle_close(vmo));
    Ok(())
}

cases! { "policy":
    new_objects_denied order_of_checks device_vmos_denied executable_vmos_denied
}
