//! `zx_vmo_op_range` on plain VMOs: the order of checks, COMMIT, DECOMMIT, ZERO, the cache operations and the hints.

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{Order, Outcome, Touch, writable};
use zircon::Access;

const RESIZABLE: u32 = 2;
const HUGE: u64 = u64::MAX - 4095;

/// Every operation but those that lock.
const UNLOCKED: [VmoOp; 10] = [
    VmoOp::Commit,
    VmoOp::Decommit,
    VmoOp::CacheSync,
    VmoOp::CacheInvalidate,
    VmoOp::CacheClean,
    VmoOp::CacheCleanInvalidate,
    VmoOp::Zero,
    VmoOp::DontNeed,
    VmoOp::AlwaysNeed,
    VmoOp::Prefetch,
];

#[test]
fn vmo_op_range_handle_errors() {
    let mut m = TestMachine::new();
    let port = m.port_create();
    for number in [0, 1, 5, 10, 99] {
        let args = [BAD.into(), number, 0, HUGE];
        assert_eq!(m.call(N::VmoOpRange, &args), Status::BAD_HANDLE);
        let args = [port.into(), number, 0, HUGE];
        assert_eq!(m.call(N::VmoOpRange, &args), Status::WRONG_TYPE);
    }
}

#[test]
fn vmo_op_range_unknown_op_invalid_args() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let bare = m.handle_duplicate(vmo, Rights::empty()).unwrap();
    for number in [0, 5, 15, 100] {
        let args = [bare.into(), number, 0, HUGE];
        assert_eq!(m.call(N::VmoOpRange, &args), Status::INVALID_ARGS);
    }
}

#[test]
fn vmo_op_range_rights_of_each_op() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let bare = m.handle_duplicate(vmo, Rights::empty()).unwrap();
    for op in UNLOCKED {
        let (right, denied) = match op {
            VmoOp::Commit | VmoOp::Decommit | VmoOp::Zero => {
                (Rights::WRITE, Some(Status::ACCESS_DENIED))
            }
            VmoOp::CacheInvalidate => (Rights::WRITE, Some(Status::NOT_SUPPORTED)),
            VmoOp::DontNeed | VmoOp::AlwaysNeed => (Rights::empty(), None),
            _ => (Rights::READ, Some(Status::ACCESS_DENIED)),
        };
        let denied = denied.map_or(Ok(()), Err);
        assert_eq!(m.vmo_op_range(bare, op, 0, HUGE), denied, "{op:?}");
        let enough = m.handle_duplicate(vmo, right).unwrap();
        let expected = match op {
            VmoOp::CacheInvalidate => Err(Status::NOT_SUPPORTED),
            _ => Ok(()),
        };
        assert_eq!(m.vmo_op_range(enough, op, 0, 4096), expected, "{op:?}");
    }
}

#[test]
fn vmo_op_range_out_of_range() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    for (offset, length) in [(0, 8193), (8192, 1), (8193, 0), (4096, HUGE), (HUGE, 4096)] {
        for op in UNLOCKED {
            let expected = match op {
                VmoOp::DontNeed | VmoOp::AlwaysNeed => Ok(()),
                VmoOp::CacheInvalidate => Err(Status::NOT_SUPPORTED),
                VmoOp::CacheSync | VmoOp::CacheClean | VmoOp::CacheCleanInvalidate
                    if length == 0 =>
                {
                    Err(Status::INVALID_ARGS)
                }
                _ => Err(Status::OUT_OF_RANGE),
            };
            let result = m.vmo_op_range(vmo, op, offset, length);
            assert_eq!(result, expected, "{op:?} {offset:#x} {length:#x}");
        }
    }
}

#[test]
fn vmo_op_range_of_no_length() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    for op in UNLOCKED {
        for offset in [0, 5, 8192] {
            let expected = match op {
                VmoOp::CacheSync | VmoOp::CacheClean | VmoOp::CacheCleanInvalidate => {
                    Err(Status::INVALID_ARGS)
                }
                VmoOp::CacheInvalidate => Err(Status::NOT_SUPPORTED),
                _ => Ok(()),
            };
            let result = m.vmo_op_range(vmo, op, offset, 0);
            assert_eq!(result, expected, "{op:?} at {offset}");
        }
    }
}

#[test]
fn vmo_op_range_commit_rounds_outward() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 4096, b"kept").unwrap();
    m.vmo_op_range(vmo, VmoOp::Commit, 4095, 4098).unwrap();
    assert_eq!(m.committed(vmo), 3);
    assert_eq!(m.vmo_read(vmo, 4094, 8).unwrap(), *b"\0\0kept\0\0");
    m.vmo_op_range(vmo, VmoOp::Commit, 0, 4 * 4096).unwrap();
    assert_eq!(m.committed(vmo), 4);
}

#[test]
fn vmo_op_range_commit_through_a_slice() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let slice = m.vmo_create_child(vmo, 8, 4096, 8192).unwrap();
    m.vmo_op_range(slice, VmoOp::Commit, 4096, 4096).unwrap();
    assert_eq!((m.committed(vmo), m.committed(slice)), (1, 0));
    let beyond = m.vmo_op_range(slice, VmoOp::Commit, 4096, 8192);
    assert_eq!(beyond, Err(Status::OUT_OF_RANGE));
    m.vmo_op_range(slice, VmoOp::Decommit, 0, 8192).unwrap();
    assert_eq!(m.committed(vmo), 0);
}

#[test]
fn vmo_op_range_commit_no_memory() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    m.no_memory = true;
    let result = m.vmo_op_range(vmo, VmoOp::Commit, 0, 8192);
    assert_eq!(result, Err(Status::NO_MEMORY));
    m.no_memory = false;
    assert_eq!(m.committed(vmo), 0);
}

/// The rest of a VMO that was cut is committed, and that is well.
#[test]
fn vmo_op_range_commit_while_shrinking() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(4 * 4096, RESIZABLE).unwrap();
    let threads = [m.thread(), m.thread()];
    m.order = Order::Held;
    let args = [vmo.into(), VmoOp::Commit as u64, 0, 4 * 4096, 0, 0];
    let commit = m.begin(threads[0], N::VmoOpRange, &args);
    let resize = m.call_on(threads[1], N::VmoSetSize, &[vmo.into(), 4096]);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.status(commit), Status::OK);
    assert!(matches!(resize, Outcome::Blocked(token) if m.status(token) == Status::OK));
    assert_eq!(m.committed(vmo), 1);
}

#[test]
fn vmo_op_range_decommit_drops_pages() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 0, &[1; 4 * 4096]).unwrap();
    let at = m.map(vmo, 4);
    m.vmo_op_range(vmo, VmoOp::Decommit, 4096, 8192).unwrap();
    assert_eq!(m.committed(vmo), 2);
    assert_eq!(m.page_bytes(vmo, 0..4), [1, 0, 0, 1]);
    assert_eq!(m.try_peek(at + 4096, 1), None, "mappings too");
}

#[test]
fn vmo_op_range_decommit_unaligned_invalid_args() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    for (offset, length) in [(1, 4096), (0, 4097), (5, 5)] {
        let result = m.vmo_op_range(vmo, VmoOp::Decommit, offset, length);
        assert_eq!(result, Err(Status::INVALID_ARGS));
    }
}

#[test]
fn vmo_op_range_zero_drops_whole_pages_and_writes_the_rest() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 0, &[1; 4 * 4096]).unwrap();
    m.vmo_op_range(vmo, VmoOp::Zero, 4000, 2 * 4096).unwrap();
    assert_eq!(m.committed(vmo), 3, "the page in the middle is dropped");
    let bytes = m.vmo_read(vmo, 0, 4 * 4096).unwrap();
    let zeros = |byte: &u8| *byte == 0;
    assert_eq!(bytes.iter().position(zeros), Some(4000));
    assert_eq!(bytes.iter().filter(|byte| zeros(byte)).count(), 2 * 4096);
    assert_eq!(bytes.iter().rposition(zeros), Some(4000 + 2 * 4096 - 1));
    m.vmo_op_range(vmo, VmoOp::Zero, 10, 20).unwrap();
    assert_eq!(m.vmo_read(vmo, 9, 2).unwrap(), [1, 0]);
    assert_eq!(m.vmo_read(vmo, 29, 2).unwrap(), [0, 1]);
}

#[test]
fn vmo_op_range_zero_commits_nothing() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let before = m.memory_ops;
    m.vmo_op_range(vmo, VmoOp::Zero, 100, 3 * 4096).unwrap();
    assert_eq!(m.memory_ops, before);
    assert_eq!(m.committed(vmo), 0);
}

#[test]
fn vmo_op_range_zero_through_a_slice() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    m.vmo_write(vmo, 0, &[1; 4 * 4096]).unwrap();
    let slice = m.vmo_create_child(vmo, 8, 4096, 8192).unwrap();
    m.vmo_op_range(slice, VmoOp::Zero, 0, 8192).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..4), [1, 0, 0, 1]);
    assert_eq!(m.committed(vmo), 2);
}

/// A page that is on its way while its range is zeroed is zero afterwards, and the VMO still counts right.
#[test]
fn vmo_op_range_zero_waits_for_pages_in_flight() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let at = m.map(vmo, 2);
    let threads = [m.thread(), m.thread()];
    m.order = Order::Held;
    let touch = m.touch(threads[0], at, Access::Write);
    assert!(matches!(touch, Touch::Blocked(_)));
    let args = [vmo.into(), VmoOp::Zero as u64, 0, 8192, 0, 0];
    let zero = m.begin(threads[1], N::VmoOpRange, &args);
    m.settle();
    m.order = Order::Now;
    assert_eq!(m.status(zero), Status::OK);
    assert_eq!(m.page_bytes(vmo, 0..2), [0, 0]);
    assert_eq!(m.committed(vmo), 0);
}

#[test]
fn vmo_op_range_prefetch_and_hints_commit_nothing() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    for op in [VmoOp::Prefetch, VmoOp::AlwaysNeed, VmoOp::DontNeed] {
        m.vmo_op_range(vmo, op, 0, 8192).unwrap();
    }
    assert_eq!(m.committed(vmo), 0);
}

/// What the VMM commits for a program before it runs; where there is no room nobody is told.
#[test]
fn the_vmm_commits_what_is_mapped() {
    for (room, committed) in [(8, 2), (1, 1), (0, 0)] {
        let mut m = TestMachine::new();
        let vmo = m.kernel.add_anonymous_vmo("stack", 4 * PAGE_SIZE).unwrap();
        let run = writable(vmo, 0x5000_0000, 4 * PAGE_SIZE);
        m.kernel.map_at(m.main.process, run).unwrap();
        m.drain();
        let taken = m.kernel.resident_pages().0;
        m.kernel.limit_memory(taken + room);
        let (first, count) = (2, 2);
        m.kernel.commit(m.now, zircon::Pages { vmo, first, count });
        m.drain();
        assert_eq!(m.kernel.resident_pages().0 - taken, committed, "{room}");
        assert_eq!(m.kernel.waits(), [], "nobody waits");
    }
}
