//! What the core asks of memory: operations that it emits, and that the VMM performs while no lock is held.
//!
//! The core marks the range busy, emits the operation as [`crate::Work::Memory`], and publishes the new page states
//! when [`crate::Kernel::memory_done`] brings the result. Pages are counted from the start of the VMO.

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
    pub fn range(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }
}

/// One operation on storage. The core knows which pages are there: it never asks to read or write an absent one, nor to
/// install a present one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemoryOp {
    /// Make absent pages present, reading as zeros.
    Zero(Pages),
    /// Move `from`'s (present) pages to the (absent) pages of another VMO that start at `to_first`; `from` is absent
    /// afterwards.
    Move {
        /// Source pages.
        from: Pages,
        /// Destination VMO.
        to: VmoId,
        /// First destination page.
        to_first: u64,
    },
    /// Drop pages, present or absent: they are absent afterwards.
    Decommit(Pages),
    /// Read bytes of present pages; answered with [`MemoryResult::Bytes`].
    Read {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        length: usize,
    },
    /// Write bytes to present pages.
    Write {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Write zeros to present pages.
    Clear {
        /// The VMO.
        vmo: VmoId,
        /// Byte offset.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Copy bytes between present pages; the ranges may overlap only if they are equal.
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
    /// Not performed (in part at most): [`Status::NO_MEMORY`] when the host has no memory, else
    /// [`Status::INTERNAL`].
    Failed(Status),
}
