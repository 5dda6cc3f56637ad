//! The content (stream) size of a VMO: how many of its bytes mean something.
//!
//! Changing it zeros what lies between the smaller of the old and the new one and the VMO's end. In a pager's VMO whole pages up to the
//! new content's end become zeros that the pager is to be told of; those past it become zeros that it does not keep. Slices have a
//! content size of their own, references that of their owner.

use protocol::{RawHandle, Rights, Status};

use crate::flush::flushing;
use crate::ids::{Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::{Body, OK, Op, Step, StepResult};
use crate::user::Undo;
use crate::zeroing::Zeroing;

impl Kernel {
    pub(crate) fn sys_vmo_get_stream_size(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        out: u64,
    ) -> Begin {
        let (id, _) = self.typed::<VmoId>(caller.process, raw, Rights::empty())?;
        let size = self.stream_size(id).ok_or(Status::INTERNAL)?;
        let body = self.copy_out(caller.process, out, &size.to_le_bytes(), Undo::Nothing);
        self.begin(caller, body, Vec::new())
    }

    /// VMO, its kind, the new size: in this order.
    pub(crate) fn sys_vmo_set_stream_size(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        size: u64,
    ) -> Begin {
        let (id, _) = self.typed::<VmoId>(caller.process, raw, Rights::WRITE)?;
        match self.set_stream_size(id, size)? {
            Some(body) => self.begin(caller, body, vec![id]),
            None => Ok(Started::Done(0)),
        }
    }

    pub(crate) fn stream_size(&self, id: VmoId) -> Option<u64> {
        self.vmos.get(&self.sized(id)).map(|vmo| vmo.stream_size)
    }

    /// Sets the content size, for which the caller has the right; `None` if there is nothing to do.
    fn set_stream_size(&mut self, id: VmoId, size: u64) -> Result<Option<Body>, Status> {
        if self.is_physical(id) || self.is_contiguous(id) {
            return Err(Status::NOT_SUPPORTED);
        }
        let id = self.sized(id);
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        if size > vmo.size {
            return Err(Status::OUT_OF_RANGE);
        }
        if size == vmo.stream_size {
            return Ok(None);
        }
        let old = std::mem::replace(&mut vmo.stream_size, size);
        let from = size.min(old);
        let length = vmo.size - from;
        let mapped = match size < old {
            true => self.mapped_beyond_stream(id, size),
            false => Vec::new(),
        };
        let (root, start) = self.root(id, from);
        let end = start + length;
        // What lies beyond a slice's content may be content of its parent.
        let content = match root == id {
            true => start + (size - from),
            false => end,
        };
        if let Some(root) = self.vmos.get_mut(&root) {
            root.modified = true;
        }
        let zeroing = Body::StreamSize(Zeroing::of_content(root, start, content, end));
        Ok(Some(match mapped.is_empty() {
            true => zeroing,
            false => flushing(mapped, Some(zeroing)),
        }))
    }

    /// Zeros what a change of content size uncovered; another change may have cut it off.
    pub(crate) fn step_stream_size(
        &mut self,
        token: Token,
        op: &mut Op,
        zeroing: &mut Zeroing,
    ) -> StepResult {
        if !op.holds.contains(&zeroing.vmo) {
            // A property's value was copied in before the VMO was known.
            self.hold(zeroing.vmo);
            op.holds.push(zeroing.vmo);
        }
        match self.step_zeroing(token, op, zeroing) {
            Err(Status::OUT_OF_RANGE) => OK,
            result => result,
        }
    }

    /// `ZX_PROP_VMO_CONTENT_SIZE` was given.
    pub(crate) fn begin_stream_size(&mut self, id: VmoId, size: u64) -> StepResult {
        match self.set_stream_size(id, size)? {
            Some(body) => Ok(Step::Become(body)),
            None => OK,
        }
    }
}
