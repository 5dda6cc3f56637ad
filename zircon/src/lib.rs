//! Zircon's object model as a deterministic state machine.
#![forbid(unsafe_code)]

mod memory;

pub use memory::{MemoryOp, MemoryOpId, MemoryResult, Pages, VmoId};
