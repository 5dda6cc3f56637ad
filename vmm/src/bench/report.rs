//! What was measured, as a table and as JSON.

use std::fmt::{self, Display};

use super::memory::Line;
use super::{Measured, Row, figures::Statistic};
use crate::machine::HostClass;

/// Everything that a run measured.
#[derive(Debug, serde::Serialize)]
pub struct Results {
    /// Which kind of KVM it was measured on.
    pub host: Host,
    /// Rounds of each figure.
    pub rounds: usize,
    /// In the order of the table.
    pub figures: Vec<Measured>,
    /// Figure 8.
    pub memory: Vec<Line>,
    /// Of figure 6: instructions of the guest kernel that a call executes which the VMM answers at once.
    pub kernel_instructions: Option<usize>,
}

/// Instructions of the guest kernel that are aimed at, at most.
const MOST_INSTRUCTIONS: usize = 60;

/// A kind of KVM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// With VMX or SVM.
    Hardware,
    /// Without: ring 0 is emulated.
    Software,
}

impl From<HostClass> for Host {
    fn from(class: HostClass) -> Host {
        match class {
            HostClass::Hardware => Host::Hardware,
            HostClass::Software => Host::Software,
        }
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Host::Hardware => "hardware",
            Host::Software => "software",
        })
    }
}

impl Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<4}{:<50}{:<7}{:>11}{:>11}  {:<21}{:>8}{:>8}{:>8}{:>8}{:>12}  {:<10}noisy",
            "",
            "figure",
            "",
            "floor",
            "zvmm",
            "ratio",
            "target",
            "pages",
            "faults",
            "exits",
            "bytes",
            "KVM"
        )?;
        for figure in &self.figures {
            for (nth, row) in figure.rows.iter().enumerate() {
                self.line(f, figure, row, nth == 0)?;
            }
        }
        if let Some(count) = self.kernel_instructions {
            let name = "Syscall/Null, instructions of the guest kernel";
            writeln!(
                f,
                "{:<4}{name:<50}{:<7}{:>11}{count:>11}  {:<21}{MOST_INSTRUCTIONS:>8}",
                6, "", "-", "-"
            )?;
        }
        for Line {
            name,
            bytes,
            target,
        } in &self.memory
        {
            let target = target.map_or("-".into(), size);
            writeln!(
                f,
                "{:<4}{name:<50}{:<7}{:>11}{:>11}  {:<21}{target:>8}",
                8,
                "",
                "-",
                size(*bytes),
                "-"
            )?;
        }
        Ok(())
    }
}

impl Results {
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        figure: &Measured,
        row: &Row,
        first: bool,
    ) -> fmt::Result {
        let statistic = match row.statistic {
            Statistic::P50 => "p50",
            Statistic::P99 => "p99",
            Statistic::Mean => "mean",
            Statistic::Factor => "factor",
        };
        let (number, name) = match first {
            true => (figure.figure.to_string(), figure.name.as_str()),
            false => Default::default(),
        };
        let interval = row.ratio.map_or("-".into(), |ratio| {
            format!("{:.3} ({:.3}-{:.3})", ratio.value, ratio.low, ratio.high)
        });
        let target = row
            .target
            .map_or("-".into(), |target| format!("{target:.2}"));
        let value = |value| match row.statistic {
            Statistic::Factor => format!("{:.3}", value / 1000.0),
            _ => format!("{:.2} us", value / 1000.0),
        };
        write!(
            f,
            "{number:<4}{name:<50}{statistic:<7}{:>11}{:>11}  {interval:<21}{target:>8}",
            row.floor_ns.map_or("-".into(), value),
            value(row.ours_ns),
        )?;
        if !first {
            return writeln!(f);
        }
        let work = figure.work;
        writeln!(
            f,
            "{:>8}{:>8}{:>8}{:>12}  {:<10}{}/{}",
            work.pages,
            work.faults,
            work.exits,
            size((work.pages * protocol::PAGE_SIZE) as f64),
            self.host,
            figure.noisy_rounds,
            self.rounds
        )
    }
}

/// Bytes with a fitting unit.
fn size(bytes: f64) -> String {
    match bytes.abs() {
        0.0 => "0 B".into(),
        ..1024.0 => format!("{bytes:.2} B"),
        ..1_048_576.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / 1_048_576.0),
    }
}
