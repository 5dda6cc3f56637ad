//! Child VMOs.

use protocol::syscall::SyscallNumber;
use zx::{PAGE_SIZE, Rights};

use super::NO_HOST_MEMORY;
use crate::row::How::{Cannot, Does};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::Obj::{
    Contiguous, Discardable, Event, Paged, PagedClone, Physical, Resizable, Slice, Vmo,
};
use crate::{args, rows};

const SNAPSHOT: u64 = 1;
const RESIZABLE: u64 = 4;
const SLICE: u64 = 8;
const ALOW: u64 = 0x10;
const NO_WRITE: u64 = 0x20;
const REFERENCE: u64 = 0x40;
const MODIFIED: u64 = 0x80;

rows! { ROWS:
    VmoCreateChild {
        OUT_OF_RANGE "larger than any VMO" => args![Bad, N(0), N(0), N(0xFFFF_FFFF_FFFC_1000), Out],
        INVALID_ARGS "NO_WRITE and RESIZABLE" => args![Bad, N(NO_WRITE | RESIZABLE | SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        BAD_HANDLE "the value names no handle" => args![Bad, N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        WRONG_TYPE "not a VMO" => args![H(Event), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the handle lacks DUPLICATE" => args![Without(Vmo, Rights::DUPLICATE), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the handle lacks READ" => args![Without(Vmo, Rights::READ), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        ACCESS_DENIED "a resizable reference through a handle without RESIZE" => args![Without(Resizable, Rights::RESIZE), N(REFERENCE | RESIZABLE), N(0), N(0), Out],
        NOT_SUPPORTED "of a discardable VMO" => args![H(Discardable), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "no type" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "two types" => args![H(Vmo), N(SNAPSHOT | SLICE), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "an option that there is not" => args![H(Vmo), N(SNAPSHOT | 0x100), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "a snapshot at an offset that is not whole pages" => args![H(Vmo), N(SNAPSHOT), N(1), N(PAGE_SIZE), Out],
        OUT_OF_RANGE "a snapshot whose range overflows" => args![H(Vmo), N(SNAPSHOT), N(u64::MAX - 4095), N(PAGE_SIZE), Out],
        INVALID_ARGS "a snapshot of a contiguous VMO" => args![H(Contiguous), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "a snapshot of a physical VMO" => args![H(Physical), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "a snapshot of a pager's VMO" => args![H(Paged), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "a snapshot of a clone of a pager's VMO" => args![H(PagedClone), N(SNAPSHOT), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "SNAPSHOT_MODIFIED of a slice of a clone" => Does(|w| {
            let (clone, out) = (w.handle(PagedClone)?, w.out());
            let slice = w.makes(SyscallNumber::VmoCreateChild, [clone.into(), SLICE, 0, PAGE_SIZE, out])?;
            let status = w.calls(SyscallNumber::VmoCreateChild, [slice.into(), MODIFIED, 0, PAGE_SIZE, out]);
            w.calls(SyscallNumber::HandleClose, [slice.into()]).ok()?;
            Ok(status)
        }),
        BAD_STATE "a snapshot of a VMO that is not cached" => Does(|w| {
            let (vmo, out) = (w.handle(Vmo)?, w.out());
            w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]).ok()?;
            Ok(w.calls(SyscallNumber::VmoCreateChild, [vmo.into(), SNAPSHOT, 0, PAGE_SIZE, out]))
        }),
        BAD_STATE "a snapshot of a VMO with a pinned page" => Does(|w| {
            let (vmo, out) = (w.pinned(Vmo)?, w.out());
            let status = w.calls(SyscallNumber::VmoCreateChild, [vmo.into(), SNAPSHOT, 0, PAGE_SIZE, out]);
            w.unpin()?;
            Ok(status)
        }),
        INVALID_ARGS "AT_LEAST_ON_WRITE at an offset that is not whole pages" => args![H(Paged), N(ALOW), N(1), N(PAGE_SIZE), Out],
        INVALID_ARGS "a resizable slice" => args![H(Vmo), N(SLICE | RESIZABLE), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "a slice at an offset that is not whole pages" => args![H(Vmo), N(SLICE), N(1), N(PAGE_SIZE), Out],
        INVALID_ARGS "a slice that is not wholly inside" => args![H(Vmo), N(SLICE), N(PAGE_SIZE), N(2 * PAGE_SIZE), Out],
        NOT_SUPPORTED "a slice of a resizable VMO" => args![H(Resizable), N(SLICE), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "a reference with an offset" => args![H(Vmo), N(REFERENCE), N(PAGE_SIZE), N(0), Out],
        INVALID_ARGS "a reference with a size" => args![H(Vmo), N(REFERENCE), N(0), N(PAGE_SIZE), Out],
        NOT_SUPPORTED "a reference to a slice" => args![H(Slice), N(REFERENCE), N(0), N(0), Out],
        NOT_SUPPORTED "a reference to a contiguous VMO" => args![H(Contiguous), N(REFERENCE), N(0), N(0), Out],
        NOT_SUPPORTED "a reference to a physical VMO" => args![H(Physical), N(REFERENCE), N(0), N(0), Out],
        ACCESS_DENIED "a resizable reference to a VMO that is not resizable: its handle has no RESIZE" => args![H(Vmo), N(REFERENCE | RESIZABLE), N(0), N(0), Out],
        NOT_SUPPORTED "a resizable reference to a VMO that is not resizable, through a handle with RESIZE" => Cannot("no handle to such a VMO has RESIZE"),
        INVALID_ARGS "the result cannot be written" => args![H(Vmo), N(SNAPSHOT), N(0), N(PAGE_SIZE), Nowhere],
        NO_MEMORY "no memory" => Cannot(NO_HOST_MEMORY),
    }
}
