//! `zx_vmo_create`: description and errors.

use test_guests::pages::{PAGE, check_mapping, check_vmo};
use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, check, equal, status};
use zx::{
    AsHandleRef, MAX_VMO_SIZE, Mapping, ObjectType, PAGE_SIZE, Status, Vmo, VmoInfoFlags, VmoOp,
    VmoOptions, vmar_root_self,
};

/// A new VMO reads as zeros.
fn zero_filled_by_read() -> Outcome {
    let vmo = Vmo::create(3 * PAGE_SIZE)?;
    check_vmo(&vmo, None, 0, 3)
}

fn zero_filled_by_mapping() -> Outcome {
    let vmo = Vmo::create(3 * PAGE_SIZE)?;
    let mapping = Mapping::read_only(&vmo, 0, 3 * PAGE)?;
    check_mapping(&mapping, None, 0, 3)
}

/// Nothing of it is committed yet, whatever its size.
fn nothing_committed_at_first() -> Outcome {
    let vmo = Vmo::create(3 * PAGE_SIZE)?;
    equal!(vmo.info()?.committed_bytes, 0);
    Ok(())
}

fn zero_size() -> Outcome {
    let vmo = Vmo::create(0)?;
    equal!(vmo.get_size()?, 0);
    equal!(vmo.get_content_size()?, 0);
    equal!(vmo.read(&mut [], 0), Ok(()));
    equal!(vmo.read(&mut [0], 0), Err(Status::OUT_OF_RANGE));
    Ok(())
}

/// The size is rounded up to whole pages.
fn size_rounds_up() -> Outcome {
    for (size, rounded) in [(1, 4096), (4095, 4096), (4096, 4096), (4097, 8192)] {
        equal!(Vmo::create(size)?.get_size()?, rounded);
    }
    Ok(())
}

/// The content size starts as the size asked for, not rounded.
fn content_size_is_unrounded() -> Outcome {
    for size in [0, 1, 4095, 4096, 4097, 123_456] {
        equal!(Vmo::create(size)?.get_content_size()?, size);
    }
    Ok(())
}

/// Setting the content size leaves the size alone.
fn content_size_can_be_set() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    for size in [5000, 1, 0, 2 * PAGE_SIZE] {
        vmo.set_content_size(size)?;
        equal!(vmo.get_content_size()?, size);
        equal!(vmo.get_size()?, 2 * PAGE_SIZE);
    }
    Ok(())
}

/// Success gives one handle, to a VMO of that size.
fn one_handle_to_a_new_object() -> Outcome {
    let (a, b) = (Vmo::create(PAGE_SIZE)?, Vmo::create(PAGE_SIZE)?);
    let (a_info, b_info) = (a.basic_info()?, b.basic_info()?);
    check!(a.raw_handle() != b.raw_handle());
    check!(a_info.koid != b_info.koid);
    check!(
        a_info.koid >= 1024,
        "koid {} is one of the kernel's",
        a_info.koid
    );
    equal!(a.raw_handle() & 3, 3);
    equal!(a_info.object_type, ObjectType::Vmo as u32);
    Ok(())
}

/// RESIZABLE: the size can change.
fn resizable_can_change_size() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::RESIZABLE, PAGE_SIZE)?;
    check!(vmo.info()?.flags & VmoInfoFlags::RESIZABLE.bits() != 0);
    vmo.write(b"kept", 0)?;
    vmo.set_size(3 * PAGE_SIZE + 1)?;
    equal!(vmo.get_size()?, 4 * PAGE_SIZE);
    equal!(vmo.get_content_size()?, 3 * PAGE_SIZE + 1);
    let mut bytes = [0xFF; 6];
    vmo.read(&mut bytes, 0)?;
    equal!(bytes, *b"kept\0\0");
    vmo.set_size(0)?;
    equal!(vmo.get_size()?, 0);
    equal!(vmo.read(&mut bytes, 0), Err(Status::OUT_OF_RANGE));
    vmo.set_size(PAGE_SIZE)?;
    check_vmo(&vmo, None, 0, 1)
}

/// Without ZX_VMO_RESIZABLE the size stays.
fn not_resizable_cannot_change_size() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    equal!(vmo.set_size(2 * PAGE_SIZE), Err(Status::UNAVAILABLE));
    equal!(vmo.set_size(0), Err(Status::UNAVAILABLE));
    equal!(vmo.get_size()?, PAGE_SIZE);
    Ok(())
}

/// DISCARDABLE is accepted; a new VMO has lost nothing yet.
fn discardable() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::DISCARDABLE, 2 * PAGE_SIZE)?;
    check!(vmo.info()?.flags & VmoInfoFlags::DISCARDABLE.bits() != 0);
    check_vmo(&vmo, None, 0, 2)
}

/// A new one is unlocked; locks are counted, and tell what was discarded.
fn discardable_unless_locked() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::DISCARDABLE, 2 * PAGE_SIZE)?;
    let op = |op| vmo.op_range(op, 0..2 * PAGE_SIZE);
    equal!(op(VmoOp::Unlock), Err(Status::BAD_STATE));
    let state = vmo.lock()?;
    equal!((state.offset, state.size), (0, 2 * PAGE_SIZE));
    equal!((state.discarded_offset, state.discarded_size), (0, 0));
    op(VmoOp::TryLock)?;
    op(VmoOp::Unlock)?;
    op(VmoOp::Unlock)?;
    equal!(op(VmoOp::Unlock), Err(Status::BAD_STATE));
    equal!(
        vmo.op_range(VmoOp::TryLock, 0..PAGE_SIZE),
        Err(Status::OUT_OF_RANGE)
    );
    let plain = Vmo::create(PAGE_SIZE)?;
    equal!(plain.lock().map(|_| ()), Err(Status::NOT_SUPPORTED));
    Ok(())
}

fn discardable_and_resizable() -> Outcome {
    let both = VmoOptions::DISCARDABLE | VmoOptions::RESIZABLE;
    let vmo = Vmo::create_with_opts(both, PAGE_SIZE)?;
    vmo.set_size(2 * PAGE_SIZE)?;
    equal!(vmo.get_size()?, 2 * PAGE_SIZE);
    Ok(())
}

/// UNBOUNDED: as large as a VMO can be.
fn unbounded_is_as_large_as_possible() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::UNBOUNDED, 0)?;
    equal!(vmo.get_size()?, MAX_VMO_SIZE);
    equal!(vmo.get_content_size()?, 0);
    equal!(vmo.set_size(PAGE_SIZE), Err(Status::UNAVAILABLE));
    Ok(())
}

fn unbounded_holds_pages_anywhere() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::UNBOUNDED, 0)?;
    for offset in [0, 1 << 40, MAX_VMO_SIZE - PAGE_SIZE] {
        vmo.write(&offset.to_le_bytes(), offset)?;
    }
    for offset in [0, 1 << 40, MAX_VMO_SIZE - PAGE_SIZE] {
        let mut bytes = [0; 8];
        vmo.read(&mut bytes, offset)?;
        equal!(u64::from_le_bytes(bytes), offset);
    }
    equal!(vmo.info()?.committed_bytes, 3 * PAGE_SIZE);
    Ok(())
}

/// Older documents want size 0 with UNBOUNDED; now it is the content size.
fn unbounded_size_is_content_size() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::UNBOUNDED, 12_345)?;
    equal!(vmo.get_size()?, MAX_VMO_SIZE);
    equal!(vmo.get_content_size()?, 12_345);
    Ok(())
}

/// UNBOUNDED and RESIZABLE exclude each other.
fn unbounded_resizable_invalid_args() -> Outcome {
    let (mut handle, both) = (0u32, VmoOptions::UNBOUNDED | VmoOptions::RESIZABLE);
    status!(
        INVALID_ARGS,
        raw::vmo_create(0, both.bits(), out(&mut handle))
    );
    equal!(handle, 0);
    Ok(())
}

/// INVALID_ARGS: an out-pointer that is null or cannot be written.
fn out_null_invalid_args() -> Outcome {
    status!(INVALID_ARGS, raw::vmo_create(PAGE_SIZE, 0, 0));
    Ok(())
}

fn out_invalid_invalid_args() -> Outcome {
    for address in raw::bad_addresses() {
        status!(INVALID_ARGS, raw::vmo_create(PAGE_SIZE, 0, address));
    }
    Ok(())
}

/// An out-pointer whose last bytes are not mapped.
fn out_half_mapped_invalid_args() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    let second = mapping.base() + PAGE;
    // SAFETY: nothing lives in the second page; unmapping the rest later is harmless.
    unsafe { vmar_root_self().unmap(second, PAGE)? };
    status!(
        INVALID_ARGS,
        raw::vmo_create(PAGE_SIZE, 0, second as u64 - 2)
    );
    Ok(())
}

/// The out-pointer may lie anywhere in memory that can be written, absent pages included.
fn out_on_absent_pages() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    let address = mapping.base() + PAGE - 2;
    status!(OK, raw::vmo_create(PAGE_SIZE, 0, address as u64));
    let mut bytes = [0; 4];
    mapping.copy_out(PAGE - 2, &mut bytes)?;
    status!(OK, raw::handle_close(u32::from_le_bytes(bytes)));
    check!(bytes != [0; 4]);
    Ok(())
}

/// INVALID_ARGS: options that do not exist or do not go together.
fn unknown_options_invalid_args() -> Outcome {
    let known = VmoOptions::RESIZABLE | VmoOptions::DISCARDABLE | VmoOptions::UNBOUNDED;
    let mut handle = 0u32;
    for bit in (0..32).filter(|bit| known.bits() & (1 << bit) == 0) {
        status!(
            INVALID_ARGS,
            raw::vmo_create(PAGE_SIZE, 1 << bit, out(&mut handle))
        );
        let with_known = 1 << bit | VmoOptions::RESIZABLE.bits();
        status!(
            INVALID_ARGS,
            raw::vmo_create(PAGE_SIZE, with_known, out(&mut handle))
        );
    }
    equal!(handle, 0);
    Ok(())
}

/// ZX_VMO_TRAP_DIRTY is for pager VMOs only.
fn trap_dirty_invalid_args() -> Outcome {
    let mut handle = 0u32;
    let options = VmoOptions::TRAP_DIRTY.bits();
    status!(
        INVALID_ARGS,
        raw::vmo_create(PAGE_SIZE, options, out(&mut handle))
    );
    Ok(())
}

/// OUT_OF_RANGE: above the largest VMO.
fn too_large_out_of_range() -> Outcome {
    let mut handle = 0u32;
    for size in [
        MAX_VMO_SIZE + 1,
        MAX_VMO_SIZE + PAGE_SIZE,
        u64::MAX - 4095,
        u64::MAX,
    ] {
        status!(OUT_OF_RANGE, raw::vmo_create(size, 0, out(&mut handle)));
    }
    equal!(handle, 0);
    Ok(())
}

fn largest_size() -> Outcome {
    for size in [MAX_VMO_SIZE, MAX_VMO_SIZE - 4095] {
        equal!(Vmo::create(size)?.get_size()?, MAX_VMO_SIZE);
    }
    Ok(())
}

/// Options are looked at before the size, the size before the out-pointer.
fn order_of_checks() -> Outcome {
    let mut handle = 0u32;
    status!(INVALID_ARGS, raw::vmo_create(u64::MAX, 1, out(&mut handle)));
    status!(OUT_OF_RANGE, raw::vmo_create(u64::MAX, 0, 0));
    Ok(())
}

cases! { "vmo_create":
    zero_filled_by_read zero_filled_by_mapping nothing_committed_at_first zero_size size_rounds_up
    content_size_is_unrounded content_size_can_be_set one_handle_to_a_new_object
    resizable_can_change_size not_resizable_cannot_change_size discardable
    discardable_unless_locked discardable_and_resizable unbounded_is_as_large_as_possible unbounded_holds_pages_anywhere
    unbounded_size_is_content_size unbounded_resizable_invalid_args out_null_invalid_args
    out_invalid_invalid_args out_half_mapped_invalid_args out_on_absent_pages
    unknown_options_invalid_args trap_dirty_invalid_args too_large_out_of_range largest_size
    order_of_checks
}
