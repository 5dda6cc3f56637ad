//! A thread that never gives the processor back, and one that must go on all the same.

use core::arch::asm;
use zx::futex::Gate;
use zx::time;

/// How long the counting may take.
const PATIENCE_MILLIS: i64 = 20_000;

static STARTED: Gate = Gate::new();

/// Counts `count` milliseconds by the clock while another thread spins.
pub fn spin(count: u64) -> i32 {
    let spinner = zx::thread::spawn("spinner", || {
        STARTED.open();
        // SAFETY: an endless loop; the process's end ends it.
        unsafe { asm!("2:", "jmp 2b", options(nomem, nostack)) }
    });
    let give_up = time::after_millis(PATIENCE_MILLIS);
    if let Err(status) = spinner {
        zx::println!("hostile: spin: {status}");
        return 2;
    }
    if !STARTED.pass(give_up) {
        zx::println!("hostile: spin: the spinning thread never started");
        return 1;
    }
    for counted in 0..count {
        let next = time::after_millis(1);
        while time::now() < next {}
        if next > give_up {
            zx::println!("spin: counted to {counted} only");
            return 1;
        }
    }
    zx::println!("spin: counted to {count}");
    0
}
