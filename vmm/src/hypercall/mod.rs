//! (in the making)

pub mod operands;
