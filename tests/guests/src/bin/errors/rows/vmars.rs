//! Address spaces.

use protocol::RawHandle;
use protocol::maps::TOPIC_VMAR;
use protocol::syscall::SyscallNumber;
use test_guests::Failure;
use zx::{PAGE_SIZE, Rights};

use crate::row::How::{Cannot, Does};
use crate::world::Arg::{Bad, H, Mapped, N, Nowhere, Out, Out2, Without};
use crate::world::Obj::{Discardable, Event, Physical, Resizable, RootVmar, Vmar, Vmo};
use crate::world::World;
use crate::{args, rows};

const READ: u64 = 1;
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;
const SPECIFIC: u64 = 0x10;
const OVERWRITE: u64 = 0x20;
const COMPACT: u64 = 8;
const CAN_MAP_READ: u64 = 0x80;
const CAN_MAP_WRITE: u64 = 0x100;
const UPPER_LIMIT: u64 = 0x2000;
const MAP_RANGE: u64 = 0x400;
const NON_RESIZABLE: u64 = 0x800;
const ALLOW_FAULTS: u64 = 0x1000;
const BEYOND_STREAM: u64 = 0x8000;

/// A VMAR of two pages at the start of the row's, and its address.
fn child(w: &mut World<'_>) -> Result<(RawHandle, u64), Failure> {
    let (vmar, out) = (w.handle(Vmar)?, w.out());
    let options = SPECIFIC | CAN_MAP_READ | CAN_MAP_WRITE;
    let args = [vmar.into(), options, 0, 2 * PAGE_SIZE, out, out + 8];
    let child = w.makes(SyscallNumber::VmarAllocate, args)?;
    let info = [child.into(), TOPIC_VMAR.into(), out, 16];
    w.calls(SyscallNumber::ObjectGetInfo, info).ok()?;
    Ok((child, w.result()))
}

/// The same with a page of the row's VMO in it, readable.
fn mapped_child(w: &mut World<'_>) -> Result<(RawHandle, u64), Failure> {
    let (child, _) = child(w)?;
    let (vmo, out) = (w.handle(Vmo)?, w.out());
    w.calls(
        SyscallNumber::VmarMap,
        [child.into(), READ, 0, vmo.into(), 0, PAGE_SIZE, out],
    )
    .ok()?;
    Ok((child, w.result()))
}

/// A VMAR in the row's that may do nothing.
fn plain_child(w: &mut World<'_>) -> Result<RawHandle, Failure> {
    let (vmar, out) = (w.handle(Vmar)?, w.out());
    w.makes(
        SyscallNumber::VmarAllocate,
        [vmar.into(), 0, 0, PAGE_SIZE, out, out + 8],
    )
}

rows! { ROWS:
    VmarAllocate {
        BAD_HANDLE "the parent" => args![Bad, N(0), N(0), N(PAGE_SIZE), Out, Out2],
        WRONG_TYPE "the parent is no VMAR" => args![H(Event), N(0), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "an option that there is not" => args![H(Vmar), N(1 << 20), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "permissions, which are for mappings" => args![H(Vmar), N(READ), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "no size" => args![H(Vmar), N(0), N(0), N(0), Out, Out2],
        INVALID_ARGS "an offset without SPECIFIC" => args![H(Vmar), N(0), N(PAGE_SIZE), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "a place outside the parent" => args![H(Vmar), N(SPECIFIC), N(16 * PAGE_SIZE), N(PAGE_SIZE), Out, Out2],
        ACCESS_DENIED "CAN_MAP_READ through a handle that lacks READ" => args![Without(RootVmar, Rights::READ), N(CAN_MAP_READ), N(0), N(PAGE_SIZE), Out, Out2],
        ACCESS_DENIED "SPECIFIC in a VMAR that may not" => Does(|w| {
            let vmar = plain_child(w)?;
            let (out, place) = (w.out(), SPECIFIC);
            let status = w.calls(SyscallNumber::VmarAllocate, [vmar.into(), place, 0, PAGE_SIZE, out, out + 8]);
            w.calls(SyscallNumber::HandleClose, [vmar.into()]).ok()?;
            Ok(status)
        }),
        INVALID_ARGS "a size that is not whole pages" => args![H(Vmar), N(0), N(0), N(1), Out, Out2],
        INVALID_ARGS "SPECIFIC_OVERWRITE, which is for mappings" => args![H(Vmar), N(OVERWRITE), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "SPECIFIC and OFFSET_IS_UPPER_LIMIT" => args![H(Vmar), N(SPECIFIC | UPPER_LIMIT), N(PAGE_SIZE), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "larger than the parent" => args![H(Vmar), N(0), N(0), N(17 * PAGE_SIZE), Out, Out2],
        NO_RESOURCES "no room" => Does(|w| {
            let (vmar, out) = (w.handle(Vmar)?, w.out());
            let args = [vmar.into(), 0, 0, 9 * PAGE_SIZE, out, out + 8];
            let child = w.makes(SyscallNumber::VmarAllocate, args)?;
            let status = w.calls(SyscallNumber::VmarAllocate, args);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        ALREADY_EXISTS "the place is taken" => Does(|w| {
            let (vmar, out) = (w.handle(Vmar)?, w.out());
            let args = [vmar.into(), SPECIFIC, 0, PAGE_SIZE, out, out + 8];
            let child = w.makes(SyscallNumber::VmarAllocate, args)?;
            let status = w.calls(SyscallNumber::VmarAllocate, args);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "the parent is destroyed" => Does(|w| {
            let (vmar, out) = (w.handle(Vmar)?, w.out());
            w.calls(SyscallNumber::VmarDestroy, [vmar.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmarAllocate, [vmar.into(), 0, 0, PAGE_SIZE, out, out + 8]))
        }),
        INVALID_ARGS "the results cannot be written" => args![H(Vmar), N(0), N(0), N(PAGE_SIZE), Nowhere, Out2],
    }
    VmarDestroy {
        BAD_HANDLE "the value names no handle" => args![Bad],
        WRONG_TYPE "not a VMAR" => args![H(Event)],
        ACCESS_DENIED "the handle lacks OP_CHILDREN" => args![Without(Vmar, Rights::OP_CHILDREN)],
        NOT_SUPPORTED "the root VMAR" => args![H(RootVmar)],
        BAD_STATE "destroyed already" => Does(|w| {
            let vmar = w.handle(Vmar)?;
            w.calls(SyscallNumber::VmarDestroy, [vmar.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmarDestroy, [vmar.into()]))
        }),
    }
    VmarMap {
        BAD_HANDLE "the VMAR" => args![Bad, N(READ), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        WRONG_TYPE "not a VMAR" => args![H(Event), N(READ), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        BAD_HANDLE "the VMO" => args![H(Vmar), N(READ), N(0), Bad, N(0), N(PAGE_SIZE), Out],
        WRONG_TYPE "not a VMO" => args![H(Vmar), N(READ), N(0), H(Event), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "FAULT_BEYOND_STREAM_SIZE of a physical VMO" => args![H(Vmar), N(READ | BEYOND_STREAM | ALLOW_FAULTS), N(0), H(Physical), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the VMO's handle lacks MAP" => args![H(Vmar), N(READ), N(0), Without(Vmo, Rights::MAP), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "WRITE without READ" => args![H(Vmar), N(WRITE), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "EXECUTE without READ" => args![H(Vmar), N(EXECUTE), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "MAP_RANGE and SPECIFIC_OVERWRITE" => args![H(Vmar), N(READ | MAP_RANGE | OVERWRITE), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "CAN_MAP_READ, which is for VMARs" => args![H(Vmar), N(READ | CAN_MAP_READ), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "an option that there is not" => args![H(Vmar), N(READ | 1 << 20), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "WRITE through a VMO handle that lacks it" => args![H(Vmar), N(READ | WRITE), N(0), Without(Vmo, Rights::WRITE), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "EXECUTE through a VMO handle that lacks it" => args![H(RootVmar), N(READ | EXECUTE), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "WRITE through a VMAR handle that lacks it" => args![Without(RootVmar, Rights::WRITE), N(READ | WRITE), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "FAULT_BEYOND_STREAM_SIZE without ALLOW_FAULTS" => args![H(Vmar), N(READ | BEYOND_STREAM), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "no length" => args![H(Vmar), N(READ), N(0), H(Vmo), N(0), N(0), Out],
        INVALID_ARGS "a VMO offset that is not whole pages" => args![H(Vmar), N(READ), N(0), H(Vmo), N(1), N(PAGE_SIZE), Out],
        OUT_OF_RANGE "a VMO range that overflows" => args![H(Vmar), N(READ), N(0), H(Vmo), N(u64::MAX - 4095), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "REQUIRE_NON_RESIZABLE of a resizable VMO" => args![H(Vmar), N(READ | NON_RESIZABLE), N(0), H(Resizable), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "a discardable VMO without ALLOW_FAULTS" => args![H(Vmar), N(READ), N(0), H(Discardable), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "an offset without SPECIFIC" => args![H(Vmar), N(READ), N(PAGE_SIZE), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "a place that is not whole pages" => args![H(Vmar), N(READ | SPECIFIC), N(1), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "a place outside the VMAR" => args![H(Vmar), N(READ | SPECIFIC), N(16 * PAGE_SIZE), H(Vmo), N(0), N(PAGE_SIZE), Out],
        ALREADY_EXISTS "the place is taken" => Does(|w| {
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.handle(Vmo)?, w.out());
            let args = [vmar.into(), READ | SPECIFIC, 0, vmo.into(), 0, PAGE_SIZE, out];
            w.calls(SyscallNumber::VmarMap, args).ok()?;
            Ok(w.calls(SyscallNumber::VmarMap, args))
        }),
        ACCESS_DENIED "SPECIFIC in a VMAR that may not" => Does(|w| {
            let (vmar, vmo, out) = (plain_child(w)?, w.handle(Vmo)?, w.out());
            let status = w.calls(SyscallNumber::VmarMap, [vmar.into(), SPECIFIC, 0, vmo.into(), 0, PAGE_SIZE, out]);
            w.calls(SyscallNumber::HandleClose, [vmar.into()]).ok()?;
            Ok(status)
        }),
        INVALID_ARGS "COMPACT, which is for VMARs" => args![H(Vmar), N(READ | COMPACT), N(0), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "SPECIFIC and OFFSET_IS_UPPER_LIMIT" => args![H(Vmar), N(READ | SPECIFIC | UPPER_LIMIT), N(PAGE_SIZE), H(Vmo), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "SPECIFIC_OVERWRITE over a child VMAR" => Does(|w| {
            let (child, _) = child(w)?;
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.handle(Vmo)?, w.out());
            let status = w.calls(SyscallNumber::VmarMap, [vmar.into(), READ | OVERWRITE, 0, vmo.into(), 0, PAGE_SIZE, out]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        OUT_OF_RANGE "a physical VMO beyond its end" => args![H(Vmar), N(READ), N(0), H(Physical), N(1 << 30), N(PAGE_SIZE), Out],
        OUT_OF_RANGE "a length that overflows" => args![H(Vmar), N(READ), N(0), H(Vmo), N(0), N(u64::MAX), Out],
        INVALID_ARGS "larger than the VMAR" => args![H(Vmar), N(READ), N(0), H(Vmo), N(0), N(17 * PAGE_SIZE), Out],
        NO_RESOURCES "no room" => Does(|w| {
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.handle(Vmo)?, w.out());
            let args = [vmar.into(), READ, 0, vmo.into(), 0, 9 * PAGE_SIZE, out];
            w.calls(SyscallNumber::VmarMap, args).ok()?;
            Ok(w.calls(SyscallNumber::VmarMap, args))
        }),
        BAD_STATE "the VMAR is destroyed" => Does(|w| {
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.handle(Vmo)?, w.out());
            w.calls(SyscallNumber::VmarDestroy, [vmar.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmarMap, [vmar.into(), READ, 0, vmo.into(), 0, PAGE_SIZE, out]))
        }),
        INVALID_ARGS "the result cannot be written" => args![H(Vmar), N(READ), N(0), H(Vmo), N(0), N(PAGE_SIZE), Nowhere],
        NO_MEMORY "no page tables" => Cannot("they are made when a mapping is touched: a touch that finds none is an exception with this status"),
    }
    VmarUnmap {
        BAD_HANDLE "the value names no handle" => args![Bad, Mapped, N(PAGE_SIZE)],
        WRONG_TYPE "not a VMAR" => args![H(Event), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "no length" => args![H(RootVmar), Mapped, N(0)],
        INVALID_ARGS "an address that is not whole pages" => args![H(RootVmar), N(0x20_0001), N(PAGE_SIZE)],
        INVALID_ARGS "outside the VMAR" => args![H(Vmar), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "a part of a child VMAR" => Does(|w| {
            let (child, at) = child(w)?;
            let vmar = w.handle(Vmar)?;
            let status = w.calls(SyscallNumber::VmarUnmap, [vmar.into(), at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        INVALID_ARGS "a child VMAR through a handle that lacks OP_CHILDREN" => Does(|w| {
            let (child, at) = child(w)?;
            let vmar = w.without(Vmar, Rights::OP_CHILDREN)?;
            let status = w.calls(SyscallNumber::VmarUnmap, [vmar.into(), at, 2 * PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "the VMAR is destroyed" => Does(|w| {
            let vmar = w.handle(Vmar)?;
            w.calls(SyscallNumber::VmarDestroy, [vmar.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmarUnmap, [vmar.into(), 0x20_0000, PAGE_SIZE]))
        }),
        NOT_FOUND "nothing is mapped there" => Does(|w| {
            let (at, root) = (w.mapped()?, w.handle(RootVmar)?);
            w.calls(SyscallNumber::VmarUnmap, [root.into(), at, PAGE_SIZE]).ok()?;
            Ok(w.calls(SyscallNumber::VmarUnmap, [root.into(), at, PAGE_SIZE]))
        }),
    }
    VmarProtect {
        BAD_HANDLE "the value names no handle" => args![Bad, N(READ), Mapped, N(PAGE_SIZE)],
        WRONG_TYPE "not a VMAR" => args![H(Event), N(READ), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "an option that is no permission" => args![H(RootVmar), N(READ | SPECIFIC), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "WRITE without READ" => args![H(RootVmar), N(WRITE), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "no length" => args![H(RootVmar), N(READ), Mapped, N(0)],
        INVALID_ARGS "an address that is not whole pages" => args![H(RootVmar), N(READ), N(0x20_0001), N(PAGE_SIZE)],
        ACCESS_DENIED "the VMAR's handle lacks the permission's right" => args![Without(RootVmar, Rights::WRITE), N(READ | WRITE), Mapped, N(PAGE_SIZE)],
        ACCESS_DENIED "the mapping was made through a VMO handle without the right" => args![H(RootVmar), N(READ | EXECUTE), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "outside the VMAR" => args![H(Vmar), N(READ), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "a child VMAR through a handle that lacks OP_CHILDREN" => Does(|w| {
            let (child, at) = mapped_child(w)?;
            let vmar = w.without(Vmar, Rights::OP_CHILDREN)?;
            let status = w.calls(SyscallNumber::VmarProtect, [vmar.into(), 0, at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        ACCESS_DENIED "more than a child VMAR's mapping has" => Does(|w| {
            let (child, at) = mapped_child(w)?;
            let vmar = w.handle(Vmar)?;
            let status = w.calls(SyscallNumber::VmarProtect, [vmar.into(), READ | WRITE, at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "the VMAR is destroyed" => Does(|w| {
            let vmar = w.handle(Vmar)?;
            w.calls(SyscallNumber::VmarDestroy, [vmar.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmarProtect, [vmar.into(), READ, 0x20_0000, PAGE_SIZE]))
        }),
        NOT_FOUND "a gap" => Does(|w| {
            let (at, root) = (w.mapped()?, w.handle(RootVmar)?);
            w.calls(SyscallNumber::VmarUnmap, [root.into(), at, PAGE_SIZE]).ok()?;
            Ok(w.calls(SyscallNumber::VmarProtect, [root.into(), READ, at, PAGE_SIZE]))
        }),
    }
    VmarOpRange {
        BAD_HANDLE "the value names no handle" => args![Bad, N(1), Mapped, N(PAGE_SIZE)],
        WRONG_TYPE "not a VMAR" => args![H(Event), N(1), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "an operation that there is not" => args![H(RootVmar), N(99), Mapped, N(PAGE_SIZE)],
        ACCESS_DENIED "COMMIT through a VMAR handle without WRITE" => args![Without(RootVmar, Rights::WRITE), N(1), Mapped, N(PAGE_SIZE)],
        ACCESS_DENIED "PREFETCH through a VMAR handle without READ" => args![Without(RootVmar, Rights::READ), N(14), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "an address that is not whole pages" => args![H(RootVmar), N(1), N(0x20_0001), N(PAGE_SIZE)],
        INVALID_ARGS "a buffer" => args![H(RootVmar), N(1), Mapped, N(PAGE_SIZE), Out, N(8)],
        INVALID_ARGS "no length" => args![H(RootVmar), N(1), Mapped, N(0)],
        OUT_OF_RANGE "outside the VMAR" => args![H(Vmar), N(1), Mapped, N(PAGE_SIZE)],
        INVALID_ARGS "COMMIT in a child VMAR" => Does(|w| {
            let (child, at) = mapped_child(w)?;
            let vmar = w.handle(Vmar)?;
            let status = w.calls(SyscallNumber::VmarOpRange, [vmar.into(), 1, at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        INVALID_ARGS "a hint for a child VMAR through a handle that lacks OP_CHILDREN" => Does(|w| {
            let (child, at) = mapped_child(w)?;
            let vmar = w.without(Vmar, Rights::OP_CHILDREN)?;
            let status = w.calls(SyscallNumber::VmarOpRange, [vmar.into(), 12, at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        ACCESS_DENIED "COMMIT of a mapping made through a VMO handle without WRITE" => Does(|w| {
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.without(Vmo, Rights::WRITE)?, w.out());
            w.calls(SyscallNumber::VmarMap, [vmar.into(), READ, 0, vmo.into(), 0, PAGE_SIZE, out]).ok()?;
            let at = w.result();
            Ok(w.calls(SyscallNumber::VmarOpRange, [vmar.into(), 1, at, PAGE_SIZE]))
        }),
        OUT_OF_RANGE "COMMIT of what is mapped beyond the VMO's end" => Does(|w| {
            let (vmar, vmo, out) = (w.handle(Vmar)?, w.handle(Vmo)?, w.out());
            w.calls(SyscallNumber::VmarMap, [vmar.into(), READ, 0, vmo.into(), 0, 9 * PAGE_SIZE, out]).ok()?;
            let at = w.result();
            Ok(w.calls(SyscallNumber::VmarOpRange, [vmar.into(), 1, at, 9 * PAGE_SIZE]))
        }),
        BAD_STATE "the VMAR is destroyed" => Does(|w| {
            let (child, at) = child(w)?;
            w.calls(SyscallNumber::VmarDestroy, [child.into()]).ok()?;
            let status = w.calls(SyscallNumber::VmarOpRange, [child.into(), 1, at, PAGE_SIZE]);
            w.calls(SyscallNumber::HandleClose, [child.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "a gap" => Does(|w| {
            let (at, root) = (w.mapped()?, w.handle(RootVmar)?);
            w.calls(SyscallNumber::VmarUnmap, [root.into(), at, PAGE_SIZE]).ok()?;
            Ok(w.calls(SyscallNumber::VmarOpRange, [root.into(), 1, at, PAGE_SIZE]))
        }),
    }
}
