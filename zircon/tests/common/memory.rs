//! Memory as a map from pages to bytes, strict about what the core promises.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use protocol::PAGE_SIZE;
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId, Writes};

type Page = Box<[u8; PAGE_SIZE as usize]>;

/// The storage of one VMO.
#[derive(Clone, Debug)]
struct Store {
    storage: Storage,
    own: BTreeMap<u64, Page>,
    /// Pages that it owns, but that lie with a frozen VMO that is no more.
    inherited: BTreeMap<u64, Page>,
    /// Own pages that are write-protected.
    protected: BTreeSet<u64>,
    /// What it shows of others where it owns nothing: first page to (end, VMO, first page there).
    views: BTreeMap<u64, (u64, VmoId, u64)>,
}

/// What a VMO has of a page.
#[allow(dead_code)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// Nothing.
    Absent,
    /// It shows that of another.
    Shown,
    /// A page of its own that lies with a frozen VMO that is no more.
    Inherited,
    /// A page of its own, and whether it is write-protected.
    Owned { protected: bool },
}

#[derive(Default)]
pub struct PageMemory {
    stores: BTreeMap<VmoId, Store>,
}

/// What an operation works on: (VMO, pages, whether it changes which pages are there).
pub fn touched(op: &MemoryOp) -> Vec<(VmoId, Range<u64>, bool)> {
    let span = |offset: u64, length: u64| offset / PAGE_SIZE..(offset + length).div_ceil(PAGE_SIZE);
    match op {
        MemoryOp::Zero { pages, .. }
        | MemoryOp::Decommit { pages, .. }
        | MemoryOp::Evict(pages)
        | MemoryOp::Fork { pages, .. }
        | MemoryOp::Protect { pages, .. }
        | MemoryOp::Scan { pages, .. } => vec![(pages.vmo, pages.range(), true)],
        MemoryOp::Locate(pages) => vec![(pages.vmo, pages.range(), false)],
        MemoryOp::Freeze { vmo, into, .. } => {
            vec![(*vmo, 0..u64::MAX, true), (*into, 0..u64::MAX, true)]
        }
        MemoryOp::Move {
            from, to, to_first, ..
        } => vec![
            (from.vmo, from.range(), true),
            (*to, *to_first..*to_first + from.count, true),
        ],
        MemoryOp::Read {
            vmo,
            offset,
            length,
        } => vec![(*vmo, span(*offset, *length as u64), false)],
        MemoryOp::Write { vmo, offset, bytes } => {
            vec![(*vmo, span(*offset, bytes.len() as u64), false)]
        }
        MemoryOp::Clear {
            vmo,
            offset,
            length,
        } => vec![(*vmo, span(*offset, *length), false)],
        MemoryOp::Copy {
            from,
            from_offset,
            to,
            to_offset,
            length,
        } => vec![
            (*from, span(*from_offset, *length), false),
            (*to, span(*to_offset, *length), false),
        ],
    }
}

impl Store {
    /// It shows nothing of others in `range` any more.
    fn conceal(&mut self, range: Range<u64>) {
        for (first, (end, of, at)) in std::mem::take(&mut self.views) {
            if first < range.start.min(end) {
                self.views.insert(first, (range.start.min(end), of, at));
            }
            if end > range.end.max(first) {
                let from = range.end.max(first);
                self.views.insert(from, (end, of, at + (from - first)));
            }
        }
    }

    fn seen(&self, page: u64) -> Option<(VmoId, u64)> {
        let (first, (end, of, at)) = self.views.range(..=page).next_back()?;
        (page < *end).then_some((*of, at + (page - first)))
    }
}

impl PageMemory {
    /// A VMO is new.
    pub fn create(&mut self, vmo: VmoId, storage: Storage) {
        let store = Store {
            storage,
            own: BTreeMap::new(),
            inherited: BTreeMap::new(),
            protected: BTreeSet::new(),
            views: BTreeMap::new(),
        };
        let old = self.stores.insert(vmo, store);
        assert!(old.is_none(), "{vmo:?} is new twice");
    }

    /// A new clone shows pages of another VMO.
    pub fn view(&mut self, pages: Pages, of: VmoId, at: u64) {
        assert!(self.stores.contains_key(&of), "{pages:?} of {of:?}");
        let store = self.store(pages.vmo);
        store.conceal(pages.range());
        store.views.insert(pages.first, (pages.range().end, of, at));
    }

    /// A VMO has grown.
    pub fn grow(&mut self, vmo: VmoId, pages: u64) {
        let storage = &mut self.store(vmo).storage;
        storage.pages = pages.max(storage.pages);
    }

    fn store(&mut self, vmo: VmoId) -> &mut Store {
        let store = self.stores.get_mut(&vmo);
        store.unwrap_or_else(|| panic!("{vmo:?} has no storage"))
    }

    /// Performs an operation; panics if the core broke its side of the contract.
    pub fn perform(&mut self, op: &MemoryOp) -> MemoryResult {
        match op {
            MemoryOp::Zero { pages, protect } => {
                for page in bounded(pages) {
                    let shown = self.page(pages.vmo, page);
                    assert!(shown.is_none(), "{op:?}: page {page} is there");
                    self.install(op, (pages.vmo, page), [0; 4096].into(), *protect);
                }
            }
            MemoryOp::Move {
                from,
                to,
                to_first,
                protect,
            } => {
                for (ahead, page) in bounded(from).enumerate() {
                    let store = self.store(from.vmo);
                    store.protected.remove(&page);
                    let content = store.own.remove(&page);
                    let content = content.unwrap_or_else(|| panic!("{op:?}: no page {page}"));
                    self.install(op, (*to, to_first + ahead as u64), content, *protect);
                }
                self.store(from.vmo).conceal(from.range());
            }
            MemoryOp::Decommit { pages, inherited } => {
                assert!(pages.count > 0, "{op:?}");
                let store = self.store(pages.vmo);
                let there = if *inherited {
                    &mut store.inherited
                } else {
                    &mut store.own
                };
                let found = keys(there, pages.range());
                assert!(
                    !inherited || found.len() as u64 == pages.count,
                    "{op:?}: not all of them are inherited"
                );
                for page in found {
                    there.remove(&page);
                    store.protected.remove(&page);
                }
                store.conceal(pages.range());
            }
            MemoryOp::Evict(pages) => {
                let store = self.store(pages.vmo);
                let noted = store.storage.writes == Writes::Noted;
                let mut written = Vec::new();
                for page in bounded(pages) {
                    assert!(store.own.contains_key(&page), "{op:?}: no page {page}");
                    if noted && !store.protected.contains(&page) {
                        written.push(page);
                    } else {
                        store.own.remove(&page);
                        store.protected.remove(&page);
                    }
                }
                return MemoryResult::Written(runs(written));
            }
            MemoryOp::Fork { pages, inherited } => {
                for page in bounded(pages) {
                    let content = if *inherited {
                        self.store(pages.vmo).inherited.remove(&page)
                    } else {
                        self.page(pages.vmo, page).map(|bytes| Box::new(*bytes))
                    };
                    let content = content.unwrap_or_else(|| panic!("{op:?}: no page {page}"));
                    self.install(op, (pages.vmo, page), content, false);
                }
            }
            MemoryOp::Protect { pages, on } => {
                let store = self.store(pages.vmo);
                for page in bounded(pages) {
                    assert!(store.own.contains_key(&page), "{op:?}: no page {page}");
                    match on {
                        true => store.protected.insert(page),
                        false => store.protected.remove(&page),
                    };
                }
            }
            MemoryOp::Scan { pages, protect } => {
                let store = self.store(pages.vmo);
                assert_eq!(store.storage.writes, Writes::Noted, "{op:?}");
                let there = keys(&store.own, pages.range());
                let written = there
                    .into_iter()
                    .filter(|page| !store.protected.contains(page));
                let written: Vec<u64> = written.collect();
                if *protect {
                    store.protected.extend(&written);
                }
                return MemoryResult::Written(runs(written));
            }
            MemoryOp::Freeze { vmo, into, owned } => {
                let store = self.store(*vmo);
                let all: Vec<u64> = store.own.keys().copied().collect();
                assert_eq!(&runs(all), owned, "{op:?}");
                let storage = store.storage;
                let shown = self.store(*into).storage.pages;
                let store = self.store(*vmo);
                let frozen = std::mem::replace(
                    store,
                    Store {
                        storage,
                        own: BTreeMap::new(),
                        inherited: BTreeMap::new(),
                        protected: BTreeSet::new(),
                        views: BTreeMap::from([(0, (shown, *into, 0))]),
                    },
                );
                let old = self.stores.insert(*into, frozen);
                assert!(old.is_some_and(|old| old.own.is_empty()), "{op:?}: not new");
            }
            MemoryOp::Locate(pages) => {
                let store = self.store(pages.vmo);
                let address = |page: u64| {
                    assert!(store.own.contains_key(&page), "{op:?}: no page {page}");
                    (pages.vmo.0 << 40) | (page * PAGE_SIZE)
                };
                return MemoryResult::Addresses(bounded(pages).map(address).collect());
            }
            MemoryOp::Read {
                vmo,
                offset,
                length,
            } => {
                assert!(*length > 0, "{op:?}");
                return MemoryResult::Bytes(self.read(op, *vmo, *offset, *length as u64));
            }
            MemoryOp::Write { vmo, offset, bytes } => self.write(op, *vmo, *offset, bytes),
            MemoryOp::Clear {
                vmo,
                offset,
                length,
            } => {
                assert!(*length <= 1 << 30, "{op:?} is too much for one operation");
                self.write(op, *vmo, *offset, &vec![0; *length as usize]);
            }
            MemoryOp::Copy {
                from,
                from_offset,
                to,
                to_offset,
                length,
            } => {
                assert!(
                    from != to
                        || from_offset == to_offset
                        || from_offset + length <= *to_offset
                        || to_offset + length <= *from_offset,
                    "{op:?} overlaps"
                );
                let bytes = self.read(op, *from, *from_offset, *length);
                self.write(op, *to, *to_offset, &bytes);
            }
        }
        MemoryResult::Done
    }

    /// Content from outside, for pages that the core said are absent; protected, as all that a pager supplies.
    pub fn supply(&mut self, pages: Pages, content: impl Fn(u64) -> u8) {
        let op = MemoryOp::Zero {
            pages,
            protect: true,
        };
        for page in bounded(&pages) {
            let bytes = Box::new([content(page); PAGE_SIZE as usize]);
            self.install(&op, (pages.vmo, page), bytes, true);
        }
    }

    fn install(&mut self, op: &MemoryOp, (vmo, page): (VmoId, u64), content: Page, protect: bool) {
        let store = self.store(vmo);
        let size = store.storage.pages;
        assert!(page < size, "{op:?}: page {page} of {size} announced");
        assert!(!store.inherited.contains_key(&page), "{op:?}: page {page}");
        let old = store.own.insert(page, content);
        assert!(old.is_none(), "{op:?}: page {page} is there already");
        if protect {
            store.protected.insert(page);
        }
    }

    fn read(&self, op: &MemoryOp, vmo: VmoId, offset: u64, length: u64) -> Vec<u8> {
        assert!(length > 0, "{op:?}");
        let mut bytes = Vec::with_capacity(length as usize);
        for (page, part) in parts(offset, length) {
            let content = self.page(vmo, page);
            let content = content.unwrap_or_else(|| panic!("{op:?}: page {page} is absent"));
            bytes.extend_from_slice(&content[part]);
        }
        bytes
    }

    fn write(&mut self, op: &MemoryOp, vmo: VmoId, offset: u64, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{op:?}");
        let mut rest = bytes;
        for (page, part) in parts(offset, bytes.len() as u64) {
            let content = self.page_mut(vmo, page);
            let content = content.unwrap_or_else(|| panic!("{op:?}: page {page} is not owned"));
            let (now, later) = rest.split_at(part.len());
            content[part].copy_from_slice(now);
            rest = later;
        }
    }

    /// The page that a VMO owns or shows.
    pub fn page(&self, vmo: VmoId, page: u64) -> Option<&[u8; PAGE_SIZE as usize]> {
        let store = self.stores.get(&vmo)?;
        match store.own.get(&page).or(store.inherited.get(&page)) {
            Some(page) => Some(page),
            None => {
                let (of, at) = store.seen(page)?;
                self.page(of, at)
            }
        }
    }

    /// A page that is to be written to; a write to a protected one is noted, or must have been dealt with before.
    pub fn page_mut(&mut self, vmo: VmoId, page: u64) -> Option<&mut [u8; PAGE_SIZE as usize]> {
        let store = self.stores.get_mut(&vmo)?;
        if store.protected.remove(&page) {
            assert_eq!(
                store.storage.writes,
                Writes::Noted,
                "page {page} of {vmo:?} is protected"
            );
        }
        store.own.get_mut(&page).map(|page| &mut **page)
    }

    /// The VMOs that show pages of this one.
    pub fn viewers(&self, vmo: VmoId) -> Vec<VmoId> {
        let shows = |store: &Store| store.views.values().any(|(_, of, _)| *of == vmo);
        let viewers = self.stores.iter().filter(|(_, store)| shows(store));
        viewers.map(|(id, _)| *id).collect()
    }

    /// Whether a write to a page goes through without anybody being asked.
    pub fn is_writable(&self, vmo: VmoId, page: u64) -> bool {
        self.stores.get(&vmo).is_some_and(|store| {
            let noted = store.storage.writes == Writes::Noted;
            store.own.contains_key(&page) && (noted || !store.protected.contains(&page))
        })
    }

    pub fn resident(&self, vmo: VmoId) -> u64 {
        let store = self.stores.get(&vmo);
        store.map_or(0, |store| (store.own.len() + store.inherited.len()) as u64)
    }

    pub fn total(&self) -> usize {
        let owned = self.stores.values();
        owned
            .map(|store| store.own.len() + store.inherited.len())
            .sum()
    }

    pub fn first_beyond(&self, vmo: VmoId, page: u64) -> Option<u64> {
        let store = self.stores.get(&vmo)?;
        let beyond = store.own.range(page..).next();
        beyond
            .or(store.inherited.range(page..).next())
            .map(|(page, _)| *page)
    }

    /// A VMO is no more. What somebody still shows of it is inherited: there is one such VMO at most.
    pub fn free(&mut self, vmo: VmoId) {
        let Some(gone) = self.stores.remove(&vmo) else {
            return;
        };
        let heirs = self.viewers(vmo);
        assert!(heirs.len() <= 1, "{vmo:?} is gone, but {heirs:?} show it");
        for heir in heirs {
            let store = self.store(heir);
            for (first, (end, of, at)) in store.views.clone() {
                if of != vmo {
                    continue;
                }
                store.views.remove(&first);
                let to = |page: u64| first + (page - at);
                let last = at.saturating_add(end - first);
                for (page, content) in gone
                    .own
                    .range(at..last)
                    .chain(gone.inherited.range(at..last))
                {
                    let page = to(*page);
                    assert!(
                        !store.own.contains_key(&page),
                        "{heir:?} owns page {page}: nobody sees that of {vmo:?}"
                    );
                    store.inherited.insert(page, content.clone());
                }
                for (&start, &(stop, of, from)) in &gone.views {
                    let (low, high) = (start.max(at), stop.min(last));
                    if low < high {
                        store
                            .views
                            .insert(to(low), (to(high), of, from + (low - start)));
                    }
                }
            }
        }
    }
}

/// What the tests of the VMM's memory ask, which are held against this one.
#[allow(dead_code)]
impl PageMemory {
    /// What the VMO has of a page.
    pub fn holding(&self, vmo: VmoId, page: u64) -> Holding {
        let store = self.stores.get(&vmo);
        let owned = store.is_some_and(|store| store.own.contains_key(&page));
        let inherited = store.is_some_and(|store| store.inherited.contains_key(&page));
        match self.page(vmo, page) {
            Some(_) if owned => Holding::Owned {
                protected: store.is_some_and(|store| store.protected.contains(&page)),
            },
            Some(_) if inherited => Holding::Inherited,
            Some(_) => Holding::Shown,
            None => Holding::Absent,
        }
    }

    /// The pages that it owns, those inherited not among them.
    pub fn owned(&self, vmo: VmoId) -> Vec<Range<u64>> {
        let store = self.stores.get(&vmo);
        runs(store.map_or(Vec::new(), |store| store.own.keys().copied().collect()))
    }

    /// The pages of its own that lie with a VMO that is no more.
    pub fn inherited(&self, vmo: VmoId) -> Vec<Range<u64>> {
        let store = self.stores.get(&vmo);
        let pages = |store: &Store| store.inherited.keys().copied().collect();
        runs(store.map_or(Vec::new(), pages))
    }

    /// What the VMO shows of others at a page, or would if it owned nothing there.
    pub fn covered(&self, vmo: VmoId, page: u64) -> Option<(VmoId, u64)> {
        self.stores.get(&vmo)?.seen(page)
    }
}

fn keys(pages: &BTreeMap<u64, Page>, range: Range<u64>) -> Vec<u64> {
    pages.range(range).map(|(page, _)| *page).collect()
}

/// Groups ascending page numbers into runs.
fn runs(pages: Vec<u64>) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for page in pages {
        match out.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            _ => out.push(page..page + 1),
        }
    }
    out
}

/// The pages of an operation that has to go through them one by one.
fn bounded(pages: &Pages) -> Range<u64> {
    assert!(
        (1..=1 << 18).contains(&pages.count),
        "{pages:?}: empty, or too much for one operation"
    );
    pages.range()
}

/// The pieces of a byte range, page by page.
fn parts(offset: u64, length: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = offset + length;
    (offset / PAGE_SIZE..end.div_ceil(PAGE_SIZE)).map(move |page| {
        let start = offset.max(page * PAGE_SIZE) - page * PAGE_SIZE;
        let stop = end.min((page + 1) * PAGE_SIZE) - page * PAGE_SIZE;
        (page, start as usize..stop as usize)
    })
}
