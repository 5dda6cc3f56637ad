//! `zx_vmo_create_child`: what the types have in common, references, and the tree of parents and children.

use protocol::syscall::SyscallNumber as N;

use super::*;

const RESIZABLE: u32 = 4;
const SLICE: u32 = 8;
const NO_WRITE: u32 = 0x20;
const ALOW: u32 = 0x10;
const REFERENCE: u32 = 0x40;

/// Offsets of words in the info record.
const SIZE: usize = 40;
const PARENT: usize = 48;
const CHILDREN: usize = 56;

#[test]
fn reference_shares_pages_and_sizes() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(8192, RESIZABLE >> 1).unwrap();
    let reference = m.vmo_create_child(vmo, REFERENCE, 0, 0).unwrap();
    m.vmo_write(reference, 4096, &[7; 4096]).unwrap();
    assert_eq!(m.page_bytes(vmo, 0..2), [0, 7]);
    assert_eq!(m.committed(vmo), 1);
    assert_eq!(m.committed(reference), 0, "pages belong to the parent");
    assert_eq!(m.vmo_get_size(reference), Ok(8192));
    assert_eq!(m.content_size(reference), Ok(8192));
    m.vmo_set_size(vmo, 12288 + 5).unwrap();
    assert_eq!(m.vmo_get_size(reference), Ok(16384));
    assert_eq!(m.vmo_info(reference, SIZE), 16384);
    assert_eq!(m.content_size(reference), Ok(12293));
    m.set_content_size(reference, 4096).unwrap();
    assert_eq!(m.content_size(vmo), Ok(4096));
    assert_eq!(m.page_bytes(vmo, 0..4), [0; 4]);
    assert_eq!(m.vmo_read(reference, 16384, 1), Err(Status::OUT_OF_RANGE));
}

#[test]
fn reference_resizes_only_with_the_right() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(8192, RESIZABLE >> 1).unwrap();
    let fixed = m.vmo_create_child(vmo, REFERENCE, 0, 0).unwrap();
    assert_eq!(m.vmo_set_size(fixed, 4096), Err(Status::ACCESS_DENIED));
    let free = m
        .vmo_create_child(vmo, REFERENCE | RESIZABLE, 0, 0)
        .unwrap();
    m.vmo_set_size(free, 4096).unwrap();
    assert_eq!(m.vmo_get_size(vmo), Ok(4096));
    assert_eq!(m.vmo_get_size(fixed), Ok(4096));
}

#[test]
fn reference_lives_as_long_as_a_call_on_it() {
    let mut m = TestMachine::new();
    let (pager, port) = (m.pager_create(), m.port_create());
    let root = m.pager_create_vmo(pager, 2, port, 1, PAGE_SIZE).unwrap();
    let reference = m
        .vmo_create_child(root, REFERENCE | RESIZABLE, 0, 0)
        .unwrap();
    let thread = m.thread();
    // The rest of the page is to be zero: the page is asked for.
    let token = m.begin(thread, N::VmoSetSize, &[reference.into(), 1]);
    m.handle_close(reference).unwrap();
    assert_eq!(m.vmo_info(root, CHILDREN), 1, "the call goes on");
    m.supply(pager, root, 0..1, 7).unwrap();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.vmo_info(root, CHILDREN), 0);
}

#[test]
fn reference_order_of_checks() {
    let mut m = TestMachine::new();
    let (fixed, resizable) = (m.vmo(2), m.vmo_create(8192, RESIZABLE >> 1).unwrap());
    let slice = m.vmo_create_child(fixed, SLICE, 0, 8192).unwrap();
    let narrow = m.without(resizable, Rights::RESIZE);
    for (vmo, options, offset, size, status) in [
        (
            narrow,
            REFERENCE | RESIZABLE | 1,
            4096,
            0,
            Status::ACCESS_DENIED,
        ),
        (fixed, REFERENCE | RESIZABLE, 0, 0, Status::ACCESS_DENIED),
        (resizable, REFERENCE | 1, 0, 0, Status::INVALID_ARGS),
        (slice, REFERENCE, 4096, 0, Status::INVALID_ARGS),
        (slice, REFERENCE, 0, 4096, Status::INVALID_ARGS),
        (slice, REFERENCE, 0, 0, Status::NOT_SUPPORTED),
    ] {
        assert_eq!(
            m.vmo_create_child(vmo, options, offset, size),
            Err(status),
            "{options:#x} {offset:#x} {size:#x}"
        );
    }
    let reference = m.vmo_create_child(resizable, REFERENCE, 0, 0).unwrap();
    assert!(!m.rights(reference).contains(Rights::RESIZE));
}

#[test]
fn reference_of_a_reference_and_slices_of_one() {
    let mut m = TestMachine::new();
    let (fixed, resizable) = (m.vmo(4), m.vmo_create(8192, RESIZABLE >> 1).unwrap());
    let first = m.vmo_create_child(fixed, REFERENCE, 0, 0).unwrap();
    let second = m
        .vmo_create_child(first, REFERENCE | NO_WRITE, 0, 0)
        .unwrap();
    assert!(!m.rights(second).contains(Rights::WRITE));
    let slice = m.vmo_create_child(second, SLICE, 4096, 8192).unwrap();
    m.vmo_write(fixed, 8192, &[3; 4096]).unwrap();
    assert_eq!(m.page_bytes(slice, 0..2), [0, 3]);
    assert_eq!(m.vmo_info(slice, PARENT), m.koid(second));
    let too_large = m.vmo_create_child(second, SLICE, 4096, 16384);
    assert_eq!(too_large, Err(Status::INVALID_ARGS));
    let follows = m.vmo_create_child(resizable, REFERENCE, 0, 0).unwrap();
    let slice = m.vmo_create_child(follows, SLICE, 0, 4096);
    assert_eq!(slice, Err(Status::NOT_SUPPORTED), "its size may change");
}

/// A VMO lives on in what shows its pages; its place in the tree goes to its children.
#[test]
fn children_of_a_closed_vmo_belong_to_its_parent() {
    let mut m = TestMachine::new();
    let top = m.vmo(4);
    let middle = m.vmo_create_child(top, SLICE, 0, 16384).unwrap();
    let low = m.vmo_create_child(middle, SLICE, 4096, 8192).unwrap();
    let other = m.vmo_create_child(middle, REFERENCE, 0, 0);
    assert_eq!(other, Err(Status::NOT_SUPPORTED));
    let lowest = m.vmo_create_child(low, SLICE, 4096, 4096).unwrap();
    m.vmo_write(lowest, 0, &[9; 4096]).unwrap();
    let (top_koid, low_koid) = (m.koid(top), m.koid(low));
    assert_eq!(m.vmo_info(low, PARENT), m.koid(middle));
    m.handle_close(middle).unwrap();
    assert_eq!(m.vmo_info(low, PARENT), top_koid);
    assert_eq!(m.vmo_info(top, CHILDREN), 1);
    assert_eq!(m.vmo_info(lowest, PARENT), low_koid);
    m.handle_close(top).unwrap();
    assert_eq!(m.vmo_info(low, PARENT), 0, "nobody is left");
    assert_eq!(m.page_bytes(low, 0..2), [0, 9], "the pages are");
    m.handle_close(low).unwrap();
    assert_eq!(m.vmo_info(lowest, PARENT), 0);
    assert_eq!(m.page_bytes(lowest, 0..1), [9]);
    let total = m.memory.total();
    m.handle_close(lowest).unwrap();
    assert_eq!(m.memory.total(), total - 1);
}

/// All children of a VMO that goes become its parent's.
#[test]
fn zero_children_counts_those_that_were_taken_over() {
    let mut m = TestMachine::new();
    let top = m.vmo(4);
    let middle = m.vmo_create_child(top, REFERENCE, 0, 0).unwrap();
    let low: Vec<u32> = (0..3)
        .map(|_| m.vmo_create_child(middle, SLICE, 0, 4096).unwrap())
        .collect();
    assert_eq!(m.vmo_info(top, CHILDREN), 1);
    m.handle_close(middle).unwrap();
    assert_eq!(m.vmo_info(top, CHILDREN), 3);
    for child in low {
        assert_eq!(m.signals(top), 0);
        m.handle_close(child).unwrap();
    }
    assert_eq!(m.signals(top), 8);
}

/// Whoever waits for pages by way of a reference keeps that alive, not the VMO that has the pages.
#[test]
fn a_call_on_a_reference_does_not_hold_its_target() {
    let mut p = paged(2);
    let m = &mut p.m;
    let middle = m.vmo_create_child(p.vmo, ALOW, 0, 8192).unwrap();
    let reference = m.vmo_create_child(middle, REFERENCE, 0, 0).unwrap();
    let _clone = m.vmo_create_child(middle, ALOW, 0, 8192).unwrap();
    let id = m.thread();
    let token = m.begin(id, N::VmoOpRange, &[reference.into(), 14, 0, 4096, 0, 0]);
    m.handle_close(middle).unwrap();
    assert_eq!(
        m.vmo_info(p.vmo, CHILDREN),
        2,
        "the reference and the clone"
    );
    m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(m.status(token), Status::OK);
}
