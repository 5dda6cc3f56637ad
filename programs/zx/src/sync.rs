//! A mutex that waits on a futex.

use core::sync::atomic::{AtomicU32, Ordering};

use lock_api::GuardSend;

use crate::futex;
use crate::time::TIME_INFINITE;

/// A value that one thread at a time may use.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// Leave to use a [`Mutex`]'s value, until it is dropped.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and somebody may wait.
const CONTENDED: u32 = 2;

/// The lock itself: one word. It makes no system call unless a thread waits.
#[derive(Debug)]
pub struct RawMutex(AtomicU32);

impl RawMutex {
    /// Waits until the lock is free. Who has waited leaves it contended: others may wait still.
    #[cold]
    fn lock_contended(&self) {
        while self.0.swap(CONTENDED, Ordering::Acquire) != FREE {
            let _ = futex::wait(&self.0, CONTENDED, TIME_INFINITE);
        }
    }
}

// SAFETY: `lock` and `try_lock` return true to one thread until `unlock` makes the word free again.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for it"
    )]
    const INIT: Self = RawMutex(AtomicU32::new(FREE));

    type GuardMarker = GuardSend;

    fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    fn try_lock(&self) -> bool {
        self.0
            .compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) == CONTENDED {
            let _ = futex::wake(&self.0, 1);
        }
    }
}
