//! The storage of VMOs: the guest-physical arena, windows, memfds and userfaultfd.
//!
//! This module owns every page of user memory and nothing else. Which page should be there, and
//! what it may be used for, is the core's business (`zircon`); which guest-virtual address shows
//! it, the machine's.
//!
//! ```text
//! guest-physical      arena: slots of 1 GiB, memslots from their first use   arena.rs, buddy.rs
//!                       |  same layout, shifted by a constant
//! VMM address space   reservation (PROT_NONE), chunks mapped over it         reservation.rs, window.rs
//!                       |  shared mappings, registered with userfaultfd      uffd.rs, descriptor.rs
//! host memory         one memfd a VMO                                        memfd.rs
//! ```
//!
//! `ops.rs` performs the core's operations on them, by way of `uffd.rs` and `copy.rs`.
//!
//! The life of a page: **placed** (its chunk exists; the guest's tables may point at it, and
//! touching it is an exit), **present** (installed by `Zero`, `Move` or [`Memory::supply`]: the
//! guest reads and writes it without the VMM), absent again (`Decommit`, or moved away), and gone
//! with its VMO ([`Memory::destroy`]). A VMO that was never touched has neither file nor window nor
//! registration.
//!
//! Threads: every method may be called at any time from any thread. Operations hold what they work
//! on by reference count, no lock; the order among conflicting operations is the core's, which
//! marks ranges busy.

mod arena;
mod buddy;
mod copy;
mod descriptor;
mod doctor;
mod error;
mod limits;
mod memfd;
mod ops;
mod reservation;
mod uffd;
mod units;
mod window;

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
};

use zircon::{Pages, Storage, VmoId};

use self::{arena::Arena, uffd::Userfaultfd, units::bytes, window::Window};
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
    /// [`Memory::geometry`]. `add_slot` is called later, on the thread that places the first chunk
    /// in a GiB, at most once with success for each.
    pub fn new(geometry: ArenaGeometry, add_slot: AddSlot) -> Result<Memory, MemoryError> {
        Memory::with_uffd(geometry, Userfaultfd::open()?, add_slot)
    }

    fn with_uffd(
        geometry: ArenaGeometry,
        uffd: Userfaultfd,
        add_slot: AddSlot,
    ) -> Result<Memory, MemoryError> {
        Ok(Memory {
            windows: RwLock::default(),
            arena: Arc::new(Arena::new(geometry, uffd, add_slot)?),
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
                entry.insert(Arc::new(Window::new(
                    vmo,
                    Arc::clone(&self.arena),
                    storage.pages,
                )));
                Ok(())
            }
        }
    }

    /// Makes a VMO show pages of another: see [`zircon::Work::View`].
    pub fn view(&self, pages: Pages, _of: VmoId, _at: u64) -> Result<(), MemoryError> {
        Err(MemoryError::Unknown(pages.vmo))
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
        removed.map(drop).ok_or(MemoryError::Unknown(vmo))
    }

    /// The chunk that holds a page, made now if need be: what guest page tables point at. The page
    /// itself stays as it is. The chunk stays where it is until the VMO is destroyed.
    pub fn place(&self, vmo: VmoId, page: u64) -> Result<Placement, MemoryError> {
        let chunk = self.window(vmo)?.place(page)?;
        Ok(Placement {
            gpa: chunk.gpa(),
            first_page: chunk.first_page(),
            pages: chunk.pages(),
        })
    }

    /// The VMO and page at a guest-physical address.
    pub fn locate(&self, gpa: u64) -> Option<(VmoId, u64)> {
        self.arena.locate(gpa)
    }

    /// Bytes of host memory (or swap) that a VMO's pages take: what its memfd holds.
    pub fn resident(&self, vmo: VmoId) -> Result<u64, MemoryError> {
        Ok(resident(&*self.window(vmo)?))
    }

    /// Bytes of host memory (or swap) that all VMOs take. One system call for each VMO that was
    /// touched.
    pub fn resident_total(&self) -> u64 {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        windows.values().map(|window| resident(window)).sum()
    }

    fn window(&self, vmo: VmoId) -> Result<Arc<Window>, MemoryError> {
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        windows.get(&vmo).cloned().ok_or(MemoryError::Unknown(vmo))
    }
}

fn resident(window: &Window) -> u64 {
    window.file().map_or(0, |file| bytes(file.pages()))
}
