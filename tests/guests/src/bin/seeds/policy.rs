//! New VMOs need the job policy's leave. Run with `--policy new-vmo=deny`.

use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, status};
use zx::{AsHandleRef, Pager, Port, VmoOptions};

fn vmo_create_denied() -> Outcome {
    let mut handle = 0u32;
    status!(ACCESS_DENIED, raw::vmo_create(4096, 0, out(&mut handle)));
    Ok(())
}

/// The policy is asked before anything else.
fn vmo_create_denied_before_other_checks() -> Outcome {
    status!(ACCESS_DENIED, raw::vmo_create(u64::MAX, u32::MAX, 0));
    Ok(())
}

fn pager_create_vmo_denied() -> Outcome {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let mut handle = 0u32;
    let out = out(&mut handle);
    let (pager, port) = (pager.raw_handle(), port.raw_handle());
    status!(
        ACCESS_DENIED,
        raw::pager_create_vmo(pager, 0, port, 1, 4096, out)
    );
    Ok(())
}

fn pager_create_vmo_denied_before_other_checks() -> Outcome {
    let options = VmoOptions::DISCARDABLE.bits();
    status!(
        ACCESS_DENIED,
        raw::pager_create_vmo(0, options, 0, 1, u64::MAX, 0)
    );
    Ok(())
}

cases! { "policy":
    vmo_create_denied vmo_create_denied_before_other_checks pager_create_vmo_denied
    pager_create_vmo_denied_before_other_checks
}
