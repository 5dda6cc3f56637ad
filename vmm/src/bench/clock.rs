//! The time-stamp counter, in which guests measure.

use std::time::{Duration, Instant};

/// How long the counter is compared with the clock.
const SPAN: Duration = Duration::from_millis(50);

/// Nanoseconds a cycle, found out by looking at both clocks.
pub fn nanoseconds_per_cycle() -> f64 {
    let (began, first) = (Instant::now(), cycles());
    while began.elapsed() < SPAN {
        std::hint::spin_loop();
    }
    let (last, span) = (cycles(), began.elapsed());
    span.as_nanos() as f64 / (last - first).max(1) as f64
}

#[allow(unsafe_code)]
fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; it only reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}
