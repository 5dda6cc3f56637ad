//! Scenarios of reads that go on with what is there.

use super::{RESIZABLE, scene, scene_with};
use crate::common::{PAGE_SIZE, Packet, Status, Via};

#[test]
fn early_wake_on_supply() {
    let mut s = scene(128);
    let thread = s.m.thread();
    let (token, buffer) = s.m.begin_read(thread, s.vmo, 0, 128 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 128)]);
    for part in 0..4 {
        assert!(s.m.is_blocked(token));
        s.supply(part * 32..(part + 1) * 32);
        let last = (part + 1) * 32 - 1;
        assert_eq!(s.m.peek(buffer + last * PAGE_SIZE, 1), [last as u8]);
        assert_eq!(s.packets(), []);
    }
    assert_eq!(s.m.status(token), Status::OK);
}

#[test]
fn early_wake_non_linear_supply() {
    let mut s = scene(128);
    let thread = s.m.thread();
    let (token, buffer) = s.m.begin_read(thread, s.vmo, 0, 128 * PAGE_SIZE);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 128)]);
    s.supply(64..96);
    s.supply(32..64);
    assert_eq!(s.m.peek(buffer + 32 * PAGE_SIZE, 1), [0], "not yet");
    s.supply(0..32);
    assert_eq!(s.m.peek(buffer + 95 * PAGE_SIZE, 1), [95]);
    assert!(s.m.is_blocked(token));
    s.supply(96..128);
    assert_eq!(s.m.status(token), Status::OK);
    assert_eq!(s.m.peek(buffer + 127 * PAGE_SIZE, 1), [127]);
    assert_eq!(s.packets(), [], "one request");
}

#[test]
fn early_wake_overlapping_requests() {
    let mut s = scene(128);
    let mut first = s.reader(Via::Read, 0..92);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 92)]);
    let mut others = [(16, 42), (0, 32), (48, 64), (82, 128)]
        .map(|(start, end)| s.reader(Via::Read, start..end));
    assert_eq!(s.packets(), [], "they are followers");
    s.supply(0..92);
    assert_eq!(s.m.poll(&mut first), Some(Ok(())));
    for reader in &mut others[..3] {
        assert_eq!(s.m.poll(reader), Some(Ok(())));
    }
    assert_eq!(s.packets(), [Packet::Read(7, 92, 128)]);
    s.supply(92..128);
    assert_eq!(s.m.poll(&mut others[3]), Some(Ok(())));
}

#[test]
fn early_wake_with_resize() {
    let mut s = scene_with(4, RESIZABLE);
    let mut reader = s.reader(Via::Read, 0..4);
    s.supply(0..2);
    s.m.still_waits(&mut reader);
    s.m.vmo_set_size(s.vmo, 2 * PAGE_SIZE).unwrap();
    assert_eq!(s.m.poll(&mut reader), Some(Err(Status::OUT_OF_RANGE)));
    assert_eq!(s.packets(), []);
}
