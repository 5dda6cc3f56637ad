//! Builds what runs inside the VM: the guest kernel, the built-in programs and the test guests.
//!
//! Guests are compiled for [`TARGET`] with the cargo profile `guest`, by a cargo started from a build script
//! (`vmm/build.rs`, `tests/build.rs`) or from `cargo xtask`. [`cargo`] does the same for programs outside the workspace,
//! for `zvmm cargo`. The life of a guest image:
//!
//! 1. [`Toolchain::find`] looks for a cargo and rustc that can compile for the target ([`toolchain`]);
//! 2. [`build`] runs it in a clean environment, into a target directory of its own ([`compile`]);
//! 3. a build script copies the ELF files into its OUT_DIR and writes the Rust source that embeds them ([`embed`]).
//!
//! Nothing here installs anything, except [`install`], which only `cargo xtask` calls.
#![forbid(unsafe_code)]

pub mod compile;
pub mod embed;
mod error;
pub mod install;
mod outside;
mod probe;
pub mod toolchain;

pub use compile::{Image, build, clippy, target_dir};
pub use error::{Error, Result};
pub use outside::cargo;
pub use toolchain::Toolchain;

/// The target triple of everything that runs inside the VM.
pub const TARGET: &str = "x86_64-unknown-none";

/// A package of this workspace whose binaries run inside the VM.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Name of the package.
    pub package: &'static str,
    /// Its directory, relative to the workspace.
    pub dir: &'static str,
    /// Directories, relative to the workspace, whose contents go into its binaries.
    pub sources: &'static [&'static str],
}

/// The ring-0 kernel.
pub const KERNEL: Guest = Guest {
    package: "guest-kernel",
    dir: "guest-kernel",
    sources: &["guest-kernel", "protocol"],
};

/// The built-in programs.
pub const PROGRAMS: Guest = Guest {
    package: "programs",
    dir: "programs",
    sources: &["programs", "protocol"],
};

/// The programs that only the tests run.
pub const TEST_GUESTS: Guest = Guest {
    package: "test-guests",
    dir: "tests/guests",
    sources: &["tests/guests", "programs", "protocol"],
};
