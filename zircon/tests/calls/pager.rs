//! `zx_pager_create`, `zx_pager_create_vmo`, `zx_pager_detach_vmo`, closing pagers and ports.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use protocol::PolicyAction::Deny;
use protocol::PolicyCondition::NewVmo;

use super::*;
use crate::common::{NOWHERE, Order, Outcome, Packet, Reader, Touch, Via};

#[test]
fn pager_create_rows() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    assert_eq!(m.call(N::PagerCreate, &[1, out]), Status::INVALID_ARGS);
    assert_eq!(m.call(N::PagerCreate, &[0, 0]), Status::INVALID_ARGS);
    let pager = m.pager_create();
    assert_eq!(m.rights(pager), Rights::DEFAULT_PAGER);
}

#[test]
fn pager_create_vmo_size_rounds_up() {
    let mut p = paged_with(4097, 0);
    assert_eq!(p.m.vmo_get_size(p.vmo), Ok(8192));
    assert_eq!(p.m.content_size(p.vmo), Ok(4097));
    assert_eq!(p.m.rights(p.vmo), Rights::DEFAULT_VMO);
    assert_eq!(p.m.signals(p.vmo), 8, "ZERO_CHILDREN, as for zx_vmo_create");
    let empty = p.m.pager_create_vmo(p.pager, 0, p.port, 1, 0).unwrap();
    assert_eq!(p.m.vmo_get_size(empty), Ok(0));
}

#[test]
fn pager_create_vmo_resizable() {
    let mut p = paged_with(4096, 2);
    assert_eq!(p.m.rights(p.vmo), Rights::DEFAULT_VMO | Rights::RESIZE);
    assert_eq!(p.m.vmo_set_size(p.vmo, 8192), Ok(()));
}

#[test]
fn pager_create_vmo_unbounded() {
    let mut p = paged_with(100, 16);
    assert_eq!(p.m.vmo_get_size(p.vmo), Ok(MAX_VMO_SIZE));
    assert_eq!(p.m.content_size(p.vmo), Ok(100));
    assert_eq!(
        p.m.pager_create_vmo(p.pager, 16, p.port, 0, u64::MAX),
        Err(Status::INVALID_ARGS)
    );
}

#[test]
fn pager_create_vmo_out_invalid_args() {
    let mut p = paged(1);
    for out in [0, NOWHERE, u64::MAX] {
        let args = [p.pager.into(), 0, p.port.into(), 0, 4096, out];
        assert_eq!(p.m.call(N::PagerCreateVmo, &args), Status::INVALID_ARGS);
    }
    let packets = p.m.packets(p.port);
    assert_eq!(packets, [Packet::Complete(0); 3], "the VMOs are dropped");
}

#[test]
fn pager_create_vmo_options_invalid_args() {
    let mut p = paged(1);
    for options in [1, 4, 2 | 16, 32, 1 << 31, u32::MAX] {
        assert_eq!(
            p.m.pager_create_vmo(p.pager, options, p.port, 0, u64::MAX),
            Err(Status::INVALID_ARGS),
            "{options:#x}, before the size"
        );
    }
}

#[test]
fn pager_create_vmo_bad_handle() {
    let mut p = paged(1);
    for bad in [0, BAD] {
        for (pager, port) in [(bad, p.port), (p.pager, bad), (bad, p.vmo)] {
            assert_eq!(
                p.m.pager_create_vmo(pager, u32::MAX, port, 0, u64::MAX),
                Err(Status::BAD_HANDLE),
                "before options and size"
            );
        }
    }
}

#[test]
fn pager_create_vmo_wrong_type() {
    let mut p = paged(1);
    for (pager, port) in [(p.vmo, p.port), (p.pager, p.vmo), (p.port, p.pager)] {
        assert_eq!(
            p.m.pager_create_vmo(pager, u32::MAX, port, 0, u64::MAX),
            Err(Status::WRONG_TYPE)
        );
    }
}

#[test]
fn pager_create_vmo_access_denied() {
    let mut p = paged(1);
    let deaf = p.m.without(p.port, Rights::WRITE);
    assert_eq!(
        p.m.pager_create_vmo(p.pager, u32::MAX, deaf, 0, u64::MAX),
        Err(Status::ACCESS_DENIED)
    );
    let weak = p.m.handle_replace(p.pager, Rights::MANAGE_VMO).unwrap();
    assert_eq!(
        p.m.pager_create_vmo(weak, 0, p.port, 0, 4096),
        Err(Status::ACCESS_DENIED)
    );
}

#[test]
fn pager_create_vmo_size_out_of_range() {
    let mut p = paged(1);
    for size in [MAX_VMO_SIZE + 1, u64::MAX, u64::MAX - 4095] {
        assert_eq!(
            p.m.pager_create_vmo(p.pager, 0, p.port, 0, size),
            Err(Status::OUT_OF_RANGE)
        );
    }
    assert!(
        p.m.pager_create_vmo(p.pager, 0, p.port, 0, MAX_VMO_SIZE)
            .is_ok()
    );
}

#[test]
fn pager_create_vmo_policy_access_denied() {
    let mut m = TestMachine::with_policy(policy(NewVmo, Deny));
    assert_eq!(
        m.pager_create_vmo(BAD, u32::MAX, BAD, 0, u64::MAX),
        Err(Status::ACCESS_DENIED),
        "first of all"
    );
}

#[test]
fn pager_read_packet_layout() {
    let mut p = paged(3);
    let thread = p.m.thread();
    p.m.begin_read(thread, p.vmo, 4096, 8192);
    let at = p.m.alloc(48);
    let args = [p.port.into(), 0, at];
    assert_eq!(p.m.call(N::PortWait, &args), Status::OK);
    let mut expected = [0u8; 48];
    expected[0] = 7;
    expected[8] = 9;
    expected[24..32].copy_from_slice(&4096u64.to_le_bytes());
    expected[32..40].copy_from_slice(&8192u64.to_le_bytes());
    assert_eq!(p.m.peek(at, 48), expected);
}

/// READ is sent for a non-resident page only.
#[test]
fn pager_read_packet_only_for_absent_pages() {
    let mut p = paged(8);
    p.m.supply(p.pager, p.vmo, 2..5, 0).unwrap();
    let thread = p.m.thread();
    let (token, buffer) = p.m.begin_read(thread, p.vmo, 0, 8 * 4096);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 2)]);
    p.m.supply(p.pager, p.vmo, 0..2, 0).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 5, 8)]);
    p.m.supply(p.pager, p.vmo, 5..8, 0).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.peek(buffer + 7 * 4096, 1), [7]);
    assert_eq!(p.m.page_bytes(p.vmo, 0..8), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(p.m.packets(p.port), []);
}

#[test]
fn pager_one_packet_in_the_port() {
    let mut p = paged(8);
    let mut readers: Vec<Reader> = (0..3)
        .map(|page| p.m.reader(Via::Mapping, p.vmo, page..page + 1))
        .collect();
    p.m.port_queue(p.port, &Default::default()).unwrap();
    let packets = p.m.packets(p.port);
    let user = Packet::Other(Default::default());
    let reads = [0, 1, 2].map(|page| Packet::Read(7, page, page + 1));
    assert_eq!(
        packets,
        [reads[0], user, reads[1], reads[2]],
        "the next request is queued when the first packet is taken"
    );
    p.m.supply(p.pager, p.vmo, 0..3, 0).unwrap();
    for reader in &mut readers {
        p.m.read_bytes(reader);
    }
}

#[test]
fn pager_detach_vmo_rows() {
    let mut p = paged(1);
    let slice = p.m.vmo_create_child(p.vmo, 8, 0, 4096).unwrap();
    let (plain, other) = (p.m.vmo(1), p.m.pager_create());
    let read_only = p.m.without(p.vmo, Rights::WRITE);
    for (pager, vmo, status) in [
        (0, p.vmo, Status::BAD_HANDLE),
        (BAD, p.vmo, Status::BAD_HANDLE),
        (p.pager, BAD, Status::BAD_HANDLE),
        (p.vmo, BAD, Status::WRONG_TYPE),
        (p.pager, p.port, Status::WRONG_TYPE),
        (p.pager, read_only, Status::ACCESS_DENIED),
        (p.pager, plain, Status::INVALID_ARGS),
        (p.pager, slice, Status::INVALID_ARGS),
        (other, p.vmo, Status::INVALID_ARGS),
    ] {
        assert_eq!(p.m.pager_detach_vmo(pager, vmo), Err(status));
    }
    for rights in [Rights::ATTACH_VMO, Rights::MANAGE_VMO] {
        let pager = p.m.pager_create();
        let weak = p.m.handle_replace(pager, rights).unwrap();
        assert_eq!(
            p.m.pager_detach_vmo(weak, p.vmo),
            Err(Status::ACCESS_DENIED)
        );
    }
    assert_eq!(p.m.packets(p.port), []);
    assert_eq!(p.m.pager_detach_vmo(p.pager, p.vmo), Ok(()));
    assert_eq!(
        p.m.pager_detach_vmo(p.pager, p.vmo),
        Ok(()),
        "twice is fine"
    );
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)], "once");
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), [], "COMPLETE is the last packet");
}

#[test]
fn pager_detach_drops_clean_pages_keeps_written_ones() {
    let mut p = paged(4);
    p.m.supply(p.pager, p.vmo, 0..3, 5).unwrap();
    p.m.vmo_write(p.vmo, 4096, &[9; 4096]).unwrap();
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(p.m.committed(p.vmo), 1);
    assert_eq!(p.m.page_bytes(p.vmo, 1..2), [9]);
    for page in [0, 2, 3] {
        assert_eq!(
            p.m.vmo_read(p.vmo, page * 4096, 1),
            Err(Status::BAD_STATE),
            "page {page}"
        );
    }
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
}

#[test]
fn pager_detach_drops_zero_markers() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 8192, aux, 0)
        .unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..2), [0, 0]);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Err(Status::BAD_STATE));
}

/// A page that is being read when the VMO is detached goes as soon as the read ends.
#[test]
fn pager_detach_drops_pages_that_are_being_read() {
    let mut p = paged(2);
    p.m.supply(p.pager, p.vmo, 0..2, 5).unwrap();
    let thread = p.m.thread();
    let buffer = p.m.alloc(8192);
    p.m.poke(buffer, &[1; 8192]);
    p.m.order = Order::Held;
    let args = [p.vmo.into(), buffer, 0, 8192];
    let read = p.m.begin(thread, N::VmoRead, &args);
    let detach = [p.pager.into(), p.vmo.into()];
    p.m.call_on(p.m.main.thread, N::PagerDetachVmo, &detach);
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.status(read), Status::OK, "the copy was under way");
    assert_eq!(p.m.committed(p.vmo), 0);
    assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Err(Status::BAD_STATE));
    assert_eq!(p.m.touch_mapped(p.vmo), Touch::Fatal(Status::BAD_STATE));
}

/// Between the detach and the end of that read the page is gone for everybody else already; where a mapping may have written to it, that
/// is found out first.
#[test]
fn pager_detach_is_seen_at_once() {
    for options in [0, 8] {
        let mut p = paged_with(4096, options);
        p.m.supply(p.pager, p.vmo, 0..1, 5).unwrap();
        let threads = [p.m.thread(), p.m.thread()];
        let (buffer, second) = (p.m.alloc(4096), p.m.alloc(4096));
        p.m.poke(buffer, &[1; 4096]);
        p.m.poke(second, &[1; 4096]);
        p.m.order = Order::Held;
        let args = [p.vmo.into(), buffer, 0, 4096];
        p.m.begin(threads[0], N::VmoRead, &args);
        let detach = [p.pager.into(), p.vmo.into()];
        p.m.call_on(p.m.main.thread, N::PagerDetachVmo, &detach);
        let args = [p.vmo.into(), second, 0, 4096];
        let read = p.m.call_on(threads[1], N::VmoRead, &args);
        let lost = Outcome::Value(Status::BAD_STATE.to_register());
        match read {
            Outcome::Blocked(token) => {
                assert_eq!(options, 0);
                p.m.settle();
                assert_eq!(p.m.status(token), Status::BAD_STATE);
            }
            read => assert_eq!((options, read), (8, lost)),
        }
        p.m.settle();
        assert_eq!(p.m.memory.page(zircon::VmoId(0), 0), None);
    }
}

/// A mapping writes to a page while its VMO is being detached: nothing is lost.
#[test]
fn pager_detach_keeps_what_mappings_wrote() {
    let mut p = paged(3);
    p.m.supply(p.pager, p.vmo, 0..3, 5).unwrap();
    let at = p.m.map(p.vmo, 3);
    let thread = p.m.thread();
    assert_eq!(p.m.store(thread, at, 9), Touch::Done);
    p.m.order = Order::Held;
    let detach = [p.pager.into(), p.vmo.into()];
    let token = p.m.begin(p.m.main.thread, N::PagerDetachVmo, &detach);
    // The processor does not ask: the page is still mapped.
    let id = p.m.kernel.mapped_run(p.m.main.process, at).unwrap().vmo;
    p.m.memory.page_mut(id, 2).unwrap()[0] = 9;
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(
        p.m.dirty_ranges(p.pager, p.vmo, 0..3),
        [(0, 1, false), (2, 3, false)]
    );
    assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Ok(vec![9]));
    assert_eq!(p.m.vmo_read(p.vmo, 8192, 1), Ok(vec![9]));
    assert_eq!(p.m.vmo_read(p.vmo, 4096, 1), Err(Status::BAD_STATE));
    assert_eq!(p.m.vmo_info(p.vmo, 112), 0, "no reclaim");
}

/// A supply under way when the VMO is detached leaves no page behind.
#[test]
fn pager_detach_while_a_supply_is_in_flight() {
    for detach_first in [false, true] {
        let mut p = paged(4);
        let aux = p.m.vmo(4);
        p.m.vmo_write(aux, 0, &[3; 8192]).unwrap();
        p.m.vmo_write(aux, 3 * 4096, &[3; 4096]).unwrap();
        let thread = p.m.thread();
        let mut reader = p.m.reader(Via::Read, p.vmo, 0..4);
        p.m.order = Order::Held;
        let args = [p.pager.into(), p.vmo.into(), 0, 4 * 4096, aux.into(), 0];
        let supply = p.m.begin(thread, N::PagerSupplyPages, &args);
        if !detach_first {
            p.m.perform(0);
        }
        let detach = [p.pager.into(), p.vmo.into()];
        p.m.call_on(p.m.main.thread, N::PagerDetachVmo, &detach);
        p.m.settle();
        p.m.order = Order::Now;
        let status = p.m.status(supply);
        let last_move_was_out = !detach_first && status == Status::OK;
        assert!(status == Status::BAD_STATE || last_move_was_out);
        assert_eq!(p.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
        assert_eq!(p.m.committed(p.vmo), 0);
        assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Err(Status::BAD_STATE));
        assert_eq!(p.m.vmo_read(p.vmo, 2 * 4096, 1), Err(Status::BAD_STATE));
    }
}

/// A zero marker that is being made a page when the VMO is detached.
#[test]
fn pager_detach_while_a_marker_becomes_a_page() {
    let mut p = paged(1);
    let aux = p.m.vmo(1);
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096, aux, 0)
        .unwrap();
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    p.m.order = Order::Held;
    let touch = p.m.touch(thread, at, Access::Read);
    assert!(matches!(touch, Touch::Blocked(_)));
    let detach = [p.pager.into(), p.vmo.into()];
    p.m.call_on(p.m.main.thread, N::PagerDetachVmo, &detach);
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.fault_status(thread), Status::BAD_STATE);
}

#[test]
fn pager_detach_ends_waiters() {
    for via in Via::BOTH {
        let mut p = paged(2);
        let mut reader = p.m.reader(via, p.vmo, 0..2);
        p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
        assert_eq!(p.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
        if via == Via::Read {
            assert_eq!(
                p.m.packets(p.port),
                [Packet::Complete(7)],
                "the READ is withdrawn"
            );
        }
    }
}

#[test]
fn pager_close_is_silent_and_keeps_pages() {
    let mut p = paged(3);
    p.m.supply(p.pager, p.vmo, 0..1, 5).unwrap();
    let mut reader = p.m.reader(Via::Read, p.vmo, 0..3);
    p.m.handle_close(p.pager).unwrap();
    assert_eq!(p.m.poll(&mut reader), Some(Err(Status::BAD_STATE)));
    assert_eq!(p.m.packets(p.port), [], "no COMPLETE, no READ");
    assert_eq!(p.m.page_bytes(p.vmo, 0..1), [5], "resident pages stay");
    assert_eq!(p.m.vmo_read(p.vmo, 4096, 1), Err(Status::BAD_STATE));
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    assert_eq!(p.m.kernel.usage().len(), 1, "only the scratch VMO is left");
}

#[test]
fn pager_close_withdraws_a_queued_complete() {
    let mut p = paged(1);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    p.m.handle_close(p.pager).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    let mut p = paged(1);
    p.m.handle_close(p.vmo).unwrap();
    p.m.handle_close(p.pager).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    assert_eq!(p.m.kernel.usage().len(), 1, "only the scratch VMO is left");
}

#[test]
fn pager_close_behaves_as_detached() {
    let mut p = paged_with(8192, 2);
    p.m.handle_close(p.pager).unwrap();
    assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Err(Status::BAD_STATE));
    assert_eq!(p.m.vmo_write(p.vmo, 0, b"x"), Err(Status::BAD_STATE));
    assert_eq!(p.m.vmo_set_size(p.vmo, 4096), Ok(()));
    assert_eq!(p.m.vmo_set_size(p.vmo, 12288), Ok(()));
    assert_eq!(p.m.vmo_read(p.vmo, 8192, 1), Ok(vec![0]), "grown: zero");
    assert_eq!(p.m.touch_mapped(p.vmo), Touch::Fatal(Status::BAD_STATE));
}

/// COMPLETE comes when the last reference is gone: handle, slice, mapping.
#[test]
fn pager_complete_when_no_references_remain() {
    let mut p = paged(2);
    let slice = p.m.vmo_create_child(p.vmo, 8, 4096, 4096).unwrap();
    let at = p.m.vmar_map(1, 0, p.vmo, 0, 8192).unwrap();
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    let reader = p.m.reader(Via::Read, slice, 0..1);
    assert_eq!(
        p.m.packets(p.port),
        [Packet::Read(7, 1, 2)],
        "the slice pages in, at root offsets"
    );
    let thread = reader.thread;
    p.m.call_on(thread, N::ThreadExit, &[]);
    p.m.handle_close(slice).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    p.m.vmar_unmap(at, 8192).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
    assert_eq!(p.m.kernel.usage().len(), 1);
}

#[test]
fn pager_port_closed() {
    let mut p = paged(3);
    let mut first = p.m.reader(Via::Mapping, p.vmo, 0..1);
    p.m.handle_close(p.port).unwrap();
    let mut second = p.m.reader(Via::Mapping, p.vmo, 1..2);
    p.m.still_waits(&mut first);
    p.m.supply(p.pager, p.vmo, 0..1, 4).unwrap();
    assert_eq!(p.m.read_bytes(&mut first), [4]);
    p.m.still_waits(&mut second);
    p.m.supply(p.pager, p.vmo, 1..3, 4).unwrap();
    assert_eq!(p.m.read_bytes(&mut second), [5]);
    assert_eq!(p.m.page_bytes(p.vmo, 2..3), [6]);
}

/// A VMO whose port is gone is forgotten like any other.
#[test]
fn pager_port_closed_then_vmo_closed() {
    for packet_first in [false, true] {
        let mut p = paged(1);
        if packet_first {
            let reader = p.m.reader(Via::Read, p.vmo, 0..1);
            p.m.call_on(reader.thread, N::ThreadExit, &[]);
        }
        let mut waiting = p.m.reader(Via::Read, p.vmo, 0..1);
        p.m.handle_close(p.port).unwrap();
        p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
        assert_eq!(p.m.read_bytes(&mut waiting), [0]);
        p.m.handle_close(p.vmo).unwrap();
        assert_eq!(p.m.kernel.usage().len(), 1, "only the scratch VMO is left");
    }
    let mut p = paged(1);
    p.m.handle_close(p.vmo).unwrap();
    p.m.handle_close(p.port).unwrap();
    assert_eq!(p.m.kernel.usage().len(), 1, "its COMPLETE was queued");
}

#[test]
fn pager_key_reuse() {
    let mut p = paged(1);
    let twin = p.m.pager_create_vmo(p.pager, 0, p.port, 7, 4096).unwrap();
    let _readers = [
        p.m.reader(Via::Read, p.vmo, 0..1),
        p.m.reader(Via::Read, twin, 0..1),
    ];
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1); 2]);
}

/// A reader whose thread ends drops its request; one that comes later asks again.
#[test]
fn pager_cancelled_request_is_withdrawn_and_asked_again() {
    for via in Via::BOTH {
        let mut p = paged(1);
        let reader = p.m.reader(via, p.vmo, 0..1);
        p.m.call_on(reader.thread, N::ThreadExit, &[]);
        assert_eq!(p.m.packets(p.port), [], "withdrawn");
        let mut again = p.m.reader(via, p.vmo, 0..1);
        assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
        p.m.call_on(again.thread, N::ThreadExit, &[]);
        again = p.m.reader(via, p.vmo, 0..1);
        assert_eq!(
            p.m.packets(p.port),
            [Packet::Read(7, 0, 1)],
            "a second READ"
        );
        p.m.supply(p.pager, p.vmo, 0..1, 1).unwrap();
        assert_eq!(p.m.read_bytes(&mut again), [1]);
    }
}

/// A reader that fails half-way no longer wants the rest of what it asked for.
#[test]
fn pager_request_of_a_failed_read_is_withdrawn() {
    let mut p = paged(3);
    let target = p.m.vmo(1);
    let at = p.m.map(target, 1);
    let thread = p.m.thread();
    let args = [p.vmo.into(), at, 0, 3 * 4096];
    let token = p.m.begin(thread, N::VmoRead, &args);
    p.m.supply(p.pager, p.vmo, 0..2, 1).unwrap();
    assert_eq!(p.m.status(token), Status::NOT_FOUND);
    assert_eq!(p.m.packets(p.port), [], "withdrawn");
    let _reader = p.m.reader(Via::Read, p.vmo, 2..3);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 2, 3)]);
}

/// Of two who wait for the same page one goes: the other still waits, without a new packet.
#[test]
fn pager_follower_inherits_a_cancelled_request() {
    let mut p = paged(2);
    let leader = p.m.reader(Via::Read, p.vmo, 0..2);
    let mut follower = p.m.reader(Via::Mapping, p.vmo, 0..1);
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 2)]);
    p.m.call_on(leader.thread, N::ThreadExit, &[]);
    p.m.still_waits(&mut follower);
    assert_eq!(p.m.packets(p.port), []);
    p.m.supply(p.pager, p.vmo, 0..2, 1).unwrap();
    assert_eq!(p.m.read_bytes(&mut follower), [1]);
}

#[test]
fn pager_fail_by_the_host() {
    for via in Via::BOTH {
        let mut m = TestMachine::new();
        let id = m.kernel.add_host_vmo("file", 3 * 4096, true).unwrap();
        let rights = Rights::DEFAULT_VMO - Rights::WRITE;
        let object = zircon::ObjectRef::Vmo(id);
        let vmo = m
            .kernel
            .give_handle(m.main.process, object, rights)
            .unwrap();
        let mut reader = m.reader(via, vmo, 0..2);
        let pages = m.host_reads.remove(0);
        let count = if via == Via::Read { 2 } else { 1 };
        assert_eq!((pages.first, pages.count), (0, count));
        m.kernel.supply_fail(m.now, pages, Status::IO);
        m.drain();
        assert_eq!(m.poll(&mut reader), Some(Err(Status::IO)));
        if via == Via::Read {
            let mut again = m.reader(via, vmo, 0..2);
            m.answer_host_reads(1);
            assert_eq!(m.read_bytes(&mut again), [1, 2], "a retry asks again");
        }
    }
}

/// The VMM has no memory for what it would supply: whoever waits gets that, and nobody hangs.
#[test]
fn host_supply_without_memory() {
    let mut m = TestMachine::new();
    let id = m.kernel.add_host_vmo("file", 4096, true).unwrap();
    let object = zircon::ObjectRef::Vmo(id);
    let vmo = m
        .kernel
        .give_handle(m.main.process, object, Rights::DEFAULT_VMO)
        .unwrap();
    let mut reader = m.reader(Via::Read, vmo, 0..1);
    let pages = m.host_reads.remove(0);
    let (op, _) = m.kernel.supply_begin(m.now, pages)[0];
    let failed = zircon::MemoryResult::Failed(Status::NO_MEMORY);
    m.kernel.memory_done(m.now, op, failed);
    m.drain();
    assert_eq!(m.poll(&mut reader), Some(Err(Status::NO_MEMORY)));
}

/// Supplying ahead what nobody asked for, twice, and past the end.
#[test]
fn host_supply_ahead() {
    let mut m = TestMachine::new();
    let id = m.kernel.add_host_vmo("file", 5 * 4096 - 7, true).unwrap();
    let object = zircon::ObjectRef::Vmo(id);
    let vmo = m
        .kernel
        .give_handle(m.main.process, object, Rights::DEFAULT_VMO)
        .unwrap();
    m.drain();
    let pages = |first, count| zircon::Pages {
        vmo: id,
        first,
        count,
    };
    m.host_supply(pages(1, 2), 1);
    m.host_supply(pages(0, 64), 2);
    assert_eq!(m.page_bytes(vmo, 0..5), [2, 2, 3, 5, 6]);
    assert_eq!(m.host_reads, []);
    assert_eq!(m.kernel.supply_begin(m.now, pages(9, 4)), []);
}

/// Zeros that the pager did not supply are a change that it does not know of: they stay.
#[test]
fn pager_detach_keeps_grown_zeros() {
    let mut p = paged_with(2 * 4096, 2);
    p.m.vmo_set_size(p.vmo, 5 * 4096).unwrap();
    let at = p.m.vmar_map(1, 0, p.vmo, 0, 5 * 4096).unwrap();
    let thread = p.m.thread();
    assert_eq!(p.m.touch(thread, at + 2 * 4096, Access::Read), Touch::Done);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 2..5), [0, 0, 0]);
    assert_eq!(p.m.vmo_read(p.vmo, 4096, 1), Err(Status::BAD_STATE));
    assert_eq!(p.m.touch(thread, at + 3 * 4096, Access::Read), Touch::Done);
}
