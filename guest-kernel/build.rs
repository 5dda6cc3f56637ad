//! Hands the linker script to the guest target's link.
fn main() {
    let target_os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=link.ld");
    if target_os == "none" {
        println!("cargo::rustc-link-arg-bins=-T{root}/link.ld");
    }
}
