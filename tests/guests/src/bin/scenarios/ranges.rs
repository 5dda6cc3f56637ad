//! Commits and hints through mappings of several VMOs.

use test_guests::pages::PAGE;
use test_guests::{Outcome, Service, equal, soon};
use zx::thread::JoinHandle;
use zx::{
    AsHandleRef, ChildOptions, PAGE_SIZE, Status, VmOptions, Vmar, VmarOp, Vmo, vmar_root_self,
};

const KEY: u64 = 0xBB1;
const OTHER: u64 = 0xBB2;
const READ_WRITE: VmOptions = VmOptions::PERM_READ.union(VmOptions::PERM_WRITE);
const CAN_MAP: VmOptions = VmOptions::CAN_MAP_SPECIFIC
    .union(VmOptions::CAN_MAP_READ)
    .union(VmOptions::CAN_MAP_WRITE);

/// A VMAR of sixteen pages and its address; it is destroyed with all in it at the end.
struct Region(Vmar, usize);

impl Region {
    fn new() -> Result<Region, Status> {
        let (vmar, base) = vmar_root_self().allocate(0, 16 * PAGE_SIZE, CAN_MAP)?;
        Ok(Region(vmar, base))
    }

    /// An operation on pages of the region, of a thread of its own.
    fn begin(&self, op: VmarOp, page: usize, pages: usize) -> Result<JoinHandle<Status>, Status> {
        let (vmar, at) = (self.0.raw_handle(), (self.1 + page * PAGE) as u64);
        let length = pages as u64 * PAGE_SIZE;
        zx::thread::spawn("range", move || {
            test_guests::raw::vmar_op_range(vmar, op as u32, at, length, 0, 0)
        })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: no Rust value lives in the region.
        let _ = unsafe { self.0.destroy() };
    }
}

/// Maps `pages` of a VMO from its page `first` on at a page of a VMAR.
fn map(vmar: &Vmar, page: u64, vmo: &Vmo, first: u64, pages: u64) -> Result<(), Status> {
    let options = READ_WRITE | VmOptions::SPECIFIC;
    let (place, from, length) = (page * PAGE_SIZE, first * PAGE_SIZE, pages * PAGE_SIZE);
    // SAFETY: SPECIFIC replaces nothing.
    unsafe { vmar.map(place, vmo, from, length, options).map(drop) }
}

/// Two pager VMOs of four pages with a plain one of two between.
fn three_vmos(service: &Service, region: &Region) -> Result<[Vmo; 3], Status> {
    let vmos = [
        service.vmo(KEY, 4)?,
        Vmo::create(2 * PAGE_SIZE)?,
        service.vmo(OTHER, 4)?,
    ];
    for (vmo, (page, pages)) in vmos.iter().zip([(0, 4), (4, 2), (6, 4)]) {
        map(&region.0, page, vmo, 0, pages)?;
    }
    Ok(vmos)
}

/// COMMIT asks one VMO after the other, in the order of addresses, and stops at a gap.
fn op_commit_vmar() -> Outcome {
    let (service, region) = (Service::new()?, Region::new()?);
    let [first, plain, second] = three_vmos(&service, &region)?;
    let commit = region.begin(VmarOp::Commit, 2, 6)?;
    service.expect_read(KEY, 2, 2)?;
    equal!(plain.info()?.committed_bytes, 0);
    service.supply(&first, KEY, 2, 2)?;
    service.expect_read(OTHER, 0, 2)?;
    equal!(plain.info()?.committed_bytes, 2 * PAGE_SIZE);
    service.supply(&second, OTHER, 0, 2)?;
    equal!(commit.join(soon())?, Status::OK);
    let commit = region.begin(VmarOp::Commit, 9, 2)?;
    service.expect_read(OTHER, 3, 1)?;
    service.supply(&second, OTHER, 3, 1)?;
    equal!(commit.join(soon())?, Status::BAD_STATE);
    service.expect_silence()
}

/// COMMIT through a clone's mapping: what is forked is kept, the rest is copied.
fn op_commit_clone_vmar() -> Outcome {
    let (service, region) = (Service::new()?, Region::new()?);
    let root = service.vmo(KEY, 2)?;
    let options = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;
    let clone = root.create_child(options, 0, 2 * PAGE_SIZE)?;
    service.supply(&root, KEY, 0, 1)?;
    clone.write(&[9], 0)?;
    map(&region.0, 0, &clone, 0, 2)?;
    let commit = region.begin(VmarOp::Commit, 0, 2)?;
    service.expect_read(KEY, 1, 1)?;
    service.supply(&root, KEY, 1, 1)?;
    equal!(commit.join(soon())?, Status::OK);
    equal!(clone.info()?.committed_bytes, 2 * PAGE_SIZE);
    let mut byte = [0];
    clone.read(&mut byte, 0)?;
    equal!(byte, [9]);
    test_guests::pages::check_vmo(&clone, Some(KEY), 1, 1)
}

/// ALWAYS_NEED asks for what pagers own; DONT_NEED asks for nothing.
fn eviction_hints_vmar() -> Outcome {
    let (service, region) = (Service::new()?, Region::new()?);
    let [first, plain, second] = three_vmos(&service, &region)?;
    let hint = region.begin(VmarOp::DontNeed, 0, 10)?;
    equal!(hint.join(soon())?, Status::OK);
    service.expect_silence()?;
    let hint = region.begin(VmarOp::AlwaysNeed, 0, 10)?;
    service.expect_read(KEY, 0, 4)?;
    service.supply(&first, KEY, 0, 4)?;
    service.expect_read(OTHER, 0, 4)?;
    service.supply(&second, OTHER, 0, 4)?;
    equal!(hint.join(soon())?, Status::OK);
    equal!(plain.info()?.committed_bytes, 0);
    Ok(())
}

/// Hints go into child VMARs.
fn eviction_hints_nested_vmar() -> Outcome {
    let (service, region) = (Service::new()?, Region::new()?);
    let (first, second) = (service.vmo(KEY, 4)?, service.vmo(OTHER, 2)?);
    let options = CAN_MAP | VmOptions::SPECIFIC;
    let (inner, _) = region.0.allocate(2 * PAGE_SIZE, 4 * PAGE_SIZE, options)?;
    map(&region.0, 0, &first, 0, 2)?;
    map(&inner, 0, &second, 0, 2)?;
    map(&inner, 2, &first, 2, 2)?;
    let hint = region.begin(VmarOp::AlwaysNeed, 0, 6)?;
    service.expect_read(KEY, 0, 2)?;
    service.supply(&first, KEY, 0, 2)?;
    service.expect_read(OTHER, 0, 2)?;
    service.supply(&second, OTHER, 0, 2)?;
    service.expect_read(KEY, 2, 2)?;
    service.supply(&first, KEY, 2, 2)?;
    equal!(hint.join(soon())?, Status::OK);
    Ok(())
}

/// A hint for a clone is one for what it shows of its root: it gains no page.
fn eviction_hints_clone_vmar() -> Outcome {
    let (service, region) = (Service::new()?, Region::new()?);
    let root = service.vmo(KEY, 4)?;
    let options = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;
    let clone = root.create_child(options, 0, 4 * PAGE_SIZE)?;
    service.supply(&root, KEY, 0, 1)?;
    clone.write(&[9], 0)?;
    map(&region.0, 0, &clone, 0, 4)?;
    let hint = region.begin(VmarOp::AlwaysNeed, 0, 4)?;
    service.expect_read(KEY, 1, 3)?;
    service.supply(&root, KEY, 1, 3)?;
    equal!(hint.join(soon())?, Status::OK);
    equal!(clone.info()?.committed_bytes, PAGE_SIZE);
    equal!(root.info()?.committed_bytes, 4 * PAGE_SIZE);
    Ok(())
}

/// Scenarios of this module.
pub const CASES: &[test_guests::Case] = &[
    ("OpCommitVmar", op_commit_vmar),
    ("OpCommitCloneVmar", op_commit_clone_vmar),
    ("EvictionHintsVmar", eviction_hints_vmar),
    ("EvictionHintsNestedVmar", eviction_hints_nested_vmar),
    ("EvictionHintsCloneVmar", eviction_hints_clone_vmar),
];
