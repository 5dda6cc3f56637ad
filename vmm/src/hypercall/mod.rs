//! Between the machine and the object core: hypercalls and faults in, answers and completions out.
//!
//! ```text
//! KVM_RUN returns -> run.rs: what kind of exit?
//!   system call    -> syscall.rs: core.syscall --------------------------+
//!   fault          -> fault.rs: decode, which page? -> core.page_fault --+
//!   guest #PF      -> fault.rs, spaces.rs: link tables, enter again      |
//!   exception      -> kernel_call.rs, for a #PF that needs more:         |
//!                     core.page_fault, spaces.rs: link tables -----------+
//!                                                                        v
//!               work.rs: drain what the core asks for (memory, host pagers, flushes, completions)
//!                                                                        v
//!               own call ended?  answer in rax / enter again : park the guest thread
//!               mailbox.rs, slots.rs: entries for the guest kernel -> KVM_RUN
//! ```
//! Nothing here decides what a call means (that is `zircon`) or how memory is kept (that is [`crate::memory`]).

mod ahead;
mod debugger;
mod emulated;
mod explain;
mod fault;
mod kernel_call;
mod mailbox;
pub mod operands;
mod report;
mod run;
mod shared;
mod slots;
mod spaces;
mod supply;
mod switch;
mod syscall;
mod work;

pub use run::RunError;
pub use shared::Vm;

pub(crate) use run::Runner;
pub(crate) use shared::{HostSide, Parts};
pub(crate) use supply::HostVmo;
