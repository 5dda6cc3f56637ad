//! What was measured, as a table and as JSON.

use std::fmt::{self, Display};

use super::{Measured, Row, figures::Statistic};

/// Everything that a run measured.
#[derive(Debug, serde::Serialize)]
pub struct Results {
    /// Rounds of each figure.
    pub rounds: usize,
    /// In the order of the table.
    pub figures: Vec<Measured>,
}

impl Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<4}{:<42}{:<6}{:>10}{:>10}  {:<21}{:>7}  {:>7}{:>8}{:>8}  noisy",
            "", "figure", "", "floor", "zvmm", "ratio", "target", "pages", "faults", "exits"
        )?;
        for figure in &self.figures {
            for (nth, row) in figure.rows.iter().enumerate() {
                line(f, figure, row, nth == 0, self.rounds)?;
            }
        }
        Ok(())
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    figure: &Measured,
    row: &Row,
    first: bool,
    rounds: usize,
) -> fmt::Result {
    let statistic = match row.statistic {
        Statistic::P50 => "p50",
        Statistic::P99 => "p99",
        Statistic::Mean => "mean",
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
    write!(
        f,
        "{number:<4}{name:<42}{statistic:<6}{:>10}{:>10}  {interval:<21}{target:>7}",
        row.floor_ns.map_or("-".into(), microseconds),
        microseconds(row.ours_ns),
    )?;
    if !first {
        return writeln!(f);
    }
    let work = figure.work;
    writeln!(
        f,
        "  {:>7}{:>8}{:>8}  {}/{rounds}",
        work.pages, work.faults, work.exits, figure.noisy_rounds
    )
}

fn microseconds(nanoseconds: f64) -> String {
    format!("{:.2} us", nanoseconds / 1000.0)
}
