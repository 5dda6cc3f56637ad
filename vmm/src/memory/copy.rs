//! Reading, writing and copying windows: process_vm_readv and process_vm_writev on this process.
//!
//! They go through the kernel's own page lookup, so an absent page ends the call with a short
//! count, where a plain load or store would raise SIGBUS. See process_vm_readv(2).

use std::sync::OnceLock;

use rustix::io::Errno;

/// Why a transfer stopped short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Short {
    /// Bytes transferred before.
    pub(super) done: u64,
    /// What the kernel said; [`Errno::FAULT`] is an absent page.
    pub(super) errno: Errno,
}

/// Reads the window at host address `from`.
pub(super) fn read(from: u64, into: &mut [u8]) -> Result<(), Short> {
    let (local, len) = (
        into.as_mut_ptr().expose_provenance() as u64,
        into.len() as u64,
    );
    // SAFETY: the local side is an exclusive slice.
    unsafe { transfer(libc::process_vm_readv, local, from, len) }
}

/// Writes the window at host address `to`.
///
/// # Safety
///
/// `to` must be a range of a window: nothing else of this process may be overwritten.
pub(super) unsafe fn write(from: &[u8], to: u64) -> Result<(), Short> {
    let (local, len) = (from.as_ptr().expose_provenance() as u64, from.len() as u64);
    // SAFETY: the local side is only read; the caller vouches for the other.
    unsafe { transfer(libc::process_vm_writev, local, to, len) }
}

/// Copies `len` bytes from one window to another.
///
/// # Safety
///
/// `to` must be a range of a window, as for [`write`].
pub(super) unsafe fn window(from: u64, to: u64, len: u64) -> Result<(), Short> {
    // SAFETY: the caller vouches for the local side, which is written.
    unsafe { transfer(libc::process_vm_readv, to, from, len) }
}

type Call = unsafe extern "C" fn(
    libc::pid_t,
    *const libc::iovec,
    libc::c_ulong,
    *const libc::iovec,
    libc::c_ulong,
    libc::c_ulong,
) -> libc::ssize_t;

/// Repeats `call` until `len` bytes are through, or one call makes no progress.
///
/// # Safety
///
/// The side that `call` writes must be memory that may be overwritten.
unsafe fn transfer(call: Call, local: u64, remote: u64, len: u64) -> Result<(), Short> {
    // This process by its own name in its pid namespace; it stays the same, the VMM does not fork.
    static THIS: OnceLock<libc::pid_t> = OnceLock::new();
    let this = *THIS.get_or_init(|| rustix::process::getpid().as_raw_pid());
    let mut done = 0;
    while done < len {
        let vector = |base: u64| libc::iovec {
            iov_base: std::ptr::with_exposed_provenance_mut((base + done) as usize),
            iov_len: (len - done) as usize,
        };
        let (local, remote) = (vector(local), vector(remote));
        // SAFETY: one vector on each side, both alive; the caller vouches for the side written, and
        // the kernel checks the other.
        let moved = unsafe { call(this, &raw const local, 1, &raw const remote, 1, 0) };
        match u64::try_from(moved) {
            Ok(0) => {
                return Err(Short {
                    done,
                    errno: Errno::FAULT,
                });
            }
            Ok(moved) => done += moved,
            Err(_) => {
                let errno = std::io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO);
                return Err(Short {
                    done,
                    errno: Errno::from_raw_os_error(errno),
                });
            }
        }
    }
    Ok(())
}
