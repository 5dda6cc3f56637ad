//! `zx_vmo_op_range`: operations on a range of a VMO.
//!
//! The call, and each piece of a `zx_vmar_op_range`, is checked by [`Kernel::range_op`] and then driven by
//! [`Kernel::step_range_op`]. A VMO that is cut meanwhile ends COMMIT and the hints well, for there is nothing left to do, and the
//! others with OUT_OF_RANGE.

use std::ops::Range;

use protocol::options::VmoOp;
use protocol::{PAGE_SIZE, RawHandle, Rights, Status};

use crate::handle::require;
use crate::ids::{Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::memory::Pages;
use crate::memory_ops::page_span;
use crate::op::{Body, OK, Op, Step, StepResult};
use crate::ready::{Intent, Need, Ready};
use crate::supply::check_range;
use crate::zeroing::Zeroing;

/// The arguments of the call, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeArgs {
    pub vmo: RawHandle,
    pub op: u32,
    pub offset: u64,
    pub length: u64,
    pub buffer: u64,
    pub buffer_size: u64,
}

/// How far an operation on a range has come.
#[derive(Clone, Debug)]
pub(crate) enum RangeOp {
    /// Making pages ready, front to back.
    Pages {
        /// The VMO that holds them.
        vmo: VmoId,
        /// What is left, in bytes, whole pages.
        offset: u64,
        end: u64,
        intent: Intent,
        /// A hint that a pager's pages are always needed: whatever goes wrong ends it, and nobody is told.
        hint: bool,
    },
    /// A hint that a pager's pages are not needed.
    DontNeed { vmo: VmoId, pages: Range<u64> },
    /// Zeroing.
    Zero(Zeroing),
}

/// The right that an operation needs; each is tested by the operation itself.
fn right_of(op: VmoOp) -> Rights {
    match op {
        VmoOp::Commit | VmoOp::Decommit | VmoOp::Zero | VmoOp::CacheInvalidate => Rights::WRITE,
        VmoOp::CacheSync | VmoOp::CacheClean | VmoOp::CacheCleanInvalidate | VmoOp::Prefetch => {
            Rights::READ
        }
        VmoOp::Lock | VmoOp::TryLock | VmoOp::Unlock | VmoOp::DontNeed | VmoOp::AlwaysNeed => {
            Rights::empty()
        }
    }
}

impl Kernel {
    /// The handle, the operation, its right, and then what the operation itself checks.
    pub(crate) fn sys_vmo_op_range(&mut self, caller: Caller, args: RangeArgs) -> Begin {
        let (vmo, rights) = self.typed::<VmoId>(caller.process, args.vmo, Rights::empty())?;
        let op = VmoOp::from_number(args.op).ok_or(Status::INVALID_ARGS)?;
        if op == VmoOp::CacheInvalidate {
            return Err(Status::NOT_SUPPORTED);
        }
        require(rights, right_of(op))?;
        if matches!(op, VmoOp::Lock | VmoOp::TryLock | VmoOp::Unlock) {
            return self.vmo_lock(caller, vmo, rights, op, args);
        }
        match self.range_op(vmo, op, args.offset, args.length)? {
            Some(range) => self.begin(caller, Body::RangeOp(range), vec![vmo]),
            None => Ok(Started::Done(0)),
        }
    }

    /// Commits pages of a VMO that is mapped, as far as they can be had; nobody waits for it.
    pub fn commit(&mut self, now: i64, pages: Pages) {
        self.now = now;
        let range = pages.range();
        let body = Body::RangeOp(RangeOp::Pages {
            vmo: pages.vmo,
            offset: range.start * PAGE_SIZE,
            end: range.end * PAGE_SIZE,
            intent: Intent::Commit,
            hint: true,
        });
        let _ = self.start(None, body, vec![pages.vmo], None);
        self.settle();
    }

    /// Checks an operation on `[offset, offset + length)` of a VMO, for which the caller has the right; `None` if there is nothing
    /// to do.
    pub(crate) fn range_op(
        &self,
        id: VmoId,
        op: VmoOp,
        offset: u64,
        length: u64,
    ) -> Result<Option<RangeOp>, Status> {
        let size = self.size(id);
        let supported = match self.is_physical(id) {
            true => Err(Status::NOT_SUPPORTED),
            false => Ok(()),
        };
        let in_range = || check_range(offset, length, size);
        let whole_pages = || {
            let end = offset.checked_add(length).ok_or(Status::OUT_OF_RANGE)?;
            let (start, end) = (offset - offset % PAGE_SIZE, end.div_ceil(PAGE_SIZE));
            let end = end.checked_mul(PAGE_SIZE).filter(|end| *end <= size);
            let end = end.ok_or(Status::OUT_OF_RANGE)?;
            let (vmo, offset) = self.root(id, start);
            Ok((vmo, offset, offset + (end - start)))
        };
        let pages = |intent, hint| {
            let (vmo, offset, end) = whole_pages()?;
            let work = RangeOp::Pages {
                vmo,
                offset,
                end,
                intent,
                hint,
            };
            Ok((offset < end).then_some(work))
        };
        let zero = || {
            let (vmo, offset) = self.root(id, offset);
            Some(RangeOp::Zero(Zeroing::new(vmo, offset, length)))
        };
        match op {
            VmoOp::Commit => supported.and_then(|()| pages(Intent::Commit, false)),
            VmoOp::Prefetch => supported.and_then(|()| pages(Intent::Read, false)),
            VmoOp::DontNeed | VmoOp::AlwaysNeed if !self.shows_a_pager(id) => Ok(None),
            VmoOp::AlwaysNeed => pages(Intent::Read, true),
            VmoOp::DontNeed => {
                let (vmo, offset, end) = whole_pages()?;
                let pages = offset / PAGE_SIZE..end / PAGE_SIZE;
                Ok(Some(RangeOp::DontNeed { vmo, pages }))
            }
            VmoOp::Zero => {
                supported.and_then(|()| self.check_cached(id))?;
                in_range()?;
                Ok(zero())
            }
            VmoOp::Decommit => {
                supported.and_then(|()| in_range())?;
                if length == 0 {
                    return Ok(None);
                }
                let (root, _) = self.root(id, 0);
                let root = self.vmos.get(&root).ok_or(Status::BAD_STATE)?;
                if root.is_clone || root.cow.is_some() || root.source().is_some() {
                    return Err(Status::NOT_SUPPORTED);
                }
                if !(offset | length).is_multiple_of(PAGE_SIZE) {
                    return Err(Status::INVALID_ARGS);
                }
                let (vmo, start) = self.root(id, offset);
                self.check_unpinned(vmo, start, length)?;
                if self.is_contiguous(id) {
                    return Err(Status::NOT_SUPPORTED);
                }
                Ok(zero())
            }
            VmoOp::CacheSync
            | VmoOp::CacheClean
            | VmoOp::CacheCleanInvalidate
            | VmoOp::CacheInvalidate => {
                if length == 0 {
                    return Err(Status::INVALID_ARGS);
                }
                in_range()?;
                // The caches of the processors that guests run on are coherent.
                supported.map(|()| None)
            }
            VmoOp::Lock | VmoOp::TryLock | VmoOp::Unlock => Err(Status::NOT_SUPPORTED),
        }
    }

    /// Whether absent pages of a VMO are asked of a pager, directly or through what it was cloned from.
    fn shows_a_pager(&self, id: VmoId) -> bool {
        let (root, _) = self.root(id, 0);
        self.pager_behind(root).is_some()
    }

    /// The pages of a pager's VMO that stand behind pages of a VMO, or are them.
    fn pager_pages(&self, id: VmoId, pages: Range<u64>) -> Option<(VmoId, Range<u64>)> {
        let (pager, pages) = match self.behind(id, pages.clone()).pop() {
            Some(last) => last,
            None => (id, pages),
        };
        let paged = self.vmos.get(&pager)?.source().is_some();
        paged.then_some((pager, pages))
    }

    pub(crate) fn step_range_op(
        &mut self,
        token: Token,
        op: &mut Op,
        range: &mut RangeOp,
    ) -> StepResult {
        match range {
            RangeOp::Zero(zeroing) => self.step_zeroing(token, op, zeroing),
            RangeOp::DontNeed { vmo, pages } => {
                if let Some((pager, pages)) = self.pager_pages(*vmo, pages.clone()) {
                    self.not_needed(pager, pages);
                }
                OK
            }
            RangeOp::Pages { hint, .. } => {
                let hint = *hint;
                let result = self.step_range_pages(token, op, range);
                if hint && result.is_err() {
                    return OK;
                }
                result
            }
        }
    }

    fn step_range_pages(&mut self, token: Token, op: &mut Op, range: &mut RangeOp) -> StepResult {
        let RangeOp::Pages {
            vmo,
            offset,
            end,
            intent,
            hint,
        } = range
        else {
            return OK;
        };
        op.take_reply()?;
        let size = self.vmos.get(vmo).ok_or(Status::BAD_STATE)?.size;
        *end = size.min(*end);
        if let Some(error) = op.error.take().filter(|_| *offset < *end) {
            return Err(error);
        }
        while *offset < *end {
            match self.prepare(token, *vmo, *offset, *end - *offset, Need::whole(*intent))? {
                Ready::Wait(waiting) => return Ok(Step::Wait(waiting)),
                Ready::Present(bytes) | Ready::Zeros(bytes) => {
                    let pages = page_span(*offset, bytes);
                    *offset += bytes;
                    if *hint && let Some((pager, pages)) = self.pager_pages(*vmo, pages) {
                        self.always_needed(pager, pages);
                    }
                }
            }
        }
        OK
    }
}
