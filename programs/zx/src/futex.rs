//! Futexes, and the one thing built on them here: a gate that opens once.

use core::sync::atomic::{AtomicU32, Ordering};
use protocol::Status;

use crate::sys;

/// `zx_futex_wait`: waits until woken, if `word` still holds `expected`.
///
/// # Errors
/// BAD_STATE when the word holds something else, TIMED_OUT when the deadline came first.
pub fn wait(word: &AtomicU32, expected: u32, deadline: i64) -> Result<(), Status> {
    // SAFETY: the VMM only reads the word.
    unsafe { sys::futex_wait(word.as_ptr() as u64, expected, 0, deadline).ok() }
}

/// `zx_futex_wake`: wakes at most `count` waiters of `word`.
pub fn wake(word: &AtomicU32, count: u32) -> Result<(), Status> {
    // SAFETY: only the address is used.
    unsafe { sys::futex_wake(word.as_ptr() as u64, count).ok() }
}

/// Waits until `word` is no longer zero, or the deadline; tells which.
pub fn wait_nonzero(word: &AtomicU32, deadline: i64) -> bool {
    loop {
        if word.load(Ordering::Acquire) != 0 {
            return true;
        }
        if let Err(Status::TIMED_OUT) = wait(word, 0, deadline) {
            return word.load(Ordering::Acquire) != 0;
        }
    }
}

/// A gate: closed at first, opened once, passed by any number of threads.
#[derive(Debug, Default)]
pub struct Gate(AtomicU32);

impl Gate {
    /// A closed gate.
    pub const fn new() -> Self {
        Gate(AtomicU32::new(0))
    }

    /// Opens the gate for all.
    pub fn open(&self) {
        self.0.store(1, Ordering::Release);
        let _ = wake(&self.0, u32::MAX);
    }

    /// Closes the gate again, for the next round of a test.
    pub fn close(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Waits until the gate is open, or the deadline; tells which.
    pub fn pass(&self, deadline: i64) -> bool {
        wait_nonzero(&self.0, deadline)
    }
}
