//! `zx_vmo_read` and `zx_vmo_write`.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use super::*;
use crate::common::{NOWHERE, Order, Touch};

#[test]
fn vmo_write_then_read() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 4090, b"hello, pages").unwrap();
    assert_eq!(m.vmo_read(vmo, 4088, 16).unwrap(), b"\0\0hello, pages\0\0");
    assert_eq!(m.committed(vmo), 2);
}

#[test]
fn vmo_read_ranges() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(5000, 0).unwrap();
    let buffer = m.alloc(16384);
    for number in [N::VmoRead, N::VmoWrite] {
        for (offset, length, status) in [
            (0, 0, Status::OK),
            (8192, 0, Status::OK),
            (8193, 0, Status::OUT_OF_RANGE),
            (u64::MAX, 0, Status::OUT_OF_RANGE),
            (0, 8192, Status::OK),
            (0, 8193, Status::OUT_OF_RANGE),
            (8191, 1, Status::OK),
            (8192, 1, Status::OUT_OF_RANGE),
            (1, u64::MAX, Status::OUT_OF_RANGE),
            (u64::MAX, 1, Status::OUT_OF_RANGE),
            (u64::MAX, u64::MAX, Status::OUT_OF_RANGE),
            (0, 1 << 63, Status::OUT_OF_RANGE),
        ] {
            let got = m.call(number, &[vmo.into(), buffer, offset, length]);
            assert_eq!(got, status, "{} {offset:#x} {length:#x}", number.name());
        }
    }
}

#[test]
fn vmo_read_handle_errors() {
    let mut m = TestMachine::new();
    let (port, vmo) = (m.port_create(), m.vmo(1));
    let unreadable = m.without(vmo, Rights::READ);
    let unwritable = m.without(vmo, Rights::WRITE);
    for (number, denied) in [(N::VmoRead, unreadable), (N::VmoWrite, unwritable)] {
        for (handle, status) in [
            (BAD, Status::BAD_HANDLE),
            (port, Status::WRONG_TYPE),
            (denied, Status::ACCESS_DENIED),
        ] {
            let args = [handle.into(), 0, u64::MAX, 1];
            assert_eq!(m.call(number, &args), status, "before range and buffer");
        }
    }
}

#[test]
fn vmo_read_buffer_not_found() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    m.vmo_write(vmo, 0, b"x").unwrap();
    let read_only = m.vmar_map(1, 0, vmo, 0, 4096).unwrap();
    for buffer in [0, NOWHERE, u64::MAX, 0xFFFF_8000_0000_0000, read_only] {
        let got = m.call(N::VmoRead, &[vmo.into(), buffer, 0, 1]);
        assert_eq!(got, Status::NOT_FOUND, "{buffer:#x}");
    }
    let no_access = m.vmar_map(0, 0, vmo, 0, 4096).unwrap();
    for buffer in [0, NOWHERE, u64::MAX, no_access] {
        let got = m.call(N::VmoWrite, &[vmo.into(), buffer, 0, 1]);
        assert_eq!(got, Status::NOT_FOUND, "{buffer:#x}");
    }
    assert_eq!(
        m.call(N::VmoRead, &[vmo.into(), NOWHERE, 0, 0]),
        Status::OK,
        "nothing to copy"
    );
    assert_eq!(
        m.call(N::VmoRead, &[vmo.into(), NOWHERE, 1 << 40, 1]),
        Status::OUT_OF_RANGE,
        "the range is looked at first"
    );
}

#[test]
fn vmo_read_copies_up_to_the_bad_page() {
    let mut m = TestMachine::new();
    let (vmo, target) = (m.vmo(2), m.vmo(1));
    m.vmo_write(vmo, 0, &[5; 8192]).unwrap();
    let buffer = m.map(target, 1);
    let got = m.call(N::VmoRead, &[vmo.into(), buffer, 0, 8192]);
    assert_eq!(got, Status::NOT_FOUND);
    assert_eq!(m.page_bytes(target, 0..1), [5]);
}

#[test]
fn vmo_write_no_memory() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let buffer = m.alloc(1);
    m.poke(buffer, b"x");
    m.no_memory = true;
    let got = m.call(N::VmoWrite, &[vmo.into(), buffer, 0, 1]);
    assert_eq!(got, Status::NO_MEMORY);
    m.no_memory = false;
    let got = m.call(N::VmoWrite, &[vmo.into(), buffer, 0, 1]);
    assert_eq!(got, Status::OK);
}

/// A buffer that is the VMO itself, at another place: what overlaps going up is unspecified, all else is right.
#[test]
fn vmo_read_into_itself() {
    for (from, to) in [(0, 100), (100, 0), (0, 4096), (4096, 10), (7, 7), (0, 1)] {
        let mut m = TestMachine::new();
        let vmo = m.vmo(4);
        let bytes: Vec<u8> = (0..16384u32).map(|at| (at * 7 / 5) as u8).collect();
        m.vmo_write(vmo, 0, &bytes).unwrap();
        let at = m.map(vmo, 4);
        let got = m.call(N::VmoRead, &[vmo.into(), at + to, from, 8192]);
        assert_eq!(got, Status::OK);
        let after = m.vmo_read(vmo, 0, 16384).unwrap();
        let (from, to) = (from as usize, to as usize);
        assert_eq!(after[..to], bytes[..to], "{from} to {to}");
        assert_eq!(after[to + 8192..], bytes[to + 8192..], "{from} to {to}");
        if from >= to || from + 8192 <= to {
            assert_eq!(
                after[to..to + 8192],
                bytes[from..from + 8192],
                "{from} to {to}"
            );
        }
    }
}

#[test]
fn vmo_read_large_is_cut_into_pieces() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1000);
    let bytes: Vec<u8> = (0..1000 * 4096).map(|at| (at / 999) as u8).collect();
    m.vmo_write(vmo, 0, &bytes).unwrap();
    assert_eq!(m.vmo_read(vmo, 0, 1000 * 4096).unwrap(), bytes);
    assert_eq!(m.committed(vmo), 1000);
}

/// The cost of a step does not grow with what is left to do.
#[test]
fn vmo_read_large_is_linear() {
    let mut m = TestMachine::new();
    let pages = 1 << 16;
    m.unchecked = true;
    let (vmo, target) = (m.vmo(pages), m.vmo(pages));
    let at = m.map(vmo, pages);
    let to = m.map(target, pages);
    for page in 0..pages {
        m.touch(m.main.thread, at + page * 4096, Access::Write);
    }
    let start = std::time::Instant::now();
    let args = [vmo.into(), to, 0, pages * 4096];
    assert_eq!(m.call(N::VmoRead, &args), Status::OK);
    assert!(
        start.elapsed().as_secs() < 5,
        "{:?} for 256 MiB",
        start.elapsed()
    );
}

/// Sparse, huge VMOs cost what is touched.
#[test]
fn vmo_read_of_huge_sparse_vmos() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(0, 16).unwrap();
    m.vmo_write(vmo, 1 << 63, b"middle").unwrap();
    assert_eq!(m.vmo_read(vmo, 1 << 63, 6).unwrap(), b"middle");
    assert_eq!(m.vmo_read(vmo, (1 << 63) - 1, 1).unwrap(), [0]);
    assert_eq!(m.committed(vmo), 1);
    let buffer = m.alloc(4096);
    let args = [vmo.into(), NOWHERE, 0, 1 << 63];
    assert_eq!(m.call(N::VmoRead, &args), Status::NOT_FOUND);
    let paged = super::paged_with(0, 16);
    let mut m = paged.m;
    let thread = m.thread();
    let args = [paged.vmo.into(), buffer, 0, MAX_VMO_SIZE];
    m.begin(thread, N::VmoRead, &args);
    assert_eq!(
        m.packets(paged.port),
        [crate::common::Packet::Read(7, 0, MAX_VMO_SIZE / 4096)]
    );
}

/// `zx_vmo_write` waits for at most 16 pages at once.
#[test]
fn vmo_write_asks_for_16_pages_at_once() {
    let mut p = paged(40);
    let thread = p.m.thread();
    let buffer = p.m.alloc(40 * 4096);
    p.m.poke(buffer, &[9; 40 * 4096]);
    let args = [p.vmo.into(), buffer, 100, 39 * 4096];
    let token = p.m.begin(thread, N::VmoWrite, &args);
    for range in [0..16, 16..32, 32..40] {
        let packet = crate::common::Packet::Read(7, range.start, range.end);
        assert_eq!(p.m.packets(p.port), [packet]);
        p.m.supply(p.pager, p.vmo, range, 0).unwrap();
    }
    assert_eq!(p.m.status(token), Status::OK);
    let bytes = p.m.vmo_read(p.vmo, 0, 40 * 4096).unwrap();
    assert!(bytes[..100].iter().all(|byte| *byte == 0));
    assert!(bytes[100..100 + 39 * 4096].iter().all(|byte| *byte == 9));
    assert!(bytes[100 + 39 * 4096..].iter().all(|byte| *byte == 39));
}

#[test]
fn vmo_read_progresses_page_by_page() {
    let mut p = paged(4);
    let thread = p.m.thread();
    let (token, buffer) = p.m.begin_read(thread, p.vmo, 0, 4 * 4096);
    p.m.supply(p.pager, p.vmo, 0..1, 1).unwrap();
    assert_eq!(p.m.peek(buffer, 1), [1], "early pages are copied early");
    p.m.supply(p.pager, p.vmo, 2..4, 1).unwrap();
    assert!(p.m.is_blocked(token));
    p.m.supply(p.pager, p.vmo, 1..2, 1).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.packets(p.port), [], "one request, withdrawn unseen");
}

/// A transfer between two VMOs of one pager, both absent.
#[test]
fn vmo_read_into_a_pager_backed_buffer() {
    let mut p = paged(2);
    let other = p.m.pager_create_vmo(p.pager, 0, p.port, 8, 8192).unwrap();
    let at = p.m.map(other, 2);
    let thread = p.m.thread();
    let args = [p.vmo.into(), at + 100, 0, 4096];
    let token = p.m.begin(thread, N::VmoRead, &args);
    assert_eq!(p.m.packets(p.port), [crate::common::Packet::Read(7, 0, 1)]);
    p.m.supply(p.pager, p.vmo, 0..1, 3).unwrap();
    let asked = p.m.packets(p.port);
    assert_eq!(asked.len(), 1, "then the buffer: {asked:?}");
    p.m.supply(p.pager, other, 0..2, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.vmo_read(other, 99, 3).unwrap(), [0, 3, 3]);
}

/// A shrink during the copy ends it with OUT_OF_RANGE, and waits for the bytes under way.
#[test]
fn vmo_read_shrunk_during_the_copy_out_of_range() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(1024 * 4096, 2).unwrap();
    m.vmo_write(vmo, 0, &vec![1; 1024 * 4096]).unwrap();
    let buffer = m.alloc(1024 * 4096);
    m.poke(buffer, &vec![2; 1024 * 4096]);
    let (reader, resizer) = (m.thread(), m.thread());
    m.order = Order::Held;
    let read = m.begin(reader, N::VmoRead, &[vmo.into(), buffer, 0, 1024 * 4096]);
    let resize = m.begin(resizer, N::VmoSetSize, &[vmo.into(), 0]);
    assert_eq!(m.held.len(), 1, "the copy goes first: {:?}", m.held);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.status(read), Status::OUT_OF_RANGE);
    assert_eq!(m.status(resize), Status::OK);
    assert_eq!(m.committed(vmo), 0);
}

/// The buffer is unmapped while the VMO's page is on its way.
#[test]
fn vmo_read_buffer_unmapped_meanwhile_not_found() {
    let mut p = paged(1);
    let target = p.m.vmo(1);
    let at = p.m.map(target, 1);
    let thread = p.m.thread();
    let args = [p.vmo.into(), at, 0, 4096];
    let token = p.m.begin(thread, N::VmoRead, &args);
    p.m.vmar_unmap(at, 4096).unwrap();
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::NOT_FOUND);
}

/// A mapped page touched while a copy of it is under way is the same page.
#[test]
fn vmo_write_and_touch_share_pages() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.map(vmo, 1);
    assert_eq!(m.touch(m.main.thread, at, Access::Write), Touch::Done);
    m.poke(at, b"through the mapping");
    assert_eq!(m.vmo_read(vmo, 0, 7).unwrap(), b"through");
    m.vmo_write(vmo, 0, b"THROUGH").unwrap();
    assert_eq!(m.peek(at, 7), b"THROUGH");
}
