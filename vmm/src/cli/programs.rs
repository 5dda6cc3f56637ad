//! The built-in programs: `zvmm programs`, and what a program's name means.

use std::{ffi::OsStr, fmt::Write as _, io::Write, path::Path};

use super::{BuiltIn, Exit, Failure, print};
use crate::config::Program;

/// What each built-in program does, in a line.
const SUMMARIES: [(&str, &str); 3] = [
    (
        "hello",
        "prints a greeting, its arguments and its start-up handles",
    ),
    (
        "sum",
        "prints the SHA-256 of the VMO 'data' (sum [NAME [OFFSET LENGTH]])",
    ),
    (
        "userpager",
        "serves a VMO from a pager inside the guest and checks every page ([PAGES [SEED [CLUSTER]]])",
    ),
];

fn summary(name: &str) -> &'static str {
    let found = SUMMARIES.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, summary)| *summary)
}

/// `zvmm programs`.
pub(super) fn list(programs: &[BuiltIn], out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut text = String::new();
    for (name, _) in programs {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12} {}", summary(name));
    }
    print(out, &text)?;
    Ok(Exit::Program(0))
}

/// A built-in program of this name, else the file at this path.
pub(super) fn resolve(name: &OsStr, programs: &'static [BuiltIn]) -> Result<Program, Failure> {
    if let Some((name, bytes)) = programs.iter().find(|(known, _)| name == *known) {
        return Ok(Program::Image {
            name: (*name).into(),
            bytes,
        });
    }
    let path = Path::new(name);
    // A link that leads nowhere is there as well: opening it has the better message.
    if path.symlink_metadata().is_ok() {
        return Ok(Program::File(path.into()));
    }
    let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
    Err(Failure::Usage(format!(
        "there is no program '{}': it is neither a file nor built in. Built-in programs: {}.",
        path.display(),
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    static PROGRAMS: [BuiltIn; 2] = [("hello", b"h"), ("sum", b"s")];

    #[test]
    fn one_line_each() {
        let mut out = Vec::new();
        assert_eq!(list(&PROGRAMS, &mut out).unwrap(), Exit::Program(0));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("hello        prints a greeting"));
    }

    #[test]
    fn a_name_is_built_in_or_a_file() {
        let resolve = |name: &str| resolve(OsStr::new(name), &PROGRAMS);
        assert!(matches!(resolve("sum").unwrap(), Program::Image { name, .. } if name == "sum"));
        assert!(matches!(resolve("/dev/null").unwrap(), Program::File(_)));
        let error = resolve("smu").unwrap_err();
        assert_eq!(
            error.to_string(),
            "zvmm: there is no program 'smu': it is neither a file nor built in. Built-in programs: \
             hello, sum."
        );
        assert_eq!(error.exit(), Exit::Usage);
    }
}
