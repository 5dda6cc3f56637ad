//! Address spaces.

use protocol::syscall::SyscallNumber;
use zx::{PAGE_SIZE, Rights};

use crate::row::How::{Cannot, Does};
use crate::world::Arg::{Bad, H, Mapped, N, Nowhere, Out, Out2, Without};
use crate::world::Obj::{Discardable, Event, Physical, Resizable, RootVmar, Vmar, Vmo};
use crate::{args, rows};

const READ: u64 = 1;
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;
const SPECIFIC: u64 = 0x10;
const OVERWRITE: u64 = 0x20;
const CAN_MAP_READ: u64 = 0x80;
const MAP_RANGE: u64 = 0x400;
const NON_RESIZABLE: u64 = 0x800;
const ALLOW_FAULTS: u64 = 0x1000;
const BEYOND_STREAM: u64 = 0x8000;

rows! { ROWS:
    VmarAllocate {
        BAD_HANDLE "the parent" => args![Bad, N(0), N(0), N(PAGE_SIZE), Out, Out2],
        WRONG_TYPE "the parent is no VMAR" => args![H(Event), N(0), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "an option that there is not" => args![H(Vmar), N(1 << 20), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "permissions, which are for mappings" => args![H(Vmar), N(READ), N(0), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "no size" => args![H(Vmar), N(0), N(0), N(0), Out, Out2],
        INVALID_ARGS "an offset without SPECIFIC" => args![H(Vmar), N(0), N(PAGE_SIZE), N(PAGE_SIZE), Out, Out2],
        INVALID_ARGS "a place outside the parent" => args![H(Vmar), N(SPECIFIC), N(16 * PAGE_SIZE), N(PAGE_SIZE), Out, Out2],
        NO_RESOURCES "larger than the parent" => args![H(Vmar), N(0), N(0), N(17 * PAGE_SIZE), Out, Out2],
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
        NO_RESOURCES "no room" => args![H(Vmar), N(READ), N(0), H(Vmo), N(0), N(17 * PAGE_SIZE), Out],
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
        BAD_STATE "a gap" => Does(|w| {
            let (at, root) = (w.mapped()?, w.handle(RootVmar)?);
            w.calls(SyscallNumber::VmarUnmap, [root.into(), at, PAGE_SIZE]).ok()?;
            Ok(w.calls(SyscallNumber::VmarOpRange, [root.into(), 1, at, PAGE_SIZE]))
        }),
    }
}
