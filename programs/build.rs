//! Links programs by the script of the `zx` crate, when they are compiled for the guest.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (os, script) = (
        env::var("CARGO_CFG_TARGET_OS"),
        env::var("DEP_ZX_LINK_SCRIPT"),
    );
    if let (Ok("none"), Ok(script)) = (os.as_deref(), script) {
        println!("cargo::rustc-link-arg-bins=-T{script}");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
        println!("cargo::rustc-link-arg-bins=-znorelro");
        println!("cargo::rustc-link-arg-bins=--build-id=none");
    }
}
