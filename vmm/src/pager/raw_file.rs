//! The few system calls a file pager makes, behind a trait so that tests can fail each of them.

use std::{fmt::Debug, io::IoSliceMut, os::fd::OwnedFd};

use rustix::{
    fs::SeekFrom,
    io::{Errno, ReadWriteFlags},
};

/// A file opened for reading.
pub(super) trait RawFile: Send + Sync + Debug {
    /// Reads at most `buffer.len()` bytes at `offset`; may block.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// As [`RawFile::read`], from the page cache only: `AGAIN` when the first byte is not there, a short count when
    /// a later one is not, `OPNOTSUPP` when the file system cannot promise that.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// The file's size now, in bytes.
    fn size(&self) -> Result<u64, Errno>;
}

impl RawFile for OwnedFd {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::pread(self, buffer, offset)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut slices = [IoSliceMut::new(buffer)];
        rustix::io::preadv2(self, &mut slices, offset, ReadWriteFlags::NOWAIT)
    }

    fn size(&self) -> Result<u64, Errno> {
        // A third of what `fstat` takes. Nobody reads at the descriptor's offset, which this moves.
        rustix::fs::seek(self, SeekFrom::End(0))
    }
}
