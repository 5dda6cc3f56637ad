//! Pagers.

use protocol::syscall::SyscallNumber;
use zx::{PAGE_SIZE, Rights};

use crate::row::How::{Cannot, Does, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::Obj::{
    Contiguous, Event, OtherPager, Paged, PagedClone, PagedResizable, Pager, Physical, Port,
    Trapped, Vmo,
};
use crate::{args, rows};

const FAIL: u64 = 1;
const DIRTY: u64 = 2;
const BEGIN: u64 = 3;
const END: u64 = 4;
const IO: u64 = -40i64 as u64;

rows! { ROWS:
    PagerCreate {
        INVALID_ARGS "options" => args![N(1), Out],
        INVALID_ARGS "the result cannot be written" => args![N(0), Nowhere],
        ACCESS_DENIED "the job's policy denies NEW_PAGER" => Shown("waits-denied.policy.new_objects_denied"),
    }
    PagerCreateVmo {
        ACCESS_DENIED "the job's policy denies NEW_VMO" => Shown("seeds-denied.policy.pager_create_vmo_denied"),
        BAD_HANDLE "the pager" => args![Bad, N(0), H(Port), N(7), N(PAGE_SIZE), Out],
        WRONG_TYPE "the pager is none" => args![H(Port), N(0), H(Port), N(7), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the pager's handle lacks ATTACH_VMO" => args![Without(Pager, Rights::ATTACH_VMO), N(0), H(Port), N(7), N(PAGE_SIZE), Out],
        BAD_HANDLE "the port" => args![H(Pager), N(0), Bad, N(7), N(PAGE_SIZE), Out],
        WRONG_TYPE "the port is none" => args![H(Pager), N(0), H(Event), N(7), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the port's handle lacks WRITE" => args![H(Pager), N(0), Without(Port, Rights::WRITE), N(7), N(PAGE_SIZE), Out],
        INVALID_ARGS "an option that there is not" => args![H(Pager), N(1 << 9), H(Port), N(7), N(PAGE_SIZE), Out],
        INVALID_ARGS "DISCARDABLE" => args![H(Pager), N(4), H(Port), N(7), N(PAGE_SIZE), Out],
        INVALID_ARGS "RESIZABLE and UNBOUNDED" => args![H(Pager), N(2 | 16), H(Port), N(7), N(0), Out],
        INVALID_ARGS "UNBOUNDED with the largest number as size" => args![H(Pager), N(16), H(Port), N(7), N(u64::MAX), Out],
        OUT_OF_RANGE "larger than any VMO" => args![H(Pager), N(0), H(Port), N(7), N(0xFFFF_FFFF_FFFC_1000), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Pager), N(0), H(Port), N(7), N(PAGE_SIZE), Nowhere],
        NO_MEMORY "no memory" => Cannot("a VMO takes none before it is touched"),
    }
    PagerDetachVmo {
        BAD_HANDLE "the pager" => args![Bad, H(Paged)],
        WRONG_TYPE "the pager is none" => args![H(Port), H(Paged)],
        ACCESS_DENIED "the pager's handle lacks ATTACH_VMO" => args![Without(OtherPager, Rights::ATTACH_VMO), H(Paged)],
        ACCESS_DENIED "the pager's handle lacks MANAGE_VMO" => args![Without(OtherPager, Rights::MANAGE_VMO), H(Paged)],
        BAD_HANDLE "the VMO" => args![H(Pager), Bad],
        WRONG_TYPE "the VMO is none" => args![H(Pager), H(Port)],
        ACCESS_DENIED "the VMO's handle lacks WRITE" => args![H(Pager), Without(Paged, Rights::WRITE)],
        INVALID_ARGS "a VMO of another pager" => args![H(OtherPager), H(Paged)],
        INVALID_ARGS "a VMO of no pager" => args![H(Pager), H(Vmo)],
        INVALID_ARGS "a clone" => args![H(Pager), H(PagedClone)],
    }
    PagerSupplyPages {
        INVALID_ARGS "the offset is not whole pages" => args![Bad, Bad, N(1), N(PAGE_SIZE), Bad, N(0)],
        INVALID_ARGS "the length is not whole pages" => args![Bad, Bad, N(0), N(1), Bad, N(0)],
        INVALID_ARGS "the auxiliary offset is not whole pages" => args![Bad, Bad, N(0), N(PAGE_SIZE), Bad, N(1)],
        BAD_HANDLE "the pager" => args![Bad, H(Paged), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        WRONG_TYPE "the pager is none" => args![H(Port), H(Paged), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        ACCESS_DENIED "the pager's handle lacks MANAGE_VMO" => args![Without(OtherPager, Rights::MANAGE_VMO), H(Paged), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        BAD_HANDLE "the VMO" => args![H(Pager), Bad, N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        WRONG_TYPE "the VMO is none" => args![H(Pager), H(Port), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        ACCESS_DENIED "the VMO's handle lacks WRITE" => args![H(Pager), Without(Paged, Rights::WRITE), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        INVALID_ARGS "a VMO of another pager" => args![H(OtherPager), H(Paged), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        INVALID_ARGS "a clone" => args![H(Pager), H(PagedClone), N(0), N(PAGE_SIZE), H(Vmo), N(0)],
        BAD_HANDLE "the auxiliary VMO" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), Bad, N(0)],
        WRONG_TYPE "the auxiliary VMO is none" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), H(Port), N(0)],
        ACCESS_DENIED "the auxiliary VMO's handle lacks WRITE" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), Without(Vmo, Rights::WRITE), N(0)],
        ACCESS_DENIED "the auxiliary VMO's handle lacks READ" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), Without(Vmo, Rights::READ), N(0)],
        NOT_SUPPORTED "pages of a pager's VMO" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), H(Trapped), N(0)],
        NOT_SUPPORTED "pages of a contiguous VMO" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), H(Contiguous), N(0)],
        NOT_SUPPORTED "pages of a physical VMO" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), H(Physical), N(0)],
        BAD_STATE "a pinned auxiliary page" => Does(|w| {
            let (pager, paged, aux) = (w.handle(Pager)?, w.handle(Paged)?, w.pinned(Vmo)?);
            let status = w.calls(SyscallNumber::PagerSupplyPages, [pager.into(), paged.into(), 0, PAGE_SIZE, aux.into(), 0]);
            w.unpin()?;
            Ok(status)
        }),
        OUT_OF_RANGE "past the auxiliary VMO's end" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), H(Vmo), N(2 * PAGE_SIZE)],
        OUT_OF_RANGE "past the VMO's end" => args![H(Pager), H(Paged), N(2 * PAGE_SIZE), N(PAGE_SIZE), H(Vmo), N(0)],
        BAD_STATE "the VMO is detached" => Does(|w| {
            let (pager, paged, aux) = (w.handle(Pager)?, w.handle(Paged)?, w.handle(Vmo)?);
            w.calls(SyscallNumber::PagerDetachVmo, [pager.into(), paged.into()]).ok()?;
            Ok(w.calls(SyscallNumber::PagerSupplyPages, [pager.into(), paged.into(), 0, PAGE_SIZE, aux.into(), 0]))
        }),
        NO_MEMORY "no memory" => Cannot("a move takes no page from the limit: only a host without memory brings it about"),
    }
    PagerOpRange {
        INVALID_ARGS "the offset is not whole pages" => args![Bad, N(FAIL), Bad, N(1), N(PAGE_SIZE), N(IO)],
        INVALID_ARGS "the length is not whole pages" => args![Bad, N(FAIL), Bad, N(0), N(1), N(IO)],
        BAD_HANDLE "the pager" => args![Bad, N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(IO)],
        WRONG_TYPE "the pager is none" => args![H(Port), N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(IO)],
        ACCESS_DENIED "the pager's handle lacks MANAGE_VMO" => args![Without(OtherPager, Rights::MANAGE_VMO), N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(IO)],
        BAD_HANDLE "the VMO" => args![H(Pager), N(FAIL), Bad, N(0), N(PAGE_SIZE), N(IO)],
        WRONG_TYPE "the VMO is none" => args![H(Pager), N(FAIL), H(Port), N(0), N(PAGE_SIZE), N(IO)],
        ACCESS_DENIED "the VMO's handle lacks WRITE" => args![H(Pager), N(FAIL), Without(Paged, Rights::WRITE), N(0), N(PAGE_SIZE), N(IO)],
        INVALID_ARGS "a VMO of another pager" => args![H(OtherPager), N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(IO)],
        INVALID_ARGS "a clone" => args![H(Pager), N(FAIL), H(PagedClone), N(0), N(PAGE_SIZE), N(IO)],
        NOT_SUPPORTED "an operation that there is not" => args![H(Pager), N(9), H(Paged), N(0), N(PAGE_SIZE), N(0)],
        INVALID_ARGS "FAIL with a code that pagers may not give" => args![H(Pager), N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(-1i64 as u64)],
        INVALID_ARGS "FAIL with more than a status" => args![H(Pager), N(FAIL), H(Paged), N(0), N(PAGE_SIZE), N(0x11_FFFF_FFFF)],
        OUT_OF_RANGE "FAIL past the end" => args![H(Pager), N(FAIL), H(Paged), N(2 * PAGE_SIZE), N(PAGE_SIZE), N(IO)],
        BAD_STATE "FAIL when detached" => Does(|w| {
            let (pager, paged) = (w.handle(Pager)?, w.handle(Paged)?);
            w.calls(SyscallNumber::PagerDetachVmo, [pager.into(), paged.into()]).ok()?;
            Ok(w.calls(SyscallNumber::PagerOpRange, [pager.into(), FAIL, paged.into(), 0, PAGE_SIZE, IO]))
        }),
        NOT_SUPPORTED "DIRTY of a VMO that does not trap" => args![H(Pager), N(DIRTY), H(Paged), N(0), N(PAGE_SIZE), N(0)],
        INVALID_ARGS "DIRTY with data" => args![H(Pager), N(DIRTY), H(Trapped), N(0), N(PAGE_SIZE), N(1)],
        OUT_OF_RANGE "DIRTY past the end" => args![H(Pager), N(DIRTY), H(Trapped), N(2 * PAGE_SIZE), N(PAGE_SIZE), N(0)],
        NOT_FOUND "DIRTY of an absent page" => args![H(Pager), N(DIRTY), H(Trapped), N(0), N(PAGE_SIZE), N(0)],
        BAD_STATE "DIRTY when detached" => Does(|w| {
            let (pager, paged) = (w.handle(Pager)?, w.handle(Trapped)?);
            w.calls(SyscallNumber::PagerDetachVmo, [pager.into(), paged.into()]).ok()?;
            Ok(w.calls(SyscallNumber::PagerOpRange, [pager.into(), DIRTY, paged.into(), 0, PAGE_SIZE, 0]))
        }),
        INVALID_ARGS "WRITEBACK_BEGIN with data that there is not" => args![H(Pager), N(BEGIN), H(Paged), N(0), N(PAGE_SIZE), N(2)],
        OUT_OF_RANGE "WRITEBACK_BEGIN past the end" => args![H(Pager), N(BEGIN), H(Paged), N(2 * PAGE_SIZE), N(PAGE_SIZE), N(0)],
        INVALID_ARGS "WRITEBACK_END with data" => args![H(Pager), N(END), H(Paged), N(0), N(PAGE_SIZE), N(1)],
        OUT_OF_RANGE "WRITEBACK_END past the end" => args![H(Pager), N(END), H(Paged), N(2 * PAGE_SIZE), N(PAGE_SIZE), N(0)],
    }
    PagerQueryDirtyRanges {
        BAD_HANDLE "the pager" => args![Bad, H(Paged), N(0), N(PAGE_SIZE), Out, N(24)],
        WRONG_TYPE "the pager is none" => args![H(Port), H(Paged), N(0), N(PAGE_SIZE), Out, N(24)],
        ACCESS_DENIED "the pager's handle lacks MANAGE_VMO" => args![Without(OtherPager, Rights::MANAGE_VMO), H(Paged), N(0), N(PAGE_SIZE), Out, N(24)],
        BAD_HANDLE "the VMO" => args![H(Pager), Bad, N(0), N(PAGE_SIZE), Out, N(24)],
        WRONG_TYPE "the VMO is none" => args![H(Pager), H(Port), N(0), N(PAGE_SIZE), Out, N(24)],
        ACCESS_DENIED "the VMO's handle lacks READ" => args![H(Pager), Without(Paged, Rights::READ), N(0), N(PAGE_SIZE), Out, N(24)],
        INVALID_ARGS "a VMO of another pager" => args![H(OtherPager), H(Paged), N(0), N(PAGE_SIZE), Out, N(24)],
        OUT_OF_RANGE "past the end" => args![H(Pager), H(Paged), N(2 * PAGE_SIZE), N(PAGE_SIZE), Out, N(24)],
        INVALID_ARGS "the ranges cannot be written" => Does(|w| {
            let (pager, paged) = (w.handle(Pager)?, w.handle(PagedResizable)?);
            w.calls(SyscallNumber::VmoSetSize, [paged.into(), 4 * PAGE_SIZE]).ok()?;
            let args = [pager.into(), paged.into(), 0, 4 * PAGE_SIZE, 0x1000, 24, 0, 0];
            Ok(w.call(SyscallNumber::PagerQueryDirtyRanges, args))
        }),
        INVALID_ARGS "the count cannot be written" => args![H(Pager), H(Paged), N(0), N(PAGE_SIZE), Out, N(24), Nowhere],
    }
    PagerQueryVmoStats {
        BAD_HANDLE "the pager" => args![Bad, H(Paged), N(0), Out, N(4)],
        WRONG_TYPE "the pager is none" => args![H(Port), H(Paged), N(0), Out, N(4)],
        ACCESS_DENIED "the pager's handle lacks MANAGE_VMO" => args![Without(OtherPager, Rights::MANAGE_VMO), H(Paged), N(0), Out, N(4)],
        BAD_HANDLE "the VMO" => args![H(Pager), Bad, N(0), Out, N(4)],
        WRONG_TYPE "the VMO is none" => args![H(Pager), H(Port), N(0), Out, N(4)],
        ACCESS_DENIED "the VMO's handle lacks READ" => args![H(Pager), Without(Paged, Rights::READ), N(0), Out, N(4)],
        INVALID_ARGS "a VMO of another pager" => args![H(OtherPager), H(Paged), N(0), Out, N(4)],
        BUFFER_TOO_SMALL "less than 4 bytes" => args![H(Pager), H(Paged), N(0), Out, N(3)],
        INVALID_ARGS "an option that there is not" => args![H(Pager), H(Paged), N(2), Out, N(4)],
        INVALID_ARGS "the record cannot be written" => args![H(Pager), H(Paged), N(0), Nowhere, N(4)],
    }
}
