//! What the core asks of memory: operations that it emits, and that the VMM performs while no lock is held.
//!
//! The core marks the range busy, emits the operation as [`crate::Work::Memory`], and publishes the new page states
//! when [`crate::Kernel::memory_done`] brings the result. Pages are counted from the start of the VMO.

use std::ops::Range;

use protocol::Status;

/// The storage of a VMO: its koid. Slices have none of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VmoId(pub u64);

/// One memory operation in flight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemoryOpId(pub u64);

/// A run of pages of one VMO.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pages {
    /// The VMO.
    pub vmo: VmoId,
    /// First page.
    pub first: u64,
    /// Number of pages, at least 1.
    pub count: u64,
}

impl Pages {
    /// The page numbers.
    pub fn range(&self) -> Range<u64> {
        self.first..self.first + self.count
    }
}

/// What a write to a write-protected page does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Writes {
    /// It is an exit: the core decides, and takes the protection away.
    Exit,
    /// It goes through and is noted; [`MemoryOp::Scan`] and [`MemoryOp::Evict`] tell of it.
    Noted,
    /// There are none: nothing is protected.
    Never,
}

/// The storage that a new VMO needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Storage {
    /// Its pages, so far.
    pub pages: u64,
    /// What writes to its protected pages do.
    pub writes: Writes,
    /// log2 of the alignment in bytes, if all of it is to lie in one piece of guest-physical space.
    pub contiguous: Option<u32>,
}

impl Storage {
    /// Of this many pages, without further needs.
    pub fn of(pages: u64) -> Storage {
        Storage {
            pages,
            writes: Writes::Exit,
            contiguous: None,
        }
    }
}

/// One operation on storage.
///
/// A page that a VMO *owns* is one of its storage; a clone may also *show* a page that the VMO it views owns, for as long as it
/// owns none there itself ([`crate::Work::View`]). The core knows which pages are owned by whom: it never asks to read a page that
/// is neither owned nor shown, to write one that is not owned, or to install one that is there.
///
/// Where a clone merged with the frozen VMO it viewed, pages are *inherited*: it owns them, but they still lie in the storage of the
/// other, which nobody else sees any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemoryOp {
    /// Make absent pages present, reading as zeros.
    Zero {
        /// The pages; a clone shows nothing there that is present.
        pages: Pages,
        /// Write-protected.
        protect: bool,
    },
    /// Move `from`'s (owned, not inherited) pages to the (absent) pages of another VMO that start at `to_first`; `from` is absent
    /// afterwards, and shows nothing there.
    Move {
        /// Source pages.
        from: Pages,
        /// Destination VMO.
        to: VmoId,
        /// First destination page.
        to_first: u64,
        /// Write-protect them at the destination.
        protect: bool,
    },
    /// Drop pages, owned or absent: they are absent afterwards, and the VMO shows nothing of others there any more.
    Decommit {
        /// The pages.
        pages: Pages,
        /// All of them are inherited: drop them where they lie.
        inherited: bool,
    },
    /// Drop the pages that were not written to since they were protected; answered with those that were and stay, as
    /// [`MemoryResult::Written`]. Only for VMOs whose writes are noted; for others, all are dropped.
    Evict(Pages),
    /// Give a clone pages of its own with the content that it shows there; they are not protected.
    Fork {
        /// The pages.
        pages: Pages,
        /// The pages are inherited: drop what was copied.
        inherited: bool,
    },
    /// Protect owned pages against writes, or take the protection away.
    Protect {
        /// The pages.
        pages: Pages,
        /// Protect.
        on: bool,
    },
    /// Tell which pages were written to since they were protected, as [`MemoryResult::Written`], and protect those again if asked
    /// to; if not, absent pages may be among those told. Only for VMOs whose writes are noted.
    Scan {
        /// The pages.
        pages: Pages,
        /// Protect again what was written.
        protect: bool,
    },
    /// Freeze what a VMO holds as a VMO of its own that nobody writes to: `into`, which is new, gets the storage of `vmo`, its owned
    /// pages (`owned`, ascending runs) and what it shows of others; `vmo` owns nothing afterwards and shows all the pages that
    /// `into` was made with. No access of the guest comes in between.
    Freeze {
        /// The VMO.
        vmo: VmoId,
        /// The frozen one.
        into: VmoId,
        /// Pages that `vmo` owns, those inherited not among them.
        owned: Vec<Range<u64>>,
    },
    /// Tell the guest-physical addresses of owned pages, as [`MemoryResult::Addresses`].
    Locate(Pages),
    /// Read bytes of owned or shown pages; answered with [`MemoryResult::Bytes`].
    Read {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        length: usize,
    },
    /// Write bytes to owned pages.
    Write {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Write zeros to owned pages.
    Clear {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Copy bytes from owned or shown pages to owned ones; the ranges may overlap only if they are equal.
    Copy {
        /// Source VMO.
        from: VmoId,
        /// Byte offset in the source.
        from_offset: u64,
        /// Destination VMO.
        to: VmoId,
        /// Byte offset in the destination.
        to_offset: u64,
        /// Bytes.
        length: u64,
    },
}

/// How a memory operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemoryResult {
    /// Performed.
    Done,
    /// The bytes of a [`MemoryOp::Read`].
    Bytes(Vec<u8>),
    /// The pages that a [`MemoryOp::Scan`] or [`MemoryOp::Evict`] found written, as ascending runs.
    Written(Vec<Range<u64>>),
    /// The addresses of a [`MemoryOp::Locate`], one a page.
    Addresses(Vec<u64>),
    /// Not performed (in part at most): [`Status::NO_MEMORY`] when the host has no memory, else
    /// [`Status::INTERNAL`].
    Failed(Status),
}
