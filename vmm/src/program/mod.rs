//! (in the making)

pub mod elf;
