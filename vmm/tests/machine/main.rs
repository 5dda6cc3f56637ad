//! The machine and the guest kernel on real KVM, with ring 3 code of a few instructions.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed test panics"
)]

mod clones;
mod exceptions;
mod faults;
mod harness;
mod interrupts;
mod syscalls;
mod threads;
