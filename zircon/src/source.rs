//! The page source of a pager-owned VMO: its outstanding requests and its one packet.
//!
//! **Life of a request.** An operation that needs absent pages (READ), or may not write to clean ones before the pager knows (DIRTY),
//! joins the outstanding request of that kind that covers them, or makes a new one. A new request waits in the source's queue until
//! the source's packet is free; a VMO has at most one packet in its port, and both kinds stand in one queue. Dequeuing the packet
//! shows the request to the pager. Pages that become present, or dirty, that fail or are cut off count as resolved; at the last one the
//! request ends and everybody who waits looks again. A request that ends while its packet is still in the port is withdrawn and never
//! seen.

use std::collections::VecDeque;
use std::ops::Range;

use protocol::{PAGE_SIZE, PageRequestCommand, PortPacket, Status};

use crate::ids::{PagerId, PortId, Token};
use crate::intervals::Intervals;

/// Who supplies the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    /// A pager object of a program; requests are packets.
    Pager {
        pager: PagerId,
        port: PortId,
        key: u64,
    },
    /// The VMM; requests are [`crate::Work::HostRead`].
    Host {
        /// Whether any mapping or handle permits writes: what none permits at first none ever will.
        writable: bool,
    },
}

/// Where the source stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceState {
    /// Requests can be made.
    Attached,
    /// `zx_pager_detach_vmo` was called.
    Detached,
    /// The pager is gone.
    Closed,
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Asked {
    /// Absent pages.
    Read,
    /// Leave to write to clean pages.
    Dirty,
}

impl Asked {
    fn command(self) -> PageRequestCommand {
        match self {
            Asked::Read => PageRequestCommand::Read,
            Asked::Dirty => PageRequestCommand::Dirty,
        }
    }
}

/// A request: what it asks for, and its end.
type RequestId = (Asked, u64);

/// The page source.
#[derive(Clone, Debug)]
pub(crate) struct PageSource {
    pub provider: Provider,
    pub state: SourceState,
    /// Outstanding requests, in the order of their ids. Those of one kind never overlap.
    requests: Vec<Request>,
    /// Requests whose packet has not been queued yet.
    unsent: VecDeque<RequestId>,
    /// What the packet in the port stands for.
    in_port: Option<InPort>,
    /// COMPLETE is to be sent when the packet is free.
    complete_due: bool,
    /// Pages that the VMM was asked for and has not answered: they count already.
    pub expected: Intervals,
}

#[derive(Clone, Debug)]
struct Request {
    id: RequestId,
    start: u64,
    unresolved: Intervals,
    waiters: Vec<Waiter>,
}

#[derive(Clone, Debug)]
struct Waiter {
    token: Token,
    /// The first page the waiter needs: its arrival wakes an early waiter, its failure fails any waiter.
    page: u64,
    early: bool,
    /// Woken early: it wants the rest of the request, but waits for nothing at present.
    awake: bool,
    error: Option<Status>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InPort {
    Request(RequestId),
    Complete,
}

/// An operation to wake, with the error that its page got.
pub(crate) type Woken = (Token, Option<Status>);

/// What the source wants done with its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PacketMove {
    /// Put the source's packet at the end of the port's queue.
    Queue,
    /// Take the packet out of the port's queue.
    Withdraw,
    /// Take it out and put it at the end again, standing for the next thing.
    Requeue,
}

impl PageSource {
    pub fn new(provider: Provider) -> Self {
        PageSource {
            provider,
            state: SourceState::Attached,
            requests: Vec::new(),
            unsent: VecDeque::new(),
            in_port: None,
            complete_due: false,
            expected: Intervals::default(),
        }
    }

    /// Where a request stands, or would.
    fn find(&self, id: RequestId) -> Result<usize, usize> {
        self.requests
            .binary_search_by_key(&id, |request| request.id)
    }

    /// Where the first request stands that ends after a page, if it is of that kind.
    fn first_after(&self, asked: Asked, page: u64) -> usize {
        let before = |request: &Request| request.id <= (asked, page);
        self.requests.partition_point(before)
    }

    /// The part of a range, from its start on, that no outstanding READ covers.
    pub fn unasked(&self, range: Range<u64>) -> Range<u64> {
        let next = self
            .requests
            .get(self.first_after(Asked::Read, range.start));
        let next = next.filter(|request| request.id.0 == Asked::Read);
        let end = next.map_or(range.end, |request| request.start);
        range.start..end.clamp(range.start, range.end)
    }

    /// Whether an outstanding READ waits for a page.
    pub fn is_asked(&self, page: u64) -> bool {
        let next = self.requests.get(self.first_after(Asked::Read, page));
        let next = next.filter(|request| request.id.0 == Asked::Read);
        next.is_some_and(|request| request.unresolved.containing(page).is_some())
    }

    /// Makes `token` wait for pages from `range.start` on; says what new range has to be asked for.
    ///
    /// `early` waiters (`zx_vmo_read`) are woken as soon as their first page is there, and keep their request alive until they say that
    /// they are done with it ([`PageSource::cancel`]). Ranges follow the overlap rules: a start inside an outstanding request joins it; an
    /// end inside one is cut.
    pub fn request(
        &mut self,
        asked: Asked,
        range: Range<u64>,
        token: Token,
        early: bool,
    ) -> Option<Range<u64>> {
        let waiter = Waiter {
            token,
            page: range.start,
            early,
            awake: false,
            error: None,
        };
        if early {
            self.lose_interest(asked, range.start, token);
        }
        let mut end = range.end;
        let at = self.first_after(asked, range.start);
        let leader = self.requests.get_mut(at);
        if let Some(leader) = leader.filter(|request| request.id.0 == asked) {
            if range.start >= leader.start {
                leader.waiters.retain(|waiter| waiter.token != token);
                leader.waiters.push(waiter);
                return None;
            }
            end = end.min(leader.start);
        }
        let range = range.start..end;
        let request = Request {
            id: (asked, end),
            start: range.start,
            unresolved: Intervals::of(range.clone()),
            waiters: vec![waiter],
        };
        self.requests.insert(at, request);
        if matches!(self.provider, Provider::Pager { .. }) {
            self.unsent.push_back((asked, end));
        }
        Some(range)
    }

    /// `token` was woken early and asks for `page` now: if it skipped pages that have not come, it found them elsewhere, and no longer
    /// wants the rest of what it asked for.
    fn lose_interest(&mut self, asked: Asked, page: u64, token: Token) {
        let skipped = |request: &Request, waiter: &Waiter| {
            let missing = request.unresolved.next_in(waiter.page);
            missing.is_some_and(|missing| missing < page)
        };
        let requests = self.requests.iter_mut();
        let mut dropped = None;
        for request in requests.filter(|request| request.id.0 == asked) {
            let waiter = request.waiters.iter().find(|waiter| waiter.token == token);
            if waiter.is_some_and(|waiter| skipped(request, waiter)) {
                request.waiters.retain(|waiter| waiter.token != token);
                dropped = request.waiters.is_empty().then_some(request.id);
            }
        }
        if let Some(id) = dropped {
            self.end_request(id);
        }
    }

    /// What was asked for pages of `range` has happened (or, with an error, will not): ends and wakes what that resolves.
    pub fn resolve(
        &mut self,
        asked: Asked,
        range: Range<u64>,
        error: Option<Status>,
    ) -> Vec<Woken> {
        let mut woken = Vec::new();
        let mut ended = Vec::new();
        let first = self.first_after(asked, range.start);
        let after = self.requests.get_mut(first..).unwrap_or_default();
        for request in after {
            if request.id.0 != asked || request.start >= range.end {
                break;
            }
            request.unresolved.remove(range.clone());
            let waiting = request.waiters.iter_mut().filter(|waiter| !waiter.awake);
            for waiter in waiting.filter(|waiter| range.contains(&waiter.page)) {
                waiter.error = error.or(waiter.error);
                if waiter.early {
                    waiter.awake = true;
                    woken.push((waiter.token, waiter.error));
                }
            }
            if request.unresolved.is_empty() {
                ended.push(request.id);
            }
        }
        for id in ended {
            woken.extend(self.end_request(id));
        }
        woken
    }

    /// Ends every request with an error and forgets them (detach, pager close).
    pub fn fail_all(&mut self, status: Status) -> Vec<Woken> {
        let all: Vec<RequestId> = self.requests.iter().map(|request| request.id).collect();
        let woken = all
            .into_iter()
            .flat_map(|id| self.end_request(id))
            .collect::<Vec<_>>();
        woken
            .into_iter()
            .map(|(token, error)| (token, error.or(Some(status))))
            .collect()
    }

    /// `token` no longer wants anything; a request that nobody wants any more is dropped.
    pub fn cancel(&mut self, token: Token) {
        let mut dropped = Vec::new();
        for request in &mut self.requests {
            let before = request.waiters.len();
            request.waiters.retain(|waiter| waiter.token != token);
            if before > 0 && request.waiters.is_empty() {
                dropped.push(request.id);
            }
        }
        for id in dropped {
            self.end_request(id);
        }
    }

    fn end_request(&mut self, id: RequestId) -> Vec<Woken> {
        self.unsent.retain(|&unsent| unsent != id);
        let Ok(at) = self.find(id) else {
            return Vec::new();
        };
        let request = self.requests.remove(at);
        if self.in_port == Some(InPort::Request(id)) {
            self.in_port = None;
        }
        let waiting = request.waiters.into_iter().filter(|waiter| !waiter.awake);
        waiting.map(|waiter| (waiter.token, waiter.error)).collect()
    }

    /// COMPLETE is owed from now on.
    pub fn owe_complete(&mut self) {
        self.complete_due = true;
    }

    /// Nothing is sent any more (the pager is gone).
    pub fn silence(&mut self) {
        self.unsent.clear();
        self.complete_due = false;
        self.in_port = None;
    }

    /// Puts the next thing into the packet if it is free. `was_queued`: the port still holds the packet.
    pub fn next_packet(&mut self, was_queued: bool) -> Option<PacketMove> {
        if self.in_port.is_some() {
            return None;
        }
        self.in_port = match self.unsent.pop_front() {
            Some(id) => Some(InPort::Request(id)),
            None if self.complete_due => {
                self.complete_due = false;
                Some(InPort::Complete)
            }
            None => None,
        };
        match (self.in_port.is_some(), was_queued) {
            (true, false) => Some(PacketMove::Queue),
            (true, true) => Some(PacketMove::Requeue),
            (false, true) => Some(PacketMove::Withdraw),
            (false, false) => None,
        }
    }

    /// Whether the source's packet is in its port.
    pub fn is_packet_queued(&self) -> bool {
        self.in_port.is_some()
    }

    /// The packet leaves the port: what it says.
    pub fn take_packet(&mut self) -> Option<PortPacket> {
        let Provider::Pager { key, .. } = self.provider else {
            return None;
        };
        match self.in_port.take()? {
            InPort::Complete => Some(PortPacket::page_request(
                key,
                PageRequestCommand::Complete,
                0,
                0,
            )),
            InPort::Request(id) => {
                let start = self.requests.get(self.find(id).ok()?)?.start;
                let (asked, end) = id;
                let (offset, length) = (start * PAGE_SIZE, (end - start) * PAGE_SIZE);
                Some(PortPacket::page_request(
                    key,
                    asked.command(),
                    offset,
                    length,
                ))
            }
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
