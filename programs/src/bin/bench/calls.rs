//! What system calls take.

use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, Pager, Port, Status, VmarFlags, Vmo, VmoChildOptions, VmoOp,
    VmoOptions, time,
};

use super::{Numbers, PAGE, cycles};

/// Writes out what each of `count` calls took, which `one` makes and takes the time of.
fn calls(count: usize, mut one: impl FnMut(usize) -> Result<usize, Status>) -> Result<(), Status> {
    let cycles_of = Numbers::new(count)?;
    for at in 0..count {
        cycles_of.set(at, one(at)?);
    }
    cycles_of.print(count)
}

/// The cycles that a call takes, and what it gives.
#[inline(always)]
fn timed<T>(call: impl FnOnce() -> Result<T, Status>) -> Result<(usize, T), Status> {
    let begun = cycles();
    let value = call()?;
    Ok(((cycles() - begun) as usize, value))
}

/// Memory that is all there.
fn committed(bytes: u64) -> Result<Vmo, Status> {
    let vmo = Vmo::create(bytes)?;
    vmo.op_range(VmoOp::Commit, 0..bytes)?;
    Ok(vmo)
}

pub fn null(count: usize) -> Result<(), Status> {
    calls(count, |_| {
        Ok(timed(|| Ok(core::hint::black_box(time::now())))?.0)
    })
}

pub fn supply(pages: u64, count: usize) -> Result<(), Status> {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let length = pages * PAGE_SIZE;
    let size = length * count as u64;
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, 1, size)?;
    let aux = Vmo::create(length)?;
    calls(count, |at| {
        aux.op_range(VmoOp::Commit, 0..length)?;
        let first = length * at as u64;
        Ok(timed(|| pager.supply_pages(&vmo, first..first + length, &aux, 0))?.0)
    })
}

pub fn clone(pages: u64, count: usize) -> Result<(), Status> {
    let length = pages * PAGE_SIZE;
    calls(count, |_| {
        let parent = Vmo::create(length)?;
        let (cycles, child) = timed(|| parent.create_child(VmoChildOptions::SNAPSHOT, 0, length))?;
        drop(child);
        Ok(cycles)
    })
}

/// From one VMO into the memory of another, or the other way.
pub fn copy(write: bool, bytes: usize, count: usize) -> Result<(), Status> {
    let (vmo, memory) = (committed(bytes as u64)?, committed(bytes as u64)?);
    let buffer = Mapping::read_write(&memory, 0, bytes.next_multiple_of(PAGE))?;
    for page in (0..bytes).step_by(PAGE) {
        buffer.set_word(page, 1)?;
    }
    let (vmo, address) = (vmo.raw_handle(), buffer.leak() as u64);
    let call = match write {
        true => zx::sys::vmo_write,
        false => zx::sys::vmo_read,
    };
    // SAFETY: the mapping stays, and no Rust value lives there.
    let copy = || unsafe { call(vmo, address, 0, bytes as u64).ok() };
    calls(count, |_| Ok(timed(copy)?.0))
}

/// Maps pages that are there so that no touch of them is a fault, and unmaps them.
pub fn map(pages: usize, count: usize) -> Result<(), Status> {
    let length = pages * PAGE;
    let vmo = committed(length as u64)?;
    let flags = VmarFlags::PERM_READ | VmarFlags::MAP_RANGE;
    calls(count, |_| {
        let both = || Mapping::new(&vmo, 0, length, flags).map(drop);
        Ok(timed(both)?.0)
    })
}
