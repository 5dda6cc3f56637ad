//! What a VMO is marked with: its cache policy, and that its handle may execute.
//!
//! The policy is kept and decides what the calls permit; guest memory is cached all the same.

use protocol::options::CachePolicy;
use protocol::{PolicyCondition, RawHandle, Rights, Status};

use crate::ids::{ObjectRef, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::resource::ResourceKind;
use crate::vmo::VmoKind;

impl Kernel {
    /// Policy, VMO, its state: in this order.
    pub(crate) fn sys_vmo_set_cache_policy(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        policy: u32,
    ) -> Begin {
        let policy = CachePolicy::from_number(policy).ok_or(Status::INVALID_ARGS)?;
        let (id, _) = self.typed::<VmoId>(caller.process, raw, Rights::MAP)?;
        let vmo = self.vmos.get_mut(&id).ok_or(Status::INTERNAL)?;
        let own = matches!(vmo.kind, VmoKind::Anonymous | VmoKind::Physical { .. });
        let window = matches!(vmo.kind, VmoKind::Slice { .. } | VmoKind::Reference { .. });
        let child = window || vmo.is_clone;
        let special = !own
            || vmo
                .options
                .contains(protocol::options::VmoOptions::DISCARDABLE);
        if !vmo.pins.is_empty()
            || vmo.mappings > 0
            || !vmo.children.is_empty()
            || child
            || (special && policy != CachePolicy::Cached)
        {
            return Err(Status::BAD_STATE);
        }
        vmo.cache_policy = policy;
        Ok(Started::Done(0))
    }

    /// BAD_STATE where calls may not look into a VMO because it is not cached. A slice is what its parent is.
    pub(crate) fn check_cached(&self, id: VmoId) -> Result<(), Status> {
        let (root, _) = self.root(id, 0);
        let cached = |id| {
            let vmo = self.vmos.get(&id);
            vmo.is_none_or(|vmo| vmo.cache_policy == CachePolicy::Cached)
        };
        if cached(id) && cached(root) {
            Ok(())
        } else {
            Err(Status::BAD_STATE)
        }
    }

    /// Whether a VMO is a physical one, or a slice of one.
    pub(crate) fn is_physical(&self, id: VmoId) -> bool {
        let physical = |id| {
            let vmo = self.vmos.get(&id);
            vmo.is_some_and(|vmo| matches!(vmo.kind, VmoKind::Physical { .. }))
        };
        let owner = self.vmos.get(&id).and_then(|vmo| vmo.owner());
        physical(id) || owner.is_some_and(physical)
    }

    /// Whether a VMO is contiguous, or a slice of one that is.
    pub(crate) fn is_contiguous(&self, id: VmoId) -> bool {
        let (root, _) = self.root(id, 0);
        let contiguous = self.vmos.get(&root).and_then(|vmo| vmo.contiguous);
        contiguous.is_some() && !self.is_physical(id)
    }

    /// The handle is consumed whatever comes of it; what is not a VMO is BAD_HANDLE.
    pub(crate) fn sys_vmo_replace_as_executable(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        vmex: RawHandle,
        out: u64,
    ) -> Begin {
        let handle = self.handle(caller.process, raw)?;
        let permitted = self.may_execute(caller, vmex);
        let begun = match (permitted, handle.object) {
            (Err(status), _) => Err(status),
            (Ok(()), ObjectRef::Vmo(_)) => {
                let rights = handle.rights | Rights::EXECUTE;
                self.return_handle(caller, handle.object, rights, out)
            }
            (Ok(()), _) => Err(Status::BAD_HANDLE),
        };
        self.close_handle(caller.process, raw)?;
        begun
    }

    /// The VMEX resource, or none: then the job's policy decides.
    fn may_execute(&mut self, caller: Caller, vmex: RawHandle) -> Result<(), Status> {
        if vmex != 0 {
            return self.resource(caller, vmex, ResourceKind::Vmex).map(|_| ());
        }
        self.enforce(caller, PolicyCondition::AmbientMarkVmoExec)
    }
}
