//! VMARs in VMARs: `zx_vmar_allocate`, `zx_vmar_destroy`, and what the calls on mappings make of children.

use protocol::syscall::SyscallNumber as N;
use protocol::{USER_BASE, USER_END};
use zircon::Access;

use super::*;
use crate::common::{NOWHERE, Touch};

const R: u32 = 1;
const RW: u32 = 3;
const COMPACT: u32 = 8;
const SPECIFIC: u32 = 0x10;
const OVERWRITE: u32 = 0x20;
const CAN_SPECIFIC: u32 = 0x40;
const CAN_R: u32 = 0x80;
const CAN_W: u32 = 0x100;
const CAN_X: u32 = 0x200;
const UPPER_LIMIT: u32 = 0x2000;
const CAN_RW: u32 = CAN_SPECIFIC | CAN_R | CAN_W;
const P: u64 = PAGE_SIZE;
const WHOLE: u64 = USER_END - USER_BASE;

impl TestMachine {
    fn root(&self) -> u32 {
        self.main.vmar_handle
    }

    /// A child VMAR of some pages that may do what `options` say.
    fn child(&mut self, parent: u32, options: u32, pages: u64) -> (u32, u64) {
        self.vmar_allocate(parent, options, 0, pages * P).unwrap()
    }
}

#[test]
fn vmar_allocate_order_of_checks() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(1));
    let no_write = m.without(root, Rights::WRITE);
    let no_execute = m.without(root, Rights::EXECUTE);
    let (weak, _) = m.child(root, CAN_R, 8);
    let (dead, _) = m.child(root, CAN_RW, 8);
    m.vmar_destroy(dead).unwrap();
    m.vmar_map(R | SPECIFIC, 0x40_0000, vmo, 0, P).unwrap();
    let (invalid, denied) = (Status::INVALID_ARGS, Status::ACCESS_DENIED);
    for (vmar, options, offset, size, status) in [
        (BAD, u32::MAX, 1, 1, Status::BAD_HANDLE),
        (vmo, u32::MAX, 1, 1, Status::WRONG_TYPE),
        (no_write, u32::MAX, 1, 1, denied),
        (no_execute, CAN_X | 0x10_0000, 1, 1, denied),
        (weak, CAN_W, 1, 1, denied),
        (dead, 0x10_0000, 1, 1, invalid),
        (dead, 9 << 24, 1, 1, invalid),
        (dead, 33 << 24, 1, 1, invalid),
        (dead, R, 1, P, invalid),
        (dead, CAN_R, 0, P + 1, invalid),
        (dead, OVERWRITE, 0, P, invalid),
        (dead, 0x400, 0, P, invalid),
        (dead, 0x800, 0, P, invalid),
        (dead, 0x1000, 0, P, invalid),
        (dead, 0x8000, 0, P, invalid),
        (dead, CAN_R, 1, 0, Status::BAD_STATE),
        (weak, SPECIFIC | UPPER_LIMIT, 1, 0, invalid),
        (weak, SPECIFIC | UPPER_LIMIT, 1, P, invalid),
        (weak, CAN_R, P, P, invalid),
        (weak, SPECIFIC, 1, P, invalid),
        (weak, SPECIFIC, 9 * P, 9 * P, denied),
        (weak, UPPER_LIMIT, 9 * P, 9 * P, denied),
        (weak, 0, 0, 9 * P, invalid),
        (root, SPECIFIC, WHOLE, P, invalid),
        (root, SPECIFIC, P, WHOLE, invalid),
        (root, UPPER_LIMIT, WHOLE + P, P, invalid),
        (root, UPPER_LIMIT, P, 2 * P, invalid),
        (root, SPECIFIC | 22 << 24, 0x40_0000, P, invalid),
        (root, SPECIFIC, 0x3F_F000, 2 * P, Status::ALREADY_EXISTS),
        (root, 0, 0, WHOLE, Status::NO_RESOURCES),
        (root, 32 << 24, 0, WHOLE - P, Status::NO_RESOURCES),
    ] {
        let got = m.vmar_allocate(vmar, options, offset, size).map(|_| ());
        assert_eq!(got, Err(status), "{options:#x} {offset:#x} {size:#x}");
    }
}

#[test]
fn vmar_allocate_rights_follow_can_map() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(2));
    for (options, more) in [
        (0, Rights::empty()),
        (CAN_R, Rights::READ),
        (CAN_R | CAN_W | COMPACT, Rights::READ | Rights::WRITE),
        (CAN_X | CAN_SPECIFIC, Rights::EXECUTE),
    ] {
        let (vmar, _) = m.child(root, options, 4);
        assert_eq!(m.rights(vmar), Rights::DEFAULT_VMAR | more);
    }
    let (vmar, base) = m.child(root, CAN_R, 4);
    let denied = Err(Status::ACCESS_DENIED);
    assert_eq!(m.map_in(vmar, RW, 0, vmo, P), denied);
    assert_eq!(m.map_in(vmar, R | SPECIFIC, 0, vmo, P), denied);
    assert_eq!(m.map_in(vmar, R | UPPER_LIMIT, 2 * P, vmo, P), denied);
    assert_eq!(m.map_in(vmar, R, 0, vmo, P), Ok(base));
    // What a child may not, its children may not either; SPECIFIC is each one's own.
    let wider = m.vmar_allocate(vmar, CAN_W, 0, P).map(|(_, at)| at);
    assert_eq!(wider, denied);
    let (inner, inner_base) = m.child(vmar, CAN_R | CAN_SPECIFIC, 2);
    assert_eq!(inner_base, base + P);
    assert_eq!(m.map_in(inner, R | SPECIFIC, P, vmo, P), Ok(base + 2 * P));
}

#[test]
fn vmar_allocate_out_invalid_args_takes_the_vmar_back() {
    let mut m = TestMachine::new();
    let good = m.alloc(8);
    let root = u64::from(m.root());
    for (out, address) in [(0, good), (good, 0), (NOWHERE, NOWHERE)] {
        let args = [root, (CAN_R | SPECIFIC).into(), 0x40_0000, P, out, address];
        assert_eq!(m.call(N::VmarAllocate, &args), Status::INVALID_ARGS);
    }
    let stale = m.peek_u32(good);
    assert_eq!(m.vmar_destroy(stale), Err(Status::BAD_HANDLE));
    let made = m.vmar_allocate(m.root(), CAN_R | SPECIFIC, 0x40_0000, P);
    assert_eq!(made.map(|(_, base)| base), Ok(USER_BASE + 0x40_0000));
}

/// Neither mappings nor VMARs are placed over one another.
#[test]
fn children_and_mappings_never_overlap() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(8));
    let exists = Err(Status::ALREADY_EXISTS);
    let options = CAN_RW | SPECIFIC;
    let (outer, base) = m.vmar_allocate(root, options, 0x40_0000, 16 * P).unwrap();
    for offset in [0x40_0000 - P, 0x40_0000 + 4 * P, 0x40_0000 + 15 * P] {
        assert_eq!(m.vmar_map(R | SPECIFIC, offset, vmo, 0, 2 * P), exists);
        let again = m.vmar_allocate(root, options, offset, 2 * P);
        assert_eq!(again.map(|_| ()), Err(Status::ALREADY_EXISTS));
    }
    assert_eq!(
        m.vmar_map(R | OVERWRITE, 0x40_0000, vmo, 0, P),
        Err(Status::INVALID_ARGS),
        "a child VMAR is not overwritten"
    );
    let (inner, inner_base) = m.vmar_allocate(outer, options, 4 * P, 4 * P).unwrap();
    assert_eq!(inner_base, base + 4 * P);
    assert_eq!(m.map_in(outer, R | SPECIFIC, 7 * P, vmo, P), exists);
    assert_eq!(m.map_in(inner, R, 0, vmo, 5 * P), Err(Status::INVALID_ARGS));
    assert_eq!(m.map_in(inner, R, 0, vmo, 3 * P), Ok(inner_base));
    assert_eq!(m.map_in(inner, R, 0, vmo, 2 * P), Err(Status::NO_RESOURCES));
    assert_eq!(m.map_in(inner, R, 0, vmo, P), Ok(inner_base + 3 * P));
    // Round the inner one there is room before and behind.
    assert_eq!(m.map_in(outer, R, 0, vmo, 5 * P), Ok(base + 8 * P));
    assert_eq!(m.map_in(outer, R, 0, vmo, 4 * P), Ok(base));
    assert_eq!(
        m.map_in(outer, R | UPPER_LIMIT, 14 * P, vmo, P),
        Ok(base + 13 * P)
    );
    assert_eq!(
        m.map_in(outer, R | UPPER_LIMIT, 14 * P, vmo, P),
        Err(Status::NO_RESOURCES)
    );
}

/// A large mapping in a VMAR that has room for it, but not on a boundary of 2 MiB.
#[test]
fn vmar_map_large_where_no_large_page_fits() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(600);
    let root = m.root();
    let (vmar, base) = m
        .vmar_allocate(root, CAN_RW | SPECIFIC, 0x40_1000, 600 * P)
        .unwrap();
    assert_eq!(m.map_in(vmar, RW, 0, vmo, 600 * P), Ok(base));
}

#[test]
fn vmar_destroy_rows() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(1));
    let (vmar, _) = m.child(root, CAN_RW, 4);
    let weak = m.without(vmar, Rights::OP_CHILDREN);
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (vmo, Status::WRONG_TYPE),
        (weak, Status::ACCESS_DENIED),
        (root, Status::NOT_SUPPORTED),
    ] {
        assert_eq!(m.vmar_destroy(handle), Err(status));
    }
    assert_eq!(m.vmar_destroy(vmar), Ok(()));
    assert_eq!(m.vmar_destroy(vmar), Err(Status::BAD_STATE));
    m.handle_close(vmar).unwrap();
    assert_eq!(m.vmar_destroy(weak), Err(Status::ACCESS_DENIED));
    let again = m.vmar_allocate(weak, CAN_R, 0, P).map(|_| ());
    assert_eq!(again, Err(Status::BAD_STATE), "by any handle that is left");
}

/// Everything in it goes: mappings, child VMARs, and theirs; every call on them is BAD_STATE.
#[test]
fn vmar_destroy_is_recursive() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(2));
    let (outer, _) = m.child(root, CAN_RW, 16);
    let (inner, inner_base) = m.child(outer, CAN_RW, 4);
    let (empty, _) = m.child(inner, 0, 1);
    m.map_in(outer, RW, 0, vmo, P).unwrap();
    let at = m.map_in(inner, RW, 0, vmo, P).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 2);
    m.vmar_destroy(outer).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 0);
    for vmar in [outer, inner, empty] {
        let bad_state = Err(Status::BAD_STATE);
        assert_eq!(m.vmar_destroy(vmar), bad_state);
        assert_eq!(m.unmap_in(vmar, inner_base, P), bad_state);
        assert_eq!(m.protect_in(vmar, 0, inner_base, P), bad_state);
        assert_eq!(m.vmar_allocate(vmar, 0, 0, P).map(|_| ()), bad_state);
        assert_eq!(m.map_in(vmar, 0, 0, vmo, P), Err(Status::BAD_STATE));
    }
    let thread = m.thread();
    assert_eq!(
        m.touch(thread, at, Access::Read),
        Touch::Fatal(Status::NOT_FOUND)
    );
}

/// The place can be used again at once.
#[test]
fn vmar_destroy_frees_the_place() {
    let mut m = TestMachine::new();
    let root = m.root();
    let (vmar, base) = m.child(root, CAN_RW, 16);
    m.vmar_destroy(vmar).unwrap();
    assert_eq!(m.child(root, CAN_RW, 16).1, base);
}

/// The call ends, and storage goes, only when page tables have been flushed.
#[test]
fn vmar_destroy_waits_for_the_flush() {
    let mut m = TestMachine::new();
    let root = m.root();
    let (vmo, thread) = (m.vmo(1), m.thread());
    let (vmar, _) = m.child(root, CAN_RW, 4);
    let at = m.map_in(vmar, RW, 0, vmo, P).unwrap();
    m.poke(at, b"x");
    m.handle_close(vmo).unwrap();
    m.hold_flushes = true;
    let token = m.begin(thread, N::VmarDestroy, &[vmar.into()]);
    assert_eq!((m.flushes.len(), m.freed.len()), (1, 0));
    m.flush();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.freed.len(), 1);
}

/// Closing the last handle leaves the VMAR and what is mapped in it.
#[test]
fn closing_a_vmar_handle_leaves_the_vmar() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(1));
    let (vmar, base) = m.child(root, CAN_RW, 4);
    let at = m.map_in(vmar, RW, 0, vmo, P).unwrap();
    m.handle_close(vmar).unwrap();
    m.poke(at, b"there");
    let options = R | SPECIFIC;
    assert_eq!(
        m.vmar_map(options, base - USER_BASE + P, vmo, 0, P),
        Err(Status::ALREADY_EXISTS)
    );
    m.vmar_unmap(base, 4 * P).unwrap();
    assert_eq!(m.vmar_map(options, base - USER_BASE, vmo, 0, P), Ok(base));
}

/// Unmap destroys a child VMAR that lies wholly in the range; a part of one, or a handle without OP_CHILDREN, is an
/// error that changes nothing.
#[test]
fn vmar_unmap_of_children() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(4));
    let (outer, base) = m.child(root, CAN_RW, 16);
    let weak = m.without(outer, Rights::OP_CHILDREN);
    let options = CAN_RW | SPECIFIC;
    let (inner, inner_base) = m.vmar_allocate(outer, options, 4 * P, 4 * P).unwrap();
    let (deep, _) = m.child(inner, CAN_RW, 2);
    m.map_in(deep, RW, 0, vmo, P).unwrap();
    m.map_in(outer, RW | SPECIFIC, 0, vmo, P).unwrap();
    let invalid = Err(Status::INVALID_ARGS);
    for (start, pages) in [(0, 5), (4, 3), (5, 3), (7, 9), (5, 1), (0, 7)] {
        assert_eq!(m.unmap_in(outer, base + start * P, pages * P), invalid);
        assert_eq!(m.vmar_unmap(base + start * P, pages * P), invalid);
    }
    assert_eq!(m.unmap_in(weak, base, 16 * P), invalid);
    assert_eq!(m.unmap_in(inner, base, P), invalid, "outside");
    assert_eq!(m.vmo_info(vmo, 64), 2);
    m.unmap_in(weak, base, 4 * P).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 1);
    m.unmap_in(outer, base + P, 8 * P).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 0);
    for vmar in [inner, deep] {
        assert_eq!(m.map_in(vmar, R, 0, vmo, P), Err(Status::BAD_STATE));
    }
    assert_eq!(m.unmap_in(outer, base, 16 * P), Err(Status::NOT_FOUND));
    // An empty VMAR is something to unmap.
    let (empty, at) = m.vmar_allocate(outer, options, 0, P).unwrap();
    m.unmap_in(outer, at, P).unwrap();
    assert_eq!(m.vmar_destroy(empty), Err(Status::BAD_STATE));
    assert_ne!(inner_base, 0);
}

/// From above permissions can only be taken, and only with OP_CHILDREN.
#[test]
fn vmar_protect_of_children() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(4));
    let (outer, base) = m.child(root, CAN_RW, 4);
    let weak = m.without(outer, Rights::OP_CHILDREN);
    let options = CAN_RW | SPECIFIC;
    let (inner, inner_base) = m.vmar_allocate(outer, options, P, 2 * P).unwrap();
    m.map_in(outer, RW | SPECIFIC, 0, vmo, P).unwrap();
    m.map_in(inner, R, 0, vmo, P).unwrap();
    let denied = Err(Status::ACCESS_DENIED);
    assert_eq!(m.protect_in(outer, R, base, 3 * P), Err(Status::NOT_FOUND));
    m.map_in(inner, R, 0, vmo, P).unwrap();
    m.map_in(outer, R | SPECIFIC, 3 * P, vmo, P).unwrap();
    assert_eq!(
        m.protect_in(weak, R, base, 4 * P),
        Err(Status::INVALID_ARGS)
    );
    assert_eq!(m.protect_in(outer, RW, base, 4 * P), denied);
    assert_eq!(m.vmar_protect(RW, inner_base, P), denied);
    m.protect_in(weak, R, base, P).unwrap();
    m.protect_in(outer, R, base, 4 * P).unwrap();
    m.protect_in(outer, 0, base, 4 * P).unwrap();
    assert_eq!(m.protect_in(outer, R, base, 2 * P), denied, "once taken");
    m.protect_in(inner, RW, inner_base, 2 * P).unwrap();
    m.vmar_protect(R, inner_base, 2 * P).unwrap();
    assert_eq!(m.kernel.mapped_run(m.main.process, base), None);
    let run = m.kernel.mapped_run(m.main.process, inner_base).unwrap();
    assert!(!run.write, "nothing was changed by what failed");
}

/// A VMAR lies in one at any depth; the whole of it goes at once.
#[test]
fn vmars_can_lie_deep() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.root(), m.vmo(1));
    let (outer, base) = m.child(root, CAN_RW, 1);
    let mut deepest = outer;
    for _ in 0..2_000 {
        let (next, at) = m.child(deepest, CAN_RW, 1);
        assert_eq!(at, base);
        if deepest != outer {
            m.handle_close(deepest).unwrap();
        }
        deepest = next;
    }
    m.map_in(deepest, RW, 0, vmo, P).unwrap();
    m.vmar_destroy(outer).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 0);
    assert_eq!(m.vmar_destroy(deepest), Err(Status::BAD_STATE));
}

/// Mappings and child VMARs of a process count together.
#[test]
fn vmar_allocate_no_resources() {
    const MOST: u64 = 1 << 16;
    let mut m = TestMachine::new();
    let (outer, _) = m.child(m.root(), CAN_RW, MOST);
    let (out, address) = (m.alloc(8), m.alloc(8));
    let allocate = |m: &mut TestMachine, page: u64| {
        let options = u64::from(CAN_R | SPECIFIC);
        let args = [outer.into(), options, page * P, P, out, address];
        m.call(N::VmarAllocate, &args)
    };
    let mut made = 0;
    while made < MOST && allocate(&mut m, made) == Status::OK {
        let handle = m.peek_u32(out);
        m.handle_close(handle).unwrap();
        made += 1;
    }
    assert!(made < MOST && made > MOST - 16, "{made}");
    assert_eq!(allocate(&mut m, made), Status::NO_RESOURCES);
    let (vmo, last) = (m.vmo(1), m.peek_u64(address));
    assert_eq!(m.map_in(outer, R, 0, vmo, P), Err(Status::NO_RESOURCES));
    m.unmap_in(outer, last, P).unwrap();
    assert_eq!(m.map_in(outer, R, 0, vmo, P), Ok(last));
}

/// When a process ends its VMARs are dead for whoever holds a handle to them.
#[test]
fn vmars_of_a_process_that_ended() {
    let mut m = TestMachine::new();
    let other = m
        .kernel
        .create_process("other", JobPolicy::default())
        .unwrap();
    m.kernel
        .start_thread(other.thread, 0x20_0000, 0, (0, 0))
        .unwrap();
    // Made right after its process.
    let root = zircon::ObjectRef::Vmar(zircon::VmarId(other.process.0 + 1));
    let root = m
        .kernel
        .give_handle(m.main.process, root, Rights::DEFAULT_VMAR | Rights::READ)
        .unwrap();
    m.drain();
    let (child, _) = m.child(root, CAN_R, 4);
    let vmo = m.vmo(1);
    m.map_in(child, R, 0, vmo, P).unwrap();
    m.raw_call(other.thread, N::ProcessExit as u64, &[0]);
    assert_eq!(m.vmo_info(vmo, 64), 0);
    for vmar in [child, root] {
        assert_eq!(m.map_in(vmar, R, 0, vmo, P), Err(Status::BAD_STATE));
        assert_eq!(m.vmar_destroy(vmar), Err(Status::BAD_STATE));
        m.handle_close(vmar).unwrap();
    }
}
