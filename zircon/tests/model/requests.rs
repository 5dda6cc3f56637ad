//! Requests and packets: a VMO has a list of outstanding requests of each kind, and at most one packet in the port.

use std::collections::BTreeSet;
use std::ops::Range;

use protocol::Status;

use super::Model;
use crate::common::Packet;

/// What the pager is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Read,
    Dirty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InPort {
    Request(u64),
    Complete,
}

#[derive(Clone)]
pub struct Request {
    id: u64,
    ask: Ask,
    pages: Range<u64>,
    left: BTreeSet<u64>,
    waiters: Vec<Waiter>,
}

#[derive(Clone)]
struct Waiter {
    wait: usize,
    /// The first page it needs.
    page: u64,
    early: bool,
    awake: bool,
    error: Option<Status>,
}

/// An operation to wake, with the error it gets.
pub type Woken = (usize, Option<Status>);

impl Model {
    /// Asks for pages, or joins who has asked.
    pub fn request(&mut self, vmo: usize, ask: Ask, pages: Range<u64>, wait: usize, early: bool) {
        let waiter = Waiter {
            wait,
            page: pages.start,
            early,
            awake: false,
            error: None,
        };
        self.next_request += 1;
        let id = self.next_request;
        let requests = &mut self.vmos[vmo].requests;
        let mut end = pages.end;
        let nearest = requests
            .iter_mut()
            .filter(|request| request.ask == ask && request.pages.end > pages.start)
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
            ask,
            pages: pages.start..end,
            left: (pages.start..end).collect(),
            waiters: vec![waiter],
        });
        self.acted |= self.ran > 0;
        self.vmos[vmo].unsent.push_back(id);
        self.pump(vmo);
    }

    /// Pages are there, or dirty, or cut off, or (with an error) will not come: says whom that wakes.
    pub fn resolve(
        &mut self,
        vmo: usize,
        ask: Ask,
        pages: Range<u64>,
        error: Option<Status>,
    ) -> Vec<Woken> {
        let (mut early, mut woken) = (Vec::new(), Vec::new());
        let requests = &mut self.vmos[vmo].requests;
        requests.sort_by_key(|request| request.pages.end);
        for request in requests.iter_mut().filter(|request| request.ask == ask) {
            request.left.retain(|page| !pages.contains(page));
            for waiter in request.waiters.iter_mut().filter(|w| !w.awake) {
                let first = pages.contains(&waiter.page);
                if first {
                    waiter.error = error.or(waiter.error);
                }
                if waiter.early && first {
                    waiter.awake = true;
                    early.push((waiter.wait, waiter.error));
                } else if request.left.is_empty() {
                    woken.push((waiter.wait, waiter.error));
                }
            }
        }
        self.drop_requests(vmo, |request| request.left.is_empty());
        early.extend(woken);
        early
    }

    /// Nobody gets anything any more: says who waited.
    pub fn fail_all(&mut self, vmo: usize) -> Vec<Woken> {
        let waiters = self.vmos[vmo].requests.iter().flat_map(|r| &r.waiters);
        let waiters = waiters.filter(|waiter| !waiter.awake);
        let woken = waiters
            .map(|waiter| (waiter.wait, Some(waiter.error.unwrap_or(Status::BAD_STATE))))
            .collect();
        self.drop_requests(vmo, |_| true);
        woken
    }

    /// An operation is over: what only it wanted is withdrawn.
    pub fn abandon(&mut self, wait: usize) {
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
            self.withdraw(vmo);
        }
        self.pump(vmo);
    }

    /// Takes the VMO's packet out of the port.
    pub fn withdraw(&mut self, vmo: usize) {
        self.vmos[vmo].in_port = None;
        self.port.retain(|other| *other != vmo);
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

    pub fn complete(&mut self, vmo: usize) {
        self.vmos[vmo].over = true;
        self.vmos[vmo].in_port = Some(InPort::Complete);
        self.port.push_back(vmo);
    }

    /// The next packet; a VMO's key is its number.
    pub fn take_packet(&mut self) -> Option<Packet> {
        let vmo = self.port.pop_front()?;
        let state = &mut self.vmos[vmo];
        let key = vmo as u64;
        let packet = match state.in_port.take()? {
            InPort::Complete => Packet::Complete(key),
            InPort::Request(id) => {
                let request = state.requests.iter().find(|request| request.id == id)?;
                let pages = request.pages.clone();
                match request.ask {
                    Ask::Read => Packet::Read(key, pages.start, pages.end),
                    Ask::Dirty => Packet::Dirty(key, pages.start, pages.end),
                }
            }
        };
        self.pump(vmo);
        Some(packet)
    }
}
