//! What else the processors did: rounds in which others ran are marked.

use std::fs;
use std::time::Instant;

/// Ticks of `/proc`, all processors together.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    /// Not idle, nor waiting for disks; time that the host took away from this machine is in it.
    busy: u64,
    /// This process's, its threads' that have ended included, and its children's that it has waited for.
    own: u64,
}

impl Ticks {
    fn now() -> Option<Ticks> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Ticks::parse(&system, &own)
    }

    fn parse(system: &str, own: &str) -> Option<Ticks> {
        let columns = system.lines().next()?.strip_prefix("cpu ")?;
        let columns: Vec<u64> = columns
            .split_whitespace()
            .filter_map(|column| column.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user time.
        let busy = columns.iter().take(8).sum::<u64>() - columns.get(3)? - columns.get(4)?;
        // Behind the name, which may hold anything: state is column 3, user and system time are 14 and 15, those of children 16 and 17.
        let (_, rest) = own.rsplit_once(") ")?;
        let times = rest
            .split(' ')
            .skip(11)
            .take(4)
            .filter_map(|time| time.parse::<u64>().ok());
        Some(Ticks {
            busy,
            own: times.sum(),
        })
    }
}

/// Watches the processors from here on.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    ticks: Option<Ticks>,
}

/// Ticks a second.
const HERTZ: f64 = 100.0;

/// Foreign time that is not worth a word, as a share of one processor.
const QUIET: f64 = 0.05;

/// Ticks by which the counts may be off.
const SLACK: f64 = 2.0;

impl Watch {
    /// Begins to watch.
    pub fn start() -> Watch {
        Watch {
            began: Instant::now(),
            ticks: Ticks::now(),
        }
    }

    /// Processors that others kept busy since, on average; 0 if the host does not tell.
    pub fn foreign(&self) -> f64 {
        let (Some(before), Some(now)) = (self.ticks, Ticks::now()) else {
            return 0.0;
        };
        let others = (now.busy - before.busy).saturating_sub(now.own - before.own);
        let ticks = self.began.elapsed().as_secs_f64() * HERTZ;
        (others as f64 - SLACK).max(0.0) / ticks.max(1.0)
    }

    /// Whether that is too much.
    pub fn is_noisy(&self) -> bool {
        self.foreign() > QUIET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_as_proc_writes_them() {
        let system = "cpu  100 10 20 5000 300 1 2 7 50 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let own = "77 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 40 2 3 1 20 0 3 0 100 1000 20\n";
        let ticks = Ticks::parse(system, own).unwrap();
        assert_eq!((ticks.busy, ticks.own), (140, 46));
        assert!(Ticks::parse("", own).is_none());
    }

    #[test]
    fn this_host_tells() {
        assert!(Ticks::now().is_some());
    }
}
