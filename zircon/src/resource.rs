//! Resources that the VMM grants, and what stands on them: a stub IOMMU and its bus transaction initiators.
//!
//! A resource is a permission: to make executable VMOs, to make IOMMUs, or to use a range of guest-physical memory. The VMM makes
//! them before the program starts; a program cannot. They live as long as the VM.

use std::collections::BTreeSet;

use protocol::info::InfoResource;
use protocol::options::{IOMMU_MAX_DESC_LEN, IOMMU_TYPE_STUB};
use protocol::{RawHandle, Rights, Signals, Status};

use crate::handle::{Handle, require};
use crate::header::Header;
use crate::ids::{BtiId, IommuId, ObjectRef, PmtId, ResourceId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};

/// What a resource permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResourceKind {
    /// Making VMOs executable (the VMEX part of the system resource).
    Vmex,
    /// Making IOMMUs (the IOMMU part of the system resource).
    Iommu,
    /// Using a range of guest-physical memory.
    Mmio,
}

/// A resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub header: Header,
    pub kind: ResourceKind,
    /// For [`ResourceKind::Mmio`]: the VMO that is the range.
    pub region: Option<VmoId>,
    /// First guest-physical address of the range.
    pub base: u64,
}

/// An IOMMU without hardware: guest-physical addresses are what devices would use.
#[derive(Clone, Debug)]
pub(crate) struct Iommu {
    pub header: Header,
    /// BTIs that refer to it.
    btis: BTreeSet<BtiId>,
}

/// A bus transaction initiator.
#[derive(Clone, Debug)]
pub(crate) struct Bti {
    pub header: Header,
    iommu: IommuId,
    /// Tokens that pin memory for it.
    pub pmts: BTreeSet<PmtId>,
    /// Tokens whose handles are closed, but whose pages are still pinned.
    pub quarantine: BTreeSet<PmtId>,
}

impl Kernel {
    /// Makes a resource that permits something of the system as a whole.
    pub fn add_resource(&mut self, name: &str, kind: ResourceKind) -> ResourceId {
        self.new_resource(name, kind, None)
    }

    pub(crate) fn new_resource(
        &mut self,
        name: &str,
        kind: ResourceKind,
        region: Option<VmoId>,
    ) -> ResourceId {
        let id = ResourceId(self.next_koid());
        let mut header = Header::new(Signals::empty());
        header.set_name(name.as_bytes());
        let resource = Resource {
            header,
            kind,
            region,
            base: 0,
        };
        self.resources.insert(id, resource);
        id
    }

    /// A resource of the wanted kind: BAD_HANDLE, then WRONG_TYPE, also for a resource of another kind.
    pub(crate) fn resource(
        &self,
        caller: Caller,
        raw: RawHandle,
        kind: ResourceKind,
    ) -> Result<&Resource, Status> {
        let (id, _) = self.typed::<ResourceId>(caller.process, raw, Rights::empty())?;
        let resource = self.resources.get(&id).ok_or(Status::INTERNAL)?;
        if resource.kind != kind {
            return Err(Status::WRONG_TYPE);
        }
        Ok(resource)
    }

    /// The record of `zx_object_get_info` for a resource.
    pub(crate) fn info_resource(&self, handle: Handle) -> Result<Vec<u8>, Status> {
        let ObjectRef::Resource(id) = handle.object else {
            return Err(Status::WRONG_TYPE);
        };
        require(handle.rights, Rights::INSPECT)?;
        let resource = self.resources.get(&id).ok_or(Status::INTERNAL)?;
        let size = |region| self.vmos.get(&region).map_or(0, |vmo| vmo.size);
        let (kind, base, size) = match resource.kind {
            ResourceKind::Vmex => (InfoResource::SYSTEM, InfoResource::SYSTEM_VMEX, 1),
            ResourceKind::Iommu => (InfoResource::SYSTEM, InfoResource::SYSTEM_IOMMU, 1),
            ResourceKind::Mmio => (
                InfoResource::MMIO,
                resource.base,
                resource.region.map_or(0, size),
            ),
        };
        let (flags, name) = (0, resource.header.name);
        let record = InfoResource {
            kind,
            flags,
            base,
            size,
            name,
        };
        Ok(record.to_bytes().to_vec())
    }

    /// Resource, descriptor, type: in this order. The stub looks at no descriptor, but has to be given one.
    pub(crate) fn sys_iommu_create(
        &mut self,
        caller: Caller,
        resource: RawHandle,
        kind: u32,
        descriptor_size: u64,
        out: u64,
    ) -> Begin {
        self.resource(caller, resource, ResourceKind::Iommu)?;
        if descriptor_size == 0 || descriptor_size > IOMMU_MAX_DESC_LEN {
            return Err(Status::INVALID_ARGS);
        }
        if kind != IOMMU_TYPE_STUB {
            return Err(Status::NOT_SUPPORTED);
        }
        let id = IommuId(self.next_koid());
        let iommu = Iommu {
            header: Header::new(Signals::empty()),
            btis: BTreeSet::new(),
        };
        self.iommus.insert(id, iommu);
        self.return_handle(caller, ObjectRef::Iommu(id), Rights::DEFAULT_IOMMU, out)
    }

    /// Any id serves: the stub knows no devices.
    pub(crate) fn sys_bti_create(
        &mut self,
        caller: Caller,
        iommu: RawHandle,
        options: u32,
        out: u64,
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (iommu, _) = self.typed::<IommuId>(caller.process, iommu, Rights::empty())?;
        let id = BtiId(self.next_koid());
        let bti = Bti {
            header: Header::new(Signals::empty()),
            iommu,
            pmts: BTreeSet::new(),
            quarantine: BTreeSet::new(),
        };
        self.btis.insert(id, bti);
        let owner = self.iommus.get_mut(&iommu).ok_or(Status::INTERNAL)?;
        owner.btis.insert(id);
        self.return_handle(caller, ObjectRef::Bti(id), Rights::DEFAULT_BTI, out)
    }

    /// The last handle of an IOMMU is closed: it lives on while a BTI refers to it.
    pub(crate) fn drop_iommu(&mut self, id: IommuId) {
        let unused = |iommu: &Iommu| iommu.header.handles == 0 && iommu.btis.is_empty();
        if self.iommus.get(&id).is_some_and(unused) {
            self.iommus.remove(&id);
        }
    }

    /// The last handle of a BTI is closed, or it pins less: it lives on while it pins anything.
    pub(crate) fn drop_bti(&mut self, id: BtiId) {
        let unused =
            |bti: &Bti| bti.header.handles == 0 && bti.pmts.is_empty() && bti.quarantine.is_empty();
        if !self.btis.get(&id).is_some_and(unused) {
            return;
        }
        let Some(bti) = self.btis.remove(&id) else {
            return;
        };
        if let Some(iommu) = self.iommus.get_mut(&bti.iommu) {
            iommu.btis.remove(&id);
        }
        self.drop_iommu(bti.iommu);
    }
}
