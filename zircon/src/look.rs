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
