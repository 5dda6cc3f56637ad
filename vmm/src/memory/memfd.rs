//! The file behind a VMO: a memfd, made when the VMO is first touched and closed when the VMO is
//! destroyed.
//!
//! It only grows: shrinking it would destroy forked pages of private mappings too, so cut ranges
//! are hole-punched. Chunks take ranges of it one after the other, whatever their place in the VMO,
//! so its length stays far below the 2^63 bytes that a file may have. Content is never read or
//! written through the descriptor: a read of a hole gives zeros and a write fills it, both unseen
//! by userfaultfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, fallocate, fstat, ftruncate, memfd_create},
    io::{Errno, retry_on_intr},
};
use zircon::VmoId;

use super::{
    error::MemoryError,
    units::{PAGE_SIZE, bytes},
};

/// The pages of one VMO.
#[derive(Debug)]
pub(super) struct Memfd {
    fd: OwnedFd,
    vmo: VmoId,
}

impl Memfd {
    /// An empty file. Its name shows in `/proc/PID/maps`.
    pub(super) fn create(vmo: VmoId) -> Result<Memfd, MemoryError> {
        let fd =
            memfd_create(format!("zvmm-vmo-{}", vmo.0), MemfdFlags::CLOEXEC).map_err(|source| {
                MemoryError::Chunk {
                    vmo,
                    step: "create its memfd",
                    source,
                    remedy: "a higher hard limit on open files (`ulimit -Hn`) allows more VMOs",
                }
            })?;
        Ok(Memfd { fd, vmo })
    }

    /// Makes the file at least `pages` long (never shorter than it was, given that callers only
    /// ever ask for more).
    pub(super) fn grow(&self, pages: u64) -> Result<(), MemoryError> {
        retry_on_intr(|| ftruncate(&self.fd, bytes(pages))).map_err(|source| MemoryError::Chunk {
            vmo: self.vmo,
            step: "grow its memfd",
            source,
            remedy: "a limit on file size (`ulimit -f`) must not be set",
        })
    }

    /// Drops pages, present or not, from the file and from every mapping of it, the guest's
    /// included.
    pub(super) fn punch(&self, first_page: u64, pages: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry_on_intr(|| fallocate(&self.fd, flags, bytes(first_page), bytes(pages)))
    }

    /// Pages that the file holds, in memory or swapped out.
    pub(super) fn pages(&self) -> u64 {
        const BLOCK: u64 = 512;
        // fstat of an open memfd has no way to fail.
        let blocks = fstat(&self.fd).map_or(0, |stat| stat.st_blocks);
        u64::try_from(blocks).unwrap_or(0) / (PAGE_SIZE / BLOCK)
    }
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
