//! Operations that may wait: each runs until it ends or needs a page, and starts where it was when it is woken.

use std::ops::Range;

use protocol::{PAGE_SIZE, Status};

use super::pages::Shown;
use super::requests::{Ask, Woken};
use super::{Bytes, Data, Dirt, End, Kind, Model, OK, Pin, Slot, Source};

/// The byte of a page that a touch adds one to, if it writes.
pub const TOUCHED: usize = 7;

/// Operations on whole pages that may wait for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeOp {
    Commit,
    AlwaysNeed,
    Prefetch,
}

/// An operation, with what is left of it.
#[derive(Clone, Debug)]
pub enum Op {
    Read {
        vmo: usize,
        offset: u64,
        length: u64,
        got: Bytes,
    },
    Write {
        vmo: usize,
        offset: u64,
        bytes: Bytes,
    },
    Touch {
        vmo: usize,
        page: u64,
        write: bool,
        /// Pages of the VMO that stand for zeros which were read: nothing comes ahead of them, or behind.
        blank: std::rc::Rc<[u64]>,
    },
    Pages {
        op: RangeOp,
        vmo: usize,
        pages: Range<u64>,
    },
    /// `zx_bti_pin`, and where its token goes.
    Pin {
        vmo: usize,
        pages: Range<u64>,
        write: bool,
        token: u64,
    },
    /// `ZX_VMO_OP_ZERO`: what is left of the parts of pages (in bytes), and of the whole pages after them.
    Zero {
        vmo: usize,
        parts: Vec<Range<u64>>,
        whole: Range<u64>,
    },
    /// The last part of a change of size: zeros to the end of a page.
    Tail {
        /// The VMO of the call, and the one that holds its pages.
        held: usize,
        vmo: usize,
        offset: u64,
    },
    PortWait,
}

/// What an operation needs of a page.
struct Need {
    write: bool,
    /// First page after those it may ask for.
    end: u64,
    early: bool,
}

/// Not yet: the operation ends with a status, or waits.
type Ready = Result<(), Option<Status>>;

impl Op {
    pub fn zero(vmo: usize, bytes: Range<u64>) -> Op {
        let (head, whole, tail) = split(bytes);
        Op::Zero {
            vmo,
            parts: vec![tail, head],
            whole,
        }
    }

    /// The VMO that it keeps alive.
    pub fn holds(&self) -> Option<usize> {
        match self {
            Op::Read { vmo, .. }
            | Op::Write { vmo, .. }
            | Op::Pages { vmo, .. }
            | Op::Pin { vmo, .. }
            | Op::Zero { vmo, .. }
            | Op::Tail { held: vmo, .. } => Some(*vmo),
            Op::Touch { .. } | Op::PortWait => None,
        }
    }

    /// The VMO that it is about.
    pub fn vmo(&self) -> Option<usize> {
        match self {
            Op::Touch { vmo, .. } => Some(*vmo),
            other => other.holds(),
        }
    }
}

impl Model {
    /// Starts an operation: its end, or the number it waits under.
    pub fn start(&mut self, op: Op) -> Result<End, usize> {
        let wait = self.waits.len();
        self.waits.push(None);
        self.go(wait, op, None).ok_or(wait)
    }

    pub fn wake(&mut self, woken: Vec<Woken>) {
        for (wait, error) in woken {
            if let Some(op) = self.waits[wait].take() {
                self.ran += 1;
                if let Some(end) = self.go(wait, op, error) {
                    self.ended.push((wait, end));
                }
            }
        }
    }

    pub fn go(&mut self, wait: usize, mut op: Op, error: Option<Status>) -> Option<End> {
        let end = match &mut op {
            Op::Read {
                vmo,
                offset,
                length,
                got,
            } => self.read(wait, *vmo, (offset, length), got, error),
            Op::Write { vmo, offset, bytes } => self.write(wait, *vmo, offset, bytes, error),
            Op::Touch {
                vmo,
                page,
                write,
                blank,
            } => self.touch(wait, *vmo, *page, (*write, blank), error),
            Op::Pages { op, vmo, pages } => self.pages(wait, *op, *vmo, pages, error),
            Op::Pin {
                vmo,
                pages,
                write,
                token,
            } => self.pin(wait, *vmo, pages.clone(), (*write, *token), error),
            Op::Zero { vmo, parts, whole } => self.zero(wait, *vmo, parts, whole, error),
            Op::Tail { vmo, offset, .. } => self.tail(wait, *vmo, *offset, error),
            Op::PortWait => self.take_packet().map(End::Packet),
        };
        match end {
            None => self.waits[wait] = Some(op),
            Some(_) => self.abandon(wait),
        }
        end
    }

    /// How many pages from `page` to `end` are absent in a row, as `vmo` shows them.
    fn absent_run(&self, vmo: usize, page: u64, end: u64) -> u64 {
        let absent = |at: &u64| matches!(self.shown(vmo, *at), Shown::Absent(..));
        let end = end.min(self.count(vmo));
        (page..end).take_while(absent).count() as u64
    }

    /// Pages in a row of a pager's VMO that are there and not dirty.
    fn clean_run(&self, owner: usize, pages: Range<u64>) -> u64 {
        let clean = |at: &u64| {
            let slot = &self.vmos[owner].slots[*at as usize];
            !matches!(slot, Slot::Absent | Slot::Page(_, Dirt::Dirty))
        };
        let end = pages.end.min(self.count(owner));
        (pages.start..end).take_while(clean).count() as u64
    }

    /// How many pages from this one on are zeros that the pager does not know, for one reason.
    fn interval_run(&self, owner: usize, page: u64) -> u64 {
        let slots = &self.vmos[owner].slots[page as usize..];
        let untracked = |slot: &&Slot| **slot == Slot::Zero(Dirt::Untracked);
        let dirty = |slot: &&Slot| matches!(slot, Slot::Zero(Dirt::Dirty | Dirt::Awaiting));
        let count = match untracked(&&slots[0]) {
            true => slots.iter().take_while(untracked).count(),
            false => slots.iter().take_while(dirty).count(),
        };
        count as u64
    }

    /// Makes a page ready, or waits for what has to come first.
    fn ready(&mut self, wait: usize, vmo: usize, page: u64, need: &Need) -> Ready {
        let (owner, at) = self.owner(vmo, page);
        if self.is_discarded(owner) {
            return Err(Some(Status::NOT_FOUND));
        }
        if let Shown::Absent(root, first) = self.shown(vmo, page) {
            if self.source(root) != Some(Source::Attached) {
                return Err(Some(Status::BAD_STATE));
            }
            let run = self.absent_run(vmo, page, need.end);
            self.request(root, Ask::Read, first..first + run, wait, need.early);
            return Err(None);
        }
        let end = at + (need.end - page);
        if need.write && self.traps(owner) && self.clean_run(owner, at..at + 1) == 1 {
            if self.source(owner) != Some(Source::Attached) {
                return Err(Some(Status::BAD_STATE));
            }
            let run = self.clean_run(owner, at..end);
            self.request(owner, Ask::Dirty, at..at + run, wait, false);
            return Err(None);
        }
        if need.write {
            self.page_for_write(owner, at);
            self.dirty(owner, at);
        }
        Ok(())
    }

    fn read(
        &mut self,
        wait: usize,
        vmo: usize,
        (offset, length): (&mut u64, &mut u64),
        got: &mut Bytes,
        error: Option<Status>,
    ) -> Option<End> {
        if *offset + *length > self.size(vmo) {
            return Some(End::Status(Status::OUT_OF_RANGE));
        }
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        while *length > 0 {
            let page = *offset / PAGE_SIZE;
            let (into, now) = part(*offset, *length);
            let need = Need {
                write: false,
                end: (*offset + *length).div_ceil(PAGE_SIZE),
                early: true,
            };
            if let Err(end) = self.ready(wait, vmo, page, &need) {
                return end.map(End::Status);
            }
            match self.shown(vmo, page) {
                Shown::Page(bytes) => {
                    got.extend_from_slice(&bytes[into as usize..(into + now) as usize]);
                }
                _ => got.resize(got.len() + now as usize, 0),
            }
            *offset += now;
            *length -= now;
        }
        Some(End::Read(Data(std::mem::take(got))))
    }

    fn write(
        &mut self,
        wait: usize,
        vmo: usize,
        offset: &mut u64,
        bytes: &mut Bytes,
        error: Option<Status>,
    ) -> Option<End> {
        if *offset + bytes.len() as u64 > self.size(vmo) {
            return Some(End::Status(Status::OUT_OF_RANGE));
        }
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        while !bytes.is_empty() {
            let page = *offset / PAGE_SIZE;
            let (into, now) = part(*offset, bytes.len() as u64);
            let last = (*offset + bytes.len() as u64).div_ceil(PAGE_SIZE);
            let need = Need {
                write: true,
                end: last.min(page + 16),
                early: false,
            };
            if let Err(end) = self.ready(wait, vmo, page, &need) {
                return end.map(End::Status);
            }
            let (owner, at) = self.owner(vmo, page);
            self.vmos[owner].modified = true;
            let there = self.page_for_write(owner, at);
            there[into as usize..(into + now) as usize].copy_from_slice(&bytes[..now as usize]);
            *offset += now;
            bytes.drain(..now as usize);
        }
        Some(OK)
    }

    fn touch(
        &mut self,
        wait: usize,
        vmo: usize,
        page: u64,
        (write, blank): (bool, &[u64]),
        error: Option<Status>,
    ) -> Option<End> {
        if let Some(error) = error {
            return Some(End::Fatal(error));
        }
        if page >= self.count(vmo) {
            return Some(End::Fatal(Status::OUT_OF_RANGE));
        }
        let (owner, at) = self.owner(vmo, page);
        // A write to what somebody knows to be zero makes that one page.
        let zero = self.shown(vmo, page) == Shown::Zero;
        let zero = zero && !(write && self.is_zero_slot(vmo, page)) && !blank.contains(&page);
        let need = Need {
            write,
            end: page + 1,
            early: false,
        };
        if let Err(end) = self.ready(wait, vmo, page, &need) {
            return end.map(End::Fatal);
        }
        self.vmos[owner].modified |= write;
        if zero {
            // The pages of the owner are counted from another one.
            let end = blank.iter().find(|blank| **blank > page).copied();
            let end = end.map_or(u64::MAX, |end| at + (end - page));
            self.come_ahead(owner, at, write, end);
        }
        if write {
            let byte = &mut self.page_for_write(owner, at)[TOUCHED];
            *byte = byte.wrapping_add(1);
        }
        Some(End::Retry)
    }

    /// Our own rule: zero pages come ahead of who touches pages in sequence. Those that are only read do not count.
    fn come_ahead(&mut self, owner: usize, page: u64, write: bool, end: u64) {
        let count = self.count(owner);
        let ahead = self.vmos[owner].faults.plan(page, 1).min(count - page);
        // How far is not told where the core has to know more of zeros than that they are.
        self.unsure |= write && page > 0 && self.is_cloned(owner);
        for at in page..(page + ahead).min(end) {
            if !write || at > page && self.shown(owner, at) != Shown::Zero {
                break;
            }
            if at > page {
                self.page_for_write(owner, at);
            }
            // An interval's page is dirty with its storage: whoever asked to make it so goes on.
            if matches!(self.slot(owner, at), Slot::Page(_, Dirt::Dirty)) {
                let woken = self.resolve(owner, Ask::Dirty, at..at + 1, None);
                self.wake(woken);
            }
        }
    }

    fn pages(
        &mut self,
        wait: usize,
        op: RangeOp,
        vmo: usize,
        pages: &mut Range<u64>,
        error: Option<Status>,
    ) -> Option<End> {
        // What was cut off meanwhile cannot fail.
        let left = pages.start < pages.end.min(self.count(vmo));
        if let Some(error) = error.filter(|_| left) {
            return Some(match op {
                RangeOp::AlwaysNeed => OK,
                _ => End::Status(error),
            });
        }
        while pages.start < pages.end.min(self.count(vmo)) {
            let (owner, at) = self.owner(vmo, pages.start);
            let commit = self.need_to_commit(vmo, pages.clone());
            let need = Need {
                write: op == RangeOp::Commit && commit.write,
                ..commit
            };
            let skip = op == RangeOp::AlwaysNeed && self.root(vmo).is_none();
            if !skip && let Err(end) = self.ready(wait, vmo, pages.start, &need) {
                return end.map(|status| match op {
                    RangeOp::AlwaysNeed => OK,
                    _ => End::Status(status),
                });
            }
            if op == RangeOp::Commit {
                self.page_for_write(owner, at);
            }
            pages.start += 1;
        }
        Some(OK)
    }

    /// What it needs to give the first of these pages storage of its own.
    fn need_to_commit(&mut self, vmo: usize, pages: Range<u64>) -> Need {
        let (owner, at) = self.owner(vmo, pages.start);
        let paged = self.source(owner).is_some();
        let interval = match self.slot(owner, at) {
            Slot::Zero(dirt) => *dirt != Dirt::Clean,
            _ => false,
        };
        Need {
            // A page that the pager did not supply gets dirty with its storage.
            write: !paged || interval,
            end: match paged && interval {
                true => pages.end.min(pages.start + self.interval_run(owner, at)),
                false => pages.end,
            },
            early: false,
        }
    }

    fn pin(
        &mut self,
        wait: usize,
        vmo: usize,
        pages: Range<u64>,
        (write, token): (bool, u64),
        error: Option<Status>,
    ) -> Option<End> {
        if pages.end > self.count(vmo) {
            return Some(End::Status(Status::OUT_OF_RANGE));
        }
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        for page in pages.clone() {
            let (owner, at) = self.owner(vmo, page);
            let commit = self.need_to_commit(vmo, page..pages.end);
            let need = match write {
                true => Need {
                    write,
                    end: pages.end,
                    ..commit
                },
                false => commit,
            };
            if let Err(end) = self.ready(wait, vmo, page, &need) {
                return end.map(End::Status);
            }
            self.page_for_write(owner, at);
        }
        let (owner, first) = self.owner(vmo, pages.start);
        self.vmos[owner].modified |= write;
        self.pins.push(Pin {
            token,
            owner,
            pages: first..first + (pages.end - pages.start),
            write,
        });
        Some(OK)
    }

    fn zero(
        &mut self,
        wait: usize,
        vmo: usize,
        parts: &mut Vec<Range<u64>>,
        whole: &mut Range<u64>,
        error: Option<Status>,
    ) -> Option<End> {
        let parts_end = parts.iter().map(|part| part.end).max();
        let end = parts_end.unwrap_or(0).max(whole.end * PAGE_SIZE);
        if end > self.size(vmo) {
            return Some(End::Status(Status::OUT_OF_RANGE));
        }
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        while let Some(part) = parts.last() {
            if let Err(end) = self.zero_part(wait, vmo, part.clone()) {
                return end.map(End::Status);
            }
            parts.pop();
        }
        let (owner, base) = self.owner(vmo, 0);
        self.vmos[owner].modified |= end > 0;
        // Pinned pages are zeroed where they are; what has to come first comes page by page.
        while whole.start < whole.end {
            let at = whole.start;
            let pinned = |page: &u64| self.is_pinned(owner, base + page..base + page + 1);
            let calm = whole.clone().take_while(|page| !pinned(page)).count() as u64;
            if calm == 0 {
                let bytes = at * PAGE_SIZE..(at + 1) * PAGE_SIZE;
                if let Err(end) = self.zero_part(wait, vmo, bytes) {
                    return end.map(End::Status);
                }
            } else {
                self.zero_whole(owner, base + at..base + at + calm);
            }
            whole.start += calm.max(1);
        }
        Some(OK)
    }

    fn zero_whole(&mut self, owner: usize, pages: Range<u64>) {
        self.zero_pages(owner, pages.clone());
        if self.source(owner).is_some() {
            let woken = self.resolve(owner, Ask::Read, pages, None);
            self.wake(woken);
        }
    }

    /// Zeros a part of a page.
    fn zero_part(&mut self, wait: usize, vmo: usize, bytes: Range<u64>) -> Ready {
        if bytes.is_empty() {
            return Ok(());
        }
        let page = bytes.start / PAGE_SIZE;
        if self.shown(vmo, page) == Shown::Zero {
            return Ok(());
        }
        let need = Need {
            write: true,
            end: page + 1,
            early: false,
        };
        self.ready(wait, vmo, page, &need)?;
        let (owner, at) = self.owner(vmo, page);
        let base = page * PAGE_SIZE;
        self.vmos[owner].modified = true;
        let there = self.page_for_write(owner, at);
        there[(bytes.start - base) as usize..(bytes.end - base) as usize].fill(0);
        Ok(())
    }

    fn tail(&mut self, wait: usize, vmo: usize, offset: u64, error: Option<Status>) -> Option<End> {
        let bytes = offset..offset.next_multiple_of(PAGE_SIZE);
        // Another change has cut it off, whatever became of the page since.
        if bytes.end > self.size(vmo) {
            return Some(OK);
        }
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        match self.zero_part(wait, vmo, bytes) {
            Ok(()) => {
                self.vmos[vmo].modified |= !offset.is_multiple_of(PAGE_SIZE);
                Some(OK)
            }
            Err(end) => end.map(End::Status),
        }
    }

    /// Whether a touch would end the process at once.
    pub fn touch_is_fatal(&self, vmo: usize, page: u64, write: bool) -> bool {
        if page >= self.count(vmo) {
            return true;
        }
        let (owner, at) = self.owner(vmo, page);
        if self.is_discarded(owner) {
            return true;
        }
        let attached = |root: usize| self.source(root) == Some(Source::Attached);
        match self.shown(vmo, page) {
            Shown::Absent(root, _) => !attached(root),
            _ => {
                write
                    && matches!(self.vmos[owner].kind, Kind::Paged { .. })
                    && self.traps(owner)
                    && !attached(owner)
                    && self.clean_run(owner, at..at + 1) == 1
            }
        }
    }
}

/// The part of a byte range within its first page: (offset there, bytes).
fn part(offset: u64, length: u64) -> (u64, u64) {
    let into = offset % PAGE_SIZE;
    (into, length.min(PAGE_SIZE - into))
}

/// A byte range as the part of a page, the whole pages (by number), the part of a page.
fn split(bytes: Range<u64>) -> (Range<u64>, Range<u64>, Range<u64>) {
    let first = bytes.start.next_multiple_of(PAGE_SIZE);
    let last = bytes.end / PAGE_SIZE * PAGE_SIZE;
    if bytes.is_empty() {
        return (0..0, 0..0, 0..0);
    }
    if first > last {
        return (bytes, 0..0, 0..0);
    }
    let whole = first / PAGE_SIZE..last / PAGE_SIZE;
    (bytes.start..first, whole, last..bytes.end)
}
