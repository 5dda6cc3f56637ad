//! One memory file.
//!
//! It only grows: shrinking it would destroy forked pages of private mappings too, so cut ranges are hole-punched. Content is not read
//! or written through the descriptor - a read of a hole gives zeros and a write fills it, both unseen by userfaultfd - but for
//! [`Memfd::fill`], which is for pages that are not mapped.

use std::{
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, SeekFrom, fallocate, fstat, ftruncate, memfd_create, seek},
    io::{Errno, retry_on_intr},
};
use zircon::VmoId;

use super::{
    error::MemoryError,
    units::{PAGE_SHIFT, PAGE_SIZE, bytes},
};

/// A file in memory.
#[derive(Debug)]
pub(super) struct Memfd {
    fd: OwnedFd,
    vmo: VmoId,
    /// Its length in pages.
    length: Mutex<u64>,
}

impl Memfd {
    /// An empty file for the pages of `vmo`. Its name shows in `/proc/PID/maps`.
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
        Ok(Memfd {
            fd,
            vmo,
            length: Mutex::default(),
        })
    }

    /// Makes the file at least `pages` long.
    pub(super) fn grow(&self, pages: u64) -> Result<(), MemoryError> {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        if pages <= *length {
            return Ok(());
        }
        retry_on_intr(|| ftruncate(&self.fd, bytes(pages))).map_err(|source| {
            self.failed(
                "grow its memfd",
                source,
                "a limit on file size (`ulimit -f`) must not be set",
            )
        })?;
        *length = pages;
        Ok(())
    }

    /// Drops pages, present or not, from the file and from every mapping of it.
    pub(super) fn punch(&self, first_page: u64, pages: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry_on_intr(|| fallocate(&self.fd, flags, bytes(first_page), bytes(pages)))
    }

    /// Writes `pages` pages from host address `from` on.
    pub(super) fn fill(&self, first_page: u64, pages: u64, from: u64) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < bytes(pages) {
            let source = std::ptr::with_exposed_provenance((from + done) as usize);
            let (len, at) = (
                (bytes(pages) - done) as usize,
                (bytes(first_page) + done) as i64,
            );
            // SAFETY: the kernel only reads from there, and checks what it reads.
            let written = unsafe { libc::pwrite(self.fd.as_raw_fd(), source, len, at) };
            match u64::try_from(written) {
                Ok(0) => return Err(self.failed("fill its memfd", Errno::IO, "this is a bug")),
                Ok(written) => done += written,
                Err(_) => {
                    let error = std::io::Error::last_os_error();
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    if errno != Errno::INTR {
                        let remedy = "the host has no memory for the pages of a clone";
                        return Err(self.failed("fill its memfd", errno, remedy));
                    }
                }
            }
        }
        Ok(())
    }

    /// The pages that the file holds in a range, in memory or swapped out.
    pub(super) fn present(&self, pages: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        let end = bytes(pages.end);
        let mut found = Vec::new();
        let mut at = bytes(pages.start);
        while at < end {
            let start = match seek(&self.fd, SeekFrom::Data(at)) {
                Ok(start) if start < end => start,
                // No data up to the end of the file.
                Ok(_) | Err(Errno::NXIO) => break,
                Err(errno) => return Err(errno),
            };
            at = seek(&self.fd, SeekFrom::Hole(start))?.min(end);
            found.push(start >> PAGE_SHIFT..at >> PAGE_SHIFT);
        }
        Ok(found)
    }

    /// Pages that the file holds, in memory or swapped out.
    pub(super) fn pages(&self) -> u64 {
        const BLOCK: u64 = 512;
        // fstat of an open memfd has no way to fail.
        let blocks = fstat(&self.fd).map_or(0, |stat| stat.st_blocks);
        u64::try_from(blocks).unwrap_or(0) / (PAGE_SIZE / BLOCK)
    }

    fn failed(&self, step: &'static str, source: Errno, remedy: &'static str) -> MemoryError {
        MemoryError::Chunk {
            vmo: self.vmo,
            step,
            source,
            remedy,
        }
    }
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
