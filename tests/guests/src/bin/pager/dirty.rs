//! How pages become dirty.

use test_guests::pages::PAGE;
use test_guests::{Outcome, check, equal};
use zx::{AsHandleRef, Mapping, PAGE_SIZE, PagerOp, Status, VmOptions, Vmo, VmoOptions};

use crate::act::Deed;
use crate::scene::{Complete, Dirty, Read, scene_with};

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

/// A DIRTY request ends before a page that is dirty.
fn dirty_request_stops_at_a_dirty_page() -> Outcome {
    let s = scene_with(4, TRAP)?;
    s.supply(0..4)?;
    s.dirty(2..3)?;
    let write = s.write(0..4, 9)?;
    s.packets(&[Dirty(0, 2)])?;
    s.dirty(0..2)?;
    s.packets(&[Dirty(3, 4)])?;
    s.dirty(3..4)?;
    write.ends(Status::OK)?;
    s.dirty_are(&[(0, 4, false)])
}

/// A mapping of a clean page that is made writable still lets no write pass unseen.
fn dirty_after_map_protect(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options)?;
    s.supply(0..1)?;
    let mapping = Mapping::read_write(&s.vmo, 0, PAGE)?;
    equal!(mapping.word(0)?, 0);
    for protection in [VmOptions::empty(), VmOptions::PERM_WRITE] {
        let options = VmOptions::PERM_READ | protection;
        // SAFETY: no Rust value lives in a mapping.
        unsafe { zx::vmar_root_self().protect(mapping.base(), PAGE, options)? };
        equal!(mapping.word(0)?, 0);
    }
    s.dirty_are(&[])?;
    let store = s.act(Deed::StoreAt(mapping.base(), 5))?;
    if options == TRAP {
        s.packets(&[Dirty(0, 1)])?;
        s.dirty(0..1)?;
    }
    store.ends(Status::OK)?;
    equal!(mapping.word(0)?, 5);
    s.dirty_are(&[(0, 1, false)])?;
    s.packets(&[])
}

fn delayed_dirty_not_found() -> Outcome {
    let s = scene_with(2, TRAP | VmoOptions::RESIZABLE)?;
    s.supply(0..1)?;
    s.zero(1..2)?;
    let write = s.write(0..2, 9)?;
    s.packets(&[Dirty(0, 2)])?;
    s.begin(0..2)?;
    s.end(0..2)?;
    equal!(s.pager_op(PagerOp::Dirty, 0..2), Err(Status::NOT_FOUND));
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

/// Leave may be given without having been asked for; zeros get pages then, and nothing is modified.
fn dirty_without_a_request() -> Outcome {
    let s = scene_with(4, TRAP)?;
    s.supply(0..2)?;
    s.supply_zeros(2..3)?;
    s.zero(3..4)?;
    equal!(s.was_modified()?, true);
    s.dirty(0..4)?;
    s.dirty_are(&[(0, 4, false)])?;
    equal!(s.committed(&s.vmo)?, 4);
    equal!(s.was_modified()?, false);
    s.act(Deed::Store((0, 4), 9))?.ends(Status::OK)?;
    equal!(s.was_modified()?, true);
    s.packets(&[])
}

fn delayed_dirty_resize() -> Outcome {
    let s = scene_with(3, TRAP | VmoOptions::RESIZABLE)?;
    s.supply(0..3)?;
    let write = s.write(0..3, 9)?;
    s.packets(&[Dirty(0, 3)])?;
    s.vmo.set_size(PAGE_SIZE)?;
    write.waits()?;
    equal!(s.pager_op(PagerOp::Dirty, 0..3), Err(Status::OUT_OF_RANGE));
    s.dirty(0..1)?;
    write.ends(Status::OUT_OF_RANGE)?;
    s.dirty_are(&[(0, 1, false)])
}

fn dirty_requests_end_with_the_pager(options: VmoOptions) -> Outcome {
    for detached in [true, false] {
        for by_call in [true, false] {
            let s = scene_with(2, options)?;
            s.supply(0..1)?;
            let page = if options == TRAP { 0 } else { 1 };
            let act = match by_call {
                true => s.write(page..page + 1, 9)?,
                false => s.act(Deed::Store((page, page + 1), 9))?,
            };
            act.waits()?;
            if detached {
                s.detach()?;
            } else {
                s.close_pager()?;
            }
            act.ends(Status::BAD_STATE)?;
            s.packets(if detached { &[Complete] } else { &[] })?;
        }
    }
    Ok(())
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

/// Dirty pages can be written after a detach, and nobody is asked; under TRAP, what is being written back cannot.
fn writes_after_detach(options: VmoOptions) -> Outcome {
    let s = scene_with(2, options)?;
    s.supply(0..2)?;
    s.written(0..2, 9)?;
    s.begin(1..2)?;
    s.detach()?;
    let awaiting = if options == TRAP {
        Status::BAD_STATE
    } else {
        Status::OK
    };
    s.write(0..1, 8)?.ends(Status::OK)?;
    s.write(1..2, 8)?.ends(awaiting)?;
    s.act(Deed::Store((1, 2), 8))?.ends(awaiting)?;
    s.packets(&[Complete])?;
    s.bytes_are(&s.vmo, 0, &[8, if options == TRAP { 9 } else { 8 }])
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

/// Everything that modifies a VMO.
fn modified(options: VmoOptions) -> Outcome {
    let s = scene_with(4, options | VmoOptions::RESIZABLE)?;
    s.supply(0..4)?;
    s.vmo.set_size(5 * PAGE_SIZE)?;
    check!(s.was_modified()?, "growth");
    s.vmo.set_size(4 * PAGE_SIZE)?;
    check!(s.was_modified()?, "shrinking");
    s.vmo.set_content_size(3 * PAGE_SIZE)?;
    check!(s.was_modified()?, "content size");
    s.zero(0..1)?;
    check!(s.was_modified()?, "zeroing");
    s.written(1..2, 5)?;
    check!(s.was_modified()?, "vmo_write");
    let store = s.act(Deed::Store((2, 3), 5))?;
    if options == TRAP {
        s.packets(&[Dirty(2, 3)])?;
        s.dirty(2..3)?;
    }
    store.ends(Status::OK)?;
    check!(s.was_modified()?, "a mapped write");
    s.dirty_are(&[(0, 1, true), (1, 3, false)])
}

/// A read into memory that a pager provides writes there, and asks for leave to.
fn read_into_a_buffer(options: VmoOptions) -> Outcome {
    let s = scene_with(1, options)?;
    s.supply(0..1)?;
    let source = Vmo::create(PAGE_SIZE)?;
    source.write(&[7; PAGE], 0)?;
    let read = s.act_on(&source, Deed::ReadInto((0, 1), s.vmo.raw_handle()))?;
    if options == TRAP {
        s.packets(&[Dirty(0, 1)])?;
        s.dirty(0..1)?;
    }
    read.ends(Status::OK)?;
    s.bytes_are(&s.vmo, 0, &[7])?;
    s.dirty_are(&[(0, 1, false)])?;
    equal!(s.was_modified()?, true);
    s.packets(&[])
}

crate::scenarios! {
    "WriteCap16Pages" the_cap_of_a_write_is_16_pages
    "DirtyRequestMixes" dirty_request_mixes
    "DirtyRequestStopsAtADirtyPage" dirty_request_stops_at_a_dirty_page
    "DirtyWithoutARequest" dirty_without_a_request
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
    "WritesAfterDetach" writes_after_detach
    "Modified" modified
    "NotModified" not_modified
    "ReadIntoABuffer" read_into_a_buffer;
}
