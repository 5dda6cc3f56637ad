//! `zvmm bench`.

use std::{fs::File, io::Write, path::PathBuf};

use super::{Exit, Failure, Host, args::BenchArgs, print};
use crate::bench::{self, BenchConfig, FIGURES};

/// Rounds unless the user says otherwise: enough for an interval that leaves outliers out.
const ROUNDS: usize = 9;

/// Measures what `args` say, and prints the table.
pub(super) fn bench(
    args: BenchArgs,
    host: &Host<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    if let Some(number) = args.figures.iter().find(|number| !FIGURES.contains(number)) {
        let known = FIGURES.map(|number| number.to_string()).join(", ");
        return Err(Failure::Usage(format!(
            "there is no figure {number}. Say one of {known}, or none for all."
        )));
    }
    // Opened first: a wrong path is told before minutes of measuring.
    let (json, plot) = (create(args.json)?, create(args.plot)?);
    let rounds = args
        .rounds
        .map_or(if args.quick { 1 } else { ROUNDS }, usize::from);
    let config = BenchConfig {
        quick: args.quick,
        rounds,
        figures: args.figures,
    };
    let mut tell = |name: &str| {
        // Only a sign of life.
        let _ = writeln!(err, "zvmm: measuring {name}");
    };
    let results = (host.bench)(&config, &mut tell).map_err(Failure::host)?;
    if let Some((path, file)) = json {
        let written = serde_json::to_writer(file, &results).map_err(Into::into);
        written.map_err(|error| Failure::host(CannotWrite(path, error)))?;
    }
    if let Some((path, mut file)) = plot {
        let page = bench::page(&results).map_err(Failure::host)?;
        let written = file.write_all(page.as_bytes());
        written.map_err(|error| Failure::host(CannotWrite(path, error)))?;
    }
    print(out, &results.to_string())?;
    Ok(Exit::Program(0))
}

/// Makes the file that the user named, if any.
fn create(path: Option<PathBuf>) -> Result<Option<(PathBuf, File)>, Failure> {
    let Some(path) = path else { return Ok(None) };
    match File::create(&path) {
        Ok(file) => Ok(Some((path, file))),
        Err(error) => Err(Failure::host(CannotWrite(path, error))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", .0.display())]
struct CannotWrite(PathBuf, #[source] std::io::Error);
