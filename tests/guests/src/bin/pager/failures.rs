//! Requests that a pager fails.

use test_guests::{Outcome, Via, equal};
use zx::{PAGE_SIZE, Status, VmoOp, VmoOptions};

use crate::act::Deed;
use crate::scene::{Dirty, KEY, Packet, Read, scene, scene_with};

const IO: Status = Status::IO;

/// Every error that a pager may give.
const CODES: [Status; 5] = [
    Status::IO,
    Status::IO_DATA_INTEGRITY,
    Status::BAD_STATE,
    Status::NO_SPACE,
    Status::BUFFER_TOO_SMALL,
];

fn fail_single_page(via: Via) -> Outcome {
    let s = scene(1)?;
    let reader = s.read(via, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.fail(0..1, IO)?;
    reader.ends(IO)
}

fn fail_exact_range() -> Outcome {
    let s = scene(11)?;
    let commit = s.commit(0..11)?;
    s.fail(0..11, IO)?;
    commit.ends(IO)?;
    s.packets(&[])
}

fn fail_multiple_commits() -> Outcome {
    let s = scene(11)?;
    let mut commits = [const { None }; 11];
    for (page, slot) in (0..).zip(&mut commits) {
        *slot = Some(s.commit(page..page + 1)?);
    }
    s.fail(0..11, IO)?;
    commits
        .into_iter()
        .flatten()
        .try_for_each(|commit| commit.ends(IO))?;
    let mut commits = [const { None }; 11];
    for slot in &mut commits {
        *slot = Some(s.commit(0..11)?);
    }
    s.packets(&[Read(0, 11)])?;
    s.fail(0..11, IO)?;
    commits
        .into_iter()
        .flatten()
        .try_for_each(|commit| commit.ends(IO))
}

fn fail_multiple_vmos() -> Outcome {
    let s = scene(1)?;
    let other = s
        .pager
        .create_vmo(VmoOptions::empty(), &s.port, KEY + 1, PAGE_SIZE)?;
    let first = s.commit(0..1)?;
    let second = s.read_of(&other, Via::Read, 0..1, 0)?;
    s.packet(KEY, Packet::Read(0, 1))?;
    s.packet(KEY + 1, Packet::Read(0, 1))?;
    s.fail(0..1, IO)?;
    first.ends(IO)?;
    second.waits()?;
    s.try_supply(&other, 0..1)?;
    second.ends(Status::OK)
}

fn fail_overlapping_range_commit() -> Outcome {
    let s = scene(11)?;
    let (one, two, three) = (s.commit(0..2)?, s.commit(5..7)?, s.commit(9..11)?);
    s.packets(&[Read(0, 2), Read(5, 7), Read(9, 11)])?;
    s.supply(0..1)?;
    s.fail(1..10, IO)?;
    two.ends(IO)?;
    s.supply(10..11)?;
    three.ends(IO)?;
    s.packets(&[Read(1, 2)])?;
    s.fail(1..2, IO)?;
    one.ends(IO)
}

fn fail_overlapping_range_read() -> Outcome {
    let s = scene(11)?;
    let read = |pages| s.read(Via::Read, pages);
    let (one, two, three) = (read(0..2)?, read(5..7)?, read(9..11)?);
    s.packets(&[Read(0, 2), Read(5, 7), Read(9, 11)])?;
    s.fail(1..10, IO)?;
    two.ends(IO)?;
    three.ends(IO)?;
    one.waits()?;
    s.supply(0..1)?;
    s.packets(&[Read(1, 2)])?;
    s.fail(1..2, IO)?;
    one.ends(IO)
}

fn fail_redundant() -> Outcome {
    let s = scene(4)?;
    let commit = s.commit(0..4)?;
    for page in 0..4 {
        s.fail(page..page + 1, IO)?;
    }
    commit.ends(IO)?;
    for page in 0..4 {
        s.fail(page..page + 1, IO)?;
    }
    s.packets(&[])
}

fn fail_after_detach() -> Outcome {
    let s = scene(1)?;
    s.detach()?;
    let result = s.pager_op(zx::PagerOp::Fail(IO), 0..1);
    equal!(result, Err(Status::BAD_STATE));
    Ok(())
}

fn supply_after_fail() -> Outcome {
    let s = scene(1)?;
    let reader = s.read(Via::Read, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.fail(0..1, IO)?;
    reader.ends(IO)?;
    let again = s.read(Via::Mapping, 0..1)?;
    s.packets(&[Read(0, 1)])?;
    s.supply(0..1)?;
    again.ends(Status::OK)
}

fn fail_early_wake() -> Outcome {
    let s = scene(3)?;
    let reader = s.read(Via::Read, 0..3)?;
    s.packets(&[Read(0, 3)])?;
    s.supply(0..1)?;
    reader.waits()?;
    s.fail(1..2, IO)?;
    reader.ends(IO)?;
    s.packets(&[])
}

fn fail_overlap_request() -> Outcome {
    let s = scene(4)?;
    let (leader, follower) = (s.commit(0..4)?, s.commit(2..4)?);
    s.packets(&[Read(0, 4)])?;
    s.fail(2..3, IO)?;
    leader.waits()?;
    follower.waits()?;
    s.supply(0..2)?;
    s.supply(3..4)?;
    follower.ends(IO)?;
    s.packets(&[Read(2, 3)])?;
    s.supply(2..3)?;
    leader.ends(Status::OK)
}

fn fail_error_code() -> Outcome {
    for code in CODES {
        let s = scene(2)?;
        let commit = s.commit(0..1)?;
        let reader = s.read(Via::Read, 0..1)?;
        let touch = s.read(Via::Mapping, 0..1)?;
        let prefetch = s.op(VmoOp::Prefetch, 1..2)?;
        s.fail(0..2, code)?;
        for act in [commit, reader, touch, prefetch] {
            act.ends(code)?;
        }
    }
    Ok(())
}

/// A DIRTY request can fail as well; nothing is dirty then, or was modified.
fn fail_dirty_request() -> Outcome {
    for code in CODES {
        let s = scene_with(2, VmoOptions::TRAP_DIRTY)?;
        s.supply(0..2)?;
        let write = s.write(0..2, 9)?;
        s.packets(&[Dirty(0, 2)])?;
        s.fail(0..2, code)?;
        write.ends(code)?;
        s.dirty_are(&[])?;
        equal!(s.was_modified()?, false);
        s.bytes_are(&s.vmo, 0, &[0, 1])?;
    }
    Ok(())
}

/// Only a later page of a DIRTY request fails: the write asks again for it, and what it has written stays.
fn fail_later_page_of_dirty_request() -> Outcome {
    let s = scene_with(2, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..2)?;
    let write = s.write(0..2, 9)?;
    s.packets(&[Dirty(0, 2)])?;
    s.fail(1..2, IO)?;
    write.waits()?;
    s.dirty(0..1)?;
    s.packets(&[Dirty(1, 2)])?;
    s.fail(1..2, IO)?;
    write.ends(IO)?;
    s.bytes_are(&s.vmo, 0, &[9, 1])?;
    equal!(s.was_modified()?, true);
    s.dirty_are(&[(0, 1, false)])
}

/// READ and DIRTY requests of one range fail together.
fn fail_both_kinds() -> Outcome {
    let s = scene_with(2, VmoOptions::TRAP_DIRTY)?;
    s.supply(0..1)?;
    let (write, commit) = (s.write(0..1, 9)?, s.commit(1..2)?);
    let store = s.act(Deed::Store((0, 1), 9))?;
    s.fail(0..2, IO)?;
    for act in [write, commit, store] {
        act.ends(IO)?;
    }
    s.packets(&[])
}

crate::scenarios! {
    "FailExactRange" fail_exact_range
    "FailMultipleCommits" fail_multiple_commits
    "FailMultipleVmos" fail_multiple_vmos
    "FailOverlappingRangeCommit" fail_overlapping_range_commit
    "FailOverlappingRangeRead" fail_overlapping_range_read
    "FailRedundant" fail_redundant
    "FailAfterDetach" fail_after_detach
    "SupplyAfterFail" supply_after_fail
    "FailEarlyWake" fail_early_wake
    "FailOverlapRequest" fail_overlap_request
    "FailErrorCode" fail_error_code
    "FailDirtyRequest" fail_dirty_request
    "FailLaterPageOfDirtyRequest" fail_later_page_of_dirty_request
    "FailBothKinds" fail_both_kinds;
    reading "FailSinglePage" fail_single_page;
    writing;
}
