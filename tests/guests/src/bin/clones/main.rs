//! `clones [FILTER]`: what clones and their parents see of each other, through mappings and by calls, while other threads write.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod pagers;
mod snapshots;

use test_guests::Runner;
use zx::Startup;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    runner.cases(snapshots::CASES);
    runner.cases(pagers::CASES);
    runner.finish()
}
