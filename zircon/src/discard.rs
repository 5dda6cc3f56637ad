//! Discardable VMOs: LOCK, TRY_LOCK and UNLOCK of `zx_vmo_op_range`, and discarding what nobody has locked.
//!
//! A VMO that nobody has locked may lose all its pages when others need them; from then on, until it is locked, whatever looks for its
//! pages gets NOT_FOUND. A new VMO is unlocked. Locks are counted.

use protocol::info::VmoLockState;
use protocol::options::{VmoOp, VmoOptions};
use protocol::{Rights, Status};

use crate::ids::VmoId;
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::Body;
use crate::range_ops::RangeArgs;
use crate::user::{CopyOut, Undo};
use crate::vmo::Vmo;

/// How a discardable VMO stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lock {
    count: u64,
    /// Its pages were discarded, and it was not locked since.
    discarded: bool,
    /// When it was last unlocked; 0 if it never was locked.
    since: u64,
}

impl Vmo {
    /// Whether its pages were discarded, and it was not locked since.
    pub fn is_discarded(&self) -> bool {
        self.lock.discarded
    }

    fn can_be_discarded(&self) -> bool {
        self.options.contains(VmoOptions::DISCARDABLE)
            && self.lock.count == 0
            && self.pins.is_empty()
            && self.pages.resident() > 0
    }
}

impl Kernel {
    /// Right, kind, range, and then what the operation asks for: in this order.
    pub(crate) fn vmo_lock(
        &mut self,
        caller: Caller,
        id: VmoId,
        rights: Rights,
        op: VmoOp,
        args: RangeArgs,
    ) -> Begin {
        if !rights.intersects(Rights::READ | Rights::WRITE) {
            return Err(Status::ACCESS_DENIED);
        }
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        if !vmo.options.contains(VmoOptions::DISCARDABLE) {
            return Err(Status::NOT_SUPPORTED);
        }
        if args.offset != 0 || args.length != vmo.size {
            return Err(Status::OUT_OF_RANGE);
        }
        let size = vmo.size;
        match op {
            VmoOp::Unlock if vmo.lock.count == 0 => return Err(Status::BAD_STATE),
            VmoOp::Unlock => self.unlock(id, false),
            VmoOp::TryLock if vmo.lock.discarded => return Err(Status::UNAVAILABLE),
            VmoOp::TryLock => {
                self.lock(id);
            }
            _ => {
                let discarded = self.lock(id);
                if args.buffer_size < size_of::<VmoLockState>() as u64 {
                    self.unlock(id, discarded);
                    return Err(Status::INVALID_ARGS);
                }
                let state = VmoLockState {
                    size,
                    discarded_size: if discarded { size } else { 0 },
                    ..VmoLockState::default()
                };
                let copy = CopyOut {
                    process: caller.process,
                    writes: vec![(args.buffer, state.to_bytes().to_vec())],
                    value: Status::OK,
                    undo: Undo::Lock(id, discarded),
                };
                return self.begin(caller, Body::CopyOut(copy), vec![id]);
            }
        }
        Ok(Started::Done(0))
    }

    /// Locks a VMO; says whether its pages had been discarded.
    fn lock(&mut self, id: VmoId) -> bool {
        self.forget_unlocked(id);
        self.vmos.get_mut(&id).is_some_and(|vmo| {
            vmo.lock.count += 1;
            std::mem::take(&mut vmo.lock.discarded)
        })
    }

    /// Takes a lock back; `discarded`: nobody learned that its pages were.
    pub(crate) fn unlock(&mut self, id: VmoId, discarded: bool) {
        let now = self.next_id();
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.lock.count = vmo.lock.count.saturating_sub(1);
            vmo.lock.since = now;
            let empty = vmo.pages.resident() == 0;
            vmo.lock.discarded = discarded && vmo.lock.count == 0 && empty;
        }
        self.may_be_discarded(id);
    }

    /// Keeps in mind a VMO that can be discarded.
    pub(crate) fn may_be_discarded(&mut self, id: VmoId) {
        let vmo = self.vmos.get_mut(&id).filter(|vmo| vmo.can_be_discarded());
        if let Some(vmo) = vmo.filter(|_| self.room.is_limited()) {
            // Ids and times are of one sequence: one that was never locked is as old as it is.
            vmo.lock.since = vmo.lock.since.max(id.0);
            self.unlocked.insert(vmo.lock.since, id);
        }
    }

    /// A VMO is locked, or no more.
    pub(crate) fn forget_unlocked(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get(&id) {
            self.unlocked.remove(&vmo.lock.since);
        }
    }

    /// Discards VMOs, the one unlocked longest ago first, until `want` pages are to go. Says how many are, and whether operations work on
    /// a VMO that could be discarded.
    pub(crate) fn discard_unlocked(&mut self, want: u64) -> (u64, bool) {
        let (mut gone, mut busy, mut from) = (0, false, 0);
        while gone < want {
            let Some((&since, &id)) = self.unlocked.range(from..).next() else {
                break;
            };
            from = since + 1;
            let vmo = self.vmos.get_mut(&id);
            let Some(vmo) = vmo.filter(|vmo| vmo.can_be_discarded()) else {
                self.unlocked.remove(&since);
                continue;
            };
            if !vmo.busy.is_empty() {
                busy = true;
                continue;
            }
            self.unlocked.remove(&since);
            vmo.lock.discarded = true;
            vmo.reclaims += 1;
            let pages = vmo.pages.occupied(0..u64::MAX);
            let (Some(first), Some(last)) = (pages.first(), pages.last()) else {
                continue;
            };
            self.reclaimed.discarded_vmos += 1;
            self.reclaimed.discarded_pages += pages.len() as u64;
            gone += pages.len() as u64;
            self.drop_run(None, id, *first..last + 1);
        }
        (gone, busy)
    }
}
