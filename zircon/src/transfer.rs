//! `zx_vmo_read` and `zx_vmo_write`: bytes between a VMO and a program's memory.
//!
//! The range is checked first and again at each step: a VMO that shrinks meanwhile ends the call with OUT_OF_RANGE. Pages
//! before a failing page may have been transferred. A buffer that is not there, or does not permit it, is NOT_FOUND.

use protocol::{RawHandle, Rights, Status};

use crate::ids::{ProcessId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::MemoryOp;
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::ready::{Need, Ready};
use crate::work::Access;

/// Most bytes of one copy.
const MAX_COPY: u64 = 1 << 20;

/// How far a transfer has come.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub process: ProcessId,
    pub vmo: VmoId,
    pub offset: u64,
    pub buffer: u64,
    length: u64,
    /// Towards the VMO.
    write: bool,
    /// Bytes that the copy under way moves.
    moving: u64,
    /// The VMO's pages are ready; those of the buffer may not be.
    pub outside: bool,
}

impl Kernel {
    pub(crate) fn sys_transfer(
        &mut self,
        caller: Caller,
        handle: RawHandle,
        buffer: u64,
        offset: u64,
        length: u64,
        write: bool,
    ) -> Begin {
        let right = if write { Rights::WRITE } else { Rights::READ };
        let (vmo, _) = self.typed::<VmoId>(caller.process, handle, right)?;
        if self.is_physical(vmo) {
            return Err(Status::NOT_SUPPORTED);
        }
        self.check_cached(vmo)?;
        let process = caller.process;
        let body = Body::Transfer(Transfer {
            process,
            vmo,
            offset,
            buffer,
            length,
            write,
            moving: 0,
            outside: false,
        });
        self.begin(caller, body, vec![vmo])
    }

    pub(crate) fn step_transfer(
        &mut self,
        token: Token,
        op: &mut Op,
        transfer: &mut Transfer,
    ) -> StepResult {
        if op.take_reply()?.is_some() {
            transfer.offset += transfer.moving;
            transfer.buffer += transfer.moving;
            transfer.length -= transfer.moving;
            transfer.moving = 0;
        }
        let error = op.error.take();
        let size = self.size(transfer.vmo);
        let end = transfer
            .offset
            .checked_add(transfer.length)
            .ok_or(Status::OUT_OF_RANGE)?;
        if end > size {
            return Err(Status::OUT_OF_RANGE);
        }
        if let Some(error) = error {
            return Err(error);
        }
        if transfer.length == 0 {
            return OK;
        }
        let (vmo, offset) = self.root(transfer.vmo, transfer.offset);
        let (vmo_need, buffer_need, buffer_access) = match transfer.write {
            true => (Need::WRITE, Need::READ, Access::Read),
            false => (Need::READ, Need::WRITE, Access::Write),
        };
        transfer.outside = false;
        // The whole rest is asked of a pager at once; only what is copied in one go is limited.
        let inside = match self.prepare(token, vmo, offset, transfer.length, vmo_need)? {
            Ready::Wait(waiting) => return Ok(Step::Wait(waiting)),
            ready => ready,
        };
        let (Ready::Present(length) | Ready::Zeros(length)) = inside else {
            return OK;
        };
        transfer.outside = true;
        let length = length.min(MAX_COPY);
        let run = self
            .user_run(transfer.process, transfer.buffer, length, buffer_access)
            .map_err(|_| Status::NOT_FOUND)?;
        let outside = match self.prepare(token, run.vmo, run.offset, run.length, buffer_need)? {
            Ready::Wait(waiting) => return Ok(Step::Wait(waiting)),
            ready => ready,
        };
        let (from, to) = match transfer.write {
            true => ((outside, run.vmo, run.offset), (vmo, offset)),
            false => ((inside, vmo, offset), (run.vmo, run.offset)),
        };
        let (Ready::Present(ready) | Ready::Zeros(ready)) = outside else {
            return OK;
        };
        let mut length = length.min(run.length).min(ready);
        if vmo == run.vmo && offset != run.offset {
            // Copies never overlap: a VMO read into itself goes in pieces.
            length = length.min(offset.abs_diff(run.offset));
        }
        transfer.moving = length;
        let op = match from {
            (Ready::Zeros(_), ..) => MemoryOp::Clear {
                vmo: to.0,
                offset: to.1,
                length,
            },
            (_, from, from_offset) => MemoryOp::Copy {
                from,
                from_offset,
                to: to.0,
                to_offset: to.1,
                length,
            },
        };
        self.emit(Some(token), op);
        Ok(Step::Wait(Waiting::Memory))
    }
}
