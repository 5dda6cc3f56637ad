//! `zx_pager_supply_pages`: rights, errors, and which error wins.

use test_guests::pages::{check_vmo, filled_vmo};
use test_guests::raw::{self, BAD_HANDLES};
use test_guests::{Outcome, Service, cases, check, equal, status};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, PAGE_SIZE, Pager, Port, RawHandle, Rights, Status, Vmo,
    VmoOptions,
};

const KEY: u64 = 99;

/// A pager VMO of four pages and an auxiliary VMO of four filled pages.
struct Scene {
    service: Service,
    vmo: Vmo,
    aux: Vmo,
}

impl Scene {
    fn new() -> Result<Self, Status> {
        let service = Service::new()?;
        let vmo = service.vmo(KEY, 4)?;
        Ok(Scene {
            service,
            vmo,
            aux: filled_vmo(KEY, 0, 4)?,
        })
    }

    fn pager(&self) -> RawHandle {
        self.service.pager.raw_handle()
    }

    /// Supplies one page, with these handles.
    fn with(&self, pager: RawHandle, vmo: RawHandle, aux: RawHandle) -> Status {
        raw::pager_supply_pages(pager, vmo, 0, PAGE_SIZE, aux, 0)
    }

    /// Supplies with the scene's handles and this range.
    fn range(&self, offset: u64, length: u64, aux_offset: u64) -> Status {
        let (vmo, aux) = (self.vmo.raw_handle(), self.aux.raw_handle());
        raw::pager_supply_pages(self.pager(), vmo, offset, length, aux, aux_offset)
    }

    /// A refused call changed nothing.
    fn untouched(&self) -> Outcome {
        check_vmo(&self.aux, Some(KEY), 0, 4)?;
        equal!(self.vmo.info()?.committed_bytes, 0);
        Ok(())
    }
}

/// BAD_HANDLE: any of the three handles is none.
fn bad_handle() -> Outcome {
    let scene = Scene::new()?;
    let (vmo, aux) = (scene.vmo.raw_handle(), scene.aux.raw_handle());
    for bad in BAD_HANDLES {
        status!(BAD_HANDLE, scene.with(bad, vmo, aux));
        status!(BAD_HANDLE, scene.with(scene.pager(), bad, aux));
        status!(BAD_HANDLE, scene.with(scene.pager(), vmo, bad));
    }
    scene.untouched()
}

/// WRONG_TYPE: any of the three handles is of something else.
fn wrong_type() -> Outcome {
    let scene = Scene::new()?;
    let (vmo, aux) = (scene.vmo.raw_handle(), scene.aux.raw_handle());
    let port = scene.service.port.raw_handle();
    status!(WRONG_TYPE, scene.with(port, vmo, aux));
    status!(WRONG_TYPE, scene.with(scene.pager(), port, aux));
    status!(WRONG_TYPE, scene.with(scene.pager(), vmo, port));
    scene.untouched()
}

/// INVALID_ARGS: the VMO is not this pager's own.
fn not_a_vmo_of_this_pager_invalid_args() -> Outcome {
    let scene = Scene::new()?;
    let aux = scene.aux.raw_handle();
    let plain = Vmo::create(PAGE_SIZE)?;
    status!(
        INVALID_ARGS,
        scene.with(scene.pager(), plain.raw_handle(), aux)
    );
    let other = Service::new()?;
    let foreign = other.vmo(KEY, 1)?;
    status!(
        INVALID_ARGS,
        scene.with(scene.pager(), foreign.raw_handle(), aux)
    );
    let child = scene.vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    status!(
        INVALID_ARGS,
        scene.with(scene.pager(), child.raw_handle(), aux)
    );
    scene.untouched()
}

/// INVALID_ARGS: offsets or length that are no whole pages.
fn unaligned_invalid_args() -> Outcome {
    let scene = Scene::new()?;
    for odd in [1, 512, 4095, PAGE_SIZE + 8] {
        status!(INVALID_ARGS, scene.range(odd, PAGE_SIZE, 0));
        status!(INVALID_ARGS, scene.range(0, odd, 0));
        status!(INVALID_ARGS, scene.range(0, PAGE_SIZE, odd));
    }
    scene.untouched()
}

/// ACCESS_DENIED: a pager handle without MANAGE_VMO.
fn pager_without_manage_access_denied() -> Outcome {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, KEY, PAGE_SIZE)?;
    let aux = Vmo::create(PAGE_SIZE)?;
    let pager = pager.replace_handle(Rights::DEFAULT_PAGER - Rights::MANAGE_VMO)?;
    equal!(
        pager.supply_pages(&vmo, 0..PAGE_SIZE, &aux, 0),
        Err(Status::ACCESS_DENIED)
    );
    Ok(())
}

/// ACCESS_DENIED: an auxiliary handle without WRITE (newer: or READ).
fn aux_without_rights_access_denied() -> Outcome {
    let scene = Scene::new()?;
    for right in [Rights::WRITE, Rights::READ] {
        let aux = scene.aux.duplicate_handle(Rights::DEFAULT_VMO - right)?;
        let answer = scene.with(scene.pager(), scene.vmo.raw_handle(), aux.raw_handle());
        equal!(answer, Status::ACCESS_DENIED);
    }
    scene.untouched()
}

/// ACCESS_DENIED: a handle to the pager's VMO without WRITE.
fn vmo_without_write_access_denied() -> Outcome {
    let scene = Scene::new()?;
    let vmo = scene
        .vmo
        .duplicate_handle(Rights::DEFAULT_VMO - Rights::WRITE)?;
    let answer = scene.with(scene.pager(), vmo.raw_handle(), scene.aux.raw_handle());
    equal!(answer, Status::ACCESS_DENIED);
    scene.untouched()
}

/// BAD_STATE: the VMO is detached.
fn detached_bad_state() -> Outcome {
    let scene = Scene::new()?;
    scene.service.pager.detach_vmo(&scene.vmo)?;
    status!(BAD_STATE, scene.range(0, PAGE_SIZE, 0));
    // The auxiliary range is as it was, or empty; never in between.
    let committed = scene.aux.info()?.committed_bytes;
    check!(
        committed == 4 * PAGE_SIZE || committed == 3 * PAGE_SIZE,
        "{committed} bytes are left"
    );
    Ok(())
}

/// Of what ZX_ERR_NOT_SUPPORTED names, only a pager's VMO can be had here: it cannot be the auxiliary one.
fn pager_backed_aux_not_supported() -> Outcome {
    let scene = Scene::new()?;
    let aux = scene.service.vmo(KEY + 1, 4)?;
    let answer = scene.with(scene.pager(), scene.vmo.raw_handle(), aux.raw_handle());
    equal!(answer, Status::NOT_SUPPORTED);
    // Not even the VMO itself.
    let vmo = scene.vmo.raw_handle();
    status!(NOT_SUPPORTED, scene.with(scene.pager(), vmo, vmo));
    Ok(())
}

/// OUT_OF_RANGE: beyond the pager's VMO ...
fn vmo_range_out_of_range() -> Outcome {
    let scene = Scene::new()?;
    for (offset, length) in [(4, 1), (3, 2), (0, 5), (1 << 50, 1)] {
        let aux = filled_vmo(KEY, 0, 5)?;
        let (offset, length) = (offset * PAGE_SIZE, length * PAGE_SIZE);
        let (vmo, aux_handle) = (scene.vmo.raw_handle(), aux.raw_handle());
        status!(
            OUT_OF_RANGE,
            raw::pager_supply_pages(scene.pager(), vmo, offset, length, aux_handle, 0)
        );
        let committed = aux.info()?.committed_bytes;
        let taken = 5 * PAGE_SIZE - length;
        check!(
            committed == 5 * PAGE_SIZE || committed == taken,
            "{committed} bytes are left"
        );
    }
    let last = u64::MAX - 4095;
    status!(OUT_OF_RANGE, scene.range(last, PAGE_SIZE, 0));
    Ok(())
}

/// ... or beyond the auxiliary one.
fn aux_range_out_of_range() -> Outcome {
    let scene = Scene::new()?;
    let last = u64::MAX - 4095;
    status!(OUT_OF_RANGE, scene.range(0, PAGE_SIZE, 4 * PAGE_SIZE));
    status!(OUT_OF_RANGE, scene.range(0, 2 * PAGE_SIZE, 3 * PAGE_SIZE));
    status!(OUT_OF_RANGE, scene.range(0, PAGE_SIZE, last));
    status!(OUT_OF_RANGE, scene.range(0, last, PAGE_SIZE));
    scene.untouched()
}

/// Alignment, pager, pager_vmo, whose VMO it is, aux_vmo, then ranges and state.
fn order_of_checks() -> Outcome {
    let scene = Scene::new()?;
    let (pager, vmo, aux) = (
        scene.pager(),
        scene.vmo.raw_handle(),
        scene.aux.raw_handle(),
    );
    let plain = Vmo::create(PAGE_SIZE)?;
    let port = scene.service.port.raw_handle();
    status!(INVALID_ARGS, raw::pager_supply_pages(0, 0, 1, 0, 0, 0));
    status!(WRONG_TYPE, raw::pager_supply_pages(port, 0, 0, 0, 0, 0));
    status!(WRONG_TYPE, raw::pager_supply_pages(pager, port, 0, 0, 0, 0));
    status!(
        INVALID_ARGS,
        raw::pager_supply_pages(pager, plain.raw_handle(), 0, 0, 0, 0)
    );
    status!(BAD_HANDLE, raw::pager_supply_pages(pager, vmo, 0, 0, 0, 0));
    status!(
        WRONG_TYPE,
        raw::pager_supply_pages(pager, vmo, 1 << 40, PAGE_SIZE, port, 0)
    );
    // What cannot supply is refused before either range is looked at.
    let paged = scene.service.vmo(KEY + 1, 1)?;
    let handle = paged.raw_handle();
    status!(
        NOT_SUPPORTED,
        raw::pager_supply_pages(pager, vmo, 1 << 40, PAGE_SIZE, handle, 0)
    );
    // The destination's range is looked at before its state.
    scene.service.pager.detach_vmo(&scene.vmo)?;
    status!(
        OUT_OF_RANGE,
        raw::pager_supply_pages(pager, vmo, 4 * PAGE_SIZE, PAGE_SIZE, aux, 0)
    );
    Ok(())
}

cases! { "pager_supply_pages.errors":
    bad_handle wrong_type not_a_vmo_of_this_pager_invalid_args unaligned_invalid_args
    pager_without_manage_access_denied aux_without_rights_access_denied
    vmo_without_write_access_denied detached_bad_state pager_backed_aux_not_supported
    vmo_range_out_of_range aux_range_out_of_range order_of_checks
}
