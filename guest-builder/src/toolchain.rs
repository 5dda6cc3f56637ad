//! The choice of a cargo and a rustc that can compile for the guest target.
//!
//! Two toolchains are looked at: the one that runs this build, then the system's in `/usr/bin`. Each can serve in two
//! ways, with the target's compiled `core` or with the library's sources, from which cargo then compiles `core`
//! itself (`-Zbuild-std`, which needs `RUSTC_BOOTSTRAP=1` on a stable toolchain). The first that fits is taken.

use std::path::{Path, PathBuf};

use crate::{
    TARGET,
    error::{Error, Result},
    probe::{Host, Probe},
};

/// Oldest compiler that the guest crates accept (`rust-version` of the workspace).
const OLDEST: (u32, u32) = (1, 85);

/// Where the `core` library of the guests comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Compiled, from the toolchain (`rustup target add`).
    Prebuilt,
    /// Compiled by cargo from the toolchain's sources (`rust-src`).
    FromSource,
}

/// What links the guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linker {
    /// LLVM's, which rustup's toolchains bring along and the target takes by default.
    RustLld,
    /// The system's `ld`, for toolchains without it.
    Ld,
}

/// A toolchain that can build guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its compiler.
    pub rustc: PathBuf,
    /// Where `core` comes from.
    pub core: Core,
    /// What links.
    pub linker: Linker,
}

impl Toolchain {
    /// Finds one on this machine.
    ///
    /// # Errors
    ///
    /// [`Error::NoToolchain`] with what each toolchain lacks and the commands that help.
    pub fn find() -> Result<Self> {
        choose(&Host)
    }

    /// One line for a person: which toolchain, and what it does.
    pub fn describe(&self) -> String {
        let core = match self.core {
            Core::Prebuilt => "the target's compiled core",
            Core::FromSource => "core compiled from rust-src",
        };
        let linker = match self.linker {
            Linker::RustLld => "rust-lld",
            Linker::Ld => "ld",
        };
        format!("{} with {core}, linked by {linker}", self.cargo.display())
    }
}

/// The choice itself, on any machine.
fn choose(machine: &impl Probe) -> Result<Toolchain> {
    let mut tried = Vec::new();
    for (cargo, rustc) in candidates(machine) {
        match examine(machine, &cargo, &rustc) {
            Ok(toolchain) => return Ok(toolchain),
            Err(lacks) => tried.push(format!("{}: {lacks}", cargo.display())),
        }
    }
    Err(Error::NoToolchain { tried })
}

/// Pairs of cargo and rustc, in the order in which they are tried.
fn candidates(machine: &impl Probe) -> Vec<(PathBuf, PathBuf)> {
    let cargo = machine
        .variable("CARGO")
        .map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    // Cargo sets RUSTC for build scripts only; a program started by `cargo run` finds the compiler beside cargo.
    let rustc = match machine.variable("RUSTC") {
        Some(rustc) => PathBuf::from(rustc),
        None => Some(cargo.with_file_name("rustc"))
            .filter(|beside| machine.exists(beside))
            .unwrap_or_else(|| PathBuf::from("rustc")),
    };
    let system = (
        PathBuf::from("/usr/bin/cargo"),
        PathBuf::from("/usr/bin/rustc"),
    );
    let mut candidates = vec![(cargo, rustc)];
    if !candidates.contains(&system) {
        candidates.push(system);
    }
    candidates
}

/// Says how a toolchain would build guests, or what it lacks.
fn examine(
    machine: &impl Probe,
    cargo: &Path,
    rustc: &Path,
) -> std::result::Result<Toolchain, String> {
    if cargo.is_absolute() && !machine.exists(cargo) {
        return Err("not there".into());
    }
    let Some(answer) = machine.rustc(rustc) else {
        return Err(format!("its compiler {} does not answer", rustc.display()));
    };
    let (major, minor) = answer.version;
    if answer.version < OLDEST {
        let (oldest_major, oldest) = OLDEST;
        return Err(format!(
            "is Rust {major}.{minor}, older than {oldest_major}.{oldest}"
        ));
    }
    let libraries = answer.sysroot.join("lib/rustlib");
    let core = if has_core(machine, &libraries) {
        Core::Prebuilt
    } else if machine.exists(&libraries.join("src/rust/library/Cargo.lock")) {
        Core::FromSource
    } else {
        return Err(format!(
            "neither {TARGET} nor src (rust-src) in {}",
            libraries.display()
        ));
    };
    let linker = if has_rust_lld(machine, &libraries) {
        Linker::RustLld
    } else if on_path(machine, "ld") {
        Linker::Ld
    } else {
        return Err(
            "no linker: neither rust-lld in the toolchain nor ld (binutils) in PATH".into(),
        );
    };
    // Behind rustup's proxies stands the real compiler; the proxy would choose again, by directory and variables.
    let real = answer.sysroot.join("bin/rustc");
    let rustc = if machine.exists(&real) {
        real
    } else {
        rustc.to_owned()
    };
    Ok(Toolchain {
        cargo: cargo.to_owned(),
        rustc,
        core,
        linker,
    })
}

fn has_core(machine: &impl Probe, libraries: &Path) -> bool {
    let names = machine.names(&libraries.join(TARGET).join("lib"));
    names
        .iter()
        .any(|name| name.to_string_lossy().starts_with("libcore-"))
}

/// The linker lies under the triple of the host.
fn has_rust_lld(machine: &impl Probe, libraries: &Path) -> bool {
    let triples = machine.names(libraries);
    triples
        .iter()
        .any(|triple| machine.exists(&libraries.join(triple).join("bin/rust-lld")))
}

fn on_path(machine: &impl Probe, program: &str) -> bool {
    let path = machine.variable("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| machine.exists(&dir.join(program)))
}

#[cfg(test)]
#[path = "toolchain_tests.rs"]
mod tests;
