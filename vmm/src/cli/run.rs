//! `zvmm run`: from arguments to a [`RunConfig`], and from an outcome to messages and an exit code.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Write},
    time::Duration,
};

use super::{
    BuiltIn, Exit, Failure, Host,
    args::RunArgs,
    programs,
    stats::Sink,
    values::{GdbOption, SourceOption, VmoOption},
};
use crate::{
    config::{GdbServer, Grant, NamedVmo, Output, Program, RunConfig, VmoSource},
    observe::Recorded,
    outcome::End,
    pager::FilePager,
};

/// Runs what `args` say.
pub(super) fn run(
    mut args: RunArgs,
    host: &Host<'_>,
    err: &mut dyn Write,
) -> Result<Exit, Failure> {
    let stats = args.stats.take();
    let timeout = args.timeout;
    let gdb = args.gdb.take();
    let mut config = RunConfig {
        measure_memory: stats.is_some(),
        ..config(args, host.programs)?
    };
    if config.trace.is_some() && config.trace == config.heatmap {
        return Err(Failure::Usage(
            "--trace and --heatmap name the same file. Give each a file of its own.".into(),
        ));
    }
    check_files(&config)?;
    let sink = Sink::open(stats)?;
    config.gdb = gdb.map(|place| wait_for_gdb(&place, err)).transpose()?;
    let outcome = (host.run)(config).map_err(Failure::host)?;
    let (exit, message) = conclude(&outcome.end, timeout);
    if let Some(message) = message {
        // The exit code tells it as well.
        let _ = writeln!(err, "{message}");
    }
    for recorded in &outcome.recorded {
        complain(recorded, err);
    }
    sink.write(&outcome.end, exit, &outcome.report, err)?;
    Ok(exit)
}

fn config(args: RunArgs, built_in: &'static [BuiltIn]) -> Result<RunConfig, Failure> {
    let mut words = args.program.into_iter();
    let name = words.next().unwrap_or_default();
    let program = programs::resolve(&name, built_in)?;
    let mut words = words.peekable();
    // The separator between the program and its arguments, if there is one.
    words.next_if(|word| word == "--");
    let args_of_program = words
        .map(|word| {
            word.into_string().map_err(|word| {
                Failure::Usage(format!(
                    "the program's argument '{}' is not UTF-8. Programs take UTF-8 only.",
                    word.to_string_lossy()
                ))
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(RunConfig {
        program,
        args: args_of_program,
        vmos: vmos(args.vmo)?,
        grants: grants(args.grant)?,
        cpus: args.cpus,
        memory: args.memory,
        timeout: args.timeout,
        policy: args.policy,
        supply: args.supply_policy,
        fault_delay: args.fault_delay,
        fault_delivery: args.fault_delivery,
        core: args.core,
        gdb: None,
        trace: args.trace,
        heatmap: args.heatmap,
        interactive: true,
        measure_memory: false,
        pin: false,
        output: Output::Stdout,
    })
}

/// Listens for gdb, and says where.
fn wait_for_gdb(place: &GdbOption, err: &mut dyn Write) -> Result<GdbServer, Failure> {
    let (server, name) = match place {
        GdbOption::Port(port) => (GdbServer::on_port(*port), format!("port {port}")),
        GdbOption::Path(path) => (GdbServer::on_path(path), path.display().to_string()),
    };
    let server = server.map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "It is in use: end who uses it, or name another place.",
            ErrorKind::PermissionDenied => "Name a place that you may use.",
            _ => "Name another place.",
        };
        Failure::Usage(format!("--gdb: cannot listen at {name}: {error}. {remedy}"))
    })?;
    // Whoever waits for the program sees it in the end.
    let _ = writeln!(
        err,
        "zvmm: waiting for gdb: target remote {}",
        server.address()
    );
    Ok(server)
}

fn grants(grants: Vec<Grant>) -> Result<Vec<Grant>, Failure> {
    let mut names = BTreeSet::new();
    match grants.iter().find(|grant| !names.insert(grant.name())) {
        None => Ok(grants),
        Some(twice) => Err(Failure::Usage(format!(
            "--grant: '{}' is given twice. Give each resource once.",
            twice.name()
        ))),
    }
}

fn vmos(options: Vec<VmoOption>) -> Result<Vec<NamedVmo>, Failure> {
    let mut names = BTreeSet::new();
    for option in &options {
        if !names.insert(option.name.as_str()) {
            return Err(Failure::Usage(format!(
                "--vmo: the name '{}' is given twice. Give each VMO a name of its own.",
                option.name
            )));
        }
    }
    let named = options.into_iter().map(|VmoOption { name, source }| {
        let source = match source {
            SourceOption::File { path, mode } => VmoSource::File { path, mode },
            SourceOption::Zero { size } => VmoSource::Zero {
                size,
                executable: false,
            },
        };
        NamedVmo { name, source }
    });
    Ok(named.collect())
}

/// Opens every file once, so that a wrong path is told before a VM is made.
fn check_files(config: &RunConfig) -> Result<(), Failure> {
    if let Program::File(path) = &config.program {
        FilePager::open(path).map_err(|error| Failure::host(BadProgram(error)))?;
    }
    for vmo in &config.vmos {
        if let VmoSource::File { path, .. } = &vmo.source {
            FilePager::open(path).map_err(|error| {
                let name = vmo.name.clone();
                Failure::host(BadVmo { name, error })
            })?;
        }
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("cannot load the program")]
struct BadProgram(#[source] crate::pager::FileError);

#[derive(Debug, thiserror::Error)]
#[error("cannot serve the VMO '{name}'")]
struct BadVmo {
    name: String,
    #[source]
    error: crate::pager::FileError,
}

/// Says what is amiss with what was written of a run, which went on all the same.
fn complain(recorded: &Recorded, err: &mut dyn Write) {
    let path = recorded.path.display();
    if let Some(error) = &recorded.error {
        let _ = writeln!(
            err,
            "zvmm: cannot write {path}: {error}. The run was not affected; what was written before may be of use."
        );
    } else if recorded.lost > 0 {
        let _ = writeln!(
            err,
            "zvmm: {path} lacks {} events beside {}: they came faster than they could be written.",
            recorded.lost, recorded.events
        );
    }
}

/// The exit of a run, and what to say about it.
fn conclude(end: &End, timeout: Option<Duration>) -> (Exit, Option<String>) {
    match end {
        End::Exited(code) => (Exit::of_program(*code), None),
        End::Exception(report) => (
            Exit::Exception,
            Some(format!(
                "zvmm: the program was killed by an exception.\n{report}"
            )),
        ),
        End::GuestKernel(report) => (
            Exit::GuestKernel,
            Some(format!(
                "zvmm: the guest kernel failed. This is a bug in zvmm.\n{report}"
            )),
        ),
        End::TimedOut => {
            let limit = timeout.map_or(String::new(), |limit| format!(" of {limit:?}"));
            (
                Exit::TimedOut,
                Some(format!(
                    "zvmm: stopped: the time limit{limit} (--timeout) has passed."
                )),
            )
        }
        End::Interrupted => (Exit::Interrupted, Some("zvmm: interrupted.".into())),
        End::Killed => (Exit::Killed, Some("zvmm: killed by gdb.".into())),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
