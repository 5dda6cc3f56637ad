//! Why storage could not be had: each message names the thing and the remedy.

use protocol::Status;
use rustix::io::Errno;
use zircon::VmoId;

/// A failed operation of [`super::Memory`].
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The arena's guest-physical range cannot be used.
    #[error(
        "the arena {base:#x}..{end:#x} cannot be used: it must hold at least one whole GiB, aligned to a GiB"
    )]
    Geometry {
        /// First guest-physical address.
        base: u64,
        /// First address above.
        end: u64,
    },
    /// Not even a small arena could be reserved.
    #[error(
        "cannot reserve {bytes:#x} bytes of address space for the arena: {source}; \
         raise the limit on virtual memory (`ulimit -v`)"
    )]
    Reserve {
        /// The last size that was tried.
        bytes: u64,
        /// What mmap said.
        source: Errno,
    },
    /// No userfaultfd that catches the faults KVM takes.
    #[error(
        "cannot open userfaultfd: /dev/userfaultfd: {device}; system call: {syscall}; give this user read and \
         write access to /dev/userfaultfd, or run with CAP_SYS_PTRACE, or set vm.unprivileged_userfaultfd=1"
    )]
    OpenUserfaultfd {
        /// Why the device was of no use.
        device: Errno,
        /// Why the system call was of no use.
        syscall: Errno,
    },
    /// The kernel's userfaultfd lacks something that is needed.
    #[error(
        "this kernel's userfaultfd cannot do {missing} ({source}); Linux 6.7 or newer is needed"
    )]
    Features {
        /// Features that are not there.
        missing: String,
        /// What UFFDIO_API said.
        source: Errno,
    },
    /// The page map cannot be scanned.
    #[error(
        "cannot scan /proc/self/pagemap for written pages: {source}; Linux 6.7 or newer with /proc mounted \
         is needed"
    )]
    Pagemap {
        /// What the kernel said.
        source: Errno,
    },
    /// KVM did not take a memslot.
    #[error("cannot add memslot {index} at guest-physical {gpa:#x}: {source}")]
    Slot {
        /// Number of the GiB in the arena.
        index: u32,
        /// Its guest-physical address.
        gpa: u64,
        /// What KVM said.
        source: SlotError,
    },
    /// The arena has no free addresses.
    #[error(
        "the arena has no room for {pages} more pages of VMO {vmo}; a host with wider guest-physical \
         addresses or a higher `ulimit -v` gives more", vmo = .vmo.0
    )]
    ArenaFull {
        /// Whose chunk was to be placed.
        vmo: VmoId,
        /// Its length.
        pages: u64,
    },
    /// A step of making a chunk failed.
    #[error("VMO {vmo}: cannot {step}: {source}; {remedy}", vmo = .vmo.0)]
    Chunk {
        /// Whose chunk.
        vmo: VmoId,
        /// What was to be done.
        step: &'static str,
        /// What the kernel said.
        source: Errno,
        /// What helps.
        remedy: &'static str,
    },
    /// More contiguous space than one chunk can give.
    #[error(
        "VMO {vmo} is to have {pages} pages in one piece, aligned to 2^{align} bytes: at most 1 GiB can be had",
        vmo = .vmo.0
    )]
    Contiguous {
        /// The VMO.
        vmo: VmoId,
        /// Its pages.
        pages: u64,
        /// Log2 of their alignment in bytes.
        align: u32,
    },
    /// The page is past the end of the largest VMO.
    #[error("VMO {vmo} has no page {page:#x}: the largest VMO ends before it", vmo = .vmo.0)]
    OutOfRange {
        /// The VMO.
        vmo: VmoId,
        /// The page.
        page: u64,
    },
    /// No such VMO was created, or it was destroyed.
    #[error("VMO {vmo} has no storage: it was never created, or is destroyed", vmo = .0.0)]
    Unknown(VmoId),
    /// A VMO that has chunks already cannot come to show another.
    #[error("VMO {vmo} is in use already: what it shows of others is said before", vmo = .0.0)]
    Placed(VmoId),
    /// The VMO was created already.
    #[error("VMO {vmo} has storage already", vmo = .0.0)]
    Exists(VmoId),
}

/// Why a memslot could not be added: whatever the caller's machine says.
pub type SlotError = Box<dyn std::error::Error + Send + Sync>;

impl MemoryError {
    /// What the guest is told: a lack of host resources is [`Status::NO_MEMORY`].
    pub fn status(&self) -> Status {
        match self {
            MemoryError::OutOfRange { .. } => Status::OUT_OF_RANGE,
            MemoryError::Unknown(_) | MemoryError::Exists(_) | MemoryError::Placed(_) => {
                Status::INTERNAL
            }
            _ => Status::NO_MEMORY,
        }
    }
}
