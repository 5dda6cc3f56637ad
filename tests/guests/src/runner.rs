//! Runs named cases and counts.

use crate::Outcome;

/// A case: its name and what it does.
pub type Case = (&'static str, fn() -> Outcome);

/// The highest exit code that counts failures; more failures do not show in it.
pub const MAX_EXIT_CODE: i32 = 100;

/// Counts verdicts, and skips cases that the filter does not name.
#[derive(Debug, Default)]
pub struct Runner<'a> {
    filter: &'a str,
    passed: u32,
    failed: u32,
}

impl<'a> Runner<'a> {
    /// Runs only cases whose name contains `filter`.
    pub fn new(filter: &'a str) -> Self {
        Runner {
            filter,
            passed: 0,
            failed: 0,
        }
    }

    /// Whether the filter lets this case run.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(self.filter)
    }

    /// Runs one case, if the filter names it.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Outcome) {
        if self.wants(name) {
            self.verdict(format_args!("{name}"), run());
        }
    }

    /// Runs each case.
    pub fn cases(&mut self, cases: &[Case]) {
        for (name, run) in cases {
            self.case(name, run);
        }
    }

    /// Prints and counts the outcome of a case.
    pub fn verdict(&mut self, name: core::fmt::Arguments<'_>, outcome: Outcome) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                zx::println!("ok {name}");
            }
            Err(failure) => {
                self.failed += 1;
                zx::println!("FAIL {name} {failure}");
            }
        }
    }

    /// Prints the last line; the exit code.
    pub fn finish(self) -> i32 {
        zx::println!("{} passed, {} failed", self.passed, self.failed);
        i32::try_from(self.failed).map_or(MAX_EXIT_CODE, |failed| failed.min(MAX_EXIT_CODE))
    }
}

/// Makes the table `CASES` of cases named `prefix.function`.
#[macro_export]
macro_rules! cases {
    ($prefix:literal: $($case:ident)*) => {
        /// The cases of this module.
        pub const CASES: &[$crate::Case] =
            &[$((concat!($prefix, ".", stringify!($case)), $case),)*];
    };
}
