//! Making pages ready for an operation: finding them, asking a pager for them, giving the VMO pages of its own.
//!
//! [`Kernel::prepare`] looks at the first page that an operation needs. It answers with a run of pages that serve as they are, or
//! registers the operation with the one thing that has to happen first: a memory operation, the end of somebody else's, a page
//! request. When that has happened the operation asks again.

use std::ops::Range;

use protocol::{PAGE_SIZE, Status};

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::look::Seen;
use crate::memory::{MemoryOp, Pages, Writes};
use crate::memory_ops::page_span;
use crate::op::Waiting;
use crate::pages::PageState;
use crate::room::Reserved;
use crate::source::{Asked, Provider, SourceState};
use crate::work::{Access, Work};

/// Most pages that one operation installs at a time: what a large write waits for is bounded by it.
pub(crate) const MAX_INSTALL: u64 = 256;

/// What an operation means to do with pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    /// Look at what they hold.
    Read,
    /// Look through a mapping: zeros must be a page of storage, too, which does not count as committed.
    Map,
    /// Have them: the VMO's own, committed, not written to.
    Commit,
    /// The same, and where a device finds them: what lies in the storage of a VMO that is gone is brought over.
    Pin,
    /// Write zeros to them: what is zero without storage stays so.
    Clear,
    /// Write to them.
    Write,
}

impl Intent {
    /// Whether the pages have to be the VMO's own.
    pub fn owns(self) -> bool {
        matches!(
            self,
            Intent::Commit | Intent::Pin | Intent::Clear | Intent::Write
        )
    }

    /// Whether the pages are had and not written to: what is clean stays so.
    pub fn commits(self) -> bool {
        matches!(self, Intent::Commit | Intent::Pin)
    }

    /// Whether the pages are written to.
    pub fn writes(self) -> bool {
        matches!(self, Intent::Clear | Intent::Write)
    }
}

/// What an operation needs of the pages it is about to use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub intent: Intent,
    /// Most pages to ask a pager for at once.
    pub request: u64,
    /// It goes on as soon as its first page is there.
    pub early: bool,
}

impl Need {
    /// `zx_vmo_read`, which is woken early.
    pub const READ: Need = Need {
        intent: Intent::Read,
        request: u64::MAX,
        early: true,
    };
    /// `zx_vmo_write` waits for at most 16 pages at once.
    pub const WRITE: Need = Need {
        intent: Intent::Write,
        request: 16,
        early: false,
    };

    /// Whatever waits for all that it asks for.
    pub fn whole(intent: Intent) -> Need {
        Need {
            intent,
            request: u64::MAX,
            early: false,
        }
    }

    /// A touch through a mapping asks for one page.
    pub fn touch(access: Access) -> Need {
        Need {
            intent: match access {
                Access::Write => Intent::Write,
                Access::Read | Access::Execute => Intent::Map,
            },
            request: 1,
            early: false,
        }
    }
}

/// How ready pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// This many bytes are in pages of storage, the VMO's own if the operation wants them so.
    Present(u64),
    /// This many bytes are zero and need no storage.
    Zeros(u64),
    /// The operation is registered with this and has to wait.
    Wait(Waiting),
}

impl Kernel {
    /// Makes pages of `id` (not a slice) ready for `token`, or registers it with what it has to wait for.
    pub(crate) fn prepare(
        &mut self,
        token: Token,
        id: VmoId,
        offset: u64,
        length: u64,
        need: Need,
    ) -> Result<Ready, Status> {
        let span = page_span(offset, length);
        let (first, limit) = (span.start, span.end - span.start);
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        if vmo.is_discarded() {
            // There is nothing left to be zeroed, and nothing to be had.
            return match need.intent {
                Intent::Clear => Ok(Ready::Zeros(length)),
                _ => Err(Status::NOT_FOUND),
            };
        }
        let calm = vmo.calm_run(first, limit, false);
        if calm == 0 {
            return self.ready_when_calm(id, token);
        }
        let (seen, mut run) = self.look(id, first, calm);
        if let Seen::Page(owner, page, _) | Seen::Zero(owner, page, _) | Seen::Absent(owner, page) =
            seen
            && owner != id
        {
            // Somebody changes what the clone shows.
            let vmo = self.vmos.get(&owner).ok_or(Status::BAD_STATE)?;
            run = vmo.calm_run(page, run, false);
            if run == 0 {
                return self.ready_when_calm(owner, token);
            }
        }
        let bytes = |pages: u64| length.min((first + pages) * PAGE_SIZE - offset);
        if let Seen::Page(owner, page, _) | Seen::Zero(owner, page, PageState::Blank) = seen {
            self.meet(owner, page..page + run);
        }
        if let Seen::Page(owner, page, state) | Seen::Zero(owner, page, state) = seen
            && let Some(wait) = self.outlives_detach(token, owner, (page, state))?
        {
            return Ok(wait);
        }
        match seen {
            Seen::Page(owner, _, state) if owner == id => {
                let pages = first..first + run;
                let wait = self.own(token, id, pages, limit, (state, need))?;
                Ok(wait.unwrap_or(Ready::Present(bytes(run))))
            }
            Seen::Page(..) => match need.intent.owns() {
                true => self.fork(token, id, first, run),
                false => Ok(Ready::Present(bytes(run))),
            },
            Seen::Absent(root, page) => {
                let pages = page..page + run.min(need.request);
                self.request(token, root, Asked::Read, pages, need.early)
            }
            // A mapping may have written to it, if that is noted only.
            Seen::Zero(_, _, PageState::Blank) if !need.intent.owns() => {
                Ok(Ready::Present(bytes(run)))
            }
            Seen::Zero(owner, _, PageState::Blank)
                if owner != id
                    && (need.intent != Intent::Clear || self.may_hide(owner, PageState::Blank)) =>
            {
                self.fork(token, id, first, run)
            }
            Seen::Zero(owner, _, state) if owner == id && need.intent.owns() => {
                let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
                let noted = state == PageState::Blank && vmo.storage_writes() == Writes::Noted;
                match need.intent {
                    Intent::Clear if noted => return self.settle_blanks(token, id, first, run),
                    Intent::Clear => return Ok(Ready::Zeros(bytes(run))),
                    _ => {}
                }
                if let Some((slot, _)) = vmo.zero.containing(first) {
                    run = run.min(slot.end - first);
                }
                let pages = first..first + run;
                let wait = self.own_zeros(token, id, pages, limit, (state, need))?;
                Ok(wait.unwrap_or(Ready::Present(bytes(run))))
            }
            _ if matches!(need.intent, Intent::Read | Intent::Clear) => {
                Ok(Ready::Zeros(bytes(run)))
            }
            // What a pager's VMO shows to its clones is its own: it may be written to later.
            Seen::Zero(owner, page, _)
                if !need.intent.owns() && self.pager_behind(owner) == Some(owner) =>
            {
                self.show_zeros(token, owner, page, run)
            }
            _ if need.intent == Intent::Map => self.show_zeros(token, id, first, run),
            _ => self.install_zeros(token, id, first..first + run, false, PageState::Clean),
        }
    }

    /// Registers an operation to look again when something under way on the VMO ends.
    pub(crate) fn ready_when_calm(&mut self, id: VmoId, token: Token) -> Result<Ready, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        vmo.busy_waiters.push(token);
        Ok(Ready::Wait(Waiting::Busy(id)))
    }

    /// A page that is about to go with the pager that supplied it is lost already, unless it may turn out to be written to.
    fn outlives_detach(
        &mut self,
        token: Token,
        id: VmoId,
        (page, state): (u64, PageState),
    ) -> Result<Option<Ready>, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        if !vmo.detaching || !vmo.goes_with_pager(page, state) {
            return Ok(None);
        }
        match vmo.storage_writes() {
            Writes::Exit | Writes::Never => Err(Status::BAD_STATE),
            Writes::Noted => self.ready_when_calm(id, token).map(Some),
        }
    }

    /// Installs pages for zeros that a mapping looks at: they do not count until they are written to.
    fn show_zeros(
        &mut self,
        token: Token,
        id: VmoId,
        first: u64,
        run: u64,
    ) -> Result<Ready, Status> {
        self.install_zeros(token, id, first..first + run, true, PageState::Blank)
    }

    /// Finds out whether mappings wrote to pages that stood for zeros: those to which they did not go.
    fn settle_blanks(
        &mut self,
        token: Token,
        id: VmoId,
        first: u64,
        run: u64,
    ) -> Result<Ready, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let run = vmo.calm_run(first, run, true);
        if run == 0 {
            return self.ready_when_calm(id, token);
        }
        self.drop_unwritten(token, id, first..first + run);
        Ok(Ready::Wait(Waiting::Memory))
    }

    /// Installs pages of zeros in a VMO that has nothing there.
    pub(crate) fn install_zeros(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        protect: bool,
        becomes: PageState,
    ) -> Result<Ready, Status> {
        let zero = |pages| MemoryOp::Zero { pages, protect };
        self.install(token, id, pages, Some(becomes), zero)
    }

    /// Gives a clone pages of its own with what it shows.
    fn fork(&mut self, token: Token, id: VmoId, first: u64, run: u64) -> Result<Ready, Status> {
        let fork = |pages| MemoryOp::Fork {
            pages,
            inherited: false,
        };
        self.install(token, id, first..first + run, None, fork)
    }

    /// Gives the VMO pages that count, as many of these as can be had at once.
    fn install(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        becomes: Option<PageState>,
        op: impl FnOnce(Pages) -> MemoryOp,
    ) -> Result<Ready, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let (first, run) = (pages.start, pages.end - pages.start);
        let run = vmo.calm_run(first, run.min(MAX_INSTALL), true);
        if run == 0 {
            return self.ready_when_calm(id, token);
        }
        let count = match self.reserve(token, run)? {
            Reserved::Pages(count) => count,
            Reserved::Wait(waiting) => return Ok(Ready::Wait(waiting)),
        };
        let pages = Pages {
            vmo: id,
            first,
            count,
        };
        self.emit_to_be(Some(token), op(pages), becomes);
        Ok(Ready::Wait(Waiting::Memory))
    }

    /// Changes pages that the VMO owns, when nothing else is under way on them.
    pub(crate) fn change_own(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        becomes: PageState,
        op: impl Fn(Pages) -> MemoryOp,
    ) -> Result<Ready, Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        let (first, run) = (pages.start, pages.end - pages.start);
        let count = vmo.calm_run(first, run.min(MAX_INSTALL), true);
        if count == 0 {
            return self.ready_when_calm(id, token);
        }
        let pages = Pages {
            vmo: id,
            first,
            count,
        };
        self.emit_to_be(Some(token), op(pages), Some(becomes));
        Ok(Ready::Wait(Waiting::Memory))
    }

    /// Asks the provider of a pager-owned VMO for pages.
    pub(crate) fn request(
        &mut self,
        token: Token,
        id: VmoId,
        asked: Asked,
        pages: Range<u64>,
        early: bool,
    ) -> Result<Ready, Status> {
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        let pages = pages.start..pages.end.min(vmo.page_count());
        let source = vmo.source_mut().ok_or(Status::INTERNAL)?;
        if source.state != SourceState::Attached {
            return Err(Status::BAD_STATE);
        }
        if matches!(source.provider, Provider::Host { .. }) {
            return self.request_of_host(token, id, pages, early);
        }
        let queued = source.is_packet_queued();
        if let Some(new) = source.request(asked, pages, token, early) {
            self.tell_request(id, asked, &new);
        }
        self.pump_source(id, queued);
        Ok(Ready::Wait(Waiting::Request(id)))
    }

    /// Asks the VMM for absent pages. They are taken from the limit before it is asked: what it reads it can install.
    fn request_of_host(
        &mut self,
        token: Token,
        id: VmoId,
        pages: Range<u64>,
        early: bool,
    ) -> Result<Ready, Status> {
        let source = self.vmos.get(&id).and_then(|vmo| vmo.source());
        let source = source.ok_or(Status::INTERNAL)?;
        let first = pages.start;
        let mut end = source.unasked(pages.clone()).end;
        if end == first {
            // It joins a request.
            end = pages.end;
        } else if let Some(expected) = source.expected.containing(first) {
            end = end.min(expected.end);
        } else {
            let expected = source.expected.next_in(first);
            let wanted = expected.map_or(end, |at| at.min(end)) - first;
            match self.reserve(token, wanted.min(MAX_INSTALL))? {
                Reserved::Pages(count) => end = first + count,
                Reserved::Wait(waiting) => return Ok(Ready::Wait(waiting)),
            }
        }
        let source = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut());
        let source = source.ok_or(Status::INTERNAL)?;
        if let Some(asked) = source.request(Asked::Read, first..end, token, early) {
            source.expected.insert(asked.clone());
            self.tell_request(id, Asked::Read, &asked);
            self.work.push_back(Work::HostRead(Pages {
                vmo: id,
                first: asked.start,
                count: asked.end - asked.start,
            }));
        }
        Ok(Ready::Wait(Waiting::Request(id)))
    }
}
