//! Calls that never wait, and what goes before those that may.

use std::ops::Range;
use std::rc::Rc;

use protocol::{PAGE_SIZE, Status};

use super::requests::Ask;
use super::{Dirt, End, Kind, Model, OK, Op, RangeOp, Shown, Slot, Source};

/// What `zx_pager_op_range` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagerOp {
    Fail(Status),
    Dirty,
    WritebackBegin { only_zero: bool },
    WritebackEnd,
}

impl Model {
    // ---- sizes

    pub fn set_size(&mut self, vmo: usize, size: u64) -> Result<End, usize> {
        if !self.is_resizable(vmo) {
            return Ok(End::Status(Status::UNAVAILABLE));
        }
        let (owner, _) = self.owner(vmo, 0);
        let (old, new) = (self.count(owner), size.div_ceil(PAGE_SIZE));
        if self.is_pinned(owner, new..u64::MAX) {
            return Ok(End::Status(Status::BAD_STATE));
        }
        let fresh = match self.vmos[owner].kind {
            Kind::Paged { .. } => Slot::Zero(Dirt::Dirty),
            _ => Slot::Absent,
        };
        let cut = self.vmos[owner].slots.iter().skip(new as usize);
        let dropped = cut.filter(|slot| matches!(slot, Slot::Page(..))).count() > 0;
        self.vmos[owner].slots.resize(new as usize, fresh);
        self.settle_intervals(owner);
        self.vmos[owner].stream = size;
        self.vmos[owner].modified = true;
        self.clip_views(owner, new);
        let cut = new..old.max(new);
        let mut woken = self.resolve(owner, Ask::Read, cut.clone(), None);
        woken.extend(self.resolve(owner, Ask::Dirty, cut, None));
        // Whom the change woke runs first if pages have to be dropped before.
        let tail = Op::Tail {
            held: vmo,
            vmo: owner,
            offset: size,
        };
        if dropped {
            self.wake(woken);
            return self.start_late(tail);
        }
        let end = self.start_late(tail);
        self.wake(woken);
        end
    }

    /// The rest of a call that has woken others: one of those that run in an order nobody promises.
    fn start_late(&mut self, op: Op) -> Result<End, usize> {
        self.ran += 1;
        self.start(op)
    }

    /// What a VMO does not have any more its clones do not see either, ever again.
    fn clip_views(&mut self, owner: usize, count: u64) {
        for clone in &mut self.vmos {
            let Kind::Clone {
                root,
                offset,
                visible,
            } = &clone.kind
            else {
                continue;
            };
            let cut = visible.clone().filter(|page| page + offset >= count);
            for page in cut.filter(|_| *root == owner) {
                let slot = &mut clone.slots[page as usize];
                if *slot == Slot::Absent {
                    *slot = Slot::Zero(Dirt::Clean);
                }
            }
        }
        if let Kind::Clone { visible, .. } = &mut self.vmos[owner].kind {
            visible.end = visible.end.min(count);
        }
    }

    pub fn set_stream(&mut self, vmo: usize, size: u64) -> Result<End, usize> {
        let state = self.stream_owner(vmo);
        if size == self.vmos[state].stream {
            return Ok(OK);
        }
        if size > self.size(vmo) {
            return Ok(End::Status(Status::OUT_OF_RANGE));
        }
        let old = std::mem::replace(&mut self.vmos[state].stream, size);
        let from = old.min(size);
        let (owner, first) = self.owner(vmo, from.div_ceil(PAGE_SIZE));
        let cut = first..first + self.count(vmo) - from.div_ceil(PAGE_SIZE);
        // The content of a slice says nothing of its owner's.
        let (content, end) = match owner == state {
            true => (size.div_ceil(PAGE_SIZE), self.count(owner)),
            false => (cut.end, cut.end),
        };
        self.vmos[owner].modified = true;
        for page in cut.clone() {
            // What was known to be zero is new to the pager, or nothing it keeps.
            if self.source(owner).is_some() && matches!(self.slot(owner, page), Slot::Zero(_)) {
                let front = matches!(self.slot(owner, page), Slot::Zero(Dirt::Awaiting));
                *self.slot(owner, page) = Slot::Zero(match page < content {
                    true if front => Dirt::Awaiting,
                    true => Dirt::Dirty,
                    false => Dirt::Untracked,
                });
            }
        }
        self.zero_pages(owner, cut.clone());
        if self.source(owner).is_some() {
            for page in content.max(cut.start)..end {
                if !self.is_pinned(owner, page..page + 1) {
                    *self.slot(owner, page) = Slot::Zero(Dirt::Untracked);
                }
            }
            self.settle_intervals(owner);
        }
        let woken = self.resolve(owner, Ask::Read, cut, None);
        self.wake(woken);
        let (owner, page) = self.owner(vmo, from / PAGE_SIZE);
        let offset = page * PAGE_SIZE + from % PAGE_SIZE;
        self.start_late(Op::Tail {
            held: vmo,
            vmo: owner,
            offset,
        })
    }

    // ---- children

    /// A snapshot of any kind, of `count` pages from `page` on.
    pub fn snapshot(&mut self, parent: usize, page: u64, size: u64, resizable: bool) -> usize {
        let count = size.div_ceil(PAGE_SIZE);
        // Beyond the parent there are zeros.
        let shown = count.min(self.count(parent).saturating_sub(page));
        let (owner, first) = self.owner(parent, page);
        let kind = match &self.vmos[owner].kind {
            Kind::Paged { .. } => Kind::Clone {
                root: owner,
                offset: first,
                visible: 0..shown,
            },
            Kind::Clone {
                root,
                offset,
                visible,
            } => Kind::Clone {
                root: *root,
                offset: offset + first,
                visible: visible.start.saturating_sub(first)
                    ..visible.end.saturating_sub(first).min(shown),
            },
            _ => Kind::Plain,
        };
        // A clone that shows nothing is a VMO of zeros.
        let kind = match kind {
            Kind::Clone { visible, .. } if visible.is_empty() => Kind::Plain,
            kind => kind,
        };
        let copied = match kind {
            Kind::Clone { root, .. } if root == owner => Vec::new(),
            _ => (first..first + shown)
                .map(|at| self.slot(owner, at).clone())
                .collect(),
        };
        let child = self.add(kind, Some(parent), size, resizable);
        for (at, slot) in copied.into_iter().enumerate() {
            self.vmos[child].slots[at] = slot;
        }
        child
    }

    // ---- pagers

    /// Whether all of a supply's pages are in the same state, on both sides.
    pub fn supply_run(&mut self, vmo: usize, page: u64, count: u64, aux: usize, at: u64) -> u64 {
        let kind = |model: &Self, ahead: u64| {
            let absent = model.vmos[vmo].slots[(page + ahead) as usize] == Slot::Absent;
            let there = matches!(model.shown(aux, at + ahead), Shown::Page(..));
            (absent, there)
        };
        let first = kind(self, 0);
        let same = (1..count).find(|ahead| kind(self, *ahead) != first);
        same.unwrap_or(count)
    }

    pub fn supply_check(&self, vmo: usize, page: u64, count: u64, aux: usize, at: u64) -> Status {
        if self.source(vmo).is_none() {
            return Status::INVALID_ARGS;
        }
        if count == 0 {
            return Status::OK;
        }
        if self.source(self.owner(aux, 0).0).is_some() {
            return Status::NOT_SUPPORTED;
        }
        let (holder, first) = self.owner(aux, at);
        if self.is_pinned(holder, first..first + count) {
            return Status::BAD_STATE;
        }
        if at + count > self.count(aux) {
            return Status::OUT_OF_RANGE;
        }
        if self.is_discarded(holder) {
            return Status::NOT_FOUND;
        }
        if page + count > self.count(vmo) {
            return Status::OUT_OF_RANGE;
        }
        match self.source(vmo) {
            Some(Source::Attached) => Status::OK,
            _ => Status::BAD_STATE,
        }
    }

    pub fn supply(&mut self, vmo: usize, page: u64, count: u64, aux: usize, at: u64) {
        let (aux, at) = self.owner(aux, at);
        for ahead in 0..count {
            let given = match self.shown(aux, at + ahead) {
                Shown::Page(bytes) => Slot::Page(Rc::new((*bytes).clone()), Dirt::Clean),
                _ => Slot::Zero(Dirt::Clean),
            };
            self.zero_pages(aux, at + ahead..at + ahead + 1);
            let slot = self.slot(vmo, page + ahead);
            if *slot == Slot::Absent {
                *slot = given;
            }
        }
        let woken = self.resolve(vmo, Ask::Read, page..page + count, None);
        self.wake(woken);
    }

    pub fn detach(&mut self, vmo: usize) -> Status {
        let Kind::Paged { source, .. } = &mut self.vmos[vmo].kind else {
            return Status::INVALID_ARGS;
        };
        if *source != Source::Attached {
            return Status::OK;
        }
        *source = Source::Detached;
        for page in 0..self.count(vmo) {
            let pinned = self.is_pinned(vmo, page..page + 1);
            let slot = self.slot(vmo, page);
            if let (Slot::Zero(Dirt::Clean) | Slot::Page(_, Dirt::Clean), false) = (&slot, pinned) {
                *slot = Slot::Absent;
            }
        }
        let woken = self.fail_all(vmo);
        self.complete(vmo);
        self.wake(woken);
        Status::OK
    }

    pub fn close_pager(&mut self, closed: usize) {
        self.pagers[closed] = false;
        for vmo in 0..self.vmos.len() {
            let Kind::Paged { pager, source, .. } = &mut self.vmos[vmo].kind else {
                continue;
            };
            if *pager != closed {
                continue;
            }
            if *source == Source::Attached {
                *source = Source::Closed;
            }
            self.vmos[vmo].over = true;
            let woken = self.fail_all(vmo);
            self.withdraw(vmo);
            self.wake(woken);
        }
    }

    pub fn pager_op(&mut self, vmo: usize, op: PagerOp, pages: Range<u64>) -> Status {
        let Kind::Paged { source, trap, .. } = self.vmos[vmo].kind else {
            return Status::INVALID_ARGS;
        };
        if op == PagerOp::Dirty && !trap {
            return Status::NOT_SUPPORTED;
        }
        if pages.end > self.count(vmo) {
            return Status::OUT_OF_RANGE;
        }
        let attached = source == Source::Attached;
        match op {
            PagerOp::Fail(_) | PagerOp::Dirty if !attached => return Status::BAD_STATE,
            PagerOp::Fail(status) => {
                let mut woken = self.resolve(vmo, Ask::Read, pages.clone(), Some(status));
                woken.extend(self.resolve(vmo, Ask::Dirty, pages, Some(status)));
                self.wake(woken);
            }
            PagerOp::Dirty => return self.make_dirty(vmo, pages),
            PagerOp::WritebackBegin { only_zero } => self.writeback_begin(vmo, pages, only_zero),
            PagerOp::WritebackEnd => self.writeback_end(vmo, pages),
        }
        Status::OK
    }

    fn make_dirty(&mut self, vmo: usize, pages: Range<u64>) -> Status {
        if pages
            .clone()
            .any(|page| *self.slot(vmo, page) == Slot::Absent)
        {
            let woken = self.resolve(vmo, Ask::Dirty, pages, None);
            self.wake(woken);
            return Status::NOT_FOUND;
        }
        for page in pages.clone() {
            self.page_for_write(vmo, page);
            self.dirty(vmo, page);
        }
        let woken = self.resolve(vmo, Ask::Dirty, pages, None);
        self.wake(woken);
        Status::OK
    }

    fn writeback_begin(&mut self, vmo: usize, pages: Range<u64>, only_zero: bool) {
        for interval in self.intervals(vmo) {
            if pages.contains(&interval.start) {
                for page in interval.start..interval.end.min(pages.end) {
                    *self.slot(vmo, page) = Slot::Zero(Dirt::Awaiting);
                }
            }
        }
        for page in pages.filter(|_| !only_zero) {
            let mut pins = self.pins.iter().filter(|pin| pin.owner == vmo && pin.write);
            if pins.any(|pin| pin.pages.contains(&page)) {
                continue;
            }
            if let Slot::Page(_, dirt @ Dirt::Dirty) = self.slot(vmo, page) {
                *dirt = Dirt::Awaiting;
            }
        }
    }

    fn writeback_end(&mut self, vmo: usize, pages: Range<u64>) {
        for interval in self.intervals(vmo) {
            if pages.contains(&interval.start) {
                for page in interval.start..interval.end.min(pages.end) {
                    let slot = self.slot(vmo, page);
                    if *slot == Slot::Zero(Dirt::Awaiting) {
                        *slot = Slot::Absent;
                    }
                }
            }
        }
        for page in pages {
            if let Slot::Page(_, dirt @ Dirt::Awaiting) = self.slot(vmo, page) {
                *dirt = Dirt::Clean;
            }
        }
    }

    /// Runs of dirty pages in a range, and whether each is an interval.
    pub fn dirty_ranges(&self, vmo: usize, pages: Range<u64>) -> Vec<(Range<u64>, bool)> {
        let mut out: Vec<(Range<u64>, bool)> = Vec::new();
        for page in pages {
            let zero = match self.vmos[vmo].slots[page as usize] {
                Slot::Zero(Dirt::Dirty | Dirt::Awaiting) => true,
                Slot::Page(_, Dirt::Dirty | Dirt::Awaiting) => false,
                _ => continue,
            };
            match out.last_mut() {
                Some((run, kind)) if run.end == page && *kind == zero => run.end += 1,
                _ => out.push((page..page + 1, zero)),
            }
        }
        out
    }

    // ---- ranges

    /// Commits, brings in, or hints at the pages of a byte range.
    pub fn range_op(&mut self, op: RangeOp, vmo: usize, bytes: Range<u64>) -> Result<End, usize> {
        if op == RangeOp::AlwaysNeed && self.root(vmo).is_none() {
            return Ok(OK);
        }
        if bytes.end > self.size(vmo) {
            return Ok(End::Status(Status::OUT_OF_RANGE));
        }
        let pages = bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE);
        self.start(Op::Pages { op, vmo, pages })
    }

    /// `ZX_VMO_OP_ZERO` of a byte range.
    pub fn zero_range(&mut self, vmo: usize, bytes: Range<u64>) -> Result<End, usize> {
        match bytes.end > self.size(vmo) {
            true => Ok(End::Status(Status::OUT_OF_RANGE)),
            false => self.start(Op::zero(vmo, bytes)),
        }
    }

    pub fn dont_need(&mut self, vmo: usize, bytes: Range<u64>) -> Status {
        match self.root(vmo).is_some() && bytes.end > self.size(vmo) {
            true => Status::OUT_OF_RANGE,
            false => Status::OK,
        }
    }

    pub fn decommit(&mut self, vmo: usize, bytes: Range<u64>) -> Status {
        if bytes.end > self.size(vmo) {
            return Status::OUT_OF_RANGE;
        }
        if bytes.is_empty() {
            return Status::OK;
        }
        let (owner, first) = self.owner(vmo, bytes.start / PAGE_SIZE);
        let is_child =
            matches!(self.vmos[owner].kind, Kind::Plain) && self.vmos[owner].parent.is_some();
        if self.root(owner).is_some() || is_child {
            return Status::NOT_SUPPORTED;
        }
        if !(bytes.start | bytes.end).is_multiple_of(PAGE_SIZE) {
            return Status::INVALID_ARGS;
        }
        let pages = first..first + (bytes.end - bytes.start) / PAGE_SIZE;
        if self.is_pinned(owner, pages.clone()) {
            return Status::BAD_STATE;
        }
        self.zero_pages(owner, pages);
        Status::OK
    }

    pub fn transfer_data(
        &mut self,
        to: usize,
        at: u64,
        count: u64,
        from: usize,
        first: u64,
    ) -> Status {
        if (to, at) == (from, first) {
            return Status::OK;
        }
        let owners = (self.owner(from, first), self.owner(to, at));
        for ((owner, start), outside) in [
            (owners.0, first + count > self.count(from)),
            (owners.1, at + count > self.count(to)),
        ] {
            if self.source(owner).is_some() {
                return Status::NOT_SUPPORTED;
            }
            if outside {
                return Status::OUT_OF_RANGE;
            }
            if self.is_pinned(owner, start..start + count) {
                return Status::BAD_STATE;
            }
        }
        let discarded = self.is_discarded(owners.0.0) || self.is_discarded(owners.1.0);
        if count > 0 && owners.0 != owners.1 && discarded {
            return Status::NOT_FOUND;
        }
        // Through a slice or a reference it is the same, too.
        if owners.0 != owners.1 {
            self.move_pages(owners.1, count, owners.0);
        }
        Status::OK
    }

    fn move_pages(&mut self, (to, at): (usize, u64), count: u64, (from, first): (usize, u64)) {
        let taken: Vec<Shown> = (0..count)
            .map(|ahead| {
                let shown = self.shown(from, first + ahead);
                self.zero_pages(from, first + ahead..first + ahead + 1);
                shown
            })
            .collect();
        for (shown, page) in taken.into_iter().zip(at..) {
            self.zero_pages(to, page..page + 1);
            if let Shown::Page(bytes) = shown {
                *self.slot(to, page) = Slot::Page(Rc::new((*bytes).clone()), Dirt::Clean);
            }
        }
    }
}
