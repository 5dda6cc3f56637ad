//! `zx_vmar_map`, `zx_vmar_unmap`, `zx_vmar_protect`.

use protocol::syscall::SyscallNumber as N;
use protocol::{MAX_VMO_SIZE, USER_BASE, USER_END};
use zircon::Access;

use super::*;
use crate::common::{NOWHERE, Order, Touch};

const R: u32 = 1;
const RW: u32 = 3;
const X: u32 = 4;
const COMPACT: u32 = 8;
const SPECIFIC: u32 = 0x10;
const OVERWRITE: u32 = 0x20;
const MAP_RANGE: u32 = 0x400;
const NON_RESIZABLE: u32 = 0x800;
const ALLOW_FAULTS: u32 = 0x1000;
const UPPER_LIMIT: u32 = 0x2000;
const XOM: u32 = 0x4000;
const BEYOND_STREAM: u32 = 0x8000;
/// Size of the root VMAR.
const WHOLE: u64 = USER_END - USER_BASE;

#[test]
fn vmar_map_order_of_checks() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let resizable = m.vmo_create(4096, 2).unwrap();
    let discardable = m.vmo_create(4096, 4).unwrap();
    let no_map = m.without(vmo, Rights::MAP);
    let no_read = m.without(vmo, Rights::READ);
    let no_write = m.without(vmo, Rights::WRITE);
    let vmar = m.main.vmar_handle;
    let (invalid, denied) = (Status::INVALID_ARGS, Status::ACCESS_DENIED);
    let page = 4096;
    for (vmar, options, vmar_offset, vmo, vmo_offset, length, status) in [
        (BAD, u32::MAX, 1, BAD, 1, 0, Status::BAD_HANDLE),
        (vmo, u32::MAX, 1, BAD, 1, 0, Status::WRONG_TYPE),
        (vmar, u32::MAX, 1, BAD, 1, 0, Status::BAD_HANDLE),
        (vmar, u32::MAX, 1, vmar, 1, 0, Status::WRONG_TYPE),
        (vmar, u32::MAX, 1, no_map, 1, 0, denied),
        (vmar, 2, 1, no_write, 1, 0, invalid),
        (vmar, X, 1, vmo, 1, 0, invalid),
        (vmar, R | MAP_RANGE | OVERWRITE, 1, no_read, 1, 0, invalid),
        (vmar, R | 0x40, 1, no_read, 1, 0, invalid),
        (vmar, R | 0x200, 1, no_read, 1, 0, invalid),
        (vmar, R | 0x10_0000, 1, no_read, 1, 0, denied),
        (vmar, X | XOM, 1, no_read, 1, 0, denied),
        (vmar, R, 1, no_read, 1, 0, denied),
        (vmar, RW, 1, no_write, 1, 0, denied),
        (vmar, R | X, 1, vmo, 1, 0, denied),
        (vmar, R | BEYOND_STREAM, 1, discardable, 1, 0, invalid),
        (vmar, R | 0x10_0000, 1, discardable, 1, 0, invalid),
        (vmar, R | 9 << 24, 1, discardable, 1, 0, invalid),
        (
            vmar,
            R | NON_RESIZABLE,
            1,
            resizable,
            1,
            0,
            Status::NOT_SUPPORTED,
        ),
        (vmar, R, 1, discardable, 1, 0, Status::NOT_SUPPORTED),
        (vmar, R | COMPACT, 0, vmo, 0, u64::MAX, invalid),
        (vmar, R, 0, vmo, 1, u64::MAX, invalid),
        (vmar, R, 1, vmo, 0, u64::MAX, Status::OUT_OF_RANGE),
        (vmar, R, 1, vmo, u64::MAX - 4095, page, Status::OUT_OF_RANGE),
        (vmar, R, 0, vmo, 0, 0, invalid),
        (vmar, R, page, vmo, 0, page, invalid),
        (vmar, R | SPECIFIC, 1, vmo, 0, page, invalid),
        (vmar, R | SPECIFIC, USER_END, vmo, 0, page, invalid),
        (vmar, R | SPECIFIC, u64::MAX - 4095, vmo, 0, page, invalid),
        (
            vmar,
            R | SPECIFIC | UPPER_LIMIT,
            page,
            vmo,
            0,
            page,
            invalid,
        ),
        (
            vmar,
            R | OVERWRITE | UPPER_LIMIT,
            page,
            vmo,
            0,
            page,
            invalid,
        ),
        (vmar, R, 0, vmo, 0, USER_END, invalid),
        (vmar, R, 0, vmo, 0, MAX_VMO_SIZE, invalid),
        (vmar, R, 0, vmo, 0, WHOLE, Status::NO_RESOURCES),
        (vmar, R | UPPER_LIMIT, page, vmo, 0, 2 * page, invalid),
        (vmar, R | UPPER_LIMIT, page + 8, vmo, 0, page, invalid),
        (vmar, R | UPPER_LIMIT, WHOLE + page, vmo, 0, page, invalid),
    ] {
        let args = [
            vmar.into(),
            options.into(),
            vmar_offset,
            vmo.into(),
            vmo_offset,
            length,
            0,
        ];
        let got = m.call(N::VmarMap, &args);
        assert_eq!(got, status, "{options:#x} {vmar_offset:#x} {length:#x}");
    }
    assert!(
        m.vmar_map(R | ALLOW_FAULTS, 0, discardable, 0, page)
            .is_ok()
    );
    assert_eq!(m.vmo_info(vmo, 64), 0, "nothing was mapped");
}

#[test]
fn vmar_map_vmar_rights() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let root = m.main.vmar_handle;
    let out = m.alloc(8);
    let read_only = m.without(root, Rights::WRITE);
    for (options, status) in [(R, Status::OK), (RW, Status::ACCESS_DENIED)] {
        let args = [
            read_only.into(),
            options.into(),
            0,
            vmo.into(),
            0,
            4096,
            out,
        ];
        assert_eq!(m.call(N::VmarMap, &args), status);
    }
    let at = m.peek_u64(out);
    assert_eq!(
        m.vmar_protect(RW, at, 4096),
        Err(Status::ACCESS_DENIED),
        "what the handle could not grant is never granted"
    );
}

#[test]
fn vmar_map_out_invalid_args_takes_the_mapping_back() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let vmar = m.main.vmar_handle;
    for out in [0, NOWHERE] {
        let args = [vmar.into(), RW.into(), 0, vmo.into(), 0, 4096, out];
        assert_eq!(m.call(N::VmarMap, &args), Status::INVALID_ARGS);
    }
    assert_eq!(m.vmo_info(vmo, 64), 0);
    m.handle_close(vmo).unwrap();
    assert_eq!(m.freed.len(), 1, "no reference leaked");
}

#[test]
fn vmar_map_keeps_the_vmo_alive() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    m.vmo_write(vmo, 0, b"kept").unwrap();
    let at = m.map(vmo, 1);
    m.handle_close(vmo).unwrap();
    assert_eq!(m.peek(at, 4), b"kept");
    m.vmar_unmap(at, 4096).unwrap();
    assert_eq!(m.freed.len(), 1);
}

#[test]
fn vmar_map_length_rounds_up_and_may_exceed_the_vmo() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.vmar_map(RW, 0, vmo, 0, 5000).unwrap();
    let run = m.kernel.mapped_run(m.main.process, at).unwrap();
    assert_eq!(
        (run.address, run.length),
        (at, 4096),
        "cut at the VMO's end"
    );
    let next = m.vmar_map(RW, 0, vmo, 0, 4096).unwrap();
    assert_eq!(next, at + 8192);
}

/// A process has room for so many mappings; giving one back makes room for the next.
#[test]
fn vmar_map_no_resources() {
    const MOST: u64 = 1 << 16;
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let out = m.alloc(8);
    let map = |m: &mut TestMachine, page: u64| {
        let vmar = m.main.vmar_handle.into();
        // Far above everything else, every other page.
        let place = (1 << 44) + 2 * page * 4096;
        let specific = (RW | SPECIFIC).into();
        m.call(
            N::VmarMap,
            &[vmar, specific, place, vmo.into(), 0, 4096, out],
        )
    };
    let mut mapped = 0;
    while mapped < MOST && map(&mut m, mapped) == Status::OK {
        mapped += 1;
    }
    assert!(mapped < MOST, "the scratch area has mappings of its own");
    assert!(mapped > MOST - 16, "{mapped}");
    assert_eq!(map(&mut m, mapped), Status::NO_RESOURCES);
    let base = m.peek_u64(out);
    m.vmar_unmap(base, 4096).unwrap();
    assert_eq!(map(&mut m, mapped), Status::OK);
}

#[test]
fn vmar_map_specific() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let at = m.vmar_map(RW | SPECIFIC, 0x40_0000, vmo, 0, 8192).unwrap();
    assert_eq!(at, USER_BASE + 0x40_0000);
    for (offset, length) in [(0x40_0000, 4096), (0x40_1000, 8192), (0x3F_F000, 8192)] {
        assert_eq!(
            m.vmar_map(RW | SPECIFIC, offset, vmo, 0, length),
            Err(Status::ALREADY_EXISTS)
        );
    }
    m.vmar_map(RW | SPECIFIC, 0x40_2000, vmo, 0, 4096).unwrap();
    m.vmar_map(RW | SPECIFIC, 0x3F_F000, vmo, 0, 4096).unwrap();
    let top = USER_END - USER_BASE - 4096;
    assert_eq!(
        m.vmar_map(RW | SPECIFIC, top, vmo, 0, 4096),
        Ok(USER_END - 4096)
    );
}

#[test]
fn vmar_map_overwrite_keeps_what_lies_outside() {
    let mut m = TestMachine::new();
    let (one, two) = (m.vmo(6), m.vmo(2));
    for page in 0..6 {
        m.vmo_write(one, page * 4096, &[page as u8 + 1; 4096])
            .unwrap();
    }
    m.vmo_write(two, 0, &[77; 8192]).unwrap();
    let at = m
        .vmar_map(RW | SPECIFIC, 0x40_0000, one, 0, 6 * 4096)
        .unwrap();
    let middle = 0x40_0000 + 8192;
    m.vmar_map(RW | OVERWRITE, middle, two, 0, 8192).unwrap();
    let bytes: Vec<u8> = (0..6).map(|page| m.peek(at + page * 4096, 1)[0]).collect();
    assert_eq!(bytes, [1, 2, 77, 77, 5, 6]);
    assert_eq!((m.vmo_info(one, 64), m.vmo_info(two, 64)), (2, 1));
    m.vmar_unmap(at, 6 * 4096).unwrap();
    assert_eq!((m.vmo_info(one, 64), m.vmo_info(two, 64)), (0, 0));
}

#[test]
fn vmar_map_alignment() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(2048);
    for log2 in [10, 11, 12, 13, 16, 21, 30, 32] {
        for (offset, length) in [(0, 4096), (4096, 4096), (4096, 1024 * 4096)] {
            let at = m.vmar_map(R | log2 << 24, 0, vmo, offset, length).unwrap();
            assert_eq!(at % (1 << log2), 0, "2^{log2}, {offset:#x} {length:#x}");
        }
    }
    for log2 in [1, 9, 33, 63, 255] {
        assert_eq!(
            m.vmar_map(R | log2 << 24, 0, vmo, 0, 4096),
            Err(Status::INVALID_ARGS),
            "2^{log2}"
        );
    }
    assert_eq!(
        m.vmar_map(R | SPECIFIC | 21 << 24, 4096, vmo, 0, 4096),
        Err(Status::INVALID_ARGS)
    );
}

#[test]
fn vmar_map_range_maps_resident_pages_and_asks_for_nothing() {
    let mut p = paged(2);
    p.m.supply(p.pager, p.vmo, 0..1, 1).unwrap();
    let at = p.m.vmar_map(R | MAP_RANGE, 0, p.vmo, 0, 8192).unwrap();
    assert_eq!(p.m.packets(p.port), []);
    assert_eq!(p.m.peek(at, 1), [1]);
}

#[test]
fn vmar_map_upper_limit() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    for _ in 0..2 {
        let at = m.vmar_map(R | UPPER_LIMIT, 8192, vmo, 0, 4096).unwrap();
        assert!(at + 4096 <= USER_BASE + 8192);
    }
    assert_eq!(
        m.vmar_map(R | UPPER_LIMIT, 8192, vmo, 0, 4096),
        Err(Status::NO_RESOURCES)
    );
    assert!(m.vmar_map(R | UPPER_LIMIT, WHOLE, vmo, 0, 4096).is_ok());
}

#[test]
fn vmar_unmap_rows() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let at = m.map(vmo, 4);
    for (address, length, status) in [
        (at, 0, Status::INVALID_ARGS),
        (at + 1, 4096, Status::INVALID_ARGS),
        (0, 4096, Status::INVALID_ARGS),
        (at, u64::MAX, Status::INVALID_ARGS),
        (USER_END, 4096, Status::INVALID_ARGS),
        (u64::MAX - 4095, 4096, Status::INVALID_ARGS),
        (NOWHERE, 4096, Status::NOT_FOUND),
    ] {
        assert_eq!(m.vmar_unmap(address, length), Err(status), "{address:#x}");
    }
    let vmar = m.main.vmar_handle;
    for (handle, status) in [(BAD, Status::BAD_HANDLE), (vmo, Status::WRONG_TYPE)] {
        assert_eq!(m.call(N::VmarUnmap, &[handle.into(), 1, 0]), status);
    }
    assert_ne!(vmar, vmo);
    m.vmar_unmap(at + 4096, 4096).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 2, "split");
    assert_eq!(m.vmar_unmap(at + 4096, 4096), Err(Status::NOT_FOUND));
    let thread = m.thread();
    for (page, touch) in [
        (0, Touch::Done),
        (3, Touch::Done),
        (1, Touch::Fatal(Status::NOT_FOUND)),
    ] {
        assert_eq!(m.touch(thread, at + page * 4096, Access::Write), touch);
    }
}

#[test]
fn vmar_unmap_of_the_whole_space() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(0, 16).unwrap();
    m.vmar_map(RW, 0, vmo, 0, 1 << 40).unwrap();
    let length = USER_END - USER_BASE;
    assert_eq!(m.vmar_unmap(USER_BASE, length), Ok(()));
    assert_eq!(m.vmar_unmap(USER_BASE, length), Err(Status::NOT_FOUND));
}

/// The call ends, and storage goes, only when page tables have been flushed.
#[test]
fn vmar_unmap_waits_for_the_flush() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.map(vmo, 1);
    m.poke(at, b"x");
    m.handle_close(vmo).unwrap();
    let thread = m.thread();
    m.hold_flushes = true;
    let args = [m.main.vmar_handle.into(), at, 4096];
    let token = m.begin(thread, N::VmarUnmap, &args);
    assert_eq!((m.flushes.len(), m.freed.len()), (1, 0));
    m.flush();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.freed.len(), 1);
}

/// The thread that unmaps ends before the flush: storage still waits for it.
#[test]
fn vmar_unmap_thread_ends_before_the_flush() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.map(vmo, 1);
    m.poke(at, b"x");
    m.handle_close(vmo).unwrap();
    let thread = m.thread();
    m.hold_flushes = true;
    let args = [m.main.vmar_handle.into(), at, 4096];
    m.begin(thread, N::VmarUnmap, &args);
    m.call_on(thread, N::ThreadExit, &[]);
    assert_eq!(m.freed.len(), 0);
    m.flush();
    assert_eq!(m.freed.len(), 1);
}

#[test]
fn vmar_map_overwrite_waits_for_the_flush() {
    let mut m = TestMachine::new();
    let (one, two) = (m.vmo(1), m.vmo(1));
    let at = m.map(one, 1);
    m.hold_flushes = true;
    let thread = m.thread();
    let out = m.alloc(8);
    let vmar = m.main.vmar_handle;
    let args = [
        vmar.into(),
        (RW | OVERWRITE).into(),
        at - USER_BASE,
        two.into(),
        0,
        4096,
        out,
    ];
    let token = m.begin(thread, N::VmarMap, &args);
    m.flush();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.peek_u64(out), at);
}

#[test]
fn vmar_protect_rows() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(4);
    let read_only = m.without(vmo, Rights::WRITE);
    let at = m.map(vmo, 4);
    let other = m.vmar_map(R, 0, read_only, 0, 4096).unwrap();
    m.vmar_unmap(at + 8192, 4096).unwrap();
    for (options, address, length, status) in [
        (2, at, 4096, Status::INVALID_ARGS),
        (X, at, 4096, Status::INVALID_ARGS),
        (R | SPECIFIC, at, 4096, Status::INVALID_ARGS),
        (R | 1 << 24, at, 4096, Status::INVALID_ARGS),
        (R, at, 0, Status::INVALID_ARGS),
        (R, at + 1, 4096, Status::INVALID_ARGS),
        (R, at, u64::MAX, Status::INVALID_ARGS),
        (R, NOWHERE, 4096, Status::NOT_FOUND),
        (R, at, 4 * 4096, Status::NOT_FOUND),
        (R, at + 8192, 8192, Status::NOT_FOUND),
        (R, at + 12288, 8192, Status::NOT_FOUND),
        (R | X, at, 4096, Status::ACCESS_DENIED),
        (RW, other, 4096, Status::ACCESS_DENIED),
    ] {
        let got = m.vmar_protect(options, address, length);
        if address == at + 12288 && got == Ok(()) {
            continue; // something may be mapped right behind
        }
        assert_eq!(got, Err(status), "{options:#x} {address:#x} {length:#x}");
    }
    let no_write = m.without(m.main.vmar_handle, Rights::WRITE);
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (vmo, Status::WRONG_TYPE),
        (no_write, Status::ACCESS_DENIED),
    ] {
        // All else is wrong as well: WRITE without READ, an unaligned address, no length.
        assert_eq!(m.call(N::VmarProtect, &[handle.into(), 2, 1, 0]), status);
    }
}

/// Execute-only becomes readable and executable where page tables cannot have it.
#[test]
fn vmar_map_and_protect_read_if_xom_unsupported() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let thread = m.thread();
    let at = m.vmar_map(XOM, 0, vmo, 0, 4096).unwrap();
    assert_eq!(m.touch(thread, at, Access::Read), Touch::Done);
    m.vmar_protect(0, at, 4096).unwrap();
    assert_eq!(m.kernel.mapped_run(m.main.process, at), None);
    m.vmar_protect(XOM, at, 4096).unwrap();
    assert_eq!(m.touch(thread, at, Access::Read), Touch::Done);
    assert_eq!(
        m.vmar_protect(X | XOM, at, 4096),
        Err(Status::ACCESS_DENIED),
        "the VMO's handle cannot execute"
    );
}

#[test]
fn vmar_protect_takes_and_gives() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(3);
    let at = m.map(vmo, 3);
    m.vmar_protect(R, at + 4096, 4096).unwrap();
    assert_eq!(m.vmo_info(vmo, 64), 3, "split");
    let process = m.main.process;
    let run = |m: &TestMachine, page: u64| {
        let run = m.kernel.mapped_run(process, at + page * 4096).unwrap();
        (run.page, run.write)
    };
    assert_eq!(
        [0, 1, 2].map(|page| run(&m, page)),
        [(0, true), (1, false), (2, true)]
    );
    m.vmar_protect(0, at, 3 * 4096).unwrap();
    assert_eq!(m.kernel.mapped_run(process, at), None, "no access at all");
    m.vmar_protect(RW, at, 3 * 4096).unwrap();
    assert_eq!(
        m.touch(m.main.thread, at + 4096, Access::Write),
        Touch::Done
    );
    m.vmar_protect(R, at, 3 * 4096).unwrap();
    let thread = m.thread();
    assert_eq!(
        m.touch(thread, at, Access::Write),
        Touch::Fatal(Status::ACCESS_DENIED)
    );
}

/// A result's buffer is unmapped while the result waits for its page.
#[test]
fn copy_out_into_a_mapping_that_goes() {
    let mut p = paged(1);
    let at = p.m.map(p.vmo, 1);
    let thread = p.m.thread();
    let token = p.m.begin(thread, N::VmoCreate, &[4096, 0, at]);
    p.m.vmar_unmap(at, 4096).unwrap();
    assert!(p.m.is_blocked(token));
    p.m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(p.m.status(token), Status::INVALID_ARGS);
    assert_eq!(p.m.kernel.usage().len(), 2, "the new VMO is dropped");
}

/// A write under way when its buffer is unmapped and the VMO closed: the storage stays for it.
#[test]
fn copy_out_under_way_when_the_buffer_goes() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.map(vmo, 1);
    m.poke(at, &[0; 8]);
    m.handle_close(vmo).unwrap();
    let (caller, unmapper) = (m.thread(), m.thread());
    m.order = Order::Held;
    let token = m.begin(caller, N::VmoCreate, &[4096, 0, at]);
    let args = [m.main.vmar_handle.into(), at, 4096];
    assert!(m.ends_with(unmapper, N::VmarUnmap, &args, Status::OK));
    assert_eq!(m.freed.len(), 0);
    m.settle();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.freed.len(), 1);
}
