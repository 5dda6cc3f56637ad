//! The two sides of a figure: one run of zvmm, one run of the floor.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::floor::{Event, Floor, Source, Window, guest, guest::Code};
use crate::config::{
    FaultDelivery, FileMode, NamedVmo, Output, Program, RunConfig, SupplyPolicy, VmoSource,
};
use crate::observe::Report;
use crate::outcome::End;
use crate::pager::HostPager;
use crate::{guest_image, vm};

/// A run that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What one run of one side brought.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Nanoseconds that each operation took, all threads together.
    pub samples: Vec<f64>,
    /// How much was done.
    pub work: Work,
}

/// How much was done in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Work {
    /// Pages that came.
    pub pages: u64,
    /// Faults served.
    pub faults: u64,
    /// Exits of all kinds.
    pub exits: u64,
}

/// What the guest of zvmm does in a run.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Arguments of the program `bench`.
    pub args: Vec<String>,
    /// Its VMOs.
    pub vmos: Vec<Content>,
    /// vCPUs.
    pub cpus: u32,
    /// How much is supplied at a fault.
    pub policy: SupplyPolicy,
}

/// What backs a VMO of the measured program.
#[derive(Clone, Debug)]
pub enum Content {
    /// The sample file.
    File(std::path::PathBuf),
    /// Zeros of this many bytes.
    Zero(u64),
    /// Anything.
    Pager(Arc<dyn HostPager>),
}

/// The names of the program's VMOs, in order.
pub const NAMES: [&str; 2] = ["one", "two"];

/// Runs the program once; `nanoseconds` is a cycle's length.
///
/// # Errors
/// Whatever kept it from its end.
pub fn ours(what: &Ours, nanoseconds: f64) -> io::Result<Observation> {
    delivered(what, FaultDelivery::Exit, nanoseconds)
}

/// The same, with faults that come in this way.
///
/// # Errors
/// Likewise.
pub fn delivered(
    what: &Ours,
    delivery: FaultDelivery,
    nanoseconds: f64,
) -> io::Result<Observation> {
    let Ran {
        report, written, ..
    } = run_program(what, delivery)?;
    let cycles = written
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes));
    Ok(Observation {
        samples: cycles
            .map(|cycles| f64::from(cycles) * nanoseconds)
            .collect(),
        work: Work {
            pages: report.pages.supplied_demand + report.pages.supplied_ahead,
            faults: report.faults.served,
            exits: report.exits.iter().map(|exits| exits.total).sum(),
        },
    })
}

/// What became of a run of the program.
#[derive(Debug)]
pub struct Ran {
    /// What was counted.
    pub report: Report,
    /// What it wrote.
    pub written: Vec<u8>,
    /// From the start of the run to when nothing was left of it.
    pub took: Duration,
}

/// Runs the program once.
///
/// # Errors
/// Whatever kept it from its end.
pub fn run_program(what: &Ours, delivery: FaultDelivery) -> io::Result<Ran> {
    let image = guest_image::programs()
        .iter()
        .find(|(name, _)| *name == "bench");
    let Some((name, bytes)) = image else {
        return Err(io::Error::other("the program `bench` is not built in"));
    };
    let written = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&written);
    let vmos = NAMES
        .iter()
        .zip(&what.vmos)
        .map(|(name, content)| NamedVmo {
            name: (*name).into(),
            source: match content {
                Content::File(path) => VmoSource::File {
                    path: path.clone(),
                    mode: FileMode::ReadOnly,
                },
                Content::Zero(size) => VmoSource::Zero {
                    size: *size,
                    executable: false,
                },
                Content::Pager(pager) => VmoSource::Content {
                    pager: Arc::clone(pager),
                    writable: false,
                },
            },
        });
    let config = RunConfig {
        args: what.args.clone(),
        vmos: vmos.collect(),
        cpus: what.cpus,
        timeout: Some(TIMEOUT),
        supply: what.policy,
        fault_delivery: delivery,
        pin: true,
        output: Output::Sink(Arc::new(move |bytes: &[u8]| {
            sink.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
        })),
        ..RunConfig::new(Program::Image {
            name: (*name).into(),
            bytes,
        })
    };
    let began = Instant::now();
    let outcome = vm::run(config).map_err(io::Error::other)?;
    let took = began.elapsed();
    let written = std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner));
    if outcome.end != End::Exited(0) {
        let words = String::from_utf8_lossy(&written);
        let what = format!("the measured program ended with {:?}: {words}", outcome.end);
        return Err(io::Error::other(what));
    }
    Ok(Ran {
        report: outcome.report,
        written,
        took,
    })
}

/// What the floor does in a run: touches pages that come from a file.
#[derive(Clone, Debug)]
pub struct Touches {
    /// Which instruction touches.
    pub code: fn() -> Code,
    /// The pages that each vCPU touches, in its order.
    pub pages: Vec<Vec<u64>>,
    /// The pages that come at each fault of each vCPU, in turn. Empty: nobody watches, and KVM gets zeros by itself.
    pub supplies: Vec<Vec<Range<u64>>>,
    /// All pages of the window.
    pub window: u64,
}

impl Touches {
    /// The first loads of those pages, one fault each.
    pub fn one_by_one(pages: Vec<Vec<u64>>, window: u64) -> Touches {
        let each = |pages: &Vec<u64>| pages.iter().map(|page| *page..page + 1).collect();
        Touches {
            code: guest::read,
            supplies: pages.iter().map(each).collect(),
            pages,
            window,
        }
    }

    /// The first loads of the pages of those runs, one after the other, of which at most `at_once` pages come at a fault.
    pub fn of_runs(runs: &[Range<u64>], at_once: u64, window: u64) -> Touches {
        let cut = |run: &Range<u64>| {
            let end = run.end;
            let starts = run.clone().step_by(at_once as usize);
            starts.map(move |start| start..end.min(start + at_once))
        };
        Touches {
            code: guest::read,
            pages: vec![runs.iter().cloned().flatten().collect()],
            supplies: vec![runs.iter().flat_map(cut).collect()],
            window,
        }
    }
}

/// Runs the floor's touches once, with pages straight from the file's mapping.
///
/// # Errors
/// What the host refused.
pub fn touches(what: &Touches, source: &Source, nanoseconds: f64) -> io::Result<Observation> {
    let supply = |window: &Window, page, count| window.supply(page, count, source.page(page));
    touches_by(what, &supply, nanoseconds)
}

/// The same, with pages (the window, the first, how many) that `supply` brings.
///
/// # Errors
/// What the host refused.
pub fn touches_by(
    what: &Touches,
    supply: &(dyn Fn(&Window, u64, u64) -> io::Result<()> + Sync),
    nanoseconds: f64,
) -> io::Result<Observation> {
    let faults = what.supplies.iter().map(|each| each.len() as u64).sum();
    let mut floor = Floor::new(what.pages.len() as u64, what.window, faults > 0)?;
    let count = what.pages.first().map_or(0, Vec::len) as u64;
    let served = AtomicU64::new(0);
    let next = |window: &Window, vcpu: usize, number: u64, event: Event| {
        served.fetch_add(1, Relaxed);
        let supplies = what.supplies.get(vcpu);
        match (event, supplies.and_then(|each| each.get(number as usize))) {
            (Event::Fault, Some(run)) => supply(window, run.start, run.end - run.start),
            _ => Err(io::Error::other(
                "the floor's guest wants what it should not",
            )),
        }
    };
    let cycles = floor.run((what.code)(), count, &what.pages, &next)?;
    if served.into_inner() != faults {
        return Err(io::Error::other(
            "the floor's guest had other faults than it should",
        ));
    }
    Ok(observed(
        &cycles,
        nanoseconds,
        Work {
            pages: what.pages.iter().map(|pages| pages.len() as u64).sum(),
            faults,
            exits: faults,
        },
    ))
}

/// Runs `count` calls of the floor, each of which the host answers with `serve`.
///
/// # Errors
/// What the host refused.
pub fn calls(
    code: Code,
    count: u64,
    window: u64,
    serve: &(dyn Fn(&Window, u64) -> io::Result<()> + Sync),
    nanoseconds: f64,
) -> io::Result<Observation> {
    let mut floor = Floor::new(1, window, true)?;
    let answer = |window: &Window, _: usize, number: u64, event: Event| match event {
        Event::Call => serve(window, number),
        Event::Fault => Err(io::Error::other("the floor's guest faults")),
    };
    let cycles = floor.run(code, count, &[], &answer)?;
    Ok(observed(
        &cycles,
        nanoseconds,
        Work {
            pages: 0,
            faults: 0,
            exits: count,
        },
    ))
}

/// What the cycles of all vCPUs, of a length of `nanoseconds`, amount to.
pub fn observed(cycles: &[Vec<u32>], nanoseconds: f64, work: Work) -> Observation {
    let all = cycles.iter().flatten();
    let samples = all.map(|cycles| f64::from(*cycles) * nanoseconds).collect();
    Observation { samples, work }
}

/// Opens the sample file for the floor.
///
/// # Errors
/// What the host refused.
pub fn source(path: &Path) -> io::Result<Source> {
    super::floor::source(&File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_touched_whole_and_come_in_pieces() {
        let touches = Touches::of_runs(&[10..15, 0..2], 2, 20);
        assert_eq!(touches.pages, [[10, 11, 12, 13, 14, 0, 1]]);
        assert_eq!(touches.supplies, [[10..12, 12..14, 14..15, 0..2]]);
        let touches = Touches::one_by_one(vec![vec![3, 1], vec![5, 4]], 8);
        assert_eq!(touches.supplies, [[3..4, 1..2], [5..6, 4..5]]);
    }
}
