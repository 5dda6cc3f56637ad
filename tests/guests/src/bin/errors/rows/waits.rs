//! Time, waiting for signals, futexes.

use protocol::syscall::SyscallNumber;
use zx::Rights;

use crate::row::How::{Cannot, Does, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::Obj::{Event, Port, Vmo};
use crate::{args, rows};

rows! { ROWS:
    ClockGetMonotonic {
        OK "returns the time: there is no error" => Cannot("it always succeeds"),
    }
    Nanosleep {
        OK "every deadline comes, or is past" => args![N(0)],
    }
    DebugWrite {
        INVALID_ARGS "more than 64 KiB" => args![Out, N(65_537)],
        INVALID_ARGS "the text cannot be read" => args![Nowhere, N(1)],
    }
    ObjectWaitOne {
        BAD_HANDLE "the value names no handle" => args![Bad, N(8), N(0), Out],
        ACCESS_DENIED "the handle lacks WAIT" => args![Without(Event, Rights::WAIT), N(8), N(0), Out],
        ACCESS_DENIED "ports cannot be waited on" => args![H(Port), N(8), N(0), Out],
        TIMED_OUT "the deadline passes" => args![H(Event), N(8), N(0), Out],
        INVALID_ARGS "what was seen cannot be written" => args![H(Vmo), N(8), N(0), Nowhere],
        CANCELED "the handle is closed meanwhile" => Shown("waits.signals.close_cancels_the_wait"),
    }
    ObjectWaitMany {
        OUT_OF_RANGE "more than 64 items" => args![Out, N(65), N(0)],
        INVALID_ARGS "the items cannot be read" => args![Nowhere, N(1), N(0)],
        BAD_HANDLE "an item's handle names nothing" => args![Out, N(1), N(0)],
        TIMED_OUT "no items, and the deadline passes" => args![N(0), N(0), N(0)],
        ACCESS_DENIED "an item's handle lacks WAIT" => Does(|w| {
            let items = [u64::from(w.without(Event, Rights::WAIT)?), 0];
            Ok(w.calls(SyscallNumber::ObjectWaitMany, [(&raw const items) as u64, 1, 0]))
        }),
        TIMED_OUT "the deadline passes" => Does(|w| {
            let mut items = [u64::from(w.handle(Event)?) | 8 << 32, 0];
            Ok(w.calls(SyscallNumber::ObjectWaitMany, [(&raw mut items) as u64, 1, 0]))
        }),
        CANCELED "one of the handles is closed meanwhile" => Shown("waits.events.many_is_canceled_by_a_close"),
    }
    ObjectWaitAsync {
        INVALID_ARGS "an option that there is not" => args![Bad, Bad, N(1), N(8), N(8)],
        INVALID_ARGS "both timestamps" => args![Bad, Bad, N(1), N(8), N(5)],
        BAD_HANDLE "the port" => args![H(Event), Bad, N(1), N(8)],
        WRONG_TYPE "the port is none" => args![H(Event), H(Event), N(1), N(8)],
        ACCESS_DENIED "the port's handle lacks WRITE" => args![H(Event), Without(Port, Rights::WRITE), N(1), N(8)],
        BAD_HANDLE "the object" => args![Bad, H(Port), N(1), N(8)],
        ACCESS_DENIED "the object's handle lacks WAIT" => args![Without(Event, Rights::WAIT), H(Port), N(1), N(8)],
        NO_MEMORY "4,096 waits are registered with the object" => Does(|w| {
            let (event, port) = (w.handle(Event)?, w.handle(Port)?);
            let args = [event.into(), port.into(), 1, 8];
            for _ in 0..4096 {
                w.calls(SyscallNumber::ObjectWaitAsync, args).ok()?;
            }
            Ok(w.calls(SyscallNumber::ObjectWaitAsync, args))
        }),
    }
    FutexWait {
        INVALID_ARGS "the address is not aligned" => args![N(0x10_0002), N(0), N(0), N(0)],
        INVALID_ARGS "the word cannot be read" => args![Nowhere, N(0), N(0), N(0)],
        BAD_STATE "the word has another value" => args![Out, N(1), N(0), N(0)],
        TIMED_OUT "the deadline passes" => args![Out, N(0), N(0), N(0)],
    }
    FutexWake {
        INVALID_ARGS "the address is not aligned" => args![N(0x10_0002), N(1)],
    }
}
