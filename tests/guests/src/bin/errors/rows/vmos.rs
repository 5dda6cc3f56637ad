//! VMOs: their life, content, size and range operations.

use protocol::syscall::SyscallNumber;
use zx::{PAGE_SIZE, Rights};

use super::NO_HOST_MEMORY;
use crate::row::How::{Cannot, Does, Limited, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::LARGE;
use crate::world::Obj::{
    Contiguous, Discardable, Event, IommuGrant, Large, Paged, PagedClone, Pager, Physical,
    Resizable, Slice, Snapshot, Unbounded, Vmo,
};
use crate::{args, rows};

const TOO_LARGE: u64 = 0xFFFF_FFFF_FFFC_1000;
const COMMIT: u64 = 1;
const DECOMMIT: u64 = 2;
const LOCK: u64 = 3;
const UNLOCK: u64 = 4;
const SYNC: u64 = 6;
const INVALIDATE: u64 = 7;
const CLEAN: u64 = 8;
const ZERO: u64 = 10;
const TRY_LOCK: u64 = 11;
const DONT_NEED: u64 = 12;
const ALWAYS_NEED: u64 = 13;
const PREFETCH: u64 = 14;

rows! { ROWS:
    VmoCreate {
        ACCESS_DENIED "the job's policy denies NEW_VMO" => Shown("seeds-denied.policy.vmo_create_denied"),
        INVALID_ARGS "an option that there is not" => args![N(4096), N(1 << 9), Out],
        INVALID_ARGS "TRAP_DIRTY, which is for pagers" => args![N(4096), N(8), Out],
        INVALID_ARGS "RESIZABLE and UNBOUNDED" => args![N(0), N(2 | 16), Out],
        OUT_OF_RANGE "larger than any VMO" => args![N(TOO_LARGE), N(0), Out],
        INVALID_ARGS "the result cannot be written" => args![N(4096), N(0), Nowhere],
        NO_MEMORY "no memory" => Cannot("a VMO takes none before it is touched"),
    }
    VmoRead {
        BAD_HANDLE "the value names no handle" => args![Bad, Out, N(0), N(1)],
        WRONG_TYPE "not a VMO" => args![H(Event), Out, N(0), N(1)],
        ACCESS_DENIED "the handle lacks READ" => args![Without(Vmo, Rights::READ), Out, N(0), N(1)],
        OUT_OF_RANGE "past the end" => args![H(Vmo), Out, N(2 * PAGE_SIZE), N(1)],
        OUT_OF_RANGE "the range overflows" => args![H(Vmo), Out, N(1), N(u64::MAX)],
        OUT_OF_RANGE "nothing, beyond the end" => args![H(Vmo), Out, N(2 * PAGE_SIZE + 1), N(0)],
        NOT_FOUND "the buffer cannot be written" => args![H(Vmo), Nowhere, N(0), N(1)],
        NOT_SUPPORTED "a physical VMO" => args![H(Physical), Out, N(0), N(1)],
        BAD_STATE "not cached" => Does(|w| {
            let (vmo, out) = (w.handle(Vmo)?, w.out());
            w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]).ok()?;
            Ok(w.calls(SyscallNumber::VmoRead, [vmo.into(), out, 0, 1]))
        }),
        BAD_STATE "the pager has detached, and the page is absent" => Does(|w| {
            let (pager, vmo, out) = (w.handle(Pager)?, w.handle(Paged)?, w.out());
            w.calls(SyscallNumber::PagerDetachVmo, [pager.into(), vmo.into()]).ok()?;
            Ok(w.calls(SyscallNumber::VmoRead, [vmo.into(), out, 0, 1]))
        }),
        IO "the pager fails it: so with each code it may give" => Shown("pager.FailErrorCode"),
        NO_MEMORY "the limit of --memory leaves nothing for the buffer's pages" => Limited(|w| {
            let (vmo, at) = (w.handle(Unbounded)?, w.maps(Large, LARGE)?);
            Ok(w.calls(SyscallNumber::VmoRead, [vmo.into(), at, 0, LARGE]))
        }),
    }
    VmoWrite {
        BAD_HANDLE "the value names no handle" => args![Bad, Out, N(0), N(1)],
        WRONG_TYPE "not a VMO" => args![H(Event), Out, N(0), N(1)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Vmo, Rights::WRITE), Out, N(0), N(1)],
        OUT_OF_RANGE "past the end" => args![H(Vmo), Out, N(2 * PAGE_SIZE), N(1)],
        NOT_FOUND "the buffer cannot be read" => args![H(Vmo), Nowhere, N(0), N(1)],
        NOT_SUPPORTED "a physical VMO" => args![H(Physical), Out, N(0), N(1)],
        BAD_STATE "not cached" => Does(|w| {
            let (vmo, out) = (w.handle(Vmo)?, w.out());
            w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]).ok()?;
            Ok(w.calls(SyscallNumber::VmoWrite, [vmo.into(), out, 0, 1]))
        }),
        NO_MEMORY "the limit of --memory leaves no page" => Limited(|w| {
            let (vmo, at) = (w.handle(Unbounded)?, w.maps(Large, LARGE)?);
            Ok(w.calls(SyscallNumber::VmoWrite, [vmo.into(), at, 0, LARGE]))
        }),
    }
    VmoGetSize {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not a VMO" => args![H(Event), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Vmo), Nowhere],
    }
    VmoSetSize {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0)],
        WRONG_TYPE "not a VMO" => args![H(Event), N(0)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Resizable, Rights::WRITE), N(0)],
        UNAVAILABLE "not resizable" => args![H(Vmo), N(0)],
        UNAVAILABLE "unbounded" => args![H(Unbounded), N(0)],
        UNAVAILABLE "contiguous" => args![H(Contiguous), N(0)],
        UNAVAILABLE "a slice" => args![H(Slice), N(0)],
        ACCESS_DENIED "resizable, but the handle lacks RESIZE" => args![Without(Resizable, Rights::RESIZE), N(0)],
        OUT_OF_RANGE "larger than any VMO" => args![H(Resizable), N(TOO_LARGE)],
        BAD_STATE "a pinned page would be cut" => Does(|w| {
            let vmo = w.pinned(Resizable)?;
            let status = w.calls(SyscallNumber::VmoSetSize, [vmo.into(), 0]);
            w.unpin()?;
            Ok(status)
        }),
    }
    VmoGetStreamSize {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not a VMO" => args![H(Event), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Vmo), Nowhere],
    }
    VmoSetStreamSize {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0)],
        WRONG_TYPE "not a VMO" => args![H(Event), N(0)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Vmo, Rights::WRITE), N(0)],
        NOT_SUPPORTED "a physical VMO" => args![H(Physical), N(0)],
        NOT_SUPPORTED "a contiguous VMO" => args![H(Contiguous), N(0)],
        OUT_OF_RANGE "above the VMO's size" => args![H(Vmo), N(2 * PAGE_SIZE + 1)],
    }
    VmoOpRange {
        INVALID_ARGS "an operation that there is not" => args![H(Vmo), N(99), N(0), N(0)],
        INVALID_ARGS "the retired operation 5" => args![H(Vmo), N(5), N(0), N(0)],
        BAD_HANDLE "the value names no handle" => args![Bad, N(COMMIT), N(0), N(0)],
        WRONG_TYPE "not a VMO" => args![H(Event), N(COMMIT), N(0), N(0)],
        ACCESS_DENIED "COMMIT without WRITE" => args![Without(Vmo, Rights::WRITE), N(COMMIT), N(0), N(PAGE_SIZE)],
        OUT_OF_RANGE "COMMIT past the end" => args![H(Vmo), N(COMMIT), N(PAGE_SIZE), N(PAGE_SIZE + 1)],
        OUT_OF_RANGE "COMMIT of a range that overflows" => args![H(Vmo), N(COMMIT), N(PAGE_SIZE), N(u64::MAX)],
        NOT_SUPPORTED "COMMIT of a physical VMO" => args![H(Physical), N(COMMIT), N(0), N(PAGE_SIZE)],
        ACCESS_DENIED "DECOMMIT without WRITE" => args![Without(Vmo, Rights::WRITE), N(DECOMMIT), N(0), N(PAGE_SIZE)],
        OUT_OF_RANGE "DECOMMIT past the end" => args![H(Vmo), N(DECOMMIT), N(PAGE_SIZE), N(2 * PAGE_SIZE)],
        INVALID_ARGS "DECOMMIT of a part of a page" => args![H(Vmo), N(DECOMMIT), N(1), N(PAGE_SIZE - 1)],
        NOT_SUPPORTED "DECOMMIT of a pager's VMO" => args![H(Paged), N(DECOMMIT), N(0), N(PAGE_SIZE)],
        NOT_SUPPORTED "DECOMMIT of a snapshot" => args![H(Snapshot), N(DECOMMIT), N(0), N(PAGE_SIZE)],
        NOT_SUPPORTED "DECOMMIT of a clone of a pager's VMO" => args![H(PagedClone), N(DECOMMIT), N(0), N(PAGE_SIZE)],
        NOT_SUPPORTED "DECOMMIT of a contiguous VMO" => args![H(Contiguous), N(DECOMMIT), N(0), N(PAGE_SIZE)],
        BAD_STATE "DECOMMIT of a pinned page" => Does(|w| {
            let vmo = w.pinned(Vmo)?;
            let status = w.calls(SyscallNumber::VmoOpRange, [vmo.into(), DECOMMIT, 0, PAGE_SIZE]);
            w.unpin()?;
            Ok(status)
        }),
        ACCESS_DENIED "ZERO without WRITE" => args![Without(Vmo, Rights::WRITE), N(ZERO), N(0), N(1)],
        OUT_OF_RANGE "ZERO past the end" => args![H(Vmo), N(ZERO), N(PAGE_SIZE), N(PAGE_SIZE + 1)],
        BAD_STATE "ZERO of a VMO that is not cached" => Does(|w| {
            let vmo = w.handle(Vmo)?;
            w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]).ok()?;
            Ok(w.calls(SyscallNumber::VmoOpRange, [vmo.into(), ZERO, 0, 1]))
        }),
        ACCESS_DENIED "LOCK without READ or WRITE" => args![Without(Discardable, Rights::READ.union(Rights::WRITE)), N(LOCK), N(0), N(2 * PAGE_SIZE), Out, N(32)],
        NOT_SUPPORTED "LOCK of a VMO that is not discardable" => args![H(Vmo), N(LOCK), N(0), N(2 * PAGE_SIZE), Out, N(32)],
        OUT_OF_RANGE "LOCK of a part" => args![H(Discardable), N(LOCK), N(0), N(PAGE_SIZE), Out, N(32)],
        INVALID_ARGS "LOCK with a buffer of less than 32 bytes" => args![H(Discardable), N(LOCK), N(0), N(2 * PAGE_SIZE), Out, N(31)],
        INVALID_ARGS "LOCK with a buffer that cannot be written" => args![H(Discardable), N(LOCK), N(0), N(2 * PAGE_SIZE), Nowhere, N(32)],
        NOT_SUPPORTED "TRY_LOCK of a VMO that is not discardable" => args![H(Vmo), N(TRY_LOCK), N(0), N(2 * PAGE_SIZE)],
        OUT_OF_RANGE "TRY_LOCK of a part" => args![H(Discardable), N(TRY_LOCK), N(PAGE_SIZE), N(PAGE_SIZE)],
        UNAVAILABLE "TRY_LOCK of a discarded VMO" => Limited(|w| {
            let (vmo, large, out) = (w.handle(Discardable)?, w.handle(Large)?, w.out());
            let lock = [vmo.into(), LOCK, 0, 2 * PAGE_SIZE, out, 32];
            w.calls(SyscallNumber::VmoOpRange, lock).ok()?;
            w.calls(SyscallNumber::VmoWrite, [vmo.into(), out, 0, 8]).ok()?;
            let unlock = [vmo.into(), UNLOCK, 0, 2 * PAGE_SIZE];
            w.calls(SyscallNumber::VmoOpRange, unlock).ok()?;
            w.calls(SyscallNumber::VmoOpRange, [large.into(), COMMIT, 0, LARGE]);
            let try_lock = [vmo.into(), TRY_LOCK, 0, 2 * PAGE_SIZE];
            Ok(w.calls(SyscallNumber::VmoOpRange, try_lock))
        }),
        NOT_SUPPORTED "UNLOCK of a VMO that is not discardable" => args![H(Vmo), N(UNLOCK), N(0), N(2 * PAGE_SIZE)],
        OUT_OF_RANGE "UNLOCK of a part" => args![H(Discardable), N(UNLOCK), N(0), N(PAGE_SIZE)],
        BAD_STATE "UNLOCK of a VMO that is not locked" => args![H(Discardable), N(UNLOCK), N(0), N(2 * PAGE_SIZE)],
        ACCESS_DENIED "CACHE_SYNC without READ" => args![Without(Vmo, Rights::READ), N(SYNC), N(0), N(1)],
        INVALID_ARGS "CACHE_SYNC of nothing" => args![H(Vmo), N(SYNC), N(0), N(0)],
        OUT_OF_RANGE "CACHE_CLEAN past the end" => args![H(Vmo), N(CLEAN), N(2 * PAGE_SIZE), N(1)],
        NOT_SUPPORTED "CACHE_CLEAN of a physical VMO" => args![H(Physical), N(CLEAN), N(0), N(1)],
        NOT_SUPPORTED "CACHE_INVALIDATE, which is for debugging" => args![H(Vmo), N(INVALIDATE), N(0), N(1)],
        OUT_OF_RANGE "DONT_NEED past the end of a pager's VMO" => args![H(Paged), N(DONT_NEED), N(2 * PAGE_SIZE), N(1)],
        OUT_OF_RANGE "ALWAYS_NEED past the end of a pager's VMO" => args![H(Paged), N(ALWAYS_NEED), N(2 * PAGE_SIZE), N(1)],
        ACCESS_DENIED "PREFETCH without READ" => args![Without(Paged, Rights::READ), N(PREFETCH), N(0), N(PAGE_SIZE)],
        OUT_OF_RANGE "PREFETCH past the end" => args![H(Paged), N(PREFETCH), N(2 * PAGE_SIZE), N(1)],
        IO "COMMIT or PREFETCH of pages that the pager fails" => Shown("pager.FailErrorCode"),
        NO_MEMORY "the limit of --memory leaves no page" => Limited(|w| {
            let vmo = w.handle(Large)?;
            Ok(w.calls(SyscallNumber::VmoOpRange, [vmo.into(), COMMIT, 0, LARGE]))
        }),
    }
    VmoReplaceAsExecutable {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), Out],
        BAD_HANDLE "not a VMO" => Does(|w| {
            let (event, out) = (w.handle(Event)?, w.out());
            w.consumed(Event);
            Ok(w.calls(SyscallNumber::VmoReplaceAsExecutable, [event.into(), 0, out]))
        }),
        BAD_HANDLE "the resource's value names no handle" => Does(|w| {
            let (vmo, out) = (w.handle(Vmo)?, w.out());
            w.consumed(Vmo);
            Ok(w.calls(SyscallNumber::VmoReplaceAsExecutable, [vmo.into(), 0xFFFF_FFF3, out]))
        }),
        WRONG_TYPE "not the resource for it" => Does(|w| {
            let (vmo, wrong, out) = (w.handle(Vmo)?, w.handle(IommuGrant)?, w.out());
            w.consumed(Vmo);
            Ok(w.calls(SyscallNumber::VmoReplaceAsExecutable, [vmo.into(), wrong.into(), out]))
        }),
        ACCESS_DENIED "no resource, and the job's policy denies AMBIENT_MARK_VMO_EXEC" => Shown("waits-denied.policy.executable_vmos_denied"),
        INVALID_ARGS "the result cannot be written" => Does(|w| {
            let vmo = w.handle(Vmo)?;
            w.consumed(Vmo);
            Ok(w.calls(SyscallNumber::VmoReplaceAsExecutable, [vmo.into(), 0, 0x1000]))
        }),
    }
    VmoSetCachePolicy {
        INVALID_ARGS "a policy that there is not" => args![Bad, N(4)],
        BAD_HANDLE "the value names no handle" => args![Bad, N(1)],
        WRONG_TYPE "not a VMO" => args![H(Event), N(1)],
        ACCESS_DENIED "the handle lacks MAP" => args![Without(Vmo, Rights::MAP), N(1)],
        BAD_STATE "a child" => args![H(Slice), N(1)],
        BAD_STATE "a pager's VMO" => args![H(Paged), N(1)],
        BAD_STATE "discardable" => args![H(Discardable), N(1)],
        BAD_STATE "it has children" => Does(|w| {
            w.handle(Slice)?;
            let vmo = w.handle(Vmo)?;
            Ok(w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]))
        }),
        BAD_STATE "mapped" => Does(|w| {
            w.mapped()?;
            let vmo = w.handle(Vmo)?;
            Ok(w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]))
        }),
        BAD_STATE "pinned" => Does(|w| {
            let vmo = w.pinned(Vmo)?;
            let status = w.calls(SyscallNumber::VmoSetCachePolicy, [vmo.into(), 1]);
            w.unpin()?;
            Ok(status)
        }),
    }
    VmoTransferData {
        INVALID_ARGS "options" => args![H(Vmo), N(1), N(0), N(PAGE_SIZE), H(Resizable), N(0)],
        INVALID_ARGS "not whole pages" => args![H(Vmo), N(0), N(1), N(PAGE_SIZE), H(Resizable), N(0)],
        BAD_HANDLE "the destination" => args![Bad, N(0), N(0), N(PAGE_SIZE), H(Resizable), N(0)],
        WRONG_TYPE "the destination is no VMO" => args![H(Event), N(0), N(0), N(PAGE_SIZE), H(Resizable), N(0)],
        ACCESS_DENIED "the destination's handle lacks WRITE" => args![Without(Vmo, Rights::WRITE), N(0), N(0), N(PAGE_SIZE), H(Resizable), N(0)],
        BAD_HANDLE "the source" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), Bad, N(0)],
        WRONG_TYPE "the source is no VMO" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), H(Event), N(0)],
        ACCESS_DENIED "the source's handle lacks READ" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), Without(Resizable, Rights::READ), N(0)],
        ACCESS_DENIED "the source's handle lacks WRITE" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), Without(Resizable, Rights::WRITE), N(0)],
        OUT_OF_RANGE "past the source's end" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), H(Resizable), N(2 * PAGE_SIZE)],
        OUT_OF_RANGE "past the destination's end" => args![H(Vmo), N(0), N(2 * PAGE_SIZE), N(PAGE_SIZE), H(Resizable), N(0)],
        NOT_SUPPORTED "from a pager's VMO" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), H(Paged), N(0)],
        NOT_SUPPORTED "into a pager's VMO" => args![H(Paged), N(0), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        NOT_SUPPORTED "from a physical VMO" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), H(Physical), N(0)],
        NOT_SUPPORTED "from a contiguous VMO" => args![H(Vmo), N(0), N(0), N(PAGE_SIZE), H(Contiguous), N(0)],
        BAD_STATE "a pinned source" => Does(|w| {
            let (vmo, to) = (w.pinned(Vmo)?, w.handle(Resizable)?);
            let status = w.calls(SyscallNumber::VmoTransferData, [to.into(), 0, 0, PAGE_SIZE, vmo.into(), 0]);
            w.unpin()?;
            Ok(status)
        }),
        NO_MEMORY "no memory" => Cannot(NO_HOST_MEMORY),
    }
}
