//! Arguments that are refused, and auxiliary VMOs that are mapped.

use protocol::syscall::SyscallNumber as N;
use test_guests::{Outcome, equal, raw};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, Mapping, PAGE_SIZE, Pager, Rights, Status, Vmo,
    VmoOptions,
};

use crate::act::call;
use crate::scene::scene;

fn invalid_pager_create() -> Outcome {
    let mut out = 0u32;
    equal!(
        call(N::PagerCreate, [1, raw::out(&mut out)]),
        Status::INVALID_ARGS
    );
    equal!(call(N::PagerCreate, [0, 0]), Status::INVALID_ARGS);
    Ok(())
}

fn invalid_pager_create_vmo() -> Outcome {
    let s = scene(1)?;
    let port = s
        .port
        .duplicate_handle(Rights::DEFAULT_PORT - Rights::WRITE)?;
    let (pager, port, unwritable) = (s.pager.raw_handle(), s.port.raw_handle(), port.raw_handle());
    let (vmo, mut out) = (s.vmo.raw_handle(), 0u32);
    let out = raw::out(&mut out);
    for (pager, options, port, size, status) in [
        (pager, u32::MAX, port, PAGE_SIZE, Status::INVALID_ARGS),
        (0, 0, port, PAGE_SIZE, Status::BAD_HANDLE),
        (vmo, 0, port, PAGE_SIZE, Status::WRONG_TYPE),
        (pager, 0, 0, PAGE_SIZE, Status::BAD_HANDLE),
        (pager, 0, vmo, PAGE_SIZE, Status::WRONG_TYPE),
        (pager, 0, unwritable, PAGE_SIZE, Status::ACCESS_DENIED),
        (pager, 0, port, u64::MAX, Status::OUT_OF_RANGE),
        (pager, 4, port, PAGE_SIZE, Status::INVALID_ARGS),
        (pager, 2 | 16, port, 0, Status::INVALID_ARGS),
    ] {
        equal!(
            raw::pager_create_vmo(pager, options, port, 0, size, out),
            status
        );
    }
    Ok(())
}

fn create_vmo_unbounded_invalid_stream_size() -> Outcome {
    let s = scene(1)?;
    let made = s
        .pager
        .create_vmo(VmoOptions::UNBOUNDED, &s.port, 0, u64::MAX);
    equal!(made.map(|_| ()), Err(Status::INVALID_ARGS));
    Ok(())
}

fn invalid_pager_detach_vmo() -> Outcome {
    let s = scene(1)?;
    let (plain, other) = (Vmo::create(PAGE_SIZE)?, Pager::create()?);
    let clone = s.child(ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0..1)?;
    let (pager, vmo) = (s.pager.raw_handle(), s.vmo.raw_handle());
    for (pager, vmo, status) in [
        (0, vmo, Status::BAD_HANDLE),
        (vmo, vmo, Status::WRONG_TYPE),
        (pager, 0, Status::BAD_HANDLE),
        (pager, pager, Status::WRONG_TYPE),
        (pager, plain.raw_handle(), Status::INVALID_ARGS),
        (pager, clone.raw_handle(), Status::INVALID_ARGS),
        (other.raw_handle(), vmo, Status::INVALID_ARGS),
    ] {
        equal!(raw::pager_detach_vmo(pager, vmo), status);
    }
    Ok(())
}

fn invalid_pager_supply_pages() -> Outcome {
    let s = scene(2)?;
    let (large, small, other) = (
        Vmo::create(2 * PAGE_SIZE)?,
        Vmo::create(PAGE_SIZE)?,
        Pager::create()?,
    );
    let (pager, vmo, page) = (s.pager.raw_handle(), s.vmo.raw_handle(), PAGE_SIZE);
    let (aux, small, other) = (large.raw_handle(), small.raw_handle(), other.raw_handle());
    for (pager, vmo, offset, length, aux, aux_offset, status) in [
        (pager, vmo, 1, page, aux, 0, Status::INVALID_ARGS),
        (pager, vmo, 0, 1, aux, 0, Status::INVALID_ARGS),
        (pager, vmo, 0, page, aux, 1, Status::INVALID_ARGS),
        (0, vmo, 0, page, aux, 0, Status::BAD_HANDLE),
        (vmo, vmo, 0, page, aux, 0, Status::WRONG_TYPE),
        (pager, 0, 0, page, aux, 0, Status::BAD_HANDLE),
        (pager, pager, 0, page, aux, 0, Status::WRONG_TYPE),
        (pager, small, 0, page, aux, 0, Status::INVALID_ARGS),
        (other, vmo, 0, page, aux, 0, Status::INVALID_ARGS),
        (pager, vmo, 0, page, 0, 0, Status::BAD_HANDLE),
        (pager, vmo, 0, page, pager, 0, Status::WRONG_TYPE),
        (pager, vmo, 0, 2 * page, small, 0, Status::OUT_OF_RANGE),
        (pager, vmo, page, 2 * page, aux, 0, Status::OUT_OF_RANGE),
    ] {
        let status_now = raw::pager_supply_pages(pager, vmo, offset, length, aux, aux_offset);
        equal!(status_now, status);
    }
    Ok(())
}

fn mapped_supply_pages() -> Outcome {
    let s = scene(1)?;
    let aux = Vmo::create(PAGE_SIZE)?;
    let mapping = Mapping::read_write(&aux, 0, PAGE_SIZE as usize)?;
    mapping.copy_in(0, &[9; 4096])?;
    s.pager.supply_pages(&s.vmo, 0..PAGE_SIZE, &aux, 0)?;
    s.bytes_are(&s.vmo, 0, &[9])?;
    equal!(mapping.word(0)?, 0);
    equal!(mapping.word(4088)?, 0);
    Ok(())
}

crate::scenarios! {
    "InvalidPagerCreate" invalid_pager_create
    "InvalidPagerCreateVmo" invalid_pager_create_vmo
    "CreateVmoUnboundedInvalidStreamSize" create_vmo_unbounded_invalid_stream_size
    "InvalidPagerDetachVmo" invalid_pager_detach_vmo
    "InvalidPagerSupplyPages" invalid_pager_supply_pages
    "MappedSupplyPages" mapped_supply_pages;
    reading;
    writing;
}
