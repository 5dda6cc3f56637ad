//! What a VMO shows: its own pages, and through it those of the VMOs that it was cloned from.
//!
//! A clone keeps what it owns in its own page map; where that has nothing it shows the VMO behind it, within the limits that it
//! was made with: a pager's VMO, whose pages it sees live, or a frozen one, which nobody writes to. Beyond the limits, and where the
//! last VMO of the chain has nothing, there are zeros.

use std::ops::Range;

use crate::ids::VmoId;
use crate::kernel::Kernel;
use crate::pages::PageState;

/// What a clone shows of another VMO.
#[derive(Clone, Debug)]
pub(crate) struct Cow {
    /// A pager's VMO, or a frozen one.
    pub behind: VmoId,
    /// What to add to a page of the clone for the page there.
    pub offset: u64,
    /// The pages of the clone that show it.
    pub visible: Range<u64>,
}

impl Cow {
    /// A view of these pages of a VMO, from its first page on; `None` if there are none.
    pub fn of(behind: VmoId, pages: &Range<u64>) -> Option<Cow> {
        (!pages.is_empty()).then(|| Cow {
            behind,
            offset: pages.start,
            visible: 0..pages.end - pages.start,
        })
    }

    /// What a VMO shows whose pages, `visible` of them, show those `shift` pages on of the VMO that has this view.
    pub fn through(&self, shift: u64, visible: &Range<u64>) -> Option<Cow> {
        let start = visible.start.max(self.visible.start.saturating_sub(shift));
        let end = visible.end.min(self.visible.end.saturating_sub(shift));
        (start < end).then(|| Cow {
            behind: self.behind,
            offset: self.offset + shift,
            visible: start..end,
        })
    }
}

/// Where what a VMO shows of a page comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// A page of storage that counts: whose, which page there, its state.
    Page(VmoId, u64, PageState),
    /// Zeros that somebody's slot says; with a page of storage that stands for them if the state is [`PageState::Blank`].
    Zero(VmoId, u64, PageState),
    /// A page that the pager of this VMO has to be asked for.
    Absent(VmoId, u64),
    /// Zeros that nobody has anything for.
    Nothing,
}

impl Kernel {
    /// What `id` (not a slice) shows of `page`, and for how many of the `limit` pages from there on the same holds, as far as that
    /// is quickly told.
    pub(crate) fn look(&self, id: VmoId, page: u64, limit: u64) -> (Seen, u64) {
        let (mut at, mut page, mut limit) = (id, page, limit);
        loop {
            let Some(vmo) = self.vmos.get(&at) else {
                return (Seen::Nothing, limit);
            };
            let (state, run) = vmo.state_run(page, limit);
            match state {
                PageState::Absent => {}
                PageState::Zero | PageState::Blank => return (Seen::Zero(at, page, state), run),
                state => return (Seen::Page(at, page, state), run),
            }
            let Some(cow) = &vmo.cow else {
                return match vmo.source() {
                    Some(_) => (Seen::Absent(at, page), run),
                    None => (Seen::Nothing, run),
                };
            };
            if !cow.visible.contains(&page) {
                let ahead = cow
                    .visible
                    .start
                    .checked_sub(page)
                    .filter(|&ahead| ahead > 0);
                return (Seen::Nothing, ahead.map_or(run, |ahead| run.min(ahead)));
            }
            limit = run.min(cow.visible.end - page);
            page += cow.offset;
            at = cow.behind;
        }
    }

    /// The pager's VMO at the end of a chain of views, `id` itself included.
    pub(crate) fn pager_behind(&self, id: VmoId) -> Option<VmoId> {
        let mut at = id;
        loop {
            let vmo = self.vmos.get(&at)?;
            if vmo.source().is_some() {
                return Some(at);
            }
            at = vmo.cow.as_ref()?.behind;
        }
    }

    /// The VMOs behind `id` with the part of `pages` that each shows through, nearest first.
    pub(crate) fn behind(&self, id: VmoId, pages: Range<u64>) -> Vec<(VmoId, Range<u64>)> {
        let (mut at, mut pages) = (id, pages);
        let mut out = Vec::new();
        while let Some(cow) = self.vmos.get(&at).and_then(|vmo| vmo.cow.as_ref()) {
            let start = pages.start.max(cow.visible.start);
            let end = pages.end.min(cow.visible.end);
            if start >= end {
                break;
            }
            pages = start + cow.offset..end + cow.offset;
            at = cow.behind;
            out.push((at, pages.clone()));
        }
        out
    }
}
