//! How pages become dirty.

use protocol::options::PagerOp;
use test_guests::{Outcome, equal};
use zx::{Mapping, PAGE_SIZE, Status, VmoOptions};

use crate::scene::{Complete, Deed, Dirty, Read, scene_with};

const TRAP: VmoOptions = VmoOptions::TRAP_DIRTY;

fn write_dirties(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..4)?;
    equal!(s.was_modified()?, false);
    s.written(1..3, 9)?;
    s.packets(&[])?;
    s.dirty_are(&[(1, 3, false)])?;
    equal!(s.was_modified()?, true);
    equal!(s.was_modified()?, false);
    s.bytes_are(&s.vmo, 0, &[0, 9, 9, 3])
}

/// A mapped write to a clean page: asked about under TRAP, noted without.
fn mapped_write(options: VmoOptions) -> Outcome {
    let s = scene_with(3, options)?;
    s.supply(0..3)?;
    s.read(test_guests::Via::Mapping, 0..3)?.ends(Status::OK)?;
    s.dirty_are(&[])?;
    let store = s.act(Deed::Store((1, 2), 9))?;
    if options == TRAP {
        s.packets(&[Dirty(1, 2)])?;
        s.bytes_are(&s.vmo, 1, &[1])?;
        s.dirty(1..2)?;
    }
    store.ends(Status::OK)?;
    s.dirty_are(&[(1, 2, false)])?;
    equal!(s.was_modified()?, true);
    s.bytes_are(&s.vmo, 0, &[0, 9, 2])?;
    s.packets(&[])
}

/// An absent page is asked for before it is asked about.
fn write_to_absent_page(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options)?;
    for deed in [Deed::Write((0, 1), 9), Deed::Store((1, 2), 9)] {
        let page = u64::from(matches!(deed, Deed::Store(..)));
        let act = s.act(deed)?;
        s.packets(&[Read(page, page + 1)])?;
        s.supply(page..page + 1)?;
        if options == TRAP {
            s.packets(&[Dirty(page, page + 1)])?;
            s.dirty(page..page + 1)?;
        }
        act.ends(Status::OK)?;
    }
    s.dirty_are(&[(0, 2, false)])
}

fn the_cap_of_a_write_is_16_pages() -> Outcome {
    let s = scene_with(40, TRAP)?;
    let write = s.write(0..40, 9)?;
    for (first, end) in [(0, 16), (16, 32), (32, 40)] {
        s.packets(&[Read(first, end)])?;
        s.supply(first..end)?;
        s.packets(&[Dirty(first, end)])?;
        s.dirty(first..end)?;
    }
    write.ends(Status::OK)
}

fn dirty_request_mixes() -> Outcome {
    let s = scene_with(10, TRAP)?;
    s.supply(4..6)?;
    s.supply_zeros(6..7)?;
    s.zero(7..8)?;
    s.supply(8..9)?;
    s.dirty(8..9)?;
    s.begin(8..9)?;
    let write = s.write(4..10, 9)?;
    s.packets(&[Dirty(4, 9)])?;
    s.dirty(4..9)?;
    s.packets(&[Read(9, 10)])?;
    s.supply(9..10)?;
    s.packets(&[Dirty(9, 10)])?;
    s.dirty(9..10)?;
    write.ends(Status::OK)?;
    s.dirty_are(&[(4, 10, false)])
}

fn dirty_after_map_protect(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options)?;
    s.supply(0..1)?;
    let mapping = Mapping::read_only(&s.vmo, 0, PAGE_SIZE as usize)?;
    equal!(mapping.word(0)?, 0);
    s.dirty_are(&[])?;
    // Another mapping, writable from the start, sees the same page.
    let store = s.act(Deed::Store((0, 1), 5))?;
    if options == TRAP {
        s.packets(&[Dirty(0, 1)])?;
        s.dirty(0..1)?;
    }
    store.ends(Status::OK)?;
    equal!(mapping.word(0)?, 0x0505_0505_0505_0505);
    s.dirty_are(&[(0, 1, false)])
}

fn delayed_dirty_not_found() -> Outcome {
    let s = scene_with(2, TRAP | VmoOptions::RESIZABLE)?;
    s.supply(0..1)?;
    s.zero(1..2)?;
    let write = s.write(0..2, 9)?;
    s.packets(&[Dirty(0, 2)])?;
    s.begin(0..2)?;
    s.end(0..2)?;
    equal!(s.pager_op(PagerOp::Dirty, 0..2, 0), Err(Status::NOT_FOUND));
    s.dirty_are(&[])?;
    s.packets(&[Dirty(0, 1)])?;
    s.dirty(0..1)?;
    s.packets(&[Read(1, 2)])?;
    s.supply(1..2)?;
    s.packets(&[Dirty(1, 2)])?;
    s.dirty(1..2)?;
    write.ends(Status::OK)
}

fn delayed_dirty_zero_range() -> Outcome {
    let s = scene_with(2, TRAP)?;
    s.supply(0..2)?;
    let write = s.write(0..2, 9)?;
    s.packets(&[Dirty(0, 2)])?;
    s.zero(0..2)?;
    write.waits()?;
    s.dirty_are(&[(0, 2, true)])?;
    s.dirty(0..2)?;
    write.ends(Status::OK)?;
    s.bytes_are(&s.vmo, 0, &[9, 9])
}

fn delayed_dirty_resize() -> Outcome {
    let s = scene_with(3, TRAP | VmoOptions::RESIZABLE)?;
    s.supply(0..3)?;
    let write = s.write(0..3, 9)?;
    s.packets(&[Dirty(0, 3)])?;
    s.vmo.set_size(PAGE_SIZE)?;
    write.waits()?;
    equal!(
        s.pager_op(PagerOp::Dirty, 0..3, 0),
        Err(Status::OUT_OF_RANGE)
    );
    s.dirty(0..1)?;
    write.ends(Status::OUT_OF_RANGE)?;
    s.dirty_are(&[(0, 1, false)])
}

fn dirty_requests_end_with_the_pager(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options)?;
    s.supply(0..1)?;
    let act = match options {
        TRAP => s.act(Deed::Store((0, 1), 9))?,
        _ => s.act(Deed::Store((1, 2), 9))?,
    };
    act.waits()?;
    s.detach()?;
    act.ends(Status::BAD_STATE)?;
    s.packets(&[Complete])
}

/// What was written through a mapping, seen by nobody, survives a detach.
fn detach_keeps_what_is_dirty(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..3)?;
    s.written(0..1, 9)?;
    let store = s.act(Deed::Store((1, 2), 8))?;
    if options == TRAP {
        s.packets(&[Dirty(1, 2)])?;
        s.dirty(1..2)?;
    }
    store.ends(Status::OK)?;
    s.detach()?;
    s.packets(&[Complete])?;
    equal!(s.committed(&s.vmo)?, 2);
    s.bytes_are(&s.vmo, 0, &[9, 8])?;
    let mut byte = [0];
    equal!(s.vmo.read(&mut byte, 2 * PAGE_SIZE), Err(Status::BAD_STATE));
    s.dirty_are(&[(0, 2, false)])
}

fn reads_and_dirties_share_the_packet() -> Outcome {
    let s = scene_with(4, TRAP)?;
    s.supply(0..1)?;
    let one = s.commit(2..3)?;
    let write = s.write(0..1, 9)?;
    let two = s.commit(3..4)?;
    s.packets(&[Read(2, 3), Dirty(0, 1), Read(3, 4)])?;
    s.dirty(0..1)?;
    s.supply(2..4)?;
    for act in [one, write, two] {
        act.ends(Status::OK)?;
    }
    Ok(())
}

/// Pages that no write touches are not modified.
fn not_modified(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options)?;
    s.supply(0..2)?;
    s.supply_zeros(2..4)?;
    s.read(test_guests::Via::Mapping, 0..2)?.ends(Status::OK)?;
    s.read(test_guests::Via::Read, 0..2)?.ends(Status::OK)?;
    s.commit(0..4)?.ends(Status::OK)?;
    equal!(s.was_modified()?, false);
    s.dirty_are(&[])
}

crate::scenarios! {
    "WriteCap16Pages" the_cap_of_a_write_is_16_pages
    "DirtyRequestMixes" dirty_request_mixes
    "DelayedDirtyNotFound" delayed_dirty_not_found
    "DelayedDirtyZeroRange" delayed_dirty_zero_range
    "DelayedDirtyResize" delayed_dirty_resize
    "ReadsAndDirtiesShareThePacket" reads_and_dirties_share_the_packet;
    reading;
    writing
    "WriteDirties" write_dirties
    "MappedWrite" mapped_write
    "WriteToAbsentPage" write_to_absent_page
    "DirtyAfterMapProtect" dirty_after_map_protect
    "DirtyRequestsEndWithThePager" dirty_requests_end_with_the_pager
    "DetachKeepsWhatIsDirty" detach_keeps_what_is_dirty
    "NotModified" not_modified;
}
