//! Scenarios of zeros that no pager supplied: growth, content size, OP_ZERO.

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;

use super::{BOTH, RESIZABLE, TRAP_DIRTY, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status, Via};

#[test]
fn op_zero_of_whole_pages_asks_nothing() {
    for options in BOTH {
        let mut s = scene_with(6, options);
        s.supply(0..2);
        s.supply_zeros(2..3);
        s.zero(0..5);
        assert_eq!(s.packets(), []);
        assert_eq!(s.m.committed(s.vmo), 0);
        assert_eq!(
            s.dirty_ranges(),
            [(0, 2, true), (3, 5, true)],
            "a marker stays one"
        );
        assert_eq!(s.m.page_bytes(s.vmo, 0..5), [0; 5]);
        s.supply(0..5);
        assert_eq!(s.m.page_bytes(s.vmo, 0..5), [0; 5], "nothing is replaced");
    }
}

#[test]
fn op_zero_answers_reads() {
    for via in Via::BOTH {
        let mut s = scene_with(4, 0);
        let mut reader = s.reader(via, 1..2);
        s.zero(0..4);
        assert_eq!(s.m.read_bytes(&mut reader), [0]);
        assert_eq!(s.packets(), [], "withdrawn");
    }
}

#[test]
fn op_zero_partial_page() {
    for options in BOTH {
        let mut s = scene_with(4, options);
        let part = |page: u64| {
            let offset = page * PAGE_SIZE + 100;
            [VmoOp::Zero as u64, offset, 200, 0, 0]
        };
        let args = |vmo: u32, page| [&[u64::from(vmo)], &part(page)[..]].concat();
        let zero = s.begin(N::VmoOpRange, &args(s.vmo, 0));
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.supply(0..2);
        if options == TRAP_DIRTY {
            assert_eq!(s.packets(), [Packet::Dirty(7, 0, 1)]);
            s.dirty(0..1);
        }
        assert_eq!(s.m.status(zero), Status::OK);
        assert_eq!(s.dirty_ranges(), [(0, 1, false)]);
        // Markers and intervals are zero already.
        s.supply_zeros(2..3);
        s.zero(3..4);
        for page in [2, 3] {
            let args = args(s.vmo, page);
            assert_eq!(s.m.call(N::VmoOpRange, &args), Status::OK);
        }
        assert_eq!(s.packets(), []);
        assert_eq!(s.dirty_ranges(), [(0, 1, false), (3, 4, true)]);
        assert_eq!(s.m.committed(s.vmo), 2);
    }
}

/// The rest of the last page is asked for, and under TRAP asked about.
#[test]
fn resize_into_a_page() {
    for options in BOTH {
        let mut s = scene_with(3, options | RESIZABLE);
        s.supply(0..1);
        let resize = s.begin(N::VmoSetSize, &[s.vmo.into(), PAGE_SIZE + 100]);
        assert_eq!(s.packets(), [Packet::Read(7, 1, 2)]);
        s.supply(1..2);
        if options == TRAP_DIRTY {
            assert_eq!(s.packets(), [Packet::Dirty(7, 1, 2)]);
            s.dirty(1..2);
        }
        assert_eq!(s.m.status(resize), Status::OK);
        assert_eq!(s.dirty_ranges(), [(1, 2, false)]);
        let bytes = s.m.vmo_read(s.vmo, PAGE_SIZE + 98, 4).unwrap();
        assert_eq!(bytes, [1, 1, 0, 0]);
    }
}

#[test]
fn stream_size_dirty_and_untracked() {
    for options in BOTH {
        let mut s = scene_with(6, options);
        s.supply(0..4);
        s.m.vmo_set_stream_size(s.vmo, 2 * PAGE_SIZE).unwrap();
        assert_eq!(s.m.page_bytes(s.vmo, 0..6), [0, 1, 0, 0, 0, 0]);
        assert_eq!(
            s.dirty_ranges(),
            [],
            "the pager does not keep what is beyond"
        );
        assert_eq!(s.m.committed(s.vmo), 2);
        s.m.vmo_set_stream_size(s.vmo, 4 * PAGE_SIZE).unwrap();
        assert_eq!(s.dirty_ranges(), [(2, 4, true)], "but it keeps content");
        assert_eq!(s.packets(), []);
        s.written(5..6, 9);
        assert_eq!(s.dirty_ranges(), [(2, 4, true), (5, 6, false)]);
        s.write_back(0..6);
        assert_eq!(s.dirty_ranges(), []);
        let mut reader = s.reader(Via::Read, 4..5);
        assert_eq!(s.m.read_bytes(&mut reader), [0], "untracked zeros stay");
    }
}

/// What lies beyond a slice's content may be content of its parent.
#[test]
fn stream_size_of_a_slice() {
    let mut s = scene_with(4, 0);
    s.supply(0..4);
    let slice = s.m.vmo_create_child(s.vmo, 8, PAGE_SIZE, 2 * PAGE_SIZE);
    let slice = slice.unwrap();
    s.m.vmo_set_stream_size(slice, 0).unwrap();
    assert_eq!(s.m.page_bytes(s.vmo, 0..4), [0, 0, 0, 3]);
    assert_eq!(s.dirty_ranges(), [(1, 3, true)]);
    assert!(s.was_modified());
    assert_eq!(s.m.vmo_get_stream_size(s.vmo), Ok(4 * PAGE_SIZE));
}
