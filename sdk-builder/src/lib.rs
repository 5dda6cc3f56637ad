//! Packs the SDK: what programs are written with outside this tree. `vmm/build.rs` embeds the archive in the `zvmm` binary, and
//! `zvmm sdk --path` unpacks it.
//!
//! ```text
//! c/include      headers                        from programs/c/include
//! c/lib          libzx.a, crt0.o, program.ld    compiled from programs/c/src
//! c/cmake        the toolchain file             from programs/c/cmake
//! rust           the crates zx and protocol     from programs/zx and protocol
//! examples       programs to begin with         from programs/examples
//! ```
//!
//! Each part has its file, and adds what it consists of to the `Tree`.
#![forbid(unsafe_code)]

mod c;
mod rust;
mod tree;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use tree::Tree;

/// Packs the SDK into `sdk.tar.gz` in `out_dir`. The environment is that of a build script: the crate that it belongs to
/// gets `ZVMM_SDK_NAME`, the name of the folder to unpack to, which no other content has.
///
/// # Errors
///
/// There is no C compiler, or a file cannot be read or written.
pub fn pack(workspace: &Path, out_dir: &Path) -> Result<()> {
    let programs = workspace.join("programs");
    let mut tree = Tree::default();
    c::add(&mut tree, &programs.join("c"), out_dir)?;
    rust::add(&mut tree, workspace)?;
    tree.add_dir("examples", &programs.join("examples"))?;

    let archive = tree.pack()?;
    let path = out_dir.join("sdk.tar.gz");
    fs::write(&path, &archive).with_context(|| format!("could not write {}", path.display()))?;
    let hash: String = Sha256::digest(&archive)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    println!("cargo::rustc-env=ZVMM_SDK_NAME=sdk-{version}-{hash}");
    Ok(())
}
