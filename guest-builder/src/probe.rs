//! The questions that the choice of a toolchain asks the machine, so that tests can answer them instead.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a `rustc` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// Root of its libraries.
    pub(crate) sysroot: PathBuf,
    /// Major and minor version.
    pub(crate) version: (u32, u32),
}

/// A machine that may have toolchains.
pub(crate) trait Probe {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> bool;
    /// Names in a directory; empty if it cannot be read.
    fn names(&self, dir: &Path) -> Vec<OsString>;
    /// Asks a compiler; `None` if it does not answer.
    fn rustc(&self, rustc: &Path) -> Option<Rustc>;
}

/// The machine this process runs on.
pub(crate) struct Host;

impl Probe for Host {
    fn variable(&self, name: &str) -> Option<OsString> {
        env::var_os(name)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries.flatten().map(|entry| entry.file_name()).collect()
    }

    fn rustc(&self, rustc: &Path) -> Option<Rustc> {
        let ask = |args: &[&str]| {
            // Cargo's LD_LIBRARY_PATH names the libraries of its own rustc; another one would load the wrong ones.
            let output = Command::new(rustc)
                .args(args)
                .env_remove("LD_LIBRARY_PATH")
                .output()
                .ok()?;
            let answered = output.status.success().then_some(output.stdout)?;
            String::from_utf8(answered).ok()
        };
        let sysroot = ask(&["--print", "sysroot"])?;
        Some(Rustc {
            sysroot: PathBuf::from(sysroot.trim_end()),
            version: parse_version(&ask(&["--version"])?)?,
        })
    }
}

/// Takes "1" and "95" out of "rustc 1.95.0 (59807616e 2026-04-14)".
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_of_all_channels_are_understood() {
        assert_eq!(
            parse_version("rustc 1.95.0 (59807616e 2026-04-14)\n"),
            Some((1, 95))
        );
        assert_eq!(
            parse_version("rustc 1.97.0-nightly (0 2026-05-01)"),
            Some((1, 97))
        );
        assert_eq!(parse_version("rustc 1.85.0"), Some((1, 85)));
        assert_eq!(parse_version("error: no such command"), None);
    }
}
