//! Boots real guests: the test guests' images, one run as a test asks for it, and the verdicts a test guest prints.
//!
//! A test describes a [`Guest`], runs it, and looks at the [`Run`]. Whatever is not as it should be fails the test with the
//! guest's whole output, its end and its figures. Every run has a time limit inside the VM, and a watchdog outside.
mod guest;
mod guests;
mod marked;
mod pagers;
pub mod sources;
mod verdicts;

pub use guest::{Guest, Run, TIMEOUT};
pub use guests::test_program;
pub use marked::marked;
pub use pagers::Scripted;
pub use verdicts::Verdicts;

/// Whether tests that boot a guest are left out: only if somebody says so.
pub fn skips_kvm() -> bool {
    std::env::var_os("ZVMM_SKIP_KVM").is_some_and(|value| value == "1")
}

/// Ends the test here if guests are not to be booted.
#[macro_export]
macro_rules! needs_kvm {
    () => {
        if $crate::skips_kvm() {
            eprintln!("skipped: ZVMM_SKIP_KVM is set");
            return;
        }
    };
}
