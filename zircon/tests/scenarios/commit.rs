//! Scenarios of COMMIT: which requests it sends, and what answers them.

use protocol::options::VmoOp;

use super::{RESIZABLE, TRAP_DIRTY, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status};

#[test]
fn simple_commit_test() {
    let mut s = scene(555);
    let commit = s.commit(0..555);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 555)]);
    s.supply(0..555);
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!(s.dirty_ranges(), [], "a commit dirties nothing");
}

#[test]
fn split_commit_test() {
    let mut s = scene(33);
    s.supply(16..17);
    let commit = s.commit(0..33);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 16)]);
    s.supply(0..16);
    assert_eq!(s.packets(), [Packet::Read(7, 17, 33)]);
    s.supply(17..33);
    assert_eq!(s.m.status(commit), Status::OK);
}

#[test]
fn present_page_splits_range() {
    let mut s = scene(5);
    s.supply(2..3);
    let commit = s.commit(0..5);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.packets(), [Packet::Read(7, 3, 5)]);
    s.supply(3..5);
    assert_eq!(s.m.status(commit), Status::OK);
}

#[test]
fn overlap_commit_test() {
    let mut s = scene(32);
    let first = s.commit(8..24);
    let second = s.commit(0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 8, 24), Packet::Read(7, 0, 8)]);
    s.supply(0..24);
    assert_eq!(s.m.status(first), Status::OK);
    assert_eq!(s.packets(), [Packet::Read(7, 24, 32)]);
    s.supply(24..32);
    assert_eq!(s.m.status(second), Status::OK);
}

#[test]
fn overlap_commit_supply_test() {
    let mut s = scene(105);
    let sevens: Vec<_> = (0..15).map(|n| s.commit(n * 7..n * 7 + 7)).collect();
    let fives: Vec<_> = (0..21).map(|n| s.commit(n * 5..n * 5 + 5)).collect();
    for n in 0..35 {
        s.supply(n * 3..n * 3 + 3);
    }
    for commit in sevens.into_iter().chain(fives) {
        assert_eq!(s.m.status(commit), Status::OK);
    }
}

#[test]
fn multisupply_commit_test() {
    let mut s = scene(32);
    let commit = s.commit(0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 32)]);
    for page in 0..32 {
        assert!(s.m.is_blocked(commit));
        s.supply(page..page + 1);
    }
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!(s.packets(), []);
}

#[test]
fn multicommit_supply_test() {
    let mut s = scene(35);
    let commits: Vec<_> = (0..5).map(|n| s.commit(n * 7..n * 7 + 7)).collect();
    assert_eq!(s.packets().len(), 5);
    for n in 0..7 {
        s.supply(n * 5..n * 5 + 5);
    }
    for commit in commits {
        assert_eq!(s.m.status(commit), Status::OK);
    }
}

#[test]
fn commit_redundant_supply_test() {
    let mut s = scene(8);
    let commit = s.commit(0..8);
    for end in 1..=8 {
        assert!(s.m.is_blocked(commit), "no credit twice");
        s.supply(0..end);
    }
    assert_eq!(s.m.status(commit), Status::OK);
}

#[test]
fn resize_commit_test() {
    let mut s = scene_with(3, RESIZABLE);
    let commit = s.commit(0..3);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 3)]);
    s.supply(2..3);
    s.m.vmo_set_size(s.vmo, PAGE_SIZE).unwrap();
    assert!(s.m.is_blocked(commit));
    s.supply(0..1);
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!(s.packets(), []);
}

#[test]
fn ten_identical_commits_are_one_packet() {
    let mut s = scene(4);
    let commits: Vec<_> = (0..10).map(|_| s.commit(0..4)).collect();
    assert_eq!(s.packets(), [Packet::Read(7, 0, 4)]);
    s.supply(0..4);
    for commit in commits {
        assert_eq!(s.m.status(commit), Status::OK);
    }
}

#[test]
fn decommit_test() {
    let mut s = scene(2);
    s.supply(0..1);
    let clone = s.m.vmo_create_child(s.vmo, 0x10, 0, 2 * PAGE_SIZE);
    for vmo in [s.vmo, clone.unwrap()] {
        let result = s.m.vmo_op_range(vmo, VmoOp::Decommit, 0, PAGE_SIZE);
        assert_eq!(result, Err(Status::NOT_SUPPORTED));
    }
}

/// A marker gets a page that stays clean; so does an absent page.
#[test]
fn commit_of_a_marker_is_clean() {
    for options in super::BOTH {
        let mut s = scene_with(2, options);
        s.supply_zeros(0..2);
        s.m.vmo_op_range(s.vmo, VmoOp::Commit, 0, PAGE_SIZE)
            .unwrap();
        assert_eq!(s.m.committed(s.vmo), 1);
        assert_eq!(s.dirty_ranges(), []);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn commit_extended_tail() {
    for options in super::BOTH {
        let mut s = scene_with(2, options | RESIZABLE);
        s.supply(0..2);
        s.m.vmo_set_size(s.vmo, 4 * PAGE_SIZE).unwrap();
        assert_eq!(s.dirty_ranges(), [(2, 4, true)]);
        if options == TRAP_DIRTY {
            let commit = s.commit(0..4);
            assert_eq!(s.packets(), [Packet::Dirty(7, 2, 4)]);
            s.dirty(2..4);
            assert_eq!(s.m.status(commit), Status::OK);
        } else {
            let size = 4 * PAGE_SIZE;
            s.m.vmo_op_range(s.vmo, VmoOp::Commit, 0, size).unwrap();
        }
        assert_eq!(s.packets(), []);
        assert_eq!(s.dirty_ranges(), [(2, 4, false)]);
        assert_eq!(s.m.committed(s.vmo), 4);
    }
}
