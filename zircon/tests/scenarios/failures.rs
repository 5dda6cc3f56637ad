//! Scenarios of requests that a pager fails.

use super::{TRAP_DIRTY, scene, scene_with};
use crate::common::{Packet, Status, Via};

/// Every error that a pager may give.
const CODES: [Status; 5] = [
    Status::IO,
    Status::IO_DATA_INTEGRITY,
    Status::BAD_STATE,
    Status::NO_SPACE,
    Status::BUFFER_TOO_SMALL,
];

#[test]
fn fail_single_page() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.fail(0..1, Status::IO);
        assert_eq!(s.m.poll(&mut reader), Some(Err(Status::IO)));
    }
}

#[test]
fn fail_exact_range() {
    let mut s = scene(11);
    let commit = s.commit(0..11);
    s.fail(0..11, Status::IO);
    assert_eq!(s.m.status(commit), Status::IO);
    assert_eq!(s.packets(), [], "withdrawn");
}

#[test]
fn fail_multiple_commits() {
    let mut s = scene(11);
    let commits: Vec<_> = (0..11).map(|n| s.commit(n..n + 1)).collect();
    assert_eq!(s.packets().len(), 11);
    s.fail(0..11, Status::IO);
    for commit in commits {
        assert_eq!(s.m.status(commit), Status::IO);
    }
    let commits: Vec<_> = (0..11).map(|_| s.commit(0..11)).collect();
    assert_eq!(s.packets(), [Packet::Read(7, 0, 11)]);
    s.fail(0..11, Status::IO);
    for commit in commits {
        assert_eq!(s.m.status(commit), Status::IO);
    }
}

#[test]
fn fail_multiple_vmos() {
    let mut s = scene(1);
    let size = 4096;
    let other = s.m.pager_create_vmo(s.pager, 0, s.port, 8, size).unwrap();
    let first = s.commit(0..1);
    let mut second = s.m.reader(Via::Read, other, 0..1);
    s.fail(0..1, Status::IO);
    assert_eq!(s.m.status(first), Status::IO);
    s.m.still_waits(&mut second);
    s.m.supply(s.pager, other, 0..1, 3).unwrap();
    assert_eq!(s.m.read_bytes(&mut second), [3]);
}

#[test]
fn fail_overlapping_range_commit() {
    let mut s = scene(11);
    let commits = [s.commit(0..2), s.commit(5..7), s.commit(9..11)];
    assert_eq!(s.packets().len(), 3);
    s.supply(0..1);
    s.fail(1..10, Status::IO);
    assert_eq!(s.m.status(commits[1]), Status::IO);
    s.supply(10..11);
    assert_eq!(s.m.status(commits[2]), Status::IO);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)], "it asks again");
    s.fail(1..2, Status::IO);
    assert_eq!(s.m.status(commits[0]), Status::IO);
}

#[test]
fn fail_overlapping_range_read() {
    let mut s = scene(11);
    let mut readers = [
        s.reader(Via::Read, 0..2),
        s.reader(Via::Read, 5..7),
        s.reader(Via::Read, 9..11),
    ];
    assert_eq!(s.packets().len(), 3);
    s.fail(1..10, Status::IO);
    assert_eq!(s.m.poll(&mut readers[1]), Some(Err(Status::IO)));
    assert_eq!(s.m.poll(&mut readers[2]), Some(Err(Status::IO)));
    s.m.still_waits(&mut readers[0]);
    s.supply(0..1);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)], "it asks again");
    s.fail(1..2, Status::IO);
    assert_eq!(s.m.poll(&mut readers[0]), Some(Err(Status::IO)));
}

#[test]
fn fail_redundant() {
    let mut s = scene(4);
    let commit = s.commit(0..4);
    for _ in 0..2 {
        for page in 0..4 {
            s.fail(page..page + 1, Status::IO);
        }
    }
    assert_eq!(s.m.status(commit), Status::IO);
    assert_eq!(s.packets(), []);
}

#[test]
fn fail_after_detach() {
    let mut s = scene(1);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    let (pager, vmo) = (s.pager, s.vmo);
    let data = Status::IO.to_register();
    let fail = protocol::options::PagerOp::Fail;
    assert_eq!(
        s.m.pager_op_range(pager, fail, vmo, 0..1, data),
        Err(Status::BAD_STATE)
    );
}

#[test]
fn supply_after_detach() {
    let mut s = scene(1);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    let result = s.m.supply(s.pager, s.vmo, 0..1, 0);
    assert_eq!(result, Err(Status::BAD_STATE));
}

#[test]
fn supply_after_fail() {
    let mut s = scene(1);
    let mut reader = s.reader(Via::Read, 0..1);
    s.fail(0..1, Status::IO);
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::IO)));
    let mut again = s.reader(Via::Mapping, 0..1);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.supply(0..1);
    assert_eq!(s.m.read_bytes(&mut again), [0]);
}

#[test]
fn fail_early_wake() {
    let mut s = scene(3);
    let mut reader = s.reader(Via::Read, 0..3);
    s.supply(0..1);
    s.m.still_waits(&mut reader);
    s.fail(1..2, Status::IO);
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::IO)));
    assert_eq!(s.packets(), [], "page 2 is not wanted any more");
}

/// A follower whose first page fails hears of it when its leader ends.
#[test]
fn fail_overlap_request() {
    let mut s = scene(4);
    let leader = s.commit(0..4);
    let follower = s.commit(2..4);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 4)]);
    s.fail(2..3, Status::IO);
    assert!(s.m.is_blocked(leader) && s.m.is_blocked(follower));
    s.supply(0..2);
    s.supply(3..4);
    assert_eq!(s.m.status(follower), Status::IO);
    assert_eq!(
        s.packets(),
        [Packet::Read(7, 2, 3)],
        "the leader asks again"
    );
    s.supply(2..3);
    assert_eq!(s.m.status(leader), Status::OK);
}

#[test]
fn fail_error_code() {
    for code in CODES {
        let mut s = scene(1);
        let commit = s.commit(0..1);
        let mut reader = s.reader(Via::Read, 0..1);
        s.fail(0..1, code);
        assert_eq!(s.m.status(commit), code);
        assert_eq!(s.m.poll(&mut reader), Some(Err(code)));
        let mut touch = s.reader(Via::Mapping, 0..1);
        s.fail(0..1, code);
        assert_eq!(s.m.poll(&mut touch), Some(Err(code)));
    }
}

#[test]
fn fail_of_a_dirty_request() {
    for code in CODES {
        let mut s = scene_with(2, TRAP_DIRTY);
        s.supply(0..2);
        let write = s.write(0..2, 9);
        assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
        s.fail(0..2, code);
        assert_eq!(s.m.status(write), code);
        assert_eq!(s.dirty_ranges(), []);
        assert!(!s.was_modified());
        assert_eq!(s.m.page_bytes(s.vmo, 0..2), [0, 1]);
    }
}

/// Only a later page of a DIRTY request fails: the write asks again for it.
#[test]
fn fail_of_a_later_page_of_a_dirty_request() {
    let mut s = scene_with(2, TRAP_DIRTY);
    s.supply(0..2);
    let write = s.write(0..2, 9);
    assert_eq!(s.packets(), [Packet::Dirty(7, 0, 2)]);
    s.fail(1..2, Status::IO);
    assert!(s.m.is_blocked(write));
    s.dirty(0..1);
    assert_eq!(s.packets(), [Packet::Dirty(7, 1, 2)]);
    s.fail(1..2, Status::IO);
    assert_eq!(s.m.status(write), Status::IO);
    assert_eq!(s.m.page_bytes(s.vmo, 0..2), [9, 1], "written in part");
    assert!(s.was_modified());
}

/// READ and DIRTY requests of one range fail together.
#[test]
fn fail_applies_to_both_kinds() {
    let mut s = scene_with(2, TRAP_DIRTY);
    s.supply(0..1);
    let write = s.write(0..1, 9);
    let commit = s.commit(1..2);
    s.fail(0..2, Status::IO);
    assert_eq!(s.m.status(write), Status::IO);
    assert_eq!(s.m.status(commit), Status::IO);
}
