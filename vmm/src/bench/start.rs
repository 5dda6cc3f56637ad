//! Figure 7: how soon a program runs, how soon its first fault is served, and how long its end takes.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::figures::{Figure, Ground, Run, Statistic, args};
use super::floor::{Event, Floor, Window, guest};
use super::side::{self, Observation, Ours, Work};
use crate::config::{FaultDelivery, SupplyPolicy};

/// VMs of a run.
const VMS: usize = 5;

/// When something happened in the life of a VM, from the beginning of its making.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// Ring 3 left for the first time.
    first_exit: Duration,
    /// The first fault was served; its end, if there was none.
    fault_served: Duration,
    /// Nothing was left of it.
    end: Duration,
}

impl Ground {
    /// A program that does nothing but end, part by part and as a whole. Beside each part is what the floor takes from its making to its
    /// first exit; beside the whole, the whole floor.
    pub(super) fn starts(&self) -> [Figure<'_>; 5] {
        let with = |policy| Ours {
            policy,
            ..self.calls(args(["exit"], [], 0))
        };
        // The last has nothing come ahead: the first instruction is a fault.
        let (ahead, bare) = (with(SupplyPolicy::Adaptive), with(SupplyPolicy::None));
        let first_exit = |life: Life| life.first_exit;
        let end = |life: Life| life.end;
        [
            beside(
                first_exit,
                "Start, exec to first instruction",
                repeated(exec),
            ),
            beside(
                first_exit,
                "Start, run to first instruction",
                lives(ahead.clone(), first_exit),
            ),
            beside(
                first_exit,
                "Start, run to first fault served",
                lives(bare, |life| life.fault_served),
            ),
            beside(
                first_exit,
                "End",
                lives(ahead.clone(), |life| life.end - life.first_exit),
            ),
            beside(end, "StartAndEnd", lives(ahead, end)),
        ]
    }
}

/// A line with a part of the floor's life on the other side.
fn beside<'a>(part: fn(Life) -> Duration, name: &str, ours: Run<'a>) -> Figure<'a> {
    Figure {
        number: 7,
        name: format!("Vm/{name}"),
        rows: vec![(Statistic::P50, Some(1.5))],
        floor: Some(repeated(move || floor().map(part))),
        ours,
    }
}

/// A part of zvmm's life.
fn lives<'a>(what: Ours, part: fn(Life) -> Duration) -> Run<'a> {
    repeated(move || ours(&what).map(part))
}

/// Takes the time of a few VMs.
fn repeated<'a>(once: impl Fn() -> io::Result<Duration> + 'a) -> Run<'a> {
    Box::new(move || {
        let samples = (0..VMS).map(|_| Ok(once()?.as_nanos() as f64));
        Ok(Observation {
            samples: samples.collect::<io::Result<_>>()?,
            work: Work::default(),
        })
    })
}

fn ours(what: &Ours) -> io::Result<Life> {
    let began = Instant::now();
    let (report, _) = side::guest(what, FaultDelivery::Exit)?;
    let end = began.elapsed();
    let moment = |nanoseconds: Option<u64>| nanoseconds.map_or(end, Duration::from_nanos);
    Ok(Life {
        first_exit: moment(report.times.first_user_instruction_since_run_ns),
        fault_served: moment(report.times.first_fault_served_since_run_ns),
        end,
    })
}

/// A VM that writes to a port and ends.
fn floor() -> io::Result<Life> {
    let began = Instant::now();
    let exit = OnceLock::new();
    let note = |_: &Window, _: usize, _: u64, event: Event| match event {
        Event::Call => {
            exit.get_or_init(|| began.elapsed());
            Ok(())
        }
        Event::Fault => Err(io::Error::other("the floor's guest faults")),
    };
    let mut floor = Floor::new(1, 1, true)?;
    floor.run(guest::port(), 1, &[], &note)?;
    drop(floor);
    let end = began.elapsed();
    Ok(Life {
        first_exit: exit.into_inner().unwrap_or(end),
        fault_served: end,
        end,
    })
}

/// From the start of a process of its own to the first word of its program, which is the first that it does.
fn exec() -> io::Result<Duration> {
    let zvmm = std::env::current_exe()?;
    let began = Instant::now();
    let mut child = Command::new(zvmm)
        .args(["run", "--timeout", "300s", "hello"])
        .stdout(Stdio::piped())
        .spawn()?;
    let spoke = child.stdout.take().map(|mut output| {
        output.read_exact(&mut [0])?;
        let spoke = began.elapsed();
        // Who closes the pipe too soon ends the program in its midst.
        io::copy(&mut output, &mut io::sink()).map(|_| spoke)
    });
    let status = child.wait()?;
    match spoke {
        Some(Ok(spoke)) if status.success() => Ok(spoke),
        _ => Err(io::Error::other(format!("zvmm run ended: {status}"))),
    }
}
