//! The part of the guest kernel that needs no ring 0: run queue, mailbox and the choice of the next thread.
//!
//! The kernel multiplexes one vCPU between program threads and nothing else: it owns no objects, never touches a
//! program's memory, and keeps interrupts off from entry to return. Every way in - a system call that waits, an
//! exception, the mailbox interrupt, start - ends in [`schedule::run_next`]: drain the mailbox, choose a thread, load
//! what differs from the last one. What the hardware must do on the way is behind the [`Cpu`] trait; the binary
//! implements it with instructions, the tests with a recorder.
//!
//! On a software KVM each ring-0 instruction costs about 0.8 microseconds, so short code comes before general code.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod cpu;
pub mod mailbox;
pub mod queue;
pub mod schedule;
#[cfg(test)]
mod testing;

pub use cpu::{Cpu, CpuPage, Local};
