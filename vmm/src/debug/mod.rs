//! What debuggers get: a program that runs (`gdb`), and what is left of one that crashed.

mod backtrace;
mod core_file;
mod gdb;

use protocol::GeneralRegs;
use zircon::{ExceptionKind, MappedRun, ThreadId};

pub(crate) use backtrace::backtrace;
pub(crate) use core_file::CoreFile;
pub use gdb::GdbServer;
pub(crate) use gdb::event;

/// A program that an exception ended: its last moment.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    /// The program's name.
    pub program: String,
    /// The thread.
    pub thread: ThreadId,
    /// What happened to it.
    pub kind: ExceptionKind,
    /// Its registers, if they are known.
    pub registers: Option<GeneralRegs>,
    /// The pages that were mapped and there.
    pub present: Vec<MappedRun>,
}

impl Crash {
    fn signal(&self) -> (i32, u64) {
        Crash::signal_of(&self.kind)
    }

    /// Number and address of the Unix signal that is the nearest to what happened.
    fn signal_of(kind: &ExceptionKind) -> (i32, u64) {
        match kind {
            ExceptionKind::PageFault { address, .. } => (libc::SIGSEGV, *address),
            ExceptionKind::Processor { vector, .. } => match vector {
                0 | 16 | 19 => (libc::SIGFPE, 0),
                1 | 3 => (libc::SIGTRAP, 0),
                6 => (libc::SIGILL, 0),
                17 => (libc::SIGBUS, 0),
                _ => (libc::SIGSEGV, 0),
            },
            ExceptionKind::Policy(_) => (libc::SIGSYS, 0),
            ExceptionKind::Unexplained(_) => (libc::SIGKILL, 0),
        }
    }
}
