//! Scenarios of resizing, detaching, closing, and of waking early.

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
    for via in Via::BOTH {
        let mut s = scene(2);
        s.supply(0..2);
        s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
        assert_eq!(s.m.committed(s.vmo), 0);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
        if via == Via::Read {
            assert_eq!(s.packets(), [Packet::Complete(7)]);
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

/// The pager goes, or lets go of the VMO, when the waiting reader's packet has been read (late) or not.
fn interrupt_a_read(close: bool, late: bool) {
    for via in Via::BOTH {
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
}

#[test]
fn read_close_interrupt_late() {
    interrupt_a_read(true, true);
}

#[test]
fn read_close_interrupt_early() {
    interrupt_a_read(true, false);
}

#[test]
fn read_detach_interrupt_late() {
    interrupt_a_read(false, true);
}

#[test]
fn read_detach_interrupt_early() {
    interrupt_a_read(false, false);
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

#[test]
fn supply_after_detach() {
    let mut s = scene(1);
    s.m.pager_detach_vmo(s.pager, s.vmo).unwrap();
    assert_eq!(s.m.supply(s.pager, s.vmo, 0..1, 0), Err(Status::BAD_STATE));
}

#[test]
fn early_wake_on_supply() {
    let mut s = scene(128);
    let thread = s.m.thread();
    let (token, buffer) = s.m.begin_read(thread, s.vmo, 0, 128 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 128)]);
    for block in 0..4 {
        assert!(s.m.is_blocked(token));
        s.supply(block * 32..(block + 1) * 32);
        let last = (block + 1) * 32 - 1;
        let byte = s.m.peek(buffer + last * PAGE_SIZE, 1);
        assert_eq!(byte, [last as u8], "the buffer fills progressively");
    }
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.packets(), []);
}

#[test]
fn early_wake_non_linear_supply() {
    let mut s = scene(128);
    let mut reader = s.reader(Via::Read, 0..128);
    for block in [2, 0, 3, 1] {
        s.m.still_waits(&mut reader);
        s.supply(block * 32..(block + 1) * 32);
    }
    let expected: Vec<u8> = (0..128).collect();
    assert_eq!(s.m.read_bytes(&mut reader), expected);
    assert_eq!(s.packets(), [], "one request, withdrawn");
}

#[test]
fn early_wake_overlapping_requests() {
    let mut s = scene(128);
    let mut readers = [
        s.reader(Via::Read, 0..92),
        s.reader(Via::Read, 16..42),
        s.reader(Via::Read, 0..32),
        s.reader(Via::Read, 48..64),
        s.reader(Via::Read, 82..128),
    ];
    assert_eq!(s.packets(), [Packet::Read(7, 0, 92)]);
    s.supply(0..92);
    for reader in &mut readers[..4] {
        assert_eq!(s.m.poll(reader), Some(Ok(())));
    }
    s.m.still_waits(&mut readers[4]);
    assert_eq!(s.packets(), [Packet::Read(7, 92, 128)]);
    s.supply(92..128);
    let expected: Vec<u8> = (82..128).collect();
    assert_eq!(s.m.read_bytes(&mut readers[4]), expected);
}

#[test]
fn early_wake_with_resize() {
    let mut s = scene_with(32, 2);
    let mut reader = s.reader(Via::Read, 0..32);
    s.supply(0..16);
    s.m.still_waits(&mut reader);
    s.m.vmo_set_size(s.vmo, 16 * PAGE_SIZE).unwrap();
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::OUT_OF_RANGE)));
}

/// Ten who want the same, and one whose range covers an outstanding request.
#[test]
fn overlapping_requests() {
    let mut s = scene(32);
    let mut first = s.reader(Via::Read, 8..24);
    let mut wide = s.reader(Via::Read, 0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 8, 24), Packet::Read(7, 0, 8)]);
    s.supply(0..24);
    assert_eq!(s.packets(), [Packet::Read(7, 24, 32)]);
    s.supply(24..32);
    s.m.read_bytes(&mut first);
    s.m.read_bytes(&mut wide);
    let mut s = scene(4);
    let mut readers: Vec<_> = (0..10).map(|_| s.reader(Via::Read, 0..4)).collect();
    assert_eq!(s.packets(), [Packet::Read(7, 0, 4)]);
    s.supply(0..4);
    for reader in &mut readers {
        s.m.read_bytes(reader);
    }
}
