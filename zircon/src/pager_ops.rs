//! `zx_pager_op_range`: its checks, and failing requests.

use protocol::options::{PagerOp, WRITEBACK_RANGE_IS_ZERO};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::dirty::Dirtying;
use crate::ids::{PagerId, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::Body;
use crate::source::SourceState;
use crate::supply::check_range;
use crate::writeback::{End, Writeback};

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PagerOpArgs {
    pub pager: RawHandle,
    pub op: u32,
    pub vmo: RawHandle,
    pub offset: u64,
    pub length: u64,
    pub data: u64,
}

/// The error that a pager may fail requests with.
fn failure(data: u64) -> Result<Status, Status> {
    let status = Status::from_register(data);
    match status {
        Status::IO
        | Status::IO_DATA_INTEGRITY
        | Status::BAD_STATE
        | Status::NO_SPACE
        | Status::BUFFER_TOO_SMALL
            if status.to_register() == data =>
        {
            Ok(status)
        }
        _ => Err(Status::INVALID_ARGS),
    }
}

impl Kernel {
    /// Alignment, pager, VMO, ownership, operation and its data, range, state: in this order.
    pub(crate) fn sys_pager_op_range(&mut self, caller: Caller, args: PagerOpArgs) -> Begin {
        let PagerOpArgs {
            offset,
            length,
            data,
            ..
        } = args;
        if !(offset | length).is_multiple_of(PAGE_SIZE) {
            return Err(Status::INVALID_ARGS);
        }
        let (pager, _) = self.typed::<PagerId>(caller.process, args.pager, Rights::MANAGE_VMO)?;
        let (id, _) = self.typed::<VmoId>(caller.process, args.vmo, Rights::WRITE)?;
        self.check_owner(id, pager)?;
        let op = PagerOp::from_number(args.op).ok_or(Status::NOT_SUPPORTED)?;
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let valid = match op {
            PagerOp::Fail => failure(data).is_ok(),
            PagerOp::Dirty if !vmo.traps_dirty() => return Err(Status::NOT_SUPPORTED),
            PagerOp::Dirty | PagerOp::WritebackEnd => data == 0,
            PagerOp::WritebackBegin => data & !WRITEBACK_RANGE_IS_ZERO == 0,
        };
        if !valid {
            return Err(Status::INVALID_ARGS);
        }
        check_range(offset, length, vmo.size)?;
        let attached = vmo
            .source()
            .is_some_and(|source| source.state == SourceState::Attached);
        let pages = offset / PAGE_SIZE..(offset + length) / PAGE_SIZE;
        let body = match op {
            PagerOp::Fail | PagerOp::Dirty if !attached => return Err(Status::BAD_STATE),
            PagerOp::Fail => {
                let error = Some(failure(data)?);
                self.resolve(id, pages.clone(), error);
                self.resolve_dirty(id, pages, error);
                return Ok(Started::Done(0));
            }
            PagerOp::Dirty => Body::Dirtying(Dirtying {
                vmo: id,
                pages,
                checked: false,
            }),
            PagerOp::WritebackBegin => {
                let zeros_only = data == WRITEBACK_RANGE_IS_ZERO;
                self.begin_writeback(id, pages.clone());
                if zeros_only {
                    return Ok(Started::Done(0));
                }
                Body::Writeback(Writeback::new(id, pages, End::Awaiting))
            }
            PagerOp::WritebackEnd => Body::Writeback(Writeback::new(id, pages, End::Clean)),
        };
        self.begin(caller, body, vec![id])
    }
}
