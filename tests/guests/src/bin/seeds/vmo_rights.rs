//! `zx_vmo_create`: the rights of the new handle, and what each of them is for.

use test_guests::pages::PAGE;
use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, equal, status};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, Mapping, PAGE_SIZE, Rights, Status, VmOptions, Vmo,
    VmoOptions, property,
};

/// A handle with one right taken away, to a VMO with all of them.
fn without(right: Rights) -> Result<Vmo, Status> {
    let vmo = Vmo::create_with_opts(VmoOptions::RESIZABLE, PAGE_SIZE)?;
    vmo.replace_handle((Rights::DEFAULT_VMO | Rights::RESIZE) - right)
}

/// The rights of a new handle.
fn default_rights() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    equal!(
        Rights::from_bits_retain(vmo.basic_info()?.rights),
        Rights::DEFAULT_VMO
    );
    Ok(())
}

/// RESIZE comes with the option RESIZABLE only.
fn resize_right_only_if_resizable() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::RESIZABLE, PAGE_SIZE)?;
    equal!(
        vmo.basic_info()?.rights,
        (Rights::DEFAULT_VMO | Rights::RESIZE).bits()
    );
    for options in [VmoOptions::DISCARDABLE, VmoOptions::UNBOUNDED] {
        let vmo = Vmo::create_with_opts(options, 0)?;
        equal!(vmo.basic_info()?.rights, Rights::DEFAULT_VMO.bits());
    }
    Ok(())
}

/// DUPLICATE: it can be duplicated.
fn duplicate() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let copy = vmo.duplicate_handle(Rights::SAME_RIGHTS)?;
    equal!(copy.basic_info()?.koid, vmo.basic_info()?.koid);
    equal!(copy.basic_info()?.rights, Rights::DEFAULT_VMO.bits());
    let denied = without(Rights::DUPLICATE)?.duplicate_handle(Rights::SAME_RIGHTS);
    equal!(denied, Err(Status::ACCESS_DENIED));
    Ok(())
}

/// READ: it can be read, and mapped readable.
fn read() -> Outcome {
    let vmo = without(Rights::READ)?;
    equal!(vmo.read(&mut [0; 4], 0), Err(Status::ACCESS_DENIED));
    equal!(
        Mapping::read_only(&vmo, 0, PAGE).err(),
        Some(Status::ACCESS_DENIED)
    );
    vmo.write(&[1; 4], 0)?;
    Ok(())
}

/// WRITE: it can be written, and mapped writable.
fn write() -> Outcome {
    let vmo = without(Rights::WRITE)?;
    equal!(vmo.write(&[0; 4], 0), Err(Status::ACCESS_DENIED));
    equal!(
        Mapping::read_write(&vmo, 0, PAGE).err(),
        Some(Status::ACCESS_DENIED)
    );
    vmo.read(&mut [0; 4], 0)?;
    Mapping::read_only(&vmo, 0, PAGE)?;
    Ok(())
}

/// MAP: it can be mapped.
fn map() -> Outcome {
    let vmo = without(Rights::MAP)?;
    equal!(
        Mapping::read_only(&vmo, 0, PAGE).err(),
        Some(Status::ACCESS_DENIED)
    );
    vmo.read(&mut [0; 4], 0)?;
    Ok(())
}

/// No EXECUTE by default.
fn no_execute() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let options = VmOptions::PERM_READ | VmOptions::PERM_EXECUTE;
    equal!(
        Mapping::new(&vmo, 0, PAGE, options).err(),
        Some(Status::ACCESS_DENIED)
    );
    Ok(())
}

/// GET_PROPERTY: its properties can be read.
fn get_property() -> Outcome {
    let vmo = without(Rights::GET_PROPERTY)?;
    equal!(vmo.get_name(), Err(Status::ACCESS_DENIED));
    equal!(vmo.get_content_size(), Err(Status::ACCESS_DENIED));
    vmo.set_name("x")?;
    Ok(())
}

/// SET_PROPERTY: its properties can be set.
fn set_property() -> Outcome {
    let vmo = without(Rights::SET_PROPERTY)?;
    equal!(vmo.set_name("x"), Err(Status::ACCESS_DENIED));
    equal!(vmo.set_content_size(1), Err(Status::ACCESS_DENIED));
    vmo.get_name()?;
    Ok(())
}

/// Newer than the document: the content size needs WRITE as well.
fn set_content_size_needs_write() -> Outcome {
    let vmo = without(Rights::WRITE)?;
    let handle = vmo.raw_handle();
    equal!(vmo.set_content_size(1), Err(Status::ACCESS_DENIED));
    // ... and says so before it looks at the size of the value.
    let mut value = 1u64;
    let address = out(&mut value);
    let number = property::VMO_CONTENT_SIZE;
    status!(
        ACCESS_DENIED,
        raw::object_set_property(handle, number, address, 1)
    );
    Ok(())
}

/// RESIZE: its size can be set.
fn resize() -> Outcome {
    let vmo = without(Rights::RESIZE)?;
    equal!(vmo.set_size(2 * PAGE_SIZE), Err(Status::ACCESS_DENIED));
    let vmo = without(Rights::WRITE)?;
    equal!(vmo.set_size(2 * PAGE_SIZE), Err(Status::ACCESS_DENIED));
    equal!(vmo.get_size()?, PAGE_SIZE);
    Ok(())
}

/// Rights of the handle say what a child may do: making one needs DUPLICATE and READ.
fn child_needs_duplicate_and_read() -> Outcome {
    for right in [Rights::DUPLICATE, Rights::READ] {
        let vmo = Vmo::create(PAGE_SIZE)?.replace_handle(Rights::DEFAULT_VMO - right)?;
        let child = vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE);
        equal!(child, Err(Status::ACCESS_DENIED));
    }
    Ok(())
}

cases! { "vmo_create.rights":
    default_rights resize_right_only_if_resizable duplicate read write map no_execute get_property
    set_property set_content_size_needs_write resize child_needs_duplicate_and_read
}
