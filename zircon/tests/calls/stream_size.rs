//! `zx_vmo_get_stream_size` and `zx_vmo_set_stream_size`.

use protocol::syscall::SyscallNumber as N;

use super::*;

#[test]
fn vmo_get_stream_size_rows() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let vmo = m.vmo_create(100, 0).unwrap();
    let bare = m.handle_duplicate(vmo, Rights::empty()).unwrap();
    for (handle, expected) in [
        (BAD, Err(Status::BAD_HANDLE)),
        (port, Err(Status::WRONG_TYPE)),
        (bare, Ok(100)),
    ] {
        assert_eq!(m.vmo_get_stream_size(handle), expected);
    }
    let args = [vmo.into(), crate::common::NOWHERE];
    assert_eq!(m.call(N::VmoGetStreamSize, &args), Status::INVALID_ARGS);
}

#[test]
fn vmo_set_stream_size_rows() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    let vmo = m.vmo_create(3 * PAGE_SIZE, 0).unwrap();
    let read_only = m.without(vmo, Rights::WRITE);
    for (handle, size, expected) in [
        (BAD, u64::MAX, Err(Status::BAD_HANDLE)),
        (port, u64::MAX, Err(Status::WRONG_TYPE)),
        (read_only, u64::MAX, Err(Status::ACCESS_DENIED)),
        (vmo, u64::MAX, Err(Status::OUT_OF_RANGE)),
        (vmo, 3 * PAGE_SIZE + 1, Err(Status::OUT_OF_RANGE)),
        (vmo, 3 * PAGE_SIZE, Ok(())),
        (vmo, 5000, Ok(())),
        (vmo, 5000, Ok(())),
        (vmo, 0, Ok(())),
    ] {
        assert_eq!(m.vmo_set_stream_size(handle, size), expected, "{size}");
    }
    assert_eq!(m.vmo_get_stream_size(vmo), Ok(0));
    assert_eq!(m.content_size(vmo), Ok(0), "the property is the same");
}

#[test]
fn vmo_set_stream_size_zeroes_what_it_uncovers() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(3);
    m.vmo_write(vmo, 0, &[9; 3 * 4096]).unwrap();
    m.vmo_set_stream_size(vmo, 5000).unwrap();
    let bytes = m.vmo_read(vmo, 0, 3 * PAGE_SIZE).unwrap();
    assert_eq!(bytes.iter().position(|byte| *byte == 0), Some(5000));
    assert!(bytes[5000..].iter().all(|byte| *byte == 0));
    assert_eq!(m.committed(vmo), 2);
}
