//! Telling those who watch a VM what becomes of requests and pages, and what objects are called.
//!
//! Watching changes nothing of what happens. Events are [`Work`] like any other, so they come out in the order in which things happened;
//! while nobody watches there are none, for a branch at each place.

use std::ops::Range;

use protocol::{Koid, MAX_NAME_LEN, Status};

use crate::ids::{ObjectRef, PagerId, Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::Pages;
use crate::op::Body;
use crate::pages::runs;
use crate::source::{Asked, Provider};
use crate::work::Work;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// An object is new, or has another name.
    Named {
        /// The object: a process, a thread or a VMO.
        object: ObjectRef,
        /// The process of a thread, else 0.
        of: Koid,
        /// The name, up to a NUL.
        name: [u8; MAX_NAME_LEN],
    },
    /// Pages were asked for that no outstanding request covers.
    Requested {
        /// The pages.
        pages: Pages,
        /// They are there, and are to be written to (`ZX_PAGER_VMO_DIRTY`).
        dirty: bool,
        /// The pager; `None`: the VMM.
        pager: Option<PagerId>,
    },
    /// Pages that were absent are there.
    Came {
        /// The pages.
        pages: Pages,
        /// Why.
        why: Arrival,
        /// The supplier of a pager's VMO.
        from: Supplier,
    },
    /// Pages of storage are gone.
    Left(Pages),
    /// What was asked of a pager for these pages will not happen.
    Failed {
        /// The pages.
        pages: Pages,
        /// What those who wait for it get.
        status: Status,
        /// The pager; `None`: the VMM.
        pager: Option<PagerId>,
    },
}

/// Why pages came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// Somebody waited for them.
    Asked,
    /// Nobody did: they came along with others.
    Ahead,
    /// The same, as zeros without storage; [`Event::Left`] will not tell of them.
    Zeros,
    /// They lay in another VMO, which this one continues.
    Inherited,
}

/// Where pages came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supplier {
    /// They are zeros, or copies, of an anonymous VMO.
    Nobody,
    /// The VMM.
    Host,
    /// A pager of a program.
    Pager(PagerId),
}

impl Supplier {
    fn of(provider: Option<Provider>) -> Supplier {
        match provider {
            None => Supplier::Nobody,
            Some(Provider::Host { .. }) => Supplier::Host,
            Some(Provider::Pager { pager, .. }) => Supplier::Pager(pager),
        }
    }
}

/// What is kept for telling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// The memory operation that ends now serves a touch, which waits for its first page only.
    touch: bool,
}

impl Kernel {
    /// Has [`Work::Tell`] come out from now on.
    pub fn watch(&mut self) {
        self.watch = Some(Watch::default());
    }

    /// An object is new, or has another name.
    pub(crate) fn tell_name(&mut self, object: ObjectRef) {
        if self.watch.is_none() {
            return;
        }
        let of = match object {
            ObjectRef::Thread(id) => self.process_of(id).map_or(0, |process| process.0),
            _ => 0,
        };
        if let Some(name) = self.header_mut(object).map(|header| header.name) {
            self.work
                .push_back(Work::Tell(Event::Named { object, of, name }));
        }
    }

    pub(crate) fn tell_request(&mut self, vmo: VmoId, asked: Asked, pages: &Range<u64>) {
        if self.watch.is_some() {
            let (pages, dirty) = (run_of(vmo, pages), asked == Asked::Dirty);
            let pager = self.pager_of(vmo);
            self.work.push_back(Work::Tell(Event::Requested {
                pages,
                dirty,
                pager,
            }));
        }
    }

    pub(crate) fn tell_failure(&mut self, vmo: VmoId, pages: &Range<u64>, status: Status) {
        if self.watch.is_some() {
            let (pages, pager) = (run_of(vmo, pages), self.pager_of(vmo));
            self.work.push_back(Work::Tell(Event::Failed {
                pages,
                status,
                pager,
            }));
        }
    }

    /// A memory operation of this token has ended: what it brings is published next.
    pub(crate) fn tell_end_of(&mut self, token: Option<Token>) {
        if let Some(watch) = &mut self.watch {
            let op = token.and_then(|token| self.ops.get(token));
            watch.touch = op.is_some_and(|op| matches!(op.body, Body::Fault { .. }));
        }
    }

    /// Pages are about to be there, or not to be there any more.
    pub(crate) fn tell_change(&mut self, id: VmoId, pages: Range<u64>, there: bool) {
        let (Some(watch), Some(vmo)) = (&self.watch, self.vmos.get(&id)) else {
            return;
        };
        let touch = watch.touch;
        if !there {
            let gone = vmo.pages.occupied(pages).into_iter();
            let gone = gone.filter(|&page| vmo.pages.get(page).is_resident());
            for run in runs(gone) {
                self.work
                    .push_back(Work::Tell(Event::Left(run_of(id, &run))));
            }
            return;
        }
        let first = pages.start;
        let asked = |page: u64| match vmo.source() {
            Some(source) => source.is_asked(page),
            None => !touch || page == first,
        };
        let come = pages.filter(|&page| !vmo.pages.get(page).is_resident());
        let (asked, ahead): (Vec<u64>, Vec<u64>) = come.partition(|&page| asked(page));
        self.tell_arrival(id, runs(asked), Arrival::Asked);
        self.tell_arrival(id, runs(ahead), Arrival::Ahead);
    }

    /// What a VMO holds is about to lie in a frozen one.
    pub(crate) fn tell_freeze(&mut self, id: VmoId, into: VmoId) {
        if self.watch.is_none() {
            return;
        }
        let vmo = self.vmos.get(&id);
        let pages = vmo.map_or(Vec::new(), |vmo| vmo.pages.occupied(0..u64::MAX));
        self.tell_change(id, 0..u64::MAX, false);
        self.tell_arrival(into, runs(pages), Arrival::Inherited);
    }

    /// Runs of pages are there, or are about to be; one may be of any length.
    pub(crate) fn tell_arrival(
        &mut self,
        id: VmoId,
        runs: impl IntoIterator<Item = Range<u64>>,
        why: Arrival,
    ) {
        if self.watch.is_none() {
            return;
        }
        let source = self.vmos.get(&id).and_then(|vmo| vmo.source());
        let from = Supplier::of(source.map(|source| source.provider));
        for run in runs {
            let pages = run_of(id, &run);
            self.work
                .push_back(Work::Tell(Event::Came { pages, why, from }));
        }
    }

    fn pager_of(&self, vmo: VmoId) -> Option<PagerId> {
        let source = self.vmos.get(&vmo).and_then(|vmo| vmo.source());
        match Supplier::of(source.map(|source| source.provider)) {
            Supplier::Pager(pager) => Some(pager),
            Supplier::Host | Supplier::Nobody => None,
        }
    }
}

fn run_of(vmo: VmoId, pages: &Range<u64>) -> Pages {
    Pages {
        vmo,
        first: pages.start,
        count: pages.end.saturating_sub(pages.start),
    }
}
