//! Whose a page of storage is: what `zx_object_get_info` says a VMO has committed.
//!
//! A VMO's own pages are its alone. A page of a frozen VMO counts in full for each clone that sees it, and as one of n parts in what is
//! scaled. What a clone shows of a pager's VMO counts for that one only; slices and references have nothing.

use std::ops::Range;

use protocol::PAGE_SIZE;

use crate::ids::VmoId;
use crate::kernel::Kernel;
use crate::pages::PageState;
use crate::vmo::Vmo;

/// Most VMOs that are looked at to count the clones that see a page: those beyond do not count.
const MAX_SHARERS: usize = 1 << 16;

/// A whole byte in [`Attribution::fraction`].
const WHOLE_BYTE: u128 = 1 << 63;

/// Bytes of committed pages of a VMO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Attribution {
    /// Each page that it sees, in full.
    pub total: u64,
    /// Pages that it alone sees.
    pub private: u64,
    /// Each page divided by how many see it.
    pub scaled: u64,
    /// What `scaled` lacks, in units of 2^-63 bytes.
    pub fraction: u64,
}

impl Vmo {
    /// The pages of these, its own, in which it shows the VMO behind it.
    fn showing(&self, pages: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut out = Vec::new();
        let Some(cow) = &self.cow else {
            return out;
        };
        for range in pages {
            let end = range.end.min(cow.visible.end);
            let mut at = range.start.max(cow.visible.start);
            while at < end {
                let (state, run) = self.state_run(at, end - at);
                if state == PageState::Absent {
                    out.push(at..at + run);
                }
                at += run;
            }
        }
        out
    }
}

fn shifted(pages: &[Range<u64>], by: impl Fn(u64) -> u64) -> Vec<Range<u64>> {
    let shift = |pages: &Range<u64>| by(pages.start)..by(pages.end);
    pages.iter().map(shift).collect()
}

impl Kernel {
    /// What of `pages` of a VMO is committed.
    pub(crate) fn attribution(&self, id: VmoId, pages: Range<u64>) -> Attribution {
        let mut sum = Attribution::default();
        let Some(mut vmo) = self.vmos.get(&id).filter(|vmo| vmo.owner().is_none()) else {
            return sum;
        };
        let own = vmo.pages.committed_in(pages.clone()) * PAGE_SIZE;
        (sum.total, sum.private) = (own, own);
        let mut scaled = u128::from(own) * WHOLE_BYTE;
        let mut seen = vec![pages];
        while let Some(cow) = &vmo.cow {
            seen = shifted(&vmo.showing(&seen), |page| page + cow.offset);
            let behind = self.vmos.get(&cow.behind).filter(|vmo| vmo.is_frozen());
            let Some(frozen) = behind.filter(|_| !seen.is_empty()) else {
                break;
            };
            let mut sharers = self.sharers(cow.behind, &seen).into_iter().peekable();
            let mut count = 0;
            let committed = |page: &u64| frozen.pages.get(*page).is_committed();
            let pages = seen
                .iter()
                .flat_map(|run| frozen.pages.occupied(run.clone()));
            for page in pages.filter(committed) {
                while let Some((_, change)) = sharers.next_if(|(at, _)| *at <= page) {
                    count += change;
                }
                let sharers = u64::try_from(count).unwrap_or(1).max(1);
                sum.total += PAGE_SIZE;
                sum.private += if sharers == 1 { PAGE_SIZE } else { 0 };
                let (whole, rest) = (PAGE_SIZE / sharers, PAGE_SIZE % sharers);
                scaled += u128::from(whole) * WHOLE_BYTE;
                scaled += u128::from(rest) * WHOLE_BYTE / u128::from(sharers);
            }
            vmo = frozen;
        }
        sum.scaled = u64::try_from(scaled / WHOLE_BYTE).unwrap_or(u64::MAX);
        sum.fraction = u64::try_from(scaled % WHOLE_BYTE).unwrap_or(0);
        sum
    }

    /// Where, among these pages of a frozen VMO, the number of VMOs that see them changes, and by how much; in ascending order.
    fn sharers(&self, id: VmoId, pages: &[Range<u64>]) -> Vec<(u64, i64)> {
        let mut changes = Vec::new();
        // What is yet to be looked at: a VMO, pages of it, and how far they are from those of the frozen one.
        let mut open = vec![(id, pages.to_vec(), 0)];
        let mut looked = 0;
        while let Some((id, pages, distance)) = open.pop() {
            let viewers = self.vmos.get(&id).map(|vmo| &vmo.viewers);
            for viewer in viewers.into_iter().flatten() {
                let Some(vmo) = self.vmos.get(viewer).filter(|_| looked < MAX_SHARERS) else {
                    continue;
                };
                looked += 1;
                let offset = vmo.cow.as_ref().map_or(0, |cow| cow.offset);
                let showing = vmo.showing(&shifted(&pages, |page| page.saturating_sub(offset)));
                if vmo.is_frozen() {
                    open.push((*viewer, showing, distance + offset));
                    continue;
                }
                for run in showing {
                    changes.push((run.start + offset + distance, 1));
                    changes.push((run.end + offset + distance, -1));
                }
            }
        }
        changes.sort_unstable();
        changes
    }
}
