//! `hello [WORD...]`: prints a greeting, and what it was given.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[zx::main]
fn main(startup: &zx::Startup<'_>) {
    zx::print!("hello from ring 3");
    for arg in startup.args().skip(1) {
        zx::print!(" {arg}");
    }
    zx::println!();
    for (name, handle) in startup.handles() {
        zx::println!("handle {name}: {handle:#x}");
    }
}
