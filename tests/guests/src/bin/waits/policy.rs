//! What a job's policy forbids. Run with `--policy new-any=deny`.

use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, status};

fn new_objects_denied() -> Outcome {
    let mut handle = 0u32;
    let at = out(&mut handle);
    status!(ACCESS_DENIED, raw::vmo_create(0, 0, at));
    status!(ACCESS_DENIED, raw::port_create(0, at));
    status!(ACCESS_DENIED, raw::pager_create(0, at));
    status!(ACCESS_DENIED, raw::event_create(0, at));
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

cases! { "policy":
    new_objects_denied order_of_checks
}
