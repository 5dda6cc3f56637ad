//! The guest kernel's image: entry stubs, the instructions behind [`guest_kernel::Cpu`], and the panic report.
//!
//! On the host the binary is empty; see the library for the logic and its tests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod hardware;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod port;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the guest kernel runs inside a zvmm virtual machine only");
}
