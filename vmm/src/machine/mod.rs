//! The machine: KVM, and nothing of Zircon.
//!
//! It owns the VM, its guest RAM and its vCPUs, brings them into the state the guest kernel expects, and turns what KVM
//! reports into [`Exit`]s. It decides nothing: what a system call or a fault means is the business of those above.
//!
//! ```text
//! caps  -> Machine::new(kernel image) -> Vcpu::run -> Exit -> (caller: registers, Area, answer, inject) -> Vcpu::run ...
//!                                            ^
//!                                        KickHandle (other threads)
//! ```
//! A vCPU belongs to the thread that runs it; [`Area`] and registers are touched only between two runs, on that thread.
//! Other threads have [`KickHandle`] and [`Memslots`].

mod area;
mod boot;
pub mod caps;
mod cpuid;
mod error;
mod exit;
mod image;
mod kick;
mod ram;
mod registers;
pub mod tables;
mod vcpu;
mod vm;

pub use area::{Area, new_context};
pub use boot::KERNEL_ROOT_ENTRY;
pub use caps::{HostClass, HostFacts};
pub use error::MachineError;
pub use exit::{Exit, ExitReport, MmioAccess};
pub use image::{ImageError, KernelImage};
pub use kick::KickHandle;
pub use kvm_bindings::kvm_regs as Registers;
pub use ram::Ram;
pub(crate) use registers::{in_machine, in_protocol};
pub use vcpu::{Injection, Left, PageFault, SegmentBases, Vcpu};
pub use vm::{Machine, MachineConfig, Memslots};
