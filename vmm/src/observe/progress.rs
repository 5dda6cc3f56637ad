//! Shows on a terminal how a long run gets on: pages supplied, and how many a second.

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stats;

/// A run shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two updates.
const PERIOD: Duration = Duration::from_millis(200);

/// A line on standard error that follows a run's counters; it is erased when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread to end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Progress {
    /// Follows `stats`, once the run has lasted a second. `None` if standard error is no terminal.
    pub fn start(stats: &Arc<Stats>) -> Option<Progress> {
        if !io::stderr().is_terminal() {
            return None;
        }
        Progress::follow(Arc::clone(stats), PATIENCE, ProgressDrawTarget::stderr)
    }

    fn follow(
        stats: Arc<Stats>,
        patience: Duration,
        target: fn() -> ProgressDrawTarget,
    ) -> Option<Progress> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let stop = Arc::new(Stop::default());
        let thread = {
            let (bar, stop) = (bar.clone(), Arc::clone(&stop));
            thread::Builder::new()
                .name("progress".into())
                .spawn(move || {
                    if stop.within(patience) {
                        return;
                    }
                    bar.set_draw_target(target());
                    loop {
                        bar.set_message(line(stats.pages_supplied(), stats.elapsed()));
                        bar.tick();
                        if stop.within(PERIOD) {
                            return;
                        }
                    }
                })
        };
        // A run without progress is still a run.
        let thread = thread.ok()?;
        Some(Progress {
            bar,
            stop,
            thread: Some(thread),
        })
    }

    /// Runs `write` with the line erased: for output to the same terminal.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }
}

impl Stop {
    /// Waits for the end at most so long; true: it was asked for.
    pub fn within(&self, patience: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, _) = self
            .changed
            .wait_timeout_while(asked, patience, |asked| !*asked)
            .unwrap_or_else(PoisonError::into_inner);
        *asked
    }

    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            // It ends within the drawing of a line.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

fn line(pages: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 {
        pages as f64 / seconds
    } else {
        0.0
    };
    format!(
        "{:.0} s, {pages} pages supplied, {rate:.0} a second",
        seconds.floor()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_count_and_rate() {
        assert_eq!(
            line(500, Duration::from_millis(2500)),
            "2 s, 500 pages supplied, 200 a second"
        );
        assert_eq!(line(0, Duration::ZERO), "0 s, 0 pages supplied, 0 a second");
    }

    #[test]
    fn it_ends_at_once_whether_shown_or_not() {
        for patience in [Duration::ZERO, Duration::from_secs(3600)] {
            let progress = Progress::follow(
                Arc::new(Stats::new(1, std::time::Instant::now())),
                patience,
                ProgressDrawTarget::hidden,
            );
            let progress = progress.unwrap();
            assert_eq!(progress.suspend(|| 7), 7);
            drop(progress);
        }
    }
}
