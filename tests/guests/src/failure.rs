//! Why a case failed, as text of bounded length, and the macros that say so.

use core::fmt::{self, Write};
use core::panic::Location;
use zx::Status;

/// Longest reason in bytes; more is cut.
const LENGTH: usize = 200;

/// What a case returns.
pub type Outcome = Result<(), Failure>;

/// Why and where a case failed.
#[derive(Clone)]
pub struct Failure {
    text: [u8; LENGTH],
    len: usize,
}

impl Failure {
    /// A failure at the caller's line.
    #[track_caller]
    pub fn new(reason: fmt::Arguments<'_>) -> Self {
        let mut failure = Failure {
            text: [0; LENGTH],
            len: 0,
        };
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or("?");
        let _ = write!(failure, "{file}:{}: {reason}", place.line());
        failure
    }
}

impl Write for Failure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if let Some(slot) = self.text.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.get(..self.len).unwrap_or_default();
        for chunk in text.utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A call that should have succeeded.
impl From<Status> for Failure {
    #[track_caller]
    fn from(status: Status) -> Self {
        Failure::new(format_args!("unexpected {status}"))
    }
}

/// Ends the case with a failure.
#[macro_export]
macro_rules! fail {
    ($($reason:tt)*) => { return Err($crate::Failure::new(format_args!($($reason)*))) };
}

/// Fails the case unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            $crate::fail!("not so: {}", stringify!($condition));
        }
    };
    ($condition:expr, $($reason:tt)*) => {
        if !$condition {
            $crate::fail!($($reason)*);
        }
    };
}

/// Fails the case unless both values are equal; numbers are shown in hexadecimal where they are given as such.
#[macro_export]
macro_rules! equal {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    $crate::fail!("{} is {left:#x?}, not {right:#x?}", stringify!($left));
                }
            }
        }
    };
}

/// Fails the case unless a raw call returns exactly this status.
#[macro_export]
macro_rules! status {
    ($expected:ident, $call:expr) => {
        match $call {
            zx::Status::$expected => {}
            other => $crate::fail!("{} gave {other}", stringify!($call)),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn fails() -> Outcome {
        equal!(1 + 1, 3);
        Ok(())
    }

    fn passes_a_status_on() -> Outcome {
        Err(Status::IO)?;
        Ok(())
    }

    #[test]
    fn a_failure_names_place_expression_and_values() {
        let text = fails().unwrap_err().to_string();
        assert!(text.starts_with("failure.rs:"), "{text}");
        assert!(text.ends_with("1 + 1 is 0x2, not 0x3"), "{text}");
    }

    #[test]
    fn a_status_names_the_line_that_passed_it_on() {
        let text = passes_a_status_on().unwrap_err().to_string();
        assert!(text.starts_with("failure.rs:"), "{text}");
        assert!(text.ends_with("unexpected ZX_ERR_IO"), "{text}");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let failure = Failure::new(format_args!("{}", "ä".repeat(LENGTH)));
        assert!(failure.to_string().len() <= LENGTH);
    }
}
