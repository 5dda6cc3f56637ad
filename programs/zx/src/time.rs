//! Time and deadlines: nanoseconds since the VM started, as `i64`.

pub use protocol::{TIME_INFINITE, TIME_INFINITE_PAST};

use protocol::Status;

use crate::sys;

/// Nanoseconds in a millisecond.
pub const MILLISECOND: i64 = 1_000_000;

/// `zx_clock_get_monotonic`.
pub fn now() -> i64 {
    sys::clock_get_monotonic()
}

/// The deadline `milliseconds` from now.
pub fn after_millis(milliseconds: i64) -> i64 {
    now().saturating_add(milliseconds.saturating_mul(MILLISECOND))
}

/// `zx_nanosleep`.
pub fn sleep_until(deadline: i64) -> Result<(), Status> {
    // SAFETY: the call touches no memory of the program.
    unsafe { sys::nanosleep(deadline).ok() }
}
