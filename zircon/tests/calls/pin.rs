//! `zx_bti_pin`, `zx_pmt_unpin`, `zx_bti_release_quarantine`, and what pinned pages stand in the way of.

use protocol::info::TOPIC_BTI;
use protocol::options::PagerOp;
use protocol::syscall::SyscallNumber as N;
use zircon::{Token, VmoId};

use super::resource::{bti, contiguous, mmio, physical};
use super::*;
use crate::common::{Outcome, Packet};

const READ: u32 = 1;
const WRITE: u32 = 2;
const COMPRESS: u32 = 8;
const CONTIGUOUS: u32 = 16;
const SLICE: u32 = 8;
const TRAP_DIRTY: u32 = 8;

/// The arguments of a pin of whole pages, and where its results go: addresses, then the token.
fn args(m: &mut TestMachine, bti: u32, options: u32, vmo: u32, pages: (u64, u64)) -> [u64; 8] {
    let (first, count) = pages;
    let (addresses, pmt) = (m.alloc(8 * count.max(1)), m.alloc(4));
    let (offset, size) = (first * PAGE_SIZE, count * PAGE_SIZE);
    [
        bti.into(),
        options.into(),
        vmo.into(),
        offset,
        size,
        addresses,
        count,
        pmt,
    ]
}

pub(crate) fn pin(
    m: &mut TestMachine,
    bti: u32,
    options: u32,
    vmo: u32,
    pages: (u64, u64),
) -> Result<u32, Status> {
    let args = args(m, bti, options, vmo, pages);
    m.call(N::BtiPin, &args).ok()?;
    Ok(m.peek_u32(args[7]))
}

pub(crate) fn begin_pin(
    m: &mut TestMachine,
    bti: u32,
    options: u32,
    vmo: u32,
    pages: (u64, u64),
) -> (Token, u64) {
    let args = args(m, bti, options, vmo, pages);
    let thread = m.thread();
    (m.begin(thread, N::BtiPin, &args), args[7])
}

pub(crate) fn unpin(m: &mut TestMachine, pmt: u32) -> Status {
    m.call(N::PmtUnpin, &[pmt.into()])
}

fn op_range(m: &mut TestMachine, vmo: u32, op: u64, offset: u64, length: u64) -> Status {
    m.call(N::VmoOpRange, &[vmo.into(), op, offset, length, 0, 0])
}

/// (pinned objects, those in quarantine)
fn info(m: &mut TestMachine, bti: u32) -> (u64, u64) {
    let out = m.alloc(32);
    let args = [bti.into(), TOPIC_BTI.into(), out, 32, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::OK);
    (m.peek_u64(out + 16), m.peek_u64(out + 24))
}

#[test]
fn bti_pin_commits_and_tells_an_address_for_each_page() {
    let mut m = TestMachine::new();
    let (bti, vmo) = (bti(&mut m), m.vmo(4));
    let args = args(&mut m, bti, READ, vmo, (1, 2));
    assert_eq!(m.call(N::BtiPin, &args), Status::OK);
    assert_eq!(m.committed(vmo), 2);
    let (one, two) = (m.peek_u64(args[5]), m.peek_u64(args[5] + 8));
    assert_eq!(two, one + PAGE_SIZE, "as the test memory has it");
    let pmt = m.peek_u32(args[7]);
    assert_eq!(m.rights(pmt), Rights::DEFAULT_PMT);
    assert_eq!(info(&mut m, bti), (1, 0));
    assert_eq!(unpin(&mut m, pmt), Status::OK);
    assert_eq!(info(&mut m, bti), (0, 0));
    assert_eq!(m.handle_close(pmt), Err(Status::BAD_HANDLE), "consumed");
}

#[test]
fn bti_pin_order_of_checks() {
    let mut m = TestMachine::new();
    let (bti, vmo, port) = (bti(&mut m), m.vmo(4), m.port_create());
    let unmapped_bti = m.without(bti, Rights::MAP);
    let (unmapped, unread, unwritten) = (
        m.without(vmo, Rights::MAP),
        m.without(vmo, Rights::READ),
        m.without(vmo, Rights::WRITE),
    );
    let (to, out, page) = (m.alloc(64), m.alloc(4), PAGE_SIZE);
    let many = 32_769;
    for (bti, options, vmo, offset, size, count, out, status) in [
        (BAD, 99, BAD, 1, 1, many, 0, Status::BAD_HANDLE),
        (port, 99, BAD, 1, 1, many, 0, Status::WRONG_TYPE),
        (unmapped_bti, 99, BAD, 1, 1, many, 0, Status::ACCESS_DENIED),
        (bti, 99, BAD, 1, 0, 0, 0, Status::INVALID_ARGS),
        (bti, 99, BAD, 0, 1, 0, 0, Status::INVALID_ARGS),
        (bti, 99, BAD, 0, page, many, 0, Status::INVALID_ARGS),
        (bti, 99, BAD, 0, page, 1, 0, Status::BAD_HANDLE),
        (bti, 99, port, 0, page, 1, 0, Status::WRONG_TYPE),
        (bti, 99, unmapped, 0, page, 1, 0, Status::ACCESS_DENIED),
        (bti, 99, unread, 0, page, 1, 0, Status::ACCESS_DENIED),
        (bti, 4 | 64, unread, 0, page, 1, 0, Status::ACCESS_DENIED),
        (
            bti,
            WRITE | 64,
            unwritten,
            0,
            page,
            1,
            0,
            Status::ACCESS_DENIED,
        ),
        (
            bti,
            READ | COMPRESS | CONTIGUOUS,
            vmo,
            0,
            page,
            1,
            0,
            Status::INVALID_ARGS,
        ),
        (
            bti,
            READ | CONTIGUOUS,
            vmo,
            0,
            page,
            1,
            0,
            Status::INVALID_ARGS,
        ),
        (bti, READ | 64, vmo, 0, page, 1, 0, Status::INVALID_ARGS),
        (
            bti,
            READ,
            vmo,
            u64::MAX - 4095,
            0,
            0,
            0,
            Status::INVALID_ARGS,
        ),
        (bti, READ, vmo, 4 * page, page, 9, 0, Status::OUT_OF_RANGE),
        (
            bti,
            READ,
            vmo,
            u64::MAX - 4095,
            page,
            9,
            0,
            Status::OUT_OF_RANGE,
        ),
        (bti, READ, vmo, 0, page, 2, 0, Status::INVALID_ARGS),
        (bti, READ, vmo, 0, page, 1, 0, Status::INVALID_ARGS),
        (bti, READ, vmo, 0, page, 1, out, Status::OK),
    ] {
        let args = [
            bti.into(),
            u64::from(options),
            vmo.into(),
            offset,
            size,
            to,
            count,
            out,
        ];
        assert_eq!(m.call(N::BtiPin, &args), status, "{args:x?}");
    }
    assert_eq!(info(&mut m, bti), (1, 0), "failed pins leave nothing");
}

#[test]
fn bti_pin_that_cannot_write_its_results_is_undone() {
    let mut m = TestMachine::new();
    let (bti, vmo) = (bti(&mut m), m.vmo(1));
    let page = PAGE_SIZE;
    let to = m.alloc(8);
    for (to, out) in [(crate::common::NOWHERE, to), (to, crate::common::NOWHERE)] {
        let args = [bti.into(), 1, vmo.into(), 0, page, to, 1, out];
        assert_eq!(m.call(N::BtiPin, &args), Status::INVALID_ARGS);
        assert_eq!(info(&mut m, bti), (0, 0));
    }
    assert_eq!(op_range(&mut m, vmo, 2, 0, page), Status::OK, "not pinned");
}

#[test]
fn bti_pin_contiguous_tells_one_address() {
    let mut m = TestMachine::new();
    let bti = bti(&mut m);
    let vmo = contiguous(&mut m, bti, 4 * PAGE_SIZE, 0).unwrap();
    let mut args = args(&mut m, bti, READ | CONTIGUOUS, vmo, (0, 4));
    assert_eq!(
        m.call(N::BtiPin, &args),
        Status::INVALID_ARGS,
        "four are too many"
    );
    args[6] = 1;
    assert_eq!(m.call(N::BtiPin, &args), Status::OK);
    let pmt = m.peek_u32(args[7]);
    assert_eq!(unpin(&mut m, pmt), Status::OK);
    let (range, base) = mmio(&mut m, 2);
    let window = physical(&mut m, range, base + PAGE_SIZE, PAGE_SIZE).unwrap();
    let args = self::args(&mut m, bti, READ | CONTIGUOUS, window, (0, 1));
    assert_eq!(m.call(N::BtiPin, &args), Status::OK);
    assert_eq!(
        m.peek_u64(args[5]),
        base + PAGE_SIZE,
        "where it was said to lie"
    );
}

#[test]
fn bti_quarantine_keeps_what_was_not_unpinned() {
    let mut m = TestMachine::new();
    let (bti, vmo) = (bti(&mut m), m.vmo(2));
    let pmt = pin(&mut m, bti, READ, vmo, (0, 1)).unwrap();
    m.handle_close(pmt).unwrap();
    assert_eq!(info(&mut m, bti), (1, 1));
    assert_eq!(op_range(&mut m, vmo, 2, 0, PAGE_SIZE), Status::BAD_STATE);
    let (port, unwritten) = (m.port_create(), m.without(bti, Rights::WRITE));
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (port, Status::WRONG_TYPE),
        (unwritten, Status::ACCESS_DENIED),
        (bti, Status::OK),
    ] {
        assert_eq!(m.call(N::BtiReleaseQuarantine, &[handle.into()]), status);
    }
    assert_eq!(info(&mut m, bti), (0, 0));
    assert_eq!(op_range(&mut m, vmo, 2, 0, PAGE_SIZE), Status::OK);
}

#[test]
fn pmt_unpin_consumes_the_handle_also_of_the_wrong_type() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    assert_eq!(unpin(&mut m, BAD), Status::BAD_HANDLE);
    assert_eq!(unpin(&mut m, port), Status::WRONG_TYPE);
    assert_eq!(m.handle_close(port), Err(Status::BAD_HANDLE));
}

#[test]
fn pinned_pages_outlive_the_handles_of_vmo_and_bti() {
    let mut m = TestMachine::new();
    let (bti, vmo) = (bti(&mut m), m.vmo(1));
    let koid = zircon::VmoId(m.koid(vmo));
    let pmt = pin(&mut m, bti, READ, vmo, (0, 1)).unwrap();
    m.handle_close(vmo).unwrap();
    m.handle_close(bti).unwrap();
    assert_eq!(m.memory.resident(koid), 1);
    assert_eq!(unpin(&mut m, pmt), Status::OK);
    assert!(m.freed.contains(&koid));
}

#[test]
fn pinned_pages_stand_in_the_way() {
    let mut p = paged(4);
    let m = &mut p.m;
    let (bti, page) = (bti(m), PAGE_SIZE);
    let vmo = m.vmo_create(4 * page, 2).unwrap();
    m.vmo_write(vmo, 0, &[5; 4 * 4096]).unwrap();
    let pmt = pin(m, bti, READ, vmo, (2, 1)).unwrap();
    assert_eq!(
        m.vmo_set_size(vmo, 2 * page),
        Err(Status::BAD_STATE),
        "shrink"
    );
    assert_eq!(m.vmo_get_size(vmo), Ok(4 * page), "nothing changed");
    assert_eq!(m.vmo_set_size(vmo, 3 * page), Ok(()), "a cut behind it");
    assert_eq!(
        op_range(m, vmo, 2, page, 2 * page),
        Status::BAD_STATE,
        "decommit"
    );
    assert_eq!(op_range(m, vmo, 2, 0, 2 * page), Status::OK, "beside it");
    let plain = m.vmo(3);
    m.vmo_write(plain, 0, &[5; 3 * 4096]).unwrap();
    let pinned = pin(m, bti, READ, plain, (2, 1)).unwrap();
    let slice = m.vmo_create_child(plain, SLICE, 2 * page, page).unwrap();
    assert_eq!(
        op_range(m, slice, 2, 0, page),
        Status::BAD_STATE,
        "by way of a slice"
    );
    let supplied = m.pager_supply_pages(p.pager, p.vmo, 0, 3 * page, plain, 0);
    assert_eq!(supplied, Err(Status::BAD_STATE), "supply");
    assert_eq!(
        m.call(N::VmoSetCachePolicy, &[plain.into(), 1]),
        Status::BAD_STATE
    );
    assert_eq!(op_range(m, vmo, 10, 0, 3 * page), Status::OK, "zero");
    assert_eq!(m.page_bytes(vmo, 0..3), [0; 3]);
    assert_eq!(m.committed(vmo), 1, "zeroed in place");
    for pmt in [pmt, pinned] {
        assert_eq!(unpin(m, pmt), Status::OK);
    }
    assert_eq!(op_range(m, vmo, 2, 0, 3 * page), Status::OK);
    assert_eq!(m.committed(vmo), 0);
}

#[test]
fn pinned_pages_stay_when_their_pager_is_detached() {
    for options in [0, TRAP_DIRTY] {
        let mut p = paged_with(4 * PAGE_SIZE, options);
        p.m.supply(p.pager, p.vmo, 0..4, 4).unwrap();
        let bti = bti(&mut p.m);
        let koid = VmoId(p.m.koid(p.vmo));
        let pmt = pin(&mut p.m, bti, READ, p.vmo, (1, 2)).unwrap();
        p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
        let there = (0..4).map(|page| p.m.memory.page(koid, page).is_some());
        assert!(there.eq([false, true, true, false]), "options {options}");
        assert!(p.m.vmo_read(p.vmo, PAGE_SIZE, 2 * PAGE_SIZE).is_ok());
        assert_eq!(p.m.vmo_read(p.vmo, 0, 1), Err(Status::BAD_STATE));
        assert_eq!(unpin(&mut p.m, pmt), Status::OK);
    }
}

#[test]
fn bti_pin_of_a_pagers_vmo_asks_for_its_pages() {
    let mut p = paged(4);
    let bti = bti(&mut p.m);
    let (token, out) = begin_pin(&mut p.m, bti, READ, p.vmo, (1, 3));
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 4)]);
    p.m.supply(p.pager, p.vmo, 1..3, 4).unwrap();
    assert!(p.m.is_blocked(token));
    p.m.supply(p.pager, p.vmo, 3..4, 4).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    let pmt = p.m.peek_u32(out);
    assert_eq!(unpin(&mut p.m, pmt), Status::OK);
}

#[test]
fn bti_pin_blocked_by_a_shrink_is_out_of_range() {
    let mut p = paged_with(2 * PAGE_SIZE, 2);
    let bti = bti(&mut p.m);
    p.m.supply(p.pager, p.vmo, 0..1, 4).unwrap();
    let (token, _) = begin_pin(&mut p.m, bti, READ, p.vmo, (0, 2));
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 2)]);
    assert_eq!(p.m.vmo_set_size(p.vmo, 0), Ok(()));
    assert_eq!(p.m.status(token), Status::OUT_OF_RANGE);
    assert_eq!(info(&mut p.m, bti), (0, 0));
}

#[test]
fn bti_pin_of_a_thread_that_ends_is_undone() {
    let mut p = paged(2);
    let bti = bti(&mut p.m);
    p.m.supply(p.pager, p.vmo, 0..1, 4).unwrap();
    let args = args(&mut p.m, bti, READ, p.vmo, (0, 2));
    let thread = p.m.thread();
    assert!(matches!(
        p.m.call_on(thread, N::BtiPin, &args),
        Outcome::Blocked(_)
    ));
    assert_eq!(info(&mut p.m, bti), (1, 0));
    p.m.kernel.exception(
        p.m.now,
        thread,
        zircon::ExceptionKind::Unexplained("test".into()),
    );
    p.m.drain();
    assert!(p.m.processes_ended.len() == 1, "with its process");
}

#[test]
fn pinning_gives_clones_pages_of_their_own() {
    let mut m = TestMachine::new();
    let (bti, vmo) = (bti(&mut m), m.vmo(1));
    m.vmo_write(vmo, 0, &[6; 4096]).unwrap();
    let clone = m.vmo_create_child(vmo, 1, 0, PAGE_SIZE).unwrap();
    let mut addresses = Vec::new();
    for vmo in [vmo, clone] {
        let args = args(&mut m, bti, READ, vmo, (0, 1));
        assert_eq!(m.call(N::BtiPin, &args), Status::OK);
        addresses.push(m.peek_u64(args[5]));
        assert_eq!(m.page_bytes(vmo, 0..1), [6]);
    }
    assert_ne!(addresses[0], addresses[1]);
}

/// What a VMO has back from a snapshot that is gone lies in the snapshot's storage until it is pinned.
#[test]
fn pages_back_from_a_snapshot_are_pinned() {
    for options in [READ, READ | WRITE] {
        let mut m = TestMachine::new();
        let (bti, vmo) = (bti(&mut m), m.vmo(2));
        m.vmo_write(vmo, 0, &[6; 4096]).unwrap();
        let clone = m.vmo_create_child(vmo, 1, 0, 2 * PAGE_SIZE).unwrap();
        m.handle_close(clone).unwrap();
        let pmt = pin(&mut m, bti, options, vmo, (0, 2)).unwrap();
        assert_eq!(m.page_bytes(vmo, 0..2), [6, 0]);
        assert_eq!(unpin(&mut m, pmt), Status::OK);
    }
}

#[test]
fn pinned_pages_do_not_go_for_others() {
    const DISCARDABLE: u32 = 4;
    let mut p = paged(4);
    let m = &mut p.m;
    m.limit(1 << 30);
    m.supply(p.pager, p.vmo, 0..2, 1).unwrap();
    let discardable = m.vmo_create(2 * PAGE_SIZE, DISCARDABLE).unwrap();
    m.vmo_write(discardable, 0, &[1; 8192]).unwrap();
    let (bti, plain) = (bti(m), m.vmo(8));
    let pins = [(p.vmo, 2), (discardable, 1)]
        .map(|(vmo, count)| pin(m, bti, READ, vmo, (0, count)).unwrap());
    let (there, _) = m.kernel.resident_pages();
    m.limit(there);
    let commit = |m: &mut TestMachine, count| op_range(m, plain, 1, 0, count * PAGE_SIZE);
    assert_eq!(commit(m, 1), Status::NO_MEMORY);
    for pmt in pins {
        assert_eq!(unpin(m, pmt), Status::OK);
    }
    assert_eq!(commit(m, 4), Status::OK, "they can go now");
    assert_eq!(commit(m, 5), Status::NO_MEMORY);
    let reclaimed = m.kernel.reclaimed();
    assert_eq!((reclaimed.evicted, reclaimed.discarded_pages), (2, 2));
}

#[test]
fn bti_pin_for_writing_under_trap_goes_front_to_back() {
    let mut p = paged_with(2 * PAGE_SIZE, 8);
    let bti = bti(&mut p.m);
    p.m.supply(p.pager, p.vmo, 0..1, 4).unwrap();
    let (token, _) = begin_pin(&mut p.m, bti, READ | WRITE, p.vmo, (0, 2));
    assert_eq!(p.m.packets(p.port), [Packet::Dirty(7, 0, 1)]);
    p.m.pager_op_range(p.pager, PagerOp::Dirty, p.vmo, 0..1, 0)
        .unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Read(7, 1, 2)]);
    p.m.supply(p.pager, p.vmo, 1..2, 4).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Dirty(7, 1, 2)]);
    assert!(!p.m.was_modified(p.pager, p.vmo));
    p.m.pager_op_range(p.pager, PagerOp::Dirty, p.vmo, 1..2, 0)
        .unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert!(p.m.was_modified(p.pager, p.vmo));
}

#[test]
fn pages_pinned_for_writing_stay_dirty_when_they_are_written_back() {
    for options in [0, 8] {
        let mut p = paged_with(3 * PAGE_SIZE, options);
        let bti = bti(&mut p.m);
        p.m.supply(p.pager, p.vmo, 0..3, 4).unwrap();
        if options == 8 {
            let args = args(&mut p.m, bti, READ | WRITE, p.vmo, (0, 3));
            let thread = p.m.thread();
            let token = p.m.begin(thread, N::BtiPin, &args);
            p.m.pager_op_range(p.pager, PagerOp::Dirty, p.vmo, 0..3, 0)
                .unwrap();
            assert_eq!(p.m.status(token), Status::OK);
            let pmt = p.m.peek_u32(args[7]);
            assert_eq!(unpin(&mut p.m, pmt), Status::OK);
        } else {
            p.m.vmo_write(p.vmo, 0, &[1; 3 * 4096]).unwrap();
        }
        let pmt = pin(&mut p.m, bti, READ | WRITE, p.vmo, (1, 1)).unwrap();
        for op in [PagerOp::WritebackBegin, PagerOp::WritebackEnd] {
            p.m.pager_op_range(p.pager, op, p.vmo, 0..3, 0).unwrap();
        }
        assert_eq!(p.m.dirty_ranges(p.pager, p.vmo, 0..3), [(1, 2, false)]);
        assert_eq!(unpin(&mut p.m, pmt), Status::OK);
        for op in [PagerOp::WritebackBegin, PagerOp::WritebackEnd] {
            p.m.pager_op_range(p.pager, op, p.vmo, 0..3, 0).unwrap();
        }
        assert_eq!(p.m.dirty_ranges(p.pager, p.vmo, 0..3), []);
    }
}
