//! What comes out of the core: things for the VMM to do, in order.

use protocol::exception::kind;
use protocol::{GeneralRegs, PAGE_SIZE, PolicyCode, Status};

use crate::ids::{ProcessId, ThreadId, Token, VmoId};
use crate::mappings::MappedRun;
use crate::memory::{MemoryOp, MemoryOpId, Pages, Storage};
use crate::watch::Event;

/// One thing to do. The VMM drains them after every call into the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Work {
    /// Perform the operation with no lock held, then call [`crate::Kernel::memory_done`].
    Memory(MemoryOpId, MemoryOp),
    /// A VMO with storage of its own is new. Comes before any operation on it.
    Created {
        /// The VMO.
        vmo: VmoId,
        /// What it needs.
        storage: Storage,
    },
    /// A clone, which is new, shows pages of another VMO: `vmo`'s page `first` is `of`'s page `at`, and so on for `count` pages. Comes
    /// before any operation on them. `of` is a pager's VMO, or was frozen.
    View {
        /// The clone's pages.
        pages: Pages,
        /// The VMO that it shows.
        of: VmoId,
        /// First page there.
        at: u64,
    },
    /// A VMO has grown and has this many pages now. Comes before any operation on them.
    Sized {
        /// The VMO.
        vmo: VmoId,
        /// Its pages.
        pages: u64,
    },
    /// A parked operation ended; it may be the very one whose start asked for this work.
    Complete(Completion),
    /// A VMO that the VMM provides needs these pages: [`crate::Kernel::supply_begin`] or
    /// [`crate::Kernel::supply_fail`].
    HostRead(Pages),
    /// Run a new thread.
    StartThread {
        /// The thread.
        thread: ThreadId,
        /// Its process.
        process: ProcessId,
        /// Its registers.
        registers: Box<GeneralRegs>,
    },
    /// Take the thread off its vCPU, then call [`crate::Kernel::thread_stopped`].
    StopThread(ThreadId),
    /// Let a stopped thread go on, with these registers if there are any.
    GoThread(ThreadId, Option<Box<GeneralRegs>>),
    /// The thread is no more: never run it again.
    EndThread(ThreadId),
    /// Set a segment base of the calling thread.
    SetBase {
        /// The thread.
        thread: ThreadId,
        /// gs (else fs).
        gs: bool,
        /// The base.
        value: u64,
    },
    /// Mappings in `[start, end)` changed: drop what the page tables say about them on every vCPU that may run
    /// the process, then call [`crate::Kernel::flush_done`].
    Flush {
        /// The process.
        process: ProcessId,
        /// First address.
        start: u64,
        /// End address.
        end: u64,
        /// The operation that waits for it.
        token: Token,
    },
    /// Something happened to a thread that a debugger may wait for: [`crate::Kernel::debugged_threads`] tells.
    DebugEvent,
    /// A thread raised an exception that nobody handles; its process ends.
    Exception(Exception),
    /// The process ended with this code.
    ProcessEnded {
        /// The process.
        process: ProcessId,
        /// Its return code.
        code: i64,
    },
    /// Bytes for the VMM's standard output.
    DebugWrite(Vec<u8>),
    /// The VMO and its storage are no more.
    Free(VmoId),
    /// For those who watch ([`crate::Kernel::watch`]): something happened.
    Tell(Event),
}

/// The end of a parked operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// The operation.
    pub token: Token,
    /// Its thread.
    pub thread: ThreadId,
    /// How it ended.
    pub result: OpResult,
    /// Before the thread goes on it is to be stopped, as by [`Work::StopThread`]: it executes nothing in between.
    pub stop: bool,
}

/// How an operation of a thread ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpResult {
    /// A system call: its value for rax.
    Returned(u64),
    /// A page fault: the access may be tried again.
    Retry,
    /// The operation was dropped, because its thread is to stop: when it goes on, it executes the same instruction again.
    Restart,
    /// The operation's thread has ended, or will (an exception was raised).
    Gone,
}

/// An exception and everything its report needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The thread.
    pub thread: ThreadId,
    /// Its name.
    pub thread_name: String,
    /// Its process.
    pub process: ProcessId,
    /// The process's name.
    pub process_name: String,
    /// What happened.
    pub kind: ExceptionKind,
    /// The registers, if the thread was stopped before anybody knew that nobody handles it.
    pub registers: Option<Box<GeneralRegs>>,
    /// The pages that the process had mapped and that were there, in the order of their addresses.
    pub present: Vec<MappedRun>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExceptionKind {
    /// `ZX_EXCP_FATAL_PAGE_FAULT`.
    PageFault {
        /// The address.
        address: u64,
        /// Kind of access.
        access: Access,
        /// Why: NOT_FOUND no mapping, ACCESS_DENIED permission, OUT_OF_RANGE past the VMO's end, BAD_STATE
        /// detached, NO_MEMORY, or the code the pager failed with.
        status: Status,
        /// The VMO mapped there, if any, its name and the byte offset.
        vmo: Option<(VmoId, String, u64)>,
    },
    /// Another processor exception, by its vector.
    Processor {
        /// Vector.
        vector: u8,
        /// Error code.
        error: u64,
    },
    /// `ZX_EXCP_POLICY_ERROR`.
    Policy(PolicyCode),
    /// The VMM could not explain what the thread did; the text says what was seen.
    Unexplained(String),
}

/// Kind of memory access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Instruction fetch.
    Execute,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "execute",
        })
    }
}

impl ExceptionKind {
    /// Zircon's number of the exception type.
    pub fn number(&self) -> u32 {
        match self {
            ExceptionKind::PageFault { .. } => kind::FATAL_PAGE_FAULT,
            ExceptionKind::Processor { vector: 6, .. } => kind::UNDEFINED_INSTRUCTION,
            ExceptionKind::Processor { vector: 3, .. } => kind::SW_BREAKPOINT,
            ExceptionKind::Processor { vector: 1, .. } => kind::HW_BREAKPOINT,
            ExceptionKind::Processor { vector: 17, .. } => kind::UNALIGNED_ACCESS,
            ExceptionKind::Policy(_) => kind::POLICY_ERROR,
            ExceptionKind::Processor { .. } | ExceptionKind::Unexplained(_) => kind::GENERAL,
        }
    }

    /// Whether it is #DB: a step of a thread whose trap flag is set.
    pub(crate) fn is_step(&self) -> bool {
        matches!(self, ExceptionKind::Processor { vector: 1, .. })
    }

    /// Zircon's name of the exception type.
    pub fn name(&self) -> &'static str {
        kind::name(self.number())
    }
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "exception  {}", self.kind.name())?;
        writeln!(
            f,
            "process    {:?} (koid {})",
            self.process_name, self.process.0
        )?;
        writeln!(
            f,
            "thread     {:?} (koid {})",
            self.thread_name, self.thread.0
        )?;
        match &self.kind {
            ExceptionKind::PageFault {
                address,
                access,
                status,
                vmo,
            } => {
                writeln!(f, "address    {address:#x} ({access})")?;
                match vmo {
                    Some((id, name, offset)) => {
                        let page = offset / PAGE_SIZE;
                        writeln!(
                            f,
                            "vmo        {name:?} (koid {}), offset {offset:#x}, page {page}",
                            id.0
                        )?;
                    }
                    None => writeln!(f, "vmo        none is mapped there")?,
                }
                write!(f, "status     {status}")
            }
            ExceptionKind::Processor { vector, error } => {
                write!(
                    f,
                    "vector     {vector} ({}), error code {error:#x}",
                    vector_name(*vector)
                )
            }
            ExceptionKind::Policy(code) => {
                write!(f, "policy     {} ({})", code.name(), code.number())
            }
            ExceptionKind::Unexplained(what) => write!(f, "seen       {what}"),
        }
    }
}

fn vector_name(vector: u8) -> &'static str {
    match vector {
        0 => "#DE divide error",
        1 => "#DB debug",
        3 => "#BP breakpoint",
        4 => "#OF overflow",
        5 => "#BR bound range",
        6 => "#UD invalid opcode",
        7 => "#NM no device",
        10 => "#TS invalid TSS",
        11 => "#NP segment not present",
        12 => "#SS stack segment",
        13 => "#GP general protection",
        14 => "#PF page fault",
        16 => "#MF x87 error",
        17 => "#AC alignment check",
        19 => "#XM SIMD error",
        _ => "reserved",
    }
}
