//! userfaultfd in its exit-delivered mode, and the one place where its errno values become meaning.
//!
//! A third descriptor, if there is one, queues events instead: see `events.rs`.
//!
//! With `UFFD_FEATURE_SIGBUS` nothing is queued and nobody waits: an access to an absent page fails
//! at once. The guest's access makes KVM_RUN return EFAULT on the vCPU's own thread, a system call
//! that is given such memory stops short. So the descriptor is never read, and every installation
//! says DONTWAKE. It must stay open as long as a window can be reached: closing it would turn
//! absent pages into silent zeros.
//!
//! The life of a descriptor: opened by way of `/dev/userfaultfd`, or of the system call if the
//! device is absent or not permitted; told its features once (UFFDIO_API); then registrations,
//! installations and protections; closed after the arena is unmapped. An arena has two: one on
//! which a write to a protected page fails like an access to an absent one, and one on which the
//! kernel lets it through and takes the protection away, for the page map to tell.
//!
//! See `Documentation/admin-guide/mm/userfaultfd.rst` and ioctl_userfaultfd(2).

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
};

use linux_raw_sys::general as raw;
use rustix::{
    io::{Errno, read, retry_on_intr},
    ioctl::{Opcode, Updater, ioctl, opcode},
};

use super::{
    descriptor::{self, GROUP},
    error::MemoryError,
    units::{PAGE_SHIFT, PAGE_SIZE, bytes},
    watch::Watching,
};

const REGISTER: Opcode =
    opcode::read_write::<raw::uffdio_register>(GROUP, raw::_UFFDIO_REGISTER as u8);
const COPY: Opcode = opcode::read_write::<raw::uffdio_copy>(GROUP, raw::_UFFDIO_COPY as u8);
const ZEROPAGE: Opcode =
    opcode::read_write::<raw::uffdio_zeropage>(GROUP, raw::_UFFDIO_ZEROPAGE as u8);
const WRITEPROTECT: Opcode =
    opcode::read_write::<raw::uffdio_writeprotect>(GROUP, raw::_UFFDIO_WRITEPROTECT as u8);

const WAKE: Opcode = opcode::read::<raw::uffdio_range>(GROUP, raw::_UFFDIO_WAKE as u8);

/// Bytes of a `uffd_msg`.
const MESSAGE: usize = 32;
/// Which of its words of eight bytes is the address of a page fault.
const ADDRESS: usize = 2;

/// `UFFDIO_WRITEPROTECT_MODE_WP`, which the bindings lack.
const PROTECT: u64 = 1;
/// `UFFDIO_WRITEPROTECT_MODE_DONTWAKE`: takes the protection away; nobody ever waits.
const UNPROTECT: u64 = 2;

/// EAGAIN answers without progress that are taken before an installation counts as deferred.
const PATIENCE: u32 = 100;

/// Pages of zeros to copy.
static ZEROS: [u8; 16 << PAGE_SHIFT] = [0; 16 << PAGE_SHIFT];

/// How far an installation of pages came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Installed {
    /// Pages that were absent and are present now, from the start of the range on.
    pub(super) pages: u64,
    /// What is the matter with the page after them; `None`: nothing, the whole range is installed.
    pub(super) stopped: Option<Stop>,
}

/// Why a page was not installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It is there already, and was left alone (EEXIST).
    AlreadyPresent,
    /// The kernel keeps asking to try again (EAGAIN): an event of this descriptor is unread, which
    /// never happens in this mode.
    Deferred,
    /// No window there is registered any more (ENOENT), or the process ends (ESRCH).
    Gone,
    /// The host has no memory for it (ENOMEM, ENOSPC).
    NoMemory,
    /// The source is absent, or the file ends before the page (EFAULT).
    Unreadable,
    /// Anything else: a bug.
    Refused(Errno),
}

impl Stop {
    fn from_errno(errno: Errno) -> Stop {
        match errno {
            Errno::EXIST => Stop::AlreadyPresent,
            Errno::AGAIN => Stop::Deferred,
            Errno::NOENT | Errno::SRCH => Stop::Gone,
            Errno::NOMEM | Errno::NOSPC => Stop::NoMemory,
            Errno::FAULT => Stop::Unreadable,
            other => Stop::Refused(other),
        }
    }
}

/// A descriptor with the required features.
#[derive(Debug)]
pub(super) struct Userfaultfd {
    fd: OwnedFd,
    /// What an installation says about those who wait: on a descriptor with events they are woken, elsewhere there are none.
    wake: u32,
}

impl Userfaultfd {
    /// Opens a descriptor, and tells it what accesses to absent and to protected pages are to do.
    pub(super) fn open(watching: Watching) -> Result<Userfaultfd, MemoryError> {
        let fd = descriptor::open_with_required(watching)?;
        let wake = match watching {
            Watching::Exits | Watching::Notes => raw::UFFDIO_COPY_MODE_DONTWAKE,
            Watching::Events => 0,
        };
        Ok(Userfaultfd { fd, wake })
    }

    /// Makes absent pages of a mapping fail instead of reading as zeros, and lets its pages be
    /// write-protected.
    ///
    /// # Safety
    ///
    /// The range must be a mapping that nothing in this process refers to or reads by pointer: its
    /// absent pages raise SIGBUS from here on.
    pub(super) unsafe fn register(&self, host: u64, len: u64) -> Result<(), Errno> {
        let mode = raw::UFFDIO_REGISTER_MODE_MISSING | raw::UFFDIO_REGISTER_MODE_WP;
        let mut argument = raw::uffdio_register {
            range: raw::uffdio_range { start: host, len },
            mode: u64::from(mode),
            ioctls: 0,
        };
        // SAFETY: opcode and type belong together; the caller vouches for the range.
        unsafe { ioctl(&self.fd, Updater::<REGISTER, _>::new(&mut argument)) }?;
        let needed = [
            raw::_UFFDIO_COPY,
            raw::_UFFDIO_ZEROPAGE,
            raw::_UFFDIO_WRITEPROTECT,
        ];
        if needed.iter().any(|bit| argument.ioctls & (1 << bit) == 0) {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(())
    }

    /// Installs copies of the `pages` pages at host address `from` at the absent pages at `to`.
    ///
    /// # Safety
    ///
    /// `to` must lie in a window that was registered with this descriptor and is still mapped: the
    /// kernel writes there. `from` may be any address: what cannot be read is reported as
    /// [`Stop::Unreadable`].
    pub(super) unsafe fn copy(&self, from: u64, to: u64, pages: u64, protect: bool) -> Installed {
        let protection = if protect { raw::UFFDIO_COPY_MODE_WP } else { 0 };
        install(pages, |done, pages| {
            let mut argument = raw::uffdio_copy {
                dst: to + bytes(done),
                src: from + bytes(done),
                len: bytes(pages),
                mode: u64::from(self.wake | protection),
                copy: 0,
            };
            // SAFETY: opcode and type belong together; the caller vouches for the destination, and
            // the kernel checks the source as it reads it.
            let result = unsafe { ioctl(&self.fd, Updater::<COPY, _>::new(&mut argument)) };
            (result, argument.copy)
        })
    }

    /// Installs zeros, which are not protected, at the absent pages at `to`.
    ///
    /// # Safety
    ///
    /// As for [`Userfaultfd::copy`]. In a private mapping they would be the kernel's one page of
    /// zeros, which goes when the file is punched: [`Userfaultfd::copy_zeros`] is for those.
    pub(super) unsafe fn zero(&self, to: u64, pages: u64) -> Installed {
        install(pages, |done, pages| {
            let mut argument = raw::uffdio_zeropage {
                range: raw::uffdio_range {
                    start: to + bytes(done),
                    len: bytes(pages),
                },
                mode: u64::from(raw::UFFDIO_ZEROPAGE_MODE_DONTWAKE),
                zeropage: 0,
            };
            // SAFETY: opcode and type belong together; the caller vouches for the destination.
            let result = unsafe { ioctl(&self.fd, Updater::<ZEROPAGE, _>::new(&mut argument)) };
            (result, argument.zeropage)
        })
    }

    /// Installs pages filled with zeros: protected from the first moment on, if asked to, which
    /// [`Userfaultfd::zero`] cannot do.
    ///
    /// # Safety
    ///
    /// As for [`Userfaultfd::copy`].
    pub(super) unsafe fn copy_zeros(&self, to: u64, pages: u64, protect: bool) -> Installed {
        let from = ZEROS.as_ptr().expose_provenance() as u64;
        let step = ZEROS.len() as u64 >> PAGE_SHIFT;
        let mut done = 0;
        while done < pages {
            let count = step.min(pages - done);
            // SAFETY: the caller vouches for the destination.
            let part = unsafe { self.copy(from, to + bytes(done), count, protect) };
            done += part.pages;
            if part.stopped.is_some() {
                return Installed {
                    pages: done,
                    stopped: part.stopped,
                };
            }
        }
        Installed {
            pages: done,
            stopped: None,
        }
    }

    /// Wakes those who wait for a page in the range.
    pub(super) fn wake(&self, host: u64, len: u64) -> Result<(), Errno> {
        let mut range = raw::uffdio_range { start: host, len };
        // SAFETY: opcode and type belong together; no memory changes.
        retry_on_intr(|| unsafe { ioctl(&self.fd, Updater::<WAKE, _>::new(&mut range)) })
    }

    /// Host addresses of accesses that wait, as many as one read brings; none if nobody has begun to wait since.
    pub(super) fn read_events(&self) -> Result<Vec<u64>, Errno> {
        let mut messages = [[0; MESSAGE]; 16];
        let length = match retry_on_intr(|| read(&self.fd, messages.as_flattened_mut())) {
            Err(Errno::AGAIN) => 0,
            length => length?,
        };
        let faults = messages
            .iter()
            .take(length / MESSAGE)
            .filter(|message| message.first() == Some(&(raw::UFFD_EVENT_PAGEFAULT as u8)));
        let address = |message: &[u8; MESSAGE]| {
            let (words, _) = message.as_chunks::<8>();
            words.get(ADDRESS).map(|word| u64::from_le_bytes(*word))
        };
        Ok(faults.filter_map(address).collect())
    }

    /// Protects pages, present or not, against writes, or takes the protection away.
    ///
    /// # Safety
    ///
    /// The range must lie in a window that was registered with this descriptor and is still mapped.
    pub(super) unsafe fn write_protect(&self, host: u64, len: u64, on: bool) -> Result<(), Errno> {
        let mode = if on { PROTECT } else { UNPROTECT };
        let mut argument = raw::uffdio_writeprotect {
            range: raw::uffdio_range { start: host, len },
            mode,
        };
        retry_on_intr(|| {
            // SAFETY: opcode and type belong together; the caller vouches for the range.
            unsafe { ioctl(&self.fd, Updater::<WRITEPROTECT, _>::new(&mut argument)) }
        })
    }
}

impl AsFd for Userfaultfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Repeats `call` (pages done, pages left) -> (result, bytes done or -errno) until all is done or a
/// page stops it.
///
/// A partial result comes as EAGAIN with the bytes done; the reason only shows when the rest is
/// asked for again.
fn install(pages: u64, mut call: impl FnMut(u64, u64) -> (Result<(), Errno>, i64)) -> Installed {
    let mut done = 0;
    let mut patience = PATIENCE;
    while done < pages {
        let (result, moved) = call(done, pages - done);
        let moved = u64::try_from(moved).unwrap_or(0) / PAGE_SIZE;
        match result {
            Ok(()) => done = pages,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if moved > 0 => {
                done = pages.min(done + moved);
                patience = PATIENCE;
            }
            Err(Errno::AGAIN) if patience > 0 => {
                patience -= 1;
                thread::yield_now();
            }
            Err(errno) => {
                return Installed {
                    pages: done,
                    stopped: Some(Stop::from_errno(errno)),
                };
            }
        }
    }
    Installed {
        pages: done,
        stopped: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script of kernel answers (errno or success, bytes moved) and records what was asked.
    fn play(pages: u64, script: &[(Result<(), Errno>, i64)]) -> (Installed, Vec<(u64, u64)>) {
        let mut asked = Vec::new();
        let mut answers = script.iter().copied();
        let result = install(pages, |done, left| {
            asked.push((done, left));
            answers.next().unwrap()
        });
        (result, asked)
    }

    #[test]
    fn a_partial_result_is_followed_by_its_reason() {
        let page = PAGE_SIZE as i64;
        let (result, asked) = play(
            4,
            &[(Err(Errno::AGAIN), 2 * page), (Err(Errno::EXIST), -17)],
        );
        assert_eq!(
            result,
            Installed {
                pages: 2,
                stopped: Some(Stop::AlreadyPresent)
            }
        );
        assert_eq!(asked, [(0, 4), (2, 2)]);
    }

    #[test]
    fn eagain_is_tried_again_but_not_for_ever() {
        let again = (Err(Errno::AGAIN), -11);
        let (result, asked) = play(1, &[again, again, (Ok(()), 4096)]);
        assert_eq!((result.pages, result.stopped, asked.len()), (1, None, 3));
        let (result, asked) = play(1, &[again; PATIENCE as usize + 1]);
        assert_eq!((result.pages, result.stopped), (0, Some(Stop::Deferred)));
        assert_eq!(asked.len(), PATIENCE as usize + 1);
    }

    #[test]
    fn every_errno_has_a_meaning() {
        for (errno, stop) in [
            (Errno::EXIST, Stop::AlreadyPresent),
            (Errno::NOENT, Stop::Gone),
            (Errno::SRCH, Stop::Gone),
            (Errno::NOMEM, Stop::NoMemory),
            (Errno::NOSPC, Stop::NoMemory),
            (Errno::FAULT, Stop::Unreadable),
            (Errno::INVAL, Stop::Refused(Errno::INVAL)),
        ] {
            let (result, _) = play(3, &[(Err(errno), 0)]);
            assert_eq!(
                result,
                Installed {
                    pages: 0,
                    stopped: Some(stop)
                }
            );
        }
    }
}
