//! What a run did and cost.
//!
//! The run's threads count into [`Stats`], each vCPU in its own cells, without locks on the way of a system call. At
//! the end [`Stats::report`] merges the cells and adds what the host knows of the process: the [`Report`] prints as a
//! table and serialises to JSON. [`Progress`] shows a long run's counters while it lasts; a [`Sampler`] keeps the
//! largest of a figure that the host knows. What happens one by one goes through a record to those who write it down: a [`trace`], a heat map.

pub(crate) mod heatmap;
mod process;
mod progress;
mod record;
mod report;
mod sampler;
pub(crate) mod smaps;
mod stats;
pub mod trace;

pub(crate) use self::record::{Consumer, Event, Recorder, Recording, on_vcpu};
pub use self::{
    process::mark_main,
    progress::Progress,
    record::Recorded,
    report::{Exits, Faults, Memory, Pages, Reclaim, Report, Times, VmoUsage},
    sampler::Sampler,
    stats::{ExitKind, Stats},
};
