//! `--stats`: how it is written, and what is written.
//!
//! clap knows options with one value or none; `--stats=json PATH` has both a value and a word after it. So before
//! clap reads the arguments, [`join_path`] makes `--stats=json:PATH` of it, which is also accepted from the user.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use serde::Serialize;

use super::{
    args::{Cli, StatsOption},
    exit::Exit,
    message::Failure,
};
use crate::{observe::Report, outcome::End};

const JSON: &str = "--stats=json";

/// Joins `--stats=json` and the path after it, if it is an option of `zvmm run` and not an argument of the program.
pub(super) fn join_path(args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|subcommand| subcommand != "run") {
        return args;
    }
    let valued = options_with_value();
    let mut joined = Vec::with_capacity(args.len());
    let mut rest = args.into_iter().peekable();
    joined.extend(rest.by_ref().take(2));
    while let Some(mut arg) = rest.next() {
        let is_option = arg.as_bytes().starts_with(b"-") && arg != "--";
        if arg == JSON {
            // An option there means that the path was forgotten; the parser will say so.
            if let Some(path) = rest.next_if(|next| !next.as_bytes().starts_with(b"-")) {
                arg.push(":");
                arg.push(path);
            }
        }
        let has_value = valued.iter().any(|option| arg == option.as_str());
        joined.push(arg);
        if has_value {
            joined.extend(rest.next());
        }
        if !is_option {
            break;
        }
    }
    joined.extend(rest);
    joined
}

/// The options of `zvmm run` whose value is the next word.
fn options_with_value() -> Vec<String> {
    let cli = Cli::command();
    let run = cli.find_subcommand("run");
    run.iter()
        .flat_map(|run| run.get_arguments())
        .filter(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect()
}

/// The value of `--stats`.
pub(super) fn parse(value: OsString) -> Result<StatsOption, String> {
    if value == "table" {
        return Ok(StatsOption::Table);
    }
    match value.as_bytes().strip_prefix(b"json:") {
        Some(path) if !path.is_empty() => Ok(StatsOption::Json(PathBuf::from(OsString::from_vec(
            path.to_vec(),
        )))),
        Some(_) => Err(NO_PATH.into()),
        None if value == "json" => Err(NO_PATH.into()),
        None => Err("say --stats for a table, or --stats=json PATH".into()),
    }
}

const NO_PATH: &str = "the path of the file is missing: say --stats=json PATH";

/// Where the figures go.
#[derive(Debug)]
pub(super) enum Sink {
    Nowhere,
    Table,
    Json { path: PathBuf, file: File },
}

/// Why the figures could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatsError {
    #[error("cannot write the figures of the run to {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl Sink {
    /// Opens the file before the run, so that a wrong path is known at once. An older file keeps its content until
    /// there is new.
    pub fn open(option: Option<StatsOption>) -> Result<Sink, Failure> {
        Ok(match option {
            None => Sink::Nowhere,
            Some(StatsOption::Table) => Sink::Table,
            Some(StatsOption::Json(path)) => {
                let mut options = File::options();
                let opened = options.write(true).create(true).truncate(false).open(&path);
                match opened {
                    Ok(file) => Sink::Json { path, file },
                    Err(source) => return Err(Failure::host(StatsError::File { path, source })),
                }
            }
        })
    }

    /// Writes the figures.
    pub fn write(
        self,
        end: &End,
        exit: Exit,
        report: &Report,
        err: &mut dyn Write,
    ) -> Result<(), Failure> {
        match self {
            Sink::Nowhere => Ok(()),
            Sink::Table => {
                // Standard error is for people: if they do not want it, so be it.
                let _ = write!(err, "{report}");
                Ok(())
            }
            Sink::Json { path, file } => write_json(&path, file, end, exit, report),
        }
    }
}

fn write_json(
    path: &Path,
    mut file: File,
    end: &End,
    exit: Exit,
    report: &Report,
) -> Result<(), Failure> {
    let document = Document {
        zvmm: env!("CARGO_PKG_VERSION"),
        outcome: Outcome::new(end, exit),
        report,
    };
    let written = serde_json::to_string_pretty(&document)
        .map_err(io::Error::from)
        .and_then(|mut text| {
            text.push('\n');
            // A pipe or a terminal has no length to set.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            file.write_all(text.as_bytes())
        });
    written.map_err(|source| {
        let path = path.to_path_buf();
        Failure::host(StatsError::File { path, source })
    })
}

/// The file's content.
#[derive(Serialize)]
struct Document<'a> {
    /// Version of zvmm.
    zvmm: &'static str,
    outcome: Outcome<'a>,
    #[serde(flatten)]
    report: &'a Report,
}

#[derive(Serialize)]
struct Outcome<'a> {
    kind: &'static str,
    /// The program's whole exit code, if it exited.
    code: Option<i64>,
    /// Exit code of zvmm.
    exit_code: u8,
    /// The report of an exception or a guest-kernel failure.
    report: Option<&'a str>,
}

impl<'a> Outcome<'a> {
    fn new(end: &'a End, exit: Exit) -> Self {
        let (kind, code, report) = match end {
            End::Exited(code) => ("exited", Some(*code), None),
            End::Exception(report) => ("exception", None, Some(report.as_str())),
            End::GuestKernel(report) => ("guest-kernel", None, Some(report.as_str())),
            End::TimedOut => ("timed-out", None, None),
            End::Interrupted => ("interrupted", None, None),
            End::Killed => ("killed", None, None),
        };
        Outcome {
            kind,
            code,
            exit_code: exit.code(),
            report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(args: &[&str]) -> Vec<OsString> {
        join_path(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_path_is_joined_only_where_the_option_is_ours() {
        assert_eq!(
            join(&["zvmm", "run", "--cpus", "2", "--stats=json", "p", "sum"]),
            ["zvmm", "run", "--cpus", "2", "--stats=json:p", "sum"]
        );
        for kept in [
            &["zvmm", "run", "sum", "--stats=json", "p"][..],
            &["zvmm", "run", "--", "--stats=json", "p"],
            &["zvmm", "run", "--vmo", "--stats=json", "p"],
            &["zvmm", "run", "--stats=json"],
            &["zvmm", "run", "--stats=json", "--cpus", "2", "sum"],
            &["zvmm", "run", "--stats", "sum", "--stats=json", "p"],
            &["zvmm", "doctor", "--stats=json", "p"],
            &["zvmm"],
            &[],
        ] {
            assert_eq!(join(kept), kept);
        }
    }

    #[test]
    fn values() {
        assert_eq!(parse("table".into()), Ok(StatsOption::Table));
        assert_eq!(
            parse("json:a:b".into()),
            Ok(StatsOption::Json("a:b".into()))
        );
        assert_eq!(parse("json".into()), Err(NO_PATH.into()));
        assert_eq!(parse("json:".into()), Err(NO_PATH.into()));
        assert!(parse("yaml".into()).is_err());
    }
}
