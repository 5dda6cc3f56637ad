//! `zx_pager_supply_pages`: moves pages of an auxiliary VMO into a pager-owned one.
//!
//! Run by run, front to back: a slot that holds anything keeps it and the auxiliary page is freed; an absent slot takes
//! the auxiliary page, or becomes a zero page where the auxiliary VMO has none. Afterwards the auxiliary range has no
//! pages left; nor has it if the call fails once it has begun.

use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::ids::{PagerId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::memory::{MemoryOp, Pages};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::source::{Provider, SourceState};
use crate::zero_slots::ZeroKind;

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
    /// Something has changed.
    begun: bool,
    /// Pages of the move under way.
    moving: u64,
    /// What the call will return: from then on the auxiliary pages are only dropped.
    failed: Option<Status>,
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

impl Supply {
    /// The move under way did not happen: its auxiliary pages are among those to be dropped.
    fn fail_move(&mut self, status: Status) {
        self.page -= self.moving;
        self.aux_page -= self.moving;
        self.count += self.moving;
        self.failed = Some(status);
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
        if self.is_pager_backed(aux) || self.is_physical(aux) || self.is_contiguous(aux) {
            return Err(Status::NOT_SUPPORTED);
        }
        let aux_size = self.size(aux);
        check_range(aux_offset, length, aux_size)?;
        let (aux_root, aux_start) = self.root(aux, aux_offset);
        let supply = Supply {
            vmo,
            page: offset / PAGE_SIZE,
            aux: aux_root,
            aux_page: aux_start / PAGE_SIZE,
            count: length / PAGE_SIZE,
            begun: false,
            moving: 0,
            failed: None,
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
        match op.take_reply() {
            Ok(reply) => supply.begun |= reply.is_some(),
            Err(status) if !supply.begun => return Err(status),
            Err(status) => supply.fail_move(status),
        }
        supply.moving = 0;
        loop {
            if supply.failed.is_none()
                && let Err(status) = self.can_supply(supply)
            {
                if !supply.begun {
                    return Err(status);
                }
                supply.failed = Some(status);
            }
            if supply.count == 0 {
                return supply.failed.map_or(OK, Err);
            }
            if let Some(wait) = self.supply_run(token, supply)? {
                return Ok(wait);
            }
        }
    }

    /// Whether the rest of a supply can go on.
    fn can_supply(&self, supply: &Supply) -> Result<(), Status> {
        let vmo = self.vmos.get(&supply.vmo).ok_or(Status::BAD_STATE)?;
        let aux = self.vmos.get(&supply.aux).ok_or(Status::BAD_STATE)?;
        if aux.is_discarded() {
            return Err(Status::NOT_FOUND);
        }
        check_range(supply.aux_page, supply.count, aux.page_count())?;
        check_range(supply.page, supply.count, vmo.page_count())?;
        match vmo.source() {
            Some(source) if source.state == SourceState::Attached => Ok(()),
            _ => Err(Status::BAD_STATE),
        }
    }

    /// Deals with the next run of alike pages; `None` if that needed no memory operation. After a failure the auxiliary pages
    /// are dropped and nothing else happens.
    fn supply_run(&mut self, token: Token, supply: &mut Supply) -> Result<Option<Step>, Status> {
        let mut count = supply.count;
        let mut absent = false;
        if let Some(vmo) = self
            .vmos
            .get(&supply.vmo)
            .filter(|_| supply.failed.is_none())
        {
            count = vmo.calm_run(supply.page, count, true);
            if count == 0 {
                return self.wait_busy(supply.vmo, token).map(Some);
            }
            let (state, run) = vmo.state_run(supply.page, count);
            absent = state == PageState::Absent;
            count = run;
        }
        let aux = self.vmos.get(&supply.aux).ok_or(Status::BAD_STATE)?;
        count = aux.calm_run(supply.aux_page, count, true);
        if count == 0 {
            return self.wait_busy(supply.aux, token).map(Some);
        }
        let (aux_state, run) = aux.state_run(supply.aux_page, count);
        count = run;
        let (first, from) = (
            supply.page,
            Pages {
                vmo: supply.aux,
                first: supply.aux_page,
                count,
            },
        );
        supply.page += count;
        supply.aux_page += count;
        supply.count -= count;
        let op = match (absent, aux_state.is_committed()) {
            (true, true) => MemoryOp::Move {
                from,
                to: supply.vmo,
                to_first: first,
                protect: true,
            },
            (false, true) => {
                self.drop_run(Some(token), supply.aux, from.range());
                return Ok(Some(Step::Wait(Waiting::Memory)));
            }
            (true, false) => {
                supply.begun = true;
                self.publish_zero(supply.vmo, first..first + count, ZeroKind::Marker);
                return Ok(None);
            }
            (false, false) => return Ok(None),
        };
        if absent {
            supply.moving = count;
        }
        self.emit(Some(token), op);
        Ok(Some(Step::Wait(Waiting::Memory)))
    }
}
