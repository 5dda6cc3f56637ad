//! Resources, IOMMUs, BTIs and what they are for.

use protocol::syscall::SyscallNumber;
use zx::{PAGE_SIZE, Rights};

use crate::row::How::{Cannot, Does, Limited, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Out2, Without};
use crate::world::LARGE;
use crate::world::Obj::{Bti, Event, Iommu, IommuGrant, Large, Mmio, Vmex, Vmo};
use crate::{args, rows};

const READ: u64 = 1;
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;
const COMPRESS: u64 = 8;
const CONTIGUOUS: u64 = 16;

rows! { ROWS:
    IommuCreate {
        BAD_HANDLE "the resource" => args![Bad, N(0), Out, N(8), Out],
        WRONG_TYPE "not a resource" => args![H(Event), N(0), Out, N(8), Out],
        WRONG_TYPE "not the resource for it" => args![H(Vmex), N(0), Out, N(8), Out],
        INVALID_ARGS "no descriptor" => args![H(IommuGrant), N(0), Out, N(0), Out],
        INVALID_ARGS "a descriptor of more than 4,096 bytes" => args![H(IommuGrant), N(0), Out, N(4097), Out],
        NOT_SUPPORTED "a type other than the stub's" => args![H(IommuGrant), N(1), Out, N(8), Out],
        INVALID_ARGS "the result cannot be written" => args![H(IommuGrant), N(0), Out, N(8), Nowhere],
    }
    BtiCreate {
        INVALID_ARGS "options" => args![H(Iommu), N(1), N(1), Out],
        BAD_HANDLE "the IOMMU" => args![Bad, N(0), N(1), Out],
        WRONG_TYPE "not an IOMMU" => args![H(Event), N(0), N(1), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Iommu), N(0), N(1), Nowhere],
    }
    BtiPin {
        BAD_HANDLE "the BTI" => args![Bad, N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        WRONG_TYPE "not a BTI" => args![H(Event), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        ACCESS_DENIED "the BTI's handle lacks MAP" => args![Without(Bti, Rights::MAP), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "the offset is not whole pages" => args![H(Bti), N(READ), H(Vmo), N(1), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "the size is not whole pages" => args![H(Bti), N(READ), H(Vmo), N(0), N(1), Out, N(1), Out2],
        INVALID_ARGS "more than 32,768 addresses" => args![H(Bti), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(32_769), Out2],
        BAD_HANDLE "the VMO" => args![H(Bti), N(READ), Bad, N(0), N(PAGE_SIZE), Out, N(1), Out2],
        WRONG_TYPE "not a VMO" => args![H(Bti), N(READ), H(Event), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        ACCESS_DENIED "the VMO's handle lacks MAP" => args![H(Bti), N(READ), Without(Vmo, Rights::MAP), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        ACCESS_DENIED "PERM_READ without READ" => args![H(Bti), N(READ), Without(Vmo, Rights::READ), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        ACCESS_DENIED "PERM_EXECUTE without READ" => args![H(Bti), N(EXECUTE), Without(Vmo, Rights::READ), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        ACCESS_DENIED "PERM_WRITE without WRITE" => args![H(Bti), N(READ | WRITE), Without(Vmo, Rights::WRITE), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "COMPRESS and CONTIGUOUS" => args![H(Bti), N(READ | COMPRESS | CONTIGUOUS), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "CONTIGUOUS of a VMO that is not" => args![H(Bti), N(READ | CONTIGUOUS), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "an option that there is not" => args![H(Bti), N(READ | 32), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Out2],
        INVALID_ARGS "no pages" => args![H(Bti), N(READ), H(Vmo), N(0), N(0), Out, N(0), Out2],
        OUT_OF_RANGE "past the end" => args![H(Bti), N(READ), H(Vmo), N(PAGE_SIZE), N(2 * PAGE_SIZE), Out, N(2), Out2],
        INVALID_ARGS "another number of addresses than pages" => args![H(Bti), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(2), Out2],
        INVALID_ARGS "the addresses cannot be written" => args![H(Bti), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Nowhere, N(1), Out2],
        INVALID_ARGS "the result cannot be written" => args![H(Bti), N(READ), H(Vmo), N(0), N(PAGE_SIZE), Out, N(1), Nowhere],
        IO "the pager fails a page, with any of its codes" => Shown("pager.BtiPinFails"),
        NO_MEMORY "the limit of --memory leaves no page" => Limited(|w| {
            let (bti, vmo, at) = (w.handle(Bti)?, w.handle(Large)?, w.maps(Large, LARGE)?);
            let count = LARGE / PAGE_SIZE;
            let pin = [bti.into(), READ, vmo.into(), 0, LARGE, at, count, at];
            Ok(w.call(SyscallNumber::BtiPin, pin))
        }),
    }
    BtiReleaseQuarantine {
        BAD_HANDLE "the BTI" => args![Bad],
        WRONG_TYPE "not a BTI" => args![H(Event)],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Bti, Rights::WRITE)],
    }
    PmtUnpin {
        BAD_HANDLE "the value names no handle" => args![Bad],
        WRONG_TYPE "not a PMT; the handle is closed all the same" => Does(|w| {
            let event = w.handle(Event)?;
            w.consumed(Event);
            Ok(w.calls(SyscallNumber::PmtUnpin, [event.into()]))
        }),
    }
    VmoCreateContiguous {
        INVALID_ARGS "no size" => args![H(Bti), N(0), N(0), Out],
        INVALID_ARGS "not whole pages" => args![H(Bti), N(1), N(0), Out],
        INVALID_ARGS "an alignment below a page" => args![H(Bti), N(PAGE_SIZE), N(11), Out],
        INVALID_ARGS "an alignment above 2^63" => args![H(Bti), N(PAGE_SIZE), N(64), Out],
        ACCESS_DENIED "the job's policy denies NEW_VMO" => Shown("waits-denied.policy.device_vmos_denied"),
        BAD_HANDLE "the BTI" => args![Bad, N(PAGE_SIZE), N(0), Out],
        WRONG_TYPE "not a BTI" => args![H(Event), N(PAGE_SIZE), N(0), Out],
        ACCESS_DENIED "the BTI's handle lacks MAP" => args![Without(Bti, Rights::MAP), N(PAGE_SIZE), N(0), Out],
        OUT_OF_RANGE "larger than any VMO" => args![H(Bti), N(0xFFFF_FFFF_FFFC_1000), N(0), Out],
        NO_MEMORY "the limit of --memory leaves not enough pages" => Limited(|w| {
            let (bti, out) = (w.handle(Bti)?, w.out());
            Ok(w.calls(SyscallNumber::VmoCreateContiguous, [bti.into(), LARGE, 0, out]))
        }),
        NO_MEMORY "an alignment that no address has" => args![H(Bti), N(PAGE_SIZE), N(63), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Bti), N(PAGE_SIZE), N(0), Nowhere],
    }
    VmoCreatePhysical {
        INVALID_ARGS "no size" => args![H(Mmio), N(0), N(0), Out],
        INVALID_ARGS "a size that is not whole pages" => args![H(Mmio), N(0), N(1), Out],
        INVALID_ARGS "an address that is not whole pages" => args![H(Mmio), N(1), N(PAGE_SIZE), Out],
        ACCESS_DENIED "the job's policy denies NEW_VMO" => Shown("waits-denied.policy.device_vmos_denied"),
        BAD_HANDLE "the resource" => args![Bad, N(0), N(PAGE_SIZE), Out],
        WRONG_TYPE "not a resource" => args![H(Event), N(0), N(PAGE_SIZE), Out],
        WRONG_TYPE "not the resource for it" => args![H(Vmex), N(0), N(PAGE_SIZE), Out],
        OUT_OF_RANGE "outside the granted range" => args![H(Mmio), N(0), N(PAGE_SIZE), Out],
        INVALID_ARGS "the result cannot be written" => Does(|w| {
            let (grant, base) = (w.handle(Mmio)?, w.mmio_base()?);
            Ok(w.calls(SyscallNumber::VmoCreatePhysical, [grant.into(), base, PAGE_SIZE, 0x1000]))
        }),
        NO_MEMORY "no memory" => Cannot("the range has all its pages before the program starts"),
    }
}
