//! The arena: the guest-physical range that holds the storage of all VMOs, and its image in this
//! process.
//!
//! One reservation (PROT_NONE, no memory behind it) stands for the whole range; guest-physical and
//! host addresses differ by a constant that is a multiple of 1 GiB, so the host may use large
//! mappings wherever the guest can. KVM gets the range a memslot of 64 MiB at a time, when guest page
//! tables are first to point into it. Slots are never removed. A KVM that shadows page tables keeps 10
//! bytes for each page of a slot: with slots of 1 GiB adding one takes a quarter of a millisecond, and
//! half of that again when the VM ends; with 64 MiB it takes a tenth of that.
//!
//! The life of a range of addresses is a [`Lease`]: taken from the allocator and entered in the
//! reverse index, mapped by a chunk (`window.rs`), and when the lease is dropped covered by the
//! reservation again and only then returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use zircon::VmoId;

use super::{
    buddy::Buddy,
    error::{MemoryError, SlotError},
    reservation::Reservation,
    units::{PAGE_SHIFT, SLOT_PAGES, UNIT_BYTES, bytes},
    watch::Watch,
};

/// The guest-physical range of an arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArenaGeometry {
    /// First address; rounded up to a GiB.
    pub base: u64,
    /// First address above; rounded down to a GiB.
    pub end: u64,
}

/// Tells KVM of a memslot: (slot number counted from 0 in the arena, guest-physical address, host
/// address, bytes). It must not call back into the [`super::Memory`].
pub type AddSlot = Box<dyn Fn(u32, u64, u64, u64) -> Result<(), SlotError> + Send + Sync>;

/// The arena of one VM.
pub(super) struct Arena {
    geometry: ArenaGeometry,
    // Before `watch`: the mappings go first, since a closed descriptor would let absent pages read
    // as zeros.
    reservation: Reservation,
    watch: Watch,
    space: RwLock<Space>,
    /// Parts of the arena, [`SLOT_PAGES`] each, that have a memslot; numbered as they come.
    slots: Mutex<BTreeSet<u64>>,
    add_slot: AddSlot,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("geometry", &self.geometry)
            .field("reservation", &self.reservation)
            .finish_non_exhaustive()
    }
}

/// Which addresses are free, and whose the others are.
#[derive(Debug)]
struct Space {
    free: Buddy,
    /// By first page in the arena.
    leased: BTreeMap<u64, Owner>,
}

/// What a range of addresses stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) vmo: VmoId,
    /// First page in the VMO.
    pub(super) first_page: u64,
    /// Log2 of the pages.
    pub(super) order: u32,
}

impl Arena {
    /// Reserves `wanted`, or the largest half, quarter, ... of it that the process may reserve.
    pub(super) fn new(
        wanted: ArenaGeometry,
        watch: Watch,
        add_slot: AddSlot,
    ) -> Result<Arena, MemoryError> {
        let ArenaGeometry { base, end } = wanted;
        let bad = MemoryError::Geometry { base, end };
        let Some(base) = base.checked_next_multiple_of(UNIT_BYTES) else {
            return Err(bad);
        };
        let mut units = end.saturating_sub(base) / UNIT_BYTES;
        if units == 0 {
            return Err(bad);
        }
        let reservation = loop {
            match Reservation::new(units * UNIT_BYTES) {
                Ok(reservation) => break reservation,
                Err(_) if units > 1 => units /= 2,
                Err(source) => {
                    return Err(MemoryError::Reserve {
                        bytes: 2 * UNIT_BYTES,
                        source,
                    });
                }
            }
        };
        let geometry = ArenaGeometry {
            base,
            end: base + units * UNIT_BYTES,
        };
        if geometry.end != end {
            log::info!(
                "arena {:#x}..{:#x} (wanted up to {end:#x})",
                base,
                geometry.end
            );
        }
        Ok(Arena {
            geometry,
            reservation,
            watch,
            space: RwLock::new(Space {
                free: Buddy::new(units),
                leased: BTreeMap::new(),
            }),
            slots: Mutex::default(),
            add_slot,
        })
    }

    /// The range that was had.
    pub(super) fn geometry(&self) -> ArenaGeometry {
        self.geometry
    }

    /// What watches the windows of this arena.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Takes addresses for a block of `owner`'s pages.
    pub(super) fn lease(self: &Arc<Self>, owner: Owner) -> Result<Lease, MemoryError> {
        let first = {
            let mut space = self.space.write().unwrap_or_else(PoisonError::into_inner);
            let first = space
                .free
                .allocate(owner.order)
                .ok_or(MemoryError::ArenaFull {
                    vmo: owner.vmo,
                    pages: 1 << owner.order,
                })?;
            space.leased.insert(first, owner);
            first
        };
        Ok(Lease {
            arena: Arc::clone(self),
            first,
            order: owner.order,
            mapped: false,
        })
    }

    /// Who has the page at a guest-physical address, and which page of the VMO it is.
    pub(super) fn locate(&self, gpa: u64) -> Option<(VmoId, u64)> {
        let page = gpa.checked_sub(self.geometry.base)? >> PAGE_SHIFT;
        let space = self.space.read().unwrap_or_else(PoisonError::into_inner);
        let (first, owner) = space.leased.range(..=page).next_back()?;
        let offset = page - first;
        (offset < 1 << owner.order).then_some((owner.vmo, owner.first_page + offset))
    }

    /// The same by host address.
    pub(super) fn locate_host(&self, host: u64) -> Option<(VmoId, u64)> {
        let (gpa, first) = self.addresses(0);
        self.locate(host.checked_sub(first)? + gpa)
    }

    /// Adds the memslot that holds `page`, unless it is there.
    fn ensure_slot(&self, page: u64) -> Result<(), MemoryError> {
        // Held while KVM works: nobody else must find the slot there before it is.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.contains(&(page / SLOT_PAGES)) {
            return Ok(());
        }
        let slot = page / SLOT_PAGES;
        let (gpa, host) = self.addresses(slot * SLOT_PAGES);
        let index = u32::try_from(slots.len()).map_err(|source| MemoryError::Slot {
            index: u32::MAX,
            gpa,
            source: source.into(),
        })?;
        let length = bytes(SLOT_PAGES);
        (self.add_slot)(index, gpa, host, length).map_err(|source| MemoryError::Slot {
            index,
            gpa,
            source,
        })?;
        slots.insert(slot);
        Ok(())
    }

    /// Guest-physical and host address of a page of the arena.
    fn addresses(&self, page: u64) -> (u64, u64) {
        (
            self.geometry.base + bytes(page),
            self.reservation.base() + bytes(page),
        )
    }
}

/// Addresses in use. Dropping it unmaps them and gives them back.
#[derive(Debug)]
pub(super) struct Lease {
    arena: Arc<Arena>,
    first: u64,
    order: u32,
    mapped: bool,
}

impl Lease {
    /// First guest-physical address.
    pub(super) fn gpa(&self) -> u64 {
        self.arena.addresses(self.first).0
    }

    /// Adds the memslot that holds the `nth` page, unless it is there.
    pub(super) fn ensure_slot(&self, nth: u64) -> Result<(), MemoryError> {
        self.arena.ensure_slot(self.first + nth)
    }

    /// First address in this process.
    pub(super) fn host(&self) -> u64 {
        self.arena.addresses(self.first).1
    }

    /// Bytes.
    pub(super) fn len(&self) -> u64 {
        bytes(1 << self.order)
    }

    /// The arena.
    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Something is about to be mapped here: the reservation must be restored at the end.
    pub(super) fn set_mapped(&mut self) {
        self.mapped = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.mapped
            && let Err(errno) = self.arena.reservation.restore(self.host(), self.len())
        {
            // The addresses stay out of use: what is mapped there must never become another
            // VMO's.
            log::error!(
                "cannot unmap {:#x} bytes of the arena at {:#x}: {errno}; the addresses are lost \
                     (is vm.max_map_count reached?)",
                self.len(),
                self.gpa()
            );
            return;
        }
        let mut space = self
            .arena
            .space
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        space.leased.remove(&self.first);
        space.free.release(self.first, self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{tests::watch, units::UNIT_PAGES},
        *,
    };

    const GIB: u64 = 1 << 30;

    /// What the arena asked for: slot, address, host address, length.
    type Asked = Arc<Mutex<Vec<[u64; 4]>>>;

    fn arena(base: u64, end: u64) -> Result<(Arc<Arena>, Asked), MemoryError> {
        let slots = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&slots);
        let add: AddSlot = Box::new(move |index, gpa, host, len| {
            seen.lock()
                .unwrap()
                .push([u64::from(index), gpa, host, len]);
            Ok(())
        });
        let arena = Arena::new(ArenaGeometry { base, end }, watch(), add)?;
        Ok((Arc::new(arena), slots))
    }

    fn owner(first_page: u64, order: u32) -> Owner {
        Owner {
            vmo: VmoId(7),
            first_page,
            order,
        }
    }

    #[test]
    fn slots_come_64_mib_at_a_time_and_once() {
        let (arena, slots) = arena(4 * GIB, 12 * GIB).unwrap();
        assert!(slots.lock().unwrap().is_empty());
        let a = arena.lease(owner(0, 0)).unwrap();
        let b = arena.lease(owner(512, 9)).unwrap();
        let c = arena.lease(owner(UNIT_PAGES, 18)).unwrap();
        let delta = a.host() - a.gpa();
        assert_eq!(delta % GIB, 0);
        assert!(slots.lock().unwrap().is_empty(), "nothing points there");
        for (lease, page) in [
            (&a, 0),
            (&b, 511),
            (&c, 0),
            (&c, 3 * SLOT_PAGES + 1),
            (&c, 5),
        ] {
            lease.ensure_slot(page).unwrap();
        }
        let expected = [4 * GIB, 5 * GIB, 5 * GIB + (192 << 20)];
        let expected: Vec<_> = (0..)
            .zip(expected)
            .map(|(n, gpa)| [n, gpa, gpa + delta, 64 << 20])
            .collect();
        assert_eq!(*slots.lock().unwrap(), expected);
        assert_eq!(b.gpa() % (2 << 20), 0);
        assert_eq!(c.gpa(), 5 * GIB);
        drop((a, b, c));
        let again = arena.lease(owner(0, 18)).unwrap();
        again.ensure_slot(0).unwrap();
        assert_eq!(slots.lock().unwrap().len(), 3);
    }

    #[test]
    fn addresses_are_found_while_leased() {
        let (arena, _) = arena(4 * GIB, 5 * GIB).unwrap();
        let lease = arena.lease(owner(40, 2)).unwrap();
        let gpa = lease.gpa();
        assert_eq!(arena.locate(gpa + 0x3fff), Some((VmoId(7), 43)));
        assert_eq!(arena.locate(gpa + 0x4000), None);
        assert_eq!(arena.locate(0), None);
        assert_eq!(arena.locate(u64::MAX), None);
        drop(lease);
        assert_eq!(arena.locate(gpa), None);
    }

    #[test]
    fn a_full_arena_says_so() {
        let (arena, _) = arena(4 * GIB, 5 * GIB).unwrap();
        let whole = arena.lease(owner(0, 18)).unwrap();
        let error = arena.lease(owner(0, 0)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no room for 1 more pages of VMO 7"),
            "{error}"
        );
        drop(whole);
        arena.lease(owner(0, 0)).unwrap();
    }

    #[test]
    fn a_refused_slot_is_tried_again() {
        let add: AddSlot = Box::new(|_, _, _, _| Err("no slots left".into()));
        let geometry = ArenaGeometry {
            base: 4 * GIB,
            end: 5 * GIB,
        };
        let arena = Arc::new(Arena::new(geometry, watch(), add).unwrap());
        let lease = arena.lease(owner(0, 3)).unwrap();
        for _ in 0..2 {
            let error = lease.ensure_slot(7).unwrap_err();
            assert_eq!(
                error.to_string(),
                "cannot add memslot 0 at guest-physical 0x100000000: no slots left"
            );
        }
    }

    #[test]
    fn an_arena_larger_than_the_address_space_is_halved() {
        let (arena, _) = arena(4 * GIB, 1 << 52).unwrap();
        let units = (arena.geometry().end - arena.geometry().base) / GIB;
        assert!(units >= 1 << 10, "{units} GiB only");
        assert!(
            units < 1 << 17,
            "{units} GiB cannot be: user space has 128 TiB"
        );
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for (base, end) in [
            (4 * GIB, 4 * GIB),
            (5 * GIB, 4 * GIB),
            (1, GIB),
            (u64::MAX, u64::MAX),
        ] {
            let error = arena(base, end).unwrap_err();
            assert!(matches!(error, MemoryError::Geometry { .. }), "{error}");
        }
        assert_eq!(arena(1, 2 * GIB + 5).unwrap().0.geometry().base, GIB);
    }
}
