//! A program of tests: each runs in a process of its own, so that a crash or a hang is one failure.
//!
//! ```text
//! #![no_std]
//! #![no_main]
//!
//! use zx::{Status, testing};
//!
//! zx::tests! {
//!     adds,
//!     reads_nothing,
//!     takes_long.time_limit_millis(60_000),
//! }
//!
//! fn adds() {
//!     assert_eq!(1 + 1, 2);
//! }
//!
//! fn reads_nothing() {
//!     testing::expect_crash(0x10, Status::NOT_FOUND);
//!     unsafe { (0x10 as *const u8).read_volatile() };
//! }
//! # fn takes_long() {}
//! ```
//!
//! A test fails when it panics, returns an error or a code other than 0, crashes without having announced that, or is not over
//! when its time is. It finds the program's arguments and start-up handles, and statics as they are at the start of a program.
//!
//! The life of a test: the runner has copied the program's segments before anything else happened (`image`); it makes a job with a
//! process of these segments, which gets its start-up handles through a channel (`child`) and begins at `_start` as
//! every program does; the runner waits for the process's end, its exception or the time limit, and kills the job.
//!
//! The verdicts are printed in TAP ([Test Anything Protocol](https://testanything.org)), what tests print as its
//! comments. The program's first argument, if there is one, selects the tests whose names contain it. The exit code is 0
//! if all passed, 1 if one failed, 2 if one could not be started.

mod child;
mod image;
mod run;

use core::fmt;

use protocol::Status;
use protocol::exception::{ExceptionReport, kind};

use crate::startup;
use image::Image;

pub use child::{expect_crash, expect_exception};

/// How long a test may take unless it says otherwise.
const TIME_LIMIT_MILLIS: i64 = 10_000;

/// A test; [`tests!`](crate::tests) makes them.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    name: &'static str,
    body: fn() -> i32,
    limit_millis: i64,
}

impl Test {
    /// A test with ten seconds of time. It passes if the body returns 0.
    pub const fn new(name: &'static str, body: fn() -> i32) -> Self {
        Test {
            name,
            body,
            limit_millis: TIME_LIMIT_MILLIS,
        }
    }

    /// It may take this long.
    pub const fn time_limit_millis(self, limit_millis: i64) -> Self {
        Test {
            limit_millis,
            ..self
        }
    }
}

/// The crash that a test has announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Crash {
    /// A page fault at an address, with the status that says why.
    PageFault { address: u64, status: Status },
    /// An exception of another type.
    Exception(u32),
}

impl Crash {
    /// What an exception's report says.
    fn from_report(report: &ExceptionReport) -> Self {
        match report.kind {
            kind::FATAL_PAGE_FAULT => Crash::PageFault {
                address: report.cr2,
                status: Status(report.synth_code as i32),
            },
            kind => Crash::Exception(kind),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crash::PageFault { address, status } => {
                let name = kind::name(kind::FATAL_PAGE_FAULT);
                write!(f, "{name} at {address:#x}: {status}")
            }
            Crash::Exception(kind) => f.write_str(kind::name(*kind)),
        }
    }
}

/// Runs the tests that the program's first argument selects; the exit code. What [`tests!`](crate::tests) expands to.
///
/// It has to be all that the program's main function does: tests find statics as they are when it is called.
pub fn run(tests: &[Test]) -> i32 {
    if let Some(code) = child::run_test(tests) {
        return code;
    }
    // Before all else: the copies have to be as the program began.
    let image = match Image::of_this_program() {
        Ok(image) => image,
        Err(status) => return bail_out("the program cannot be copied", status),
    };
    let filter = startup().and_then(|startup| startup.arg(1)).unwrap_or("");
    let selected = |(_, test): &(usize, &Test)| test.name.contains(filter);
    let tests = tests.iter().enumerate().filter(selected);
    crate::println!("TAP version 14\n1..{}", tests.clone().count());
    let mut failed = false;
    for (number, (index, test)) in (1..).zip(tests) {
        match run::verdict(&image, index, test) {
            Ok(run::Verdict::Passed) => crate::println!("ok {number} - {}", test.name),
            Ok(run::Verdict::Failed(why)) => {
                failed = true;
                crate::println!("not ok {number} - {}\n# {why}", test.name);
            }
            Err(status) => return bail_out(test.name, status),
        }
    }
    i32::from(failed)
}

/// There can be no further tests.
fn bail_out(what: &str, status: Status) -> i32 {
    crate::println!("Bail out! {what}: {status}");
    2
}

/// Makes a program of tests: names of functions without arguments, which return what a
/// [`Termination`](crate::Termination) is, each with methods of [`Test`](crate::testing::Test) behind it if need be.
#[macro_export]
macro_rules! tests {
    ($($test:ident $(.$option:ident($($value:expr),*))*),* $(,)?) => {
        $crate::entry!(zx_tests);

        fn zx_tests() -> i32 {
            $crate::testing::run(&[$(
                $crate::testing::Test::new(::core::stringify!($test), || {
                    $crate::Termination::report($test())
                })$(.$option($($value),*))*,
            )*])
        }
    };
}
