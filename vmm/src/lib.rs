//! zvmm: a virtual machine monitor whose guests see Zircon's memory model.
//!
//! A program embeds a VM with three things: a [`config::RunConfig`] that says what runs and what it is given, a
//! [`pager::HostPager`] for each VMO whose pages the program makes itself, and [`vm::run`], which returns when the
//! guest has ended, with an [`outcome::Outcome`]: how it ended and what it cost.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use vmm::config::{NamedVmo, Output, Program, RunConfig, VmoSource};
//! use vmm::pager::{HostPager, ReadError, Wait};
//!
//! /// 1 MiB whose every byte is the number of its page.
//! #[derive(Debug)]
//! struct Numbers;
//!
//! impl HostPager for Numbers {
//!     fn size(&self) -> u64 {
//!         1 << 20
//!     }
//!
//!     fn read(&self, offset: u64, buffer: &mut [u8], _: Wait) -> Result<(), ReadError> {
//!         for (page, bytes) in (offset / 4096..).zip(buffer.chunks_mut(4096)) {
//!             bytes.fill(page as u8);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), vmm::vm::Error> {
//! let outcome = vmm::vm::run(RunConfig {
//!     program: Program::File("program".into()),
//!     args: Vec::new(),
//!     vmos: vec![NamedVmo {
//!         name: "numbers".into(),
//!         source: VmoSource::Pager { pager: Arc::new(Numbers), writable: false },
//!     }],
//!     grants: Vec::new(),
//!     cpus: 1,
//!     memory: None,
//!     timeout: Some(Duration::from_secs(10)),
//!     policy: Vec::new(),
//!     supply: Default::default(),
//!     interactive: false,
//!     output: Output::Stdout,
//! })?;
//! println!("{:?}", outcome.end);
//! # Ok(())
//! # }
//! ```
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
