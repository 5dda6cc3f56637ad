//! Clones of clones of a pager's VMO.

use test_guests::pages::PAGE;
use test_guests::{Outcome, equal};
use zx::{AsHandleRef, ChildOptions, Mapping, PAGE_SIZE, Status, Vmo, VmoOp};

use crate::act::Deed;
use crate::scene::{Read, Scene, scene};

const ALOW: ChildOptions = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;

/// What an intermediate clone forks later may be seen or not; what it had forked before is.
fn clone_might_see_intermediate_forks() -> Outcome {
    let s = scene(2)?;
    s.supply(0..2)?;
    let middle = s.child(ALOW, 0..2)?;
    middle.write(&[8; PAGE], 0)?;
    let clone = middle.create_child(ALOW, 0, 2 * PAGE_SIZE)?;
    s.bytes_are(&clone, 0, &[8, 1])?;
    middle.write(&[9; PAGE], PAGE_SIZE)?;
    let mut byte = [0];
    clone.read(&mut byte, PAGE_SIZE)?;
    test_guests::check!(byte == [1] || byte == [9]);
    clone.write(&[7; PAGE], PAGE_SIZE)?;
    middle.write(&[6; PAGE], PAGE_SIZE)?;
    s.bytes_are(&clone, 0, &[8, 7])?;
    s.bytes_are(&s.vmo, 0, &[0, 1])
}

/// An intermediate clone's forks cut the batches.
fn page_request_batching_checks_ancestor_pages() -> Outcome {
    let s = scene(8)?;
    let middle = s.child(ALOW, 0..8)?;
    middle.op_range(VmoOp::Zero, PAGE_SIZE..3 * PAGE_SIZE)?;
    let clone = middle.create_child(ALOW, 0, 8 * PAGE_SIZE)?;
    clone.op_range(VmoOp::Zero, 5 * PAGE_SIZE..8 * PAGE_SIZE)?;
    let slice = clone.create_child(ChildOptions::SLICE, 0, 8 * PAGE_SIZE)?;
    let buffer = Vmo::create(8 * PAGE_SIZE)?;
    let reader = s.act_on(&slice, Deed::ReadInto((0, 8), buffer.raw_handle()))?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    s.packets(&[Read(3, 5)])?;
    s.supply(3..5)?;
    reader.ends(Status::OK)?;
    s.bytes_are(&buffer, 0, &[0, 0, 0, 3, 4, 0, 0, 0])?;
    equal!(s.committed(&s.vmo)?, 3);
    Ok(())
}

/// Pages of a clone hold these bytes, whichever way they are read.
fn shows(s: &Scene, clone: &Vmo, expected: &[u8]) -> Outcome {
    s.bytes_are(clone, 0, expected)?;
    let mapping = Mapping::read_only(clone, 0, expected.len() * PAGE)?;
    for (page, expected) in (0..).zip(expected) {
        equal!(mapping.word(page * PAGE)?.to_le_bytes(), [*expected; 8]);
    }
    Ok(())
}

/// Six clones in a chain: the limits of each clip what those below it see, at both ends; one that is larger than what it shows
/// is zero behind that, whether or not the one above has pages of its own.
fn clone_sees_correct_parent_pages() -> Outcome {
    for forks in [0, 0b10_1010, 0b11_1111] {
        let s = scene(16)?;
        s.supply(0..16)?;
        let (mut parent, mut first, mut end) = (s.child(ALOW, 0..16)?, 0u64, 16u64);
        for level in 0..6 {
            // One page less at the start, and larger than what it shows.
            let size = (end - first) * PAGE_SIZE;
            let clone = parent.create_child(ALOW, PAGE_SIZE, size)?;
            first += 1;
            let count = (end - first) as usize;
            let mut bytes = [0; 17];
            for (page, byte) in (first..end).zip(&mut bytes) {
                *byte = page as u8;
            }
            shows(&s, &clone, bytes.get(..=count).unwrap_or_default())?;
            if forks & 1 << level != 0 {
                clone.write(&[first as u8; PAGE], 0)?;
            }
            // One page less at the end.
            end -= 1;
            parent = clone.create_child(ALOW, 0, (end - first) * PAGE_SIZE)?;
        }
        let last = parent.create_child(ALOW, 0, 8 * PAGE_SIZE)?;
        shows(&s, &last, &[6, 7, 8, 9, 0, 0, 0, 0])?;
        s.packets(&[])?;
    }
    Ok(())
}

fn deep_hierarchy() -> Outcome {
    let s = scene(1)?;
    s.supply(0..1)?;
    let mut last = s.child(ALOW, 0..1)?;
    for _ in 0..1000 {
        last = last.create_child(ALOW, 0, PAGE_SIZE)?;
    }
    s.bytes_are(&last, 0, &[0])
}

crate::scenarios! {
    "CloneMightSeeIntermediateForks" clone_might_see_intermediate_forks
    "PageRequestBatchingChecksAncestorPages" page_request_batching_checks_ancestor_pages
    "CloneSeesCorrectParentPages" clone_sees_correct_parent_pages
    "DeepHierarchy" deep_hierarchy;
    reading;
    writing;
}
