//! `zx_vmo_create` and `zx_vmo_get_size`.

use protocol::options::VmoOptions;
use protocol::{MAX_VMO_SIZE, PolicyCondition, RawHandle, Rights, Status};

use crate::ids::{ObjectRef, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::resize::page_round;
use crate::user::Undo;
use crate::vmo::{Vmo, VmoKind};

/// Sizes of a new VMO: (page-rounded size, content size).
pub(crate) fn sizes(size: u64, options: VmoOptions) -> Result<(u64, u64), Status> {
    let rounded = page_round(size).ok_or(Status::OUT_OF_RANGE)?;
    let unbounded = options.contains(VmoOptions::UNBOUNDED);
    Ok((if unbounded { MAX_VMO_SIZE } else { rounded }, size))
}

/// Options of a new VMO: unknown or contradictory ones are INVALID_ARGS.
pub(crate) fn vmo_options(bits: u32, allowed: VmoOptions) -> Result<VmoOptions, Status> {
    let options = VmoOptions::from_bits(bits).ok_or(Status::INVALID_ARGS)?;
    let both = VmoOptions::RESIZABLE | VmoOptions::UNBOUNDED;
    if !allowed.contains(options) || options.contains(both) {
        return Err(Status::INVALID_ARGS);
    }
    Ok(options)
}

impl Kernel {
    pub(crate) fn sys_vmo_create(
        &mut self,
        caller: Caller,
        size: u64,
        options: u32,
        out: u64,
    ) -> Begin {
        self.enforce(caller, PolicyCondition::NewVmo)?;
        let allowed = VmoOptions::RESIZABLE | VmoOptions::DISCARDABLE | VmoOptions::UNBOUNDED;
        let options = vmo_options(options, allowed)?;
        let (size, stream_size) = sizes(size, options)?;
        let id = self.add_vmo(Vmo::new(size, stream_size, options, VmoKind::Anonymous));
        self.return_vmo(caller, id, out)
    }

    /// A new VMO's first handle: the default rights, and RESIZE if it is resizable.
    pub(crate) fn return_vmo(&mut self, caller: Caller, id: VmoId, out: u64) -> Begin {
        let mut rights = Rights::DEFAULT_VMO;
        rights.set(
            Rights::RESIZE,
            self.options(id).contains(VmoOptions::RESIZABLE),
        );
        self.return_handle(caller, ObjectRef::Vmo(id), rights, out)
    }

    pub(crate) fn sys_vmo_get_size(&mut self, caller: Caller, raw: RawHandle, out: u64) -> Begin {
        let (id, _) = self.typed::<VmoId>(caller.process, raw, Rights::empty())?;
        let size = self.size(id);
        let body = self.copy_out(caller.process, out, &size.to_le_bytes(), Undo::Nothing);
        self.begin(caller, body, Vec::new())
    }
}
