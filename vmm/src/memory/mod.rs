//! The storage of VMOs: the guest-physical arena, windows, memfds and userfaultfd.
//!
//! This module owns every page of user memory and nothing else. Which page should be there, and
//! what it may be used for, is the core's business (`zircon`); which guest-virtual address shows
//! it, the machine's.
//!
//! ```text
//! guest-physical      arena: units of 1 GiB, memslots from their first use   arena.rs, buddy.rs
//!                       |  same layout, shifted by a constant
//! VMM address space   reservation (PROT_NONE), windows of chunks over it     reservation.rs, window.rs, chunk.rs
//!                       |  layout: own pages shared, those of others          layout.rs, views.rs
//!                       |  private; all watched by userfaultfd                watch.rs, uffd.rs, descriptor.rs
//! host memory         one store a VMO                                        store.rs, memfd.rs
//! ```
//!
//! `ops.rs`, `change.rs` and `transfer.rs` perform the core's operations on them, by way of `uffd.rs`,
//! `pagemap.rs` and `copy.rs`.
//!
//! The life of a page: **placed** (its chunk exists; the guest's tables may point at it, and
//! touching it is an exit), **present** (installed by `Zero`, `Move` or [`Memory::supply`], or forked
//! from what a clone shows: the guest reads it without the VMM, and writes it unless it is
//! protected), absent again (`Decommit`, `Evict`, or moved away), and gone with its VMO
//! ([`Memory::destroy`]), unless a clone goes on showing it. A VMO that was never touched has neither
//! file nor window nor registration.
//!
//! Threads: every method may be called at any time from any thread. Operations hold what they work
//! on by reference count, no lock; the order among conflicting operations is the core's, which
//! marks ranges busy.

mod arena;
mod buddy;
mod change;
mod chunk;
mod copy;
mod descriptor;
mod doctor;
mod error;
mod events;
mod layout;
mod limits;
mod memfd;
mod ops;
mod pagemap;
mod reservation;
mod store;
mod touched;
mod transfer;
mod uffd;
mod units;
mod views;
mod watch;
mod window;

#[cfg(test)]
mod clone_tests;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod race_tests;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak, atomic::AtomicBool},
};

use zircon::{Intervals, Pages, Storage, VmoId};

use self::{
    arena::Arena,
    store::Store,
    units::{MAX_VMO_PAGES, SLOT_PAGES, bytes},
    watch::Watch,
    window::Window,
};
pub use self::{
    arena::{AddSlot, ArenaGeometry},
    doctor::probe,
    error::{MemoryError, SlotError},
    limits::{Limits, raise_limits},
};

/// The storage of all VMOs of one VM.
///
/// Dropping it unmaps the arena: the VM's vCPUs must have left the guest for good before.
#[derive(Debug)]
pub struct Memory {
    windows: RwLock<HashMap<VmoId, Arc<Window>>>,
    /// Stores whose VMO is no more, but that somebody still shows.
    orphans: Mutex<Vec<Weak<Store>>>,
    arena: Arc<Arena>,
    /// A lack of host resources was reported; a guest can cause it, so later ones are only for
    /// debugging.
    warned: AtomicBool,
}

/// Where a run of a VMO's pages is in guest-physical space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Guest-physical address of `first_page`.
    pub gpa: u64,
    /// First page in the VMO.
    pub first_page: u64,
    /// Number of pages: a power of two, to which `gpa` and `first_page` are aligned.
    pub pages: u64,
}

impl Memory {
    /// Reserves the arena and opens userfaultfd.
    ///
    /// If the process may not reserve that much address space, the arena becomes smaller: see
    /// [`Memory::geometry`]. `add_slot` is called later, on the thread that has guest page
    /// tables point into 64 MiB for the first time, at most once with success for each.
    pub fn new(geometry: ArenaGeometry, add_slot: AddSlot) -> Result<Memory, MemoryError> {
        Memory::with_watch(geometry, Watch::open()?, add_slot)
    }

    /// The same, for VMOs whose faults come as events, too.
    pub fn with_events(geometry: ArenaGeometry, add_slot: AddSlot) -> Result<Memory, MemoryError> {
        Memory::with_watch(geometry, Watch::open_with_events()?, add_slot)
    }

    fn with_watch(
        geometry: ArenaGeometry,
        watch: Watch,
        add_slot: AddSlot,
    ) -> Result<Memory, MemoryError> {
        Ok(Memory {
            windows: RwLock::default(),
            orphans: Mutex::default(),
            arena: Arc::new(Arena::new(geometry, watch, add_slot)?),
            warned: AtomicBool::new(false),
        })
    }

    /// The arena that was had: whole GiB, perhaps fewer than asked for.
    pub fn geometry(&self) -> ArenaGeometry {
        self.arena.geometry()
    }

    /// Makes a VMO known. Nothing is allocated; its pages decide how long its chunks will be.
    pub fn create(&self, vmo: VmoId, storage: Storage) -> Result<(), MemoryError> {
        match self
            .windows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(vmo)
        {
            Entry::Occupied(_) => Err(MemoryError::Exists(vmo)),
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(Window::new(vmo, Arc::clone(&self.arena), storage)));
                Ok(())
            }
        }
    }

    /// Makes a new VMO show pages of another: see [`zircon::Work::View`]. Nothing is allocated.
    pub fn view(&self, pages: Pages, of: VmoId, at: u64) -> Result<(), MemoryError> {
        let (window, shown) = (self.window(pages.vmo)?, self.window(of)?);
        let range = window.range(pages.first, pages.count)?;
        let there = shown.range(at, pages.count)?;
        if !window.placed(pages.first, pages.count)?.is_empty() {
            return Err(MemoryError::Placed(pages.vmo));
        }
        let views = shown.layout().shown(there);
        let mut layout = window.layout();
        layout.views.cut(range);
        for (run, view) in views {
            let to = |page: u64| page - at + pages.first;
            layout.views.insert(to(run.start)..to(run.end), view);
        }
        Ok(())
    }

    /// Tells the new size of a VMO. Chunks that exist stay; pages are dropped by `Decommit` only.
    pub fn set_size_hint(&self, vmo: VmoId, size_pages: u64) -> Result<(), MemoryError> {
        self.window(vmo)?.set_size(size_pages);
        Ok(())
    }

    /// Forgets a VMO: its pages, its file and its addresses, which other VMOs will use.
    ///
    /// No guest page table may point at them any more. An operation that still works on the VMO
    /// ends first; the addresses are given back after it.
    pub fn destroy(&self, vmo: VmoId) -> Result<(), MemoryError> {
        let removed = self
            .windows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&vmo);
        // Dropped here, after the lock: unmapping takes its time.
        let window = removed.ok_or(MemoryError::Unknown(vmo))?;
        let (store, orphans) = {
            let layout = window.layout();
            (Arc::clone(&layout.store), layout.views.orphans())
        };
        drop(window);
        store.abandon();
        self.keep_shown(&store);
        orphans.iter().for_each(|store| self.keep_shown(store));
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.retain(|orphan| orphan.strong_count() > 0);
        if Arc::strong_count(&store) > 1 {
            orphans.push(Arc::downgrade(&store));
        }
        Ok(())
    }

    /// Keeps of a store whose VMO is no more what others show.
    fn keep_shown(&self, store: &Arc<Store>) {
        if Arc::strong_count(store) == 1 {
            return;
        }
        let mut unseen = Intervals::of(0..MAX_VMO_PAGES);
        for window in self.all() {
            let layout = window.layout();
            layout.views.of(store).for_each(|run| unseen.remove(run));
        }
        for run in unseen.within(0..MAX_VMO_PAGES) {
            if let Err(errno) = store.punch(run) {
                log::error!("pages that nobody shows any more stay: {errno}");
            }
        }
    }

    /// The part of a chunk that holds a page, made now if need be, with a memslot: what guest page
    /// tables point at. The page itself stays as it is. The chunk stays where it is until the VMO is
    /// destroyed.
    pub fn place(&self, vmo: VmoId, page: u64) -> Result<Placement, MemoryError> {
        let chunk = self.window(vmo)?.place(page)?;
        let Range { start, end } = chunk.range();
        chunk.ensure_slot(page)?;
        let pages = SLOT_PAGES.min(end - start);
        let first_page = page - page % pages;
        Ok(Placement {
            gpa: chunk.gpa() + bytes(first_page - start),
            first_page,
            pages,
        })
    }

    /// The VMO and page at a guest-physical address.
    pub fn locate(&self, gpa: u64) -> Option<(VmoId, u64)> {
        self.arena.locate(gpa)
    }

    /// Bytes of host memory (or swap) that a VMO's pages take, those not counted that it inherited.
    pub fn resident(&self, vmo: VmoId) -> Result<u64, MemoryError> {
        Ok(self.window(vmo)?.resident())
    }

    /// Bytes of host memory (or swap) that all VMOs take. One system call for each VMO that was
    /// touched.
    pub fn resident_total(&self) -> u64 {
        let held: u64 = self.all().iter().map(|window| window.resident()).sum();
        let orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let orphans = orphans.iter().filter_map(Weak::upgrade);
        held + orphans.map(|store| bytes(store.pages())).sum::<u64>()
    }

    fn window(&self, vmo: VmoId) -> Result<Arc<Window>, MemoryError> {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        windows.get(&vmo).cloned().ok_or(MemoryError::Unknown(vmo))
    }

    fn all(&self) -> Vec<Arc<Window>> {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        windows.values().cloned().collect()
    }
}
