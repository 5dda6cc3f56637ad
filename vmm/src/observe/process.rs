//! When this process started, as exactly as the host tells.
//!
//! Linux gives a process's start (the fork, just before the exec) in clock ticks only, 10 ms each: too coarse for a VM
//! that boots in a few of them. So [`mark_main`] takes the time at the head of `main`, and what lies before it
//! (exec, dynamic linking) is taken to be the processor time the process has used by then. That is exact unless
//! it had to wait there, for the disk or for a processor; the coarse start bounds the error to one tick.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic};

/// What was taken at the head of `main`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    processor_time: Duration,
    /// `CLOCK_BOOTTIME`: the clock of the start that the host gives.
    boot_time: Option<Duration>,
}

static MARK: OnceLock<Mark> = OnceLock::new();

/// Call it first in `main`. Without it the figures count from their first use.
pub fn mark_main() {
    mark();
}

fn mark() -> &'static Mark {
    MARK.get_or_init(|| Mark {
        at: Instant::now(),
        processor_time: to_duration(clock_gettime(ClockId::ProcessCPUTime)),
        boot_time: clock_gettime_dynamic(DynamicClockId::Boottime)
            .ok()
            .map(to_duration),
    })
}

fn to_duration(time: rustix::time::Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// Time since the process was started, at `moment`.
pub(super) fn since_start(moment: Instant) -> Duration {
    let mark = mark();
    moment.saturating_duration_since(mark.at) + before_main(mark, started())
}

/// Time from the start of the process to the mark.
fn before_main(mark: &Mark, started: Option<Started>) -> Duration {
    let Some((started, boot_time)) = started.zip(mark.boot_time) else {
        return mark.processor_time;
    };
    let longest = boot_time.saturating_sub(started.earliest);
    let shortest = longest.saturating_sub(started.tick);
    mark.processor_time.max(shortest).min(longest)
}

/// The start of the process on `CLOCK_BOOTTIME`: it lies in the tick that begins at `earliest`.
#[derive(Debug, Clone, Copy)]
struct Started {
    earliest: Duration,
    tick: Duration,
}

fn started() -> Option<Started> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = start_ticks(&stat)?;
    let tick_nanos = 1_000_000_000u64.checked_div(rustix::param::clock_ticks_per_second())?;
    Some(Started {
        earliest: Duration::from_nanos(ticks.checked_mul(tick_nanos)?),
        tick: Duration::from_nanos(tick_nanos),
    })
}

/// Field 22 of `/proc/PID/stat`. The second field is the command's name in brackets and may hold anything, brackets
/// and blanks included.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_field_22() {
        let stat =
            "77 (a ) name) S 1 77 77 0 -1 4194304 90 0 0 0 1 2 3 4 20 0 1 0 5623 9990144 100";
        assert_eq!(start_ticks(stat), Some(5623));
        assert_eq!(start_ticks("garbage"), None);
    }

    #[test]
    fn time_before_main_stays_within_the_tick() {
        let ms = Duration::from_millis;
        let mark = |processor_time| Mark {
            at: Instant::now(),
            processor_time,
            boot_time: Some(ms(1_020)),
        };
        let started = Some(Started {
            earliest: ms(1_000),
            tick: ms(10),
        });
        assert_eq!(before_main(&mark(ms(15)), started), ms(15));
        assert_eq!(before_main(&mark(ms(2)), started), ms(10));
        assert_eq!(before_main(&mark(ms(25)), started), ms(20));
        assert_eq!(before_main(&mark(ms(2)), None), ms(2));
    }

    #[test]
    fn this_process_has_started() {
        mark_main();
        assert!(started().is_some());
        let now = Instant::now();
        let first = since_start(now);
        assert!(since_start(now + Duration::from_millis(5)) >= first + Duration::from_millis(5));
    }
}
