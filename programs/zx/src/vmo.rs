//! Virtual memory objects.

use core::mem::size_of;
use core::ops::Range;
use protocol::Status;
use protocol::info::{InfoVmo, TOPIC_VMO, VmoLockState};
use protocol::options::{CachePolicy, ChildOptions, VmoOp, VmoOptions, property};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, Bti, HandleBased, Resource, sys};

object! {
    /// A virtual memory object. Sizes and offsets are in bytes.
    Vmo
}

impl Vmo {
    /// `zx_vmo_create` without options.
    pub fn create(size: u64) -> Result<Vmo, Status> {
        Self::create_with_opts(VmoOptions::empty(), size)
    }

    /// `zx_vmo_create`.
    pub fn create_with_opts(options: VmoOptions, size: u64) -> Result<Vmo, Status> {
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::vmo_create(size, options.bits(), out) }).map(Vmo)
    }

    /// `zx_vmo_create_contiguous`: pages that follow each other in the addresses of devices.
    pub fn create_contiguous(bti: &Bti, size: usize, alignment_log2: u32) -> Result<Vmo, Status> {
        let (bti, size) = (bti.raw_handle(), size as u64);
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::vmo_create_contiguous(bti, size, alignment_log2, out) })
            .map(Vmo)
    }

    /// `zx_vmo_create_physical`: the memory at a physical address that `resource` permits.
    pub fn create_physical(resource: &Resource, address: u64, size: usize) -> Result<Vmo, Status> {
        let (resource, size) = (resource.raw_handle(), size as u64);
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::vmo_create_physical(resource, address, size, out) }).map(Vmo)
    }

    /// `zx_vmo_replace_as_executable`: the same VMO with the right EXECUTE; the old handle is gone in every case.
    pub fn replace_as_executable(self, vmex: &Resource) -> Result<Vmo, Status> {
        let (vmo, vmex) = (self.into_raw(), vmex.raw_handle());
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::vmo_replace_as_executable(vmo, vmex, out) }).map(Vmo)
    }

    /// `zx_vmo_set_cache_policy`.
    pub fn set_cache_policy(&self, policy: CachePolicy) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::vmo_set_cache_policy(self.raw_handle(), policy as u32).ok() }
    }

    /// `zx_vmo_read`: fills `buffer` from `offset` on.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Status> {
        let (address, length) = (buffer.as_mut_ptr() as u64, buffer.len() as u64);
        // SAFETY: the buffer is the caller's and `length` bytes long.
        unsafe { sys::vmo_read(self.raw_handle(), address, offset, length).ok() }
    }

    /// `zx_vmo_write`: writes `data` at `offset`.
    pub fn write(&self, data: &[u8], offset: u64) -> Result<(), Status> {
        let (address, length) = (data.as_ptr() as u64, data.len() as u64);
        // SAFETY: the call only reads the data.
        unsafe { sys::vmo_write(self.raw_handle(), address, offset, length).ok() }
    }

    /// `zx_vmo_get_size`: rounded up to a page.
    pub fn get_size(&self) -> Result<u64, Status> {
        let mut size = 0;
        let out = address_of(&mut size);
        // SAFETY: `size` outlives the call.
        unsafe { sys::vmo_get_size(self.raw_handle(), out).ok()? };
        Ok(size)
    }

    /// `zx_vmo_set_size`.
    pub fn set_size(&self, size: u64) -> Result<(), Status> {
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::vmo_set_size(self.raw_handle(), size).ok() }
    }

    /// `zx_vmo_get_stream_size`: not rounded.
    pub fn get_stream_size(&self) -> Result<u64, Status> {
        let mut size = 0;
        let out = address_of(&mut size);
        // SAFETY: `size` outlives the call.
        unsafe { sys::vmo_get_stream_size(self.raw_handle(), out).ok()? };
        Ok(size)
    }

    /// `zx_vmo_set_stream_size`: what lies beyond becomes zero.
    pub fn set_stream_size(&self, size: u64) -> Result<(), Status> {
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::vmo_set_stream_size(self.raw_handle(), size).ok() }
    }

    /// `ZX_PROP_VMO_CONTENT_SIZE`: not rounded.
    pub fn get_content_size(&self) -> Result<u64, Status> {
        let mut value = 0u64;
        let (handle, out) = (self.raw_handle(), address_of(&mut value));
        // SAFETY: `value` outlives the call and is 8 bytes long.
        unsafe { sys::object_get_property(handle, property::VMO_CONTENT_SIZE, out, 8).ok()? };
        Ok(value)
    }

    /// Sets `ZX_PROP_VMO_CONTENT_SIZE`.
    pub fn set_content_size(&self, size: u64) -> Result<(), Status> {
        let mut value = size;
        let (handle, address) = (self.raw_handle(), address_of(&mut value));
        // SAFETY: the call only reads the 8 bytes of `value`.
        unsafe { sys::object_set_property(handle, property::VMO_CONTENT_SIZE, address, 8).ok() }
    }

    /// `zx_vmo_op_range`, for the operations that need no buffer.
    pub fn op_range(&self, op: VmoOp, range: Range<u64>) -> Result<(), Status> {
        let (vmo, length) = (self.raw_handle(), range.end.saturating_sub(range.start));
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::vmo_op_range(vmo, op as u32, range.start, length, 0, 0).ok() }
    }

    /// `zx_vmo_op_range(ZX_VMO_OP_LOCK)` of a whole discardable VMO: keeps its pages, and tells which are lost.
    pub fn lock(&self) -> Result<VmoLockState, Status> {
        let mut state = VmoLockState::default();
        let (buffer, size) = (address_of(&mut state), size_of::<VmoLockState>() as u64);
        let (vmo, length, op) = (self.raw_handle(), self.get_size()?, VmoOp::Lock as u32);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::vmo_op_range(vmo, op, 0, length, buffer, size).ok()? };
        Ok(state)
    }

    /// `zx_vmo_create_child`.
    pub fn create_child(
        &self,
        options: ChildOptions,
        offset: u64,
        size: u64,
    ) -> Result<Vmo, Status> {
        let (parent, options) = (self.raw_handle(), options.bits());
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::vmo_create_child(parent, options, offset, size, out) }).map(Vmo)
    }

    /// `zx_vmo_transfer_data`: moves `length` bytes of pages from `from`, which is zero there afterwards, over those at `offset`.
    pub fn transfer_data(
        &self,
        offset: u64,
        length: u64,
        from: &Vmo,
        from_offset: u64,
    ) -> Result<(), Status> {
        let (to, from) = (self.raw_handle(), from.raw_handle());
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::vmo_transfer_data(to, 0, offset, length, from, from_offset).ok() }
    }

    /// `zx_object_get_info(ZX_INFO_VMO)`.
    pub fn info(&self) -> Result<InfoVmo, Status> {
        let mut info = InfoVmo::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoVmo>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_VMO, buffer, size, 0, 0).ok()? };
        Ok(info)
    }
}
