//! Zircon's object model as a deterministic state machine: no KVM, no threads, no clock, no I/O.
//!
//! One [`Kernel`] is all the state of one VM. The VMM feeds it system calls, page faults, the time and the ends of memory
//! operations; after each call it drains [`Kernel::next_work`]. Whatever may have to wait is a resumable operation, known by
//! a [`Token`] and driven by steps (`op.rs`).
//!
//! | file | subject |
//! |---|---|
//! | `kernel` | all state, the way in and out |
//! | `handle`, `lives`, `header` | handles; lives of objects; what all objects have |
//! | `dispatch` | system-call numbers to calls; handle calls |
//! | `op`, `memory_ops` | resumable operations; memory operations and what their end publishes |
//! | `vmo`, `pages`, `zero_slots`, `intervals` | one VMO; the state of its pages, with and without storage |
//! | `room`, `reclaim`, `candidates`, `in_use`, `discard` | the limit on pages; giving pages back; those that can go; those that are spared; discardable VMOs |
//! | `look`, `ready` | what a VMO shows, through the VMOs it was cloned from; making pages ready for an operation |
//! | `vmo_calls`, `resize`, `stream_size`, `transfer` | create, size; set_size; content size; read and write |
//! | `children`, `clone` | children of VMOs and the tree of them; making clones |
//! | `frozen`, `conceal` | what clones share; hiding what they showed |
//! | `transfer_data` | moving pages between VMOs |
//! | `attribution` | whose the committed pages are |
//! | `resource`, `pin`, `device_vmo`, `cache` | resources and BTIs; pinning; contiguous and physical VMOs; cache policy, executable VMOs |
//! | `range_ops`, `zeroing` | op_range; making ranges zero |
//! | `source`, `pager_calls`, `detach`, `supply` | page requests; pagers; the end of a page source; supply_pages |
//! | `pager_ops`, `dirty`, `writeback`, `dirty_query` | pager_op_range; what was written to; writing it back; asking for it |
//! | `channel`, `unreachable` | channels; messages that nobody can read any more |
//! | `port`, `signals`, `wait`, `futex` | ports; signals and events, and who is told of them; waiting for them; futexes |
//! | `vmar`, `map`, `vmar_range` | the tree of VMARs; map, unmap and protect; vmar_op_range |
//! | `mappings`, `flush` | the table of mappings; waiting for page tables |
//! | `user` | what stands behind an address, touching it, copying call data |
//! | `job`, `policy` | jobs; what their policies say, and what becomes of a call that meets one |
//! | `process`, `task`, `suspend`, `exception` | processes; threads; suspended threads and registers; exceptions and their channels |
//! | `debugger` | a debugger outside the VM |
//! | `watch` | telling those who watch what happens |
//! | `info`, `task_info`, `maps` | get_info and properties; get_info on processes and threads; on address spaces |
#![forbid(unsafe_code)]

mod attribution;
mod cache;
mod candidates;
mod channel;
mod children;
mod clone;
mod conceal;
mod debugger;
mod detach;
mod device_vmo;
mod dirty;
mod dirty_query;
mod discard;
mod dispatch;
mod exception;
mod flush;
mod frozen;
mod futex;
mod handle;
mod header;
mod ids;
mod in_use;
mod info;
mod intervals;
mod job;
mod kernel;
mod lives;
mod look;
mod map;
mod mappings;
mod maps;
mod memory;
mod memory_ops;
mod op;
mod pager_calls;
mod pager_ops;
mod pages;
mod pin;
mod policy;
mod port;
mod process;
mod range_ops;
mod ready;
mod reclaim;
mod resize;
mod resource;
mod room;
mod sequence;
mod signals;
mod source;
mod stream_size;
mod supply;
mod suspend;
mod table;
mod task;
mod task_info;
mod transfer;
mod transfer_data;
mod unreachable;
mod user;
mod vmar;
mod vmar_range;
mod vmo;
mod vmo_calls;
mod wait;
mod watch;
mod work;
mod writeback;
mod zero_slots;
mod zeroing;

pub use debugger::{DebuggedThread, Running};
pub use ids::{
    BtiId, ChannelId, EventId, ExceptionId, IommuId, JobId, ObjectRef, PagerId, PmtId, PortId,
    ProcessId, ResourceId, SuspendId, ThreadId, Token, VmarId,
};
pub use intervals::Intervals;
pub use kernel::{FaultOutcome, Kernel, Place, SyscallOutcome, VmoUsage};
pub use mappings::MappedRun;
pub use memory::{MemoryOp, MemoryOpId, MemoryResult, Pages, Storage, VmoId, Writes};
pub use policy::{JobPolicy, POLICY_KILL};
pub use process::{EXCEPTION_KILL, NewProcess, SYSCALL_KILL};
pub use reclaim::Reclaimed;
pub use resource::ResourceKind;
pub use sequence::{MAX_RUN, Sequence};
pub use watch::{Arrival, Event, Supplier};
pub use work::{Access, Completion, Exception, ExceptionKind, OpResult, Work};
