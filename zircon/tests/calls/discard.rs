//! Discardable VMOs: LOCK, TRY_LOCK, UNLOCK, and what becomes of those that nobody has locked.

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use zircon::{Access, VmoId};

use super::*;
use crate::common::{NOWHERE, Order, Touch};

const DISCARDABLE: u32 = 4;
const RESIZABLE: u32 = 2;

/// A machine with a limit that leaves room for much; see [`press`].
fn machine() -> TestMachine {
    let mut m = TestMachine::new();
    m.limit(1 << 30);
    m
}

/// A discardable VMO of four pages, the first two of which hold ones.
fn discardable(m: &mut TestMachine) -> u32 {
    let vmo = m.vmo_create(4 * PAGE_SIZE, DISCARDABLE).unwrap();
    m.vmo_write(vmo, 0, &[1; 8192]).unwrap();
    vmo
}

fn op(m: &mut TestMachine, vmo: u32, op: VmoOp) -> Result<(), Status> {
    m.vmo_op_range(vmo, op, 0, 4 * PAGE_SIZE)
}

/// LOCK with a buffer: the state that it tells.
fn lock(m: &mut TestMachine, vmo: u32) -> Result<[u64; 4], Status> {
    let at = m.alloc(32);
    let args = [vmo.into(), VmoOp::Lock as u64, 0, 4 * PAGE_SIZE, at, 32];
    m.call(N::VmoOpRange, &args).ok()?;
    Ok([0, 8, 16, 24].map(|word| m.peek_u64(at + word)))
}

/// Needs a page when none is left, then lifts the limit again.
fn press(m: &mut TestMachine) -> Result<(), Status> {
    let plain = m.vmo(1);
    let (there, _) = m.kernel.resident_pages();
    m.limit(there);
    let result = m.vmo_op_range(plain, VmoOp::Commit, 0, PAGE_SIZE);
    m.limit(1 << 30);
    result
}

#[test]
fn vmo_op_range_lock_order_of_checks() {
    let mut m = machine();
    let (plain, vmo) = (m.vmo(4), discardable(&mut m));
    let none = m.handle_duplicate(plain, Rights::empty()).unwrap();
    for number in [VmoOp::Lock, VmoOp::TryLock, VmoOp::Unlock] {
        let range =
            |m: &mut TestMachine, vmo, offset, length| m.vmo_op_range(vmo, number, offset, length);
        assert_eq!(range(&mut m, none, 1, 1), Err(Status::ACCESS_DENIED));
        assert_eq!(range(&mut m, plain, 1, 1), Err(Status::NOT_SUPPORTED));
        for (offset, length) in [
            (0, 4096),
            (4096, 3 * 4096),
            (0, 5 * 4096),
            (1, u64::MAX),
            (0, 0),
        ] {
            let result = range(&mut m, vmo, offset, length);
            assert_eq!(result, Err(Status::OUT_OF_RANGE), "{offset} {length}");
        }
    }
    for right in [Rights::READ, Rights::WRITE] {
        let one = m.handle_duplicate(vmo, right).unwrap();
        assert_eq!(
            op(&mut m, one, VmoOp::TryLock),
            Ok(()),
            "either right is enough"
        );
        assert_eq!(op(&mut m, one, VmoOp::Unlock), Ok(()));
    }
}

#[test]
fn vmo_op_range_locks_are_counted() {
    let mut m = machine();
    let vmo = discardable(&mut m);
    assert_eq!(
        op(&mut m, vmo, VmoOp::Unlock),
        Err(Status::BAD_STATE),
        "a new one is unlocked"
    );
    assert_eq!(lock(&mut m, vmo), Ok([0, 4 * PAGE_SIZE, 0, 0]));
    assert_eq!(op(&mut m, vmo, VmoOp::TryLock), Ok(()));
    assert_eq!(op(&mut m, vmo, VmoOp::Unlock), Ok(()));
    assert_eq!(press(&mut m), Err(Status::NO_MEMORY), "one lock is left");
    assert_eq!(op(&mut m, vmo, VmoOp::Unlock), Ok(()));
    assert_eq!(op(&mut m, vmo, VmoOp::Unlock), Err(Status::BAD_STATE));
    assert_eq!(press(&mut m), Ok(()));
}

#[test]
fn vmo_op_range_lock_without_a_buffer_is_undone() {
    let mut m = machine();
    let vmo = discardable(&mut m);
    let at = m.alloc(32);
    for (buffer, size) in [(at, 31), (at, 0), (0, 32), (NOWHERE, 32)] {
        let args = [
            vmo.into(),
            VmoOp::Lock as u64,
            0,
            4 * PAGE_SIZE,
            buffer,
            size,
        ];
        assert_eq!(m.call(N::VmoOpRange, &args), Status::INVALID_ARGS);
        assert_eq!(op(&mut m, vmo, VmoOp::Unlock), Err(Status::BAD_STATE));
    }
    press(&mut m).unwrap();
    let args = [
        vmo.into(),
        VmoOp::Lock as u64,
        0,
        4 * PAGE_SIZE,
        NOWHERE,
        32,
    ];
    assert_eq!(m.call(N::VmoOpRange, &args), Status::INVALID_ARGS);
    assert_eq!(
        op(&mut m, vmo, VmoOp::TryLock),
        Err(Status::UNAVAILABLE),
        "nobody learned of it"
    );
    let discarded = [0, 4 * PAGE_SIZE, 0, 4 * PAGE_SIZE];
    assert_eq!(lock(&mut m, vmo), Ok(discarded));
}

#[test]
fn an_unlocked_vmo_is_discarded_as_a_whole() {
    let mut m = machine();
    let vmo = discardable(&mut m);
    lock(&mut m, vmo).unwrap();
    op(&mut m, vmo, VmoOp::Unlock).unwrap();
    press(&mut m).unwrap();
    assert_eq!(m.committed(vmo), 0);
    assert_eq!(m.vmo_info(vmo, 112), 1, "committed_change_events");
    let reclaimed = m.kernel.reclaimed();
    assert_eq!(
        (reclaimed.discarded_vmos, reclaimed.discarded_pages),
        (1, 2)
    );
    assert_eq!(op(&mut m, vmo, VmoOp::TryLock), Err(Status::UNAVAILABLE));
    assert_eq!(lock(&mut m, vmo), Ok([0, 4 * PAGE_SIZE, 0, 4 * PAGE_SIZE]));
    assert_eq!(lock(&mut m, vmo), Ok([0, 4 * PAGE_SIZE, 0, 0]), "told once");
    assert_eq!(m.page_bytes(vmo, 0..4), [0; 4]);
}

#[test]
fn a_discarded_unlocked_vmo_is_not_found() {
    let mut m = machine();
    let vmo = discardable(&mut m);
    let allow_faults = 1 << 12;
    let mapped = m.vmar_map(3 | allow_faults, 0, vmo, 0, 4 * PAGE_SIZE);
    let address = mapped.unwrap();
    press(&mut m).unwrap();
    let not_found = Status::NOT_FOUND;
    assert_eq!(m.vmo_read(vmo, 0, 1), Err(not_found));
    assert_eq!(
        m.vmo_read(vmo, 3 * PAGE_SIZE, 1),
        Err(not_found),
        "never committed"
    );
    assert_eq!(m.vmo_write(vmo, 0, &[1]), Err(not_found));
    assert_eq!(op(&mut m, vmo, VmoOp::Commit), Err(not_found));
    for number in [VmoOp::Zero, VmoOp::Decommit, VmoOp::DontNeed] {
        assert_eq!(op(&mut m, vmo, number), Ok(()));
    }
    assert_eq!(
        m.vmo_op_range(vmo, VmoOp::Zero, 5, 10),
        Ok(()),
        "nothing to zero"
    );
    for access in [Access::Read, Access::Write] {
        let mut clone = m.kernel.clone();
        let thread = m.main.thread;
        let outcome = clone.page_fault(m.now, thread, address, access);
        assert_eq!(outcome, zircon::FaultOutcome::Gone);
    }
    let thread = m.thread();
    assert_eq!(
        m.touch(thread, address, Access::Read),
        Touch::Fatal(not_found)
    );
}

#[test]
fn the_one_unlocked_longest_ago_is_discarded_first_and_before_any_page() {
    let mut m = machine();
    let (pager, port) = (m.pager_create(), m.port_create());
    let paged = m
        .pager_create_vmo(pager, 0, port, 1, 4 * PAGE_SIZE)
        .unwrap();
    m.supply(pager, paged, 0..4, 1).unwrap();
    let vmos = [0; 3].map(|_| discardable(&mut m));
    for vmo in vmos {
        op(&mut m, vmo, VmoOp::TryLock).unwrap();
    }
    for vmo in [vmos[1], vmos[2], vmos[0]] {
        op(&mut m, vmo, VmoOp::Unlock).unwrap();
    }
    let mut order = Vec::new();
    while order.len() < 3 {
        press(&mut m).unwrap();
        let gone = vmos.into_iter().filter(|&vmo| m.committed(vmo) == 0);
        let new: Vec<u32> = gone.filter(|vmo| !order.contains(vmo)).collect();
        order.extend(new);
        assert_eq!(m.committed(paged), 4);
    }
    assert_eq!(order, [vmos[1], vmos[2], vmos[0]]);
}

#[test]
fn a_vmo_that_an_operation_works_on_is_discarded_when_that_ends() {
    let mut m = machine();
    let vmo = discardable(&mut m);
    let (reader, writer, plain) = (m.thread(), m.thread(), m.vmo(1));
    let buffer = m.alloc(PAGE_SIZE);
    m.poke(buffer, &[0]);
    let (there, _) = m.kernel.resident_pages();
    m.limit(there);
    m.order = Order::Held;
    let read = m.begin(reader, N::VmoRead, &[vmo.into(), buffer, 0, PAGE_SIZE]);
    let args = [plain.into(), VmoOp::Commit as u64, 0, PAGE_SIZE];
    let commit = m.begin(writer, N::VmoOpRange, &args);
    assert_eq!(m.held.len(), 1, "the copy only");
    m.settle();
    assert_eq!((m.status(read), m.status(commit)), (Status::OK, Status::OK));
    assert_eq!(m.peek(buffer, PAGE_SIZE), [1; 4096]);
    assert_eq!(m.memory.resident(VmoId(vmo.into())), 0);
}

#[test]
fn a_discarded_vmo_can_be_resized_and_supplies_nothing() {
    let mut m = machine();
    let vmo = m
        .vmo_create(2 * PAGE_SIZE, DISCARDABLE | RESIZABLE)
        .unwrap();
    m.vmo_write(vmo, 0, &[1; 8192]).unwrap();
    press(&mut m).unwrap();
    assert_eq!(m.vmo_set_size(vmo, PAGE_SIZE + 7), Ok(()));
    let (pager, port) = (m.pager_create(), m.port_create());
    let paged = m.pager_create_vmo(pager, 0, port, 1, PAGE_SIZE).unwrap();
    let supplied = m.pager_supply_pages(pager, paged, 0, PAGE_SIZE, vmo, 0);
    assert_eq!(supplied, Err(Status::NOT_FOUND), "zeros would be wrong");
}
