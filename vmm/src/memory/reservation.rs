//! Address space without memory: a part of this process that is kept for windows.
//!
//! The life of a reservation: mapped PROT_NONE and cut to an alignment of 1 GiB; chunks are mapped
//! over parts of it (`window.rs`) and those parts restored; unmapped as a whole.

use rustix::{
    io::Errno,
    mm::{MapFlags, ProtFlags, mmap_anonymous, munmap},
};

use super::units::UNIT_BYTES;

/// A range of this process's address space that nothing else uses; unmapped when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    base: u64,
    len: u64,
}

impl Reservation {
    /// Reserves `len` bytes (whole GiB) aligned to a GiB.
    pub(super) fn new(len: u64) -> Result<Reservation, Errno> {
        let padded = len.checked_add(UNIT_BYTES).ok_or(Errno::NOMEM)?;
        let padded_len = usize::try_from(padded).map_err(|_| Errno::NOMEM)?;
        // SAFETY: the kernel chooses the address, so no mapping that is in use is replaced.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), padded_len, ProtFlags::empty(), FLAGS) }?
                .expose_provenance() as u64;
        let base = start.next_multiple_of(UNIT_BYTES);
        unmap(start, base - start);
        unmap(base + len, start + padded - (base + len));
        Ok(Reservation { base, len })
    }

    /// First address; a multiple of a GiB.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Replaces whatever is mapped in a part of the reservation.
    pub(super) fn restore(&self, host: u64, len: u64) -> Result<(), Errno> {
        debug_assert!(host >= self.base && host + len <= self.base + self.len);
        let at = std::ptr::with_exposed_provenance_mut(host as usize);
        // SAFETY: the range lies in this reservation, and nothing in this process refers to what is
        // mapped there.
        unsafe {
            mmap_anonymous(
                at,
                len as usize,
                ProtFlags::empty(),
                FLAGS | MapFlags::FIXED,
            )
        }?;
        Ok(())
    }
}

/// Private, so that nothing is accounted; nothing can be touched anyway.
const FLAGS: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);

impl Drop for Reservation {
    fn drop(&mut self) {
        unmap(self.base, self.len);
    }
}

/// Unmaps a part of a reservation; a failure leaves it reserved, which harms nobody.
fn unmap(host: u64, len: u64) {
    if len == 0 {
        return;
    }
    let at = std::ptr::with_exposed_provenance_mut(host as usize);
    // SAFETY: callers name parts of their own reservation, which nothing refers to.
    if let Err(errno) = unsafe { munmap(at, len as usize) } {
        log::warn!("cannot unmap {len:#x} bytes of address space at {host:#x}: {errno}");
    }
}
