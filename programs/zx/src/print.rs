//! `print!` and `println!` through `zx_debug_write`: one call per line, so that lines of threads do not mix.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::sys;

/// Longest line that is written in one call; longer ones are split.
pub const LINE: usize = 512;

/// Collects a line and passes it on when it is complete, full, or dropped.
#[derive(Debug)]
pub struct LineBuffer<S: FnMut(&[u8])> {
    bytes: [u8; LINE],
    len: usize,
    sink: S,
}

impl<S: FnMut(&[u8])> LineBuffer<S> {
    /// An empty line whose text goes to `sink`.
    pub fn new(sink: S) -> Self {
        LineBuffer {
            bytes: [0; LINE],
            len: 0,
            sink,
        }
    }

    fn flush(&mut self) {
        if let Some(text @ [_, ..]) = self.bytes.get(..self.len) {
            (self.sink)(text);
        }
        self.len = 0;
    }
}

impl<S: FnMut(&[u8])> Write for LineBuffer<S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len == LINE {
                self.flush();
            }
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
            if byte == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}

impl<S: FnMut(&[u8])> Drop for LineBuffer<S> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Whether lines are comments of TAP, and whether one has been begun.
static COMMENTS: AtomicBool = AtomicBool::new(false);
static BEGUN: AtomicBool = AtomicBool::new(false);

/// From now on lines begin with `# `: they are what a test says, not the runner.
pub(crate) fn comment_out() {
    COMMENTS.store(true, Relaxed);
}

fn debug_write(text: &[u8]) {
    if !COMMENTS.load(Relaxed) {
        return debug_write_raw(text);
    }
    let mut line = [0; LINE + 2];
    let begun = BEGUN.swap(text.last() != Some(&b'\n'), Relaxed);
    let mark: &[u8] = if begun { b"" } else { b"# " };
    let bytes = mark.iter().chain(text);
    let length = mark.len() + text.len();
    line.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    debug_write_raw(line.get(..length).unwrap_or(text));
}

fn debug_write_raw(text: &[u8]) {
    // SAFETY: the call only reads the text.
    let _ = unsafe { sys::debug_write(text.as_ptr() as u64, text.len() as u64) };
}

/// Writes formatted text; what [`crate::print!`] expands to.
pub fn write(arguments: fmt::Arguments<'_>) {
    let _ = LineBuffer::new(debug_write).write_fmt(arguments);
}

/// Writes formatted text and the end of the line; what [`crate::println!`] expands to.
pub fn write_line(arguments: fmt::Arguments<'_>) {
    let mut line = LineBuffer::new(debug_write);
    let _ = line.write_fmt(arguments);
    let _ = line.write_char('\n');
}

/// Prints to the VMM's standard output.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::print::write(::core::format_args!($($arguments)*)) };
}

/// Prints a line to the VMM's standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::print::write_line(::core::format_args!($($arguments)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let mut seen = Vec::new();
        {
            let mut buffer = LineBuffer::new(|text: &[u8]| {
                seen.push(String::from_utf8(text.to_vec()).unwrap());
            });
            for piece in pieces {
                buffer.write_str(piece).unwrap();
            }
        }
        seen
    }

    #[test]
    fn one_call_per_line() {
        assert_eq!(lines(&["a", "b", " c\nd", "\n"]), ["ab c\n", "d\n"]);
    }

    #[test]
    fn text_without_an_end_is_written_at_the_end() {
        assert_eq!(lines(&["abc"]), ["abc"]);
        assert_eq!(lines(&[""]), [""; 0]);
    }

    #[test]
    fn a_long_line_is_split() {
        let long = "x".repeat(LINE + 1);
        assert_eq!(lines(&[&long]), ["x".repeat(LINE), String::from("x")]);
    }
}
