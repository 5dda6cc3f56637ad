//! zvmm: a virtual machine monitor whose guests see Zircon's memory model.
#![deny(unsafe_code)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod config;
mod events;
pub mod guest_image;
pub mod hypercall;
#[allow(unsafe_code)]
pub mod machine;
#[allow(unsafe_code)]
pub mod memory;
pub mod observe;
pub mod outcome;
pub mod pager;
pub mod program;
pub mod sdk;
pub mod vm;
