//! The choice of a toolchain on made-up machines.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use super::*;
use crate::probe::Rustc;

const RUSTUP: &str = "/home/u/.rustup/toolchains/stable";

/// A machine that has exactly what a test gives it.
#[derive(Default)]
struct Machine {
    variables: BTreeMap<&'static str, OsString>,
    files: BTreeSet<PathBuf>,
    compilers: BTreeMap<PathBuf, Rustc>,
}

impl Machine {
    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    fn file(mut self, path: &str) -> Self {
        self.files.insert(path.into());
        self
    }

    fn compiler(mut self, rustc: &str, sysroot: &str, version: (u32, u32)) -> Self {
        self.compilers.insert(
            rustc.into(),
            Rustc {
                sysroot: sysroot.into(),
                version,
            },
        );
        self.file(rustc)
    }

    /// A build script under rustup's cargo, with no guest target.
    fn rustup() -> Self {
        Self::default()
            .variable("CARGO", &format!("{RUSTUP}/bin/cargo"))
            .variable("RUSTC", &format!("{RUSTUP}/bin/rustc"))
            .file(&format!("{RUSTUP}/bin/cargo"))
            .file(&format!(
                "{RUSTUP}/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"
            ))
            .compiler(&format!("{RUSTUP}/bin/rustc"), RUSTUP, (1, 95))
    }

    /// The same with Debian's packages, which bring sources and `ld`.
    fn with_debian(self, version: (u32, u32)) -> Self {
        self.file("/usr/bin/cargo")
            .file("/usr/bin/ld")
            .variable("PATH", "/home/u/.cargo/bin:/usr/bin")
            .file("/usr/lib/rustlib/src/rust/library/Cargo.lock")
            .compiler("/usr/bin/rustc", "/usr", version)
    }

    fn with_target(self) -> Self {
        self.file(&format!(
            "{RUSTUP}/lib/rustlib/{TARGET}/lib/libcore-0123.rlib"
        ))
    }

    fn with_sources(self) -> Self {
        self.file(&format!("{RUSTUP}/lib/rustlib/src/rust/library/Cargo.lock"))
    }
}

impl Probe for Machine {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.starts_with(path))
    }

    fn names(&self, dir: &Path) -> Vec<OsString> {
        let below = self
            .files
            .iter()
            .filter_map(|file| file.strip_prefix(dir).ok());
        below
            .filter_map(|rest| Some(rest.components().next()?.as_os_str().to_owned()))
            .collect()
    }

    fn rustc(&self, rustc: &Path) -> Option<Rustc> {
        self.compilers.get(rustc).cloned()
    }
}

fn rustup_with(core: Core) -> Toolchain {
    Toolchain {
        cargo: PathBuf::from(RUSTUP).join("bin/cargo"),
        rustc: PathBuf::from(RUSTUP).join("bin/rustc"),
        core,
        linker: Linker::RustLld,
    }
}

fn debian() -> Toolchain {
    Toolchain {
        cargo: "/usr/bin/cargo".into(),
        rustc: "/usr/bin/rustc".into(),
        core: Core::FromSource,
        linker: Linker::Ld,
    }
}

#[test]
fn the_running_toolchain_serves_when_it_has_the_target() {
    let machine = Machine::rustup()
        .with_debian((1, 96))
        .with_sources()
        .with_target();
    assert_eq!(choose(&machine).unwrap(), rustup_with(Core::Prebuilt));
}

#[test]
fn the_running_toolchain_compiles_core_when_it_has_the_sources() {
    let machine = Machine::rustup().with_debian((1, 96)).with_sources();
    assert_eq!(choose(&machine).unwrap(), rustup_with(Core::FromSource));
}

#[test]
fn the_system_serves_when_the_running_toolchain_lacks_both() {
    assert_eq!(
        choose(&Machine::rustup().with_debian((1, 96))).unwrap(),
        debian()
    );
}

#[test]
fn under_the_systems_cargo_the_compiler_beside_it_is_taken() {
    let machine = Machine::default()
        .with_debian((1, 96))
        .variable("CARGO", "/usr/bin/cargo");
    assert_eq!(choose(&machine).unwrap(), debian());
}

#[test]
fn behind_a_proxy_the_real_compiler_is_taken() {
    let proxy = "/home/u/.cargo/bin/rustc";
    let machine = Machine::rustup()
        .with_target()
        .variable("RUSTC", proxy)
        .compiler(proxy, RUSTUP, (1, 95));
    assert_eq!(choose(&machine).unwrap(), rustup_with(Core::Prebuilt));
}

#[test]
fn what_is_too_old_or_cannot_link_is_passed_over_and_said() {
    let machine = Machine::rustup().with_debian((1, 63));
    let message = choose(&machine).unwrap_err().to_string();
    assert!(
        message.contains("is Rust 1.63, older than 1.85"),
        "{message}"
    );
    assert!(
        message.contains("rustup target add x86_64-unknown-none"),
        "{message}"
    );
    assert!(message.contains("apt-get install"), "{message}");

    let machine = Machine::default()
        .with_debian((1, 96))
        .variable("PATH", "/nothing");
    let message = choose(&machine).unwrap_err().to_string();
    assert!(message.contains("/usr/bin/cargo: no linker"), "{message}");
}

#[test]
fn a_machine_without_anything_gets_the_commands() {
    let message = choose(&Machine::rustup()).unwrap_err().to_string();
    let lacks = format!("{RUSTUP}/bin/cargo: neither x86_64-unknown-none nor src (rust-src)");
    assert!(message.contains(&lacks), "{message}");
    assert!(message.contains("/usr/bin/cargo: not there"), "{message}");
}
