//! `pager [FILTER]`: Zircon's pager scenarios beyond "Basics" and "Mappings", under their names, with real threads and faults.
//!
//! Those that read run twice, `NAME.read` through `zx_vmo_read` and `NAME.mapping` through a mapping; those that write run without
//! and with TRAP_DIRTY, `NAME.noted` and `NAME.trapped`. A mapped access that a pager fails ends its thread with an exception that
//! the program handles itself.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod act;
mod arguments;
mod chains;
mod clones;
mod commit;
mod dirty;
mod early_wake;
mod endings;
mod failures;
mod growth;
mod hints;
mod pins;
mod scene;
mod suspends;
mod writeback;

use test_guests::{Case, Outcome, Runner, Via};
use zx::{Startup, VmoOptions};

zx::entry!(run);

/// Scenarios that run through both ways of reading.
type Reading = (&'static str, &'static str, fn(Via) -> Outcome);

/// Scenarios that run with both kinds of VMOs.
type Writing = (&'static str, &'static str, fn(VmoOptions) -> Outcome);

/// Makes the tables `CASES`, `READING` and `WRITING` of a module.
macro_rules! scenarios {
    (
        $($name:literal $function:ident)*;
        reading $($reading:literal $reads:ident)*;
        writing $($writing:literal $writes:ident)*;
    ) => {
        pub const CASES: &[test_guests::Case] = &[$(($name, $function),)*];
        pub const READING: &[$crate::Reading] =
            &[$((concat!($reading, ".read"), concat!($reading, ".mapping"), $reads),)*];
        pub const WRITING: &[$crate::Writing] =
            &[$((concat!($writing, ".noted"), concat!($writing, ".trapped"), $writes),)*];
    };
}
pub(crate) use scenarios;

fn run(startup: &Startup<'_>) -> i32 {
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    runner.case("exceptions", act::handle_exceptions);
    runner.case("bti", || pins::make_bti(startup));
    let mut module = |cases: &[Case], reading: &[Reading], writing: &[Writing]| {
        runner.cases(cases);
        for (read, mapping, scenario) in reading {
            runner.case(read, || scenario(Via::Read));
            runner.case(mapping, || scenario(Via::Mapping));
        }
        for (noted, trapped, scenario) in writing {
            runner.case(noted, || scenario(VmoOptions::empty()));
            runner.case(trapped, || scenario(VmoOptions::TRAP_DIRTY));
        }
    };
    module(endings::CASES, endings::READING, endings::WRITING);
    module(commit::CASES, commit::READING, commit::WRITING);
    module(failures::CASES, failures::READING, failures::WRITING);
    module(early_wake::CASES, early_wake::READING, early_wake::WRITING);
    module(hints::CASES, hints::READING, hints::WRITING);
    module(dirty::CASES, dirty::READING, dirty::WRITING);
    module(growth::CASES, growth::READING, growth::WRITING);
    module(writeback::CASES, writeback::READING, writeback::WRITING);
    module(arguments::CASES, arguments::READING, arguments::WRITING);
    module(pins::CASES, pins::READING, pins::WRITING);
    module(suspends::CASES, suspends::READING, suspends::WRITING);
    module(clones::CASES, clones::READING, clones::WRITING);
    module(chains::CASES, chains::READING, chains::WRITING);
    runner.finish()
}
