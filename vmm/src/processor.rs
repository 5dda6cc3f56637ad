//! The processors of the host, as far as threads are bound to them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds the calling thread to the `nth` processor that it may use, if there are so many.
pub(crate) fn pin(nth: usize) {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut numbers = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
    let Some(number) = numbers.nth(nth) else {
        return;
    };
    let mut one = CpuSet::new();
    one.set(number);
    if let Err(error) = sched_setaffinity(None, &one) {
        log::warn!("a thread cannot be bound to processor {number}: {error}");
    }
}

/// How many processors the calling thread may use.
pub(crate) fn count() -> usize {
    sched_getaffinity(None).map_or(1, |allowed| allowed.count() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_to_one_processor() {
        std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            pin(CpuSet::MAX_CPU);
            assert_eq!(sched_getaffinity(None).unwrap().count(), before.count());
            pin(before.count() as usize - 1);
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        })
        .join()
        .unwrap();
    }
}
