//! How a run ended: what the VM hands back to whoever started it.

use crate::observe::{Recorded, Report};

/// The end of a run, with its figures.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it did and cost.
    pub report: Report,
    /// What was written of it while it ran.
    pub recorded: Vec<Recorded>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program's process exited with this code.
    Exited(i64),
    /// The program was killed by an exception; the full report, of several lines.
    Exception(String),
    /// The guest kernel failed (panic, triple fault, impossible exit); the report.
    GuestKernel(String),
    /// The run's time limit passed.
    TimedOut,
    /// Ctrl-C.
    Interrupted,
    /// gdb's `kill`.
    Killed,
}
