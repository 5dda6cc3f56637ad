//! A process of its own, looked at from outside.

use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};

/// Has zvmm run a built-in program in a process of its own, and `look` at that, by its number, and at what the program writes. What it does
/// not read is read after it.
///
/// # Errors
/// What the host refused, what `look` met, or how the run ended.
pub fn run<T>(
    args: &[&str],
    look: impl FnOnce(u32, &mut ChildStdout) -> io::Result<T>,
) -> io::Result<T> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run", "--timeout", "300s"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let id = child.id();
    let looked = child.stdout.take().map(|mut output| {
        let looked = look(id, &mut output)?;
        io::copy(&mut output, &mut io::sink())?;
        io::Result::Ok(looked)
    });
    let mut words = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut words)?;
    }
    let status = child.wait()?;
    match looked {
        Some(Ok(looked)) if status.success() => Ok(looked),
        Some(Err(error)) if status.success() => Err(error),
        _ => Err(io::Error::other(format!(
            "zvmm run ended: {status}: {words}"
        ))),
    }
}
