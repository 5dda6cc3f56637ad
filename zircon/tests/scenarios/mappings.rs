//! The scenarios called "Mappings".

use protocol::USER_BASE;
use zircon::{Access, OpResult};

use super::scene;
use crate::common::{PAGE_SIZE, Packet, Status, Touch, Via};

#[test]
fn vmar_unmap_test() {
    let mut s = scene(1);
    let at = s.m.map(s.vmo, 1);
    let thread = s.m.thread();
    let Touch::Blocked(_) = s.m.touch(thread, at, Access::Read) else {
        panic!("absent");
    };
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    s.m.vmar_unmap(at, PAGE_SIZE).unwrap();
    assert!(s.m.exceptions.is_empty());
    let aux = s.m.vmo(1);
    s.m.pager_supply_pages(s.pager, s.vmo, 0, PAGE_SIZE, aux, 0)
        .unwrap();
    assert_eq!(s.m.fault_status(thread), Status::NOT_FOUND);
}

#[test]
fn vmar_remap_test() {
    let mut s = scene(8);
    let other =
        s.m.pager_create_vmo(s.pager, 0, s.port, 8, 8 * PAGE_SIZE)
            .unwrap();
    let at = s.m.map(s.vmo, 8);
    let mut threads = Vec::new();
    for page in 0..8 {
        let thread = s.m.thread();
        let Touch::Blocked(token) = s.m.touch(thread, at + page * PAGE_SIZE, Access::Read) else {
            panic!("absent");
        };
        threads.push((thread, token));
    }
    assert_eq!(s.packets().len(), 8);
    let overwrite = 3 | 0x20;
    s.m.vmar_map(overwrite, at - USER_BASE, other, 0, 8 * PAGE_SIZE)
        .unwrap();
    assert_eq!(s.packets(), [], "each waits for the old page first");
    s.supply(0..8);
    let mut keys = Vec::new();
    for (page, (thread, token)) in threads.iter_mut().enumerate() {
        // A fault looks everything up again when it is woken: it asks the new VMO.
        if s.m.result(*token) == Some(OpResult::Retry) {
            let address = at + page as u64 * PAGE_SIZE;
            let Touch::Blocked(again) = s.m.touch(*thread, address, Access::Read) else {
                panic!("the new page is absent");
            };
            *token = again;
        }
        assert!(s.m.is_blocked(*token));
    }
    for packet in s.packets() {
        let Packet::Read(8, start, end) = packet else {
            panic!("{packet:?}");
        };
        keys.push((start, end));
    }
    keys.sort_unstable();
    let expected: Vec<_> = (0..8).map(|page| (page, page + 1)).collect();
    assert_eq!(keys, expected);
    s.m.supply(s.pager, other, 0..8, 50).unwrap();
    for (page, (_, token)) in threads.into_iter().enumerate() {
        assert_eq!(s.m.result(token), Some(OpResult::Retry));
        let address = at + page as u64 * PAGE_SIZE;
        assert_eq!(s.m.peek(address, 1), [50 + page as u8]);
    }
}

#[test]
fn vmar_map_range_test() {
    let mut s = scene(2);
    s.supply(1..2);
    let at = s.m.vmar_map(1 | 0x400, 0, s.vmo, 0, 2 * PAGE_SIZE).unwrap();
    assert_eq!(s.m.peek(at + PAGE_SIZE, 1), [1]);
    let mut reader = s.reader(Via::Mapping, 1..2);
    assert_eq!(s.m.read_bytes(&mut reader), [1]);
    assert_eq!(s.packets(), [], "nothing is asked for");
}
