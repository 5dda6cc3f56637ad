//! System calls and start-up for programs that run in ring 3 of a zvmm guest.
//!
//! A program is a `no_std` binary:
//!
//! ```text
//! #![no_std]
//! #![no_main]
//!
//! #[zx::main]
//! fn main(startup: &zx::Startup<'_>) {
//!     zx::println!("hello, {}", startup.arg(1).unwrap_or("world"));
//! }
//! ```
//!
//! `extern crate alloc` gives it `Box`, `Vec` and the like, on a heap that is a VMO. A panic prints its message with file and
//! line, and ends the program with code 101; a start-up page of another version ends it with 102.
//!
//! The layers, lowest first: [`sys`] has one thin function per system call, which passes any values on; the object types
//! ([`Vmo`], [`Pager`], [`Port`], [`Vmar`], [`Thread`], [`Process`]) own their handles and are named like Fuchsia's Rust
//! bindings; [`Mapping`], [`thread`] and [`sync`] put the two together. All of [`sys`] has a method but
//! `zx_handle_close_many`, for handles close one by one when they are dropped, and `zx_thread_exit`, for a thread ends when its
//! closure returns, which alone drops what it owns.
//!
//! The crate also compiles for the host, so that its logic is tested there; a system call made on the host is a
//! mistake (it would reach the host's kernel), and no test makes one.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod channel;
mod device;
mod event;
mod exception;
pub mod futex;
mod handle;
mod heap;
mod job;
pub mod main_function;
mod mapping;
mod pager;
mod panic;
mod port;
pub mod print;
mod start;
pub mod sync;
pub mod sys;
mod task;
pub mod testing;
pub mod thread;
pub mod time;
mod vmar;
mod vmo;

pub use channel::{Channel, MessageSize};
pub use device::{Bti, Iommu, Pmt, Resource};
pub use event::{Event, WaitItem, object_wait_many};
pub use exception::Exception;
pub use handle::{AsHandleRef, Handle, HandleBased, Unowned};
pub use job::{Job, JobPolicyOption, policy_entry};
pub use main_function::{Main, Termination};
pub use mapping::Mapping;
pub use pager::{DirtyRangeCount, Pager, PagerOp, PagerWritebackBeginOptions, writeback_options};
pub use port::Port;
pub use protocol::exception::{self as exceptions, ExceptionInfo, ExceptionReport};
pub use protocol::info::{
    InfoBti as BtiInfo, InfoHandleBasic as HandleBasicInfo, InfoJob as JobInfo,
    InfoProcess as ProcessInfo, InfoResource as ResourceInfo, InfoThread as ThreadInfo,
    InfoVmo as VmoInfo, VmoInfoFlags, VmoLockState, thread_state,
};
pub use protocol::maps::{
    InfoMaps as MapInfo, InfoMapsMapping as MappingDetails, InfoVmar as VmarInfo,
};
pub use protocol::options::{
    BtiOptions, CachePolicy, ChildOptions as VmoChildOptions, VmOptions as VmarFlags, VmarOp,
    VmoDirtyRange, VmoOp, VmoOptions, WaitAsyncOptions as WaitAsyncOpts, property,
};
pub use protocol::policy::{OVERRIDE_ALLOW, OVERRIDE_DENY, PolicyBasicV2};
pub use protocol::{
    GeneralRegs, Koid, MAX_NAME_LEN, MAX_VMO_SIZE, ObjectType, PAGE_SIZE, PacketKind,
    PageRequestCommand, PolicyAction, PolicyCondition, PortPacket, RawHandle, Rights, Signals,
    Status,
};
pub use start::{Startup, StartupError, run, startup, take_startup_handle};
pub use task::{Process, Task, Thread};
pub use vmar::{Vmar, process_self, vmar_root_self};
pub use vmo::Vmo;
pub use zx_macros::main;

/// The names of the crate `protocol`, which this tree's own test programs use.
#[doc(hidden)]
pub use protocol::{
    info::{InfoHandleBasic, InfoProcess, InfoVmo},
    options::{ChildOptions, VmOptions, WaitAsyncOptions},
};
