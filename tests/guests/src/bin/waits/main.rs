//! `waits [FILTER]`: handles, ports, signals, events, jobs, futexes, time and threads.
//!
//! `waits policy-denied` runs the cases for a job that forbids all new objects; `waits fatal NAME` what ends in an exception
//! that kills the process: `port_full` (ZX_EXCP_POLICY_ERROR). It exits with 1 if it survives.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod cancels;
mod events;
mod handles;
mod jobs;
mod mappings;
mod policy;
mod ports;
mod races;
mod registers;
mod signals;
mod threads;

use test_guests::Runner;
use zx::Startup;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let filter = startup.arg(1).unwrap_or("");
    match filter {
        "fatal" => return fatal(startup.arg(2).unwrap_or("")),
        "policy-denied" => {
            policy::remember(startup.handle("exec"));
            let mut runner = Runner::new("");
            runner.cases(policy::CASES);
            return runner.finish();
        }
        _ => {}
    }
    jobs::remember(startup.handle("job"));
    let mut runner = Runner::new(filter);
    for cases in [
        handles::CASES,
        ports::CASES,
        signals::CASES,
        threads::CASES,
        mappings::CASES,
        events::CASES,
        cancels::CASES,
        jobs::CASES,
        races::CASES,
        registers::CASES,
    ] {
        runner.cases(cases);
    }
    runner.finish()
}

fn fatal(name: &str) -> i32 {
    let outcome = match name {
        "port_full" => cancels::port_full(),
        _ => {
            zx::println!("waits: no fatal case is called {name}");
            return 2;
        }
    };
    match outcome {
        Ok(()) => zx::println!("FAIL {name} the thread went on"),
        Err(failure) => zx::println!("FAIL {name} {failure}"),
    }
    1
}
