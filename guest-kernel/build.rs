//! Links the kernel by its script, when it is compiled for the guest.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    let (os, dir) = (
        env::var("CARGO_CFG_TARGET_OS"),
        env::var("CARGO_MANIFEST_DIR"),
    );
    if let (Ok("none"), Ok(dir)) = (os.as_deref(), dir) {
        println!("cargo::rustc-link-arg-bins=-T{dir}/link.ld");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
        println!("cargo::rustc-link-arg-bins=-znorelro");
        println!("cargo::rustc-link-arg-bins=--build-id=none");
    }
}
