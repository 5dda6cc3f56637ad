//! `zx_vmo_set_size` and the content size.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use super::*;
use crate::common::{Order, Packet, Touch, Via};

const RESIZABLE: u32 = 2;

fn resizable(m: &mut TestMachine, size: u64) -> u32 {
    m.vmo_create(size, RESIZABLE).unwrap()
}

#[test]
fn vmo_set_size_rows() {
    let mut m = TestMachine::new();
    let (fixed, port) = (m.vmo(1), m.port_create());
    let vmo = resizable(&mut m, 4096);
    let read_only = m.without(vmo, Rights::WRITE);
    let no_resize = m.without(vmo, Rights::RESIZE);
    let fixed_read_only = m.without(fixed, Rights::WRITE);
    let unbounded = m.vmo_create(0, 16).unwrap();
    for (handle, size, status) in [
        (BAD, u64::MAX, Err(Status::BAD_HANDLE)),
        (port, u64::MAX, Err(Status::WRONG_TYPE)),
        (read_only, u64::MAX, Err(Status::ACCESS_DENIED)),
        (fixed_read_only, u64::MAX, Err(Status::ACCESS_DENIED)),
        (fixed, u64::MAX, Err(Status::UNAVAILABLE)),
        (unbounded, 0, Err(Status::UNAVAILABLE)),
        (no_resize, u64::MAX, Err(Status::ACCESS_DENIED)),
        (vmo, u64::MAX, Err(Status::OUT_OF_RANGE)),
        (vmo, MAX_VMO_SIZE + 1, Err(Status::OUT_OF_RANGE)),
        (vmo, MAX_VMO_SIZE, Ok(())),
        (vmo, 0, Ok(())),
        (vmo, 1, Ok(())),
    ] {
        assert_eq!(m.vmo_set_size(handle, size), status, "{size:#x}");
    }
    assert_eq!(m.vmo_get_size(vmo), Ok(4096), "rounded up");
    assert_eq!(m.content_size(vmo), Ok(1), "not rounded");
}

#[test]
fn vmo_set_size_shrink_then_grow_is_zero() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 3 * 4096);
    m.vmo_write(vmo, 0, &[9; 3 * 4096]).unwrap();
    m.vmo_set_size(vmo, 5000).unwrap();
    assert_eq!(m.committed(vmo), 2);
    assert_eq!(m.vmo_read(vmo, 8191, 2), Err(Status::OUT_OF_RANGE));
    m.vmo_set_size(vmo, 3 * 4096).unwrap();
    let bytes = m.vmo_read(vmo, 0, 3 * 4096).unwrap();
    assert!(bytes[..5000].iter().all(|byte| *byte == 9));
    assert!(bytes[5000..].iter().all(|byte| *byte == 0));
}

/// Only what lies between the new size and the end of its page is zeroed.
#[test]
fn vmo_set_size_keeps_bytes_before_the_new_size() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 100);
    m.vmo_write(vmo, 0, &[9; 4096]).unwrap();
    m.vmo_set_size(vmo, 2 * 4096).unwrap();
    assert!(m.vmo_read(vmo, 0, 4096).unwrap() == [9; 4096]);
    m.vmo_set_size(vmo, 4095).unwrap();
    let bytes = m.vmo_read(vmo, 4090, 6).unwrap();
    assert_eq!(bytes, [9, 9, 9, 9, 9, 0]);
}

#[test]
fn vmo_set_size_mapping_past_the_end() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 2 * 4096);
    let at = m.map(vmo, 2);
    m.poke(at + 4096, b"x");
    m.vmo_set_size(vmo, 4096).unwrap();
    assert_eq!(m.try_peek(at + 4096, 1), None);
    m.vmo_set_size(vmo, 8192).unwrap();
    let thread = m.thread();
    assert_eq!(m.touch(thread, at + 4096, Access::Read), Touch::Done);
    assert_eq!(m.peek(at + 4096, 1), [0]);
    m.vmo_set_size(vmo, 4096).unwrap();
    assert_eq!(
        m.touch(thread, at + 4096, Access::Read),
        Touch::Fatal(Status::OUT_OF_RANGE)
    );
}

#[test]
fn vmo_set_size_huge_and_back() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 0);
    for _ in 0..3 {
        m.vmo_set_size(vmo, MAX_VMO_SIZE).unwrap();
        m.vmo_write(vmo, 1 << 63, b"far").unwrap();
        m.vmo_write(vmo, 4096, b"near").unwrap();
        m.vmo_set_size(vmo, 1 << 40).unwrap();
        assert_eq!(m.committed(vmo), 1);
        m.vmo_set_size(vmo, 0).unwrap();
        assert_eq!(m.committed(vmo), 0);
    }
    let mut p = paged_with(0, RESIZABLE);
    p.m.vmo_set_size(p.vmo, MAX_VMO_SIZE).unwrap();
    assert_eq!(p.m.vmo_read(p.vmo, 1 << 62, 3).unwrap(), [0; 3]);
    p.m.vmo_set_size(p.vmo, 1).unwrap();
    assert_eq!(p.m.packets(p.port), []);
}

/// Fragments: each is found without looking at all the others again.
#[test]
fn vmo_set_size_of_many_fragments() {
    let mut m = TestMachine::new();
    let pages = 1 << 16;
    m.unchecked = true;
    let vmo = resizable(&mut m, pages * 4096);
    let buffer = m.alloc(1);
    for page in (0..pages).step_by(2) {
        m.call(N::VmoWrite, &[vmo.into(), buffer, page * 4096, 1]);
    }
    assert_eq!(m.committed(vmo), pages / 2);
    let start = std::time::Instant::now();
    m.vmo_set_size(vmo, 0).unwrap();
    let took = start.elapsed();
    assert!(took.as_secs() < 5, "{took:?}");
    assert_eq!(m.committed(vmo), 0);
}

#[test]
fn vmo_set_size_no_memory_leaves_no_mark() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 2 * 4096);
    m.vmo_write(vmo, 0, &[1; 8192]).unwrap();
    let thread = m.thread();
    m.unchecked = true;
    m.decommit_fails = true;
    m.call_on(thread, N::VmoSetSize, &[vmo.into(), 0]);
    m.decommit_fails = false;
    assert_eq!(
        m.vmo_set_size(vmo, 4096),
        Ok(()),
        "the next one does not hang"
    );
}

#[test]
fn vmo_set_size_grow_of_a_pager_vmo_is_zero() {
    for via in Via::BOTH {
        let mut p = paged_with(4096, RESIZABLE);
        p.m.vmo_set_size(p.vmo, 3 * 4096).unwrap();
        let mut reader = p.m.reader(via, p.vmo, 1..3);
        assert_eq!(p.m.read_bytes(&mut reader), [0, 0]);
        assert_eq!(p.m.packets(p.port), [], "no READ, ever");
        p.m.supply(p.pager, p.vmo, 0..3, 5).unwrap();
        assert_eq!(
            p.m.page_bytes(p.vmo, 0..3),
            [5, 0, 0],
            "supplies there are ignored"
        );
    }
}

#[test]
fn vmo_set_size_shrink_then_grow_of_a_pager_vmo() {
    let mut p = paged_with(3 * 4096, RESIZABLE);
    p.m.supply(p.pager, p.vmo, 0..3, 5).unwrap();
    p.m.vmo_set_size(p.vmo, 4096).unwrap();
    p.m.vmo_set_size(p.vmo, 3 * 4096).unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..3), [5, 0, 0]);
    assert_eq!(p.m.packets(p.port), []);
}

/// The tail of an absent last page has to be zeroed: the page is asked for first.
#[test]
fn vmo_set_size_inside_an_absent_page_blocks() {
    let mut p = paged_with(2 * 4096, RESIZABLE);
    let thread = p.m.thread();
    let token = p.m.begin(thread, N::VmoSetSize, &[p.vmo.into(), 5000]);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 2)]);
    assert_eq!(p.m.content_size(p.vmo), Ok(5000));
    p.m.supply(p.pager, p.vmo, 1..2, 5).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    let bytes = p.m.vmo_read(p.vmo, 4096, 4096).unwrap();
    assert!(bytes[..904].iter().all(|byte| *byte == 6));
    assert!(bytes[904..].iter().all(|byte| *byte == 0));
}

#[test]
fn vmo_set_size_of_a_detached_vmo() {
    let mut p = paged_with(2 * 4096, RESIZABLE);
    let thread = p.m.thread();
    let token = p.m.begin(thread, N::VmoSetSize, &[p.vmo.into(), 5000]);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(p.m.status(token), Status::BAD_STATE);
    assert_eq!(p.m.vmo_set_size(p.vmo, 4096), Ok(()));
}

/// The thread that resizes ends while the pager owes it the tail page: the VMO must not live on for it.
#[test]
fn vmo_set_size_thread_ends_while_blocked() {
    let mut p = paged_with(2 * 4096, RESIZABLE);
    let thread = p.m.thread();
    p.m.begin(thread, N::VmoSetSize, &[p.vmo.into(), 5000]);
    p.m.call_on(thread, N::ThreadExit, &[]);
    assert_eq!(p.m.packets(p.port), [], "withdrawn");
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
}

/// The thread ends while its shrink drops pages: the shrink goes on.
#[test]
fn vmo_set_size_thread_ends_while_dropping() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 5 * 4096);
    for page in [0, 2, 4] {
        m.vmo_write(vmo, page * 4096, b"x").unwrap();
    }
    let thread = m.thread();
    m.order = Order::Held;
    m.begin(thread, N::VmoSetSize, &[vmo.into(), 0]);
    m.call_on(thread, N::ThreadExit, &[]);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.committed(vmo), 0);
    assert_eq!(m.vmo_set_size(vmo, 5 * 4096), Ok(()));
    assert_eq!(m.page_bytes(vmo, 0..5), [0; 5]);
}

#[test]
fn vmo_set_size_two_at_once() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 4 * 4096);
    m.vmo_write(vmo, 0, &[1; 4 * 4096]).unwrap();
    let threads = [m.thread(), m.thread()];
    m.order = Order::Held;
    let shrink = m.begin(threads[0], N::VmoSetSize, &[vmo.into(), 0]);
    m.call_on(threads[1], N::VmoSetSize, &[vmo.into(), 4 * 4096]);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.status(shrink), Status::OK);
    assert_eq!(m.page_bytes(vmo, 0..4), [0; 4], "never old data");
}

#[test]
fn content_size_is_independent_of_the_size() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    m.vmo_write(vmo, 0, &[9; 8192]).unwrap();
    m.set_content_size(vmo, 5000).unwrap();
    assert_eq!(m.vmo_get_size(vmo), Ok(8192), "the VMO is not resized");
    assert_eq!(m.content_size(vmo), Ok(5000));
    let bytes = m.vmo_read(vmo, 0, 8192).unwrap();
    assert!(bytes[..5000].iter().all(|byte| *byte == 9));
    assert!(bytes[5000..].iter().all(|byte| *byte == 0));
    m.vmo_write(vmo, 0, &[8; 8192]).unwrap();
    m.set_content_size(vmo, 8000).unwrap();
    let bytes = m.vmo_read(vmo, 0, 8192).unwrap();
    assert!(bytes[..5000].iter().all(|byte| *byte == 8));
    assert!(
        bytes[5000..].iter().all(|byte| *byte == 0),
        "from the smaller on"
    );
    m.vmo_write(vmo, 0, &[7; 8192]).unwrap();
    m.set_content_size(vmo, 8000).unwrap();
    assert_eq!(
        m.vmo_read(vmo, 8190, 2).unwrap(),
        [7, 7],
        "the same: nothing done"
    );
    m.set_content_size(vmo, 0).unwrap();
    assert_eq!(m.committed(vmo), 0, "whole pages are dropped");
    assert_eq!(m.set_content_size(vmo, 8193), Err(Status::OUT_OF_RANGE));
}

#[test]
fn content_size_of_a_pager_vmo() {
    let mut p = paged(3);
    p.m.set_content_size(p.vmo, 4096).unwrap();
    assert_eq!(p.m.packets(p.port), [], "whole pages need no READ");
    assert_eq!(p.m.page_bytes(p.vmo, 1..3), [0, 0], "zero, nobody is asked");
    p.m.supply(p.pager, p.vmo, 0..3, 5).unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..3), [5, 0, 0]);
    let thread = p.m.thread();
    let mut other = paged(1);
    let at = other.m.alloc(8);
    other.m.poke(at, &100u64.to_le_bytes());
    let waiter = other.m.thread();
    let args = [other.vmo.into(), 17, at, 8];
    let token = other.m.begin(waiter, N::ObjectSetProperty, &args);
    assert_eq!(other.m.packets(other.port), [Packet::Read(7, 0, 1)]);
    other.m.supply(other.pager, other.vmo, 0..1, 3).unwrap();
    assert_eq!(other.m.status(token), Status::OK);
    let bytes = other.m.vmo_read(other.vmo, 99, 2).unwrap();
    assert_eq!(bytes, [3, 0]);
    let _ = thread;
}

#[test]
fn content_size_ends_requests_for_pages_it_zeroes() {
    let mut p = paged(3);
    let mut reader = p.m.reader(Via::Mapping, p.vmo, 1..2);
    p.m.set_content_size(p.vmo, 4096).unwrap();
    assert_eq!(p.m.read_bytes(&mut reader), [0]);
    assert_eq!(p.m.packets(p.port), [], "withdrawn");
}

#[test]
fn content_size_of_a_slice() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 0, &[9; 4 * 4096]).unwrap();
    let slice = m.vmo_create_child(vmo, 8, 4096, 8192).unwrap();
    m.set_content_size(slice, 4096).unwrap();
    assert_eq!(m.content_size(vmo), Ok(4 * 4096), "its own content size");
    assert_eq!(m.page_bytes(vmo, 0..4), [9, 9, 0, 9]);
}

/// Shrink while a page of the cut is on its way from the auxiliary VMO, or from nowhere.
#[test]
fn vmo_set_size_waits_for_pages_in_flight() {
    let mut m = TestMachine::new();
    let vmo = resizable(&mut m, 4096);
    let at = m.map(vmo, 1);
    let (toucher, resizer) = (m.thread(), m.thread());
    m.order = Order::Held;
    let Touch::Blocked(touch) = m.touch(toucher, at, Access::Write) else {
        panic!("held");
    };
    let resize = m.begin(resizer, N::VmoSetSize, &[vmo.into(), 0]);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.fault_status(toucher), Status::OUT_OF_RANGE);
    assert_eq!(m.memory.resident(zircon::VmoId(0)), 0);
    assert!(!m.is_blocked(touch) && !m.is_blocked(resize));
}

/// A size change that still waits for its tail page does not let a third one pass the second.
#[test]
fn vmo_set_size_three_at_once() {
    let mut p = paged_with(10 * 4096, RESIZABLE);
    p.m.supply(p.pager, p.vmo, 0..1, 9).unwrap();
    p.m.supply(p.pager, p.vmo, 2..3, 9).unwrap();
    let threads = [p.m.thread(), p.m.thread(), p.m.thread(), p.m.thread()];
    let buffer = p.m.alloc(4096);
    p.m.poke(buffer, &[1; 4096]);
    let vmo = p.vmo.into();
    p.m.begin(threads[0], N::VmoSetSize, &[vmo, 9 * 4096 + 100]);
    p.m.order = Order::Held;
    p.m.begin(threads[1], N::VmoSetSize, &[vmo, 0]);
    let grow = p.m.begin(threads[2], N::VmoSetSize, &[vmo, 10 * 4096]);
    assert!(p.m.is_blocked(grow), "while the second drops pages");
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.page_bytes(p.vmo, 0..10), [0; 10], "never old data");
}

/// A change of content size that waits for the pager keeps its VMO.
#[test]
fn content_size_holds_its_vmo() {
    let mut p = paged(2);
    let at = p.m.alloc(8);
    p.m.poke(at, &5000u64.to_le_bytes());
    let thread = p.m.thread();
    let args = [p.vmo.into(), 17, at, 8];
    let token = p.m.begin(thread, N::ObjectSetProperty, &args);
    p.m.handle_close(p.vmo).unwrap();
    assert!(p.m.is_blocked(token));
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 2)]);
    p.m.handle_close(p.pager).unwrap();
    assert_eq!(p.m.status(token), Status::BAD_STATE);
    assert_eq!(p.m.kernel.usage().len(), 1);
}
