//! The Rust part of the SDK: the crates that programs depend on, as packages outside a workspace.

use std::path::Path;

use anyhow::Result;

use crate::tree::Tree;

/// Adds `rust/zx` and `rust/protocol`.
pub(crate) fn add(tree: &mut Tree, workspace: &Path) -> Result<()> {
    tree.add_dir("rust/zx", &workspace.join("programs/zx"))?;
    tree.add_dir("rust/protocol", &workspace.join("protocol"))
}
