//! Handles, info, properties.

use protocol::syscall::SyscallNumber;
use zx::Rights;

use super::NO_HOST_MEMORY;
use crate::row::How::{Cannot, Does};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::Obj::{Event, Job, Pager, Port, Process, RootJob, Thread, Vmar, Vmo};
use crate::{args, rows};

rows! { ROWS:
    HandleClose {
        BAD_HANDLE "the value names no handle" => args![Bad],
    }
    HandleCloseMany {
        BAD_HANDLE "one of the values names no handle; the others are closed" => Does(|w| {
            let event = w.handle(Event)?;
            let handles = [event, 0xFFFF_FFF3, 0];
            let args = [(&raw const handles) as u64, 3];
            let status = w.calls(SyscallNumber::HandleCloseMany, args);
            w.consumed(Event);
            Ok(status)
        }),
        INVALID_ARGS "the list cannot be read" => args![Nowhere, N(1)],
        INVALID_ARGS "more than 65,536 values" => args![Out, N(65_537)],
    }
    HandleDuplicate {
        BAD_HANDLE "the value names no handle" => args![Bad, N(1 << 31), Out],
        ACCESS_DENIED "the handle lacks DUPLICATE" => args![Without(Event, Rights::DUPLICATE), N(1 << 31), Out],
        INVALID_ARGS "rights that the handle lacks" => args![H(Event), N(4), Out],
        INVALID_ARGS "the result cannot be written" => args![H(Event), N(1 << 31), Nowhere],
        NO_MEMORY "the process has 262,144 handles" => Cannot("it can, but making that many takes a minute"),
    }
    HandleReplace {
        BAD_HANDLE "the value names no handle" => args![Bad, N(1 << 31), Out],
        INVALID_ARGS "rights that the handle lacks; it is closed all the same" => Does(|w| {
            let event = w.handle(Event)?;
            let out = w.out();
            w.consumed(Event);
            Ok(w.calls(SyscallNumber::HandleReplace, [event.into(), 4, out]))
        }),
        INVALID_ARGS "the result cannot be written; the handle is closed all the same" => Does(|w| {
            let event = w.handle(Event)?;
            w.consumed(Event);
            Ok(w.calls(SyscallNumber::HandleReplace, [event.into(), 1 << 31, 0x1000]))
        }),
    }
    ObjectGetInfo {
        BAD_HANDLE "the value names no handle" => args![Bad, N(2), Out, N(32)],
        NOT_SUPPORTED "a topic that there is not" => args![H(Event), N(999), Out, N(32)],
        BUFFER_TOO_SMALL "the buffer is shorter than the record" => args![H(Event), N(2), Out, N(31)],
        INVALID_ARGS "the record cannot be written" => args![H(Event), N(2), Nowhere, N(32)],
        INVALID_ARGS "the counts cannot be written" => args![H(Event), N(2), Out, N(32), Nowhere],
        WRONG_TYPE "VMO of something that is none" => args![H(Event), N(0x3000_0017), Out, N(176)],
        WRONG_TYPE "THREAD of something that is none" => args![H(Event), N(10), Out, N(64)],
        WRONG_TYPE "PROCESS of something that is none" => args![H(Event), N(3), Out, N(64)],
        WRONG_TYPE "VMAR of something that is none" => args![H(Event), N(7), Out, N(64)],
        WRONG_TYPE "BTI of something that is none" => args![H(Event), N(20), Out, N(64)],
        WRONG_TYPE "JOB, JOB_CHILDREN, JOB_PROCESSES of something that is none" => args![H(Event), N(24), Out, N(64)],
        ACCESS_DENIED "JOB without INSPECT" => args![Without(RootJob, Rights::INSPECT), N(24), Out, N(64)],
        ACCESS_DENIED "JOB_CHILDREN without ENUMERATE" => args![Without(RootJob, Rights::ENUMERATE), N(8), Out, N(64)],
        ACCESS_DENIED "JOB_PROCESSES without ENUMERATE" => args![Without(RootJob, Rights::ENUMERATE), N(9), Out, N(64)],
        WRONG_TYPE "RESOURCE of something that is none" => args![H(Event), N(18), Out, N(64)],
        ACCESS_DENIED "HANDLE_COUNT without INSPECT" => args![Without(Event, Rights::INSPECT), N(19), Out, N(4)],
        ACCESS_DENIED "THREAD without INSPECT" => args![Without(Thread, Rights::INSPECT), N(10), Out, N(64)],
        ACCESS_DENIED "PROCESS without INSPECT" => args![Without(Process, Rights::INSPECT), N(3), Out, N(64)],
        ACCESS_DENIED "VMAR without INSPECT" => args![Without(Vmar, Rights::INSPECT), N(7), Out, N(16)],
    }
    ObjectGetProperty {
        INVALID_ARGS "no address for the value" => args![Bad, N(3), N(0), N(32)],
        BAD_HANDLE "the value names no handle" => args![Bad, N(3), Out, N(32)],
        ACCESS_DENIED "the handle lacks GET_PROPERTY" => args![Without(Vmo, Rights::GET_PROPERTY), N(3), Out, N(32)],
        NOT_SUPPORTED "a property that there is not" => args![H(Vmo), N(999), Out, N(32)],
        BUFFER_TOO_SMALL "NAME in less than 32 bytes" => args![H(Vmo), N(3), Out, N(31)],
        BUFFER_TOO_SMALL "VMO_CONTENT_SIZE in less than 8 bytes, whatever the object" => args![H(Job), N(17), Out, N(7)],
        WRONG_TYPE "VMO_CONTENT_SIZE of something else" => args![H(Job), N(17), Out, N(8)],
        INVALID_ARGS "the value cannot be written" => args![H(Vmo), N(3), Nowhere, N(32)],
    }
    ObjectSetProperty {
        INVALID_ARGS "no address for the value" => args![Bad, N(3), N(0), N(3)],
        BAD_HANDLE "the value names no handle" => args![Bad, N(3), Out, N(3)],
        ACCESS_DENIED "the handle lacks SET_PROPERTY" => args![Without(Vmo, Rights::SET_PROPERTY), N(3), Out, N(3)],
        NOT_SUPPORTED "a property that there is not" => args![H(Vmo), N(999), Out, N(8)],
        ACCESS_DENIED "VMO_CONTENT_SIZE without WRITE" => args![Without(Vmo, Rights::WRITE), N(17), Out, N(7)],
        BUFFER_TOO_SMALL "VMO_CONTENT_SIZE in less than 8 bytes" => args![H(Vmo), N(17), Out, N(7)],
        WRONG_TYPE "VMO_CONTENT_SIZE of something else" => args![H(Job), N(17), Out, N(8)],
        OUT_OF_RANGE "VMO_CONTENT_SIZE above the VMO's size" => Does(|w| {
            let size = 3 * zx::PAGE_SIZE;
            let vmo = w.handle(Vmo)?;
            let args = [vmo.into(), 17, (&raw const size) as u64, 8];
            Ok(w.calls(SyscallNumber::ObjectSetProperty, args))
        }),
        INVALID_ARGS "the value cannot be read" => args![H(Vmo), N(3), Nowhere, N(3)],
        NO_MEMORY "no memory to read the value into" => Cannot(NO_HOST_MEMORY),
    }
    ObjectSignal {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), N(1 << 24)],
        ACCESS_DENIED "the handle lacks SIGNAL" => args![Without(Event, Rights::SIGNAL), N(0), N(1 << 24)],
        INVALID_ARGS "a signal to set that is not the user's" => args![H(Event), N(0), N(1)],
        INVALID_ARGS "a signal to clear that is not the user's" => args![H(Vmo), N(8), N(0)],
        ACCESS_DENIED "ports and pagers have no SIGNAL right" => args![H(Port), N(0), N(1 << 24)],
        ACCESS_DENIED "a pager's handle" => args![H(Pager), N(0), N(1 << 24)],
    }
}
