//! `zx_pager_query_dirty_ranges` and `zx_pager_query_vmo_stats`: what a pager has to write back.
//!
//! Where the memory only notes writes, it is asked for them first; then the answer is made in one go and copied out.

use std::ops::Range;

use protocol::options::{
    DIRTY_RANGE_IS_ZERO, RESET_VMO_STATS, VMO_DIRTY_RANGE_SIZE, VMO_STATS_MODIFIED, VMO_STATS_SIZE,
};
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::ids::{PagerId, ProcessId, Token, VmoId};
use crate::info::InfoOut;
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::Writes;
use crate::op::{Body, Op, Step, StepResult};
use crate::pages::PageState;
use crate::supply::check_range;
use crate::user::{CopyOut, Undo};
use crate::vmo::Vmo;
use crate::zero_slots::ZeroKind;

/// A query, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    process: ProcessId,
    vmo: VmoId,
    /// First page to scan next.
    next: u64,
    pages: Range<u64>,
    about: About,
}

#[derive(Clone, Copy, Debug)]
enum About {
    /// The dirty ranges, into such a buffer.
    Ranges(InfoOut),
    /// Whether it was modified, and whether that is to be forgotten.
    Stats { buffer: u64, reset: bool },
}

/// Pages that are dirty, and whether they are zeros without storage.
type DirtyRun = (Range<u64>, bool);

/// The dirty runs of a VMO within `pages`, in order.
fn dirty_runs(vmo: &Vmo, pages: Range<u64>) -> Vec<DirtyRun> {
    let dirty = |state| matches!(state, PageState::Dirty | PageState::Awaiting);
    let pages_of_storage = vmo.pages.runs_of(pages.clone(), dirty);
    let zeros = vmo
        .zero
        .within(pages)
        .filter(|(_, kind)| matches!(kind, ZeroKind::Dirty { .. }));
    let mut runs: Vec<DirtyRun> = zeros.map(|(run, _)| (run, true)).collect();
    runs.extend(pages_of_storage.into_iter().map(|run| (run, false)));
    runs.sort_by_key(|(run, _)| run.start);
    runs
}

impl Kernel {
    /// Pager, VMO, ownership, range: in this order.
    pub(crate) fn sys_pager_query_dirty_ranges(
        &mut self,
        caller: Caller,
        (pager, vmo): (RawHandle, RawHandle),
        (offset, length): (u64, u64),
        out: InfoOut,
    ) -> Begin {
        let id = self.queried(caller, pager, vmo)?;
        let size = self.vmos.get(&id).ok_or(Status::BAD_STATE)?.size;
        check_range(offset, length, size)?;
        let pages = crate::memory_ops::page_span(offset, length);
        self.begin_query(caller, id, pages, About::Ranges(out))
    }

    /// Pager, VMO, ownership, buffer's size, options: in this order.
    pub(crate) fn sys_pager_query_vmo_stats(
        &mut self,
        caller: Caller,
        (pager, vmo): (RawHandle, RawHandle),
        options: u32,
        buffer: u64,
        size: u64,
    ) -> Begin {
        let id = self.queried(caller, pager, vmo)?;
        if size < VMO_STATS_SIZE {
            return Err(Status::BUFFER_TOO_SMALL);
        }
        if options & !RESET_VMO_STATS != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let pages = 0..self.page_count(id);
        let reset = options == RESET_VMO_STATS;
        self.begin_query(caller, id, pages, About::Stats { buffer, reset })
    }

    fn queried(&self, caller: Caller, pager: RawHandle, vmo: RawHandle) -> Result<VmoId, Status> {
        let (pager, _) = self.typed::<PagerId>(caller.process, pager, Rights::MANAGE_VMO)?;
        let (id, _) = self.typed::<VmoId>(caller.process, vmo, Rights::READ)?;
        self.check_owner(id, pager)?;
        Ok(id)
    }

    fn begin_query(
        &mut self,
        caller: Caller,
        vmo: VmoId,
        pages: Range<u64>,
        about: About,
    ) -> Begin {
        let query = Query {
            process: caller.process,
            vmo,
            next: pages.start,
            pages,
            about,
        };
        self.begin(caller, Body::Query(query), vec![vmo])
    }

    pub(crate) fn step_query(
        &mut self,
        token: Token,
        op: &mut Op,
        query: &mut Query,
    ) -> StepResult {
        op.take_reply()?;
        let (id, end) = (query.vmo, query.pages.end);
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        if vmo.storage_writes() == Writes::Noted
            && let Some(wait) = self.scan_next(token, id, &mut query.next, end, None)?
        {
            return Ok(wait);
        }
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let writes = match query.about {
            About::Ranges(out) => ranges_out(&dirty_runs(vmo, query.pages.clone()), out),
            About::Stats { buffer, reset } => {
                let modified = if vmo.modified { VMO_STATS_MODIFIED } else { 0 };
                vmo.modified &= !reset;
                vec![(buffer, modified.to_le_bytes().to_vec())]
            }
        };
        Ok(Step::Become(Body::CopyOut(CopyOut {
            process: query.process,
            writes,
            value: Status::OK,
            undo: Undo::Nothing,
        })))
    }
}

/// What a query of dirty ranges writes: as many records as fit, their number, and how many there are.
fn ranges_out(runs: &[DirtyRun], out: InfoOut) -> Vec<(u64, Vec<u8>)> {
    let fit = usize::try_from(out.size / VMO_DIRTY_RANGE_SIZE).unwrap_or(usize::MAX);
    let mut records = Vec::with_capacity(runs.len().min(fit) * VMO_DIRTY_RANGE_SIZE as usize);
    for (run, zero) in runs.iter().take(fit) {
        let options = if *zero { DIRTY_RANGE_IS_ZERO } else { 0 };
        for word in [
            run.start * PAGE_SIZE,
            (run.end - run.start) * PAGE_SIZE,
            options,
        ] {
            records.extend_from_slice(&word.to_le_bytes());
        }
    }
    let mut writes = Vec::new();
    if !records.is_empty() {
        writes.push((out.buffer, records));
    }
    let counts = [runs.len().min(fit), runs.len()];
    for (address, count) in [out.actual, out.avail].into_iter().zip(counts) {
        if address != 0 {
            writes.push((address, (count as u64).to_le_bytes().to_vec()));
        }
    }
    writes
}
