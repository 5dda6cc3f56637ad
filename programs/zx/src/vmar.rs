//! Address regions, and the handles that every program starts with.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use protocol::maps::{InfoVmar, TOPIC_VMAR};
use protocol::options::{VmOptions, VmarOp};
use protocol::{RawHandle, Status};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, Process, Unowned, Vmo, sys};

object! {
    /// A virtual memory address region.
    Vmar
}

/// Set once by `start::run`, before the program's own code runs.
static ROOT_VMAR: AtomicU32 = AtomicU32::new(0);
static PROCESS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn remember(root_vmar: RawHandle, process: RawHandle) {
    ROOT_VMAR.store(root_vmar, Relaxed);
    PROCESS.store(process, Relaxed);
}

/// The process's root VMAR.
pub fn vmar_root_self() -> Unowned<Vmar> {
    Unowned::from_raw(ROOT_VMAR.load(Relaxed))
}

/// The process itself.
pub fn process_self() -> Unowned<Process> {
    Unowned::from_raw(PROCESS.load(Relaxed))
}

impl Vmar {
    /// `zx_vmar_allocate`: a child VMAR and its address.
    pub fn allocate(
        &self,
        offset: u64,
        size: u64,
        options: VmOptions,
    ) -> Result<(Vmar, usize), Status> {
        let mut base = 0usize;
        let address = address_of(&mut base);
        let (parent, options) = (self.raw_handle(), options.bits());
        // SAFETY: both out-pointers are valid for the call.
        let child = created(|out| unsafe {
            sys::vmar_allocate(parent, options, offset, size, out, address)
        });
        child.map(|child| (Vmar(child), base))
    }

    /// `zx_vmar_destroy`.
    ///
    /// # Safety
    /// Nothing that Rust knows of may live in the VMAR.
    pub unsafe fn destroy(&self) -> Result<(), Status> {
        // SAFETY: passed on to the caller.
        unsafe { sys::vmar_destroy(self.raw_handle()).ok() }
    }

    /// `zx_vmar_op_range`.
    ///
    /// # Safety
    /// Nothing that Rust knows of may live in a range that the operation makes zero.
    pub unsafe fn op_range(&self, op: VmarOp, address: usize, length: usize) -> Result<(), Status> {
        let (vmar, op) = (self.raw_handle(), op as u32);
        // SAFETY: passed on to the caller.
        unsafe { sys::vmar_op_range(vmar, op, address as u64, length as u64, 0, 0).ok() }
    }

    /// `zx_object_get_info(ZX_INFO_VMAR)`.
    pub fn info(&self) -> Result<InfoVmar, Status> {
        let mut info = InfoVmar::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoVmar>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_VMAR, buffer, size, 0, 0).ok()? };
        Ok(info)
    }

    /// `zx_vmar_map`: the address of the new mapping.
    ///
    /// # Safety
    /// With SPECIFIC_OVERWRITE nothing that Rust knows of may live in the range that is replaced.
    pub unsafe fn map(
        &self,
        vmar_offset: u64,
        vmo: &Vmo,
        vmo_offset: u64,
        length: u64,
        options: VmOptions,
    ) -> Result<usize, Status> {
        let mut address = 0usize;
        let out = address_of(&mut address);
        let (vmar, vmo, options) = (self.raw_handle(), vmo.raw_handle(), options.bits());
        // SAFETY: the out-pointer is valid for the call; what is replaced is the caller's care.
        unsafe { sys::vmar_map(vmar, options, vmar_offset, vmo, vmo_offset, length, out).ok()? };
        Ok(address)
    }

    /// `zx_vmar_unmap`.
    ///
    /// # Safety
    /// Nothing that Rust knows of may live in the range.
    pub unsafe fn unmap(&self, address: usize, length: usize) -> Result<(), Status> {
        // SAFETY: passed on to the caller.
        unsafe { sys::vmar_unmap(self.raw_handle(), address as u64, length as u64).ok() }
    }

    /// `zx_vmar_protect`.
    ///
    /// # Safety
    /// Nothing that Rust knows of may live in the range, unless the new protection permits its use.
    pub unsafe fn protect(
        &self,
        address: usize,
        length: usize,
        options: VmOptions,
    ) -> Result<(), Status> {
        let (vmar, options) = (self.raw_handle(), options.bits());
        // SAFETY: passed on to the caller.
        unsafe { sys::vmar_protect(vmar, options, address as u64, length as u64).ok() }
    }
}
