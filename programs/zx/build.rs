//! Tells the build scripts of programs, as `DEP_ZX_LINK_SCRIPT`, where their linker script is.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    if let Ok(dir) = env::var("CARGO_MANIFEST_DIR") {
        println!("cargo::metadata=link_script={dir}/link.ld");
    }
}
