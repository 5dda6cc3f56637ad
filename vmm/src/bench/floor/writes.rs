//! Windows whose pages are all there and protected against writes.

use std::io;
use std::os::fd::AsRawFd;

use linux_raw_sys::general as raw;

use super::pages::{Memory, PAGE, Window, call, memfd, open_uffd};

const FEATURES: u32 = raw::UFFD_FEATURE_SIGBUS
    | raw::UFFD_FEATURE_MISSING_SHMEM
    | raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP
    | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    | raw::UFFD_FEATURE_WP_UNPOPULATED;

// <linux/userfaultfd.h>, <linux/fs.h>: _IOWR(0xAA, 6, struct uffdio_writeprotect), _IOWR('f', 16, struct pm_scan_arg).
const UFFDIO_WRITEPROTECT: u64 = 0xC018_AA06;
const PAGEMAP_SCAN: u64 = 0xC060_6610;
/// `UFFDIO_WRITEPROTECT_MODE_WP`.
const PROTECT: u64 = 1;
/// `UFFDIO_WRITEPROTECT_MODE_DONTWAKE`.
const UNPROTECT: u64 = 2;

/// What a write to a protected page does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// It is an exit; permitted, it copies the page, which is another's.
    Copied,
    /// It goes through and is noted.
    Noted,
}

impl Window {
    /// Of so many pages, all there and protected.
    ///
    /// # Errors
    /// What the host refused.
    pub fn protected(pages: u64, writes: Writes) -> io::Result<Window> {
        let file = memfd(pages * PAGE)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let map = |flags| Memory::map(pages * PAGE, protection, flags, file.as_raw_fd());
        let (features, memory) = match writes {
            Writes::Copied => {
                // What is copied.
                map(libc::MAP_SHARED | libc::MAP_POPULATE)?;
                (FEATURES, map(libc::MAP_PRIVATE)?)
            }
            Writes::Noted => (
                FEATURES | raw::UFFD_FEATURE_WP_ASYNC,
                map(libc::MAP_SHARED | libc::MAP_POPULATE)?,
            ),
        };
        let uffd = open_uffd(features.into())?;
        let mode = raw::UFFDIO_REGISTER_MODE_MISSING | raw::UFFDIO_REGISTER_MODE_WP;
        let mut register = raw::uffdio_register {
            range: raw::uffdio_range {
                start: memory.address(),
                len: memory.length(),
            },
            mode: mode.into(),
            ioctls: 0,
        };
        call(&uffd, super::pages::UFFDIO_REGISTER, &mut register)?;
        let window = Window { memory, file, uffd };
        window.write_protect(0, pages, PROTECT)?;
        Ok(window)
    }

    /// Lets a page be written to.
    ///
    /// # Errors
    /// What the host refused.
    pub fn permit(&self, page: u64) -> io::Result<()> {
        self.write_protect(page, 1, UNPROTECT)
    }

    fn write_protect(&self, page: u64, count: u64, mode: u64) -> io::Result<()> {
        let range = raw::uffdio_range {
            start: self.page(page),
            len: count * PAGE,
        };
        let mut argument = raw::uffdio_writeprotect { range, mode };
        call(&self.uffd, UFFDIO_WRITEPROTECT, &mut argument)
    }

    /// Writes to each `every`th page.
    pub fn write_every(&self, every: u64) {
        for page in (0..self.memory.length() / PAGE).step_by(every as usize) {
            self.memory.write(page * PAGE, page);
        }
    }

    /// Scans all pages for those that were written to; returns in how many runs they lie. There is room for `regions` of them.
    ///
    /// # Errors
    /// What the host refused.
    pub fn scan(&self, pagemap: &std::fs::File, regions: &mut [Region]) -> io::Result<usize> {
        let written = u64::from(raw::PAGE_IS_WRITTEN);
        let mut argument = raw::pm_scan_arg {
            size: size_of::<raw::pm_scan_arg>() as u64,
            flags: 0,
            start: self.page(0),
            end: self.page(0) + self.memory.length(),
            walk_end: 0,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: regions.len() as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: written,
            category_anyof_mask: 0,
            return_mask: written,
        };
        // SAFETY: request and argument belong together; the kernel writes to the regions, which are borrowed, and to the argument.
        let found = unsafe {
            libc::ioctl(
                pagemap.as_raw_fd(),
                PAGEMAP_SCAN,
                std::ptr::from_mut(&mut argument),
            )
        };
        usize::try_from(found).map_err(|_| io::Error::last_os_error())
    }
}

/// A run of pages that were written to: first address, end, and flags.
pub type Region = [u64; 3];

const _: () = assert!(size_of::<Region>() == size_of::<raw::page_region>());
