//! Follows a figure while a run lasts, and keeps the largest that it saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::progress::Stop;

/// Time between two looks, at least.
const PERIOD: Duration = Duration::from_millis(5);

/// Looks take at most one part in so many of the time.
const SHARE: u32 = 50;

/// A thread that looks at a figure again and again; it ends when this is dropped.
#[derive(Debug)]
pub struct Sampler {
    largest: Arc<AtomicU64>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts to look. Without a thread for it there are no samples.
    pub fn start(look: impl Fn() -> u64 + Send + 'static) -> Sampler {
        let (largest, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(Stop::default()));
        let thread = {
            let (largest, stop) = (Arc::clone(&largest), Arc::clone(&stop));
            thread::Builder::new()
                .name("sampler".into())
                .spawn(move || {
                    loop {
                        let began = Instant::now();
                        largest.fetch_max(look(), Relaxed);
                        if stop.within(PERIOD.max(began.elapsed() * SHARE)) {
                            return;
                        }
                    }
                })
        };
        if let Err(error) = &thread {
            log::warn!("nobody samples: {error}");
        }
        Sampler {
            largest,
            stop,
            thread: thread.ok(),
        }
    }

    /// The largest figure so far.
    pub fn largest(&self) -> u64 {
        self.largest.load(Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            // It ends within one look.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_kept() {
        let figures = AtomicU64::new(0);
        let (seen, told) = std::sync::mpsc::channel();
        let sampler = Sampler::start(move || {
            let figure = [3, 9, 4][figures.fetch_add(1, Relaxed) as usize % 3];
            // Nobody listens any more once the test has seen enough.
            let _ = seen.send(figure);
            figure
        });
        let figures: Vec<u64> = told.iter().take(4).collect();
        assert_eq!(figures, [3, 9, 4, 3]);
        assert_eq!(sampler.largest(), 9);
    }
}
