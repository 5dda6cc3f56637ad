//! Runs the inner cargo: its environment, its flags, and where its binaries are.
//!
//! The outer cargo holds the lock of its target directory while a build script runs, so the inner one has its own,
//! `target/guest`, which all outer profiles and both build scripts share.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Guest, TARGET,
    error::{Error, Result},
    toolchain::{Core, Linker, Toolchain},
};

/// The cargo profile of guests, and the name of its directory.
const PROFILE: &str = "guest";

/// Separates the flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\x1f";

/// Options with which cargo compiles `core` for the target.
pub(crate) const CORE_FROM_SOURCE: [&str; 2] = [
    "-Zbuild-std=core,alloc,compiler_builtins",
    "-Zbuild-std-features=compiler-builtins-mem",
];

/// One linked binary of a guest package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Name of the binary.
    pub name: String,
    /// The ELF file.
    pub path: PathBuf,
}

/// Where guests are built: `guest` in `CARGO_TARGET_DIR` if that is an absolute path, else in the workspace's `target`.
pub fn target_dir(workspace: &Path) -> PathBuf {
    let outer = env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    outer
        .unwrap_or_else(|| workspace.join("target"))
        .join("guest")
}

/// Builds all binaries of `guest` and says where they are, in the order of their names.
///
/// # Errors
///
/// [`Error::Failed`] when they do not compile (cargo has printed why), [`Error::Start`], [`Error::Io`] or
/// [`Error::NoImage`] when something is missing.
pub fn build(workspace: &Path, toolchain: &Toolchain, guest: Guest) -> Result<Vec<Image>> {
    let mut command = inner_command(&toolchain.cargo, workspace, toolchain, "build");
    run(command.args(["--bins", "--package", guest.package]))?;

    let output = target_dir(workspace).join(TARGET).join(PROFILE);
    let names = binaries(&workspace.join(guest.dir), guest.package)?.into_iter();
    let image = |name: String| {
        let path = output.join(&name);
        if path.is_file() {
            Ok(Image { name, path })
        } else {
            Err(Error::NoImage { path })
        }
    };
    names.map(image).collect()
}

/// Lints `guest` as it is compiled for the target, warnings denied. `Ok(false)`: the toolchain has no clippy.
///
/// # Errors
///
/// As [`build`].
pub fn clippy(workspace: &Path, toolchain: &Toolchain, guest: Guest) -> Result<bool> {
    // Cargo itself would take the one in PATH, which may be another toolchain's.
    let clippy = toolchain.cargo.with_file_name("cargo-clippy");
    if !clippy.is_file() {
        return Ok(false);
    }
    let mut command = inner_command(&clippy, workspace, toolchain, "clippy");
    command.env("CARGO", &toolchain.cargo);
    command.args([
        "--bins",
        "--package",
        guest.package,
        "--",
        "--deny",
        "warnings",
    ]);
    run(&mut command)?;
    Ok(true)
}

/// A command of cargo, or of a program that runs it, for the guest target in a clean environment.
fn inner_command(
    program: &Path,
    workspace: &Path,
    toolchain: &Toolchain,
    subcommand: &str,
) -> Command {
    let target_dir = target_dir(workspace);
    let mut command = Command::new(program);
    command.current_dir(workspace).arg(subcommand);
    command.args([
        "--locked",
        "--target",
        TARGET,
        "--profile",
        PROFILE,
        "--target-dir",
    ]);
    command.arg(&target_dir);
    if toolchain.core == Core::FromSource {
        command.args(CORE_FROM_SOURCE);
    }
    set_environment(&mut command, toolchain);
    // A build-dir in some configuration file would be shared with the outer cargo, and its lock too.
    command.env("CARGO_BUILD_BUILD_DIR", &target_dir);
    // Takes precedence over the flags of all configuration files: those are meant for the host.
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace, toolchain));
    command
}

/// Makes a toolchain's own environment out of this one.
pub(crate) fn set_environment(command: &mut Command, toolchain: &Toolchain) {
    for (name, _) in env::vars_os() {
        if !inherited(&name) {
            command.env_remove(name);
        }
    }
    if toolchain.core == Core::FromSource {
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.env("RUSTC", &toolchain.rustc);
}

/// Whether the inner cargo may see a variable of the outer one's environment.
///
/// The outer cargo and rustup tell build scripts about *their* compiler, flags and libraries; none of it holds for
/// the guests. What concerns the network, the cache and the job server does.
fn inherited(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    const SHARED: [&str; 3] = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_TERM_COLOR"];
    const SHARED_PREFIXES: [&str; 4] = [
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRY_",
        "CARGO_REGISTRIES_",
    ];
    const DROPPED: [&str; 4] = ["LD_LIBRARY_PATH", "OUT_DIR", "RUSTUP_TOOLCHAIN", "CARGO"];
    const DROPPED_PREFIXES: [&str; 4] = ["CARGO_", "RUSTC", "RUSTFLAGS", "RUSTDOC"];

    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    SHARED.contains(&name)
        || starts(&SHARED_PREFIXES)
        || !(DROPPED.contains(&name) || starts(&DROPPED_PREFIXES))
}

/// Flags of the guests' compiler, in the form of `CARGO_ENCODED_RUSTFLAGS`.
fn rustflags(workspace: &Path, toolchain: &Toolchain) -> OsString {
    // The target's default is a position-independent executable; guests lie where their linker scripts say.
    let mut flags: Vec<OsString> = vec!["-Crelocation-model=static".into()];
    if toolchain.linker == Linker::Ld {
        flags.extend(["-Clinker=ld".into(), "-Clinker-flavor=ld".into()]);
    }
    // Panic messages and line tables name source files: the same sources make the same image in any directory.
    for (from, to) in [
        (Some(workspace.to_owned()), "/zvmm"),
        (cargo_home(), "/cargo"),
    ] {
        if let Some(from) = from {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from);
            flag.push("=");
            flag.push(to);
            flags.push(flag);
        }
    }
    flags.join(OsStr::new(FLAG_SEPARATOR))
}

fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or(home)
}

/// Names of a package's binaries, found where cargo finds them by itself: `src/main.rs`, `src/bin/NAME.rs` and
/// `src/bin/NAME/main.rs`.
fn binaries(package_dir: &Path, package: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if package_dir.join("src/main.rs").is_file() {
        names.push(package.to_owned());
    }
    let bin_dir = package_dir.join("src/bin");
    if bin_dir.is_dir() {
        let failed = |source| Error::Io {
            doing: "list",
            path: bin_dir.clone(),
            source,
        };
        for entry in fs::read_dir(&bin_dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension() == Some(OsStr::new("rs")) || path.join("main.rs").is_file() {
                names.extend(
                    path.file_stem()
                        .map(|stem| stem.to_string_lossy().into_owned()),
                );
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Runs a command to its end. What it prints goes to standard error: a build script's standard output is cargo's.
fn run(command: &mut Command) -> Result<()> {
    let line = command_line(command);
    let status = command
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| Error::Start {
            command: line.clone(),
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: line,
            status,
        })
    }
}

pub(crate) fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
