//! Scenarios of resizing, detaching, closing.

use protocol::syscall::SyscallNumber as N;

use super::{scene, scene_with};
use crate::common::{Order, PAGE_SIZE, Packet, Status, Touch, Via};

#[test]
fn read_resize_test() {
    for via in Via::BOTH {
        let mut s = scene_with(1, 2);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        s.m.vmo_set_size(s.vmo, 0).unwrap();
        assert_eq!(s.m.poll(&mut reader), Some(Err(Status::OUT_OF_RANGE)));
    }
}

/// Partly outside: the request stays for the rest.
#[test]
fn resize_cuts_a_request() {
    let mut s = scene_with(3, 2);
    let mut writer = s.m.thread();
    let buffer = s.m.alloc(3 * PAGE_SIZE);
    let args = [s.vmo.into(), buffer, 0, 3 * PAGE_SIZE];
    let token = s.m.begin(writer, N::VmoWrite, &args);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 3)]);
    s.supply(2..3);
    s.m.vmo_set_size(s.vmo, PAGE_SIZE).unwrap();
    assert!(s.m.is_blocked(token));
    s.supply(0..1);
    assert_eq!(s.m.status(token), Status::OUT_OF_RANGE);
    assert_eq!(s.packets(), []);
    writer = s.m.thread();
    let args = [s.vmo.into(), buffer, 0, PAGE_SIZE];
    assert!(s.m.ends_with(writer, N::VmoWrite, &args, Status::OK));
}

#[test]
fn resize_nonresizable_vmo() {
    let mut s = scene(1);
    assert_eq!(s.m.vmo_set_size(s.vmo, 0), Err(Status::UNAVAILABLE));
}

#[test]
fn detach_page_complete_test() {
    let mut s = scene(1);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    assert_eq!(s.packets(), [Packet::Complete(7)]);
}

#[test]
fn close_page_complete_test() {
    let mut s = scene(1);
    s.m.handle_close(s.vmo).unwrap();
    assert_eq!(s.packets(), [Packet::Complete(7)]);
}

#[test]
fn decommit_on_detach_test() {
    // A mapped reader's death ends its process: one for each.
    let cases = Via::BOTH.map(|via| [(via, false), (via, true)]);
    for (via, of_clone) in cases.concat() {
        let mut s = scene(2);
        let clone = s.m.vmo_create_child(s.vmo, 0x10, 0, 2 * PAGE_SIZE);
        let clone = clone.unwrap();
        s.supply(0..2);
        assert_eq!(s.m.committed(s.vmo), 2);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.packets(), [Packet::Complete(7)]);
        assert_eq!(s.m.committed(s.vmo), 0);
        let mut reader = s.m.reader(via, if of_clone { clone } else { s.vmo }, 0..1);
        assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
        if via == Via::Read {
            assert_eq!(s.packets(), [], "no READ");
        }
    }
}

#[test]
fn detach_non_mapping_access() {
    let mut s = scene(2);
    let mut reader = s.reader(Via::Read, 0..2);
    s.supply(0..1);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
}

/// A reader waits, with its packet in the port or taken from it, when its pager is closed or its VMO detached.
fn interrupt(via: Via, close: bool, late: bool) {
    let mut s = scene(1);
    let mut reader = s.reader(via, 0..1);
    if late {
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    }
    if close {
        s.m.handle_close(s.pager).unwrap();
    } else {
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    }
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
    // A mapped reader's death took the port with its process.
    if via == Via::Read {
        let expected: &[Packet] = if close { &[] } else { &[Packet::Complete(7)] };
        assert_eq!(s.packets(), expected);
    }
}

#[test]
fn read_close_interrupt_late() {
    Via::BOTH
        .into_iter()
        .for_each(|via| interrupt(via, true, true));
}

#[test]
fn read_close_interrupt_early() {
    Via::BOTH
        .into_iter()
        .for_each(|via| interrupt(via, true, false));
}

#[test]
fn read_detach_interrupt_late() {
    Via::BOTH
        .into_iter()
        .for_each(|via| interrupt(via, false, true));
}

#[test]
fn read_detach_interrupt_early() {
    Via::BOTH
        .into_iter()
        .for_each(|via| interrupt(via, false, false));
}

#[test]
fn close_pager_test() {
    let mut s = scene(2);
    s.supply(1..2);
    let mut reader = s.reader(Via::Read, 0..1);
    s.m.handle_close(s.pager).unwrap();
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
    assert_eq!(s.m.page_bytes(s.vmo, 1..2), [1]);
}

#[test]
fn detach_close_pager_test() {
    let mut s = scene(2);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    s.m.handle_close(s.pager).unwrap();
    assert_eq!(s.m.vmo_read(s.vmo, 0, 1), Err(Status::BAD_STATE));
    assert_eq!(s.m.touch_mapped(s.vmo), Touch::Fatal(Status::BAD_STATE));
}

#[test]
fn close_port_test() {
    for via in Via::BOTH {
        let mut s = scene(2);
        s.m.handle_close(s.port).unwrap();
        let mut first = s.reader(via, 0..1);
        s.supply(0..1);
        assert_eq!(s.m.read_bytes(&mut first), [0]);
        let mut second = s.reader(via, 1..2);
        s.m.still_waits(&mut second);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.m.poll(&mut second), Some(Err(Status::BAD_STATE)));
    }
}

/// The pager is closed while somebody waits for the packet that it withdraws.
#[test]
fn racy_port_dequeue() {
    for order in [Order::Now, Order::Random] {
        for seed in 1..200 {
            let mut s = scene(1);
            s.m.random = seed;
            let thread = s.m.thread();
            s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
            let at = s.m.alloc(48);
            s.m.poke(at, &[0; 48]);
            s.m.order = order;
            s.m.call_on(thread, N::PortWait, &[s.port.into(), 0, at]);
            let close = [s.pager.into()];
            s.m.call_on(s.m.main.thread, N::HandleClose, &close);
            s.m.settle();
            s.m.order = Order::Now;
            assert_eq!(s.packets(), [], "taken or withdrawn");
        }
    }
}

#[test]
fn zero_handles_race() {
    let mut s = scene(1);
    s.m.handle_close(s.pager).unwrap();
    assert_eq!(
        s.m.pager_create_vmo(s.pager, 0, s.port, 0, PAGE_SIZE),
        Err(Status::BAD_HANDLE)
    );
}
