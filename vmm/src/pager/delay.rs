//! Artificial latency: what is to be answered later, by a precise amount.
//!
//! All delays of a run are the same, so what was put in first is due first, and one thread serves a queue. It sleeps until shortly before
//! a job is due, for a sleep ends late, and spins through the rest.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a sleep may end late by.
const MARGIN: Duration = Duration::from_micros(150);

type Job = Box<dyn FnOnce() + Send>;

/// A queue of jobs, each with the time when it is due. Its thread starts with the first one, and ends when this is dropped and the
/// queue is empty.
#[derive(Debug, Default)]
pub struct Delayer {
    queue: OnceLock<Mutex<Sender<(Instant, Job)>>>,
}

impl Delayer {
    /// Does a job after this long; it must not block.
    pub fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) {
        let due = Instant::now() + delay;
        let queue = self.queue.get_or_init(|| {
            let (sender, jobs) = channel();
            let spawned = thread::Builder::new()
                .name("delay".into())
                .spawn(move || serve(&jobs));
            if let Err(error) = spawned {
                log::error!("no thread for --fault-delay: {error}");
            }
            Mutex::new(sender)
        });
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a thread nobody would ever do it: then it is done now.
        if let Err(back) = queue.send((due, Box::new(job))) {
            (back.0.1)();
        }
    }
}

fn serve(jobs: &Receiver<(Instant, Job)>) {
    for (due, job) in jobs {
        let left = due.saturating_duration_since(Instant::now());
        if left > MARGIN {
            thread::sleep(left - MARGIN);
        }
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_in_order_and_not_early() {
        let delayer = Delayer::default();
        let (done, times) = channel();
        let began = Instant::now();
        let delay = Duration::from_millis(5);
        for number in 0..50 {
            let done = done.clone();
            delayer.after(delay, move || done.send((number, Instant::now())).unwrap());
        }
        drop(done);
        let times: Vec<_> = times.iter().collect();
        assert!(times.iter().map(|(number, _)| *number).eq(0..50));
        assert!(times.iter().all(|(_, at)| *at >= began + delay));
    }
}
