//! Pagers: who answers for the absent pages of a VMO.

use core::ops::Range;
use protocol::Status;
use protocol::options::VmoOptions;

use crate::handle::{created, object};
use crate::{AsHandleRef, Port, Vmo, sys};

object! {
    /// A pager.
    Pager
}

impl Pager {
    /// `zx_pager_create`.
    pub fn create() -> Result<Pager, Status> {
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::pager_create(0, out) }).map(Pager)
    }

    /// `zx_pager_create_vmo`: requests for its pages come to `port` with `key`.
    pub fn create_vmo(
        &self,
        options: VmoOptions,
        port: &Port,
        key: u64,
        size: u64,
    ) -> Result<Vmo, Status> {
        let (pager, port, options) = (self.raw_handle(), port.raw_handle(), options.bits());
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::pager_create_vmo(pager, options, port, key, size, out) })
            .map(Vmo::from)
    }

    /// `zx_pager_detach_vmo`.
    pub fn detach_vmo(&self, vmo: &Vmo) -> Result<(), Status> {
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::pager_detach_vmo(self.raw_handle(), vmo.raw_handle()).ok() }
    }

    /// `zx_pager_supply_pages`: moves pages of `aux` from `aux_offset` on into `range` of `vmo`.
    pub fn supply_pages(
        &self,
        vmo: &Vmo,
        range: Range<u64>,
        aux: &Vmo,
        aux_offset: u64,
    ) -> Result<(), Status> {
        let length = range.end.saturating_sub(range.start);
        let (pager, vmo, aux) = (self.raw_handle(), vmo.raw_handle(), aux.raw_handle());
        // SAFETY: Rust values never live in a VMO that the program maps (see `Mapping`).
        unsafe { sys::pager_supply_pages(pager, vmo, range.start, length, aux, aux_offset).ok() }
    }
}
