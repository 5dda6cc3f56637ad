//! Tests of one's own: each runs in a process of its own, so a crash is one failure, or what the test is about.
//!
//! `zvmm run own_tests [FILTER]`

#![no_std]
#![no_main]

use zx::{VmoChildOptions, Mapping, PAGE_SIZE, Status, Vmo, testing};

zx::tests! {
    a_snapshot_keeps_what_it_saw,
    a_read_only_mapping_is_not_written_to,
    many_pages.time_limit_millis(60_000),
}

fn a_snapshot_keeps_what_it_saw() -> Result<(), Status> {
    let vmo = Vmo::create(PAGE_SIZE)?;
    vmo.write(b"before", 0)?;
    let snapshot = vmo.create_child(VmoChildOptions::SNAPSHOT, 0, PAGE_SIZE)?;
    vmo.write(b"after", 0)?;
    let mut text = [0; 6];
    snapshot.read(&mut text, 0)?;
    assert_eq!(&text, b"before");
    Ok(())
}

fn a_read_only_mapping_is_not_written_to() -> Result<(), Status> {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let mapping = Mapping::read_only(&vmo, 0, PAGE_SIZE as usize)?;
    testing::expect_crash(mapping.base(), Status::ACCESS_DENIED);
    mapping.set_word(0, 1)
}

fn many_pages() -> Result<(), Status> {
    let vmo = Vmo::create(1000 * PAGE_SIZE)?;
    for page in 0..1000 {
        vmo.write(&[1], page * PAGE_SIZE)?;
    }
    zx::println!("{} pages", vmo.info()?.committed_bytes / PAGE_SIZE);
    Ok(())
}
