//! Scenarios of how pages become dirty: by calls and through mappings, noted and trapped.

use protocol::options::{PagerOp, VmoOp};
use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use super::{BOTH, RESIZABLE, TRAP_DIRTY, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status, Touch, Via};

#[test]
fn a_write_dirties_at_once_without_trap() {
    let mut s = scene(4);
    s.supply(0..4);
    assert!(!s.was_modified());
    s.m.vmo_write(s.vmo, PAGE_SIZE, &[9; 2 * 4096]).unwrap();
    assert_eq!(s.packets(), []);
    assert_eq!(s.dirty_ranges(), [(1, 3, false)]);
    assert!(s.was_modified());
    assert!(!s.was_modified(), "it is forgotten");
}

#[test]
fn a_write_asks_first_under_trap() {
    let mut s = scene_with(4, TRAP_DIRTY);
    s.supply(0..4);
    let write = s.write(1..3, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 1, 3)]);
    assert_eq!(s.m.page_bytes(s.vmo, 0..4), [0, 1, 2, 3], "not yet");
    assert!(!s.was_modified());
    s.dirty(1..3);
    assert_eq!(s.m.status(write), Status::OK);
    assert_eq!(s.m.page_bytes(s.vmo, 0..4), [0, 9, 9, 3]);
    assert_eq!(s.dirty_ranges(), [(1, 3, false)]);
    assert!(s.was_modified());
    s.m.vmo_write(s.vmo, PAGE_SIZE, &[8; 2 * 4096]).unwrap();
    assert_eq!(s.packets(), [], "dirty pages need no leave");
}

/// READ first, then DIRTY.
#[test]
fn a_write_to_an_absent_page_under_trap() {
    let mut s = scene_with(2, TRAP_DIRTY);
    let write = s.write(0..2, 9);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    s.dirty(0..2);
    assert_eq!(s.m.status(write), Status::OK);
}

#[test]
fn a_mapped_write_asks_for_one_page() {
    let mut s = scene_with(3, TRAP_DIRTY);
    let at = s.m.map(s.vmo, 3);
    let thread = s.m.thread();
    let touch = |s: &mut super::Scene| s.m.touch(thread, at, Access::Write);
    assert!(matches!(touch(&mut s), Touch::Blocked(_)));
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.supply(0..3);
    assert!(matches!(touch(&mut s), Touch::Blocked(_)));
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
    s.dirty(0..1);
    assert_eq!(touch(&mut s), Touch::Done);
    assert_eq!(s.m.store(thread, at, 5), Touch::Done);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    assert!(s.was_modified());
}

/// A mapped write to a clean page makes no exit; whoever asks is told of it all the same.
#[test]
fn a_mapped_write_is_noted_without_trap() {
    let mut s = scene(3);
    s.supply(0..3);
    let at = s.m.map(s.vmo, 3);
    let thread = s.m.thread();
    assert!(s.m.kernel.is_present(thread, at, Access::Write));
    assert_eq!(s.dirty_ranges(), []);
    assert_eq!(s.m.store(thread, at + PAGE_SIZE, 5), Touch::Done);
    assert_eq!(s.dirty_ranges(), [(1, 2, false)]);
    assert!(s.was_modified());
    assert_eq!(s.m.store(thread, at + PAGE_SIZE, 6), Touch::Done);
    assert!(!s.was_modified(), "the page was dirty already");
}

#[test]
fn the_cap_of_a_write_is_16_pages() {
    let mut s = scene_with(40, TRAP_DIRTY);
    s.supply(0..40);
    let write = s.write(0..40, 9);
    for (first, end) in [(0, 16), (16, 32), (32, 40)] {
        assert_eq!(s.packets(), [Packet::Dirty(7, first, end)]);
        s.dirty(first..end);
    }
    assert_eq!(s.m.status(write), Status::OK);
}

/// Clean pages, markers, pages that await their cleaning and zero intervals are asked for together, up to a gap.
#[test]
fn a_dirty_request_mixes_what_is_not_dirty() {
    let mut s = scene_with(10, TRAP_DIRTY);
    s.supply(4..6);
    s.supply_zeros(6..7);
    s.zero(7..8);
    s.supply(8..9);
    s.dirty(8..9);
    s.op(PagerOp::WritebackBegin, 8..9).unwrap();
    let write = s.write(4..10, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 4, 9)]);
    s.dirty(4..9);
    assert_eq!(s.packets(), [Packet::Read(7, 9, 10)]);
    s.supply(9..10);
    assert_eq!(s.packets(), [Packet::Dirty(7, 9, 10)]);
    s.dirty(9..10);
    assert_eq!(s.m.status(write), Status::OK);
    assert_eq!(s.dirty_ranges(), [(4, 10, false)]);
}

#[test]
fn a_dirty_request_stops_at_a_dirty_page() {
    let mut s = scene_with(4, TRAP_DIRTY);
    s.supply(0..4);
    s.dirty(2..3);
    let write = s.write(0..4, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    s.dirty(0..2);
    assert_eq!(s.packets(), [Packet::Dirty(7, 3, 4)]);
    s.dirty(3..4);
    assert_eq!(s.m.status(write), Status::OK);
}

#[test]
fn dirty_after_map_protect() {
    for options in BOTH {
        let mut s = scene_with(1, options);
        s.supply(0..1);
        let at = s.m.vmar_map(3, 0, s.vmo, 0, PAGE_SIZE).unwrap();
        let thread = s.m.thread();
        assert_eq!(s.m.touch(thread, at, Access::Read), Touch::Done);
        s.m.vmar_protect(1, at, PAGE_SIZE).unwrap();
        s.m.vmar_protect(3, at, PAGE_SIZE).unwrap();
        assert_eq!(s.dirty_ranges(), []);
        match s.m.store(thread, at, 5) {
            Touch::Blocked(_) => {
                assert_eq!(options, TRAP_DIRTY);
                assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
                s.dirty(0..1);
            }
            touch => assert_eq!((touch, options), (Touch::Done, 0)),
        }
        assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    }
}

#[test]
fn delayed_dirty_not_found() {
    let mut s = scene_with(2, TRAP_DIRTY | RESIZABLE);
    s.supply(0..1);
    s.zero(1..2);
    let write = s.write(0..2, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    // The interval's page becomes a gap while the request is out.
    s.write_back(0..2);
    assert_eq!(s.op(PagerOp::Dirty, 0..2), Err(Status::NOT_FOUND));
    assert_eq!(s.dirty_ranges(), [], "all or nothing");
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)], "it looks again");
    s.dirty(0..1);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)], "READ first");
    s.supply(1..2);
    assert_eq!(s.packets(), [Packet::Dirty(7, 1, 2)]);
    s.dirty(1..2);
    assert_eq!(s.m.status(write), Status::OK);
}

#[test]
fn delayed_dirty_zero_range() {
    let mut s = scene_with(2, TRAP_DIRTY);
    s.supply(0..2);
    let write = s.write(0..2, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    s.zero(0..2);
    assert!(s.m.is_blocked(write), "zeroing answers no DIRTY");
    assert_eq!(s.dirty_ranges(), [(0, 2, true)]);
    s.dirty(0..2);
    assert_eq!(s.m.status(write), Status::OK);
    assert_eq!(s.packets(), []);
    assert_eq!(s.m.page_bytes(s.vmo, 0..2), [9, 9]);
}

/// The end of an older writeback comes before the leave that was asked for: clean first, then dirty.
#[test]
fn delayed_dirty_awaiting_clean() {
    let mut s = scene_with(1, TRAP_DIRTY);
    s.supply(0..1);
    s.dirty(0..1);
    s.op(PagerOp::WritebackBegin, 0..1).unwrap();
    let write = s.write(0..1, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
    s.op(PagerOp::WritebackEnd, 0..1).unwrap();
    assert_eq!(s.dirty_ranges(), []);
    s.dirty(0..1);
    assert_eq!(s.m.status(write), Status::OK);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    assert_eq!(s.packets(), []);
}

/// Leave may be given without having been asked for; it is no modification.
#[test]
fn dirty_without_a_request() {
    let mut s = scene_with(4, TRAP_DIRTY);
    s.supply(0..2);
    s.supply_zeros(2..3);
    s.zero(3..4);
    assert!(s.was_modified(), "by the zeroing");
    s.dirty(0..4);
    assert_eq!(s.dirty_ranges(), [(0, 4, false)]);
    assert_eq!(s.m.committed(s.vmo), 4, "zeros get pages");
    assert!(!s.was_modified());
}

#[test]
fn delayed_dirty_resize() {
    let mut s = scene_with(3, TRAP_DIRTY | RESIZABLE);
    s.supply(0..3);
    let write = s.write(0..3, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 3)]);
    s.m.vmo_set_size(s.vmo, PAGE_SIZE).unwrap();
    assert!(s.m.is_blocked(write), "a page of it is left");
    assert_eq!(s.op(PagerOp::Dirty, 0..3), Err(Status::OUT_OF_RANGE));
    s.dirty(0..1);
    assert_eq!(s.m.status(write), Status::OUT_OF_RANGE);
    assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
    assert_eq!(s.packets(), []);
}

#[test]
fn dirty_requests_fail_with_detach_and_close() {
    for detach in [true, false] {
        let mut s = scene_with(1, TRAP_DIRTY);
        s.supply(0..1);
        let write = s.write(0..1, 9);
        match detach {
            true => s.m.pager_detach_vmo(s.pager, s.vmo).unwrap(),
            false => s.m.handle_close(s.pager).unwrap(),
        }
        assert_eq!(s.m.status(write), Status::BAD_STATE);
        let expected = if detach {
            vec![Packet::Complete(7)]
        } else {
            Vec::new()
        };
        assert_eq!(s.packets(), expected, "the DIRTY is withdrawn");
    }
}

/// Dirty pages stay readable after a detach, and whatever the pager has to say to them is heard.
#[test]
fn detach_keeps_what_is_dirty() {
    for options in BOTH {
        let mut s = scene_with(6, options);
        s.supply(0..3);
        s.written(0..1, 9);
        s.written(1..2, 9);
        s.op(PagerOp::WritebackBegin, 1..2).unwrap();
        s.supply_zeros(3..4);
        s.zero(4..5);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.m.committed(s.vmo), 2);
        assert_eq!(s.m.page_bytes(s.vmo, 0..2), [9, 9]);
        assert_eq!(s.m.page_bytes(s.vmo, 4..5), [0]);
        for lost in [2, 3, 5] {
            let read = s.m.vmo_read(s.vmo, lost * PAGE_SIZE, 1);
            assert_eq!(read, Err(Status::BAD_STATE), "page {lost}");
        }
        assert_eq!(s.dirty_ranges(), [(0, 2, false), (4, 5, true)]);
        assert_eq!(s.packets(), [Packet::Complete(7)]);
        s.op(PagerOp::WritebackBegin, 0..6).unwrap();
        s.op(PagerOp::WritebackEnd, 0..6).unwrap();
        assert_eq!(s.dirty_ranges(), []);
    }
}

/// Without its pager a page that is clean or awaits its cleaning cannot become dirty under TRAP.
#[test]
fn writes_after_detach() {
    for options in BOTH {
        let mut s = scene_with(2, options);
        s.supply(0..2);
        s.written(0..1, 9);
        s.written(1..2, 9);
        s.op(PagerOp::WritebackBegin, 1..2).unwrap();
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.m.vmo_write(s.vmo, 0, &[1]), Ok(()), "dirty already");
        let awaiting = match options {
            TRAP_DIRTY => Err(Status::BAD_STATE),
            _ => Ok(()),
        };
        assert_eq!(s.m.vmo_write(s.vmo, PAGE_SIZE, &[1]), awaiting);
        assert_eq!(s.packets(), [Packet::Complete(7)]);
    }
}

/// What does not modify a VMO.
#[test]
fn not_modified() {
    for options in BOTH {
        let mut s = scene_with(4, options | RESIZABLE);
        let at = s.m.map(s.vmo, 4);
        let thread = s.m.thread();
        s.supply(0..2);
        s.supply_zeros(2..4);
        s.m.page_bytes(s.vmo, 0..4);
        assert_eq!(s.m.touch(thread, at, Access::Read), Touch::Done);
        let size = 4 * PAGE_SIZE;
        s.m.vmo_op_range(s.vmo, VmoOp::Commit, 0, size).unwrap();
        let beyond = s.m.vmo_write(s.vmo, size, &[1]);
        assert_eq!(beyond, Err(Status::OUT_OF_RANGE));
        assert!(s.m.vmo_set_size(s.vmo, u64::MAX).is_err());
        assert!(!s.was_modified());
        assert_eq!(s.dirty_ranges(), []);
    }
}

#[test]
fn what_modifies() {
    for options in BOTH {
        let mut s = scene_with(4, options | RESIZABLE);
        s.supply(0..4);
        s.m.vmo_set_size(s.vmo, 5 * PAGE_SIZE).unwrap();
        assert!(s.was_modified(), "growth");
        s.m.vmo_set_size(s.vmo, 4 * PAGE_SIZE).unwrap();
        assert!(s.was_modified(), "shrinking");
        s.m.set_content_size(s.vmo, 3 * PAGE_SIZE).unwrap();
        assert!(s.was_modified(), "content size");
        s.zero(0..1);
        assert!(s.was_modified(), "zeroing");
        s.written(1..2, 5);
        assert!(s.was_modified(), "vmo_write");
    }
}

/// A slice's writes are its parent's.
#[test]
fn writes_through_a_slice_dirty_the_root() {
    for options in BOTH {
        let mut s = scene_with(4, options);
        s.supply(0..4);
        let slice = s.m.vmo_create_child(s.vmo, 8, PAGE_SIZE, 2 * PAGE_SIZE);
        let root = std::mem::replace(&mut s.vmo, slice.unwrap());
        let thread = s.m.thread();
        let buffer = s.m.alloc(PAGE_SIZE);
        let args = [s.vmo.into(), buffer, PAGE_SIZE, PAGE_SIZE];
        s.m.call_on(thread, N::VmoWrite, &args);
        s.vmo = root;
        if options == TRAP_DIRTY {
            assert_eq!(s.packets(), [Packet::Dirty(7, 2, 3)], "root offsets");
            s.dirty(2..3);
        }
        assert_eq!(s.dirty_ranges(), [(2, 3, false)]);
        assert!(s.was_modified());
    }
}

/// A read into memory that a pager provides asks for leave to write there.
#[test]
fn a_read_into_a_trapping_buffer() {
    let mut s = scene_with(1, TRAP_DIRTY);
    s.supply(0..1);
    let at = s.m.map(s.vmo, 1);
    let source = s.m.vmo(1);
    s.m.vmo_write(source, 0, &[7; 4096]).unwrap();
    let read = s.begin(N::VmoRead, &[source.into(), at, 0, PAGE_SIZE]);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
    s.dirty(0..1);
    assert_eq!(s.m.status(read), Status::OK);
    assert_eq!(s.m.page_bytes(s.vmo, 0..1), [7]);
    assert!(s.was_modified());
}

/// Both kinds of requests stand in one queue, and one packet is in the port at a time.
#[test]
fn reads_and_dirties_share_the_packet() {
    let mut s = scene_with(4, TRAP_DIRTY);
    s.supply(0..1);
    let mut reader = s.reader(Via::Read, 2..3);
    let write = s.write(0..1, 9);
    let mut other = s.reader(Via::Read, 3..4);
    assert_eq!(s.m.port_poll(s.port), Ok(Packet::Read(7, 2, 3)));
    s.dirty(0..1);
    assert_eq!(s.m.status(write), Status::OK);
    assert_eq!(s.packets(), [Packet::Read(7, 3, 4)], "DIRTY is withdrawn");
    s.supply(2..4);
    assert_eq!(s.m.read_bytes(&mut reader), [2]);
    assert_eq!(s.m.read_bytes(&mut other), [3]);
}
