//! Scenarios of clones of a pager's VMO: "Clones", and the rows of the others that are about them.

use std::ops::Range;

use protocol::options::VmoOp;
use zircon::{Access, Token};

use super::{RESIZABLE, Scene, bytes, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status, Touch, Via};

const ALOW: u32 = 0x10;
const RESIZABLE_CLONE: u32 = ALOW | 4;

impl Scene {
    pub(super) fn clone_of(&mut self, parent: u32, pages: u64) -> u32 {
        self.clone_at(parent, 0..pages)
    }

    pub(super) fn clone_at(&mut self, parent: u32, pages: Range<u64>) -> u32 {
        let (offset, size) = bytes(&pages);
        self.m.vmo_create_child(parent, ALOW, offset, size).unwrap()
    }

    fn begin_on(&mut self, vmo: u32, op: VmoOp, pages: Range<u64>) -> Token {
        let root = std::mem::replace(&mut self.vmo, vmo);
        let token = self.range_op(op, pages);
        self.vmo = root;
        token
    }

    pub(super) fn do_on(&mut self, vmo: u32, op: VmoOp, pages: Range<u64>) {
        let (offset, length) = bytes(&pages);
        self.m.vmo_op_range(vmo, op, offset, length).unwrap();
    }

    pub(super) fn fill(&mut self, vmo: u32, page: u64, value: u8) {
        self.m
            .vmo_write(vmo, page * PAGE_SIZE, &[value; PAGE_SIZE as usize])
            .unwrap();
    }
}

#[test]
fn clone_read_from_clone() {
    for via in Via::BOTH {
        let mut s = scene(4);
        let clone = s.clone_at(s.vmo, 2..4);
        let mut reader = s.m.reader(via, clone, 1..2);
        assert_eq!(s.packets(), [Packet::Read(7, 3, 4)], "the root's offset");
        s.supply(3..4);
        assert_eq!(s.m.read_bytes(&mut reader), [3]);
        assert_eq!((s.m.committed(s.vmo), s.m.committed(clone)), (1, 0));
    }
}

#[test]
fn clone_read_from_parent() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let clone = s.clone_of(s.vmo, 1);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.m.supply(s.pager, s.vmo, 0..1, 5).unwrap();
        assert_eq!(s.m.read_bytes(&mut reader), [5]);
        let mut reader = s.m.reader(via, clone, 0..1);
        assert_eq!(s.m.read_bytes(&mut reader), [5]);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn clone_simultaneous_read() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let clone = s.clone_of(s.vmo, 1);
        let mut readers = [s.reader(via, 0..1), s.m.reader(via, clone, 0..1)];
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.m.supply(s.pager, s.vmo, 0..1, 5).unwrap();
        for reader in &mut readers {
            assert_eq!(s.m.read_bytes(reader), [5]);
        }
    }
}

#[test]
fn clone_simultaneous_child_read() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let clones = [s.clone_of(s.vmo, 1), s.clone_of(s.vmo, 1)];
        let mut readers = clones.map(|clone| s.m.reader(via, clone, 0..1));
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.m.supply(s.pager, s.vmo, 0..1, 5).unwrap();
        for reader in &mut readers {
            assert_eq!(s.m.read_bytes(reader), [5]);
        }
    }
}

#[test]
fn clone_write_to_clone_test() {
    for via in Via::BOTH {
        let mut s = scene(20);
        let clone = s.clone_of(s.vmo, 20);
        match via {
            Via::Read => {
                let root = std::mem::replace(&mut s.vmo, clone);
                let write = s.write(1..20, 9);
                s.vmo = root;
                assert_eq!(s.packets(), [Packet::Read(7, 1, 17)], "16 pages at once");
                s.supply(1..17);
                assert_eq!(s.packets(), [Packet::Read(7, 17, 20)]);
                s.supply(17..20);
                assert_eq!(s.m.status(write), Status::OK);
            }
            Via::Mapping => {
                let (at, thread) = (s.m.map(clone, 20), s.m.thread());
                for page in 1..20 {
                    let at = at + page * PAGE_SIZE;
                    let touch = s.m.touch(thread, at, Access::Write);
                    assert!(matches!(touch, Touch::Blocked(_)), "{touch:?}");
                    assert_eq!(s.packets(), [Packet::Read(7, page, page + 1)]);
                    s.supply(page..page + 1);
                    s.m.poke(at, &[9; PAGE_SIZE as usize]);
                }
            }
        }
        assert_eq!(s.m.page_bytes(clone, 1..20), [9; 19]);
        let roots: Vec<u8> = (1..20).collect();
        assert_eq!(s.m.page_bytes(s.vmo, 1..20), roots);
        assert_eq!((s.m.committed(s.vmo), s.m.committed(clone)), (19, 19));
        assert_eq!(s.dirty_ranges(), []);
        assert!(!s.was_modified());
    }
}

#[test]
fn clone_detach_test() {
    for via in Via::BOTH {
        let mut s = scene(3);
        s.supply(0..2);
        let clone = s.clone_of(s.vmo, 3);
        s.fill(clone, 0, 9);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        let mut forked = s.m.reader(via, clone, 0..1);
        assert_eq!(s.m.read_bytes(&mut forked), [9]);
        for page in [1, 2] {
            let mut lost = s.m.reader(via, clone, page..page + 1);
            assert_eq!(s.m.poll(&mut lost), Some(Err(Status::BAD_STATE)));
            if via == Via::Mapping {
                // The process is gone.
                break;
            }
        }
    }
}

/// Whoever waits through a clone learns of the end of its pager.
#[test]
fn clone_waits_until_detach() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let clone = s.clone_of(s.vmo, 1);
        let mut reader = s.m.reader(via, clone, 0..1);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
    }
}

/// Clones of a root without handles still page in through it, and the last one ends it.
#[test]
fn clone_of_a_closed_vmo() {
    let mut s = scene(2);
    let clone = s.clone_of(s.vmo, 2);
    s.supply(0..1);
    let aux = s.m.vmo(1);
    let thread = s.m.thread();
    let (token, _) = s.m.begin_read(thread, clone, 0, 2 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 1, 2)]);
    let supplied =
        s.m.pager_supply_pages(s.pager, s.vmo, PAGE_SIZE, PAGE_SIZE, aux, 0);
    supplied.unwrap();
    assert_eq!(s.m.status(token), Status::OK);
    s.m.handle_close(s.vmo).unwrap();
    assert_eq!(s.m.page_bytes(clone, 0..2), [0, 0]);
    assert_eq!(s.packets(), []);
    s.m.handle_close(clone).unwrap();
    assert_eq!(s.packets(), [Packet::Complete(7)]);
}

#[test]
fn clone_commit_test() {
    let mut s = scene(32);
    let clone = s.clone_of(s.vmo, 32);
    let commit = s.begin_on(clone, VmoOp::Commit, 0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 32)]);
    s.supply(0..32);
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!((s.m.committed(s.vmo), s.m.committed(clone)), (32, 32));
    assert_eq!(s.m.page_bytes(clone, 30..32), [30, 31]);
}

#[test]
fn clone_chain_commit_test() {
    let mut s = scene(32);
    let middle = s.clone_of(s.vmo, 32);
    let clone = s.clone_of(middle, 32);
    let commit = s.begin_on(clone, VmoOp::Commit, 0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 32)]);
    s.supply(0..32);
    assert_eq!(s.m.status(commit), Status::OK);
    let committed = [s.vmo, middle, clone].map(|vmo| s.m.committed(vmo));
    assert_eq!(committed, [32, 0, 32], "copied into the clone only");
}

#[test]
fn clone_split_commit_test() {
    let mut s = scene(4);
    s.supply(1..3);
    let clone = s.clone_of(s.vmo, 4);
    let commit = s.begin_on(clone, VmoOp::Commit, 0..4);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.supply(0..1);
    assert_eq!(s.packets(), [Packet::Read(7, 3, 4)]);
    s.supply(3..4);
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!(s.m.committed(clone), 4);
}

/// Commits all of a clone that has pages in its root, or of its own: one READ for each gap between them.
fn commit_batches(pages: u64, there: &[u64], batches: &[(u64, u64)]) {
    for forked in [false, true] {
        commit_batches_around(pages, there, forked, batches);
    }
}

fn commit_batches_around(pages: u64, there: &[u64], forked: bool, batches: &[(u64, u64)]) {
    let mut s = scene(pages);
    let clone = s.clone_of(s.vmo, pages);
    for &page in there {
        s.supply(page..page + 1);
        if forked {
            s.fill(clone, page, 200);
        }
    }
    assert_eq!(s.packets(), []);
    let commit = s.begin_on(clone, VmoOp::Commit, 0..pages);
    for &(start, end) in batches {
        assert_eq!(s.packets(), [Packet::Read(7, start, end)]);
        s.supply(start..end);
    }
    assert_eq!(s.packets(), []);
    assert_eq!(s.m.status(commit), Status::OK);
    assert_eq!(s.m.committed(clone), pages);
    let seen = s.m.page_bytes(clone, 0..pages);
    for (page, seen) in (0..pages).zip(seen) {
        let own = forked && there.contains(&page);
        assert_eq!(seen, if own { 200 } else { page as u8 });
    }
}

#[test]
fn clone_commit_single_batch() {
    commit_batches(4, &[], &[(0, 4)]);
}

#[test]
fn clone_commit_two_batches() {
    commit_batches(5, &[2], &[(0, 2), (3, 5)]);
}

#[test]
fn clone_commit_multiple_batches() {
    commit_batches(8, &[2, 5], &[(0, 2), (3, 5), (6, 8)]);
}

#[test]
fn clone_commit_random_batches() {
    for seed in 0..4u64 {
        let forked: Vec<u64> = (0..100)
            .filter(|page| (page * 37 + seed * 11) % 101 < 25)
            .collect();
        let mut batches = Vec::new();
        let mut start = 0;
        for &page in forked.iter().chain([&100]) {
            if start < page {
                batches.push((start, page));
            }
            start = page + 1;
        }
        commit_batches(100, &forked, &batches);
    }
}

/// Pages of a mapped clone that it is cut by can no longer be touched.
#[test]
fn clone_resize_clone_hazard() {
    let mut s = scene(2);
    s.supply(0..2);
    let size = 2 * PAGE_SIZE;
    let clone = s.m.vmo_create_child(s.vmo, RESIZABLE_CLONE, 0, size);
    let clone = clone.unwrap();
    let at = s.m.map(clone, 2);
    s.m.poke(at, &[9]);
    let thread = s.m.thread();
    assert_eq!(s.m.touch(thread, at + PAGE_SIZE, Access::Read), Touch::Done);
    s.m.vmo_set_size(clone, 0).unwrap();
    let touch = s.m.touch(thread, at + PAGE_SIZE, Access::Read);
    assert_eq!(touch, Touch::Fatal(Status::OUT_OF_RANGE));
}

#[test]
fn clone_resize_parent_ok() {
    let mut s = scene_with(2, RESIZABLE);
    s.m.supply(s.pager, s.vmo, 0..2, 1).unwrap();
    let clone = s.clone_of(s.vmo, 2);
    let at = s.m.map(clone, 2);
    let thread = s.m.thread();
    assert_eq!(s.m.touch(thread, at + PAGE_SIZE, Access::Read), Touch::Done);
    s.m.vmo_set_size(s.vmo, 0).unwrap();
    assert_eq!(s.m.touch(thread, at + PAGE_SIZE, Access::Read), Touch::Done);
    assert_eq!(s.m.peek(at + PAGE_SIZE, 1), [0]);
    assert_eq!(s.packets(), []);
}

#[test]
fn clone_shrink_grow_parent() {
    // Root's pages, the clone's, the clone's page that is looked at, the size that the root shrinks to.
    for (pages, clone, probe, shrunk) in [
        (2, 0..2, 1, 1),
        (2, 1..2, 0, 1),
        (3, 1..3, 1, 2),
        (2, 0..2, 1, 0),
    ] {
        let mut s = scene_with(pages, RESIZABLE);
        let vmo = s.clone_at(s.vmo, clone.clone());
        s.m.supply(s.pager, s.vmo, 0..pages, 10).unwrap();
        let probed = probe..probe + 1;
        let live = (clone.start + probe) as u8 + 10;
        assert_eq!(s.m.page_bytes(vmo, probed.clone()), [live]);
        s.m.vmo_set_size(s.vmo, shrunk * PAGE_SIZE).unwrap();
        assert_eq!(s.m.page_bytes(vmo, probed.clone()), [0]);
        s.m.vmo_set_size(s.vmo, pages * PAGE_SIZE).unwrap();
        s.m.supply(s.pager, s.vmo, 0..pages, 20).unwrap();
        s.fill(s.vmo, pages - 1, 77);
        assert_eq!(s.m.page_bytes(vmo, probed), [0]);
        assert_eq!(s.packets(), []);
    }
}

/// A read that waits for pages that the root is cut by goes on with zeros.
#[test]
fn clone_reads_zeros_where_its_root_was_cut() {
    for via in Via::BOTH {
        let mut s = scene_with(2, RESIZABLE);
        let clone = s.clone_of(s.vmo, 2);
        let mut reader = s.m.reader(via, clone, 1..2);
        assert_eq!(s.packets(), [Packet::Read(7, 1, 2)]);
        s.m.vmo_set_size(s.vmo, PAGE_SIZE).unwrap();
        assert_eq!(s.m.read_bytes(&mut reader), [0]);
    }
}

#[test]
fn eviction_hints_with_clones() {
    let mut s = scene(10);
    let clone = s.clone_of(s.vmo, 10);
    s.do_on(clone, VmoOp::Zero, 2..3);
    let below = s.clone_of(clone, 10);
    s.do_on(below, VmoOp::Zero, 6..7);
    s.do_on(below, VmoOp::DontNeed, 0..10);
    assert_eq!(s.packets(), []);
    let hint = s.begin_on(below, VmoOp::AlwaysNeed, 0..10);
    for (start, end) in [(0, 2), (3, 6), (7, 10)] {
        assert_eq!(s.packets(), [Packet::Read(7, start, end)]);
        s.supply(start..end);
    }
    assert_eq!(s.m.status(hint), Status::OK);
    assert_eq!(s.m.committed(s.vmo), 8);
    assert_eq!((s.m.committed(clone), s.m.committed(below)), (0, 0));
    s.do_on(below, VmoOp::DontNeed, 0..10);
    s.do_on(below, VmoOp::AlwaysNeed, 0..10);
    assert_eq!(s.packets(), []);
}

#[test]
fn prefetch_of_a_clone() {
    let mut s = scene(3);
    s.supply(1..2);
    let clone = s.clone_of(s.vmo, 3);
    s.fill(clone, 1, 9);
    let prefetch = s.begin_on(clone, VmoOp::Prefetch, 0..3);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.supply(0..1);
    assert_eq!(s.packets(), [Packet::Read(7, 2, 3)]);
    s.supply(2..3);
    assert_eq!(s.m.status(prefetch), Status::OK);
    assert_eq!((s.m.committed(s.vmo), s.m.committed(clone)), (3, 1));
}

/// A read that is woken early finds pages of the clone's own, and asks anew for what is missing behind them.
#[test]
fn early_wake_clone_race() {
    let mut s = scene(8);
    let clone = s.clone_of(s.vmo, 8);
    let thread = s.m.thread();
    let (token, buffer) = s.m.begin_read(thread, clone, 0, 8 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 8)]);
    s.do_on(clone, VmoOp::Zero, 1..4);
    s.m.supply(s.pager, s.vmo, 0..1, 1).unwrap();
    assert_eq!(s.packets(), [Packet::Read(7, 4, 8)], "behind the forks");
    s.m.supply(s.pager, s.vmo, 4..8, 1).unwrap();
    assert_eq!(s.m.status(token), Status::OK);
    let seen = s.m.peek(buffer, 8 * PAGE_SIZE);
    let seen: Vec<u8> = seen.chunks(4096).map(|page| page[0]).collect();
    assert_eq!(seen, [1, 0, 0, 0, 5, 6, 7, 8]);
    assert_eq!(s.packets(), []);
}
