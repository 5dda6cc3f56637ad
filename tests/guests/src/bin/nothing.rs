//! Does nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use zx as _;

#[cfg(not(target_os = "none"))]
fn main() {}
