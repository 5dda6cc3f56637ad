//! The figures: what each measures, on either side.

use std::io;
use std::path::{Path, PathBuf};

use super::floor::{Source, guest};
use super::order::shuffled;
use super::side::{self, Content, NAMES, Observation, Ours, Touches};
use crate::config::SupplyPolicy;
use crate::processor;

const PAGE: u64 = 4096;

/// Which number is made of the samples of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// The median.
    P50,
    /// What 99 of 100 stay below.
    P99,
    /// The sum by the number.
    Mean,
    /// The median, of thousandths: how many times as much.
    Factor,
}

/// Does one side once.
pub type Run<'a> = Box<dyn Fn() -> io::Result<Observation> + 'a>;

/// One line, or several, of the table.
pub struct Figure<'a> {
    /// Its number: figures of a kind share one.
    pub number: u32,
    /// Its name, Zircon's where there is one.
    pub name: String,
    /// What is made of the samples, and the ratio that is aimed at.
    pub rows: Vec<(Statistic, Option<f64>)>,
    /// The floor, where there is one.
    pub floor: Option<Run<'a>>,
    /// zvmm.
    pub ours: Run<'a>,
}

impl std::fmt::Debug for Figure<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Figure {} {}", self.number, self.name)
    }
}

/// What the figures are made with.
#[derive(Debug)]
pub struct Ground {
    /// The sample file, in the page cache.
    pub path: PathBuf,
    /// The same for the floor.
    pub source: Source,
    /// Its pages.
    pub pages: u64,
    /// Touches or calls of a run.
    pub count: u64,
    /// Nanoseconds a cycle.
    pub nanoseconds: f64,
}

impl Ground {
    /// All figures, in the order of the table.
    pub fn figures(&self) -> Vec<Figure<'_>> {
        let mut figures = vec![self.random(1, "VmoMap/Read, random", 1, &[0], P50_P99)];
        for (at_once, policy) in
            [1, 4, 16, 64, 512].map(|pages| (pages, SupplyPolicy::Fixed(pages)))
        {
            let name = format!("PageInBlobSequential/{at_once}");
            figures.push(self.sequential(name, at_once, policy, 1.10));
        }
        let adaptive = "PageInBlobSequential/adaptive, floor 64".into();
        figures.push(self.sequential(adaptive, 64, SupplyPolicy::Adaptive, 1.25));
        figures.extend(self.blob());
        let both = &[(Statistic::Mean, Some(1.15)), (Statistic::P50, None)];
        figures.push(self.random(3, "VmoMap/Read, random/2 vCPUs, 2 VMOs", 2, &[0, 1], both));
        figures.extend(self.one_vmo());
        if processor::count() > 1 {
            figures.push(self.apart());
        }
        figures.extend(self.deliveries());
        figures.extend(self.services());
        figures.extend(self.syscalls());
        figures.extend(self.starts());
        figures.push(self.clones());
        figures.push(self.clone_writes());
        figures.push(self.write_back_scan());
        figures.extend(
            [100, 10_000]
                .into_iter()
                .flat_map(|vmos| self.crowded(vmos)),
        );
        figures.extend([64, 1].map(|each| self.sparse(each)));
        figures.push(self.anonymous());
        figures.push(self.core());
        figures.extend(self.parts());
        figures
    }

    /// The first loads of pages at random; each vCPU has the file that `files` names (two numbers: two VMOs of it).
    fn random(
        &self,
        number: u32,
        name: &str,
        cpus: u32,
        files: &[u64],
        rows: &[(Statistic, Option<f64>)],
    ) -> Figure<'_> {
        let touches = self.touches(files);
        let ours = Ours {
            args: args(["read", "7"], [self.count], files.len()),
            vmos: files.iter().map(|_| self.file()).collect(),
            cpus,
            policy: SupplyPolicy::Adaptive,
        };
        self.touching(number, name.into(), rows, touches, ours)
    }

    /// The floor's first loads of pages at random; each vCPU has the file that `files` names.
    pub(super) fn touches(&self, files: &[u64]) -> Touches {
        let pages = files.iter().map(|file| {
            let mut order = shuffled(self.pages, 7 + file);
            order.truncate(self.count as usize);
            order.iter().map(|page| page + file * self.pages).collect()
        });
        Touches::one_by_one(pages.collect(), self.pages * files.len() as u64)
    }

    /// All pages in order.
    fn sequential(
        &self,
        name: String,
        at_once: u64,
        policy: SupplyPolicy,
        target: f64,
    ) -> Figure<'_> {
        let all = 0..self.pages;
        let touches = Touches::of_runs(&[all], at_once, self.pages);
        let ours = Ours {
            args: args(["read", "0"], [self.pages], 1),
            vmos: vec![self.file()],
            cpus: 1,
            policy,
        };
        self.touching(2, name, &[(Statistic::Mean, Some(target))], touches, ours)
    }

    pub(super) fn touching(
        &self,
        number: u32,
        name: String,
        rows: &[(Statistic, Option<f64>)],
        touches: Touches,
        ours: Ours,
    ) -> Figure<'_> {
        Figure {
            number,
            name,
            rows: rows.to_vec(),
            floor: Some(Box::new(move || {
                side::touches(&touches, &self.source, self.nanoseconds)
            })),
            ours: Box::new(move || side::ours(&ours, self.nanoseconds)),
        }
    }

    /// The first stores to all pages of anonymous memory in order, beside KVM's own faults.
    fn anonymous(&self) -> Figure<'_> {
        let touches = Touches {
            code: guest::write,
            pages: vec![(0..self.pages).collect()],
            supplies: Vec::new(),
            window: self.pages,
        };
        let ours = Ours {
            args: args(["write", "0"], [self.pages], 1),
            vmos: vec![Content::Zero(self.pages * PAGE)],
            cpus: 1,
            policy: SupplyPolicy::Adaptive,
        };
        let name = "VmoMap/Write, beside KVM's own faults".into();
        self.touching(10, name, &[(Statistic::Mean, Some(1.0))], touches, ours)
    }

    /// Cloning a clean gigabyte, beside cloning a clean page.
    fn clones(&self) -> Figure<'_> {
        let count = self.count / 16;
        let of = |pages| self.calls(args(["clone"], [pages, count], 0));
        self.grown(9, "Vmo/Clone/1GiB, beside 4KiB".into(), of(1), of(1 << 18))
    }

    /// Faults and calls while there are many VMOs, beside those without.
    fn crowded(&self, vmos: u64) -> [Figure<'_>; 2] {
        let faults = |vmos| Ours {
            vmos: vec![self.file()],
            ..self.calls(args(["many"], [vmos, 7, self.count / 4], 1))
        };
        let calls = |vmos| self.calls(args(["supply"], [1, self.count / 4, vmos], 0));
        let name = |what| format!("{what}/{vmos} VMOs, beside 1");
        [
            self.grown(10, name("VmoMap/Read, random"), faults(0), faults(vmos)),
            self.grown(10, name("Pager/Supply/1"), calls(0), calls(vmos)),
        ]
    }

    /// What should not grow: zvmm with more of something, beside itself with less.
    pub(super) fn grown(&self, number: u32, name: String, less: Ours, more: Ours) -> Figure<'_> {
        Figure {
            number,
            name,
            rows: vec![(Statistic::P50, Some(1.25))],
            floor: Some(Box::new(move || side::ours(&less, self.nanoseconds))),
            ours: Box::new(move || side::ours(&more, self.nanoseconds)),
        }
    }

    /// What figure 3 depends on: how far apart the host has the processors at the time.
    fn apart(&self) -> Figure<'_> {
        Figure {
            number: 3,
            name: "CacheLine, to the other processor and back".into(),
            rows: vec![(Statistic::Mean, None)],
            floor: None,
            ours: Box::new(super::apart::round_trip),
        }
    }

    /// The object core by itself.
    fn core(&self) -> Figure<'_> {
        let order = shuffled(self.pages, 7);
        Figure {
            number: 11,
            name: "Core/Fault, asked for and supplied".into(),
            rows: vec![(Statistic::Mean, None)],
            floor: None,
            ours: Box::new(move || super::core::faults(&order)),
        }
    }

    pub(super) fn calls(&self, args: Vec<String>) -> Ours {
        Ours {
            args,
            vmos: Vec::new(),
            cpus: 1,
            policy: SupplyPolicy::Adaptive,
        }
    }

    pub(super) fn file(&self) -> Content {
        Content::File(self.path.clone())
    }
}

const P50_P99: &[(Statistic, Option<f64>)] =
    &[(Statistic::P50, Some(1.10)), (Statistic::P99, None)];

pub(super) fn args<const W: usize, const N: usize>(
    words: [&str; W],
    numbers: [u64; N],
    vmos: usize,
) -> Vec<String> {
    let words = words.into_iter().map(String::from);
    let numbers = numbers.into_iter().map(|number| number.to_string());
    let names = NAMES.iter().take(vmos).map(|name| (*name).into());
    words.chain(numbers).chain(names).collect()
}

/// Writes a file of `pages` pages, no two alike.
///
/// # Errors
/// What the host refused.
pub fn write_sample(path: &Path, pages: u64) -> io::Result<()> {
    let bytes = (0..pages * PAGE / 8).flat_map(|word| {
        let mixed = (word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 29).to_le_bytes()
    });
    std::fs::write(path, bytes.collect::<Vec<u8>>())
}
