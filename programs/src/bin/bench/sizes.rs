//! What grows with the size of a VMO and with the number of pages and faults: time, and the VMM's memory.

use zx::{Mapping, PAGE_SIZE, Startup, Status, Unowned, Vmo, VmoOp};

use super::{Numbers, PAGE, crowd, order, timed};

/// Pages that lie together: those of one page table.
const TOGETHER: usize = 512;

/// Reads in `count` places that are spread evenly over a VMO, `each` pages of each, in turn: first one of every place, then another.
pub fn places(startup: &Startup<'_>, count: usize, each: usize) -> Result<(), Status> {
    let raw = startup
        .arg(4)
        .and_then(|name| startup.handle(name))
        .ok_or(Status::NOT_FOUND)?;
    let vmo = Unowned::<Vmo>::from_raw(raw);
    let size = vmo.get_size()? as usize;
    let stride = size / count / (TOGETHER * PAGE) * (TOGETHER * PAGE);
    if stride == 0 || each > TOGETHER {
        return Err(Status::INVALID_ARGS);
    }
    let base = Mapping::read_only(&vmo, 0, size)?.leak();
    let (order, cycles_of) = (order(7, each, TOGETHER)?, Numbers::new(count * each)?);
    for touch in 0..count * each {
        let address = base + touch % count * stride + order.get(touch / count) * PAGE;
        cycles_of.set(touch, timed(address, false));
    }
    cycles_of.print(count * each)
}

/// Comes to a point after each step: nothing, `vmos` VMOs with a page each, a VMO of `pages` pages that are all there, `faults` faults
/// in it.
pub fn memory(vmos: u64, pages: usize, faults: usize) -> Result<(), Status> {
    point(b'0')?;
    crowd(vmos)?;
    point(b'1')?;
    let length = pages * PAGE;
    let vmo = Vmo::create(length as u64)?;
    let mapping = Mapping::read_write(&vmo, 0, length)?;
    for page in 0..pages {
        mapping.set_word(page * PAGE, 1)?;
    }
    point(b'2')?;
    for touch in 0..faults {
        if touch % pages == 0 {
            vmo.op_range(VmoOp::Decommit, 0..length as u64)?;
        }
        // Backwards, so that no page comes ahead of its fault.
        mapping.set_word((pages - 1 - touch % pages) * PAGE, 1)?;
    }
    point(b'3')
}

/// More than a pipe holds (pipe(7)): whoever reads it has the program wait.
const POINT: usize = 17;

/// Writes so much that it waits until somebody reads.
fn point(name: u8) -> Result<(), Status> {
    let bytes = [name; PAGE_SIZE as usize];
    for _ in 0..POINT {
        // SAFETY: the buffer is this program's own.
        unsafe { zx::sys::debug_write(bytes.as_ptr() as u64, PAGE_SIZE).ok()? };
    }
    Ok(())
}
