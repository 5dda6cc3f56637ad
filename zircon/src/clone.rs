//! Making clones: what a new clone shows, and freezing what its parent holds first where neither may see the other's writes.
//!
//! | parent | child |
//! |---|---|
//! | a pager's VMO | shows it, live |
//! | a VMO that owns nothing | shows what the parent shows |
//! | any other | the parent's pages are frozen as a VMO of their own ([`crate::frozen`]); parent and child show that |
//!
//! A chain of views is as long as there are frozen VMOs on it, each with two clones or more. Limits are composed when a clone is made:
//! it never shows more than its parent did then.

use std::ops::Range;

use protocol::options::ChildOptions;
use protocol::{PAGE_SIZE, Status};

use crate::children::NewChild;
use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::look::Cow;
use crate::memory::{MemoryOpId, Pages};
use crate::op::Waiting;
use crate::vmo::{Busy, Vmo, VmoKind};
use crate::work::Work;

/// Whether a clone can be made now.
pub(crate) enum Made {
    Clone(Box<Vmo>),
    /// The call is registered with this and has to wait.
    Wait(Waiting),
}

/// What a clone is to be made of.
struct Origin {
    /// The VMO that owns the parent's pages.
    root: VmoId,
    /// The pages of it that the clone covers, as far as they show.
    pages: Range<u64>,
    /// Bytes from the start of the first ancestor.
    base: u64,
    /// It is to be a snapshot of what was modified, in a pager's hierarchy.
    modified: bool,
}

impl Kernel {
    pub(crate) fn new_clone(&mut self, token: Token, child: &NewChild) -> Result<Made, Status> {
        let origin = self.origin(child)?;
        let root = self.vmos.get_mut(&origin.root).ok_or(Status::INTERNAL)?;
        let mut clone = child.vmo(VmoKind::Anonymous);
        clone.is_clone = true;
        clone.is_immutable = child.kind == ChildOptions::SNAPSHOT && child.no_write;
        clone.base = origin.base;
        clone.below_modified = origin.modified;
        if root.source().is_some() {
            clone.cow = Cow::of(origin.root, &origin.pages);
        } else if !origin.pages.is_empty() && root.owns_any() {
            return self.freeze(token, origin.root).map(Made::Wait);
        } else {
            let cow = root.cow.as_ref();
            clone.cow = cow.and_then(|cow| {
                let pages = &origin.pages;
                cow.through(pages.start, &(0..pages.end - pages.start))
            });
            root.below_modified |= origin.modified;
        }
        Ok(Made::Clone(Box::new(clone)))
    }

    /// Alignment, range, kind of parent, its state, its hierarchy: in this order.
    fn origin(&self, child: &NewChild) -> Result<Origin, Status> {
        if !child.offset.is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let end = child.offset.checked_add(child.rounded);
        end.ok_or(Status::OUT_OF_RANGE)?;
        let (root, start) = self.root(child.parent, 0);
        let vmo = self.vmos.get(&root).ok_or(Status::INTERNAL)?;
        let start = start.checked_add(child.offset);
        let base = start.and_then(|start| vmo.base.checked_add(start));
        let (Some(start), Some(base)) = (start, base) else {
            return Err(Status::INVALID_ARGS);
        };
        base.checked_add(child.rounded)
            .ok_or(Status::INVALID_ARGS)?;
        if self.is_contiguous(child.parent) {
            return Err(Status::INVALID_ARGS);
        }
        if self.is_physical(child.parent) {
            return Err(Status::NOT_SUPPORTED);
        }
        self.check_cached(child.parent)?;
        // What devices use cannot become somebody else's.
        if vmo.source().is_none() && !vmo.pins.is_empty() {
            return Err(Status::BAD_STATE);
        }
        let modified = self.is_modified_snapshot(child, root, vmo)?;
        let first = start / PAGE_SIZE;
        let shown = self.size(child.parent).saturating_sub(child.offset);
        let count = shown.min(child.rounded) / PAGE_SIZE;
        Ok(Origin {
            root,
            pages: first..first + count,
            base,
            modified,
        })
    }

    /// Whether a clone is to be a snapshot of what was modified in a pager's hierarchy; NOT_SUPPORTED where its type is not.
    fn is_modified_snapshot(
        &self,
        child: &NewChild,
        root: VmoId,
        vmo: &Vmo,
    ) -> Result<bool, Status> {
        if self.pager_behind(root).is_none() {
            return Ok(false);
        }
        let modified = match child.kind {
            ChildOptions::SNAPSHOT => return Err(Status::NOT_SUPPORTED),
            ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE => vmo.below_modified,
            _ => true,
        };
        let of_slice = root != self.sized(child.parent);
        if modified && of_slice && vmo.source().is_none() {
            return Err(Status::NOT_SUPPORTED);
        }
        Ok(modified)
    }

    /// Waits until nothing is under way on a VMO, while nothing new begins; `None` when that is so.
    fn shut(&mut self, token: Token, id: VmoId) -> Option<Waiting> {
        let vmo = self.vmos.get_mut(&id)?;
        let mine = MemoryOpId(token.0);
        if vmo.busy.iter().all(|busy| busy.op == mine) {
            vmo.busy.clear();
            return None;
        }
        if !vmo.is_shut() {
            vmo.busy.push(Busy {
                op: mine,
                pages: Busy::ALL,
                exclusive: true,
            });
        }
        vmo.busy_waiters.push(token);
        Some(Waiting::Busy(id))
    }

    /// The call that shut a VMO has failed: what waits goes on.
    pub(crate) fn reopen(&mut self, token: Token, id: VmoId) {
        let Some(vmo) = self.vmos.get_mut(&id) else {
            return;
        };
        let before = vmo.busy.len();
        vmo.busy.retain(|busy| busy.op != MemoryOpId(token.0));
        if vmo.busy.len() < before {
            for waiter in std::mem::take(&mut vmo.busy_waiters) {
                self.wake(waiter);
            }
        }
    }

    /// Freezes what a VMO owns, once that is possible; says what to wait for.
    fn freeze(&mut self, token: Token, id: VmoId) -> Result<Waiting, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::INTERNAL)?;
        if !vmo.pins.is_empty() {
            return Err(Status::BAD_STATE);
        }
        if vmo.resizing {
            vmo.busy_waiters.push(token);
            return Ok(Waiting::Busy(id));
        }
        if let Some(wait) = self.shut(token, id) {
            return Ok(wait);
        }
        self.emit_freeze(token, id)
    }

    /// A new clone shows what it was made to show.
    pub(crate) fn begin_view(&mut self, id: VmoId) {
        let Some(cow) = self.vmos.get(&id).and_then(|vmo| vmo.cow.clone()) else {
            return;
        };
        let first = cow.visible.start;
        self.work.push_back(Work::View {
            pages: Pages {
                vmo: id,
                first,
                count: cow.visible.end - first,
            },
            of: cow.behind,
            at: first + cow.offset,
        });
        self.add_viewer(cow.behind, id);
    }

    /// A VMO is shown by another.
    pub(crate) fn add_viewer(&mut self, id: VmoId, viewer: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.users += 1;
            vmo.viewers.insert(viewer);
        }
    }
}
