//! What devices see of memory: resources, IOMMUs, BTIs and pinned memory.

use protocol::Status;
use protocol::info::{InfoBti, InfoResource, TOPIC_BTI, TOPIC_RESOURCE};
use protocol::options::{BtiOptions, IOMMU_TYPE_STUB};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, HandleBased, Vmo, sys};

object! {
    /// A resource: leave to do something. `zvmm run --grant` gives some to a program.
    Resource
}

object! {
    /// An IOMMU.
    Iommu
}

object! {
    /// A bus transaction initiator: a device, as the IOMMU knows it.
    Bti
}

object! {
    /// A pinned memory token.
    Pmt
}

impl Resource {
    /// `zx_object_get_info(ZX_INFO_RESOURCE)`.
    pub fn info(&self) -> Result<InfoResource, Status> {
        let mut info = InfoResource::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoResource>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe {
            sys::object_get_info(self.raw_handle(), TOPIC_RESOURCE, buffer, size, 0, 0).ok()?;
        }
        Ok(info)
    }
}

impl Iommu {
    /// `zx_iommu_create(ZX_IOMMU_TYPE_STUB)`: the one without hardware behind it.
    pub fn create_stub(resource: &Resource) -> Result<Iommu, Status> {
        // `zx_iommu_desc_stub_t`: a byte that means nothing.
        let descriptor = [0u8; 1];
        let (address, size) = (descriptor.as_ptr() as u64, descriptor.len() as u64);
        let resource = resource.raw_handle();
        // SAFETY: the call reads the descriptor; the out-pointer is valid.
        created(|out| unsafe { sys::iommu_create(resource, IOMMU_TYPE_STUB, address, size, out) })
            .map(Iommu)
    }
}

impl Bti {
    /// `zx_bti_create`.
    pub fn create(iommu: &Iommu, id: u64) -> Result<Bti, Status> {
        let iommu = iommu.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::bti_create(iommu, 0, id, out) }).map(Bti)
    }

    /// `zx_bti_pin`: pins a range of a VMO and tells where a device finds it, an address a page unless the options say
    /// otherwise.
    pub fn pin(
        &self,
        options: BtiOptions,
        vmo: &Vmo,
        offset: u64,
        size: u64,
        addresses: &mut [u64],
    ) -> Result<Pmt, Status> {
        let (bti, vmo, options) = (self.raw_handle(), vmo.raw_handle(), options.bits());
        let (address, count) = (addresses.as_mut_ptr() as u64, addresses.len() as u64);
        // SAFETY: the call writes `count` addresses; the out-pointer is valid.
        created(|out| unsafe { sys::bti_pin(bti, options, vmo, offset, size, address, count, out) })
            .map(Pmt)
    }

    /// `zx_bti_release_quarantine`: lets go of what was pinned by tokens that were closed without an unpin.
    pub fn release_quarantine(&self) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::bti_release_quarantine(self.raw_handle()).ok() }
    }

    /// `zx_object_get_info(ZX_INFO_BTI)`.
    pub fn info(&self) -> Result<InfoBti, Status> {
        let mut info = InfoBti::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoBti>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_BTI, buffer, size, 0, 0).ok()? };
        Ok(info)
    }
}

impl Pmt {
    /// `zx_pmt_unpin`: the token is gone in every case.
    pub fn unpin(self) -> Result<(), Status> {
        // SAFETY: there are no devices whose access could outlive the pin.
        unsafe { sys::pmt_unpin(self.into_raw()).ok() }
    }
}
