//! The floor's memory: guest RAM, the window, and where its pages come from.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use linux_raw_sys::general as raw;

pub(super) const PAGE: u64 = 4096;
const FEATURES: u64 = raw::UFFD_FEATURE_SIGBUS as u64 | raw::UFFD_FEATURE_MISSING_SHMEM as u64;

// <linux/userfaultfd.h>: _IOWR(0xAA, n, struct), _IO(0xAA, 0) of the device.
const UFFDIO_API: u64 = 0xC018_AA3F;
pub(super) const UFFDIO_REGISTER: u64 = 0xC020_AA00;
const UFFDIO_COPY: u64 = 0xC028_AA03;
const USERFAULTFD_IOC_NEW: u64 = 0xAA00;

/// A mapping of this process; unmapped when dropped.
#[derive(Debug)]
pub struct Memory {
    address: *mut u8,
    length: u64,
}

// SAFETY: it is only an address range; what races on it is the caller's business.
unsafe impl Send for Memory {}
// SAFETY: likewise.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn map(length: u64, protection: i32, flags: i32, fd: i32) -> io::Result<Memory> {
        // SAFETY: a new mapping where the kernel likes.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length as usize,
                protection,
                flags,
                fd,
                0,
            )
        };
        match address {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            address => Ok(Memory {
                address: address.cast(),
                length,
            }),
        }
    }

    /// Zeros.
    ///
    /// # Errors
    /// What the host refused.
    pub fn anonymous(length: u64) -> io::Result<Memory> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::map(length, libc::PROT_READ | libc::PROT_WRITE, flags, -1)
    }

    /// Its host address.
    pub fn address(&self) -> u64 {
        self.address.expose_provenance() as u64
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes eight bytes; outside the mapping it does nothing.
    pub fn write(&self, at: u64, value: u64) {
        self.write_bytes(at, &value.to_le_bytes());
    }

    /// Writes bytes; outside the mapping it does nothing.
    pub fn write_bytes(&self, at: u64, bytes: &[u8]) {
        if at
            .checked_add(bytes.len() as u64)
            .is_some_and(|end| end <= self.length)
        {
            // SAFETY: it lies in the mapping, which is writable, and no vCPU runs.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    self.address.add(at as usize),
                    bytes.len(),
                );
            }
        }
    }

    /// Copies as much of another mapping as fits.
    pub fn copy(&self, from: &Memory) {
        let length = self.length.min(from.length) as usize;
        // SAFETY: both are mapped and no shorter, two mappings do not overlap, and no vCPU runs.
        unsafe { std::ptr::copy_nonoverlapping(from.address, self.address, length) };
    }

    /// Reads four bytes; 0 outside the mapping.
    pub fn read_u32(&self, at: u64) -> u32 {
        if at + 4 > self.length {
            return 0;
        }
        // SAFETY: it lies in the mapping, and no vCPU runs.
        unsafe { self.address.add(at as usize).cast::<u32>().read_unaligned() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.address.cast(), self.length as usize) };
    }
}

/// Where pages come from: a file of the host, mapped.
#[derive(Debug)]
pub struct Source(Memory);

impl Source {
    /// Maps all of a file, and reads it once so that the page cache has it.
    ///
    /// # Errors
    /// What the host refused.
    pub fn of_file(file: &File) -> io::Result<Source> {
        let length = file.metadata()?.len().next_multiple_of(PAGE);
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Memory::map(length, libc::PROT_READ, flags, file.as_raw_fd()).map(Source)
    }
}

impl Source {
    /// The host address of a page; behind the last one the file begins again.
    pub fn page(&self, page: u64) -> u64 {
        self.0.address() + page * PAGE % self.0.length
    }
}

/// Memory whose absent pages make KVM_RUN fail with EFAULT.
#[derive(Debug)]
pub struct Window {
    pub(super) memory: Memory,
    pub(super) file: OwnedFd,
    pub(super) uffd: OwnedFd,
}

impl Window {
    /// Of so many pages, all absent; one that is not `watched` has zeros in them, which KVM gets by itself.
    ///
    /// # Errors
    /// What the host refused.
    pub fn new(pages: u64, watched: bool) -> io::Result<Window> {
        let uffd = open_uffd(FEATURES)?;
        let length = pages * PAGE;
        let file = memfd(length)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let memory = Memory::map(length, protection, libc::MAP_SHARED, file.as_raw_fd())?;
        if !watched {
            return Ok(Window { memory, file, uffd });
        }
        let mut register = raw::uffdio_register {
            range: raw::uffdio_range {
                start: memory.address(),
                len: length,
            },
            mode: raw::UFFDIO_REGISTER_MODE_MISSING.into(),
            ioctls: 0,
        };
        call(&uffd, UFFDIO_REGISTER, &mut register)?;
        Ok(Window { memory, file, uffd })
    }

    /// The mapping.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Fills `count` absent pages from `page` on with what lies at a host address.
    ///
    /// # Errors
    /// What the host refused.
    pub fn supply(&self, page: u64, count: u64, from: u64) -> io::Result<()> {
        let mut copy = raw::uffdio_copy {
            dst: self.page(page),
            src: from,
            len: count * PAGE,
            mode: raw::UFFDIO_COPY_MODE_DONTWAKE.into(),
            copy: 0,
        };
        call(&self.uffd, UFFDIO_COPY, &mut copy)
    }

    /// The host address of a page.
    pub fn page(&self, page: u64) -> u64 {
        self.memory.address() + page * PAGE
    }

    /// Writes to every page.
    pub fn fill(&self) {
        for page in 0..self.memory.length() / PAGE {
            self.memory.write(page * PAGE, page + 1);
        }
    }

    /// Drops pages.
    ///
    /// # Errors
    /// What the host refused.
    pub fn drop_pages(&self, page: u64, count: u64) -> io::Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (start, length) = ((page * PAGE) as i64, (count * PAGE) as i64);
        // SAFETY: a file of our own.
        match unsafe { libc::fallocate(self.file.as_raw_fd(), mode, start, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A file of zeros.
pub(super) fn memfd(length: u64) -> io::Result<OwnedFd> {
    // SAFETY: a name that ends with zero; the descriptor is new.
    let file = unsafe { owned(libc::memfd_create(c"floor".as_ptr(), libc::MFD_CLOEXEC)) }?;
    // SAFETY: a file of our own.
    match unsafe { libc::ftruncate(file.as_raw_fd(), length as i64) } {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
/// `fd` is a new descriptor of nobody else's, or negative.
unsafe fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn call<T>(fd: &OwnedFd, request: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: requests and arguments belong together, as the callers are few and short.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(argument)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// By way of the device, else of the system call.
pub(super) fn open_uffd(features: u64) -> io::Result<OwnedFd> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/userfaultfd");
    // SAFETY: both return a new descriptor, or a negative number.
    let uffd = unsafe {
        owned(match device {
            Ok(device) => libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW, flags),
            Err(_) => libc::syscall(libc::SYS_userfaultfd, flags) as i32,
        })
    }?;
    let mut api = raw::uffdio_api {
        api: raw::UFFD_API.into(),
        features,
        ioctls: 0,
    };
    call(&uffd, UFFDIO_API, &mut api)?;
    Ok(uffd)
}
