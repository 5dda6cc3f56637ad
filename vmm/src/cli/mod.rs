//! The command line: arguments in, an exit code out.
//!
//! `args` and `values` parse; each subcommand has its file. What runs a VM, the built-in programs and the checks of the
//! host's devices come in as a [`Host`], so that all of this is tested without a VM. Every failure prints one paragraph:
//! what happened, from the outside in, then what to do about it.

mod args;
mod bench;
mod doctor;
mod exit;
mod logging;
mod message;
mod programs;
mod run;
mod rust;
mod sdk;
mod stats;
mod values;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
};

use clap::Parser;

use self::{
    args::{Cli, Command},
    message::Failure,
};
use crate::{
    bench::{BenchConfig, Results},
    check::Check,
    config::RunConfig,
    outcome::Outcome,
};

pub use self::{exit::Exit, logging::init as init_logging};

/// An error from outside, of any type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Name and ELF image of a built-in program.
pub type BuiltIn = (&'static str, &'static [u8]);

/// Measures what the configuration says, and tells of each figure.
pub type Bench = dyn Fn(&BenchConfig, &mut dyn FnMut(&str)) -> Result<Results, BoxError>;

/// What the command line works with.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The built-in programs, in the order of their names.
    pub programs: &'static [BuiltIn],
    /// Runs a VM.
    pub run: &'a dyn Fn(RunConfig) -> Result<Outcome, BoxError>,
    /// Measures.
    pub bench: &'a Bench,
    /// What `doctor` looks at besides the machine as such: devices, rights, capabilities.
    pub checks: &'a dyn Fn() -> Vec<Check>,
}

impl std::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.programs.iter().map(|(name, _)| name).collect();
        f.debug_struct("Host")
            .field("programs", &names)
            .finish_non_exhaustive()
    }
}

/// Does what `args` (the program's own name first) ask for. What the user wanted goes to `out`, messages to `err`.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    host: &Host<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit {
    let result = match Cli::try_parse_from(stats::join_path(args.into_iter().collect())) {
        Ok(cli) => obey(cli, host, out, err),
        Err(error) if error.use_stderr() => Err(Failure::from(error)),
        Err(help) => print(out, &help.render().to_string()).map(|()| Exit::Program(0)),
    };
    result.unwrap_or_else(|failure| {
        // Nobody is left to tell if this fails.
        let _ = writeln!(err, "{failure}");
        failure.exit()
    })
}

fn obey(
    cli: Cli,
    host: &Host<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(args) => run::run(*args, host, err),
        Command::Bench(args) => bench::bench(args, host, out, err),
        Command::Doctor => doctor::doctor(host, out),
        Command::Programs => programs::list(host.programs, out),
        Command::Sdk { .. } => sdk::path(out),
        Command::Cc { args } => sdk::compile(sdk::Language::of(&args), &args),
        Command::Cpp { args } => sdk::compile(sdk::Language::Cpp, &args),
        Command::New { name } => rust::new(&name, out),
        Command::Cargo { args } => rust::cargo(&args),
    }
}

/// Writes to standard output.
fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error: io::Error| Failure::host(CannotPrint(error)))
}

/// Standard output is full or closed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct CannotPrint(#[source] io::Error);
