//! Has programs find their linker script: by its name `zx.ld`, and, for build scripts, its path in `DEP_ZX_LINK_SCRIPT`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=zx.ld");
    if let Ok(dir) = env::var("CARGO_MANIFEST_DIR") {
        println!("cargo::rustc-link-search=native={dir}");
        println!("cargo::metadata=link_script={dir}/zx.ld");
    }
}
