//! Boots real guests.

mod guests;

pub use guests::test_program;
