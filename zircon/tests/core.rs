//! Tests of the object core over its public interface, with a page map in plain Rust for memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod calls;
mod clones;
mod common;
mod corpus;
mod hostile;
mod model;
mod pressure;
mod scenarios;
mod script;
mod simulation;
mod vmars;
