//! The calls that the documents point to for looking at a VMO: size, properties, info.

use protocol::info::{TOPIC_HANDLE_BASIC, TOPIC_HANDLE_VALID, TOPIC_VMO, TOPIC_VMO_V1};
use test_guests::raw::{self, BAD_HANDLES, out};
use test_guests::{Outcome, cases, check, equal, status};
use zx::{AsHandleRef, PAGE_SIZE, Port, Vmo, VmoInfoFlags, property};

fn get_size_errors() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let mut size = 0u64;
    for handle in BAD_HANDLES {
        status!(BAD_HANDLE, raw::vmo_get_size(handle, out(&mut size)));
    }
    status!(
        WRONG_TYPE,
        raw::vmo_get_size(Port::create()?.raw_handle(), out(&mut size))
    );
    for address in raw::bad_addresses() {
        status!(INVALID_ARGS, raw::vmo_get_size(vmo.raw_handle(), address));
    }
    Ok(())
}

fn name_is_kept() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    vmo.set_name("a name")?;
    let name = vmo.get_name()?;
    check!(name.starts_with(b"a name\0"));
    check!(vmo.info()?.name == name);
    Ok(())
}

/// Longer than 31 bytes is cut.
fn long_name_is_cut() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    vmo.set_name("0123456789012345678901234567890123456789")?;
    check!(vmo.get_name()? == *b"0123456789012345678901234567890\0");
    Ok(())
}

fn property_errors() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let handle = vmo.raw_handle();
    let mut value = [0u8; 32];
    let at = out(&mut value);
    status!(
        INVALID_ARGS,
        raw::object_get_property(handle, property::NAME, 0, 32)
    );
    status!(
        BUFFER_TOO_SMALL,
        raw::object_get_property(handle, property::NAME, at, 31)
    );
    let content = property::VMO_CONTENT_SIZE;
    status!(
        BUFFER_TOO_SMALL,
        raw::object_get_property(handle, content, at, 7)
    );
    status!(
        BUFFER_TOO_SMALL,
        raw::object_set_property(handle, content, at, 7)
    );
    status!(
        NOT_SUPPORTED,
        raw::object_get_property(handle, 9999, at, 32)
    );
    status!(
        NOT_SUPPORTED,
        raw::object_set_property(handle, 9999, at, 32)
    );
    let port = Port::create()?.raw_handle();
    status!(
        BAD_HANDLE,
        raw::object_get_property(port, property::NAME, at, 32)
    );
    Ok(())
}

fn vmo_info() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE + 1)?;
    vmo.write(&[1], 0)?;
    let info = vmo.info()?;
    equal!(info.koid, vmo.basic_info()?.koid);
    equal!(info.size_bytes, 2 * PAGE_SIZE);
    equal!(info.committed_bytes, PAGE_SIZE);
    equal!(info.handle_rights, vmo.basic_info()?.rights);
    let flags = VmoInfoFlags::TYPE_PAGED | VmoInfoFlags::VIA_HANDLE;
    equal!(VmoInfoFlags::from_bits_retain(info.flags), flags);
    Ok(())
}

/// A smaller, older record is a prefix; anything smaller still does not fit.
fn vmo_info_sizes() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let handle = vmo.raw_handle();
    let mut record = [0u8; 176];
    let (mut actual, mut avail) = (9u64, 9u64);
    let buffer = out(&mut record);
    let (actual_at, avail_at) = (out(&mut actual), out(&mut avail));
    let get = |topic, size| raw::object_get_info(handle, topic, buffer, size, actual_at, avail_at);
    status!(OK, get(TOPIC_VMO, 176));
    equal!((actual, avail), (1, 1));
    status!(OK, get(TOPIC_VMO_V1, 104));
    status!(BUFFER_TOO_SMALL, get(TOPIC_VMO, 175));
    equal!((actual, avail), (0, 1));
    status!(BUFFER_TOO_SMALL, get(TOPIC_VMO_V1, 103));
    Ok(())
}

fn info_errors() -> Outcome {
    let vmo = Vmo::create(PAGE_SIZE)?;
    let handle = vmo.raw_handle();
    let mut record = [0u8; 32];
    let buffer = out(&mut record);
    status!(
        OK,
        raw::object_get_info(handle, TOPIC_HANDLE_VALID, 0, 0, 0, 0)
    );
    status!(
        BAD_HANDLE,
        raw::object_get_info(0, TOPIC_HANDLE_VALID, 0, 0, 0, 0)
    );
    status!(
        BAD_HANDLE,
        raw::object_get_info(0x7FFF_FFFF, TOPIC_HANDLE_BASIC, buffer, 32, 0, 0)
    );
    status!(
        INVALID_ARGS,
        raw::object_get_info(handle, TOPIC_HANDLE_BASIC, 0, 32, 0, 0)
    );
    status!(
        NOT_SUPPORTED,
        raw::object_get_info(handle, 0x7777, buffer, 32, 0, 0)
    );
    let port = Port::create()?;
    let mut large = [0u8; 176];
    let buffer = out(&mut large);
    status!(
        WRONG_TYPE,
        raw::object_get_info(port.raw_handle(), TOPIC_VMO, buffer, 176, 0, 0)
    );
    Ok(())
}

cases! { "vmo_info":
    get_size_errors name_is_kept long_name_is_cut property_errors vmo_info vmo_info_sizes
    info_errors
}
