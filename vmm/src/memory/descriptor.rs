//! Opening userfaultfd descriptors and agreeing on features.
//!
//! A descriptor for windows must catch the faults that are taken inside the kernel, KVM's above
//! all. That needs `/dev/userfaultfd`, or the system call with a privilege; descriptors for
//! user-mode faults only are of no use. The handshake (UFFDIO_API) can be made once with each
//! descriptor.

use std::os::fd::{FromRawFd, OwnedFd};

use linux_raw_sys::general as raw;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, Updater, ioctl, opcode},
    mm::{UserfaultfdFlags, userfaultfd},
};

use super::{error::MemoryError, watch::Watching};

/// Group of all userfaultfd ioctls.
pub(super) const GROUP: u8 = raw::USERFAULTFD_IOC as u8;
const API: Opcode = opcode::read_write::<raw::uffdio_api>(GROUP, raw::_UFFDIO_API as u8);

/// Features without which windows cannot work, with their names.
pub(super) const REQUIRED: [(u32, &str); 6] = [
    (raw::UFFD_FEATURE_SIGBUS, "SIGBUS"),
    (raw::UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM"),
    (raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP"),
    (raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM"),
    (raw::UFFD_FEATURE_WP_UNPOPULATED, "WP_UNPOPULATED"),
    (raw::UFFD_FEATURE_WP_ASYNC, "WP_ASYNC"),
];

/// A descriptor whose handshake asked for [`REQUIRED`]; for WP_ASYNC only if writes are to be noted, for SIGBUS unless there are to be
/// events.
pub(super) fn open_with_required(watching: Watching) -> Result<OwnedFd, MemoryError> {
    let without = match watching {
        Watching::Exits => raw::UFFD_FEATURE_WP_ASYNC,
        Watching::Notes => 0,
        Watching::Events => raw::UFFD_FEATURE_WP_ASYNC | raw::UFFD_FEATURE_SIGBUS,
    };
    let required = REQUIRED
        .iter()
        .filter(|(bit, _)| bit & without == 0)
        .fold(0, |bits, (bit, _)| bits | u64::from(*bit));
    let (fd, _) = open()?;
    handshake(&fd, required).map_err(|source| {
        let offered = offered_features().unwrap_or(0);
        let missing: Vec<_> = REQUIRED
            .iter()
            .filter(|(bit, _)| offered & u64::from(*bit) == 0)
            .map(|(_, name)| *name)
            .collect();
        MemoryError::Features {
            missing: missing.join(", "),
            source,
        }
    })?;
    Ok(fd)
}

/// How a descriptor was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OpenedBy {
    /// `/dev/userfaultfd`.
    Device,
    /// The system call.
    Syscall,
}

/// A descriptor that also catches the faults taken inside the kernel, KVM's above all.
pub(super) fn open() -> Result<(OwnedFd, OpenedBy), MemoryError> {
    let device = match open_device() {
        Ok(fd) => return Ok((fd, OpenedBy::Device)),
        Err(errno) => errno,
    };
    // SAFETY: the descriptor is used for registered windows only, through this module.
    match unsafe { userfaultfd(UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK) } {
        Ok(fd) => Ok((fd, OpenedBy::Syscall)),
        Err(syscall) => Err(MemoryError::OpenUserfaultfd { device, syscall }),
    }
}

fn open_device() -> Result<OwnedFd, Errno> {
    let device = rustix::fs::open(
        "/dev/userfaultfd",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // SAFETY: `NewDescriptor` describes USERFAULTFD_IOC_NEW, and `device` is the device it is for.
    unsafe { ioctl(device, NewDescriptor) }
}

/// `USERFAULTFD_IOC_NEW`: takes open flags, answers with a new descriptor.
struct NewDescriptor;

// SAFETY: the opcode takes its argument by value (open flags) and writes no memory; a successful
// result is a new descriptor that nobody else owns.
unsafe impl Ioctl for NewDescriptor {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::none(GROUP, 0)
    }

    fn as_ptr(&mut self) -> *mut libc::c_void {
        std::ptr::without_provenance_mut((raw::O_CLOEXEC | raw::O_NONBLOCK) as usize)
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut libc::c_void) -> Result<OwnedFd, Errno> {
        // SAFETY: the ioctl succeeded, so its result is a new descriptor that is ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}

/// The features this kernel offers, or why there is no descriptor to ask.
pub(super) fn offered_features() -> Result<u64, MemoryError> {
    let (fd, _) = open()?;
    handshake(&fd, 0).map_err(|source| MemoryError::Features {
        missing: "UFFDIO_API".into(),
        source,
    })
}

/// Switches a fresh descriptor to `features`; answers with those the kernel offers.
fn handshake(fd: &OwnedFd, features: u64) -> Result<u64, Errno> {
    let mut argument = raw::uffdio_api {
        api: u64::from(raw::UFFD_API),
        features,
        ioctls: 0,
    };
    // SAFETY: opcode and type belong together.
    unsafe { ioctl(fd, Updater::<API, _>::new(&mut argument)) }?;
    Ok(argument.features)
}
