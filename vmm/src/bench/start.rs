//! Figure 7: how soon a program runs, how soon its first fault is served, and how long its end takes.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::child;
use super::figures::{Figure, Ground, Run, Statistic, args};
use super::floor::{Event, Floor, Window, guest};
use super::side::{self, Observation, Ours, Work};
use crate::config::{FaultDelivery, SupplyPolicy};

/// VMs of a run.
const VMS: usize = 5;

/// When something happened in the life of a VM, from the beginning of its making.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// Ring 3 left for the first time, or a fault of it was served.
    moment: Duration,
    /// Nothing was left of it.
    end: Duration,
}

impl Life {
    fn to_moment(self) -> Duration {
        self.moment
    }

    fn after_moment(self) -> Duration {
        self.end - self.moment
    }

    fn whole(self) -> Duration {
        self.end
    }
}

impl Ground {
    /// A program that does nothing but end, part by part and as a whole, and a program in a process of its own.
    pub(super) fn starts(&self) -> [Figure<'_>; 5] {
        let with = |policy| Ours {
            policy,
            ..self.calls(args(["exit"], [], 0))
        };
        // With the last nothing comes ahead: the first instruction is a fault.
        let (ahead, bare) = (with(SupplyPolicy::Adaptive), with(SupplyPolicy::None));
        let line = |name: &str, floor, ours| Figure {
            number: 7,
            name: format!("Vm/{name}"),
            rows: vec![(Statistic::P50, Some(1.5))],
            floor: Some(floor),
            ours,
        };
        let floors = |part: fn(Life) -> Duration| repeated(move || floor_exit().map(part));
        let ours = |part: fn(Life) -> Duration| {
            let ahead = ahead.clone();
            repeated(move || first_exit(&ahead).map(part))
        };
        [
            line(
                "Start, exec to first word",
                floors(Life::to_moment),
                repeated(first_word),
            ),
            line(
                "Start, run to first instruction",
                floors(Life::to_moment),
                ours(Life::to_moment),
            ),
            line(
                "Start, run to first fault served",
                repeated(|| floor_fault().map(Life::to_moment)),
                repeated(move || fault_served(&bare).map(Life::to_moment)),
            ),
            line("End", floors(Life::after_moment), ours(Life::after_moment)),
            line("StartAndEnd", floors(Life::whole), ours(Life::whole)),
        ]
    }
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

/// A life of zvmm's up to the first exit of the program, which ends there.
fn first_exit(what: &Ours) -> io::Result<Life> {
    let ran = side::run_program(what, FaultDelivery::Exit)?;
    life(
        ran.report.times.first_user_instruction_since_run_ns,
        ran.took,
    )
}

/// A life of zvmm's up to when the program's first fault is served.
fn fault_served(what: &Ours) -> io::Result<Life> {
    let ran = side::run_program(what, FaultDelivery::Exit)?;
    life(ran.report.times.first_fault_served_since_run_ns, ran.took)
}

fn life(moment: Option<u64>, end: Duration) -> io::Result<Life> {
    let moment = moment.map(Duration::from_nanos);
    let moment = moment.ok_or_else(|| io::Error::other("what was to be measured never came"))?;
    Ok(Life { moment, end })
}

/// A life of the floor's with one write to a port.
fn floor_exit() -> io::Result<Life> {
    floor(guest::port(), |_, event| match event {
        Event::Call => Ok(()),
        Event::Fault => Err(io::Error::other("the floor's guest faults")),
    })
}

/// A life of the floor's with one fault, which gets a page of zeros.
fn floor_fault() -> io::Result<Life> {
    let zeros = Window::new(1, false)?;
    zeros.fill();
    floor(guest::read(), |window, event| match event {
        Event::Fault => window.supply(0, 1, zeros.page(0)),
        Event::Call => Err(io::Error::other("the floor's guest calls")),
    })
}

/// A life of the floor's with an event, up to when that is served.
fn floor(
    code: guest::Code,
    serve: impl Fn(&Window, Event) -> io::Result<()> + Sync,
) -> io::Result<Life> {
    let began = Instant::now();
    let served = OnceLock::new();
    let mut floor = Floor::new(1, 1, true)?;
    floor.run(code, 1, &[vec![0]], &|window, _, _, event| {
        serve(window, event)?;
        served.get_or_init(|| began.elapsed());
        Ok(())
    })?;
    drop(floor);
    let end = began.elapsed();
    let moment = served.into_inner();
    life(moment.map(|moment| moment.as_nanos() as u64), end)
}

/// From the start of a process to the first word of its program, which is the first that that does.
fn first_word() -> io::Result<Duration> {
    let began = Instant::now();
    child::run(&["hello"], |_, output| {
        output.read_exact(&mut [0])?;
        Ok(began.elapsed())
    })
}
