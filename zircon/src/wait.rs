//! Signals: raising and clearing them, waiting for them, and packets that tell of them.

use protocol::options::WaitAsyncOptions;
use protocol::{PortPacket, RawHandle, Rights, Signals, Status};

use crate::header::{Notify, Observer};
use crate::ids::{ObjectRef, PortId, ProcessId, Token};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::user::{CopyOut, Undo};

/// Most waits registered with one object.
const MAX_OBSERVERS: usize = 4096;

/// `zx_object_wait_one`.
#[derive(Clone, Debug)]
pub(crate) struct WaitOne {
    process: ProcessId,
    handle: RawHandle,
    object: ObjectRef,
    signals: Signals,
    observed: u64,
    /// The handle was closed during the wait: what was seen then.
    closed: Option<Signals>,
}

impl Kernel {
    /// Changes an object's signals and tells those who wait for them.
    pub(crate) fn change_signals(&mut self, object: ObjectRef, clear: Signals, set: Signals) {
        let Some(header) = self.header_mut(object) else {
            return;
        };
        let old = header.signals;
        let new = (old - clear) | set;
        header.signals = new;
        let risen = new - old;
        let observers = std::mem::take(&mut header.observers);
        let (seen, kept) = observers
            .into_iter()
            .partition(|seen| seen.trigger.intersects(risen));
        header.observers = kept;
        for observer in seen {
            self.notify(observer, new);
        }
    }

    fn notify(&mut self, observer: Observer, signals: Signals) {
        match observer.then {
            Notify::Wake(token) => self.wake(token),
            Notify::Packet {
                port,
                key,
                timestamp,
            } => {
                let time = if timestamp { self.now } else { 0 };
                let trigger = observer.trigger.bits();
                self.queue_packet(port, PortPacket::signal(key, trigger, signals.bits(), time));
            }
        }
    }

    pub(crate) fn sys_object_signal(
        &mut self,
        caller: Caller,
        handle: RawHandle,
        clear: u32,
        set: u32,
    ) -> Begin {
        let handle = self.handle(caller.process, handle)?;
        crate::handle::require(handle.rights, Rights::SIGNAL)?;
        if (clear | set) & !Signals::USER_ALL.bits() != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (clear, set) = (
            Signals::from_bits_retain(clear),
            Signals::from_bits_retain(set),
        );
        self.change_signals(handle.object, clear, set);
        Ok(Started::Done(0))
    }

    pub(crate) fn sys_object_wait_one(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        signals: u32,
        deadline: i64,
        observed: u64,
    ) -> Begin {
        let handle = self.handle(caller.process, raw)?;
        crate::handle::require(handle.rights, Rights::WAIT)?;
        let body = Body::WaitOne(WaitOne {
            process: caller.process,
            handle: raw,
            object: handle.object,
            signals: Signals::from_bits_retain(signals),
            observed,
            closed: None,
        });
        self.begin_until(caller, body, deadline)
    }

    pub(crate) fn step_wait_one(
        &mut self,
        token: Token,
        op: &mut Op,
        wait: &mut WaitOne,
    ) -> StepResult {
        let now = self.now;
        let header = self.header_mut(wait.object);
        let signals = header
            .as_ref()
            .map_or(Signals::empty(), |header| header.signals);
        let (status, seen) = match wait.closed {
            Some(seen) => (Status::CANCELED, seen | Signals::HANDLE_CLOSED),
            None if signals.intersects(wait.signals) => (Status::OK, signals),
            None if op.deadline.is_some_and(|deadline| deadline <= now) => {
                (Status::TIMED_OUT, signals)
            }
            None => {
                let header = header.ok_or(Status::BAD_HANDLE)?;
                header
                    .observers
                    .retain(|o| !matches!(o.then, Notify::Wake(other) if other == token));
                header.observers.push(Observer {
                    process: wait.process,
                    handle: wait.handle,
                    trigger: wait.signals,
                    then: Notify::Wake(token),
                });
                return Ok(Step::Wait(Waiting::Observer(wait.object)));
            }
        };
        self.remove_waiter(wait.object, token);
        op.deadline = None;
        let mut writes = Vec::new();
        if wait.observed != 0 {
            writes.push((wait.observed, seen.bits().to_le_bytes().to_vec()));
        }
        let copy = CopyOut {
            process: wait.process,
            writes,
            value: status,
            undo: Undo::Nothing,
        };
        Ok(Step::Become(Body::CopyOut(copy)))
    }

    pub(crate) fn remove_waiter(&mut self, object: ObjectRef, token: Token) {
        if let Some(header) = self.header_mut(object) {
            header
                .observers
                .retain(|o| !matches!(o.then, Notify::Wake(other) if other == token));
        }
    }

    pub(crate) fn sys_object_wait_async(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        port: RawHandle,
        key: u64,
        signals: u32,
        options: u32,
    ) -> Begin {
        let options = WaitAsyncOptions::from_bits(options).ok_or(Status::INVALID_ARGS)?;
        if options.contains(WaitAsyncOptions::TIMESTAMP | WaitAsyncOptions::BOOT_TIMESTAMP) {
            return Err(Status::INVALID_ARGS);
        }
        let (port, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let handle = self.handle(caller.process, raw)?;
        crate::handle::require(handle.rights, Rights::WAIT)?;
        let timestamp =
            options.intersects(WaitAsyncOptions::TIMESTAMP | WaitAsyncOptions::BOOT_TIMESTAMP);
        let observer = Observer {
            process: caller.process,
            handle: raw,
            trigger: Signals::from_bits_retain(signals),
            then: Notify::Packet {
                port,
                key,
                timestamp,
            },
        };
        self.check_room(port)?;
        let header = self.header_mut(handle.object).ok_or(Status::INTERNAL)?;
        if header.observers.len() >= MAX_OBSERVERS {
            return Err(Status::NO_MEMORY);
        }
        let now = header.signals;
        if now.intersects(observer.trigger) && !options.contains(WaitAsyncOptions::EDGE) {
            self.notify(observer, now);
        } else {
            header.observers.push(observer);
        }
        Ok(Started::Done(0))
    }

    /// A handle is closed: waits through it end.
    pub(crate) fn close_observers(
        &mut self,
        object: ObjectRef,
        process: ProcessId,
        handle: RawHandle,
    ) {
        let Some(header) = self.header_mut(object) else {
            return;
        };
        let signals = header.signals;
        let observers = std::mem::take(&mut header.observers);
        let (gone, kept): (Vec<_>, Vec<_>) = observers
            .into_iter()
            .partition(|observer| observer.process == process && observer.handle == handle);
        header.observers = kept;
        for observer in gone {
            if let Notify::Wake(token) = observer.then {
                if let Some(Body::WaitOne(wait)) = self.ops.get_mut(&token).map(|op| &mut op.body) {
                    wait.closed = Some(signals);
                }
                self.wake(token);
            }
        }
    }
}
