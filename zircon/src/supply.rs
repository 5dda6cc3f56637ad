//! `zx_pager_supply_pages`: moves pages of an auxiliary VMO into a pager-owned one.
//!
//! Run by run, front to back: a slot that holds anything keeps it and the auxiliary page is freed; an absent slot takes
//! the auxiliary page, or becomes a zero page where the auxiliary VMO has none. Afterwards the auxiliary range has no
//! pages left; nor has it if the call fails once it has begun.

use std::ops::Range;

use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::ids::{PagerId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::look::Seen;
use crate::memory::{MemoryOp, Pages, Writes};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::ready::{Intent, Need, Ready};
use crate::source::{Provider, SourceState};
use crate::watch::Arrival;
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
    /// Goes on by some pages: says where in the pager's VMO it stood.
    fn advance(&mut self, count: u64) -> u64 {
        let page = self.page;
        self.page += count;
        self.aux_page += count;
        self.count -= count;
        page
    }

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
        let (aux_root, aux_start) = self.root(aux, aux_offset);
        self.check_unpinned(aux_root, aux_start, length)?;
        let aux_size = self.size(aux);
        check_range(aux_offset, length, aux_size)?;
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
        self.begin(caller, Body::Supply(supply), vec![vmo, aux])
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
        if let Some(error) = op.error.take() {
            if !supply.begun {
                return Err(error);
            }
            supply.failed = Some(error);
        }
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
            match self.supply_run(token, supply) {
                Ok(Some(wait)) => return Ok(wait),
                Ok(None) => {}
                Err(status) if !supply.begun => return Err(status),
                Err(status) => supply.failed = Some(status),
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
        if aux.is_pinned(&(supply.aux_page..supply.aux_page + supply.count)) {
            return Err(Status::BAD_STATE);
        }
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
        let (seen, count) = self.look(supply.aux, supply.aux_page, count);
        let held = match seen {
            Seen::Page(owner, _, state) if owner == supply.aux => state != PageState::Inherited,
            Seen::Page(..) | Seen::Absent(..) => false,
            // It may have been written to through a mapping.
            Seen::Zero(owner, _, state) if owner != supply.aux && self.may_hide(owner, state) => {
                false
            }
            Seen::Zero(..) | Seen::Nothing => {
                return self.supply_zeros(token, supply, (absent, count));
            }
        };
        let (aux, first) = (supply.aux, supply.aux_page);
        if absent && !held {
            // A page that the auxiliary VMO shows of another becomes its own first.
            let (offset, length) = (first * PAGE_SIZE, count * PAGE_SIZE);
            let need = Need::whole(Intent::Write);
            return match self.prepare(token, aux, offset, length, need)? {
                Ready::Wait(waiting) => Ok(Some(Step::Wait(waiting))),
                Ready::Present(_) | Ready::Zeros(_) => Err(Status::INTERNAL),
            };
        }
        let to_first = supply.advance(count);
        if absent {
            supply.moving = count;
            self.move_run(token, (aux, first, count), (supply.vmo, to_first));
        } else {
            self.take_away(token, aux, first..first + count);
        }
        Ok(Some(Step::Wait(Waiting::Memory)))
    }

    /// Whether a zero page of a VMO may hold something by now that a mapping wrote, and that nobody was told of.
    pub(crate) fn may_hide(&self, owner: VmoId, state: PageState) -> bool {
        let noted = |vmo: &crate::vmo::Vmo| vmo.storage_writes() == Writes::Noted;
        state == PageState::Blank && self.vmos.get(&owner).is_some_and(noted)
    }

    /// Deals with a run of auxiliary pages that are zero.
    fn supply_zeros(
        &mut self,
        token: Token,
        supply: &mut Supply,
        (absent, count): (bool, u64),
    ) -> Result<Option<Step>, Status> {
        let (aux, first) = (supply.aux, supply.aux_page);
        let page = supply.advance(count);
        if absent {
            supply.begun = true;
            let zeros = std::iter::once(page..page + count);
            self.tell_arrival(supply.vmo, zeros, Arrival::Zeros);
            self.publish_zero(supply.vmo, page..page + count, ZeroKind::Marker);
        }
        // Zeros that it shows of another VMO: that may be written to.
        let shows = self
            .vmos
            .get(&aux)
            .is_some_and(|vmo| vmo.cow.is_some() && vmo.state(first) == PageState::Absent);
        if shows {
            self.take_away(token, aux, first..first + count);
        }
        Ok(shows.then_some(Step::Wait(Waiting::Memory)))
    }

    /// Moves pages that a VMO owns to absent ones of another VMO; where they were it reads zero for good.
    pub(crate) fn move_run(
        &mut self,
        token: Token,
        (id, first, count): (VmoId, u64, u64),
        (to, to_first): (VmoId, u64),
    ) {
        let from = Pages {
            vmo: id,
            first,
            count,
        };
        // What a pager supplied is clean.
        let paged = self.vmos.get(&to).and_then(|vmo| vmo.source());
        let protect = paged.is_some();
        let op = MemoryOp::Move {
            from,
            to,
            to_first,
            protect,
        };
        self.emit(Some(token), op);
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.hide(from.range());
        }
    }

    /// Drops what a VMO owns or shows of pages of one state: it reads zero there for good.
    pub(crate) fn take_away(&mut self, token: Token, id: VmoId, run: Range<u64>) {
        self.drop_run(Some(token), id, run.clone());
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.hide(run);
        }
    }
}
