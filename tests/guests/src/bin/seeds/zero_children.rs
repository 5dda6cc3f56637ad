//! ZX_VMO_ZERO_CHILDREN, for plain VMOs and for a pager's (alike).

use test_guests::pages::PAGE;
use test_guests::{NOW, Outcome, Service, cases, equal, soon};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, Mapping, PAGE_SIZE, Rights, Signals, Status, Vmo,
};

const ZERO: Signals = Signals::VMO_ZERO_CHILDREN;

fn slice(vmo: &Vmo) -> Result<Vmo, Status> {
    vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)
}

/// Runs a case with a plain VMO, then with a pager's.
fn both(case: fn(&Vmo) -> Outcome) -> Outcome {
    case(&Vmo::create(2 * PAGE_SIZE)?)?;
    let service = Service::new()?;
    case(&service.vmo(1, 2)?)
}

/// A new VMO has the signal ...
fn active_at_first() -> Outcome {
    both(|vmo| {
        equal!(vmo.wait_handle(ZERO, NOW)?, ZERO);
        equal!(vmo.info()?.num_children, 0);
        Ok(())
    })
}

/// ... a child takes it away ...
fn inactive_with_a_child() -> Outcome {
    both(|vmo| {
        let child = slice(vmo)?;
        equal!(vmo.wait_handle(ZERO, NOW), Err(Status::TIMED_OUT));
        equal!(vmo.info()?.num_children, 1);
        equal!(child.info()?.parent_koid, vmo.basic_info()?.koid);
        // The child itself has none.
        equal!(child.wait_handle(ZERO, NOW)?, ZERO);
        Ok(())
    })
}

/// ... and the end of the last child brings it back,
fn active_again_after_the_last_child() -> Outcome {
    both(|vmo| {
        let (a, b) = (slice(vmo)?, slice(vmo)?);
        drop(a);
        equal!(vmo.wait_handle(ZERO, NOW), Err(Status::TIMED_OUT));
        drop(b);
        equal!(vmo.wait_handle(ZERO, soon())?, ZERO);
        Ok(())
    })
}

/// A second handle to the child keeps it.
fn a_duplicate_keeps_the_child() -> Outcome {
    both(|vmo| {
        let child = slice(vmo)?;
        let copy = child.duplicate_handle(Rights::SAME_RIGHTS)?;
        drop(child);
        equal!(vmo.wait_handle(ZERO, NOW), Err(Status::TIMED_OUT));
        drop(copy);
        equal!(vmo.wait_handle(ZERO, soon())?, ZERO);
        Ok(())
    })
}

/// for which the child must not be mapped either.
fn a_mapping_keeps_the_child() -> Outcome {
    both(|vmo| {
        let child = slice(vmo)?;
        let mapping = Mapping::read_only(&child, 0, PAGE)?;
        drop(child);
        equal!(vmo.wait_handle(ZERO, NOW), Err(Status::TIMED_OUT));
        drop(mapping);
        equal!(vmo.wait_handle(ZERO, soon())?, ZERO);
        Ok(())
    })
}

/// Mappings of the VMO itself are not children.
fn own_mappings_do_not_count() -> Outcome {
    both(|vmo| {
        let _mapping = Mapping::read_only(vmo, 0, PAGE)?;
        equal!(vmo.wait_handle(ZERO, NOW)?, ZERO);
        Ok(())
    })
}

/// A grandchild of a closed child still counts.
fn a_grandchild_counts() -> Outcome {
    both(|vmo| {
        let child = slice(vmo)?;
        let grandchild = slice(&child)?;
        drop(child);
        equal!(vmo.wait_handle(ZERO, NOW), Err(Status::TIMED_OUT));
        drop(grandchild);
        equal!(vmo.wait_handle(ZERO, soon())?, ZERO);
        Ok(())
    })
}

/// A slice shows the parent's own pages.
fn a_slice_shares_pages() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let child = vmo.create_child(ChildOptions::SLICE, PAGE_SIZE, PAGE_SIZE)?;
    child.write(b"both", 8)?;
    let mut bytes = [0; 4];
    vmo.read(&mut bytes, PAGE_SIZE + 8)?;
    equal!(bytes, *b"both");
    Ok(())
}

/// What a slice may not be.
fn slice_errors() -> Outcome {
    let vmo = Vmo::create(2 * PAGE_SIZE)?;
    let resizable = ChildOptions::SLICE | ChildOptions::RESIZABLE;
    let invalid = Err(Status::INVALID_ARGS);
    equal!(vmo.create_child(resizable, 0, PAGE_SIZE), invalid);
    equal!(
        vmo.create_child(ChildOptions::SLICE, PAGE_SIZE, 2 * PAGE_SIZE),
        invalid
    );
    equal!(
        vmo.create_child(ChildOptions::empty(), 0, PAGE_SIZE),
        invalid
    );
    let parent = Vmo::create_with_opts(zx::VmoOptions::RESIZABLE, PAGE_SIZE)?;
    let slice = parent.create_child(ChildOptions::SLICE, 0, PAGE_SIZE);
    equal!(slice, Err(Status::NOT_SUPPORTED));
    let huge = vmo.create_child(ChildOptions::SLICE, 0, u64::MAX);
    equal!(huge, Err(Status::OUT_OF_RANGE));
    Ok(())
}

cases! { "vmo_create.zero_children":
    active_at_first inactive_with_a_child active_again_after_the_last_child
    a_duplicate_keeps_the_child a_mapping_keeps_the_child own_mappings_do_not_count
    a_grandchild_counts a_slice_shares_pages slice_errors
}
