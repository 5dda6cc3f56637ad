//! Which pages were written to, and which are mapped: `PAGEMAP_SCAN` on this process.
//!
//! The mark that write protection leaves in a page-table entry tells a page that was not written to since. Where writes are noted
//! (userfaultfd's `WP_ASYNC`), the kernel takes the mark away by itself when a write comes.
//!
//! See `Documentation/admin-guide/mm/pagemap.rst`.

use std::{ops::Range, os::fd::OwnedFd};

use linux_raw_sys::general as raw;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode},
};

use super::error::MemoryError;

/// `PAGEMAP_SCAN`.
const SCAN: Opcode = opcode::read_write::<raw::pm_scan_arg>(b'f', 16);

const WRITTEN: u64 = raw::PAGE_IS_WRITTEN as u64;
const PRESENT: u64 = raw::PAGE_IS_PRESENT as u64;

/// Ranges that one call finds at most.
const REGIONS: usize = 512;

/// This process's page tables, for looking at.
#[derive(Debug)]
pub(super) struct Pagemap {
    fd: OwnedFd,
}

impl Pagemap {
    /// Opens `/proc/self/pagemap`, and asks whether it can be scanned.
    pub(super) fn open() -> Result<Pagemap, MemoryError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::open("/proc/self/pagemap", flags, Mode::empty());
        let pagemap = opened.map(|fd| Pagemap { fd });
        let asked = pagemap.and_then(|pagemap| {
            let found = pagemap.scan(0..0, &mut [], WRITTEN);
            found.map(|_| pagemap)
        });
        asked.map_err(|source| MemoryError::Pagemap { source })
    }

    /// The parts of a range of host addresses, whole pages, that do not carry the mark of write protection. Absent pages are among them,
    /// and those that are in memory but not in the page table. That is so only if the kernel is asked for nothing else: some kernels leave pages
    /// out of the page table aside when they are asked for more. It is also twice as fast.
    pub(super) fn unmarked(&self, host: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        self.find(host, WRITTEN)
    }

    /// The parts of a range of host addresses, whole pages, that have a page in the page table.
    pub(super) fn mapped(&self, host: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        self.find(host, PRESENT)
    }

    /// The runs of pages of a category.
    fn find(&self, host: Range<u64>, category: u64) -> Result<Vec<Range<u64>>, Errno> {
        const EMPTY: raw::page_region = raw::page_region {
            start: 0,
            end: 0,
            categories: 0,
        };
        let mut regions = [EMPTY; REGIONS];
        let mut found: Vec<Range<u64>> = Vec::new();
        let mut at = host.start;
        while at < host.end {
            let (count, walked) = self.scan(at..host.end, &mut regions, category)?;
            for region in regions.iter().take(count) {
                match found.last_mut() {
                    Some(last) if last.end == region.start => last.end = region.end,
                    _ => found.push(region.start..region.end),
                }
            }
            if walked <= at {
                return Err(Errno::IO);
            }
            at = walked;
        }
        Ok(found)
    }

    /// One call: how many regions it found, and where it stopped.
    fn scan(
        &self,
        host: Range<u64>,
        regions: &mut [raw::page_region],
        category: u64,
    ) -> Result<(usize, u64), Errno> {
        let argument = raw::pm_scan_arg {
            size: size_of::<raw::pm_scan_arg>() as u64,
            flags: 0,
            start: host.start,
            end: host.end,
            walk_end: 0,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: regions.len() as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: category,
            category_anyof_mask: 0,
            return_mask: category,
        };
        // SAFETY: `Scan` describes PAGEMAP_SCAN, and the vector that it names is alive and exclusive.
        unsafe { ioctl(&self.fd, Scan(argument)) }
    }
}

/// The ioctl; answers with its return value, the regions found, and with where it stopped.
struct Scan(raw::pm_scan_arg);

// SAFETY: opcode and type belong together; the kernel writes to the argument and to the vector that it names.
unsafe impl Ioctl for Scan {
    type Output = (usize, u64);

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        SCAN
    }

    fn as_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        output: IoctlOutput,
        argument: *mut libc::c_void,
    ) -> Result<(usize, u64), Errno> {
        // SAFETY: this is what `as_ptr` gave, and the call is over.
        let argument = unsafe { &*argument.cast::<raw::pm_scan_arg>() };
        let count = usize::try_from(output).map_err(|_| Errno::IO)?;
        Ok((count, argument.walk_end))
    }
}
