//! `zx_vmo_create`: its description and its errors; `zx_vmo_get_size`.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;

use protocol::PolicyAction::Deny;
use protocol::PolicyCondition::NewVmo;

use super::*;
use crate::common::NOWHERE;

const RESIZABLE: u32 = 2;
const DISCARDABLE: u32 = 4;
const TRAP_DIRTY: u32 = 8;
const UNBOUNDED: u32 = 16;

#[test]
fn vmo_create_is_zero_filled() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(3);
    assert_eq!(m.page_bytes(vmo, 0..3), [0, 0, 0]);
    assert_eq!(m.committed(vmo), 0, "reading commits nothing");
}

#[test]
fn vmo_create_size_rounds_up() {
    let mut m = TestMachine::new();
    for (size, rounded) in [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] {
        let vmo = m.vmo_create(size, 0).unwrap();
        assert_eq!(m.vmo_get_size(vmo), Ok(rounded));
        assert_eq!(m.content_size(vmo), Ok(size), "content size is not rounded");
        assert_eq!(m.signals(vmo), 8, "ZERO_CHILDREN is active from the start");
    }
}

#[test]
fn vmo_create_rights() {
    let mut m = TestMachine::new();
    let plain = m.vmo(1);
    assert_eq!(m.rights(plain), Rights::DEFAULT_VMO);
    let needed = Rights::DUPLICATE
        | Rights::TRANSFER
        | Rights::READ
        | Rights::WRITE
        | Rights::MAP
        | Rights::GET_PROPERTY
        | Rights::SET_PROPERTY;
    assert!(m.rights(plain).contains(needed));
    let resizable = m.vmo_create(4096, RESIZABLE).unwrap();
    assert_eq!(m.rights(resizable), Rights::DEFAULT_VMO | Rights::RESIZE);
}

#[test]
fn vmo_create_unbounded() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(0, UNBOUNDED).unwrap();
    assert_eq!(m.vmo_get_size(vmo), Ok(MAX_VMO_SIZE));
    m.vmo_write(vmo, MAX_VMO_SIZE - 5, b"tail!").unwrap();
    assert_eq!(m.vmo_read(vmo, MAX_VMO_SIZE - 5, 5).unwrap(), b"tail!");
    assert_eq!(
        m.vmo_read(vmo, MAX_VMO_SIZE - 4, 5),
        Err(Status::OUT_OF_RANGE)
    );
    assert_eq!(m.vmo_set_size(vmo, 0), Err(Status::UNAVAILABLE));
    let options = UNBOUNDED | DISCARDABLE;
    m.vmo_create(0, options).unwrap();
}

/// The seed wants INVALID_ARGS; the newest rule is that the size is the content size.
#[test]
fn vmo_create_unbounded_size_is_content_size() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(5000, UNBOUNDED).unwrap();
    assert_eq!(m.vmo_get_size(vmo), Ok(MAX_VMO_SIZE));
    assert_eq!(m.content_size(vmo), Ok(5000));
    assert_eq!(
        m.vmo_create(MAX_VMO_SIZE + 1, UNBOUNDED),
        Err(Status::OUT_OF_RANGE)
    );
}

#[test]
fn vmo_create_discardable() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(4096, DISCARDABLE).unwrap();
    assert_eq!(m.rights(vmo), Rights::DEFAULT_VMO);
    assert_eq!(m.vmo_info(vmo, 80) as u32, 1 | 8 | 0x80);
}

#[test]
fn vmo_create_out_null_invalid_args() {
    let mut m = TestMachine::new();
    assert_eq!(m.call(N::VmoCreate, &[4096, 0, 0]), Status::INVALID_ARGS);
    assert_eq!(m.freed.len(), 1, "the VMO is dropped");
}

#[test]
fn vmo_create_out_bad_invalid_args() {
    let mut m = TestMachine::new();
    for out in [
        NOWHERE,
        3,
        u64::MAX,
        u64::MAX - 3,
        1 << 63,
        0xFFFF_8000_0000_0000,
    ] {
        assert_eq!(m.call(N::VmoCreate, &[4096, 0, out]), Status::INVALID_ARGS);
    }
    assert_eq!(m.freed.len(), 6, "the VMOs are dropped");
    assert!(m.vmo_create(0, 0).is_ok());
}

#[test]
fn vmo_create_out_read_only_invalid_args() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.vmar_map(1, 0, vmo, 0, 4096).unwrap();
    assert_eq!(m.call(N::VmoCreate, &[4096, 0, at]), Status::INVALID_ARGS);
}

#[test]
fn vmo_create_out_may_cross_pages() {
    let mut m = TestMachine::new();
    let at = m.alloc(8192) + 4094;
    assert_eq!(m.call(N::VmoCreate, &[4096, 0, at]), Status::OK);
    let vmo = m.peek_u32(at);
    assert_eq!(m.vmo_get_size(vmo), Ok(4096));
}

#[test]
fn vmo_create_options_invalid_args() {
    let mut m = TestMachine::new();
    for options in [
        1,
        TRAP_DIRTY,
        32,
        1 << 31,
        RESIZABLE | UNBOUNDED,
        RESIZABLE | TRAP_DIRTY,
        u32::MAX,
    ] {
        assert_eq!(
            m.vmo_create(4096, options),
            Err(Status::INVALID_ARGS),
            "{options:#x}"
        );
    }
    assert_eq!(
        m.vmo_create(u64::MAX, TRAP_DIRTY),
        Err(Status::INVALID_ARGS),
        "options are looked at before the size"
    );
}

/// Option words are 32 bits: what the register holds above them is ignored.
#[test]
fn vmo_create_high_bits_of_options_are_ignored() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    assert_eq!(m.call(N::VmoCreate, &[4096, 1 << 32, out]), Status::OK);
}

#[test]
fn vmo_create_size_out_of_range() {
    let mut m = TestMachine::new();
    for size in [u64::MAX, u64::MAX - 4095, MAX_VMO_SIZE + 1] {
        assert_eq!(m.vmo_create(size, 0), Err(Status::OUT_OF_RANGE));
        let null = m.call(N::VmoCreate, &[size, 0, 0]);
        assert_eq!(null, Status::OUT_OF_RANGE, "before the out pointer");
    }
    assert!(m.vmo_create(MAX_VMO_SIZE, 0).is_ok());
    assert!(m.vmo_create(MAX_VMO_SIZE, RESIZABLE).is_ok());
}

#[test]
fn vmo_create_policy_access_denied() {
    let mut m = TestMachine::with_policy(policy(NewVmo, Deny));
    assert_eq!(m.vmo_create(4096, 0), Err(Status::ACCESS_DENIED));
    assert_eq!(
        m.vmo_create(u64::MAX, u32::MAX),
        Err(Status::ACCESS_DENIED),
        "the policy is looked at first"
    );
}

#[test]
fn vmo_create_no_memory_for_the_result() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    m.no_memory = true;
    assert_eq!(m.call(N::VmoCreate, &[4096, 0, out]), Status::NO_MEMORY);
    assert_eq!(m.freed.len(), 1);
}

#[test]
fn vmo_get_size_errors() {
    let mut m = TestMachine::new();
    let (port, vmo) = (m.port_create(), m.vmo(1));
    assert_eq!(m.vmo_get_size(0), Err(Status::BAD_HANDLE));
    assert_eq!(m.vmo_get_size(BAD), Err(Status::BAD_HANDLE));
    assert_eq!(m.vmo_get_size(port), Err(Status::WRONG_TYPE));
    assert_eq!(
        m.call(N::VmoGetSize, &[vmo.into(), 0]),
        Status::INVALID_ARGS
    );
    let bare = m.handle_duplicate(vmo, Rights::empty()).unwrap();
    let out = m.alloc(8);
    assert_eq!(m.call(N::VmoGetSize, &[bare.into(), out]), Status::OK);
}
