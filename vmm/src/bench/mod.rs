//! Measurements: zvmm beside its floor, in one run.
//!
//! Each figure is measured on both sides in turn - floor, ours, ours, floor - for a number of rounds after one to warm up. A round gives
//! one ratio a row; what is told is the median of the ratios and the interval in which it lies. Rounds in which other processes kept
//! the processors busy are marked, not left out.
//!
//! Guests measure by the time-stamp counter in ring 3, around the touch or the call, with the same instructions on both sides.

mod apart;
mod blob;
mod calls;
mod child;
mod clock;
mod core;
mod delivery;
mod figures;
#[allow(unsafe_code)]
pub mod floor;
mod memory;
mod noise;
mod order;
mod parts;
mod plot;
mod report;
mod service;
mod side;
mod sizes;
mod start;
mod stats;
mod writes;

use std::io;

use crate::guest_image;
use crate::machine::{HostClass, KernelImage, caps};
use figures::{Figure, Ground, Statistic};
use noise::Watch;
use side::{Observation, Work};
use stats::{Median, median, percentile};

pub use plot::page;
pub use report::Results;

/// What to measure and how long.
#[derive(Clone, Debug)]
pub struct BenchConfig {
    /// Fewer rounds and touches: shows that everything works, and little more.
    pub quick: bool,
    /// Rounds, besides the first to warm up.
    pub rounds: usize,
    /// Numbers of the figures; none: all.
    pub figures: Vec<u32>,
}

/// The numbers of the figures.
pub const FIGURES: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// Pages of the sample file.
const PAGES: u64 = 16_384;

/// Measures; tells of each figure before it begins.
///
/// # Errors
/// What the host refused, or what kept a guest from its end.
pub fn run(config: &BenchConfig, mut tell: impl FnMut(&str)) -> io::Result<Results> {
    let pages = if config.quick { PAGES / 16 } else { PAGES };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sample");
    figures::write_sample(&path, pages)?;
    let ground = Ground {
        source: side::source(&path)?,
        path,
        pages,
        count: pages / 4,
        nanoseconds: clock::nanoseconds_per_cycle(),
    };
    let wanted = |number| config.figures.is_empty() || config.figures.contains(&number);
    let mut measured = Vec::new();
    let figures = ground.figures().into_iter();
    for figure in figures.filter(|figure| wanted(figure.number)) {
        tell(&figure.name);
        measured.push(measure(&figure, config.rounds)?);
    }
    let memory = match wanted(8) {
        true => {
            tell("Memory");
            memory::measure(config.quick)?
        }
        false => Vec::new(),
    };
    Ok(Results {
        host: caps::host_class().into(),
        rounds: config.rounds,
        figures: measured,
        memory,
        kernel_instructions: wanted(6).then(kernel_instructions).transpose()?,
    })
}

/// Instructions of the guest kernel on the way of a call that the VMM answers at once: in from ring 3, out to the VMM, and back.
fn kernel_instructions() -> io::Result<usize> {
    let image = KernelImage::parse(guest_image::KERNEL).map_err(io::Error::other)?;
    let header = image.header();
    let from = match caps::host_class() {
        HostClass::Hardware => header.syscall_entry,
        // By way of the page fault that the entry raises there.
        HostClass::Software => header.landing,
    };
    let count = image.instructions_to_return(from);
    count.ok_or_else(|| io::Error::other("the guest kernel's way back to ring 3 is not to be seen"))
}

/// A figure, measured.
#[derive(Debug, serde::Serialize)]
pub struct Measured {
    /// Its number.
    pub figure: u32,
    /// Its name.
    pub name: String,
    /// What was made of the samples.
    pub rows: Vec<Row>,
    /// Rounds in which others were busy.
    pub noisy_rounds: usize,
    /// What the floor did in one run.
    pub floor_work: Work,
    /// What zvmm did in one run.
    pub work: Work,
    /// Nanoseconds of every operation of the floor, or thousandths; a list a round.
    pub floor_samples: Vec<Vec<u64>>,
    /// Those of zvmm.
    pub samples: Vec<Vec<u64>>,
}

/// One line of the table.
#[derive(Debug, serde::Serialize)]
pub struct Row {
    /// Which number of the samples.
    pub statistic: Statistic,
    /// The floor's, in nanoseconds or thousandths: median of the rounds.
    pub floor_ns: Option<f64>,
    /// zvmm's.
    pub ours_ns: f64,
    /// zvmm's by the floor's.
    pub ratio: Option<Median>,
    /// The ratio that is aimed at.
    pub target: Option<f64>,
}

fn measure(figure: &Figure<'_>, rounds: usize) -> io::Result<Measured> {
    let floor_once = || match &figure.floor {
        Some(floor) => floor(),
        None => Ok(Observation::default()),
    };
    // To warm up; what is done is the same in every round.
    let (floor_work, work) = (floor_once()?.work, (figure.ours)()?.work);
    let (mut floor, mut ours, mut noisy) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let watch = Watch::start();
        let first = floor_once()?;
        ours.push(both((figure.ours)()?, (figure.ours)()?));
        floor.push(both(first, floor_once()?));
        noisy += usize::from(watch.is_noisy());
    }
    let rows = figure.rows.iter().map(|row| reduce(*row, &floor, &ours));
    let whole = |rounds: &[Vec<f64>]| {
        let of_round = |samples: &Vec<f64>| samples.iter().map(|ns| *ns as u64).collect();
        rounds.iter().map(of_round).collect()
    };
    Ok(Measured {
        figure: figure.number,
        name: figure.name.clone(),
        rows: rows.collect(),
        noisy_rounds: noisy,
        floor_work,
        work,
        floor_samples: whole(&floor),
        samples: whole(&ours),
    })
}

fn both(mut first: Observation, second: Observation) -> Vec<f64> {
    first.samples.extend(second.samples);
    first.samples
}

/// One line out of the samples of all rounds.
fn reduce(
    (statistic, target): (Statistic, Option<f64>),
    floor: &[Vec<f64>],
    ours: &[Vec<f64>],
) -> Row {
    let of = |rounds: &[Vec<f64>]| -> Vec<f64> {
        let samples = rounds.iter().filter(|samples| !samples.is_empty());
        samples.map(|samples| number(statistic, samples)).collect()
    };
    let (floor, ours) = (of(floor), of(ours));
    let pairs = ours.iter().zip(&floor);
    let ratios: Vec<f64> = pairs.map(|(ours, floor)| ours / floor).collect();
    Row {
        statistic,
        floor_ns: (!floor.is_empty()).then(|| median(&floor).value),
        ours_ns: median(&ours).value,
        ratio: (!ratios.is_empty()).then(|| median(&ratios)),
        target,
    }
}

fn number(statistic: Statistic, samples: &[f64]) -> f64 {
    match statistic {
        Statistic::P50 | Statistic::Factor => percentile(&mut samples.to_vec(), 0.5),
        Statistic::P99 => percentile(&mut samples.to_vec(), 0.99),
        Statistic::Mean => samples.iter().sum::<f64>() / samples.len().max(1) as f64,
    }
}
