//! Resources, the stub IOMMU, contiguous and physical VMOs, cache policy, executable VMOs.

use protocol::PolicyAction::Deny;
use protocol::PolicyCondition::{AmbientMarkVmoExec, NewVmo};
use protocol::info::{InfoResource, TOPIC_RESOURCE, VmoInfoFlags};
use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use protocol::{MAX_VMO_SIZE, RawHandle};
use zircon::{ObjectRef, ResourceId, ResourceKind};

use super::*;
use crate::common::Outcome;

const SLICE: u32 = 8;

fn resource(m: &mut TestMachine, kind: ResourceKind) -> u32 {
    let id = m.kernel.add_resource("some", kind);
    give(m, id)
}

fn give(m: &mut TestMachine, id: ResourceId) -> u32 {
    let (process, object) = (m.main.process, ObjectRef::Resource(id));
    m.kernel
        .give_handle(process, object, Rights::DEFAULT_RESOURCE)
        .unwrap()
}

/// A range of guest-physical memory that is granted: the resource and its first address.
pub(super) fn mmio(m: &mut TestMachine, pages: u64) -> (u32, u64) {
    let id = m.kernel.add_region("range", pages * PAGE_SIZE).unwrap();
    m.settle();
    let handle = give(m, id);
    let record = info(m, handle);
    let base = u64::from_le_bytes(record[8..16].try_into().unwrap());
    (handle, base)
}

fn info(m: &mut TestMachine, handle: u32) -> Vec<u8> {
    let out = m.alloc(56);
    let args = [handle.into(), TOPIC_RESOURCE.into(), out, 56, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::OK);
    m.peek(out, 56)
}

pub(crate) fn bti(m: &mut TestMachine) -> u32 {
    let resource = resource(m, ResourceKind::Iommu);
    let out = m.alloc(4);
    let args = [resource.into(), 0, 0, 8, out];
    assert_eq!(m.call(N::IommuCreate, &args), Status::OK);
    let iommu = m.peek_u32(out);
    let args = [iommu.into(), 0, 77, out];
    assert_eq!(m.call(N::BtiCreate, &args), Status::OK);
    m.peek_u32(out)
}

pub(super) fn contiguous(
    m: &mut TestMachine,
    bti: u32,
    size: u64,
    align: u32,
) -> Result<u32, Status> {
    let out = m.alloc(4);
    let args = [bti.into(), size, align.into(), out];
    m.call(N::VmoCreateContiguous, &args).ok()?;
    Ok(m.peek_u32(out))
}

pub(super) fn physical(
    m: &mut TestMachine,
    resource: u32,
    at: u64,
    size: u64,
) -> Result<u32, Status> {
    let out = m.alloc(4);
    let args = [resource.into(), at, size, out];
    m.call(N::VmoCreatePhysical, &args).ok()?;
    Ok(m.peek_u32(out))
}

fn set_cache_policy(m: &mut TestMachine, vmo: u32, policy: u32) -> Status {
    m.call(N::VmoSetCachePolicy, &[vmo.into(), policy.into()])
}

fn executable(m: &mut TestMachine, vmo: RawHandle, vmex: u32) -> Result<u32, Status> {
    let out = m.alloc(4);
    let args = [vmo.into(), vmex.into(), out];
    m.call(N::VmoReplaceAsExecutable, &args).ok()?;
    Ok(m.peek_u32(out))
}

#[test]
fn iommu_create_order_of_checks() {
    let mut m = TestMachine::new();
    let (right, wrong) = (
        resource(&mut m, ResourceKind::Iommu),
        resource(&mut m, ResourceKind::Vmex),
    );
    let (port, out) = (m.port_create(), m.alloc(4));
    for (handle, kind, size, at, status) in [
        (BAD, 9, 0, 0, Status::BAD_HANDLE),
        (port, 9, 0, 0, Status::WRONG_TYPE),
        (wrong, 9, 0, 0, Status::WRONG_TYPE),
        (right, 9, 0, 0, Status::INVALID_ARGS),
        (right, 9, 4097, 0, Status::INVALID_ARGS),
        (right, 9, 4096, 0, Status::NOT_SUPPORTED),
        (right, 0, 4096, 0, Status::INVALID_ARGS),
        (right, 0, 1, out, Status::OK),
    ] {
        let args = [handle.into(), kind, 0, size, at];
        assert_eq!(m.call(N::IommuCreate, &args), status, "{args:x?}");
    }
}

#[test]
fn bti_create_order_of_checks() {
    let mut m = TestMachine::new();
    let resource = resource(&mut m, ResourceKind::Iommu);
    let out = m.alloc(4);
    m.call(N::IommuCreate, &[resource.into(), 0, 0, 8, out]);
    let iommu = m.peek_u32(out);
    for (handle, options, at, status) in [
        (BAD, 1, 0, Status::INVALID_ARGS),
        (BAD, 0, 0, Status::BAD_HANDLE),
        (resource, 0, 0, Status::WRONG_TYPE),
        (iommu, 0, 0, Status::INVALID_ARGS),
        (iommu, 0, out, Status::OK),
    ] {
        let args = [handle.into(), options, 5, at];
        assert_eq!(m.call(N::BtiCreate, &args), status, "{args:x?}");
    }
    let bti = m.peek_u32(out);
    assert_eq!(m.rights(bti), Rights::DEFAULT_BTI);
    // The BTI serves on without the handle it was made from.
    m.handle_close(iommu).unwrap();
    assert!(contiguous(&mut m, bti, 4096, 0).is_ok());
}

#[test]
fn resource_info_tells_what_is_permitted() {
    let mut m = TestMachine::new();
    let vmex = resource(&mut m, ResourceKind::Vmex);
    let record = info(&mut m, vmex);
    assert_eq!(record[..4], InfoResource::SYSTEM.to_le_bytes());
    assert_eq!(record[8..16], InfoResource::SYSTEM_VMEX.to_le_bytes());
    assert_eq!(record[24..29], *b"some\0");
    let (range, base) = mmio(&mut m, 3);
    let record = info(&mut m, range);
    assert_eq!(record[..4], InfoResource::MMIO.to_le_bytes());
    assert_eq!(record[16..24], (3 * PAGE_SIZE).to_le_bytes());
    assert_ne!(base, 0);
    let (port, blind) = (m.port_create(), m.without(range, Rights::INSPECT));
    for (handle, status) in [(port, Status::WRONG_TYPE), (blind, Status::ACCESS_DENIED)] {
        let args = [handle.into(), TOPIC_RESOURCE.into(), 0, 0, 0, 0];
        assert_eq!(m.call(N::ObjectGetInfo, &args), status);
    }
}

#[test]
fn vmo_create_contiguous_has_its_pages_from_birth() {
    let mut m = TestMachine::new();
    let bti = bti(&mut m);
    m.alloc(4);
    let vmo = contiguous(&mut m, bti, 5 * PAGE_SIZE, 14).unwrap();
    assert_eq!(m.committed(vmo), 5);
    assert_eq!(m.rights(vmo), Rights::DEFAULT_VMO);
    let flags = VmoInfoFlags::from_bits_retain(m.vmo_info(vmo, 80) as u32);
    assert!(flags.contains(VmoInfoFlags::CONTIGUOUS | VmoInfoFlags::TYPE_PAGED));
    assert_eq!(m.page_bytes(vmo, 0..5), [0; 5]);
    m.vmo_write(vmo, PAGE_SIZE, &[7; 4096]).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..3), [0, 7, 0]);
    assert_eq!(m.content_size(vmo), Ok(0));
    assert_eq!(m.vmo_set_size(vmo, 0), Err(Status::UNAVAILABLE));
    let slice = m.vmo_create_child(vmo, SLICE, 0, 4096).unwrap();
    let flags = VmoInfoFlags::from_bits_retain(m.vmo_info(slice, 80) as u32);
    assert!(flags.contains(VmoInfoFlags::CONTIGUOUS));
    m.handle_close(slice).unwrap();
    let before = m.memory.total();
    m.handle_close(vmo).unwrap();
    assert_eq!(m.memory.total(), before - 5);
}

#[test]
fn vmo_create_contiguous_order_of_checks() {
    let mut m = TestMachine::with_policy(policy(NewVmo, Deny));
    let denied = bti(&mut m);
    assert_eq!(
        contiguous(&mut m, BAD, 4096, 12),
        Err(Status::ACCESS_DENIED)
    );
    assert_eq!(contiguous(&mut m, denied, 0, 12), Err(Status::INVALID_ARGS));
    let mut m = TestMachine::new();
    let (bti, port) = (bti(&mut m), m.port_create());
    let unmapped = m.without(bti, Rights::MAP);
    for (handle, size, align, status) in [
        (BAD, 0, 99, Status::INVALID_ARGS),
        (BAD, 4097, 99, Status::INVALID_ARGS),
        (BAD, 4096, 11, Status::INVALID_ARGS),
        (BAD, 4096, 64, Status::INVALID_ARGS),
        (BAD, 4096, 63, Status::BAD_HANDLE),
        (port, 4096, 12, Status::WRONG_TYPE),
        (unmapped, 4096, 12, Status::ACCESS_DENIED),
        (bti, MAX_VMO_SIZE + PAGE_SIZE, 12, Status::OUT_OF_RANGE),
        (bti, 4096, 0, Status::OK),
    ] {
        let got = contiguous(&mut m, handle, size, align).map(|_| ());
        assert_eq!(got, status.ok(), "{handle:#x} {size:#x} {align}");
    }
    assert_eq!(
        m.call(N::VmoCreateContiguous, &[bti.into(), 4096, 12, 0]),
        Status::INVALID_ARGS,
        "out"
    );
}

#[test]
fn vmo_create_contiguous_no_memory_leaves_nothing_behind() {
    let mut m = TestMachine::new();
    let bti = bti(&mut m);
    m.alloc(4);
    let before = m.memory.total();
    m.no_memory = true;
    let out = m.alloc(4);
    let args = [bti.into(), 8 * PAGE_SIZE, 0, out];
    assert_eq!(m.call(N::VmoCreateContiguous, &args), Status::NO_MEMORY);
    assert_eq!(m.memory.total(), before);
}

#[test]
fn vmo_create_physical_shows_the_granted_range() {
    let mut m = TestMachine::new();
    let (range, base) = mmio(&mut m, 4);
    let one = physical(&mut m, range, base, 2 * PAGE_SIZE).unwrap();
    let two = physical(&mut m, range, base + PAGE_SIZE, 3 * PAGE_SIZE).unwrap();
    assert_eq!(m.vmo_get_size(two), Ok(3 * PAGE_SIZE));
    assert_eq!(m.content_size(two), Ok(0));
    let flags = VmoInfoFlags::from_bits_retain(m.vmo_info(one, 80) as u32);
    assert!(!flags.intersects(VmoInfoFlags::TYPE_PAGED | VmoInfoFlags::CONTIGUOUS));
    assert_eq!(m.committed(one), 0);
    let (a, b) = (m.map(one, 2), m.map(two, 3));
    m.poke(a + PAGE_SIZE, &[9]);
    assert_eq!(m.try_peek(b, 1), Some(vec![9]), "the same memory");
    assert_eq!(m.vmo_read(one, 0, 1), Err(Status::NOT_SUPPORTED));
    assert_eq!(m.vmo_write(one, 0, &[1]), Err(Status::NOT_SUPPORTED));
    let slice = m
        .vmo_create_child(two, SLICE, PAGE_SIZE, PAGE_SIZE)
        .unwrap();
    assert_eq!(m.vmo_read(slice, 0, 1), Err(Status::NOT_SUPPORTED));
    assert_eq!(m.vmo_set_size(one, 0), Err(Status::UNAVAILABLE));
    for vmo in [one, two, slice] {
        m.handle_close(vmo).unwrap();
    }
    assert_eq!(m.try_peek(b, 1), Some(vec![9]), "a mapping keeps it");
}

#[test]
fn vmar_map_of_physical_and_contiguous_vmos() {
    let mut m = TestMachine::new();
    let (range, base) = mmio(&mut m, 4);
    let window = physical(&mut m, range, base, 2 * PAGE_SIZE).unwrap();
    let bti = bti(&mut m);
    let piece = contiguous(&mut m, bti, 2 * PAGE_SIZE, 0).unwrap();
    let beyond = 0x9001;
    for vmo in [window, piece] {
        let no_map = m.without(vmo, Rights::MAP);
        let got = m.vmar_map(beyond, 1, no_map, 1, 0);
        assert_eq!(got, Err(Status::NOT_SUPPORTED));
    }
    for (offset, pages) in [(0, 3), (1, 2), (2, 1)] {
        let (offset, length) = (offset * PAGE_SIZE, pages * PAGE_SIZE);
        let got = m.vmar_map(3, 1, window, offset, length);
        assert_eq!(got, Err(Status::OUT_OF_RANGE), "not beyond its end");
        assert!(m.vmar_map(3, 0, piece, offset, length).is_ok());
    }
    assert!(m.vmar_map(3, 0, window, PAGE_SIZE, PAGE_SIZE).is_ok());
}

#[test]
fn vmo_create_physical_order_of_checks() {
    let mut m = TestMachine::new();
    let (range, base) = mmio(&mut m, 4);
    let (vmex, port) = (resource(&mut m, ResourceKind::Vmex), m.port_create());
    for (handle, at, size, status) in [
        (BAD, base, 0, Status::INVALID_ARGS),
        (BAD, base, 4097, Status::INVALID_ARGS),
        (BAD, base + 1, 4096, Status::INVALID_ARGS),
        (BAD, 0, 4096, Status::BAD_HANDLE),
        (port, 0, 4096, Status::WRONG_TYPE),
        (vmex, 0, 4096, Status::WRONG_TYPE),
        (range, base - 4096, 4096, Status::OUT_OF_RANGE),
        (range, base + 4096, 4 * 4096, Status::OUT_OF_RANGE),
        (range, base, u64::MAX - 4095, Status::OUT_OF_RANGE),
        (range, base, 4 * 4096, Status::OK),
    ] {
        let got = physical(&mut m, handle, at, size).map(|_| ());
        assert_eq!(got, status.ok(), "{handle:#x} {at:#x} {size:#x}");
    }
    let mut m = TestMachine::with_policy(policy(NewVmo, Deny));
    assert_eq!(physical(&mut m, BAD, 0, 4096), Err(Status::ACCESS_DENIED));
    assert_eq!(physical(&mut m, BAD, 1, 4096), Err(Status::INVALID_ARGS));
}

#[test]
fn vmo_set_cache_policy_decides_what_calls_permit() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    assert_eq!(set_cache_policy(&mut m, vmo, 1), Status::OK);
    assert_eq!(m.vmo_info(vmo, 100) as u32, 1);
    assert_eq!(m.vmo_read(vmo, 0, 1), Err(Status::BAD_STATE));
    assert_eq!(m.vmo_write(vmo, 0, &[1]), Err(Status::BAD_STATE));
    assert_eq!(set_cache_policy(&mut m, vmo, 0), Status::OK);
    assert_eq!(m.vmo_read(vmo, 0, 1), Ok(vec![0]));
}

#[test]
fn vmo_op_range_zero_uncached_bad_state() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    assert_eq!(set_cache_policy(&mut m, vmo, 1), Status::OK);
    let result = m.vmo_op_range(vmo, VmoOp::Zero, 0, 1 << 40);
    assert_eq!(result, Err(Status::BAD_STATE), "before the range");
    m.vmo_op_range(vmo, VmoOp::Commit, 0, 8192).unwrap();
}

#[test]
fn vmo_op_range_of_a_physical_vmo_not_supported() {
    let mut m = TestMachine::new();
    let (range, base) = mmio(&mut m, 2);
    let vmo = physical(&mut m, range, base, 2 * PAGE_SIZE).unwrap();
    for op in [
        VmoOp::Commit,
        VmoOp::Decommit,
        VmoOp::Zero,
        VmoOp::Prefetch,
        VmoOp::CacheSync,
        VmoOp::CacheClean,
        VmoOp::CacheCleanInvalidate,
    ] {
        let result = m.vmo_op_range(vmo, op, 0, 2 * PAGE_SIZE);
        assert_eq!(result, Err(Status::NOT_SUPPORTED), "{op:?}");
    }
    for op in [VmoOp::AlwaysNeed, VmoOp::DontNeed] {
        assert_eq!(m.vmo_op_range(vmo, op, 0, u64::MAX), Ok(()));
    }
}

/// A contiguous VMO keeps its pages: they are zeroed where they lie.
#[test]
fn vmo_op_range_of_a_contiguous_vmo() {
    let mut m = TestMachine::new();
    let bti = bti(&mut m);
    let vmo = contiguous(&mut m, bti, 4 * PAGE_SIZE, 0).unwrap();
    m.vmo_write(vmo, 0, &[1; 4 * 4096]).unwrap();
    m.vmo_op_range(vmo, VmoOp::Zero, 0, 3 * PAGE_SIZE).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..4), [0, 0, 0, 1]);
    assert_eq!(m.committed(vmo), 4);
    for (length, status) in [
        (5 * PAGE_SIZE, Err(Status::OUT_OF_RANGE)),
        (1, Err(Status::INVALID_ARGS)),
        (PAGE_SIZE, Err(Status::NOT_SUPPORTED)),
        (0, Ok(())),
    ] {
        assert_eq!(m.vmo_op_range(vmo, VmoOp::Decommit, 0, length), status);
    }
    m.vmo_op_range(vmo, VmoOp::Commit, 0, 4 * PAGE_SIZE)
        .unwrap();
}

#[test]
fn vmo_set_cache_policy_order_of_checks() {
    let mut p = paged(2);
    let m = &mut p.m;
    let (vmo, mapped, parent, port) = (m.vmo(2), m.vmo(2), m.vmo(2), p.port);
    let discardable = m.vmo_create(4096, 4).unwrap();
    let (unmapped, slice) = (
        m.without(vmo, Rights::MAP),
        m.vmo_create_child(parent, SLICE, 0, 4096).unwrap(),
    );
    m.map(mapped, 1);
    for (handle, policy, status) in [
        (BAD, 4, Status::INVALID_ARGS),
        (BAD, 3, Status::BAD_HANDLE),
        (port, 3, Status::WRONG_TYPE),
        (unmapped, 3, Status::ACCESS_DENIED),
        (mapped, 0, Status::BAD_STATE),
        (parent, 0, Status::BAD_STATE),
        (slice, 0, Status::BAD_STATE),
        (p.vmo, 1, Status::BAD_STATE),
        (p.vmo, 0, Status::OK),
        (discardable, 1, Status::BAD_STATE),
        (discardable, 0, Status::OK),
        (vmo, 3, Status::OK),
    ] {
        assert_eq!(set_cache_policy(m, handle, policy), status, "{handle:#x}");
    }
}

/// Without a resource the policy decides.
#[test]
fn vmo_replace_as_executable_policy_access_denied() {
    let mut m = TestMachine::with_policy(policy(AmbientMarkVmoExec, Deny));
    let vmex = resource(&mut m, ResourceKind::Vmex);
    let vmo = m.vmo(1);
    assert_eq!(executable(&mut m, vmo, 0), Err(Status::ACCESS_DENIED));
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE), "consumed");
    let vmo = m.vmo(1);
    assert!(executable(&mut m, vmo, vmex).is_ok());
}

#[test]
fn vmo_replace_as_executable_consumes_the_handle_whatever_comes() {
    let mut m = TestMachine::new();
    let vmex = resource(&mut m, ResourceKind::Vmex);
    let wrong = resource(&mut m, ResourceKind::Iommu);
    for (vmex, expected) in [
        (vmex, Ok(())),
        (0, Ok(())),
        (wrong, Err(Status::WRONG_TYPE)),
        (BAD, Err(Status::BAD_HANDLE)),
    ] {
        let vmo = m.vmo(1);
        let made = executable(&mut m, vmo, vmex);
        assert_eq!(made.map(|_| ()), expected);
        assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE), "consumed");
        if let Ok(made) = made {
            assert_eq!(m.rights(made), Rights::DEFAULT_VMO | Rights::EXECUTE);
        }
    }
    let port = m.port_create();
    assert_eq!(executable(&mut m, port, vmex), Err(Status::BAD_HANDLE));
    assert_eq!(m.handle_close(port), Err(Status::BAD_HANDLE), "consumed");
    assert_eq!(executable(&mut m, BAD, BAD), Err(Status::BAD_HANDLE));
    let vmo = m.vmo(1);
    let thread = m.main.thread;
    let out = m.call_on(thread, N::VmoReplaceAsExecutable, &[vmo.into(), 0, 0]);
    assert_eq!(out, Outcome::Value(Status::INVALID_ARGS.to_register()));
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE), "consumed");
}

#[test]
fn supply_pages_refuses_contiguous_and_physical_pages() {
    let mut p = paged(2);
    let bti = bti(&mut p.m);
    let (range, base) = mmio(&mut p.m, 1);
    let whole = contiguous(&mut p.m, bti, 4096, 0).unwrap();
    let window = physical(&mut p.m, range, base, 4096).unwrap();
    for aux in [whole, window] {
        let supplied = p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096, aux, 0);
        assert_eq!(supplied, Err(Status::NOT_SUPPORTED));
    }
}
