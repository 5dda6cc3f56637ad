//! The machine and the guest kernel on real KVM, with ring 3 code of a few instructions.
#![allow(unsafe_code)]

mod exceptions;
mod faults;
mod harness;
mod interrupts;
mod syscalls;
mod threads;
