//! The scenarios called "Basics".

use super::{Scene, scene};
use crate::common::{PAGE_SIZE, Packet, Reader, Status, TestMachine, Via};

fn read(page: u64) -> Packet {
    Packet::Read(7, page, page + 1)
}

#[test]
fn single_page_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.packets(), [read(0)]);
        s.m.supply(s.pager, s.vmo, 0..1, 42).unwrap();
        assert_eq!(s.m.read_bytes(&mut reader), [42]);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn uncommitted_single_page_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.packets(), [read(0)]);
        let aux = s.m.vmo(1);
        s.m.pager_supply_pages(s.pager, s.vmo, 0, PAGE_SIZE, aux, 0)
            .unwrap();
        assert_eq!(s.m.read_bytes(&mut reader), [0]);
    }
}

#[test]
fn presupply_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        s.m.supply(s.pager, s.vmo, 0..1, 5).unwrap();
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.m.read_bytes(&mut reader), [5]);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn early_supply_test() {
    for via in Via::BOTH {
        let mut s = scene(2);
        let mut first = s.reader(via, 0..1);
        s.supply(0..1);
        assert_eq!(s.m.read_bytes(&mut first), [0]);
        let mut second = s.reader(via, 1..2);
        assert_eq!(s.packets(), [read(1)], "the first packet disappeared");
        s.supply(1..2);
        assert_eq!(s.m.read_bytes(&mut second), [1]);
    }
}

#[test]
fn sequential_multipage_test() {
    let expected: Vec<u8> = (0..32).collect();
    let mut s = scene(32);
    let mut reader = s.reader(Via::Read, 0..32);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 32)]);
    s.supply(0..32);
    assert_eq!(s.m.read_bytes(&mut reader), expected);
    let mut s = scene(32);
    let mut reader = s.reader(Via::Mapping, 0..32);
    for page in 0..32 {
        assert_eq!(s.packets(), [read(page)]);
        s.supply(page..page + 1);
        s.m.poll(&mut reader);
    }
    assert_eq!(s.m.read_bytes(&mut reader), expected);
}

#[test]
fn concurrent_multipage_access_test() {
    for via in Via::BOTH {
        let mut s = scene(2);
        let mut readers = [s.reader(via, 0..1), s.reader(via, 1..2)];
        assert_eq!(s.packets(), [read(0), read(1)]);
        s.supply(0..2);
        for (page, reader) in readers.iter_mut().enumerate() {
            assert_eq!(s.m.read_bytes(reader), [page as u8]);
        }
    }
}

#[test]
fn concurrent_overlapping_access_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let mut readers: Vec<Reader> = (0..32).map(|_| s.reader(via, 0..1)).collect();
        assert_eq!(s.packets(), [read(0)]);
        s.supply(0..1);
        for reader in &mut readers {
            assert_eq!(s.m.read_bytes(reader), [0]);
        }
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn bulk_single_supply_test() {
    for via in Via::BOTH {
        let mut s = scene(8);
        let mut readers: Vec<Reader> = (0..8).map(|page| s.reader(via, page..page + 1)).collect();
        let expected: Vec<Packet> = (0..8).map(read).collect();
        assert_eq!(s.packets(), expected);
        s.supply(0..8);
        for (page, reader) in readers.iter_mut().enumerate() {
            assert_eq!(s.m.read_bytes(reader), [page as u8]);
        }
    }
}

fn bulk(via: Via, aux_offset: u64) {
    let lengths = [2, 3, 5, 7, 37, 5, 13, 23];
    let mut s: Scene = scene(lengths.iter().sum());
    let mut page = 0;
    for length in lengths {
        let mut reader = s.reader(via, page..page + length);
        let asked = if via == Via::Read { length } else { 1 };
        assert_eq!(s.packets(), [Packet::Read(7, page, page + asked)]);
        let aux = s.m.vmo(length + aux_offset);
        let bytes = vec![length as u8; (length * PAGE_SIZE) as usize];
        s.m.vmo_write(aux, aux_offset * PAGE_SIZE, &bytes).unwrap();
        s.m.pager_supply_pages(
            s.pager,
            s.vmo,
            page * PAGE_SIZE,
            length * PAGE_SIZE,
            aux,
            aux_offset * PAGE_SIZE,
        )
        .unwrap();
        let expected = vec![length as u8; length as usize];
        assert_eq!(s.m.read_bytes(&mut reader), expected);
        page += length;
    }
    assert_eq!(s.packets(), []);
}

#[test]
fn bulk_odd_length_supply_test() {
    for via in Via::BOTH {
        bulk(via, 0);
    }
}

#[test]
fn bulk_odd_offset_supply_test() {
    for via in Via::BOTH {
        bulk(via, 3);
    }
}

#[test]
fn overlap_supply_test() {
    for via in Via::BOTH {
        let mut s = scene(2);
        s.m.supply(s.pager, s.vmo, 0..1, 10).unwrap();
        s.m.supply(s.pager, s.vmo, 0..2, 20).unwrap();
        let mut reader = s.reader(via, 0..2);
        assert_eq!(s.m.read_bytes(&mut reader), [10, 21]);
        assert_eq!(s.packets(), []);
    }
}

#[test]
fn many_request_test() {
    for via in Via::BOTH {
        let mut s = scene(257);
        let mut readers: Vec<Reader> = (0..257).map(|page| s.reader(via, page..page + 1)).collect();
        for page in 0..257 {
            assert_eq!(s.m.port_poll(s.port), Ok(read(page)));
            s.supply(page..page + 1);
        }
        for (page, reader) in readers.iter_mut().enumerate() {
            assert_eq!(s.m.read_bytes(reader), [page as u8]);
        }
    }
}

#[test]
fn successive_vmo_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        for key in 0..64 {
            let vmo =
                s.m.pager_create_vmo(s.pager, 0, s.port, key, PAGE_SIZE)
                    .unwrap();
            let mut reader = s.m.reader(via, vmo, 0..1);
            assert_eq!(s.packets(), [Packet::Read(key, 0, 1)]);
            s.m.supply(s.pager, vmo, 0..1, key as u8).unwrap();
            assert_eq!(s.m.read_bytes(&mut reader), [key as u8]);
            s.m.handle_close(vmo).unwrap();
            // A reader's mapping keeps its VMO.
            let last = [Packet::Complete(key)];
            let expected = if via == Via::Read { &last[..] } else { &[] };
            assert_eq!(s.packets(), expected);
        }
    }
}

#[test]
fn multiple_concurrent_vmo_test() {
    for via in Via::BOTH {
        let mut s = scene(1);
        let vmos: Vec<u32> = (0..8)
            .map(|key| {
                s.m.pager_create_vmo(s.pager, 0, s.port, key, PAGE_SIZE)
                    .unwrap()
            })
            .collect();
        let mut readers: Vec<Reader> = vmos.iter().map(|&vmo| s.m.reader(via, vmo, 0..1)).collect();
        let expected: Vec<Packet> = (0..8).map(|key| Packet::Read(key, 0, 1)).collect();
        assert_eq!(s.packets(), expected);
        for (key, (vmo, reader)) in vmos.iter().zip(&mut readers).enumerate() {
            s.m.supply(s.pager, *vmo, 0..1, key as u8).unwrap();
            assert_eq!(s.m.read_bytes(reader), [key as u8]);
        }
    }
}

#[test]
fn vmo_info_pager_test() {
    let mut s = scene(1);
    let plain = s.m.vmo(1);
    assert_eq!(s.m.vmo_info(s.vmo, 80) as u32 & 0x20, 0x20);
    assert_eq!(s.m.vmo_info(plain, 80) as u32 & 0x20, 0);
}

#[test]
fn uncommitted_supply() {
    let mut s = scene(1);
    let aux = s.m.vmo(1);
    s.m.pager_supply_pages(s.pager, s.vmo, 0, PAGE_SIZE, aux, 0)
        .unwrap();
    for via in Via::BOTH {
        let mut reader = s.reader(via, 0..1);
        assert_eq!(s.m.read_bytes(&mut reader), [0]);
    }
    assert_eq!(s.packets(), []);
}

/// A machine that all of this leaves as it was.
#[test]
fn nothing_is_left_over() {
    let mut s = scene(4);
    let mut reader = s.reader(Via::Read, 0..4);
    s.supply(0..4);
    s.m.read_bytes(&mut reader);
    for raw in [s.vmo, s.pager, s.port] {
        s.m.handle_close(raw).unwrap();
    }
    let fresh = TestMachine::new();
    assert_eq!(s.m.kernel.usage().len(), fresh.kernel.usage().len());
    assert_eq!(s.m.handle_close(s.vmo), Err(Status::BAD_HANDLE));
}
