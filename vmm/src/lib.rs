//! zvmm: a virtual machine monitor whose guests see Zircon's memory model.
//!
//! A program embeds a VM with three things: a [`config::RunConfig`] that says what runs and what it is given, a
//! [`pager::Pager`] for each VMO whose pages the program makes itself, and [`vm::run`], which returns when the
//! guest has ended, with an [`outcome::Outcome`]: how it ended and what it cost.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//!
//! use vmm::config::{NamedVmo, Program, RunConfig, VmoSource};
//! use vmm::pager::{PageRequest, Pager};
//!
//! /// Every byte is 7. Answers at once; a request may as well be sent to another thread and answered there.
//! #[derive(Debug)]
//! struct Sevens;
//!
//! impl Pager for Sevens {
//!     fn supply(&self, request: PageRequest) {
//!         request.fill(|content| content.fill(7));
//!     }
//! }
//!
//! # fn main() -> Result<(), vmm::vm::Error> {
//! let sevens = VmoSource::Pager { pager: Arc::new(Sevens), size: 1 << 30, writable: false };
//! let outcome = vmm::vm::run(RunConfig {
//!     vmos: vec![NamedVmo { name: "sevens".into(), source: sevens }],
//!     cpus: 2,
//!     timeout: Some(Duration::from_secs(10)),
//!     ..RunConfig::new(Program::File("program".into()))
//! })?;
//! println!("{:?} after {} faults", outcome.end, outcome.report.faults.served);
//! # Ok(())
//! # }
//! ```
//!
//! `docs/embedding.md` has the rules for pagers; `examples/` two programs that run.
#![deny(unsafe_code)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod config;
mod debug;
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
mod processor;
pub mod program;
pub mod sdk;
pub mod vm;
