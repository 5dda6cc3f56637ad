//! Programs: from an ELF image to a process whose first thread is about to run.

pub mod elf;
mod load;

pub use load::LoadError;

pub(crate) use load::load;
