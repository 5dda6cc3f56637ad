//! vmar_map, vmar_unmap and vmar_protect; and vmo_read and vmo_write with buffers of all kinds.

use test_guests::pages::{PAGE, check_mapping, filled_vmo};
use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, check, equal, status};
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, Rights, Status, VmOptions, Vmo, VmoOptions, vmar_root_self,
};

const READ: u32 = VmOptions::PERM_READ.bits();
const WRITE: u32 = VmOptions::PERM_WRITE.bits();
const SEED: u64 = 21;

fn map(options: u32, vmar_offset: u64, vmo: &Vmo, offset: u64, length: u64) -> Status {
    let mut address = 0u64;
    let (vmar, vmo) = (vmar_root_self().raw_handle(), vmo.raw_handle());
    let status = raw::vmar_map(
        vmar,
        options,
        vmar_offset,
        vmo,
        offset,
        length,
        out(&mut address),
    );
    if status == Status::OK {
        let _ = raw::vmar_unmap(vmar, address, length);
    }
    status
}

/// Reads and writes through a mapping are those of the VMO.
fn mapping_is_the_vmo() -> Outcome {
    let vmo = filled_vmo(SEED, 0, 3)?;
    let mapping = Mapping::read_write(&vmo, PAGE_SIZE, 2 * PAGE)?;
    let mut bytes = [0; 8];
    vmo.read(&mut bytes, 2 * PAGE_SIZE)?;
    equal!(mapping.word(PAGE)?, u64::from_le_bytes(bytes));
    mapping.set_word(8, 0x55)?;
    vmo.read(&mut bytes, PAGE_SIZE + 8)?;
    equal!(u64::from_le_bytes(bytes), 0x55);
    vmo.write(&7u64.to_le_bytes(), PAGE_SIZE)?;
    equal!(mapping.word(0)?, 7);
    Ok(())
}

fn two_mappings_of_one_page() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let (a, b) = (
        Mapping::read_write(&vmo, 0, PAGE)?,
        Mapping::read_write(&vmo, 0, PAGE)?,
    );
    check!(a.base() != b.base());
    a.set_word(16, 1)?;
    equal!(b.word(16)?, 1);
    b.set_word(16, 2)?;
    equal!(a.word(16)?, 2);
    Ok(())
}

fn map_errors() -> Outcome {
    let vmo = Vmo::create(4 * PAGE_SIZE)?;
    status!(INVALID_ARGS, map(WRITE, 0, &vmo, 0, PAGE_SIZE));
    status!(INVALID_ARGS, map(READ, 0, &vmo, 0, 0));
    status!(INVALID_ARGS, map(READ, 0, &vmo, 1, PAGE_SIZE));
    let overwrite = VmOptions::MAP_RANGE | VmOptions::SPECIFIC_OVERWRITE;
    status!(
        INVALID_ARGS,
        map(READ | overwrite.bits(), 0, &vmo, 0, PAGE_SIZE)
    );
    let can = VmOptions::CAN_MAP_READ.bits();
    status!(INVALID_ARGS, map(READ | can, 0, &vmo, 0, PAGE_SIZE));
    let fixed = VmOptions::REQUIRE_NON_RESIZABLE.bits();
    let resizable = Vmo::create_with_opts(VmoOptions::RESIZABLE, PAGE_SIZE)?;
    status!(
        NOT_SUPPORTED,
        map(READ | fixed, 0, &resizable, 0, PAGE_SIZE)
    );
    status!(OK, map(READ | fixed, 0, &vmo, 0, PAGE_SIZE));
    let mut address = 0u64;
    let at = out(&mut address);
    let (root, raw) = (vmar_root_self().raw_handle(), vmo.raw_handle());
    status!(BAD_HANDLE, raw::vmar_map(0, READ, 0, raw, 0, PAGE_SIZE, at));
    status!(
        BAD_HANDLE,
        raw::vmar_map(root, READ, 0, 0, 0, PAGE_SIZE, at)
    );
    status!(
        WRONG_TYPE,
        raw::vmar_map(raw, READ, 0, raw, 0, PAGE_SIZE, at)
    );
    status!(
        WRONG_TYPE,
        raw::vmar_map(root, READ, 0, root, 0, PAGE_SIZE, at)
    );
    Ok(())
}

/// SPECIFIC finds its place or fails; SPECIFIC_OVERWRITE replaces what is there.
fn specific_and_overwrite() -> Outcome {
    let (first, second) = (filled_vmo(SEED, 0, 2)?, filled_vmo(SEED + 1, 0, 2)?);
    let mapping = Mapping::read_only(&first, 0, 2 * PAGE)?;
    let offset = mapping.base() as u64 - protocol::USER_BASE;
    let specific = READ | VmOptions::SPECIFIC.bits();
    status!(ALREADY_EXISTS, map(specific, offset, &second, 0, PAGE_SIZE));
    status!(
        INVALID_ARGS,
        map(specific, offset + 8, &second, 0, PAGE_SIZE)
    );
    let options = VmOptions::PERM_READ | VmOptions::SPECIFIC_OVERWRITE;
    // SAFETY: no Rust value lives in the mapping that is replaced.
    let base = unsafe { vmar_root_self().map(offset, &second, 0, 2 * PAGE_SIZE, options)? };
    equal!(base, mapping.base());
    check_mapping(&mapping, Some(SEED + 1), 0, 2)
}

/// A hole in a mapping can be filled again.
fn unmap_splits() -> Outcome {
    let vmo = filled_vmo(SEED, 0, 3)?;
    let mapping = Mapping::read_only(&vmo, 0, 3 * PAGE)?;
    let middle = mapping.base() + PAGE;
    // SAFETY: no Rust value lives there.
    unsafe { vmar_root_self().unmap(middle, PAGE)? };
    check_mapping(&mapping, Some(SEED), 0, 1)?;
    check_mapping(&mapping, Some(SEED), 2, 1)?;
    let offset = middle as u64 - protocol::USER_BASE;
    let options = VmOptions::PERM_READ | VmOptions::SPECIFIC;
    // SAFETY: SPECIFIC replaces nothing.
    unsafe { vmar_root_self().map(offset, &vmo, PAGE_SIZE, PAGE_SIZE, options)? };
    check_mapping(&mapping, Some(SEED), 0, 3)
}

fn unmap_errors() -> Outcome {
    let root = vmar_root_self().raw_handle();
    let vmo = Vmo::create(PAGE_SIZE)?;
    let mapping = Mapping::read_only(&vmo, 0, PAGE)?;
    let base = mapping.base() as u64;
    status!(INVALID_ARGS, raw::vmar_unmap(root, base, 0));
    status!(INVALID_ARGS, raw::vmar_unmap(root, base + 1, PAGE_SIZE));
    status!(BAD_HANDLE, raw::vmar_unmap(0, base, PAGE_SIZE));
    drop(mapping);
    status!(NOT_FOUND, raw::vmar_unmap(root, base, PAGE_SIZE));
    status!(NOT_FOUND, raw::vmar_protect(root, READ, base, PAGE_SIZE));
    Ok(())
}

/// Protection can be taken and given back.
fn protect() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    mapping.set_word(0, 1)?;
    let (base, len) = (mapping.base(), mapping.len());
    // SAFETY: no Rust value lives there.
    unsafe { vmar_root_self().protect(base, len, VmOptions::PERM_READ)? };
    equal!(mapping.word(0)?, 1);
    // What cannot be written is no place for a result.
    status!(
        INVALID_ARGS,
        raw::vmo_get_size(vmo.raw_handle(), base as u64)
    );
    let both = VmOptions::PERM_READ | VmOptions::PERM_WRITE;
    // SAFETY: as before.
    unsafe { vmar_root_self().protect(base, len, both)? };
    mapping.set_word(0, 2)?;
    status!(OK, raw::vmo_get_size(vmo.raw_handle(), base as u64));
    equal!(mapping.word(0)?, 2 * PAGE_SIZE);
    Ok(())
}

/// A mapping made without the right to write cannot be protected into one.
fn protect_needs_rights() -> Outcome {
    use zx::HandleBased;
    let vmo = Vmo::create(PAGE_SIZE)?.replace_handle(Rights::DEFAULT_VMO - Rights::WRITE)?;
    let mapping = Mapping::read_only(&vmo, 0, PAGE)?;
    let root = vmar_root_self().raw_handle();
    let base = mapping.base() as u64;
    status!(
        ACCESS_DENIED,
        raw::vmar_protect(root, READ | WRITE, base, PAGE_SIZE)
    );
    Ok(())
}

/// Ranges of vmo_read and vmo_write.
fn read_and_write_ranges() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let mut byte = [0];
    equal!(vmo.read(&mut byte, PAGE_SIZE - 1), Ok(()));
    equal!(vmo.read(&mut byte, PAGE_SIZE), Err(Status::OUT_OF_RANGE));
    equal!(vmo.read(&mut [], PAGE_SIZE), Ok(()));
    equal!(vmo.read(&mut [], PAGE_SIZE + 1), Err(Status::OUT_OF_RANGE));
    equal!(vmo.write(&byte, u64::MAX), Err(Status::OUT_OF_RANGE));
    equal!(vmo.write(&[0; 2], PAGE_SIZE - 1), Err(Status::OUT_OF_RANGE));
    let raw = vmo.raw_handle();
    status!(
        OUT_OF_RANGE,
        raw::vmo_read(raw, out(&mut byte), 1, u64::MAX)
    );
    Ok(())
}

/// A buffer that cannot be used is NOT_FOUND.
fn read_and_write_bad_buffers() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let raw = vmo.raw_handle();
    for address in [0, 0x1000, protocol::boot::KERNEL_BASE] {
        status!(NOT_FOUND, raw::vmo_read(raw, address, 0, 8));
        status!(NOT_FOUND, raw::vmo_write(raw, address, 0, 8));
    }
    for address in raw::bad_addresses() {
        status!(NOT_FOUND, raw::vmo_read(raw, address, 0, 8));
    }
    Ok(())
}

/// Source and destination both on absent pages, unaligned to each other.
fn copy_between_absent_pages() -> Outcome {
    let (vmo, buffer) = (Vmo::create(4 * PAGE_SIZE)?, Vmo::create(4 * PAGE_SIZE)?);
    let mapping = Mapping::read_write(&buffer, 0, 4 * PAGE)?;
    let address = mapping.base() as u64;
    status!(
        OK,
        raw::vmo_read(vmo.raw_handle(), address + 100, 7, 2 * PAGE_SIZE)
    );
    check_mapping(&mapping, None, 0, 4)?;
    let filled = filled_vmo(SEED, 0, 4)?;
    status!(
        OK,
        raw::vmo_read(filled.raw_handle(), address, 0, 4 * PAGE_SIZE)
    );
    check_mapping(&mapping, Some(SEED), 0, 4)?;
    status!(
        OK,
        raw::vmo_write(vmo.raw_handle(), address, 0, 4 * PAGE_SIZE)
    );
    test_guests::pages::check_vmo(&vmo, Some(SEED), 0, 4)
}

/// Each new mapping of a region replaces the table that reaches it, and nothing is unmapped meanwhile: the replaced tables,
/// more than there is room for, are used again.
fn many_mappings_of_one_region() -> Outcome {
    const COUNT: usize = 4_500;
    let vmo = filled_vmo(SEED, 0, 1)?;
    let mut bytes = [0; 8];
    vmo.read(&mut bytes, 0)?;
    let expected = u64::from_le_bytes(bytes);
    let (vmar, handle) = (vmar_root_self().raw_handle(), vmo.raw_handle());
    let (mut first, mut last) = (u64::MAX, 0);
    for _ in 0..COUNT {
        let mut address = 0u64;
        let length = PAGE_SIZE;
        let status = raw::vmar_map(vmar, READ, 0, handle, 0, length, out(&mut address));
        equal!(status, Status::OK);
        // SAFETY: mapped just now, and only read.
        let found = unsafe { (address as *const u64).read_volatile() };
        equal!(found, expected);
        first = first.min(address);
        last = last.max(address);
    }
    // What lies in between is all ours: these were the lowest gaps.
    status!(OK, raw::vmar_unmap(vmar, last, PAGE_SIZE));
    status!(OK, raw::vmar_unmap(vmar, first, PAGE_SIZE));
    Ok(())
}

cases! { "mappings":
    mapping_is_the_vmo two_mappings_of_one_page map_errors specific_and_overwrite unmap_splits
    unmap_errors protect protect_needs_rights read_and_write_ranges read_and_write_bad_buffers
    copy_between_absent_pages many_mappings_of_one_region
}
