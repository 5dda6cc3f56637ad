//! `zx_vmo_create_child`: clones. What each type demands, what parent and child see of each other, whose pages are.

use protocol::info::VmoInfoFlags;
use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{Order, Packet};

const SNAPSHOT: u32 = 1;
const RESIZABLE: u32 = 4;
const SLICE: u32 = 8;
const ALOW: u32 = 0x10;
const NO_WRITE: u32 = 0x20;
const REFERENCE: u32 = 0x40;
const SMOD: u32 = 0x80;
const CLONES: [u32; 3] = [SNAPSHOT, ALOW, SMOD];

/// Offsets of words in the info record.
const PRIVATE: usize = 128;
const SCALED: usize = 144;
const FRACTION: usize = 160;

const WHOLE: u64 = u64::MAX - PAGE_SIZE + 1;

fn flags(m: &mut TestMachine, vmo: u32) -> VmoInfoFlags {
    VmoInfoFlags::from_bits_retain(m.vmo_info(vmo, 80) as u32)
}

/// An anonymous VMO whose pages are filled with 1, 2, 3 and so on.
fn filled(m: &mut TestMachine, pages: u64) -> u32 {
    let vmo = m.vmo_create(pages * PAGE_SIZE, 2).unwrap();
    for page in 0..pages {
        m.vmo_write(vmo, page * PAGE_SIZE, &[page as u8 + 1; 4096])
            .unwrap();
    }
    vmo
}

fn fill(m: &mut TestMachine, vmo: u32, page: u64, value: u8) {
    m.vmo_write(vmo, page * PAGE_SIZE, &[value; 4096]).unwrap();
}

#[test]
fn clone_order_of_checks() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    for kind in CLONES {
        for (options, offset, size, status) in [
            (kind | NO_WRITE | RESIZABLE, 1, 0, Status::INVALID_ARGS),
            (kind | SLICE, 0, 4096, Status::INVALID_ARGS),
            (kind, 1, u64::MAX, Status::OUT_OF_RANGE),
            (kind, 1, 4096, Status::INVALID_ARGS),
            (kind, WHOLE, 4096, Status::OUT_OF_RANGE),
        ] {
            assert_eq!(
                m.vmo_create_child(vmo, options, offset, size),
                Err(status),
                "{options:#x} {offset:#x} {size:#x}"
            );
        }
    }
    assert_eq!(m.signals(vmo), 8, "nothing was made");
}

#[test]
fn clone_of_an_uncached_vmo_is_bad_state() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2);
    let set = [vmo.into(), 1];
    assert_eq!(m.call(N::VmoSetCachePolicy, &set), Status::OK);
    for kind in CLONES {
        assert_eq!(
            m.vmo_create_child(vmo, kind, 0, 4096),
            Err(Status::BAD_STATE)
        );
    }
    assert!(m.vmo_create_child(vmo, SLICE, 0, 4096).is_ok());
}

#[test]
fn snapshot_in_a_pagers_hierarchy_is_not_supported() {
    let mut p = paged(2);
    let clone = p.m.vmo_create_child(p.vmo, ALOW, 0, 8192).unwrap();
    let slice = p.m.vmo_create_child(p.vmo, SLICE, 0, 8192).unwrap();
    let reference = p.m.vmo_create_child(p.vmo, REFERENCE, 0, 0).unwrap();
    for vmo in [p.vmo, clone, slice, reference] {
        let made = p.m.vmo_create_child(vmo, SNAPSHOT, 0, 4096);
        assert_eq!(made, Err(Status::NOT_SUPPORTED));
        for kind in [ALOW, SMOD] {
            assert!(p.m.vmo_create_child(vmo, kind, 0, 4096).is_ok());
        }
    }
}

#[test]
fn modified_snapshots_of_slices() {
    let mut p = paged(2);
    let live = p.m.vmo_create_child(p.vmo, ALOW, 0, 8192).unwrap();
    let slice = p.m.vmo_create_child(live, SLICE, 0, 8192).unwrap();
    assert!(p.m.vmo_create_child(slice, ALOW, 0, 4096).is_ok());
    let refused = Err(Status::NOT_SUPPORTED);
    assert_eq!(p.m.vmo_create_child(slice, SMOD, 0, 4096), refused);
    let modified = p.m.vmo_create_child(p.vmo, SMOD, 0, 8192).unwrap();
    let slice = p.m.vmo_create_child(modified, SLICE, 0, 8192).unwrap();
    for kind in [ALOW, SMOD] {
        assert_eq!(
            p.m.vmo_create_child(slice, kind, 0, 4096),
            refused,
            "a slice in a tree of modified snapshots"
        );
    }
    // At least on write below it is as good as modified, and so on down.
    let below = p.m.vmo_create_child(modified, ALOW, 0, 8192).unwrap();
    let slice = p.m.vmo_create_child(below, SLICE, 0, 8192).unwrap();
    assert_eq!(p.m.vmo_create_child(slice, ALOW, 0, 4096), refused);
}

/// Zircon's NoAccumulatedOverflow.
#[test]
fn no_accumulated_overflow() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let far = 0xFFFF_FFFF_FFFF_0000;
    let child = m
        .vmo_create_child(vmo, SNAPSHOT | RESIZABLE, far, 0x1000)
        .unwrap();
    let grandchild = m.vmo_create_child(child, SNAPSHOT, far, 0x1000);
    assert_eq!(grandchild, Err(Status::INVALID_ARGS));
    let grandchild = m.vmo_create_child(child, SNAPSHOT, 0x8000, 0x10000);
    assert_eq!(grandchild, Err(Status::INVALID_ARGS));
    let grandchild = m
        .vmo_create_child(child, SNAPSHOT | RESIZABLE, 0x8000, 0x1000)
        .unwrap();
    assert_eq!(
        m.vmo_set_size(grandchild, 0x8000),
        Err(Status::INVALID_ARGS)
    );
    assert_eq!(m.vmo_get_size(grandchild), Ok(0x1000));
    m.vmo_set_size(grandchild, 0x7000).unwrap();
    assert_eq!(m.page_bytes(grandchild, 0..7), [0; 7]);
}

/// Zircon's SnapshotReadOnlyVmo, and the rights of the other types.
#[test]
fn clone_rights() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let read_only = m.without(vmo, Rights::WRITE | Rights::SET_PROPERTY);
    let id = m.kernel.add_anonymous_vmo("code", 4096).unwrap();
    let rights = (Rights::DEFAULT_VMO - Rights::WRITE) | Rights::EXECUTE;
    let process = m.main.process;
    let object = zircon::ObjectRef::Vmo(id);
    let code = m.kernel.give_handle(process, object, rights).unwrap();
    for kind in CLONES {
        let clone = m.vmo_create_child(read_only, kind, 0, 4096).unwrap();
        assert_eq!(m.rights(clone), Rights::DEFAULT_VMO);
        fill(&mut m, clone, 0, 1);
        let clone = m.vmo_create_child(vmo, kind | RESIZABLE, 0, 4096).unwrap();
        assert_eq!(m.rights(clone), Rights::DEFAULT_VMO | Rights::RESIZE);
        let clone = m.vmo_create_child(vmo, kind | NO_WRITE, 0, 4096).unwrap();
        assert_eq!(m.rights(clone), Rights::DEFAULT_VMO - Rights::WRITE);
        let clone = m.vmo_create_child(code, kind, 0, 4096).unwrap();
        assert_eq!(m.rights(clone), Rights::DEFAULT_VMO);
        let clone = m.vmo_create_child(code, kind | NO_WRITE, 0, 4096).unwrap();
        assert_eq!(m.rights(clone), rights);
    }
    assert_eq!(m.page_bytes(vmo, 0..1), [0]);
}

#[test]
fn clone_info_flags() {
    let mut p = paged(1);
    let plain = p.m.vmo(1);
    let clone = VmoInfoFlags::TYPE_PAGED | VmoInfoFlags::VIA_HANDLE | VmoInfoFlags::IS_COW_CLONE;
    for (parent, options, extra) in [
        (plain, SNAPSHOT, VmoInfoFlags::empty()),
        (plain, SNAPSHOT | RESIZABLE, VmoInfoFlags::RESIZABLE),
        (plain, SNAPSHOT | NO_WRITE, VmoInfoFlags::IMMUTABLE),
        (plain, ALOW | NO_WRITE, VmoInfoFlags::empty()),
        (p.vmo, ALOW, VmoInfoFlags::PAGER_BACKED),
        (p.vmo, SMOD | NO_WRITE, VmoInfoFlags::PAGER_BACKED),
    ] {
        let child = p.m.vmo_create_child(parent, options, 0, 4096).unwrap();
        assert_eq!(flags(&mut p.m, child), clone | extra, "{options:#x}");
        assert_eq!(p.m.vmo_info(child, 48), p.m.koid(parent), "its parent");
    }
    let slice = p.m.vmo_create_child(plain, SLICE, 0, 4096).unwrap();
    assert!(!flags(&mut p.m, slice).contains(VmoInfoFlags::IS_COW_CLONE));
}

#[test]
fn snapshots_do_not_see_each_others_writes() {
    for kind in CLONES {
        let mut m = TestMachine::new();
        let vmo = filled(&mut m, 4);
        let clone = m.vmo_create_child(vmo, kind, 4096, 4 * 4096).unwrap();
        assert_eq!(m.content_size(clone), Ok(4 * 4096));
        fill(&mut m, vmo, 1, 20);
        fill(&mut m, clone, 1, 30);
        assert_eq!(m.page_bytes(vmo, 0..4), [1, 20, 3, 4]);
        assert_eq!(m.page_bytes(clone, 0..4), [2, 30, 4, 0], "{kind:#x}");
        m.handle_close(vmo).unwrap();
        assert_eq!(m.page_bytes(clone, 0..4), [2, 30, 4, 0]);
    }
}

/// Zircon's ChildSignalMap, with a clone.
#[test]
fn child_signal_map() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 1);
    let clone = m.vmo_create_child(vmo, SNAPSHOT, 0, 4096).unwrap();
    assert_eq!(m.signals(vmo), 0);
    let at = m.map(clone, 1);
    m.handle_close(clone).unwrap();
    assert_eq!(m.signals(vmo), 0, "the mapping is left");
    m.vmar_unmap(at, 4096).unwrap();
    assert_eq!(m.signals(vmo), 8);
}

/// Whoever is left takes over what it shares with nobody any more.
#[test]
fn the_last_of_the_clones_takes_the_pages_over() {
    let mut m = TestMachine::new();
    let before = m.kernel.usage().len();
    let vmo = filled(&mut m, 4);
    let clone = m.vmo_create_child(vmo, SNAPSHOT, 0, 2 * 4096).unwrap();
    fill(&mut m, vmo, 0, 9);
    m.handle_close(vmo).unwrap();
    assert_eq!(m.page_bytes(clone, 0..2), [1, 2]);
    let left = m.committed(clone);
    assert_eq!(left, 2, "what it does not see is dropped");
    assert_eq!(m.vmo_info(clone, PRIVATE), 2 * 4096);
    fill(&mut m, clone, 0, 5);
    assert_eq!(m.page_bytes(clone, 0..2), [5, 2]);
    m.vmo_op_range(clone, VmoOp::Zero, 4096, 4096).unwrap();
    assert_eq!(m.committed(clone), 1);
    m.handle_close(clone).unwrap();
    assert_eq!(m.kernel.usage().len(), before, "nothing is left behind");
}

/// A page that every clone has a copy of is not kept.
#[test]
fn pages_that_nobody_sees_are_dropped() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 1);
    let clone = m.vmo_create_child(vmo, SNAPSHOT, 0, 4096).unwrap();
    let (first, second) = (m.alloc(4096), m.alloc(4096));
    m.poke(first, &[7; 4096]);
    m.poke(second, &[8; 4096]);
    let before = m.memory.total();
    let write = |vmo: u32, buffer| [vmo.into(), buffer, 0, 4096];
    assert_eq!(m.call(N::VmoWrite, &write(vmo, first)), Status::OK);
    assert_eq!(m.memory.total(), before + 1);
    assert_eq!(m.call(N::VmoWrite, &write(clone, second)), Status::OK);
    assert_eq!(m.memory.total(), before + 1);
    assert_eq!((m.committed(vmo), m.committed(clone)), (1, 1));
}

/// What is shared counts in full for each, and by halves and thirds where it is scaled.
#[test]
fn attribution_of_shared_pages() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 3);
    let clone = m.vmo_create_child(vmo, SNAPSHOT, 0, 3 * 4096).unwrap();
    fill(&mut m, clone, 0, 9);
    for sharer in [vmo, clone] {
        assert_eq!(m.committed(sharer), 3);
        assert_eq!(m.vmo_info(sharer, PRIVATE), 4096);
        assert_eq!(m.vmo_info(sharer, SCALED), 2 * 4096);
        assert_eq!(m.vmo_info(sharer, FRACTION), 0);
    }
    let third = m.vmo_create_child(vmo, SNAPSHOT, 4096, 4096).unwrap();
    // Page 1 has three sharers, page 2 two; page 0 of the first VMO is its own, though it may lie with a frozen one.
    let thirds = 4096 / 3;
    assert_eq!(m.committed(third), 1);
    assert_eq!(m.vmo_info(third, SCALED), thirds);
    assert_eq!(m.vmo_info(third, FRACTION), (1 << 63) / 3);
    assert_eq!(m.vmo_info(third, PRIVATE), 0);
    assert_eq!(m.vmo_info(vmo, PRIVATE), 4096);
    assert_eq!(m.vmo_info(vmo, SCALED), 4096 + thirds + 2048);
    let slice = m.vmo_create_child(clone, SLICE, 0, 4096).unwrap();
    assert_eq!(m.committed(slice), 0);
    m.handle_close(vmo).unwrap();
    m.handle_close(third).unwrap();
    assert_eq!(m.vmo_info(clone, PRIVATE), 3 * 4096);
    assert_eq!(m.vmo_info(clone, SCALED), 3 * 4096);
}

/// Pages of a pager's VMO are its own, whoever shows them.
#[test]
fn attribution_in_a_pagers_hierarchy() {
    let mut p = paged(4);
    p.m.supply(p.pager, p.vmo, 0..4, 1).unwrap();
    let clone = p.m.vmo_create_child(p.vmo, ALOW, 0, 4 * 4096).unwrap();
    assert_eq!(p.m.page_bytes(clone, 0..4), [1, 2, 3, 4]);
    assert_eq!((p.m.committed(p.vmo), p.m.committed(clone)), (4, 0));
    fill(&mut p.m, clone, 2, 9);
    let grandchild = p.m.vmo_create_child(clone, SMOD, 0, 4 * 4096).unwrap();
    assert_eq!(p.m.page_bytes(grandchild, 0..4), [1, 2, 9, 4]);
    for vmo in [clone, grandchild] {
        assert_eq!(p.m.committed(vmo), 1);
        assert_eq!(p.m.vmo_info(vmo, SCALED), 2048);
    }
    assert_eq!(p.m.committed(p.vmo), 4);
    assert_eq!(p.m.packets(p.port), []);
}

#[test]
fn writes_to_the_pagers_vmo_show_in_a_clone_until_it_writes() {
    for kind in [ALOW, SMOD] {
        let mut p = paged(2);
        p.m.supply(p.pager, p.vmo, 0..2, 1).unwrap();
        let clone = p.m.vmo_create_child(p.vmo, kind, 0, 8192).unwrap();
        fill(&mut p.m, p.vmo, 0, 50);
        assert_eq!(p.m.page_bytes(clone, 0..2), [50, 2]);
        fill(&mut p.m, clone, 0, 60);
        fill(&mut p.m, p.vmo, 0, 70);
        assert_eq!(p.m.page_bytes(clone, 0..2), [60, 2]);
        assert_eq!(p.m.page_bytes(p.vmo, 0..2), [70, 2]);
    }
}

/// Pages that a clone has modified are snapshot; the others stay live.
#[test]
fn modified_pages_are_snapshot() {
    let mut p = paged(3);
    p.m.supply(p.pager, p.vmo, 0..3, 1).unwrap();
    let clone = p.m.vmo_create_child(p.vmo, SMOD, 0, 3 * 4096).unwrap();
    fill(&mut p.m, clone, 1, 20);
    let below = p.m.vmo_create_child(clone, SMOD, 0, 3 * 4096).unwrap();
    fill(&mut p.m, clone, 1, 30);
    fill(&mut p.m, clone, 2, 31);
    fill(&mut p.m, p.vmo, 0, 40);
    assert_eq!(p.m.page_bytes(clone, 0..3), [40, 30, 31]);
    assert_eq!(p.m.page_bytes(below, 0..3), [40, 20, 3]);
}

#[test]
fn pager_calls_on_a_clone_invalid_args() {
    let mut p = paged(2);
    let aux = p.m.vmo(2);
    let kinds = [(ALOW, 0, 4096), (SLICE, 0, 4096), (REFERENCE, 0, 0)];
    for (kind, offset, size) in kinds {
        let child = p.m.vmo_create_child(p.vmo, kind, offset, size).unwrap();
        let supply = p.m.pager_supply_pages(p.pager, child, 0, 4096, aux, 0);
        assert_eq!(supply, Err(Status::INVALID_ARGS));
        let detach = p.m.pager_detach_vmo(p.pager, child);
        assert_eq!(detach, Err(Status::INVALID_ARGS));
    }
}

/// What was cut off does not come back, neither from the parent nor from what the clone had itself.
#[test]
fn a_clone_that_shrinks_and_grows_is_zero() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 4);
    let clone = m
        .vmo_create_child(vmo, SNAPSHOT | RESIZABLE, 0, 4 * 4096)
        .unwrap();
    fill(&mut m, clone, 2, 9);
    m.vmo_set_size(clone, 4096 + 5).unwrap();
    m.vmo_set_size(clone, 5 * 4096).unwrap();
    let bytes = m.vmo_read(clone, 0, 5 * 4096).unwrap();
    assert!(bytes[..4096].iter().all(|byte| *byte == 1));
    assert!(bytes[4096..4101].iter().all(|byte| *byte == 2));
    assert!(bytes[4101..].iter().all(|byte| *byte == 0));
    assert_eq!(m.page_bytes(vmo, 0..4), [1, 2, 3, 4]);
    m.vmo_set_size(vmo, 0).unwrap();
    assert_eq!(m.vmo_read(clone, 0, 1).unwrap(), [1], "it has its own");
}

/// A pager's VMO that shrinks takes the pages with it from whoever shows them, through frozen VMOs, too.
#[test]
fn a_pagers_vmo_that_shrinks_is_zero_in_all_its_clones() {
    let mut p = paged_with(4 * PAGE_SIZE, 2);
    p.m.supply(p.pager, p.vmo, 0..4, 1).unwrap();
    let clone = p.m.vmo_create_child(p.vmo, ALOW, 0, 4 * 4096).unwrap();
    fill(&mut p.m, clone, 3, 9);
    let below = p.m.vmo_create_child(clone, SMOD, 4096, 3 * 4096).unwrap();
    fill(&mut p.m, below, 0, 8);
    p.m.vmo_set_size(p.vmo, 4096).unwrap();
    p.m.vmo_set_size(p.vmo, 4 * 4096).unwrap();
    fill(&mut p.m, p.vmo, 2, 77);
    assert_eq!(p.m.page_bytes(clone, 0..4), [1, 0, 0, 9]);
    assert_eq!(p.m.page_bytes(below, 0..3), [8, 0, 9]);
    assert_eq!(p.m.packets(p.port), []);
}

/// A snapshot waits for what is under way on its parent, and what comes meanwhile waits for the snapshot.
#[test]
fn a_snapshot_waits_for_what_is_under_way() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 2);
    let (one, two, three) = (m.thread(), m.thread(), m.thread());
    let buffer = m.alloc(4096);
    m.poke(buffer, &[9; 4096]);
    let out = m.alloc(4);
    m.poke(out, &[0; 4]);
    m.order = Order::Held;
    let write = [vmo.into(), buffer, 0, 4096];
    let first = m.begin(one, N::VmoWrite, &write);
    let args = [vmo.into(), SNAPSHOT.into(), 0, 8192, out];
    let snapshot = m.begin(two, N::VmoCreateChild, &args);
    let later = [vmo.into(), buffer, 4096, 4096];
    let second = m.begin(three, N::VmoWrite, &later);
    assert_eq!(m.held.len(), 1, "the first write alone is under way");
    m.settle();
    for token in [first, snapshot, second] {
        assert_eq!(m.status(token), Status::OK);
    }
    m.order = Order::Now;
    let clone = m.peek_u32(out);
    assert_eq!(m.page_bytes(clone, 0..2), [9, 2]);
    assert_eq!(m.page_bytes(vmo, 0..2), [9, 9]);
}

#[test]
fn a_snapshot_that_fails_changes_nothing() {
    let mut m = TestMachine::new();
    let vmo = filled(&mut m, 2);
    let out = m.alloc(4);
    m.poke(out, &[0; 4]);
    let used = m.kernel.usage().len();
    m.no_memory = true;
    let args = [vmo.into(), SNAPSHOT.into(), 0, 8192, out];
    assert_eq!(m.call(N::VmoCreateChild, &args), Status::NO_MEMORY);
    m.no_memory = false;
    assert_eq!(m.kernel.usage().len(), used);
    assert_eq!(m.signals(vmo), 8);
    fill(&mut m, vmo, 0, 3);
    assert_eq!(m.page_bytes(vmo, 0..2), [3, 2]);
    // A result that cannot be written takes the child back, and what was frozen for it.
    let args = [vmo.into(), SNAPSHOT.into(), 0, 8192, 0];
    assert_eq!(m.call(N::VmoCreateChild, &args), Status::INVALID_ARGS);
    assert_eq!(m.kernel.usage().len(), used);
    assert_eq!(m.vmo_info(vmo, PRIVATE), 2 * 4096);
}

/// Snapshots of snapshots, a thousand deep, all written to: made, read and dropped without a chain to walk down by recursion.
#[test]
fn a_thousand_snapshots_deep() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let mut vmos = vec![filled(&mut m, 2)];
    for depth in 0..1000u32 {
        let parent = *vmos.last().unwrap();
        let child = m.vmo_create_child(parent, SNAPSHOT, 0, 8192).unwrap();
        m.vmo_write(child, 0, &depth.to_le_bytes()).unwrap();
        vmos.push(child);
    }
    let last = *vmos.last().unwrap();
    assert_eq!(m.vmo_read(last, 0, 4).unwrap(), 999u32.to_le_bytes());
    assert_eq!(m.vmo_read(last, 4096, 1).unwrap(), [2]);
    // The tree is taken apart from the middle outwards.
    for vmo in vmos.drain(1..1000) {
        m.handle_close(vmo).unwrap();
    }
    assert_eq!(m.vmo_read(last, 4096, 1).unwrap(), [2]);
    assert_eq!(m.vmo_info(last, 48), m.koid(vmos[0]));
    m.handle_close(vmos[0]).unwrap();
    assert_eq!(m.vmo_info(last, PRIVATE), 8192);
    m.unchecked = false;
    assert_eq!(m.page_bytes(last, 1..2), [2]);
}

/// A pager's VMO through a clone that is the auxiliary VMO: what it shows is copied, what it has moves, all is zero then.
#[test]
fn pager_supply_pages_from_a_clone() {
    let mut p = paged(4);
    let parent = filled(&mut p.m, 3);
    let aux = p.m.vmo_create_child(parent, SNAPSHOT, 0, 4 * 4096).unwrap();
    fill(&mut p.m, aux, 1, 9);
    p.m.pager_supply_pages(p.pager, p.vmo, 0, 4 * 4096, aux, 0)
        .unwrap();
    assert_eq!(p.m.page_bytes(p.vmo, 0..4), [1, 9, 3, 0]);
    assert_eq!(p.m.page_bytes(aux, 0..4), [0; 4]);
    assert_eq!(p.m.page_bytes(parent, 0..3), [1, 2, 3]);
    assert_eq!(p.m.committed(aux), 0);
}

/// The auxiliary VMO is a clone of another pager's VMO, which has to be asked first.
#[test]
fn pager_supply_pages_from_a_clone_that_waits() {
    let mut p = paged(2);
    let source = p.m.pager_create_vmo(p.pager, 0, p.port, 8, 8192).unwrap();
    let aux = p.m.vmo_create_child(source, ALOW, 0, 8192).unwrap();
    let thread = p.m.thread();
    let args = [p.pager.into(), p.vmo.into(), 0, 8192, aux.into(), 0];
    let token = p.m.begin(thread, N::PagerSupplyPages, &args);
    assert_eq!(p.m.packets(p.port), [Packet::Read(8, 0, 2)]);
    p.m.supply(p.pager, source, 0..2, 5).unwrap();
    assert_eq!(p.m.status(token), Status::OK);
    assert_eq!(p.m.page_bytes(p.vmo, 0..2), [5, 6]);
    assert_eq!(p.m.page_bytes(source, 0..2), [5, 6]);
    assert_eq!(p.m.page_bytes(aux, 0..2), [0, 0]);
}

/// A snapshot is none the less one for having nothing to show.
#[test]
fn decommit_of_a_snapshot_is_not_supported() {
    let mut m = TestMachine::new();
    for vmo in [m.vmo(1), filled(&mut m, 1)] {
        let clone = m.vmo_create_child(vmo, SNAPSHOT, 0, 4096).unwrap();
        let decommit = m.vmo_op_range(clone, VmoOp::Decommit, 0, 4096);
        assert_eq!(decommit, Err(Status::NOT_SUPPORTED));
    }
}
