//! Ports and events.

use protocol::syscall::SyscallNumber;
use zx::Rights;

use crate::row::How::{Does, Shown};
use crate::world::Arg::{Bad, H, N, Nowhere, Out, Without};
use crate::world::Obj::{Event, Pager, Port};
use crate::{args, rows};

rows! { ROWS:
    PortCreate {
        INVALID_ARGS "an option that there is not" => args![N(2), Out],
        INVALID_ARGS "the result cannot be written" => args![N(0), Nowhere],
        ACCESS_DENIED "the job's policy denies NEW_PORT" => Shown("waits-denied.policy.new_objects_denied"),
    }
    PortQueue {
        BAD_HANDLE "the value names no handle" => args![Bad, Out],
        WRONG_TYPE "not a port" => args![H(Event), Out],
        ACCESS_DENIED "the handle lacks WRITE" => args![Without(Port, Rights::WRITE), Out],
        INVALID_ARGS "the packet cannot be read" => args![H(Port), Nowhere],
        SHOULD_WAIT "the port is full, which is a policy exception as well" => Shown("guests.a_full_port_is_a_policy_exception"),
    }
    PortWait {
        BAD_HANDLE "the value names no handle" => args![Bad, N(0), Out],
        WRONG_TYPE "not a port" => args![H(Event), N(0), Out],
        ACCESS_DENIED "the handle lacks READ" => args![Without(Port, Rights::READ), N(0), Out],
        TIMED_OUT "the deadline passes" => args![H(Port), N(0), Out],
        INVALID_ARGS "the packet cannot be written; it is lost" => Does(|w| {
            let (port, out) = (w.handle(Port)?, w.out());
            w.calls(SyscallNumber::PortQueue, [port.into(), out]).ok()?;
            Ok(w.calls(SyscallNumber::PortWait, [port.into(), 0, 0x1000]))
        }),
    }
    PortCancel {
        BAD_HANDLE "the port" => args![Bad, H(Event), N(1)],
        WRONG_TYPE "the port is none" => args![H(Event), H(Event), N(1)],
        ACCESS_DENIED "the port's handle lacks WRITE" => args![Without(Port, Rights::WRITE), H(Event), N(1)],
        BAD_HANDLE "the source" => args![H(Port), Bad, N(1)],
        ACCESS_DENIED "the source's handle lacks WAIT" => args![H(Port), Without(Event, Rights::WAIT), N(1)],
        ACCESS_DENIED "a source that cannot be waited on" => args![H(Port), H(Pager), N(1)],
        NOT_FOUND "nothing is registered with that key" => args![H(Port), H(Event), N(1)],
    }
    PortCancelKey {
        INVALID_ARGS "options" => args![Bad, N(1), N(1)],
        BAD_HANDLE "the port" => args![Bad, N(0), N(1)],
        WRONG_TYPE "the port is none" => args![H(Event), N(0), N(1)],
        ACCESS_DENIED "the port's handle lacks WRITE" => args![Without(Port, Rights::WRITE), N(0), N(1)],
        NOT_FOUND "nothing has that key" => args![H(Port), N(0), N(1)],
    }
    EventCreate {
        INVALID_ARGS "options" => args![N(1), Out],
        ACCESS_DENIED "the job's policy denies NEW_EVENT" => Shown("waits-denied.policy.new_objects_denied"),
        INVALID_ARGS "the result cannot be written" => args![N(0), Nowhere],
    }
}
