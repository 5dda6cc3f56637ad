//! Contiguous and physical VMOs.
//!
//! A contiguous VMO lies in one piece of guest-physical space and has all its pages from birth; giving it them is a resumable
//! operation. A range of guest-physical memory that the VMM grants is such a VMO, too, held by its resource; a physical VMO is
//! a window on it, without pages of its own.

use protocol::options::VmoOptions;
use protocol::{MAX_VMO_SIZE, PAGE_SIZE, PolicyCondition, RawHandle, Rights, Status};

use crate::ids::{BtiId, ObjectRef, ProcessId, ResourceId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::{MemoryOp, MemoryResult, Pages};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::resource::ResourceKind;
use crate::room::Reserved;
use crate::vmo::{Vmo, VmoKind};
use protocol::options::CachePolicy;

/// Most pages that are installed at once.
const STEP_PAGES: u64 = 4096;

/// log2 of the largest alignment that can be asked for.
const MAX_ALIGNMENT: u32 = 63;

/// Gives a contiguous VMO its pages.
#[derive(Clone, Debug)]
pub(crate) struct Contiguous {
    vmo: VmoId,
    /// Pages that are there, or on their way.
    done: u64,
    then: Then,
}

/// What a contiguous VMO is for.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// A program gets a handle to it.
    Handle { process: ProcessId, out: u64 },
    /// It is the range of a resource.
    Region(ResourceId),
}

impl Kernel {
    /// Size, alignment, policy, BTI: in this order.
    pub(crate) fn sys_vmo_create_contiguous(
        &mut self,
        caller: Caller,
        bti: RawHandle,
        size: u64,
        alignment: u32,
        out: u64,
    ) -> Begin {
        if size == 0 || !size.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let alignment = match alignment {
            0 => protocol::PAGE_SHIFT,
            protocol::PAGE_SHIFT..=MAX_ALIGNMENT => alignment,
            _ => return Err(Status::INVALID_ARGS),
        };
        self.enforce(caller, PolicyCondition::NewVmo)?;
        self.typed::<BtiId>(caller.process, bti, Rights::MAP)?;
        if size > MAX_VMO_SIZE {
            return Err(Status::OUT_OF_RANGE);
        }
        let vmo = self.add_contiguous(size, alignment);
        let process = caller.process;
        let body = Body::Contiguous(Contiguous {
            vmo,
            done: 0,
            then: Then::Handle { process, out },
        });
        self.begin(caller, body, vec![vmo])
    }

    fn add_contiguous(&mut self, size: u64, alignment: u32) -> VmoId {
        let mut vmo = Vmo::new(size, 0, VmoOptions::empty(), VmoKind::Anonymous);
        vmo.contiguous = Some(alignment);
        self.add_vmo(vmo)
    }

    /// Grants a range of guest-physical memory of `size` bytes, zero at first; where it lies the resource tells once the work that
    /// this asks for is done. INVALID_ARGS unless `size` is whole pages.
    pub fn add_region(&mut self, name: &str, size: u64) -> Result<ResourceId, Status> {
        if size == 0 || !size.is_multiple_of(PAGE_SIZE) || size > MAX_VMO_SIZE {
            return Err(Status::INVALID_ARGS);
        }
        let vmo = self.add_contiguous(size, protocol::PAGE_SHIFT);
        if let Some(vmo) = self.vmos.get_mut(&vmo) {
            vmo.header.set_name(name.as_bytes());
        }
        self.hold(vmo);
        let resource = self.new_resource(name, ResourceKind::Mmio, Some(vmo));
        let body = Body::Contiguous(Contiguous {
            vmo,
            done: 0,
            then: Then::Region(resource),
        });
        // Nobody waits for it: the work comes before anything that a program does.
        let _ = self.start(None, body, vec![vmo], None);
        Ok(resource)
    }

    pub(crate) fn step_contiguous(
        &mut self,
        token: Token,
        op: &mut Op,
        contiguous: &mut Contiguous,
    ) -> StepResult {
        let reply = op.take_reply()?;
        let id = contiguous.vmo;
        let pages = self.vmos.get(&id).map_or(0, Vmo::page_count);
        if contiguous.done < pages {
            let first = contiguous.done;
            let count = match self.reserve(token, (pages - first).min(STEP_PAGES))? {
                Reserved::Pages(count) => count,
                Reserved::Wait(waiting) => return Ok(Step::Wait(waiting)),
            };
            contiguous.done += count;
            let pages = Pages {
                vmo: id,
                first,
                count,
            };
            let protect = false;
            self.emit(Some(token), MemoryOp::Zero { pages, protect });
            return Ok(Step::Wait(Waiting::Memory));
        }
        match (contiguous.then, reply) {
            (Then::Handle { process, out }, _) => {
                self.handle_to_user(process, ObjectRef::Vmo(id), Rights::DEFAULT_VMO, out)
            }
            (Then::Region(resource), Some(MemoryResult::Addresses(addresses))) => {
                let base = addresses.first().copied().ok_or(Status::INTERNAL)?;
                if let Some(resource) = self.resources.get_mut(&resource) {
                    resource.base = base;
                }
                OK
            }
            (Then::Region(_), _) => {
                let (first, count) = (0, 1);
                let first = Pages {
                    vmo: id,
                    first,
                    count,
                };
                self.emit(Some(token), MemoryOp::Locate(first));
                Ok(Step::Wait(Waiting::Memory))
            }
        }
    }

    /// Size and address, policy, resource and its range: in this order.
    pub(crate) fn sys_vmo_create_physical(
        &mut self,
        caller: Caller,
        resource: RawHandle,
        address: u64,
        size: u64,
        out: u64,
    ) -> Begin {
        if size == 0 || !(size | address).is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        self.enforce(caller, PolicyCondition::NewVmo)?;
        let resource = self.resource(caller, resource, ResourceKind::Mmio)?;
        let (base, region) = (resource.base, resource.region.ok_or(Status::INTERNAL)?);
        let length = self.vmos.get(&region).map_or(0, |vmo| vmo.size);
        let offset = address.checked_sub(base).ok_or(Status::OUT_OF_RANGE)?;
        crate::supply::check_range(offset, size, length)?;
        let kind = VmoKind::Physical { region, offset };
        let mut vmo = Vmo::new(size, 0, VmoOptions::empty(), kind);
        vmo.cache_policy = CachePolicy::Uncached;
        self.hold_storage(region);
        let id = self.add_vmo(vmo);
        self.return_handle(caller, ObjectRef::Vmo(id), Rights::DEFAULT_VMO, out)
    }
}
