//! The ABI between zvmm, its guest kernel and guest programs: numbers, layouts and names, nothing else.
//!
//! Two neighbours meet here:
//!
//! * a **program** (ring 3) and the VMM: [`syscall`] numbers, [`Status`], [`Rights`], [`Signals`], port
//!   packets, info records, and the start-up page. Names and values are Zircon's; the system-call numbers are ours
//!   (Zircon keeps them private to its vDSO).
//! * the **guest kernel** (ring 0) and the VMM: the [`boot`] memory map, the [`vcpu`] area with its mailbox
//!   and thread contexts, and the hypercall port.
//!
//! All layouts are little endian and `repr(C)`; their sizes and offsets are asserted at compile time. Changing one of
//! them changes the ABI: raise [`ABI_VERSION`] with it.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod exception;
pub mod info;
pub mod maps;
mod object;
pub mod options;
mod packet;
pub mod policy;
pub mod regs;
mod rights;
mod signals;
mod startup;
mod status;
pub mod syscall;
pub mod vcpu;

pub use object::{Koid, ObjectType, RawHandle, WaitItem};
pub use packet::{PacketKind, PageRequestCommand, PortPacket};
pub use policy::{PolicyAction, PolicyCode, PolicyCondition};
pub use regs::GeneralRegs;
pub use rights::Rights;
pub use signals::Signals;
pub use startup::{
    STARTUP_VERSION, StartupHandle, StartupHeader, handle_name as startup_handle_name,
};
pub use status::Status;

/// Version of everything in this crate that a guest kernel or a program was built against.
pub const ABI_VERSION: u32 = 5;

/// Bytes in a page: the unit of residency, of every VMO and of every page request.
pub const PAGE_SIZE: u64 = 4096;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

/// Longest object name in bytes, the terminating NUL included (`ZX_MAX_NAME_LEN`).
pub const MAX_NAME_LEN: usize = 32;

/// Deadline that never comes (`ZX_TIME_INFINITE`).
pub const TIME_INFINITE: i64 = i64::MAX;

/// Deadline that is always past (`ZX_TIME_INFINITE_PAST`).
pub const TIME_INFINITE_PAST: i64 = i64::MIN;

/// Largest VMO in bytes: 2^64 - 64 pages, the limit Zircon's own tests assert.
pub const MAX_VMO_SIZE: u64 = 0xFFFF_FFFF_FFFC_0000;

/// Lowest user address a mapping may have.
pub const USER_BASE: u64 = 0x20_0000;

/// First address above the user half (exclusive end of the root VMAR).
pub const USER_END: u64 = 0x7FFF_FFFF_F000;
