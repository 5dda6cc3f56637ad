//! A VMO's range in the program's address space.
//!
//! The memory behind a mapping can change at any time (another mapping, `vmo_write`, the host's file), and its pages may
//! be absent. So no Rust reference ever points into it: bytes are copied in and out by instructions the compiler does
//! not look into, and Rust values never live there.

use core::arch::asm;
use protocol::Status;
use protocol::options::VmOptions;

use crate::{Vmo, vmar_root_self};

/// A mapping in the root VMAR; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    base: usize,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes of `vmo` from `offset` on, where the VMM likes.
    pub fn new(vmo: &Vmo, offset: u64, len: usize, options: VmOptions) -> Result<Self, Status> {
        let options = options - VmOptions::SPECIFIC_OVERWRITE;
        // SAFETY: without SPECIFIC_OVERWRITE nothing is replaced.
        let base = unsafe { vmar_root_self().map(0, vmo, offset, len as u64, options)? };
        Ok(Mapping { base, len })
    }

    /// Readable and writable.
    pub fn read_write(vmo: &Vmo, offset: u64, len: usize) -> Result<Self, Status> {
        Self::new(
            vmo,
            offset,
            len,
            VmOptions::PERM_READ | VmOptions::PERM_WRITE,
        )
    }

    /// Readable.
    pub fn read_only(vmo: &Vmo, offset: u64, len: usize) -> Result<Self, Status> {
        Self::new(vmo, offset, len, VmOptions::PERM_READ)
    }

    /// First address.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes; never so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes over a mapping that was made by `Vmar::map`, with an address of the caller's choice.
    ///
    /// # Safety
    /// The range is mapped in the root VMAR, and nobody else unmaps it.
    pub unsafe fn adopt(base: usize, len: usize) -> Self {
        Mapping { base, len }
    }

    /// Lets the mapping be: it stays until the program ends.
    pub fn leak(self) -> usize {
        core::mem::ManuallyDrop::new(self).base
    }

    fn address(&self, at: usize, len: usize) -> Result<usize, Status> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.base + at),
            _ => Err(Status::OUT_OF_RANGE),
        }
    }

    /// Fills `out` from byte `at` on.
    pub fn copy_out(&self, at: usize, out: &mut [u8]) -> Result<(), Status> {
        let source = self.address(at, out.len())?;
        // SAFETY: the source lies in the mapping, the destination is `out`, and they do not overlap.
        unsafe { copy(source, out.as_mut_ptr() as usize, out.len()) };
        Ok(())
    }

    /// Writes `data` from byte `at` on; the mapping must be writable.
    pub fn copy_in(&self, at: usize, data: &[u8]) -> Result<(), Status> {
        let destination = self.address(at, data.len())?;
        // SAFETY: the destination lies in the mapping, where no Rust value lives.
        unsafe { copy(data.as_ptr() as usize, destination, data.len()) };
        Ok(())
    }

    /// The 8 bytes at `at`, read by one instruction if `at` is a multiple of 8.
    pub fn word(&self, at: usize) -> Result<u64, Status> {
        let address = self.address(at, 8)?;
        let value;
        // SAFETY: the word lies in the mapping.
        unsafe {
            asm!("mov {}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly, preserves_flags))
        };
        Ok(value)
    }

    /// Writes 8 bytes at `at`; the mapping must be writable.
    pub fn set_word(&self, at: usize, value: u64) -> Result<(), Status> {
        let address = self.address(at, 8)?;
        // SAFETY: the word lies in the mapping, where no Rust value lives.
        unsafe {
            asm!("mov [{}], {}", in(reg) address, in(reg) value, options(nostack, preserves_flags))
        };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: no Rust value lives in the range, and nobody else knows of it.
        let _ = unsafe { vmar_root_self().unmap(self.base, self.len) };
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// The ranges are mapped, do not overlap, and the destination may be written.
unsafe fn copy(from: usize, to: usize, len: usize) {
    // SAFETY: as the caller promises; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsb",
            inout("rsi") from => _,
            inout("rdi") to => _,
            inout("rcx") len => _,
            options(nostack, preserves_flags),
        );
    }
}
