//! `zx_handle_close`, `close_many`, `duplicate`, `replace`.

use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::NOWHERE;

#[test]
fn handle_values_have_their_two_lowest_bits_set() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    assert_eq!(vmo & 3, 3);
    assert!(m.koid(vmo) >= 1024);
}

#[test]
fn handle_close_rows() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    assert_eq!(m.handle_close(0), Ok(()), "closing 0 is fine");
    assert_eq!(m.handle_close(BAD), Err(Status::BAD_HANDLE));
    assert_eq!(m.handle_close(vmo), Ok(()));
    assert_eq!(m.freed.len(), 1);
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE));
    assert_eq!(m.handle_close(vmo & !3), Err(Status::BAD_HANDLE));
}

#[test]
fn handle_close_many_closes_all_it_can() {
    let mut m = TestMachine::new();
    let (a, b, c) = (m.vmo(1), m.vmo(1), m.vmo(1));
    let at = m.alloc(64);
    let words: Vec<u8> = [a, 0, BAD, b, c, c]
        .iter()
        .flat_map(|raw| raw.to_le_bytes())
        .collect();
    m.poke(at, &words);
    assert_eq!(m.call(N::HandleCloseMany, &[at, 4]), Status::BAD_HANDLE);
    assert_eq!(m.freed.len(), 2);
    assert_eq!(m.handle_close(a), Err(Status::BAD_HANDLE));
    assert_eq!(
        m.call(N::HandleCloseMany, &[at + 16, 2]),
        Status::BAD_HANDLE,
        "the second c is gone"
    );
    assert_eq!(m.freed.len(), 3);
    assert_eq!(m.call(N::HandleCloseMany, &[at + 4, 1]), Status::OK);
    assert_eq!(m.call(N::HandleCloseMany, &[0, 0]), Status::OK);
    assert_eq!(m.call(N::HandleCloseMany, &[0, 1]), Status::INVALID_ARGS);
    assert_eq!(
        m.call(N::HandleCloseMany, &[NOWHERE, u64::MAX]),
        Status::INVALID_ARGS
    );
}

#[test]
fn handle_duplicate_rows() {
    let mut m = TestMachine::new();
    let (vmo, pager) = (m.vmo(1), m.pager_create());
    let same = m.handle_duplicate(vmo, Rights::SAME_RIGHTS).unwrap();
    assert_eq!(m.rights(same), Rights::DEFAULT_VMO);
    let less = m.handle_duplicate(vmo, Rights::READ).unwrap();
    assert_eq!(m.rights(less), Rights::READ);
    assert_eq!(
        m.handle_duplicate(less, Rights::READ),
        Err(Status::ACCESS_DENIED)
    );
    assert_eq!(
        m.handle_duplicate(vmo, Rights::EXECUTE),
        Err(Status::INVALID_ARGS)
    );
    assert_eq!(
        m.handle_duplicate(vmo, Rights::SAME_RIGHTS | Rights::READ),
        Err(Status::INVALID_ARGS)
    );
    assert_eq!(
        m.handle_duplicate(pager, Rights::SAME_RIGHTS),
        Err(Status::ACCESS_DENIED),
        "pagers are not duplicable"
    );
    assert_eq!(
        m.handle_duplicate(BAD, Rights::SAME_RIGHTS),
        Err(Status::BAD_HANDLE)
    );
    let args = [vmo.into(), u64::from(Rights::SAME_RIGHTS.bits()), 0];
    assert_eq!(m.call(N::HandleDuplicate, &args), Status::INVALID_ARGS);
    for raw in [vmo, same] {
        m.handle_close(raw).unwrap();
        assert_eq!(m.freed.len(), 0, "a handle is left");
    }
    m.handle_close(less).unwrap();
    assert_eq!(m.freed.len(), 1);
}

#[test]
fn handle_replace_rows() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let other = m.handle_replace(vmo, Rights::READ).unwrap();
    assert_ne!(vmo, other);
    assert_eq!(m.rights(other), Rights::READ);
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE));
    assert_eq!(m.freed.len(), 0);
    assert_eq!(m.handle_replace(BAD, Rights::READ), Err(Status::BAD_HANDLE));
}

#[test]
fn handle_replace_consumes_the_source_even_when_refused() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    assert_eq!(
        m.handle_replace(vmo, Rights::EXECUTE),
        Err(Status::INVALID_ARGS)
    );
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE));
    assert_eq!(m.freed.len(), 1);
    let vmo = m.vmo(1);
    let args = [vmo.into(), u64::from(Rights::SAME_RIGHTS.bits()), 0];
    assert_eq!(m.call(N::HandleReplace, &args), Status::INVALID_ARGS);
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE));
    assert_eq!(m.freed.len(), 2, "both handles are gone");
}

/// The table is full: NO_MEMORY, and what was made is dropped.
#[test]
fn handle_table_full_no_memory() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let vmo = m.vmo(1);
    let out = m.alloc(4);
    let args = [vmo.into(), u64::from(Rights::SAME_RIGHTS.bits()), out];
    let mut made = 0;
    let full = loop {
        match m.call(N::HandleDuplicate, &args) {
            Status::OK => made += 1,
            status => break status,
        }
        assert!(made < 1 << 20, "there is a limit");
    };
    assert_eq!(full, Status::NO_MEMORY);
    assert_eq!(m.vmo_create(4096, 0), Err(Status::NO_MEMORY));
    assert_eq!(m.freed.len(), 1, "the VMO that got no handle");
    let last = m.peek_u32(out);
    m.handle_close(last).unwrap();
    assert!(m.vmo_create(4096, 0).is_ok());
}

/// The old handle makes room for the new one.
#[test]
fn handle_replace_in_a_full_table() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let (vmo, out) = (m.vmo(1), m.alloc(4));
    let args = [vmo.into(), u64::from(Rights::SAME_RIGHTS.bits()), out];
    while m.call(N::HandleDuplicate, &args) == Status::OK {}
    assert_eq!(m.call(N::HandleDuplicate, &args), Status::NO_MEMORY);
    assert_eq!(m.call(N::HandleReplace, &args), Status::OK);
    let new = m.peek_u32(out);
    assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE));
    assert_eq!(m.handle_close(new), Ok(()));
}
