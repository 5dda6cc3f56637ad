//! `zx_vmo_create_child`, and the tree of parents and children that programs see.
//!
//! The tree is one of objects: who is whose child, what ZX_VMO_ZERO_CHILDREN and `num_children` say. A VMO is in it while handles,
//! mappings or operations refer to it; when it goes, its children become its parent's. Whose pages a child shows is another
//! matter: slices and references name the VMO that owns the pages, clones are made in [`crate::clone`].

use protocol::options::{ChildOptions, VmoOptions};
use protocol::{PAGE_SIZE, RawHandle, Rights, Signals, Status};

use crate::clone::Made;
use crate::handle::require;
use crate::ids::{ObjectRef, ProcessId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, Op, Step, StepResult};
use crate::resize::page_round;
use crate::vmo::{Vmo, VmoKind};

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildArgs {
    pub parent: RawHandle,
    pub options: u32,
    pub offset: u64,
    pub size: u64,
    pub out: u64,
}

/// A child that is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewChild {
    process: ProcessId,
    out: u64,
    pub parent: VmoId,
    /// One of the types, without the modifiers.
    pub kind: ChildOptions,
    pub resizable: bool,
    pub no_write: bool,
    /// Byte offset in the parent.
    pub offset: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The same as whole pages.
    pub rounded: u64,
    /// Rights of the parent's handle.
    rights: Rights,
}

impl NewChild {
    /// The child without what makes it one.
    pub fn vmo(&self, kind: VmoKind) -> Vmo {
        let mut options = VmoOptions::empty();
        options.set(VmoOptions::RESIZABLE, self.resizable);
        Vmo::new(self.rounded, self.size, options, kind)
    }

    fn is_clone(&self) -> bool {
        self.kind != ChildOptions::SLICE && self.kind != ChildOptions::REFERENCE
    }

    /// Rights of the child's first handle.
    fn child_rights(&self) -> Rights {
        let mut rights = self.rights | Rights::GET_PROPERTY | Rights::SET_PROPERTY;
        rights.set(Rights::RESIZE, self.resizable);
        if self.no_write {
            rights - Rights::WRITE
        } else if self.is_clone() {
            (rights | Rights::WRITE) - Rights::EXECUTE
        } else {
            rights
        }
    }
}

impl Kernel {
    /// Size, contradiction, handle, discardable parent, type: in this order. What each type demands comes next.
    pub(crate) fn sys_vmo_create_child(&mut self, caller: Caller, args: ChildArgs) -> Begin {
        let rounded = page_round(args.size).ok_or(Status::OUT_OF_RANGE)?;
        let options = ChildOptions::from_bits_retain(args.options);
        if options.contains(ChildOptions::NO_WRITE | ChildOptions::RESIZABLE) {
            return Err(Status::INVALID_ARGS);
        }
        let needed = Rights::DUPLICATE | Rights::READ;
        let (parent, rights) = self.typed::<VmoId>(caller.process, args.parent, needed)?;
        if options.contains(ChildOptions::REFERENCE | ChildOptions::RESIZABLE) {
            require(rights, Rights::RESIZE)?;
        }
        if self.options(parent).contains(VmoOptions::DISCARDABLE) {
            return Err(Status::NOT_SUPPORTED);
        }
        let kind = options - (ChildOptions::NO_WRITE | ChildOptions::RESIZABLE);
        if kind.bits().count_ones() != 1 || ChildOptions::from_bits(kind.bits()).is_none() {
            return Err(Status::INVALID_ARGS);
        }
        let child = NewChild {
            process: caller.process,
            out: args.out,
            parent,
            kind,
            resizable: options.contains(ChildOptions::RESIZABLE),
            no_write: options.contains(ChildOptions::NO_WRITE),
            offset: args.offset,
            size: args.size,
            rounded,
            rights,
        };
        self.begin(caller, Body::CreateChild(child), vec![parent])
    }

    pub(crate) fn step_create_child(
        &mut self,
        token: Token,
        op: &mut Op,
        child: &NewChild,
    ) -> StepResult {
        let made = op.take_reply().and_then(|_| self.make_child(token, child));
        if !matches!(made, Ok(Step::Wait(_))) {
            let (root, _) = self.root(child.parent, 0);
            self.reopen(token, root);
        }
        made
    }

    fn make_child(&mut self, token: Token, child: &NewChild) -> StepResult {
        let vmo = match child.kind {
            ChildOptions::SLICE => self.new_slice(child)?,
            ChildOptions::REFERENCE => self.new_reference(child)?,
            _ => match self.new_clone(token, child)? {
                Made::Clone(clone) => *clone,
                Made::Wait(waiting) => return Ok(Step::Wait(waiting)),
            },
        };
        let id = self.add_child(child, vmo);
        self.handle_to_user(
            child.process,
            ObjectRef::Vmo(id),
            child.child_rights(),
            child.out,
        )
    }

    /// Alignment, range, resizable parent: in this order.
    fn new_slice(&self, child: &NewChild) -> Result<Vmo, Status> {
        if child.resizable || !child.offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let end = child.offset.checked_add(child.rounded);
        if end.is_none_or(|end| end > self.size(child.parent)) {
            return Err(Status::INVALID_ARGS);
        }
        let sized = self.vmos.get(&self.sized(child.parent));
        if sized.is_some_and(Vmo::is_resizable) {
            return Err(Status::NOT_SUPPORTED);
        }
        let (owner, offset) = match self.vmos.get(&child.parent).map(|vmo| &vmo.kind) {
            Some(VmoKind::Slice { owner, offset }) => (*owner, offset + child.offset),
            Some(VmoKind::Reference { owner }) => (*owner, child.offset),
            _ => (child.parent, child.offset),
        };
        Ok(child.vmo(VmoKind::Slice { owner, offset }))
    }

    /// Offset and size, the parent's kind, its size: in this order.
    fn new_reference(&self, child: &NewChild) -> Result<Vmo, Status> {
        if child.offset != 0 || child.size != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let parent = self.vmos.get(&child.parent).ok_or(Status::INTERNAL)?;
        let special = matches!(
            parent.kind,
            VmoKind::Slice { .. } | VmoKind::Physical { .. }
        );
        if special || parent.contiguous.is_some() {
            return Err(Status::NOT_SUPPORTED);
        }
        if child.resizable && !parent.is_resizable() {
            return Err(Status::NOT_SUPPORTED);
        }
        let (owner, _) = self.root(child.parent, 0);
        Ok(child.vmo(VmoKind::Reference { owner }))
    }

    /// A new child takes its place in the tree. It has no handle yet.
    fn add_child(&mut self, child: &NewChild, mut vmo: Vmo) -> VmoId {
        vmo.parent = Some(child.parent);
        let owner = vmo.owner();
        if let Some(parent) = self.vmos.get(&child.parent)
            && child.rights.contains(Rights::GET_PROPERTY)
        {
            vmo.header.name = parent.header.name;
        }
        let id = self.add_vmo(vmo);
        if let Some(owner) = owner {
            self.hold_storage(owner);
        }
        self.begin_view(id);
        if let Some(parent) = self.vmos.get_mut(&child.parent) {
            parent.children.insert(id);
        }
        let (active, none) = (Signals::VMO_ZERO_CHILDREN, Signals::empty());
        self.change_signals(ObjectRef::Vmo(child.parent), active, none);
        id
    }

    /// An object is gone: its children are its parent's from now on, if it has one.
    pub(crate) fn leave_tree(&mut self, id: VmoId) {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let parent = vmo.parent.take();
        let orphans = std::mem::take(&mut vmo.children);
        for orphan in &orphans {
            if let Some(orphan) = self.vmos.get_mut(orphan) {
                orphan.parent = parent;
            }
        }
        let Some((parent, id)) = parent.map(|parent| (parent, id)) else {
            return;
        };
        let Some(vmo) = self.vmos.get_mut(&parent) else {
            return;
        };
        vmo.children.remove(&id);
        vmo.children.extend(orphans);
        if vmo.children.is_empty() {
            let none = Signals::empty();
            self.change_signals(ObjectRef::Vmo(parent), none, Signals::VMO_ZERO_CHILDREN);
        }
    }
}
