//! `zx_pager_supply_pages`: moves pages of an auxiliary VMO into a pager-owned one.
//!
//! Run by run, front to back: a slot that holds anything keeps it and the auxiliary page is freed; an absent slot takes
//! the auxiliary page, or becomes a zero page where the auxiliary VMO has none. Afterwards the auxiliary range has no
//! pages left.

use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::ids::{PagerId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::memory::{MemoryOp, Pages};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::source::{Provider, SourceState};

/// How far a supply has come.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    vmo: VmoId,
    /// Next page of `vmo`.
    page: u64,
    /// The VMO that holds the auxiliary pages.
    aux: VmoId,
    aux_page: u64,
    /// Pages still to go.
    count: u64,
}

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SupplyArgs {
    pub pager: RawHandle,
    pub vmo: RawHandle,
    pub offset: u64,
    pub length: u64,
    pub aux: RawHandle,
    pub aux_offset: u64,
}

/// OUT_OF_RANGE unless `[offset, offset + length)` is within `size`.
pub(crate) fn check_range(offset: u64, length: u64, size: u64) -> Result<(), Status> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Status::OUT_OF_RANGE),
    }
}

impl Kernel {
    /// Alignment, pager, VMO, ownership, auxiliary VMO, its kind and range, destination range and state: in this order.
    pub(crate) fn sys_pager_supply_pages(&mut self, caller: Caller, args: SupplyArgs) -> Begin {
        let SupplyArgs {
            offset,
            length,
            aux_offset,
            ..
        } = args;
        if (offset | length | aux_offset) % PAGE_SIZE != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (pager, _) = self.typed::<PagerId>(caller.process, args.pager, Rights::MANAGE_VMO)?;
        let (vmo, _) = self.typed::<VmoId>(caller.process, args.vmo, Rights::WRITE)?;
        self.check_owner(vmo, pager)?;
        let (aux, _) =
            self.typed::<VmoId>(caller.process, args.aux, Rights::READ | Rights::WRITE)?;
        if length == 0 {
            return Ok(Started::Done(0));
        }
        if self.is_pager_backed(aux) {
            return Err(Status::NOT_SUPPORTED);
        }
        let aux_size = self.vmos.get(&aux).map_or(0, |vmo| vmo.size);
        check_range(aux_offset, length, aux_size)?;
        let (aux_root, aux_start) = self.root(aux, aux_offset);
        let supply = Supply {
            vmo,
            page: offset / PAGE_SIZE,
            aux: aux_root,
            aux_page: aux_start / PAGE_SIZE,
            count: length / PAGE_SIZE,
        };
        self.begin(caller, Body::Supply(supply), vec![vmo, aux_root])
    }

    /// INVALID_ARGS unless the VMO itself (no child of it) was made by this pager.
    pub(crate) fn check_owner(&self, vmo: VmoId, pager: PagerId) -> Result<(), Status> {
        let source = self.vmos.get(&vmo).and_then(|vmo| vmo.source());
        match source.map(|source| source.provider) {
            Some(Provider::Pager { pager: owner, .. }) if owner == pager => Ok(()),
            _ => Err(Status::INVALID_ARGS),
        }
    }

    pub(crate) fn step_supply(
        &mut self,
        token: Token,
        op: &mut Op,
        supply: &mut Supply,
    ) -> StepResult {
        op.take_reply()?;
        loop {
            if supply.count == 0 {
                return OK;
            }
            let vmo = self.vmos.get(&supply.vmo).ok_or(Status::BAD_STATE)?;
            let aux = self.vmos.get(&supply.aux).ok_or(Status::BAD_STATE)?;
            check_range(supply.aux_page, supply.count, aux.page_count())?;
            check_range(supply.page, supply.count, vmo.page_count())?;
            if vmo
                .source()
                .is_none_or(|source| source.state != SourceState::Attached)
            {
                return Err(Status::BAD_STATE);
            }
            let calm = vmo.calm_run(supply.page, supply.count, true);
            if calm == 0 {
                return self.wait_busy(supply.vmo, token);
            }
            let calm = aux.calm_run(supply.aux_page, calm, true);
            if calm == 0 {
                return self.wait_busy(supply.aux, token);
            }
            let (state, here) = vmo.state_run(supply.page, calm);
            let (aux_state, there) = aux.state_run(supply.aux_page, calm);
            let (absent, committed) = (state == PageState::Absent, aux_state.is_committed());
            let count = here.min(there);
            let from = Pages {
                vmo: supply.aux,
                first: supply.aux_page,
                count,
            };
            let first = supply.page;
            supply.page += count;
            supply.aux_page += count;
            supply.count -= count;
            match (absent, committed) {
                (true, true) => {
                    let to = supply.vmo;
                    self.emit(
                        Some(token),
                        MemoryOp::Move {
                            from,
                            to,
                            to_first: first,
                        },
                    );
                    return Ok(Step::Wait(Waiting::Memory));
                }
                (false, true) => {
                    if let Some(aux) = self.vmos.get_mut(&supply.aux) {
                        aux.pages.set(from.range(), PageState::Absent);
                    }
                    self.emit(Some(token), MemoryOp::Decommit(from));
                    return Ok(Step::Wait(Waiting::Memory));
                }
                (true, false) => self.publish_zero(supply.vmo, first..first + count),
                (false, false) => {}
            }
        }
    }
}
