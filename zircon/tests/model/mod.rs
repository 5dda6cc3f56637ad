//! A naive model of VMOs, their pages, READ requests and packets: what each call does, written down as simply as can be,
//! one page at a time, with nothing under way at the end of a call. `script` drives it beside the core.
//!
//! It does not model what depends on the order in which the core runs several operations that one event woke; `script`
//! leaves such events out.

mod script;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use protocol::{PAGE_SIZE, Status};
use zircon::Sequence;

use crate::common::Packet;

type Bytes = Vec<u8>;

/// A page slot.
#[derive(Clone, PartialEq, Eq)]
enum Page {
    /// Zeros in an anonymous VMO; to be asked for in a pager's.
    Absent,
    /// Zero without storage (a pager's VMO only); whether the pager does not know of it.
    Zero(bool),
    /// Storage; whether it was written to.
    There(Bytes, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Attached,
    Detached,
    Closed,
}

enum Kind {
    Anonymous,
    Paged {
        pager: usize,
        source: Source,
    },
    Slice {
        parent: usize,
        page: u64,
        count: u64,
    },
}

struct Vmo {
    kind: Kind,
    pages: Vec<Page>,
    content: u64,
    resizable: bool,
    open: bool,
    mapped: bool,
    /// COMPLETE was sent, or never will be.
    over: bool,
    faults: Sequence,
    requests: Vec<Request>,
    unsent: VecDeque<u64>,
    in_port: Option<InPort>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InPort {
    Request(u64),
    Complete,
}

struct Request {
    id: u64,
    pages: Range<u64>,
    left: BTreeSet<u64>,
    waiters: Vec<Waiter>,
}

struct Waiter {
    wait: usize,
    page: u64,
    early: bool,
    awake: bool,
}

/// An operation.
#[derive(Clone, Debug)]
enum Op {
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
    },
    /// The last part of a change of size: zeros to the end of a page.
    Tail {
        vmo: usize,
        offset: u64,
        length: u64,
    },
    PortWait,
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    Status(Status),
    Read(Bytes),
    Packet(Packet),
    /// A touch that goes through.
    Retry,
    /// A touch that ends the process.
    Fatal(Status),
}

const OK: End = End::Status(Status::OK);

#[derive(Default)]
struct Model {
    vmos: Vec<Vmo>,
    /// Whether each pager is open.
    pagers: Vec<bool>,
    /// VMOs whose packet is in the port, in order.
    port: VecDeque<usize>,
    /// Operations that wait, by number.
    waits: Vec<Option<Op>>,
    /// What ended during the current step.
    ended: Vec<(usize, End)>,
    next_request: u64,
}

impl Model {
    fn add(&mut self, kind: Kind, size: u64, resizable: bool) -> usize {
        let count = match kind {
            Kind::Slice { .. } => 0,
            _ => size.div_ceil(PAGE_SIZE),
        };
        let over = !matches!(kind, Kind::Paged { .. });
        self.vmos.push(Vmo {
            kind,
            pages: vec![Page::Absent; count as usize],
            content: size,
            resizable,
            open: true,
            mapped: false,
            over,
            faults: Sequence::default(),
            requests: Vec::new(),
            unsent: VecDeque::new(),
            in_port: None,
        });
        self.vmos.len() - 1
    }

    fn size(&self, vmo: usize) -> u64 {
        match self.vmos[vmo].kind {
            Kind::Slice { count, .. } => count * PAGE_SIZE,
            _ => self.vmos[vmo].pages.len() as u64 * PAGE_SIZE,
        }
    }

    fn root(&self, mut vmo: usize, mut page: u64) -> (usize, u64) {
        while let Kind::Slice {
            parent,
            page: start,
            ..
        } = self.vmos[vmo].kind
        {
            vmo = parent;
            page += start;
        }
        (vmo, page)
    }

    fn source(&self, vmo: usize) -> Option<Source> {
        match self.vmos[vmo].kind {
            Kind::Paged { source, .. } => Some(source),
            _ => None,
        }
    }

    fn page(&mut self, vmo: usize, page: u64) -> &mut Page {
        &mut self.vmos[vmo].pages[page as usize]
    }

    fn committed(&self, vmo: usize) -> u64 {
        let pages = self.vmos[vmo].pages.iter();
        pages.filter(|page| matches!(page, Page::There(..))).count() as u64
    }

    // ---- requests and packets

    fn request(&mut self, vmo: usize, pages: Range<u64>, wait: usize, early: bool) {
        let waiter = Waiter {
            wait,
            page: pages.start,
            early,
            awake: false,
        };
        self.next_request += 1;
        let id = self.next_request;
        let requests = &mut self.vmos[vmo].requests;
        let mut end = pages.end;
        let nearest = requests
            .iter_mut()
            .filter(|request| request.pages.end > pages.start)
            .min_by_key(|request| request.pages.end);
        if let Some(request) = nearest {
            if pages.start >= request.pages.start {
                request.waiters.retain(|waiter| waiter.wait != wait);
                request.waiters.push(waiter);
                return;
            }
            end = end.min(request.pages.start);
        }
        requests.push(Request {
            id,
            pages: pages.start..end,
            left: (pages.start..end).collect(),
            waiters: vec![waiter],
        });
        self.vmos[vmo].unsent.push_back(id);
        self.pump(vmo);
    }

    /// Pages are there (or cut off): says whom that wakes.
    fn resolve(&mut self, vmo: usize, pages: Range<u64>) -> Vec<usize> {
        let (mut early, mut woken) = (Vec::new(), Vec::new());
        let requests = &mut self.vmos[vmo].requests;
        requests.sort_by_key(|request| request.pages.end);
        for request in requests {
            request.left.retain(|page| !pages.contains(page));
            for waiter in request.waiters.iter_mut().filter(|w| !w.awake) {
                if waiter.early && pages.contains(&waiter.page) {
                    waiter.awake = true;
                    early.push(waiter.wait);
                } else if request.left.is_empty() {
                    woken.push(waiter.wait);
                }
            }
        }
        self.drop_requests(vmo, |request| request.left.is_empty());
        early.extend(woken);
        early
    }

    /// Nobody gets anything any more: says who waited.
    fn fail_all(&mut self, vmo: usize) -> Vec<usize> {
        let waiters = self.vmos[vmo].requests.iter().flat_map(|r| &r.waiters);
        let woken = waiters.filter(|w| !w.awake).map(|w| w.wait).collect();
        self.drop_requests(vmo, |_| true);
        woken
    }

    /// An operation is over: what only it wanted is withdrawn.
    fn abandon(&mut self, wait: usize) {
        for vmo in 0..self.vmos.len() {
            let mut emptied = BTreeSet::new();
            for request in &mut self.vmos[vmo].requests {
                let before = request.waiters.len();
                request.waiters.retain(|waiter| waiter.wait != wait);
                if before > 0 && request.waiters.is_empty() {
                    emptied.insert(request.id);
                }
            }
            self.drop_requests(vmo, |request| emptied.contains(&request.id));
        }
    }

    fn drop_requests(&mut self, vmo: usize, which: impl Fn(&Request) -> bool) {
        let state = &mut self.vmos[vmo];
        let gone: Vec<u64> = state
            .requests
            .iter()
            .filter(|request| which(request))
            .map(|request| request.id)
            .collect();
        state.requests.retain(|request| !gone.contains(&request.id));
        state.unsent.retain(|id| !gone.contains(id));
        if let Some(InPort::Request(id)) = state.in_port
            && gone.contains(&id)
        {
            state.in_port = None;
            self.port.retain(|other| *other != vmo);
        }
        self.pump(vmo);
    }

    /// At most one packet of a VMO is in the port.
    fn pump(&mut self, vmo: usize) {
        let state = &mut self.vmos[vmo];
        if state.in_port.is_none()
            && let Some(id) = state.unsent.pop_front()
        {
            state.in_port = Some(InPort::Request(id));
            self.port.push_back(vmo);
        }
    }

    fn complete(&mut self, vmo: usize) {
        self.vmos[vmo].over = true;
        self.vmos[vmo].in_port = Some(InPort::Complete);
        self.port.push_back(vmo);
    }

    fn take_packet(&mut self) -> Option<Packet> {
        let vmo = self.port.pop_front()?;
        let state = &mut self.vmos[vmo];
        let key = vmo as u64;
        let packet = match state.in_port.take()? {
            InPort::Complete => Packet::Complete(key),
            InPort::Request(id) => {
                let request = state.requests.iter().find(|request| request.id == id)?;
                Packet::Read(key, request.pages.start, request.pages.end)
            }
        };
        self.pump(vmo);
        Some(packet)
    }

    // ---- operations

    /// Starts an operation: its end, or the number it waits under.
    fn start(&mut self, op: Op) -> Result<End, usize> {
        let wait = self.waits.len();
        self.waits.push(None);
        self.go(wait, op, None).ok_or(wait)
    }

    fn wake(&mut self, woken: Vec<usize>, error: Option<Status>) {
        for wait in woken {
            if let Some(op) = self.waits[wait].take()
                && let Some(end) = self.go(wait, op, error)
            {
                self.ended.push((wait, end));
            }
        }
    }

    fn go(&mut self, wait: usize, mut op: Op, error: Option<Status>) -> Option<End> {
        let end = match &mut op {
            Op::Read {
                vmo,
                offset,
                length,
                got,
            } => self.read(wait, *vmo, offset, length, got, error),
            Op::Write { vmo, offset, bytes } => self.write(wait, *vmo, offset, bytes, error),
            Op::Touch { vmo, page, write } => self.touch(wait, *vmo, *page, *write, error),
            Op::Tail {
                vmo,
                offset,
                length,
            } => self.tail(wait, *vmo, *offset, *length, error),
            Op::PortWait => self.take_packet().map(End::Packet),
        };
        match end {
            None => self.waits[wait] = Some(op),
            Some(_) => self.abandon(wait),
        }
        end
    }

    /// How many of the pages from `page` to `end` are absent.
    fn absent_run(&mut self, vmo: usize, page: u64, end: u64) -> Range<u64> {
        let absent = |at: &u64| self.vmos[vmo].pages[*at as usize] == Page::Absent;
        page..(page..end).find(|at| !absent(at)).unwrap_or(end)
    }

    /// Asks the pager for pages, or says that there is none to ask.
    fn ask(&mut self, vmo: usize, pages: Range<u64>, wait: usize, early: bool) -> Option<Status> {
        if self.source(vmo) != Some(Source::Attached) {
            return Some(Status::BAD_STATE);
        }
        let run = self.absent_run(vmo, pages.start, pages.end);
        self.request(vmo, run, wait, early);
        None
    }

    fn read(
        &mut self,
        wait: usize,
        vmo: usize,
        offset: &mut u64,
        length: &mut u64,
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
            let (root, page) = self.root(vmo, *offset / PAGE_SIZE);
            let (into, now) = part(*offset, *length);
            let paged = self.source(root).is_some();
            match self.page(root, page) {
                Page::Absent if paged => {
                    let last = page + (into + *length).div_ceil(PAGE_SIZE);
                    let end = self.ask(root, page..last, wait, true);
                    return end.map(End::Status);
                }
                Page::Absent | Page::Zero(_) => got.resize(got.len() + now as usize, 0),
                Page::There(bytes, _) => {
                    got.extend_from_slice(&bytes[into as usize..(into + now) as usize]);
                }
            }
            *offset += now;
            *length -= now;
        }
        Some(End::Read(std::mem::take(got)))
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
            let (root, page) = self.root(vmo, *offset / PAGE_SIZE);
            let (into, now) = part(*offset, bytes.len() as u64);
            let paged = self.source(root).is_some();
            let slot = self.page(root, page);
            if *slot == Page::Absent && paged {
                let last = page + (into + bytes.len() as u64).div_ceil(PAGE_SIZE);
                let end = self.ask(root, page..last.min(page + 16), wait, false);
                return end.map(End::Status);
            }
            if !matches!(slot, Page::There(..)) {
                *slot = Page::There(vec![0; PAGE_SIZE as usize], false);
            }
            if let Page::There(there, dirty) = slot {
                there[into as usize..(into + now) as usize].copy_from_slice(&bytes[..now as usize]);
                *dirty = true;
            }
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
        write: bool,
        error: Option<Status>,
    ) -> Option<End> {
        if let Some(error) = error {
            return Some(End::Fatal(error));
        }
        if page * PAGE_SIZE >= self.size(vmo) {
            return Some(End::Fatal(Status::OUT_OF_RANGE));
        }
        let (root, page) = self.root(vmo, page);
        let paged = self.source(root).is_some();
        let state = self.page(root, page).clone();
        if state == Page::Absent && paged {
            return self.ask(root, page..page + 1, wait, false).map(End::Fatal);
        }
        if !matches!(state, Page::There(..)) {
            // Zero pages come ahead of a sequential toucher.
            let count = self.vmos[root].pages.len() as u64;
            let ahead = self.vmos[root].faults.plan(page, 1).min(count - page);
            for at in page..page + ahead {
                let slot = self.page(root, at);
                let own = match slot {
                    Page::Absent if !paged => false,
                    Page::Zero(own) => *own,
                    _ => break,
                };
                *slot = Page::There(vec![0; PAGE_SIZE as usize], own);
            }
        }
        if let Page::There(_, dirty) = self.page(root, page) {
            *dirty |= write;
        }
        Some(End::Retry)
    }

    fn tail(
        &mut self,
        wait: usize,
        vmo: usize,
        offset: u64,
        length: u64,
        error: Option<Status>,
    ) -> Option<End> {
        if let Some(error) = error {
            return Some(End::Status(error));
        }
        if length == 0 || offset >= self.size(vmo) {
            return Some(OK);
        }
        let page = offset / PAGE_SIZE;
        let paged = self.source(vmo).is_some();
        match self.page(vmo, page) {
            Page::Absent if paged => {
                let end = self.ask(vmo, page..page + 1, wait, false);
                return end.map(End::Status);
            }
            Page::Absent | Page::Zero(_) => {}
            Page::There(bytes, dirty) => {
                let into = (offset % PAGE_SIZE) as usize;
                bytes[into..].fill(0);
                *dirty = true;
            }
        }
        Some(OK)
    }

    // ---- calls

    fn set_size(&mut self, vmo: usize, size: u64) -> Result<End, usize> {
        if !self.vmos[vmo].resizable {
            return Ok(End::Status(Status::UNAVAILABLE));
        }
        let paged = self.source(vmo).is_some();
        let (old, new) = (self.vmos[vmo].pages.len() as u64, size.div_ceil(PAGE_SIZE));
        let fresh = if paged {
            Page::Zero(true)
        } else {
            Page::Absent
        };
        let cut = self.vmos[vmo].pages.iter().skip(new as usize);
        let dropped = cut.filter(|page| matches!(page, Page::There(..))).count() > 0;
        self.vmos[vmo].pages.resize(new as usize, fresh);
        self.vmos[vmo].content = size;
        let woken = self.resolve(vmo, new..old.max(new));
        self.zero_tail(vmo, size, woken, dropped)
    }

    fn set_content(&mut self, vmo: usize, size: u64) -> Result<End, usize> {
        if size > self.size(vmo) {
            return Ok(End::Status(Status::OUT_OF_RANGE));
        }
        let old = std::mem::replace(&mut self.vmos[vmo].content, size);
        if old == size {
            return Ok(OK);
        }
        let from = old.min(size);
        let count = (self.size(vmo) / PAGE_SIZE).saturating_sub(from.div_ceil(PAGE_SIZE));
        let (root, first) = self.root(vmo, from.div_ceil(PAGE_SIZE));
        let paged = self.source(root).is_some();
        let mut dropped = false;
        for page in first..first + count {
            let slot = self.page(root, page);
            dropped |= matches!(slot, Page::There(..));
            *slot = if paged {
                Page::Zero(true)
            } else {
                Page::Absent
            };
        }
        let woken = self.resolve(root, first..first + count);
        let (_, start) = self.root(vmo, 0);
        self.zero_tail(root, start * PAGE_SIZE + from, woken, dropped)
    }

    /// Zeros the rest of a page; whom the change woke runs first if pages have to be dropped before.
    fn zero_tail(
        &mut self,
        vmo: usize,
        from: u64,
        woken: Vec<usize>,
        dropped: bool,
    ) -> Result<End, usize> {
        let length = (PAGE_SIZE - from % PAGE_SIZE) % PAGE_SIZE;
        let tail = Op::Tail {
            vmo,
            offset: from,
            length,
        };
        if dropped {
            self.wake(woken, None);
            return self.start(tail);
        }
        let end = self.start(tail);
        self.wake(woken, None);
        end
    }

    /// Whether all of a supply's pages are in the same state, on both sides.
    fn supply_run(&mut self, vmo: usize, page: u64, count: u64, aux: usize, aux_page: u64) -> u64 {
        let (aux, aux_page) = self.root(aux, aux_page);
        let mut kind = |at: u64| {
            let absent = *self.page(vmo, page + at) == Page::Absent;
            (
                absent,
                matches!(self.page(aux, aux_page + at), Page::There(..)),
            )
        };
        let first = kind(0);
        (1..count).find(|at| kind(*at) != first).unwrap_or(count)
    }

    fn supply_check(&self, vmo: usize, page: u64, count: u64, aux: usize, at: u64) -> Status {
        if self.source(vmo).is_none() {
            return Status::INVALID_ARGS;
        }
        if count == 0 {
            return Status::OK;
        }
        if self.source(self.root(aux, 0).0).is_some() {
            return Status::NOT_SUPPORTED;
        }
        let (aux_pages, pages) = (self.size(aux) / PAGE_SIZE, self.size(vmo) / PAGE_SIZE);
        if at + count > aux_pages || page + count > pages {
            return Status::OUT_OF_RANGE;
        }
        match self.source(vmo) {
            Some(Source::Attached) => Status::OK,
            _ => Status::BAD_STATE,
        }
    }

    fn supply(&mut self, vmo: usize, page: u64, count: u64, aux: usize, aux_page: u64) {
        let (aux, aux_page) = self.root(aux, aux_page);
        for at in 0..count {
            let given = std::mem::replace(self.page(aux, aux_page + at), Page::Absent);
            let slot = self.page(vmo, page + at);
            if *slot == Page::Absent {
                *slot = match given {
                    Page::There(bytes, _) => Page::There(bytes, false),
                    _ => Page::Zero(false),
                };
            }
        }
        let woken = self.resolve(vmo, page..page + count);
        self.wake(woken, None);
    }

    fn detach(&mut self, vmo: usize) {
        let Kind::Paged { source, .. } = &mut self.vmos[vmo].kind else {
            return;
        };
        if *source == Source::Attached {
            *source = Source::Detached;
            for page in &mut self.vmos[vmo].pages {
                if !matches!(page, Page::There(_, true) | Page::Zero(true)) {
                    *page = Page::Absent;
                }
            }
            let woken = self.fail_all(vmo);
            self.complete(vmo);
            self.wake(woken, Some(Status::BAD_STATE));
        }
    }

    fn close_pager(&mut self, closed: usize) {
        self.pagers[closed] = false;
        for vmo in 0..self.vmos.len() {
            let Kind::Paged { pager, source } = &mut self.vmos[vmo].kind else {
                continue;
            };
            if *pager != closed {
                continue;
            }
            *source = Source::Closed;
            self.vmos[vmo].over = true;
            let woken = self.fail_all(vmo);
            self.vmos[vmo].in_port = None;
            self.port.retain(|other| *other != vmo);
            self.wake(woken, Some(Status::BAD_STATE));
        }
    }

    /// Whether anything refers to a VMO.
    fn is_alive(&self, vmo: usize) -> bool {
        let state = &self.vmos[vmo];
        let held = self.waits.iter().flatten().any(|op| match op {
            Op::Read { vmo: held, .. }
            | Op::Write { vmo: held, .. }
            | Op::Tail { vmo: held, .. } => *held == vmo,
            Op::Touch { .. } | Op::PortWait => false,
        });
        let parent = |child: &Vmo| match child.kind {
            Kind::Slice { parent, .. } => Some(parent),
            _ => None,
        };
        let children = self.vmos.iter().zip(0..);
        let mut children = children.filter(|(child, _)| parent(child) == Some(vmo));
        state.open || state.mapped || held || children.any(|(_, child)| self.is_alive(child))
    }

    /// The end of a step: VMOs that nothing refers to say goodbye, and who waits for a packet gets one.
    fn finish(&mut self) {
        for vmo in 0..self.vmos.len() {
            if !self.vmos[vmo].over && !self.is_alive(vmo) {
                self.complete(vmo);
            }
        }
        let is_port_wait = |op: &Option<Op>| matches!(op, Some(Op::PortWait));
        if let Some(wait) = self.waits.iter().position(is_port_wait) {
            self.wake(vec![wait], None);
        }
    }
}

/// The part of a byte range within its first page: (offset there, bytes).
fn part(offset: u64, length: u64) -> (u64, u64) {
    let into = offset % PAGE_SIZE;
    (into, length.min(PAGE_SIZE - into))
}
