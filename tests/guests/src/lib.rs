//! What the test guests share: named cases and their verdicts, raw system calls, and a pager service in the program.
//!
//! A test guest prints `ok NAME` or `FAIL NAME why` for each case and `N passed, N failed` at the end; its exit code is
//! the number of failures, 100 at most. A case that kills the process shows by the missing last line.
#![no_std]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

#[cfg(test)]
extern crate std;

mod failure;
pub mod pages;
pub mod raw;
mod runner;
mod service;

pub use failure::{Failure, Outcome};
pub use runner::{Case, MAX_EXIT_CODE, Runner};
pub use service::{NOW, Reader, Service, Via, reader};

/// How long anything that must happen may take.
pub const PATIENCE_MILLIS: i64 = 10_000;

/// How long something that must not happen is waited for.
pub const SILENCE_MILLIS: i64 = 20;

/// Deadline for what must happen.
pub fn soon() -> i64 {
    zx::time::after_millis(PATIENCE_MILLIS)
}

/// Deadline for what must not happen.
pub fn shortly() -> i64 {
    zx::time::after_millis(SILENCE_MILLIS)
}
