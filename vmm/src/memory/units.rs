//! Sizes and conversions of this module: pages, blocks and units.
//!
//! Page numbers and counts are in pages of 4 KiB. A *block* is a power of two of pages, named by
//! its *order*. A *unit* is the largest block, 1 GiB: the most that one chunk holds.

pub(super) use protocol::{PAGE_SHIFT, PAGE_SIZE};

/// Order of a unit: 2^18 pages.
pub(super) const UNIT_ORDER: u32 = 18;

/// Pages of a unit.
pub(super) const UNIT_PAGES: u64 = 1 << UNIT_ORDER;

/// Pages of a memslot; divides a unit.
pub(super) const SLOT_PAGES: u64 = 1 << 14;

/// Bytes of a unit.
pub(super) const UNIT_BYTES: u64 = UNIT_PAGES << PAGE_SHIFT;

/// Pages of the largest VMO.
pub(super) const MAX_VMO_PAGES: u64 = protocol::MAX_VMO_SIZE >> PAGE_SHIFT;

/// Bytes of `pages`, which must be pages of an arena, a chunk or a VMO (below 2^52).
pub(super) const fn bytes(pages: u64) -> u64 {
    pages << PAGE_SHIFT
}

/// Smallest order whose block holds `pages`.
pub(super) const fn order_of(pages: u64) -> u32 {
    if pages <= 1 {
        0
    } else {
        u64::BITS - (pages - 1).leading_zeros()
    }
}
