//! `zx_pager_supply_pages`: its description and its errors, in the order of the checks.

use protocol::MAX_VMO_SIZE;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{Order, Packet, Via};

#[test]
fn pager_supply_pages_moves_and_decommits() {
    let mut p = paged(4);
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 0, &[1; 4 * 4096]).unwrap();
    let at = p.m.map(aux, 4);
    p.m.pager_supply_pages(p.pager, p.vmo, 4096, 8192, aux, 8192)
        .unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 1..3), [1, 1]);
    assert_eq!(p.m.committed(aux), 2, "the range is decommitted");
    assert_eq!(p.m.page_bytes(aux, 0..4), [1, 1, 0, 0]);
    let thread = p.m.main.thread;
    p.m.touch(thread, at + 8192, zircon::Access::Read);
    assert_eq!(p.m.peek(at + 8192, 4096), [0; 4096], "through mappings too");
    assert_eq!(p.m.committed(p.vmo), 2);
}

#[test]
fn pager_supply_pages_keeps_what_is_there() {
    let mut p = paged(4);
    p.m.supply(p.pager, p.vmo, 1..2, 10).unwrap();
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 0, &[1; 4 * 4096]).unwrap();
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 4 * 4096, aux, 0)
        .unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..4), [1, 11, 1, 1]);
    assert_eq!(p.m.committed(aux), 0, "its page is freed");
}

#[test]
fn pager_supply_pages_uncommitted_is_zero() {
    let mut p = paged(4);
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 4096, &[1; 4096]).unwrap();
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 3 * 4096, aux, 0)
        .unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..3), [0, 1, 0]);
    assert_eq!(p.m.committed(p.vmo), 1, "markers have no storage");
    assert_eq!(p.m.packets(p.port), []);
    p.m.supply(p.pager, p.vmo, 0..1, 9).unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..1), [0], "a marker is kept too");
}

#[test]
fn pager_supply_pages_unaligned_invalid_args() {
    let mut p = paged(2);
    for (offset, length, aux_offset) in [(1, 4096, 0), (0, 4095, 0), (0, 4096, 8), (0, 1, 0)] {
        assert_eq!(
            p.m.pager_supply_pages(BAD, BAD, offset, length, BAD, aux_offset),
            Err(Status::INVALID_ARGS),
            "before the handles"
        );
    }
}

#[test]
fn pager_supply_pages_bad_handle() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    let huge = MAX_VMO_SIZE;
    for bad in [0, BAD] {
        for (pager, vmo, aux) in [
            (bad, p.port, p.port),
            (p.pager, bad, p.port),
            (p.pager, p.vmo, bad),
        ] {
            assert_eq!(
                p.m.pager_supply_pages(pager, vmo, huge, huge, aux, huge),
                Err(Status::BAD_HANDLE)
            );
        }
    }
    let (pager, vmo) = (p.pager, p.vmo);
    for length in [0, 4096] {
        assert_eq!(
            p.m.pager_supply_pages(pager, vmo, 0, length, BAD, 0),
            Err(Status::BAD_HANDLE),
            "length 0 is not looked at before"
        );
    }
    p.m.pager_supply_pages(pager, vmo, 0, 4096, aux, 0).unwrap();
}

#[test]
fn pager_supply_pages_wrong_type() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    for (pager, vmo, aux) in [
        (p.vmo, p.vmo, aux),
        (p.pager, p.port, BAD),
        (p.pager, p.vmo, p.port),
    ] {
        assert_eq!(
            p.m.pager_supply_pages(pager, vmo, 0, 4096, aux, 0),
            Err(Status::WRONG_TYPE)
        );
    }
}

#[test]
fn pager_supply_pages_not_owned_invalid_args() {
    let mut p = paged(2);
    let (plain, other) = (p.m.vmo(2), p.m.pager_create());
    let slice = p.m.vmo_create_child(p.vmo, 8, 0, 4096).unwrap();
    for (pager, vmo) in [(p.pager, plain), (other, p.vmo), (p.pager, slice)] {
        assert_eq!(
            p.m.pager_supply_pages(pager, vmo, 0, 4096, BAD, 0),
            Err(Status::INVALID_ARGS),
            "before the auxiliary handle"
        );
    }
}

#[test]
fn pager_supply_pages_access_denied() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    let vmo_read_only = p.m.without(p.vmo, Rights::WRITE);
    let aux_read_only = p.m.without(aux, Rights::WRITE);
    let aux_unreadable = p.m.without(aux, Rights::READ);
    for (vmo, aux) in [
        (vmo_read_only, BAD),
        (p.vmo, aux_read_only),
        (p.vmo, aux_unreadable),
    ] {
        assert_eq!(
            p.m.pager_supply_pages(p.pager, vmo, 0, 4096, aux, 0),
            Err(Status::ACCESS_DENIED)
        );
    }
    let weak = p.m.handle_replace(p.pager, Rights::ATTACH_VMO).unwrap();
    assert_eq!(
        p.m.pager_supply_pages(weak, p.vmo, 0, 4096, aux, 0),
        Err(Status::ACCESS_DENIED)
    );
}

#[test]
fn pager_supply_pages_aux_not_supported() {
    let mut p = paged(2);
    let aux = p.m.pager_create_vmo(p.pager, 0, p.port, 1, 8192).unwrap();
    let slice = p.m.vmo_create_child(aux, 8, 0, 4096).unwrap();
    for aux in [aux, slice, p.vmo] {
        assert_eq!(
            p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096, aux, 0),
            Err(Status::NOT_SUPPORTED)
        );
        assert_eq!(
            p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096, aux, 1 << 40),
            Err(Status::NOT_SUPPORTED),
            "before the ranges"
        );
    }
}

#[test]
fn pager_supply_pages_out_of_range() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    p.m.vmo_write(aux, 0, &[1; 8192]).unwrap();
    let far = MAX_VMO_SIZE;
    for (offset, length, aux_offset) in [
        (8192, 4096, 0),
        (4096, 8192, 0),
        (0, 4096, 8192),
        (0, 8192, 4096),
        (0, 12288, 0),
        (far, far, 0),
        (0, far, 0),
        (0, far, far),
        (u64::MAX - 4095, 4096, 0),
        (0, 4096, u64::MAX - 4095),
        (0, u64::MAX - 4095, 0),
    ] {
        assert_eq!(
            p.m.pager_supply_pages(p.pager, p.vmo, offset, length, aux, aux_offset),
            Err(Status::OUT_OF_RANGE),
            "{offset:#x} {length:#x} {aux_offset:#x}"
        );
    }
    let left = p.m.committed(aux);
    assert!(left == 2 || left == 0, "untouched or fully decommitted");
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(
        p.m.pager_supply_pages(p.pager, p.vmo, 8192, 4096, aux, 0),
        Err(Status::OUT_OF_RANGE),
        "ranges before the state"
    );
}

#[test]
fn pager_supply_pages_detached_bad_state() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
    assert_eq!(
        p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096, aux, 0),
        Err(Status::BAD_STATE)
    );
    assert_eq!(
        p.m.pager_supply_pages(p.pager, p.vmo, 0, 0, aux, 0),
        Ok(()),
        "nothing to supply, nothing to refuse"
    );
}

#[test]
fn pager_supply_pages_no_memory() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    p.m.vmo_write(aux, 0, &[1; 8192]).unwrap();
    p.m.no_memory = true;
    let args = [p.pager.into(), p.vmo.into(), 0, 8192, aux.into(), 0];
    assert_eq!(p.m.call(N::PagerSupplyPages, &args), Status::NO_MEMORY);
    p.m.no_memory = false;
    assert_eq!(p.m.call(N::PagerSupplyPages, &args), Status::OK);
    assert_eq!(p.m.page_bytes(p.vmo, 0..2), [1, 1]);
}

/// Newest rule: the auxiliary VMO may have children and may be one.
#[test]
fn pager_supply_pages_from_a_slice() {
    let mut p = paged(2);
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 0, &[1; 4 * 4096]).unwrap();
    let slice = p.m.vmo_create_child(aux, 8, 4096, 8192).unwrap();
    assert_eq!(
        p.m.pager_supply_pages(p.pager, p.vmo, 0, 8192, slice, 4096),
        Err(Status::OUT_OF_RANGE)
    );
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 8192, slice, 0)
        .unwrap();
    assert_eq!(p.m.page_bytes(aux, 0..4), [1, 0, 0, 1]);
}

/// Gigantic ranges cost what is there.
#[test]
fn pager_supply_pages_huge() {
    let mut p = paged_with(0, 16);
    let aux = p.m.vmo_create(0, 16).unwrap();
    p.m.vmo_write(aux, 1 << 62, &[7; 4096]).unwrap();
    let mut reader = p.m.reader(Via::Read, p.vmo, 1 << 50..(1 << 50) + 1);
    p.m.pager_supply_pages(p.pager, p.vmo, 0, MAX_VMO_SIZE, aux, 0)
        .unwrap();
    assert_eq!(p.m.read_bytes(&mut reader), [7]);
    assert_eq!(p.m.committed(p.vmo), 1);
    assert_eq!(p.m.vmo_read(p.vmo, 1 << 61, 1), Ok(vec![0]));
    assert!(p.m.memory_ops < 100, "{} operations", p.m.memory_ops);
}

/// Every other page of the auxiliary VMO is there, and all of the destination: no step looks at all of it again.
#[test]
fn pager_supply_pages_is_linear() {
    let mut p = paged(1 << 15);
    p.m.unchecked = true;
    let aux = p.m.vmo(1 << 15);
    for _ in 0..2 {
        for page in (0..1 << 15).step_by(2) {
            p.m.vmo_write(aux, page * 4096, b"x").unwrap();
        }
        let start = std::time::Instant::now();
        p.m.pager_supply_pages(p.pager, p.vmo, 0, 4096 << 15, aux, 0)
            .unwrap();
        let took = start.elapsed();
        assert!(took.as_secs() < 5, "{took:?}");
        p.m.vmo_write(p.vmo, 0, &vec![1; 4096 << 15]).unwrap();
    }
}

/// A shrink cuts a supply short: it waits for the move under way, and the supply ends with OUT_OF_RANGE.
#[test]
fn pager_supply_pages_while_shrinking() {
    let mut p = paged_with(8 * 4096, 2);
    let aux = p.m.vmo(8);
    p.m.vmo_write(aux, 0, &[1; 4096]).unwrap();
    p.m.vmo_write(aux, 2 * 4096, &[1; 6 * 4096]).unwrap();
    let (supplier, resizer) = (p.m.thread(), p.m.thread());
    p.m.order = Order::Held;
    let args = [p.pager.into(), p.vmo.into(), 0, 8 * 4096, aux.into(), 0];
    let supply = p.m.begin(supplier, N::PagerSupplyPages, &args);
    let resize = p.m.begin(resizer, N::VmoSetSize, &[p.vmo.into(), 0]);
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.status(supply), Status::OUT_OF_RANGE);
    assert_eq!(p.m.status(resize), Status::OK);
    assert_eq!(p.m.committed(p.vmo), 0);
    assert_eq!(
        p.m.committed(aux),
        0,
        "all decommitted, what was not reached too"
    );
    p.m.vmo_set_size(p.vmo, 8 * 4096).unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..8), [0; 8], "never old data");
}

/// Two supplies of the same range at once: each page comes from one of them, none is lost.
#[test]
fn pager_supply_pages_twice_at_once() {
    let mut p = paged(4);
    let (one, two) = (p.m.vmo(4), p.m.vmo(4));
    p.m.vmo_write(one, 0, &[1; 4 * 4096]).unwrap();
    p.m.vmo_write(two, 0, &[2; 4 * 4096]).unwrap();
    let threads = [p.m.thread(), p.m.thread()];
    let mut reader = p.m.reader(Via::Read, p.vmo, 0..4);
    p.m.order = Order::Held;
    let tokens = [(threads[0], one), (threads[1], two)].map(|(thread, aux)| {
        let args = [p.pager.into(), p.vmo.into(), 0, 4 * 4096, aux.into(), 0];
        p.m.begin(thread, N::PagerSupplyPages, &args)
    });
    p.m.settle();
    p.m.order = Order::Now;
    for token in tokens {
        assert_eq!(p.m.status(token), Status::OK);
    }
    assert_eq!(p.m.read_bytes(&mut reader), [1, 1, 1, 1]);
    assert_eq!((p.m.committed(one), p.m.committed(two)), (0, 0));
    assert_eq!(p.m.packets(p.port), []);
}

/// The same auxiliary page cannot go to two places.
#[test]
fn pager_supply_pages_one_aux_for_two_at_once() {
    let mut p = paged(4);
    let aux = p.m.vmo(1);
    p.m.vmo_write(aux, 0, &[6; 4096]).unwrap();
    let threads = [p.m.thread(), p.m.thread()];
    p.m.order = Order::Held;
    let tokens = [0, 1].map(|page: usize| {
        let to = page as u64 * 4096;
        let args = [p.pager.into(), p.vmo.into(), to, 4096, aux.into(), 0];
        p.m.begin(threads[page], N::PagerSupplyPages, &args)
    });
    p.m.settle();
    p.m.order = Order::Now;
    for token in tokens {
        assert_eq!(p.m.status(token), Status::OK);
    }
    assert_eq!(p.m.page_bytes(p.vmo, 0..2), [6, 0]);
}

/// The thread that supplies ends: the supply goes on, nobody is told, nothing is left over.
#[test]
fn pager_supply_pages_thread_ends() {
    let mut p = paged(4);
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 0, &[1; 4096]).unwrap();
    p.m.vmo_write(aux, 2 * 4096, &[1; 8192]).unwrap();
    let thread = p.m.thread();
    let mut reader = p.m.reader(Via::Read, p.vmo, 0..4);
    p.m.order = Order::Held;
    let args = [p.pager.into(), p.vmo.into(), 0, 4 * 4096, aux.into(), 0];
    p.m.begin(thread, N::PagerSupplyPages, &args);
    p.m.call_on(thread, N::ThreadExit, &[]);
    p.m.settle();
    p.m.order = Order::Now;
    assert_eq!(p.m.read_bytes(&mut reader), [1, 0, 1, 1]);
    p.m.handle_close(aux).unwrap();
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
    assert_eq!(p.m.kernel.usage().len(), 1, "no reference leaked");
}
