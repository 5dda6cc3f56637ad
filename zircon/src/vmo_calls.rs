//! `zx_vmo_create`, `zx_vmo_get_size`, `zx_vmo_create_child`.

use protocol::options::{ChildOptions, VmoOptions};
use protocol::{MAX_VMO_SIZE, PAGE_SIZE, RawHandle, Rights, Signals, Status};

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
        self.check_new_vmo(caller.process)?;
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
        let size = self.vmos.get(&id).ok_or(Status::INTERNAL)?.size;
        let body = self.copy_out(caller.process, out, &size.to_le_bytes(), Undo::Nothing);
        self.begin(caller, body, Vec::new())
    }

    /// Slices; the copy-on-write types come with the rest of the semantics.
    pub(crate) fn sys_vmo_create_child(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        bits: u32,
        offset: u64,
        size: u64,
        out: u64,
    ) -> Begin {
        let rounded = page_round(size).ok_or(Status::OUT_OF_RANGE)?;
        let options = ChildOptions::from_bits_retain(bits);
        if options.contains(ChildOptions::NO_WRITE | ChildOptions::RESIZABLE) {
            return Err(Status::INVALID_ARGS);
        }
        let (id, rights) =
            self.typed::<VmoId>(caller.process, raw, Rights::DUPLICATE | Rights::READ)?;
        let parent = self.vmos.get(&id).ok_or(Status::INTERNAL)?;
        if parent.options.contains(VmoOptions::DISCARDABLE) {
            return Err(Status::NOT_SUPPORTED);
        }
        let modifiers = ChildOptions::NO_WRITE | ChildOptions::RESIZABLE;
        let kind = options - modifiers;
        if kind.bits().count_ones() != 1 || ChildOptions::from_bits(kind.bits()).is_none() {
            return Err(Status::INVALID_ARGS);
        }
        if kind != ChildOptions::SLICE {
            return Err(Status::NOT_SUPPORTED);
        }
        if options.contains(ChildOptions::RESIZABLE) || !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        if offset
            .checked_add(rounded)
            .is_none_or(|end| end > parent.size)
        {
            return Err(Status::INVALID_ARGS);
        }
        if parent.is_resizable() {
            return Err(Status::NOT_SUPPORTED);
        }
        let name = parent.header.name;
        let slice = VmoKind::Slice { parent: id, offset };
        let mut child = Vmo::new(rounded, size, VmoOptions::empty(), slice);
        if rights.contains(Rights::GET_PROPERTY) {
            child.header.name = name;
        }
        let child = self.add_vmo(child);
        self.hold(id);
        if let Some(parent) = self.vmos.get_mut(&id) {
            parent.children += 1;
        }
        self.change_signals(
            ObjectRef::Vmo(id),
            Signals::VMO_ZERO_CHILDREN,
            Signals::empty(),
        );
        let mut child_rights =
            (rights - Rights::RESIZE) | Rights::GET_PROPERTY | Rights::SET_PROPERTY;
        if options.contains(ChildOptions::NO_WRITE) {
            child_rights -= Rights::WRITE;
        }
        self.return_handle(caller, ObjectRef::Vmo(child), child_rights, out)
    }

    /// A child object is gone: its parent may have none left. The child's reference to it is the caller's to give back.
    pub(crate) fn child_gone(&mut self, parent: VmoId) {
        let Some(vmo) = self.vmos.get_mut(&parent) else {
            return;
        };
        vmo.children -= 1;
        if vmo.children == 0 {
            let none = Signals::empty();
            self.change_signals(ObjectRef::Vmo(parent), none, Signals::VMO_ZERO_CHILDREN);
        }
    }

    /// ACCESS_DENIED where the process's job forbids new VMOs.
    pub(crate) fn check_new_vmo(&self, process: crate::ids::ProcessId) -> Result<(), Status> {
        let denied = self
            .processes
            .get(&process)
            .is_some_and(|process| process.deny_new_vmo);
        if denied {
            Err(Status::ACCESS_DENIED)
        } else {
            Ok(())
        }
    }
}
