//! `scenarios [FILTER]`: Zircon's own pager scenarios under their names: "Basics", "Mappings", commits and hints through
//! mappings.
//!
//! Those that read pages run twice, `NAME.read` through `zx_vmo_read` and `NAME.mapping` through a mapping.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod basics;
mod mappings;
mod ranges;
mod supplies;

use test_guests::{Outcome, Runner, Via};
use zx::Startup;

zx::entry!(run);

/// A scenario that runs through both ways of reading: the names of the two runs, and what it does.
type Both = (&'static str, &'static str, fn(Via) -> Outcome);

/// Makes a table of scenarios that run both ways.
macro_rules! both {
    ($($name:literal $function:ident)*) => {
        pub const BOTH: &[$crate::Both] =
            &[$((concat!($name, ".read"), concat!($name, ".mapping"), $function),)*];
    };
}
pub(crate) use both;

fn run(startup: &Startup<'_>) -> i32 {
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    for (read, mapping, scenario) in basics::BOTH.iter().chain(supplies::BOTH) {
        runner.case(read, || scenario(Via::Read));
        runner.case(mapping, || scenario(Via::Mapping));
    }
    runner.cases(basics::CASES);
    runner.cases(mappings::CASES);
    runner.cases(ranges::CASES);
    runner.finish()
}
