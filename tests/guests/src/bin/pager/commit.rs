//! COMMIT: which requests it sends, and what answers them.

use test_guests::{Failure, Outcome, equal};
use zx::{PAGE_SIZE, Status, VmoOp, VmoOptions};

use crate::act::Act;
use crate::scene::{Dirty, Read, Scene, scene, scene_with};

/// As many acts as fit.
struct Acts([Option<Act>; 36]);

impl Acts {
    /// Commits of `length` pages each, one after the other.
    fn commits(s: &Scene, count: u64, length: u64) -> Result<Acts, Failure> {
        let mut acts = Acts([const { None }; 36]);
        for (at, slot) in (0..count).zip(&mut acts.0) {
            *slot = Some(s.commit(at * length..(at + 1) * length)?);
        }
        Ok(acts)
    }

    fn end(self, expected: Status) -> Outcome {
        self.0
            .into_iter()
            .flatten()
            .try_for_each(|act| act.ends(expected))
    }
}

fn simple_commit() -> Outcome {
    let s = scene(555)?;
    let commit = s.commit(0..555)?;
    s.packets(&[Read(0, 555)])?;
    s.supply(0..555)?;
    commit.ends(Status::OK)?;
    s.dirty_are(&[])
}

fn split_commit() -> Outcome {
    let s = scene(33)?;
    s.supply(16..17)?;
    let commit = s.commit(0..33)?;
    s.packets(&[Read(0, 16)])?;
    s.supply(0..16)?;
    s.packets(&[Read(17, 33)])?;
    s.supply(17..33)?;
    commit.ends(Status::OK)
}

fn present_page_splits_range() -> Outcome {
    let s = scene(5)?;
    s.supply(2..3)?;
    let commit = s.commit(0..5)?;
    s.packets(&[Read(0, 2)])?;
    s.supply(0..2)?;
    s.packets(&[Read(3, 5)])?;
    s.supply(3..5)?;
    commit.ends(Status::OK)
}

fn overlap_commit() -> Outcome {
    let s = scene(32)?;
    let (first, second) = (s.commit(8..24)?, s.commit(0..32)?);
    s.packets(&[Read(8, 24), Read(0, 8)])?;
    s.supply(0..24)?;
    first.ends(Status::OK)?;
    s.packets(&[Read(24, 32)])?;
    s.supply(24..32)?;
    second.ends(Status::OK)
}

fn overlap_commit_supply() -> Outcome {
    let s = scene(105)?;
    let sevens = Acts::commits(&s, 15, 7)?;
    let fives = Acts::commits(&s, 21, 5)?;
    for at in 0..35 {
        s.supply(at * 3..at * 3 + 3)?;
    }
    sevens.end(Status::OK)?;
    fives.end(Status::OK)
}

fn multisupply_commit() -> Outcome {
    let s = scene(32)?;
    let commit = s.commit(0..32)?;
    s.packets(&[Read(0, 32)])?;
    for page in 0..32 {
        commit.waits()?;
        s.supply(page..page + 1)?;
    }
    commit.ends(Status::OK)?;
    s.packets(&[])
}

fn multicommit_supply() -> Outcome {
    let s = scene(35)?;
    let commits = Acts::commits(&s, 5, 7)?;
    s.packets(&[
        Read(0, 7),
        Read(7, 14),
        Read(14, 21),
        Read(21, 28),
        Read(28, 35),
    ])?;
    for at in 0..7 {
        s.supply(at * 5..at * 5 + 5)?;
    }
    commits.end(Status::OK)
}

fn commit_redundant_supply() -> Outcome {
    let s = scene(8)?;
    let commit = s.commit(0..8)?;
    for end in 1..=8 {
        commit.waits()?;
        s.supply(0..end)?;
    }
    commit.ends(Status::OK)
}

fn resize_commit() -> Outcome {
    let s = scene_with(3, VmoOptions::RESIZABLE)?;
    let commit = s.commit(0..3)?;
    s.packets(&[Read(0, 3)])?;
    s.supply(2..3)?;
    s.vmo.set_size(PAGE_SIZE)?;
    commit.waits()?;
    s.supply(0..1)?;
    commit.ends(Status::OK)?;
    s.packets(&[])
}

fn decommit() -> Outcome {
    let s = scene(2)?;
    s.supply(0..1)?;
    let clone = s.child(zx::ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0..2)?;
    for vmo in [&s.vmo, &clone] {
        let result = vmo.op_range(VmoOp::Decommit, 0..PAGE_SIZE);
        equal!(result, Err(Status::NOT_SUPPORTED));
    }
    Ok(())
}

fn commit_extended_tail(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options | VmoOptions::RESIZABLE)?;
    s.supply(0..2)?;
    s.vmo.set_size(4 * PAGE_SIZE)?;
    s.dirty_are(&[(2, 4, true)])?;
    let commit = s.commit(0..4)?;
    if options == VmoOptions::TRAP_DIRTY {
        s.packets(&[Dirty(2, 4)])?;
        s.dirty(2..4)?;
    }
    commit.ends(Status::OK)?;
    s.packets(&[])?;
    s.dirty_are(&[(2, 4, false)])?;
    equal!(s.committed(&s.vmo)?, 4);
    Ok(())
}

crate::scenarios! {
    "SimpleCommitTest" simple_commit
    "SplitCommitTest" split_commit
    "PresentPageSplitsRange" present_page_splits_range
    "OverlapCommitTest" overlap_commit
    "OverlapCommitSupplyTest" overlap_commit_supply
    "MultisupplyCommitTest" multisupply_commit
    "MulticommitSupplyTest" multicommit_supply
    "CommitRedundantSupplyTest" commit_redundant_supply
    "ResizeCommitTest" resize_commit
    "DecommitTest" decommit;
    reading;
    writing "CommitExtendedTail" commit_extended_tail;
}
