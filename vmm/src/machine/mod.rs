//! (in the making)

pub mod tables;
