//! The address allocator: a buddy system over the units of an arena. Plain arithmetic, no memory
//! behind it.
//!
//! The life of an address: the units of the arena are taken in ascending order, each one only when
//! no free block is large enough; a unit is halved until a block fits; a freed block joins its free
//! buddy, up to the whole unit, and is used again before a fresh unit is. So small chunks pack
//! together, the memslots in use stay few, and a block is always aligned to its own size.

use std::collections::BTreeSet;

use super::units::{UNIT_ORDER, UNIT_PAGES};

/// Free and never-used addresses, in pages from the start of the arena.
#[derive(Debug)]
pub(super) struct Buddy {
    /// Free blocks: (order, first page).
    free: BTreeSet<(u32, u64)>,
    /// First page that was never handed out.
    fresh: u64,
    /// First page above the arena.
    end: u64,
}

impl Buddy {
    /// An allocator of `units` units, all free.
    pub(super) fn new(units: u64) -> Buddy {
        Buddy {
            free: BTreeSet::new(),
            fresh: 0,
            end: units.saturating_mul(UNIT_PAGES),
        }
    }

    /// Takes a block of `order` (at most [`UNIT_ORDER`]): the lowest of the smallest free blocks
    /// that hold it.
    pub(super) fn allocate(&mut self, order: u32) -> Option<u64> {
        let found = self.free.range((order, 0)..).next().copied();
        let (mut size, start) = match found {
            Some(block) => {
                self.free.remove(&block);
                block
            }
            None => (UNIT_ORDER, self.take_fresh_unit()?),
        };
        while size > order {
            size -= 1;
            self.free.insert((size, start + (1 << size)));
        }
        Some(start)
    }

    /// Gives back a block that [`Buddy::allocate`] handed out with this order.
    pub(super) fn release(&mut self, mut start: u64, mut order: u32) {
        while order < UNIT_ORDER && self.free.remove(&(order, start ^ (1 << order))) {
            start &= !(1 << order);
            order += 1;
        }
        self.free.insert((order, start));
    }

    fn take_fresh_unit(&mut self) -> Option<u64> {
        let start = self.fresh;
        if start >= self.end {
            return None;
        }
        self.fresh += UNIT_PAGES;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_blocks_share_a_unit() {
        let mut buddy = Buddy::new(2);
        let starts: Vec<_> = (0..4).map(|_| buddy.allocate(0).unwrap()).collect();
        assert_eq!(starts, [0, 1, 2, 3]);
        assert_eq!(buddy.allocate(UNIT_ORDER), Some(UNIT_PAGES));
        assert_eq!(buddy.allocate(UNIT_ORDER), None);
        assert_eq!(buddy.allocate(2), Some(4));
    }

    #[test]
    fn freed_blocks_join_and_are_used_before_fresh_units() {
        let mut buddy = Buddy::new(2);
        let blocks: Vec<_> = (0..512).map(|_| buddy.allocate(9).unwrap()).collect();
        assert_eq!(buddy.fresh, UNIT_PAGES);
        for start in blocks {
            buddy.release(start, 9);
        }
        assert_eq!(buddy.allocate(UNIT_ORDER), Some(0));
        assert_eq!(buddy.fresh, UNIT_PAGES);
    }

    /// What to do next: take a block of this order, or give back one that is held.
    fn steps() -> impl Strategy<Value = Vec<(u32, prop::sample::Index, bool)>> {
        prop::collection::vec(
            (0..=UNIT_ORDER, any::<prop::sample::Index>(), any::<bool>()),
            1..300,
        )
    }

    /// Whether a block overlaps none of the others.
    fn apart(start: u64, order: u32, held: &[(u64, u32)]) -> bool {
        let end = start + (1 << order);
        held.iter()
            .all(|(other, size)| end <= *other || other + (1 << size) <= start)
    }

    proptest! {
        /// Blocks are aligned, inside the arena and never overlap; what was freed can be had again.
        #[test]
        fn blocks_never_overlap(steps in steps()) {
            const UNITS: u64 = 3;
            let mut buddy = Buddy::new(UNITS);
            let mut held: Vec<(u64, u32)> = Vec::new();
            for (order, pick, take) in steps {
                if take || held.is_empty() {
                    let Some(start) = buddy.allocate(order) else {
                        // Refused only if the largest aligned hole is too small.
                        let mut places = (0..UNITS << (UNIT_ORDER - order)).map(|n| n << order);
                        prop_assert!(!places.any(|start| apart(start, order, &held)));
                        continue;
                    };
                    prop_assert_eq!(start % (1 << order), 0);
                    prop_assert!(start + (1 << order) <= UNITS * UNIT_PAGES);
                    prop_assert!(apart(start, order, &held));
                    held.push((start, order));
                } else {
                    let (start, order) = held.swap_remove(pick.index(held.len()));
                    buddy.release(start, order);
                }
            }
            for (start, order) in held.drain(..) {
                buddy.release(start, order);
            }
            for _ in 0..UNITS {
                prop_assert!(buddy.allocate(UNIT_ORDER).is_some());
            }
        }
    }
}
