//! Clones of a pager's VMO.

use test_guests::{Outcome, Via, equal};
use zx::{ChildOptions, Mapping, PAGE_SIZE, Status, Vmo, VmoOp, VmoOptions};

use crate::act::Deed;
use crate::scene::{Complete, Read, scene, scene_with};

const ALOW: ChildOptions = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;
const PAGE: usize = PAGE_SIZE as usize;

fn clone_read_from_clone(via: Via) -> Outcome {
    let s = scene(1)?;
    let clone = s.child(ALOW, 0..1)?;
    let reader = s.read_of(&clone, via, 0..1, 0)?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    reader.ends(Status::OK)
}

fn clone_read_from_parent(via: Via) -> Outcome {
    let s = scene(1)?;
    let clone = s.child(ALOW, 0..1)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    reader.ends(Status::OK)?;
    s.read_of(&clone, via, 0..1, 0)?.ends(Status::OK)?;
    s.packets(&[])
}

fn clone_simultaneous_read(via: Via) -> Outcome {
    let s = scene(1)?;
    let clone = s.child(ALOW, 0..1)?;
    let (one, two) = (s.read(via, 0..1)?, s.read_of(&clone, via, 0..1, 0)?);
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    one.ends(Status::OK)?;
    two.ends(Status::OK)
}

fn clone_simultaneous_child_read(via: Via) -> Outcome {
    let s = scene(1)?;
    let clones = [s.child(ALOW, 0..1)?, s.child(ALOW, 0..1)?];
    let one = s.read_of(&clones[0], via, 0..1, 0)?;
    let two = s.read_of(&clones[1], via, 0..1, 0)?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    one.ends(Status::OK)?;
    two.ends(Status::OK)
}

/// A mapped write in the clone asks for the root's page; the root stays as it is.
fn clone_write_to_clone(via: Via) -> Outcome {
    let s = scene(2)?;
    let clone = s.child(ALOW, 0..2)?;
    let write = s.act_on(
        &clone,
        match via {
            Via::Read => Deed::Write((1, 2), 9),
            Via::Mapping => Deed::Store((1, 2), 9),
        },
    )?;
    s.packets(&[Read(1, 2)])?;
    s.supply(0..2)?;
    write.ends(Status::OK)?;
    s.bytes_are(&s.vmo, 0, &[0, 1])?;
    s.bytes_are(&clone, 0, &[0, 9])?;
    equal!(s.committed(&clone)?, 1);
    equal!(s.committed(&s.vmo)?, 2);
    s.dirty_are(&[])?;
    equal!(s.was_modified()?, false);
    Ok(())
}

fn clone_detach() -> Outcome {
    let s = scene(3)?;
    let clone = s.child(ALOW, 0..3)?;
    s.supply(0..2)?;
    clone.write(&[9; PAGE], 0)?;
    s.detach()?;
    s.bytes_are(&clone, 0, &[9])?;
    for page in [1, 2] {
        for via in [Via::Read, Via::Mapping] {
            s.read_of(&clone, via, page..page + 1, 0)?
                .ends(Status::BAD_STATE)?;
        }
    }
    Ok(())
}

/// Whoever waits through a clone learns of the end of its pager.
fn clone_waits_until_detach(via: Via) -> Outcome {
    let s = scene(1)?;
    let clone = s.child(ALOW, 0..1)?;
    let reader = s.read_of(&clone, via, 0..1, 0)?;
    reader.waits()?;
    s.detach()?;
    reader.ends(Status::BAD_STATE)?;
    s.packets(&[Complete])
}

/// A read that waits for pages that the root is cut by goes on with zeros.
fn clone_reads_zeros_where_its_root_was_cut(via: Via) -> Outcome {
    let s = scene_with(2, VmoOptions::RESIZABLE)?;
    let clone = s.child(ALOW, 0..2)?;
    // What is read is zero, which is the page's number less one.
    let reader = s.read_of(&clone, via, 1..2, u8::MAX)?;
    s.packets(&[Read(1, 2)])?;
    s.vmo.set_size(PAGE_SIZE)?;
    reader.ends(Status::OK)?;
    s.packets(&[])
}

/// A clone of a root without handles still pages in through it; with the last one it ends.
fn clone_of_a_closed_vmo() -> Outcome {
    for pager_first in [false, true] {
        let mut s = scene(2)?;
        let clone = s.child(ALOW, 0..2)?;
        s.supply(1..2)?;
        drop(core::mem::replace(&mut s.vmo, Vmo::create(PAGE_SIZE)?));
        s.bytes_are(&clone, 1, &[1])?;
        s.packets(&[])?;
        if pager_first {
            let reader = s.read_of(&clone, Via::Read, 0..1, 0)?;
            s.packets(&[Read(0, 1)])?;
            s.close_pager()?;
            reader.ends(Status::BAD_STATE)?;
        }
        drop(clone);
        s.packets(if pager_first { &[] } else { &[Complete] })?;
    }
    Ok(())
}

/// COMMIT of a clone: one READ, and the pages are the clone's.
fn clone_commit() -> Outcome {
    let s = scene(32)?;
    let clone = s.child(ALOW, 0..32)?;
    let commit = s.op_on(&clone, VmoOp::Commit, 0..32)?;
    s.packets(&[Read(0, 32)])?;
    s.supply(0..32)?;
    commit.ends(Status::OK)?;
    equal!(s.committed(&clone)?, 32);
    equal!(s.committed(&s.vmo)?, 32);
    let reader = s.read_of(&clone, Via::Mapping, 0..32, 0)?;
    reader.ends(Status::OK)
}

fn clone_chain_commit() -> Outcome {
    let s = scene(32)?;
    let middle = s.child(ALOW, 0..32)?;
    let clone = middle.create_child(ALOW, 0, 32 * PAGE_SIZE)?;
    let commit = s.op_on(&clone, VmoOp::Commit, 0..32)?;
    s.packets(&[Read(0, 32)])?;
    s.supply(0..32)?;
    commit.ends(Status::OK)?;
    equal!(s.committed(&clone)?, 32);
    equal!(s.committed(&middle)?, 0);
    Ok(())
}

fn clone_split_commit() -> Outcome {
    let s = scene(4)?;
    s.supply(1..3)?;
    let clone = s.child(ALOW, 0..4)?;
    let commit = s.op_on(&clone, VmoOp::Commit, 0..4)?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    s.packets(&[Read(3, 4)])?;
    s.supply(3..4)?;
    commit.ends(Status::OK)
}

/// COMMIT of a clone of `pages` pages, some of which its root has or the clone itself: a READ for each run of the others.
fn clone_commit_batches(pages: u64, is_there: impl Fn(u64) -> bool) -> Outcome {
    commit_batches(pages, &is_there, false)?;
    commit_batches(pages, &is_there, true)
}

fn commit_batches(pages: u64, is_there: impl Fn(u64) -> bool, forked: bool) -> Outcome {
    let s = scene(pages)?;
    let clone = s.child(ALOW, 0..pages)?;
    for page in (0..pages).filter(|page| is_there(*page)) {
        s.supply(page..page + 1)?;
        if forked {
            clone.write(&[page as u8], page * PAGE_SIZE)?;
        }
    }
    let commit = s.op_on(&clone, VmoOp::Commit, 0..pages)?;
    let mut first = 0;
    while first < pages {
        let end = (first..pages).find(|page| is_there(*page)).unwrap_or(pages);
        if first < end {
            s.packets(&[Read(first, end)])?;
            s.supply(first..end)?;
        }
        first = end + 1;
    }
    commit.ends(Status::OK)?;
    equal!(s.committed(&clone)?, pages);
    s.read_of(&clone, Via::Read, 0..pages, 0)?.ends(Status::OK)
}

fn clone_commit_single_batch() -> Outcome {
    clone_commit_batches(4, |_| false)
}

fn clone_commit_two_batches() -> Outcome {
    clone_commit_batches(5, |page| page == 2)
}

fn clone_commit_multiple_batches() -> Outcome {
    clone_commit_batches(8, |page| page == 2 || page == 5)
}

/// A quarter of 100 pages is there.
fn clone_commit_random_batches() -> Outcome {
    clone_commit_batches(100, |page| {
        page.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 == 0
    })
}

fn clone_resize_clone_hazard() -> Outcome {
    let s = scene(2)?;
    s.supply(0..2)?;
    let clone = s.child(ALOW | ChildOptions::RESIZABLE, 0..2)?;
    let mapping = Mapping::read_only(&clone, 0, 2 * PAGE)?;
    equal!(mapping.word(PAGE)?, 0x0101_0101_0101_0101);
    clone.set_size(0)?;
    s.read_of(&clone, Via::Read, 0..1, 0)?
        .ends(Status::OUT_OF_RANGE)?;
    s.read_of(&clone, Via::Mapping, 0..1, 0)?
        .ends(Status::OUT_OF_RANGE)
}

fn clone_resize_parent_ok() -> Outcome {
    let s = scene_with(2, VmoOptions::RESIZABLE)?;
    s.supply(0..2)?;
    let clone = s.child(ALOW, 0..2)?;
    let mapping = Mapping::read_only(&clone, 0, 2 * PAGE)?;
    equal!(mapping.word(PAGE)?, 0x0101_0101_0101_0101);
    s.vmo.set_size(PAGE_SIZE)?;
    equal!(mapping.word(PAGE)?, 0);
    equal!(mapping.word(0)?, 0);
    s.bytes_are(&clone, 0, &[0, 0])
}

/// After shrinking, growing and supplying the root again, a clone still reads zeros there, wherever it begins.
fn clone_shrink_grow_parent() -> Outcome {
    // Root's pages, the clone's, the clone's page that is looked at, the size that the root shrinks to.
    for (pages, (first, end), probe, shrunk) in [
        (2, (0, 2), 1, 1),
        (2, (1, 2), 0, 1),
        (3, (1, 3), 1, 2),
        (2, (0, 2), 1, 0),
    ] {
        let s = scene_with(pages, VmoOptions::RESIZABLE)?;
        let clone = s.child(ALOW, first..end)?;
        s.supply(0..pages)?;
        let mapping = Mapping::read_only(&clone, 0, (end - first) as usize * PAGE)?;
        let at = probe as usize * PAGE;
        equal!(mapping.word(at)?.to_le_bytes(), [(first + probe) as u8; 8]);
        s.vmo.set_size(shrunk * PAGE_SIZE)?;
        equal!(mapping.word(at)?, 0);
        s.vmo.set_size(pages * PAGE_SIZE)?;
        s.supply(0..pages)?;
        s.vmo.write(&[77; PAGE], (pages - 1) * PAGE_SIZE)?;
        equal!(mapping.word(at)?, 0);
        s.bytes_are(&clone, probe, &[0])?;
        s.packets(&[])?;
    }
    keeps_its_own_page()
}

/// A page of the clone's own stays, and the root gets what its pager supplies.
fn keeps_its_own_page() -> Outcome {
    let s = scene_with(3, VmoOptions::RESIZABLE)?;
    s.supply(0..3)?;
    let clone = s.child(ALOW, 0..3)?;
    clone.write(&[9; PAGE], PAGE_SIZE)?;
    let mapping = Mapping::read_only(&clone, 0, 3 * PAGE)?;
    equal!(mapping.word(2 * PAGE)?, 0x0202_0202_0202_0202);
    s.vmo.set_size(0)?;
    s.vmo.set_size(3 * PAGE_SIZE)?;
    s.begin(0..3)?;
    s.end(0..3)?;
    s.supply(0..3)?;
    s.bytes_are(&clone, 0, &[0, 9, 0])?;
    equal!(mapping.word(2 * PAGE)?, 0);
    s.bytes_are(&s.vmo, 0, &[0, 1, 2])
}

/// An unwritten page shows the root's later writes, through mappings as well; a written one does not.
fn clone_sees_later_writes() -> Outcome {
    let s = scene(2)?;
    s.supply(0..2)?;
    let clone = s.child(ALOW, 0..2)?;
    let (root, child) = (
        Mapping::read_write(&s.vmo, 0, 2 * PAGE)?,
        Mapping::read_write(&clone, 0, 2 * PAGE)?,
    );
    equal!(child.word(PAGE)?, 0x0101_0101_0101_0101);
    root.set_word(PAGE, 5)?;
    equal!(child.word(PAGE)?, 5);
    child.set_word(PAGE, 6)?;
    root.set_word(PAGE, 7)?;
    equal!(child.word(PAGE)?, 6);
    equal!(root.word(PAGE)?, 7);
    s.dirty_are(&[(1, 2, false)])
}

/// A full snapshot of an anonymous VMO: neither side sees the other's later writes, whichever way they come.
fn snapshot_both_ways() -> Outcome {
    let vmo = Vmo::create(3 * PAGE_SIZE)?;
    let parent = Mapping::read_write(&vmo, 0, 3 * PAGE)?;
    parent.set_word(0, 1)?;
    parent.set_word(PAGE, 2)?;
    let snapshot = vmo.create_child(ChildOptions::SNAPSHOT, 0, 3 * PAGE_SIZE)?;
    let child = Mapping::read_write(&snapshot, 0, 3 * PAGE)?;
    equal!(
        (child.word(0)?, child.word(PAGE)?, child.word(2 * PAGE)?),
        (1, 2, 0)
    );
    parent.set_word(0, 10)?;
    child.set_word(PAGE, 20)?;
    child.set_word(2 * PAGE, 30)?;
    equal!(
        (parent.word(0)?, parent.word(PAGE)?, parent.word(2 * PAGE)?),
        (10, 2, 0)
    );
    equal!(
        (child.word(0)?, child.word(PAGE)?, child.word(2 * PAGE)?),
        (1, 20, 30)
    );
    let second = vmo.create_child(ChildOptions::SNAPSHOT, 0, 3 * PAGE_SIZE)?;
    let third = Mapping::read_only(&second, 0, 3 * PAGE)?;
    parent.set_word(PAGE, 200)?;
    equal!(
        (third.word(0)?, third.word(PAGE)?, third.word(2 * PAGE)?),
        (10, 2, 0)
    );
    drop((child, snapshot));
    equal!((parent.word(0)?, parent.word(PAGE)?), (10, 200));
    equal!((third.word(0)?, third.word(PAGE)?), (10, 2));
    drop((third, second));
    parent.set_word(2 * PAGE, 300)?;
    equal!(
        (parent.word(0)?, parent.word(PAGE)?, parent.word(2 * PAGE)?),
        (10, 200, 300)
    );
    Ok(())
}

crate::scenarios! {
    "CloneDetachTest" clone_detach
    "CloneCommitTest" clone_commit
    "CloneChainCommitTest" clone_chain_commit
    "CloneSplitCommitTest" clone_split_commit
    "CloneCommitSingleBatch" clone_commit_single_batch
    "CloneCommitTwoBatches" clone_commit_two_batches
    "CloneCommitMultipleBatches" clone_commit_multiple_batches
    "CloneCommitRandomBatches" clone_commit_random_batches
    "CloneResizeCloneHazard" clone_resize_clone_hazard
    "CloneResizeParentOK" clone_resize_parent_ok
    "CloneShrinkGrowParent" clone_shrink_grow_parent
    "CloneOfAClosedVmo" clone_of_a_closed_vmo
    "CloneSeesLaterWrites" clone_sees_later_writes
    "SnapshotBothWays" snapshot_both_ways;
    reading
    "CloneReadFromClone" clone_read_from_clone
    "CloneReadFromParent" clone_read_from_parent
    "CloneSimultaneousRead" clone_simultaneous_read
    "CloneSimultaneousChildRead" clone_simultaneous_child_read
    "CloneWriteToCloneTest" clone_write_to_clone
    "CloneWaitsUntilDetach" clone_waits_until_detach
    "CloneReadsZerosWhereItsRootWasCut" clone_reads_zeros_where_its_root_was_cut;
    writing;
}
