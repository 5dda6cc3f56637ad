//! Scenarios of writing back: what BEGIN and END do to pages and to zero intervals.

use protocol::options::{PagerOp, WRITEBACK_RANGE_IS_ZERO};
use zircon::Access;

use super::{BOTH, RESIZABLE, Scene, TRAP_DIRTY, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Touch, Via};

impl Scene {
    fn begin_zeros(&mut self, pages: std::ops::Range<u64>) {
        let (pager, vmo, op) = (self.pager, self.vmo, PagerOp::WritebackBegin);
        let result = self
            .m
            .pager_op_range(pager, op, vmo, pages, WRITEBACK_RANGE_IS_ZERO);
        result.unwrap();
    }

    fn begin_writeback(&mut self, pages: std::ops::Range<u64>) {
        self.op(PagerOp::WritebackBegin, pages).unwrap();
    }

    fn end_writeback(&mut self, pages: std::ops::Range<u64>) {
        self.op(PagerOp::WritebackEnd, pages).unwrap();
    }
}

#[test]
fn writeback_cleans() {
    for options in BOTH {
        let mut s = scene_with(4, options);
        s.supply(0..4);
        s.written(1..3, 9);
        s.begin_writeback(0..4);
        assert_eq!(s.dirty_ranges(), [(1, 3, false)], "not yet");
        s.end_writeback(0..2);
        assert_eq!(s.dirty_ranges(), [(2, 3, false)]);
        s.end_writeback(0..4);
        assert_eq!(s.dirty_ranges(), []);
        assert_eq!(s.m.page_bytes(s.vmo, 0..4), [0, 9, 9, 3]);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn end_without_begin_is_nothing() {
    for options in BOTH {
        let mut s = scene_with(4, options);
        s.supply(0..1);
        s.written(0..1, 9);
        s.zero(1..2);
        s.end_writeback(0..4);
        assert_eq!(s.dirty_ranges(), [(0, 1, false), (1, 2, true)]);
        s.begin_writeback(2..4);
        s.end_writeback(2..4);
        assert_eq!(s.packets(), [], "gaps do not matter");
    }
}

/// A write after BEGIN dirties again, and END leaves it so.
#[test]
fn a_write_during_the_writeback_stays_dirty() {
    for options in BOTH {
        let mut s = scene_with(2, options);
        s.supply(0..2);
        s.written(0..2, 9);
        s.begin_writeback(0..2);
        s.written(0..1, 8);
        s.end_writeback(0..2);
        assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
        s.write_back(0..2);
        assert_eq!(s.dirty_ranges(), []);
    }
}

/// The same through a mapping, where nobody sees the write until END looks.
#[test]
fn a_mapped_write_during_the_writeback_stays_dirty() {
    let mut s = scene(2);
    s.supply(0..2);
    let at = s.m.map(s.vmo, 2);
    let thread = s.m.thread();
    for page in 0..2 {
        assert_eq!(s.m.store(thread, at + page * PAGE_SIZE, 9), Touch::Done);
    }
    s.begin_writeback(0..2);
    assert!(s.was_modified());
    assert_eq!(s.m.store(thread, at + PAGE_SIZE, 8), Touch::Done);
    s.end_writeback(0..2);
    assert_eq!(s.dirty_ranges(), [(1, 2, false)]);
    assert!(s.was_modified());
    assert_eq!(s.m.store(thread, at, 7), Touch::Done);
    assert_eq!(s.dirty_ranges(), [(0, 2, false)]);
}

#[test]
fn begin_takes_write_permission_away() {
    let mut s = scene_with(1, TRAP_DIRTY);
    s.supply(0..1);
    let at = s.m.map(s.vmo, 1);
    let thread = s.m.thread();
    s.dirty(0..1);
    assert_eq!(s.m.store(thread, at, 9), Touch::Done);
    s.begin_writeback(0..1);
    assert!(matches!(s.m.store(thread, at, 8), Touch::Blocked(_)));
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
    s.dirty(0..1);
    s.end_writeback(0..1);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)], "dirty once more");
    assert_eq!(s.m.touch(thread, at, Access::Write), Touch::Done);
}

#[test]
fn resize_supply_zero() {
    for options in BOTH {
        let mut s = scene_with(1, options | RESIZABLE);
        s.supply(0..1);
        s.m.vmo_set_size(s.vmo, 3 * PAGE_SIZE).unwrap();
        s.supply(0..3);
        assert_eq!(s.m.page_bytes(s.vmo, 0..3), [0, 0, 0], "supply is ignored");
        assert_eq!(s.m.committed(s.vmo), 1);
        assert_eq!(s.dirty_ranges(), [(1, 3, true)]);
        s.write_back(1..3);
        assert_eq!(s.dirty_ranges(), []);
        let mut reader = s.reader(Via::Read, 1..3);
        assert_eq!(s.packets(), [Packet::Read(7, 1, 3)], "a gap now");
        s.supply(1..3);
        assert_eq!(s.m.read_bytes(&mut reader), [1, 2]);
    }
}

#[test]
fn resize_writeback_dirty_after_query() {
    for options in BOTH {
        let mut s = scene_with(1, options | RESIZABLE);
        s.supply(0..1);
        s.m.vmo_set_size(s.vmo, 4 * PAGE_SIZE).unwrap();
        assert_eq!(s.dirty_ranges(), [(1, 4, true)]);
        s.written(2..3, 9);
        s.begin_zeros(1..4);
        s.end_writeback(1..4);
        assert_eq!(
            s.dirty_ranges(),
            [(2, 3, false)],
            "what was written after the query stays dirty"
        );
        assert_eq!(s.m.page_bytes(s.vmo, 2..3), [9]);
    }
}

#[test]
fn resize_writeback_repeated() {
    for options in BOTH {
        let mut s = scene_with(5, options | RESIZABLE);
        s.supply(0..5);
        s.m.vmo_set_size(s.vmo, 10 * PAGE_SIZE).unwrap();
        s.begin_writeback(5..7);
        s.begin_writeback(7..10);
        s.end_writeback(5..7);
        s.end_writeback(7..10);
        assert_eq!(s.dirty_ranges(), [(7, 10, true)]);
    }
}

/// Shrinking clips an interval and how much of it is written back.
#[test]
fn resize_writeback_clipped() {
    for options in BOTH {
        let mut s = scene_with(1, options | RESIZABLE);
        s.supply(0..1);
        s.m.vmo_set_size(s.vmo, 6 * PAGE_SIZE).unwrap();
        s.begin_writeback(1..6);
        s.m.vmo_set_size(s.vmo, 3 * PAGE_SIZE).unwrap();
        s.m.vmo_set_size(s.vmo, 6 * PAGE_SIZE).unwrap();
        s.end_writeback(1..6);
        assert_eq!(s.dirty_ranges(), [(3, 6, true)]);
    }
}

#[test]
fn op_zero_writeback() {
    for options in BOTH {
        let mut s = scene_with(6, options);
        s.supply(0..6);
        s.zero(3..6);
        s.begin_writeback(3..6);
        s.zero(2..3);
        s.end_writeback(0..6);
        assert_eq!(
            s.dirty_ranges(),
            [(2, 6, true)],
            "it begins earlier: the pending END is nothing"
        );
        s.write_back(2..6);
        assert_eq!(s.dirty_ranges(), []);
    }
}

/// Writing one page inside an interval splits it.
#[test]
fn a_write_splits_an_interval() {
    for options in BOTH {
        let mut s = scene_with(6, options);
        s.supply(0..1);
        s.zero(1..5);
        s.written(2..3, 9);
        assert_eq!(
            s.dirty_ranges(),
            [(1, 2, true), (2, 3, false), (3, 5, true)]
        );
        assert_eq!(s.m.committed(s.vmo), 2);
    }
}
