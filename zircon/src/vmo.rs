//! The state of one VMO. Slices and references have no pages of their own: every lookup goes to the VMO that owns them.

use std::collections::BTreeSet;
use std::ops::Range;

use protocol::options::VmoOptions;
use protocol::{PAGE_SIZE, Signals};

use crate::discard::Lock;
use crate::header::Header;
use crate::ids::{Token, VmoId};
use crate::look::Cow;
use crate::memory::{MemoryOpId, Writes};
use crate::pages::{PageMap, PageState};
use crate::pin::Pinned;
use crate::sequence::Sequence;
use crate::source::{PageSource, Provider};
use crate::zero_slots::{ZeroKind, ZeroSlots};
use protocol::options::CachePolicy;

/// A VMO.
#[derive(Clone, Debug)]
pub(crate) struct Vmo {
    pub header: Header,
    /// Bytes, a whole number of pages.
    pub size: u64,
    /// Content size in bytes, not rounded.
    pub stream_size: u64,
    pub options: VmoOptions,
    pub kind: VmoKind,
    pub cache_policy: CachePolicy,
    /// All its pages lie in one piece of guest-physical space, aligned to 2 to the power of this.
    pub contiguous: Option<u32>,
    /// It was made as a clone.
    pub is_clone: bool,
    /// It was made as a snapshot that cannot be written to.
    pub is_immutable: bool,
    /// It is a snapshot of what was modified in a pager's hierarchy, or has one: its clones are such snapshots.
    pub below_modified: bool,
    /// Where its first byte lies, counted from the start of its first ancestor.
    pub base: u64,
    /// What a clone shows where it has nothing of its own.
    pub cow: Option<Cow>,
    /// The VMOs whose `cow` is this one.
    pub viewers: BTreeSet<VmoId>,
    /// A frozen VMO is merging with the last of them.
    pub merging: bool,
    pub pages: PageMap,
    /// Slots that are zero without storage ([`PageState::Zero`]).
    pub zero: ZeroSlots,
    /// It was detached from its pager, and what that supplied has not all gone yet.
    pub detaching: bool,
    /// A pager's VMO was changed by a program since this was last asked for.
    pub modified: bool,
    /// Pages that devices may use.
    pub pins: Vec<Pinned>,
    /// Memory operations under way.
    pub busy: Vec<Busy>,
    /// Operations to look again when a memory operation on this VMO ends.
    pub busy_waiters: Vec<Token>,
    /// A change of size that has not dropped all pages of its cut yet; the next one waits.
    pub resizing: bool,
    /// Handles, mappings and operations: while there is one, the object is there.
    pub references: u64,
    /// Slices, references, clones and memory operations: while there is one, the storage is there.
    pub users: u64,
    /// The VMO that this one is a child of.
    pub parent: Option<VmoId>,
    pub children: BTreeSet<VmoId>,
    pub mappings: u64,
    /// Whether a discardable VMO is locked, and what has become of its pages.
    pub lock: Lock,
    /// Times that reclaim took a page of it, or discarded it.
    pub reclaims: u64,
    /// How faults on it have come, for supplying ahead of a sequential toucher.
    pub faults: Sequence,
}

/// Where a VMO's pages come from.
#[derive(Clone, Debug)]
pub(crate) enum VmoKind {
    /// Absent pages are zeros.
    Anonymous,
    /// Absent pages are asked for.
    Paged(Box<PageSource>),
    /// What clones show of what one of them held: [`crate::frozen`].
    Frozen,
    /// A window on `owner`, starting at byte `offset` there.
    Slice { owner: VmoId, offset: u64 },
    /// Another name for `owner`: its sizes are the owner's.
    Reference { owner: VmoId },
    /// A window on a range of guest-physical memory that was granted, starting at byte `offset` of the VMO that is the range.
    Physical { region: VmoId, offset: u64 },
}

/// A range that a memory operation works on.
#[derive(Clone, Debug)]
pub(crate) struct Busy {
    pub op: MemoryOpId,
    pub pages: Range<u64>,
    /// The operation changes which pages are there: nothing else may use them.
    pub exclusive: bool,
}

impl Busy {
    /// All pages of a VMO.
    pub const ALL: Range<u64> = 0..u64::MAX;
}

impl Vmo {
    pub fn new(size: u64, stream_size: u64, options: VmoOptions, kind: VmoKind) -> Self {
        Vmo {
            header: Header::new(Signals::VMO_ZERO_CHILDREN),
            size,
            stream_size,
            options,
            kind,
            cache_policy: CachePolicy::Cached,
            contiguous: None,
            is_clone: false,
            is_immutable: false,
            below_modified: false,
            base: 0,
            cow: None,
            viewers: BTreeSet::new(),
            merging: false,
            pages: PageMap::default(),
            zero: ZeroSlots::default(),
            detaching: false,
            modified: false,
            pins: Vec::new(),
            busy: Vec::new(),
            busy_waiters: Vec::new(),
            resizing: false,
            references: 0,
            users: 0,
            parent: None,
            children: BTreeSet::new(),
            mappings: 0,
            lock: Lock::default(),
            reclaims: 0,
            faults: Sequence::default(),
        }
    }

    /// Pages of the VMO.
    pub fn page_count(&self) -> u64 {
        self.size / PAGE_SIZE
    }

    /// The VMO that a window, which has no pages of its own, looks at.
    pub fn owner(&self) -> Option<VmoId> {
        match self.kind {
            VmoKind::Slice { owner, .. } | VmoKind::Reference { owner } => Some(owner),
            VmoKind::Physical { region, .. } => Some(region),
            VmoKind::Anonymous | VmoKind::Paged(_) | VmoKind::Frozen => None,
        }
    }

    /// Whether it is what clones show, without handles.
    pub fn is_frozen(&self) -> bool {
        matches!(self.kind, VmoKind::Frozen)
    }

    /// Whether it owns a page, or is zero somewhere for good.
    pub fn owns_any(&self) -> bool {
        self.pages.first_occupied(0..u64::MAX).is_some() || self.zero.next_in(0).is_some()
    }

    /// A clone shows nothing of others in these pages any more: they are zero for good, or its own.
    pub fn hide(&mut self, pages: Range<u64>) {
        if self.cow.is_some() {
            self.zero.insert(pages, ZeroKind::Marker);
        }
    }

    /// The page that shows page `page` of the VMO behind it, if one does.
    pub fn shows_as(&self, page: u64) -> Option<u64> {
        let cow = self.cow.as_ref()?;
        let page = page.checked_sub(cow.offset)?;
        let shows = cow.visible.contains(&page) && self.state(page) == PageState::Absent;
        shows.then_some(page)
    }

    /// Ascending pages of storage as runs that can be dropped in one operation.
    pub fn storage_runs(&self, pages: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
        let inherited = |page| self.pages.get(page) == PageState::Inherited;
        let mut out: Vec<Range<u64>> = Vec::new();
        for page in pages {
            match out.last_mut() {
                Some(run) if run.end == page && inherited(run.start) == inherited(page) => {
                    run.end += 1;
                }
                _ => out.push(page..page + 1),
            }
        }
        out
    }

    /// The first run of pages of a cut of which there is something to drop: storage of one state, or what is shown of another VMO.
    pub fn next_to_drop(&self, cut: &Range<u64>) -> Option<Range<u64>> {
        let mut at = cut.start;
        while at < cut.end {
            let (state, run) = self.state_run(at, cut.end - at);
            let (start, end) = match (state, &self.cow) {
                (PageState::Absent, Some(cow)) => {
                    (at.max(cow.visible.start), (at + run).min(cow.visible.end))
                }
                (PageState::Absent | PageState::Zero, _) => (at, at),
                _ => (at, at + run),
            };
            if start < end {
                return Some(start..end);
            }
            at += run;
        }
        None
    }

    /// Whether all of the VMO is kept from everybody else.
    pub fn is_shut(&self) -> bool {
        self.busy
            .iter()
            .any(|busy| busy.exclusive && busy.pages == Busy::ALL)
    }

    /// Whether the VMO's size can change.
    pub fn is_resizable(&self) -> bool {
        self.options.contains(VmoOptions::RESIZABLE)
    }

    /// The page source of a pager-owned VMO.
    pub fn source(&self) -> Option<&PageSource> {
        if let VmoKind::Paged(source) = &self.kind {
            Some(source)
        } else {
            None
        }
    }

    /// The page source of a pager-owned VMO.
    pub fn source_mut(&mut self) -> Option<&mut PageSource> {
        if let VmoKind::Paged(source) = &mut self.kind {
            Some(source)
        } else {
            None
        }
    }

    /// Whether a write to a clean page has to be reported to the pager first.
    pub fn traps_dirty(&self) -> bool {
        self.options.contains(VmoOptions::TRAP_DIRTY)
    }

    /// State of a page, and how many of the `limit` pages from it on share it (at least: a long run of pages of storage is
    /// cut). The cost does not depend on `limit`.
    pub fn state_run(&self, page: u64, limit: u64) -> (PageState, u64) {
        if limit == 1 {
            return (self.state(page), 1);
        }
        let end = page.saturating_add(limit);
        match self.pages.get(page) {
            PageState::Absent => {
                let next = self.pages.first_occupied(page..end).unwrap_or(end);
                match self.zero.containing(page) {
                    Some((zero, _)) => (PageState::Zero, zero.end.min(next) - page),
                    None => {
                        let zero = self.zero.next_in(page).unwrap_or(end);
                        (PageState::Absent, zero.min(next) - page)
                    }
                }
            }
            state => (state, self.pages.run_length(page, limit)),
        }
    }

    /// State of a page.
    pub fn state(&self, page: u64) -> PageState {
        match self.pages.get(page) {
            PageState::Absent if self.zero.containing(page).is_some() => PageState::Zero,
            state => state,
        }
    }

    /// Whether one of `pages` is pinned.
    pub fn is_pinned(&self, pages: &Range<u64>) -> bool {
        let meets =
            |pinned: &Pinned| pinned.pages.start < pages.end && pages.start < pinned.pages.end;
        self.pins.iter().any(meets)
    }

    /// How many of the `limit` pages from `page` on come before the next pinned one, or the next that a device may write to.
    pub fn unpinned_run(&self, page: u64, limit: u64, write: bool) -> u64 {
        let ahead = self.pins.iter().filter(|pinned| pinned.pages.end > page);
        let ahead = ahead.filter(|pinned| pinned.write || !write);
        let ahead = ahead.map(|pinned| pinned.pages.start.saturating_sub(page));
        ahead.min().unwrap_or(limit).min(limit)
    }

    /// Whether an operation on `pages` has to wait for one under way.
    pub fn conflicts(&self, pages: &Range<u64>, exclusive: bool) -> bool {
        self.busy.iter().any(|busy| {
            (busy.exclusive || exclusive)
                && busy.pages.start < pages.end
                && pages.start < busy.pages.end
        })
    }

    /// Whether a write to a page in this state goes through without asking the core: it is not protected, or it is noted.
    pub fn permits_write(&self, state: PageState) -> bool {
        let noted = self.storage_writes() == Writes::Noted;
        match state {
            PageState::Dirty => true,
            PageState::Clean if self.source().is_none() => true,
            PageState::Clean | PageState::Awaiting | PageState::Blank => noted,
            PageState::Absent | PageState::Zero | PageState::Inherited => false,
        }
    }

    /// What a write to a protected page of the VMO does.
    pub fn storage_writes(&self) -> Writes {
        match self.source().map(|source| source.provider) {
            Some(Provider::Host { writable: false }) => Writes::Never,
            Some(_) if !self.traps_dirty() => Writes::Noted,
            _ => Writes::Exit,
        }
    }

    /// How many of the `limit` pages from `page` on no operation under way conflicts with.
    pub fn calm_run(&self, page: u64, limit: u64, exclusive: bool) -> u64 {
        let conflicting = self.busy.iter().filter(|busy| busy.exclusive || exclusive);
        let after = conflicting.filter(|busy| busy.pages.end > page);
        after
            .map(|busy| busy.pages.start.saturating_sub(page))
            .min()
            .unwrap_or(limit)
            .min(limit)
    }
}
