//! A window: where the pages of one VMO can be reached, a sparse table of chunks.
//!
//! Within each unit of a VMO the first chunk covers what the VMO's size needs then, from the start of the unit; pages past it, when the
//! VMO has grown, are covered by chunks that each double what is covered. So chunk borders are aligned like the addresses: a chunk of
//! 2 MiB or more is congruent to its VMO offset modulo 2 MiB. A contiguous VMO has one chunk.
//!
//! The life of a chunk: leased addresses -> pieces mapped as the layout says -> entered in the table. It is shared by the operations
//! that work on it, and unmapped when the window and the last of them let go of it. When the layout changes, so do the pieces
//! (`change.rs`).

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use zircon::{Storage, VmoId, Writes};

use super::{
    arena::{Arena, Owner},
    chunk::{Chunk, Piece, Run},
    error::MemoryError,
    layout::Layout,
    units::{MAX_VMO_PAGES, PAGE_SHIFT, UNIT_ORDER, UNIT_PAGES, bytes, order_of},
    views::Shown,
    watch::Watching,
};

/// The storage of one VMO.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) vmo: VmoId,
    arena: Arc<Arena>,
    /// What the VMO's size is said to be: decides how long chunks are.
    size_pages: AtomicU64,
    pub(super) writes: Writes,
    /// Faults come as events.
    events: AtomicBool,
    contiguous: Option<u32>,
    /// Held for looking and changing only. What is mapped follows it while `mapping` is held.
    layout: Mutex<Layout>,
    /// By first page. Held for look-ups and insertions only.
    chunks: RwLock<BTreeMap<u64, Arc<Chunk>>>,
    /// Held while pieces are mapped.
    mapping: Mutex<()>,
}

impl Window {
    /// A window without chunks.
    pub(super) fn new(vmo: VmoId, arena: Arc<Arena>, storage: Storage) -> Window {
        Window {
            vmo,
            arena,
            size_pages: AtomicU64::new(storage.pages),
            writes: storage.writes,
            events: AtomicBool::new(false),
            contiguous: storage.contiguous,
            layout: Mutex::new(Layout::new(vmo)),
            chunks: RwLock::default(),
            mapping: Mutex::default(),
        }
    }

    /// The VMO's size has become `pages`; later chunks go by it.
    pub(super) fn set_size(&self, pages: u64) {
        self.size_pages.store(pages, Ordering::Relaxed);
    }

    /// What the VMO's size is said to be.
    pub(super) fn size(&self) -> u64 {
        self.size_pages.load(Ordering::Relaxed)
    }

    /// From the first chunk on, faults come as events.
    pub(super) fn set_events(&self) {
        self.events.store(true, Ordering::Relaxed);
    }

    /// What becomes of accesses to pages of its own.
    pub(super) fn watching(&self) -> Watching {
        match self.events.load(Ordering::Relaxed) {
            true => Watching::Events,
            false => self.writes.into(),
        }
    }

    /// Where its pages lie.
    pub(super) fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from mapping pieces.
    pub(super) fn map_alone(&self) -> MutexGuard<'_, ()> {
        self.mapping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk that holds `page`, if there is one.
    pub(super) fn find(&self, page: u64) -> Option<Arc<Chunk>> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let (_, chunk) = chunks.range(..=page).next_back()?;
        chunk.range().contains(&page).then(|| Arc::clone(chunk))
    }

    /// The chunk that holds `page`; made now if need be.
    pub(super) fn place(&self, page: u64) -> Result<Arc<Chunk>, MemoryError> {
        // The last chunk of the largest VMO may reach past its end.
        if page >= MAX_VMO_PAGES {
            return Err(self.out_of_range(page));
        }
        if let Some(chunk) = self.find(page) {
            return Ok(chunk);
        }
        let _alone = self.map_alone();
        // Another thread may have made it while this one waited.
        if let Some(chunk) = self.find(page) {
            return Ok(chunk);
        }
        let (first_page, order) = match self.contiguous {
            Some(align) => (0, self.whole(page, align)?),
            None => self.block_for(page),
        };
        let lease = self.arena.lease(Owner {
            vmo: self.vmo,
            first_page,
            order,
        })?;
        let chunk = Arc::new(Chunk::new(lease, self.vmo, first_page));
        self.map(&chunk, chunk.range())?;
        self.chunks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(first_page, Arc::clone(&chunk));
        Ok(chunk)
    }

    /// Maps what the layout says; `mapping` is held.
    pub(super) fn map(&self, chunk: &Chunk, pages: Range<u64>) -> Result<(), MemoryError> {
        let (store, pieces) = {
            let layout = self.layout();
            (Arc::clone(&layout.store), layout.views.over(pages))
        };
        for (piece, view) in pieces {
            match view {
                Some(view) => chunk.map_view(piece, &view)?,
                None => chunk.map_own(piece, &store, self.watching())?,
            }
        }
        Ok(())
    }

    /// The order of a chunk that holds all of a contiguous VMO, `page` included.
    fn whole(&self, page: u64, align: u32) -> Result<u32, MemoryError> {
        let pages = self.size();
        let order = order_of(pages).max(align.saturating_sub(PAGE_SHIFT));
        if order > UNIT_ORDER {
            return Err(MemoryError::Contiguous {
                vmo: self.vmo,
                pages,
                align,
            });
        }
        if page >= 1 << order {
            return Err(self.out_of_range(page));
        }
        Ok(order)
    }

    /// Where a chunk for `page` starts in the VMO, and its order. No chunk holds the page yet.
    fn block_for(&self, page: u64) -> (u64, u32) {
        let unit = page - page % UNIT_PAGES;
        let offset = page - unit;
        match self.find(unit) {
            None => {
                let size = self.size();
                let needed = size.saturating_sub(unit).clamp(offset + 1, UNIT_PAGES);
                (unit, order_of(needed))
            }
            // The first chunk ends at a power of two at or below `offset`, which is thus not 0.
            Some(_) => {
                let order = offset.checked_ilog2().unwrap_or(0);
                (unit + (1 << order), order)
            }
        }
    }

    /// The pages `first..first + count` in runs, without gaps; chunks that are missing are made.
    pub(super) fn place_all(&self, first: u64, count: u64) -> Result<Vec<Run>, MemoryError> {
        let range = self.range(first, count)?;
        let mut runs = Vec::new();
        let mut page = range.start;
        while page < range.end {
            let run = Run::clip(self.place(page)?, page..range.end);
            page += run.pages;
            runs.push(run);
        }
        Ok(runs)
    }

    /// The pages of `first..first + count` that have a chunk, in runs.
    pub(super) fn placed(&self, first: u64, count: u64) -> Result<Vec<Run>, MemoryError> {
        let range = self.range(first, count)?;
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let before = chunks
            .range(..first)
            .next_back()
            .filter(|(_, chunk)| first < chunk.range().end);
        let runs = before.into_iter().chain(chunks.range(range.clone()));
        Ok(runs
            .map(|(_, chunk)| Run::clip(Arc::clone(chunk), range.clone()))
            .collect())
    }

    /// All chunks.
    pub(super) fn chunks(&self) -> Vec<Arc<Chunk>> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        chunks.values().cloned().collect()
    }

    /// Cuts runs into pieces.
    pub(super) fn pieces(&self, runs: &[Run]) -> Vec<Piece> {
        let layout = self.layout();
        let pieces = runs.iter().flat_map(|run| {
            let shown = layout.views.over(run.range()).into_iter();
            shown.map(|(pages, view): Shown| Piece {
                run: run.part(pages.start - run.first_page, pages.end - pages.start),
                view,
                watching: self.watching(),
            })
        });
        pieces.collect()
    }

    /// The page numbers `first..first + count`, if a VMO may have them.
    pub(super) fn range(&self, first: u64, count: u64) -> Result<Range<u64>, MemoryError> {
        let end = first.checked_add(count).filter(|end| *end <= MAX_VMO_PAGES);
        end.map(|end| first..end)
            .ok_or_else(|| self.out_of_range(first.saturating_add(count)))
    }

    /// Bytes of host memory (or swap) that it takes.
    pub(super) fn resident(&self) -> u64 {
        let layout = self.layout();
        bytes(layout.store.pages() + layout.private_pages())
    }

    fn out_of_range(&self, page: u64) -> MemoryError {
        MemoryError::OutOfRange {
            vmo: self.vmo,
            page,
        }
    }
}
