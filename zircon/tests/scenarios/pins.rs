//! Scenarios of pins: of what they wait for, and of what they keep from happening.

use protocol::options::PagerOp;

use super::{BOTH, RESIZABLE, Scene, TRAP_DIRTY, scene, scene_with};
use crate::calls::pin::{begin_pin, pin, unpin};
use crate::calls::resource::bti;
use crate::common::{PAGE_SIZE, Packet, Status};

const READ: u32 = 1;
const READ_WRITE: u32 = 3;

/// Pages from the first on are pinned for writing, and the pin is let go.
fn pinned_once(s: &mut Scene, bti: u32, pages: u64) {
    let pmt = pin(&mut s.m, bti, READ_WRITE, s.vmo, (0, pages)).unwrap();
    assert_eq!(unpin(&mut s.m, pmt), Status::OK);
}

#[test]
fn pinned_supply_pages() {
    let mut s = scene(2);
    let bti = bti(&mut s.m);
    s.supply(0..1);
    let pmt = pin(&mut s.m, bti, READ, s.vmo, (0, 1)).unwrap();
    s.supply(0..2);
    assert_eq!(s.m.page_bytes(s.vmo, 0..2), [0, 1]);
    assert_eq!(unpin(&mut s.m, pmt), Status::OK);
}

#[test]
fn resize_blocked_pin() {
    let mut s = scene_with(2, RESIZABLE);
    let bti = bti(&mut s.m);
    s.supply(0..1);
    let (token, _) = begin_pin(&mut s.m, bti, READ, s.vmo, (0, 2));
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)]);
    s.m.vmo_set_size(s.vmo, 0).unwrap();
    assert_eq!(s.m.status(token), Status::OUT_OF_RANGE);
    assert_eq!(s.packets(), []);
}

/// The end of an older writeback comes before the leave that the pin asked for: clean first, then dirty.
#[test]
fn delayed_pin_awaiting_clean() {
    let mut s = scene_with(1, TRAP_DIRTY);
    let bti = bti(&mut s.m);
    s.supply(0..1);
    s.written(0..1, 9);
    assert!(s.was_modified());
    s.op(PagerOp::WritebackBegin, 0..1).unwrap();
    let (token, pmt) = begin_pin(&mut s.m, bti, READ_WRITE, s.vmo, (0, 1));
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
    s.op(PagerOp::WritebackEnd, 0..1).unwrap();
    assert_eq!(s.dirty_ranges(), []);
    assert!(s.m.is_blocked(token));
    s.dirty(0..1);
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    assert!(s.was_modified());
    // What a device may write to is dirty as long as it may.
    s.write_back(0..1);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    let pmt = s.m.peek_u32(pmt);
    assert_eq!(unpin(&mut s.m, pmt), Status::OK);
    s.write_back(0..1);
    assert_eq!(s.dirty_ranges(), []);
    assert_eq!(s.packets(), []);
}

/// A pin for writing after the beginning of a writeback is a write: the end leaves the page dirty.
#[test]
fn a_pin_during_the_writeback_stays_dirty() {
    for options in BOTH {
        let mut s = scene_with(2, options);
        let bti = bti(&mut s.m);
        s.supply(0..2);
        s.written(0..2, 9);
        s.op(PagerOp::WritebackBegin, 0..2).unwrap();
        if options == TRAP_DIRTY {
            let (token, _) = begin_pin(&mut s.m, bti, READ_WRITE, s.vmo, (0, 1));
            assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
            s.dirty(0..1);
            assert_eq!(s.m.status(token), Status::OK);
        } else {
            pin(&mut s.m, bti, READ_WRITE, s.vmo, (0, 1)).unwrap();
        }
        s.op(PagerOp::WritebackEnd, 0..2).unwrap();
        assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
        s.write_back(0..2);
        assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    }
}

/// A pin for writing that fails behind pages that were made dirty for it modifies nothing. The failure of a later page of
/// a request is forgotten: the pin asks for the page again.
#[test]
fn not_modified_partial_failed_pin_write() {
    let mut s = scene_with(4, TRAP_DIRTY);
    let bti = bti(&mut s.m);
    s.supply(0..2);
    let (token, _) = begin_pin(&mut s.m, bti, READ_WRITE, s.vmo, (0, 4));
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    s.fail(1..2, Status::IO);
    assert!(s.m.is_blocked(token));
    s.dirty(0..1);
    assert_eq!(s.packets(), [Packet::Dirty(7, 1, 2)], "it asks again");
    s.dirty(1..2);
    assert_eq!(s.packets(), [Packet::Read(7, 2, 4)]);
    s.fail(3..4, Status::IO);
    assert!(s.m.is_blocked(token));
    s.supply(2..3);
    assert_eq!(s.packets(), [Packet::Dirty(7, 2, 3)]);
    s.dirty(2..3);
    assert_eq!(s.packets(), [Packet::Read(7, 3, 4)], "it asks again");
    s.fail(3..4, Status::IO);
    assert_eq!(s.m.status(token), Status::IO);
    assert_eq!(s.packets(), []);
    assert!(!s.was_modified());
    assert_eq!(s.dirty_ranges(), [(0, 3, false)], "as it was allowed");
    pinned_once(&mut s, bti, 3);
    assert!(s.was_modified(), "though all were dirty already");
}

/// A pin for reading dirties nothing; a shrink over what is pinned is refused.
#[test]
fn pins_for_reading_are_no_writes() {
    for options in BOTH {
        let mut s = scene_with(2, options | RESIZABLE);
        let bti = bti(&mut s.m);
        s.supply(0..2);
        let pmt = pin(&mut s.m, bti, READ, s.vmo, (1, 1)).unwrap();
        assert_eq!(s.dirty_ranges(), []);
        let shrunk = s.m.vmo_set_size(s.vmo, PAGE_SIZE);
        assert_eq!(shrunk, Err(Status::BAD_STATE));
        assert!(!s.was_modified());
        assert_eq!(unpin(&mut s.m, pmt), Status::OK);
        assert_eq!(s.packets(), []);
    }
}
