//! `waits [FILTER]`: handles, ports, signals, futexes, time and threads, as far as the pager scenarios need them.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod handles;
mod mappings;
mod ports;
mod signals;
mod threads;

use test_guests::Runner;
use zx::Startup;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    for cases in [
        handles::CASES,
        ports::CASES,
        signals::CASES,
        threads::CASES,
        mappings::CASES,
    ] {
        runner.cases(cases);
    }
    runner.finish()
}
