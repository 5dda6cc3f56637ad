//! Scenarios of clones of clones of a pager's VMO.

use protocol::options::VmoOp;

use super::{RESIZABLE, Scene, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status};

const SLICE: u32 = 8;

/// What a clone in between writes after the clone below was made may be seen there, or not: here it is not.
#[test]
fn clone_might_see_intermediate_forks() {
    for fork_first in [false, true] {
        let mut s = scene(4);
        s.supply(0..4);
        let middle = s.clone_of(s.vmo, 4);
        if fork_first {
            s.fill(middle, 1, 20);
        }
        let below = s.clone_of(middle, 4);
        s.fill(middle, 2, 30);
        let own = if fork_first { 20 } else { 1 };
        assert_eq!(s.m.page_bytes(below, 0..4), [0, own, 2, 3]);
        assert_eq!(s.m.page_bytes(middle, 0..4), [0, own, 30, 3]);
        s.fill(s.vmo, 3, 40);
        assert_eq!(s.m.page_bytes(below, 3..4), [40], "the root is live");
        s.fill(below, 3, 50);
        assert_eq!(s.m.page_bytes(middle, 3..4), [40]);
    }
}

/// Each clone of a chain clips what those below it see, at both ends, whether or not one in between owns pages.
#[test]
fn clone_sees_correct_parent_pages() {
    for forks in [0u32, 0b10_1010, 0b11_1111] {
        let mut s = scene_with(16, RESIZABLE);
        s.supply(0..16);
        let (mut parent, mut first, mut end) = (s.vmo, 0, 16);
        for level in 0..6 {
            // One page less at the start, and larger than what it shows.
            let clone = s.clone_at(parent, 1..end - first + 1);
            first += 1;
            assert_eq!(clone_content(&mut s, clone), expected(first, end));
            // One page less at the end.
            let narrow = s.clone_at(clone, 0..end - first - 1);
            end -= 1;
            if forks & 1 << level != 0 {
                s.fill(narrow, 0, first as u8);
            }
            let wide = s.clone_at(narrow, 0..end - first);
            parent = wide;
        }
        let last = s.clone_at(parent, 0..16);
        let mut content: Vec<u8> = (first as u8..end as u8).collect();
        content.resize(16, 0);
        assert_eq!(s.m.page_bytes(last, 0..16), content);
        assert_eq!(s.packets(), []);
    }
}

fn clone_content(s: &mut Scene, vmo: u32) -> Vec<u8> {
    let pages = s.m.vmo_get_size(vmo).unwrap() / PAGE_SIZE;
    s.m.page_bytes(vmo, 0..pages)
}

/// What shows of the root, then one page that its parent did not have.
fn expected(first: u64, end: u64) -> Vec<u8> {
    let mut content: Vec<u8> = (first as u8..end as u8).collect();
    content.push(0);
    content
}

#[test]
fn page_request_batching_checks_ancestor_pages() {
    let mut s = scene(8);
    let clone = s.clone_of(s.vmo, 8);
    let grandclone = s.clone_of(clone, 8);
    s.do_on(grandclone, VmoOp::Zero, 5..8);
    // Made last, so that it sees the fork of the one in between.
    s.do_on(clone, VmoOp::Zero, 1..3);
    let below = s.clone_of(clone, 8);
    s.do_on(below, VmoOp::Zero, 5..8);
    let size = 8 * PAGE_SIZE;
    let slice = s.m.vmo_create_child(below, SLICE, 0, size).unwrap();
    let thread = s.m.thread();
    let (token, buffer) = s.m.begin_read(thread, slice, 0, 8 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.m.supply(s.pager, s.vmo, 0..1, 1).unwrap();
    assert_eq!(s.packets(), [Packet::Read(7, 3, 5)]);
    s.m.supply(s.pager, s.vmo, 3..5, 1).unwrap();
    assert_eq!(s.m.status(token), Status::OK);
    let seen = s.m.peek(buffer, 8 * PAGE_SIZE);
    let seen: Vec<u8> = seen.chunks(4096).map(|page| page[0]).collect();
    assert_eq!(seen, [1, 0, 0, 4, 5, 0, 0, 0]);
}

#[test]
fn deep_hierarchy() {
    let mut s = scene(1);
    s.m.unchecked = true;
    s.m.supply(s.pager, s.vmo, 0..1, 5).unwrap();
    let mut clones = vec![s.vmo];
    for _ in 0..1000 {
        let parent = clones.last().copied().unwrap();
        clones.push(s.clone_of(parent, 1));
    }
    let last = clones.pop().unwrap();
    assert_eq!(s.m.page_bytes(last, 0..1), [5]);
    for clone in clones {
        s.m.handle_close(clone).unwrap();
    }
    assert_eq!(s.m.page_bytes(last, 0..1), [5]);
    s.m.handle_close(last).unwrap();
    assert_eq!(s.packets(), [Packet::Complete(7)]);
}
