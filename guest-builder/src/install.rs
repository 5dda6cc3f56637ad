//! Installs what is missing to build guests. Called by `cargo xtask`, never by a build script.

use std::process::{Command, Stdio};

use crate::{
    TARGET,
    compile::command_line,
    error::{Error, Result},
    toolchain::Toolchain,
};

/// Debian's packages of a current Rust (its security suite keeps them up to date), and those of its release.
const APT_PACKAGES: [[&str; 3]; 2] = [
    ["cargo-web", "rustc-web", "rust-web-src"],
    ["cargo", "rustc", "rust-src"],
];

/// The commands that help where no toolchain compiles for the guest target.
pub fn advice() -> String {
    let [packages, _] = APT_PACKAGES.map(|packages| packages.join(" "));
    format!(
        "`cargo xtask guests` does what can be done without asking; or type one of these:
  rustup target add {TARGET}
  rustup component add rust-src
  apt-get update && apt-get install -y --no-install-recommends {packages}  # Debian, as root"
    )
}

/// Finds a toolchain, installing one if there is none: by rustup, else by apt if this is root or sudo asks nothing.
/// Prints each command before it runs it. A command that fails is no error; the next one may do.
///
/// # Errors
///
/// [`Error::NoToolchain`] when nothing helped.
pub fn install() -> Result<Toolchain> {
    let missing = match Toolchain::find() {
        Err(missing @ Error::NoToolchain { .. }) => missing,
        found => return found,
    };
    eprintln!("    none is here; installing one");
    for mut attempt in attempts() {
        run(&mut attempt);
        if let Ok(toolchain) = Toolchain::find() {
            return Ok(toolchain);
        }
    }
    Err(missing)
}

/// The commands to try, in order.
fn attempts() -> Vec<Command> {
    let mut attempts = Vec::new();
    if answers(command("rustup", &["--version"])) {
        attempts.push(command("rustup", &["target", "add", TARGET]));
        attempts.push(command("rustup", &["component", "add", "rust-src"]));
    }
    if let Some(privilege) = privilege().filter(|_| answers(command("apt-get", &["--version"]))) {
        attempts.push(as_root(privilege, &["apt-get", "update"]));
        for packages in APT_PACKAGES {
            let mut install = as_root(
                privilege,
                &["apt-get", "install", "-y", "--no-install-recommends"],
            );
            install.args(packages);
            install.env("DEBIAN_FRONTEND", "noninteractive");
            attempts.push(install);
        }
    }
    attempts
}

/// How to become root: what to write before a command.
fn privilege() -> Option<&'static [&'static str]> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    answers(command("sudo", &["-n", "true"])).then_some(&["sudo", "-n"])
}

fn as_root(privilege: &[&'static str], words: &[&'static str]) -> Command {
    let words: Vec<&str> = privilege.iter().chain(words).copied().collect();
    match words.split_first() {
        Some((program, args)) => command(program, args),
        None => Command::new("true"),
    }
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Whether a command is there and succeeds, silently.
fn answers(mut command: Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Announces and runs a command, and says when it fails.
fn run(command: &mut Command) {
    let line = command_line(command);
    eprintln!("+ {line}");
    match command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
    {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("`{line}` ended with {status}"),
        Err(error) => eprintln!("could not start `{line}`: {error}"),
    }
}
