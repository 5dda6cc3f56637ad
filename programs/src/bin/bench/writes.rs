//! First writes to a clone's pages, and the search for pages that were written to.

use zx::{
    Mapping, PAGE_SIZE, Pager, Port, Status, Vmo, VmoChildOptions, VmoDirtyRange, VmoOp, VmoOptions,
};

use super::{Numbers, PAGE, cycles, order, timed};

/// Pages supplied at once.
const SUPPLY: u64 = 4096 * PAGE_SIZE;

/// Most dirty ranges.
const RANGES: usize = 2700;

/// The first stores to `count` pages of a snapshot of a VMO of `pages` pages, at random. Each was read before.
pub fn clone_writes(pages: usize, count: usize) -> Result<(), Status> {
    let length = pages * PAGE;
    let parent = Vmo::create(length as u64)?;
    let whole = Mapping::read_write(&parent, 0, length)?;
    for page in 0..pages {
        whole.set_word(page * PAGE, page as u64)?;
    }
    let child = parent.create_child(VmoChildOptions::SNAPSHOT, 0, length as u64)?;
    let mapping = Mapping::read_write(&child, 0, length)?;
    let (order, cycles_of) = (order(7, count, pages)?, Numbers::new(count)?);
    for at in 0..count {
        let page = order.get(at);
        if mapping.word(page * PAGE)? != page as u64 {
            return Err(Status::BAD_STATE);
        }
    }
    for at in 0..count {
        let address = mapping.base() + order.get(at) * PAGE;
        cycles_of.set(at, timed(address, true));
    }
    cycles_of.print(count)
}

/// `zx_pager_query_dirty_ranges` over a VMO of `pages` pages that are all there, each `every`th written to through a mapping.
pub fn dirty_ranges(pages: usize, every: usize, count: usize) -> Result<(), Status> {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let size = (pages * PAGE) as u64;
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, 1, size)?;
    let aux = Vmo::create(SUPPLY)?;
    for first in (0..size).step_by(SUPPLY as usize) {
        let length = SUPPLY.min(size - first);
        aux.op_range(VmoOp::Commit, 0..length)?;
        pager.supply_pages(&vmo, first..first + length, &aux, 0)?;
    }
    let mapping = Mapping::read_write(&vmo, 0, size as usize)?;
    for page in (0..pages).step_by(every) {
        mapping.set_word(page * PAGE, 1)?;
    }
    let mut ranges = [VmoDirtyRange::default(); RANGES];
    let cycles_of = Numbers::new(count)?;
    for at in 0..count {
        let begun = cycles();
        let found = pager.query_dirty_ranges(&vmo, 0..size, &mut ranges)?;
        cycles_of.set(at, (cycles() - begun) as usize);
        if found.actual != pages.div_ceil(every) {
            return Err(Status::BAD_STATE);
        }
    }
    cycles_of.print(count)
}
