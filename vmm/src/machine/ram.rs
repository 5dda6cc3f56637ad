//! Guest RAM: the 16 MiB that hold descriptor tables, the kernel, vCPU areas and page tables.
//!
//! Values are copied in and out; no reference into guest memory exists. The windows of VMOs are not in here.

use std::sync::{Arc, atomic::Ordering};
use std::{fs::File, io, mem::MaybeUninit, slice};

use protocol::{
    boot::{BootPage, PageFaultFrame, RAM_SIZE},
    vcpu::{Entry, ThreadContext, VcpuArea},
};
use rustix::fs::{MemfdFlags, memfd_create};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::error::MachineError;

/// Types without padding or invalid bit patterns: they may be copied as bytes.
///
/// # Safety
/// Every byte of the type belongs to a field, and every value of these bytes is a valid value of the type.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: one integer.
unsafe impl Plain for u32 {}
// SAFETY: one integer.
unsafe impl Plain for u64 {}
// SAFETY: `repr(C)` integers: 2 * 4 + 2 * 8 bytes.
unsafe impl Plain for Entry {}
// SAFETY: `repr(C)` integers: 4 * 4 + 2 * 8 bytes.
unsafe impl Plain for BootPage {}
// SAFETY: `repr(C)` integers and arrays of them, 704 bytes in all, a multiple of its alignment.
unsafe impl Plain for ThreadContext {}
// SAFETY: `repr(C)`: seven words.
unsafe impl Plain for PageFaultFrame {}
// SAFETY: `repr(C)` integers: 5 * 8 + 6 * 4 bytes and the entries.
unsafe impl Plain for VcpuArea {}
// SAFETY: an array has no padding of its own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

const _: () = {
    assert!(size_of::<Entry>() == 24, "an Entry has no padding");
    assert!(
        size_of::<PageFaultFrame>() == 7 * 8,
        "a PageFaultFrame has no padding"
    );
    assert!(size_of::<BootPage>() == 32, "a BootPage has no padding");
    assert!(
        size_of::<ThreadContext>() == 16 * 8 + 5 * 8 + 6 * 4 + 512,
        "nor has a ThreadContext"
    );
    assert!(
        size_of::<VcpuArea>() == 5 * 8 + 6 * 4 + 128 * 24,
        "nor has a VcpuArea"
    );
};

/// Guest RAM. A clone is another handle to the same memory.
#[derive(Clone, Debug)]
pub struct Ram {
    memory: Arc<GuestMemoryMmap>,
}

impl Ram {
    /// Maps fresh, zeroed RAM. It is a memfd, so that whoever looks at the process's memory can tell it from the VMM's own.
    pub(crate) fn new() -> Result<Self, MachineError> {
        let failed = |source| MachineError::Ram { source };
        let file = file().map_err(|error| failed(error.into()))?;
        let range = (
            GuestAddress(0),
            RAM_SIZE as usize,
            Some(FileOffset::new(file, 0)),
        );
        let memory = GuestMemoryMmap::from_ranges_with_files([range])
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            memory: Arc::new(memory),
        })
    }

    /// Host address of guest-physical 0.
    pub(crate) fn host_address(&self) -> Result<u64, MachineError> {
        let address = self.memory.get_host_address(GuestAddress(0));
        address
            .map(|pointer| pointer as u64)
            .map_err(|_| MachineError::OutsideRam { gpa: 0, len: 0 })
    }

    /// Copies bytes to `gpa`.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn write_bytes(&self, gpa: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.memory
            .write_slice(bytes, GuestAddress(gpa))
            .map_err(|_| MachineError::OutsideRam {
                gpa,
                len: bytes.len(),
            })
    }

    /// Fills `bytes` from `gpa`.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn read_bytes(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), MachineError> {
        let len = bytes.len();
        self.memory
            .read_slice(bytes, GuestAddress(gpa))
            .map_err(|_| MachineError::OutsideRam { gpa, len })
    }

    /// The word at `gpa`.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn read_u64(&self, gpa: u64) -> Result<u64, MachineError> {
        self.read(gpa)
    }

    /// Writes the word at `gpa`.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn write_u64(&self, gpa: u64, value: u64) -> Result<(), MachineError> {
        self.write(gpa, &value)
    }

    /// Writes the aligned word at `gpa` in one piece, behind everything that was written before: a vCPU may look at it meanwhile.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn store_u64(&self, gpa: u64, value: u64) -> Result<(), MachineError> {
        let stored = self
            .memory
            .store(value, GuestAddress(gpa), Ordering::Release);
        stored.map_err(|_| MachineError::OutsideRam { gpa, len: 8 })
    }

    /// Fills the (unlinked) page table at `gpa`.
    ///
    /// # Errors
    /// [`MachineError::OutsideRam`].
    pub fn write_entries(&self, gpa: u64, entries: &[u64; 512]) -> Result<(), MachineError> {
        self.write(gpa, entries)
    }

    /// The value at `gpa`.
    pub(super) fn read<T: Plain>(&self, gpa: u64) -> Result<T, MachineError> {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: zeroed memory of that size is initialised bytes, exclusively borrowed.
        let bytes = unsafe { slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
        self.read_bytes(gpa, bytes)?;
        // SAFETY: `Plain`: any bytes are a value.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes `value` at `gpa`.
    pub(super) fn write<T: Plain>(&self, gpa: u64, value: &T) -> Result<(), MachineError> {
        // SAFETY: `Plain`: all bytes of the value are initialised, and they are only read.
        let bytes =
            unsafe { slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) };
        self.write_bytes(gpa, bytes)
    }
}

fn file() -> io::Result<File> {
    let file = File::from(memfd_create("zvmm-ram", MemfdFlags::CLOEXEC)?);
    file.set_len(RAM_SIZE)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_fresh_memory_is_zero() {
        let ram = Ram::new().unwrap();
        assert_eq!(ram.read_u64(0x1000).unwrap(), 0);
        let entry = Entry {
            kind: 1,
            slot: 2,
            a: 3,
            b: u64::MAX,
        };
        ram.write(RAM_SIZE - 24, &entry).unwrap();
        assert_eq!(ram.read::<Entry>(RAM_SIZE - 24).unwrap(), entry);
    }

    #[test]
    fn nothing_outside_ram_is_reached() {
        let ram = Ram::new().unwrap();
        for gpa in [RAM_SIZE - 7, RAM_SIZE, u64::MAX - 3] {
            let error = ram.write_u64(gpa, 1).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("8 bytes at guest-physical {gpa:#x} are not in guest RAM")
            );
        }
    }
}
