//! Clones of a pager's VMO.

use test_guests::pages::{PAGE, check_mapping, check_vmo};
use test_guests::{Outcome, Service, cases, equal};
use zx::{ChildOptions, Mapping, PAGE_SIZE, Status, Vmo, VmoOp, VmoOptions};

const KEY: u64 = 0xC10E;

cases! { "clones":
    live_until_written
    modified_pages_are_snapshot
    zeroed_pages_hide_the_pagers
    a_root_that_shrinks_is_zero_for_good
}

fn clone_of(vmo: &Vmo, options: ChildOptions, pages: u64) -> Result<Vmo, Status> {
    vmo.create_child(options, 0, pages * PAGE_SIZE)
}

/// The parent's writes show in the clone, also where it is mapped, until it writes the page itself.
fn live_until_written() -> Outcome {
    let service = Service::new()?;
    let root = service.vmo(KEY, 4)?;
    service.supply(&root, KEY, 0, 4)?;
    let clone = clone_of(&root, ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 4)?;
    let mapping = Mapping::read_write(&clone, 0, 4 * PAGE)?;
    check_mapping(&mapping, Some(KEY), 0, 4)?;
    let parent = Mapping::read_write(&root, 0, 4 * PAGE)?;
    parent.set_word(0, 5)?;
    equal!(mapping.word(0)?, 5);
    mapping.set_word(0, 6)?;
    equal!([mapping.word(0)?, parent.word(0)?], [6, 5]);
    parent.set_word(0, 7)?;
    equal!([mapping.word(0)?, parent.word(0)?], [6, 7]);
    equal!(clone.info()?.committed_bytes, PAGE_SIZE);
    check_mapping(&mapping, Some(KEY), 1, 3)?;
    service.expect_silence()
}

fn modified_pages_are_snapshot() -> Outcome {
    let service = Service::new()?;
    let root = service.vmo(KEY, 3)?;
    service.supply(&root, KEY, 0, 3)?;
    let clone = clone_of(&root, ChildOptions::SNAPSHOT_MODIFIED, 3)?;
    let mapping = Mapping::read_write(&clone, 0, 3 * PAGE)?;
    mapping.set_word(0, 1)?;
    let below = clone_of(&clone, ChildOptions::SNAPSHOT_MODIFIED, 3)?;
    let lower = Mapping::read_write(&below, 0, 3 * PAGE)?;
    mapping.set_word(0, 2)?;
    equal!([lower.word(0)?, mapping.word(0)?], [1, 2]);
    root.write(&9u64.to_le_bytes(), PAGE_SIZE)?;
    equal!([lower.word(PAGE)?, mapping.word(PAGE)?], [9, 9]);
    drop(clone);
    drop(mapping);
    equal!(lower.word(0)?, 1);
    lower.set_word(0, 3)?;
    equal!(lower.word(0)?, 3);
    check_mapping(&lower, Some(KEY), 2, 1)
}

fn zeroed_pages_hide_the_pagers() -> Outcome {
    let service = Service::new()?;
    let root = service.vmo(KEY, 3)?;
    service.supply(&root, KEY, 0, 2)?;
    let clone = clone_of(&root, ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 3)?;
    let mapping = Mapping::read_write(&clone, 0, 3 * PAGE)?;
    check_mapping(&mapping, Some(KEY), 0, 2)?;
    clone.op_range(VmoOp::Zero, PAGE_SIZE..3 * PAGE_SIZE)?;
    check_mapping(&mapping, None, 1, 2)?;
    service.supply(&root, KEY, 2, 1)?;
    check_mapping(&mapping, None, 1, 2)?;
    check_vmo(&root, Some(KEY), 0, 3)?;
    check_mapping(&mapping, Some(KEY), 0, 1)?;
    service.expect_silence()
}

/// In a clone that owns a page, in one of that clone, and where both are mapped; what they own survives.
fn a_root_that_shrinks_is_zero_for_good() -> Outcome {
    let service = Service::new()?;
    let root =
        service
            .pager
            .create_vmo(VmoOptions::RESIZABLE, &service.port, KEY, 4 * PAGE_SIZE)?;
    service.supply(&root, KEY, 0, 4)?;
    let clone = clone_of(&root, ChildOptions::SNAPSHOT_MODIFIED, 4)?;
    let mapping = Mapping::read_write(&clone, 0, 4 * PAGE)?;
    mapping.set_word(3 * PAGE, 1)?;
    let below = clone_of(&clone, ChildOptions::SNAPSHOT_MODIFIED, 4)?;
    let lower = Mapping::read_write(&below, 0, 4 * PAGE)?;
    check_mapping(&lower, Some(KEY), 0, 3)?;
    check_mapping(&mapping, Some(KEY), 0, 3)?;
    root.set_size(PAGE_SIZE)?;
    root.set_size(4 * PAGE_SIZE)?;
    root.write(&[9; PAGE], PAGE_SIZE)?;
    for shown in [&mapping, &lower] {
        check_mapping(shown, Some(KEY), 0, 1)?;
        check_mapping(shown, None, 1, 2)?;
        equal!(shown.word(3 * PAGE)?, 1);
    }
    lower.set_word(PAGE, 5)?;
    equal!([mapping.word(PAGE)?, lower.word(PAGE)?], [0, 5]);
    service.expect_silence()
}
