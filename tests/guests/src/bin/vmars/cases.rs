//! VMARs in VMARs, operations on ranges of them, and mappings that end with a VMO's stream.

use test_guests::pages::{PAGE, check_mapping, filled_vmo};
use test_guests::raw::{self, out};
use test_guests::{Outcome, cases, equal, status};
use zx::{
    AsHandleRef, HandleBased, Mapping, PAGE_SIZE, Rights, Status, VmOptions, Vmar, VmarOp, Vmo,
    VmoOptions, vmar_root_self,
};

pub const READ: VmOptions = VmOptions::PERM_READ;
pub const READ_WRITE: VmOptions = READ.union(VmOptions::PERM_WRITE);
pub const CAN_MAP: VmOptions = VmOptions::CAN_MAP_SPECIFIC
    .union(VmOptions::CAN_MAP_READ)
    .union(VmOptions::CAN_MAP_WRITE);
pub const SPECIFIC: VmOptions = VmOptions::SPECIFIC;
pub const OVERWRITE: VmOptions = VmOptions::SPECIFIC_OVERWRITE;
const SEED: u64 = 31;

/// Maps `pages` of a VMO at a page of a VMAR, which replaces nothing.
pub fn map(
    vmar: &Vmar,
    page: u64,
    vmo: &Vmo,
    pages: u64,
    options: VmOptions,
) -> Result<usize, Status> {
    let options = (options | SPECIFIC) - OVERWRITE;
    // SAFETY: SPECIFIC replaces nothing.
    unsafe { vmar.map(page * PAGE_SIZE, vmo, 0, pages * PAGE_SIZE, options) }
}

/// Destroys a VMAR in which nothing lives that Rust knows of: so it is with all VMARs of these tests.
pub fn destroy(vmar: &Vmar) -> Result<(), Status> {
    // SAFETY: see above.
    unsafe { vmar.destroy() }
}

/// The word at an address that the test has mapped.
pub fn word(address: usize) -> u64 {
    let word;
    // SAFETY: the address is one of the test's mappings; or the access is to fail.
    unsafe {
        core::arch::asm!("mov {}, [{}]", out(reg) word, in(reg) address, options(nostack, readonly))
    };
    word
}

fn a_vmar_in_a_vmar() -> Outcome {
    let vmo = filled_vmo(SEED, 0, 2)?;
    let (outer, base) = vmar_root_self().allocate(0, 16 * PAGE_SIZE, CAN_MAP)?;
    let rights = Rights::DEFAULT_VMAR | Rights::READ | Rights::WRITE;
    equal!(outer.basic_info()?.rights, rights.bits());
    let (inner, at) = outer.allocate(4 * PAGE_SIZE, 4 * PAGE_SIZE, CAN_MAP | SPECIFIC)?;
    equal!(at, base + 4 * PAGE);
    let info = inner.info()?;
    equal!((info.base, info.len), (at as u64, 4 * PAGE_SIZE));
    equal!(map(&inner, 1, &vmo, 2, READ)?, at + PAGE);
    equal!(map(&outer, 5, &vmo, 1, READ), Err(Status::ALREADY_EXISTS));
    // SAFETY: mapped just now; unmapped when the VMAR is destroyed, which the mapping's end does not mind.
    let mapping = unsafe { Mapping::adopt(at + PAGE, 2 * PAGE) };
    check_mapping(&mapping, Some(SEED), 0, 2)?;
    mapping.leak();
    destroy(&outer)?;
    equal!(destroy(&inner), Err(Status::BAD_STATE));
    equal!(map(&inner, 0, &vmo, 1, READ), Err(Status::BAD_STATE));
    let root = vmar_root_self().raw_handle();
    status!(NOT_FOUND, raw::vmar_unmap(root, at as u64, 4 * PAGE_SIZE));
    let again = vmar_root_self().allocate(0, 16 * PAGE_SIZE, CAN_MAP)?;
    equal!(again.1, base);
    destroy(&again.0)?;
    Ok(())
}

/// What a call can do to the range of a child VMAR.
fn children_in_a_range() -> Outcome {
    let vmo = Vmo::create(4 * PAGE_SIZE)?;
    let (outer, base) = vmar_root_self().allocate(0, 8 * PAGE_SIZE, CAN_MAP)?;
    let (inner, at) = outer.allocate(2 * PAGE_SIZE, 2 * PAGE_SIZE, CAN_MAP | SPECIFIC)?;
    map(&outer, 1, &vmo, 1, READ_WRITE)?;
    map(&inner, 0, &vmo, 2, READ_WRITE)?;
    let (base, at) = (base as u64, at as u64);
    let weak = outer.duplicate_handle(Rights::READ | Rights::WRITE)?;
    let (outer_raw, weak_raw) = (outer.raw_handle(), weak.raw_handle());
    let (first, both) = (base + PAGE_SIZE, 3 * PAGE_SIZE);
    status!(
        INVALID_ARGS,
        raw::vmar_unmap(outer_raw, first, 2 * PAGE_SIZE)
    );
    status!(INVALID_ARGS, raw::vmar_unmap(weak_raw, first, both));
    status!(INVALID_ARGS, raw::vmar_protect(weak_raw, 1, first, both));
    let commit = VmarOp::Commit as u32;
    status!(
        INVALID_ARGS,
        raw::vmar_op_range(outer_raw, commit, first, both, 0, 0)
    );
    let zero = VmarOp::Zero as u32;
    status!(
        INVALID_ARGS,
        raw::vmar_op_range(weak_raw, zero, first, both, 0, 0)
    );
    status!(OK, raw::vmar_op_range(outer_raw, zero, first, both, 0, 0));
    status!(OK, raw::vmar_protect(outer_raw, 1, first, both));
    status!(ACCESS_DENIED, raw::vmar_protect(outer_raw, 3, first, both));
    status!(OK, raw::vmar_protect(inner.raw_handle(), 3, at, PAGE_SIZE));
    status!(OK, raw::vmar_unmap(outer_raw, first, both));
    equal!(destroy(&inner), Err(Status::BAD_STATE));
    destroy(&outer)?;
    Ok(())
}

/// COMMIT, ZERO and DECOMMIT through mappings of two VMOs.
fn op_range_across_vmos() -> Outcome {
    let vmos = [filled_vmo(SEED, 0, 2)?, filled_vmo(SEED, 2, 2)?];
    let (vmar, base) = vmar_root_self().allocate(0, 5 * PAGE_SIZE, CAN_MAP)?;
    let [first, second] = &vmos;
    map(&vmar, 0, first, 2, READ_WRITE)?;
    map(&vmar, 2, second, 2, READ_WRITE)?;
    // SAFETY: nothing lives there.
    let op = |op, page: usize, pages: usize| unsafe {
        vmar.op_range(op, base + page * PAGE, pages * PAGE)
    };
    op(VmarOp::Zero, 1, 2)?;
    for (page, zero) in [(0, false), (1, true), (2, true), (3, false)] {
        equal!(word(base + page * PAGE) == 0, zero);
    }
    op(VmarOp::MapRange, 0, 4)?;
    op(VmarOp::Decommit, 0, 4)?;
    equal!(first.info()?.committed_bytes, 0);
    op(VmarOp::Commit, 1, 2)?;
    equal!(first.info()?.committed_bytes, PAGE_SIZE);
    equal!(second.info()?.committed_bytes, PAGE_SIZE);
    equal!(op(VmarOp::Commit, 3, 2), Err(Status::BAD_STATE));
    equal!(second.info()?.committed_bytes, 2 * PAGE_SIZE);
    destroy(&vmar)?;
    Ok(())
}

/// A mapping with FAULT_BEYOND_STREAM_SIZE follows the stream up; where it ends, calls find no buffer.
fn beyond_the_stream() -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::RESIZABLE, 4 * PAGE_SIZE)?;
    vmo.set_content_size(PAGE_SIZE + 1)?;
    let options = READ_WRITE | VmOptions::ALLOW_FAULTS | VmOptions::FAULT_BEYOND_STREAM_SIZE;
    let mapping = Mapping::new(&vmo, 0, 4 * PAGE, options)?;
    mapping.set_word(2 * PAGE - 8, 5)?;
    let at = |page: usize| (mapping.base() + page * PAGE) as u64;
    let raw = vmo.raw_handle();
    status!(INVALID_ARGS, raw::vmo_get_size(raw, at(2)));
    status!(OK, raw::vmo_get_size(raw, at(1)));
    equal!(mapping.word(PAGE)?, 4 * PAGE_SIZE);
    vmo.set_content_size(3 * PAGE_SIZE)?;
    mapping.set_word(2 * PAGE, 6)?;
    status!(INVALID_ARGS, raw::vmo_get_size(raw, at(3)));
    vmo.set_content_size(PAGE_SIZE)?;
    status!(INVALID_ARGS, raw::vmo_get_size(raw, at(1)));
    vmo.set_content_size(2 * PAGE_SIZE)?;
    equal!(mapping.word(PAGE)?, 0);
    let mut address = 0u64;
    let (root, pages) = (vmar_root_self().raw_handle(), PAGE_SIZE);
    let demand = (options - VmOptions::ALLOW_FAULTS).bits();
    status!(
        INVALID_ARGS,
        raw::vmar_map(root, demand, 0, raw, 0, pages, out(&mut address))
    );
    Ok(())
}

/// Execute-only pages are readable: this machine cannot have them otherwise.
fn read_if_xom_unsupported() -> Outcome {
    let vmo = filled_vmo(SEED, 0, 1)?;
    let mapping = Mapping::new(&vmo, 0, PAGE, VmOptions::PERM_READ_IF_XOM_UNSUPPORTED)?;
    check_mapping(&mapping, Some(SEED), 0, 1)
}

cases! { "vmars":
    a_vmar_in_a_vmar children_in_a_range op_range_across_vmos beyond_the_stream read_if_xom_unsupported
}
