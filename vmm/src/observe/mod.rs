//! What a run did and cost.
//!
//! The run's threads count into [`Stats`], each vCPU in its own cells, without locks on the way of a system call. At
//! the end [`Stats::report`] merges the cells and adds what the host knows of the process: the [`Report`] prints as a
//! table and serialises to JSON. [`Progress`] shows a long run's counters while it lasts; a [`Sampler`] keeps the
//! largest of a figure that the host knows.

mod process;
mod progress;
mod report;
mod sampler;
pub(crate) mod smaps;
mod stats;

pub use self::{
    process::mark_main,
    progress::Progress,
    report::{Exits, Faults, Memory, Pages, Reclaim, Report, Times, VmoUsage},
    sampler::Sampler,
    stats::{ExitKind, Stats},
};
