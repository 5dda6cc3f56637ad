//! How far apart the processors are that vCPUs are bound to: what a cache line takes from one to the other and back. What two vCPUs share, the object
//! core above all, takes this way with every fault.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::side::{Observation, Work};
use crate::processor;

/// Ways there and back.
const TURNS: u64 = 20_000;

/// A host that lets one of the two wait for longer does something else.
const PATIENCE: Duration = Duration::from_secs(10);

/// A line of its own, and the next one, which processors fetch along with it.
#[repr(align(128))]
struct Line(AtomicU64);

/// Takes a cache line to and fro between the first two processors; one sample: there and back, on the average.
///
/// # Errors
/// It took too long.
pub fn round_trip() -> io::Result<Observation> {
    let line = Line(AtomicU64::new(0));
    let took = thread::scope(|scope| {
        let threads = [0, 1].map(|side| {
            let line = &line;
            scope.spawn(move || turns(line, side))
        });
        let took = threads.map(|thread| thread.join().unwrap_or(None));
        let [one, other] = took;
        one.zip(other).map(|(one, other)| one.max(other))
    });
    let took = took.ok_or_else(|| {
        io::Error::other("two threads on processors of their own cannot reach each other")
    })?;
    Ok(Observation {
        samples: vec![took.as_nanos() as f64 / TURNS as f64],
        work: Work::default(),
    })
}

/// Adds one whenever the other side has; how long that took.
fn turns(line: &Line, side: u64) -> Option<Duration> {
    processor::pin(side as usize);
    let began = Instant::now();
    for turn in 0..TURNS {
        let mine = 2 * turn + side;
        while line.0.load(Ordering::Acquire) != mine {
            if began.elapsed() > PATIENCE {
                return None;
            }
        }
        line.0.store(mine + 1, Ordering::Release);
    }
    Some(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        if processor::count() > 1 {
            assert!(round_trip().unwrap().samples.iter().all(|took| *took > 0.0));
        }
    }
}
