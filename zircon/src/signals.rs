//! Signals: raising and clearing them, and who is told. Waiting for them in a call: [`crate::wait`].
//!
//! An observer is registered with the object it watches, under the handle it watches through. It is told once, when one of
//! its signals rises, and is gone then. It is gone as well when its handle is closed, when its port is (with the last
//! handle), and when it is cancelled.

use protocol::options::WaitAsyncOptions;
use protocol::{PolicyCondition, PortPacket, RawHandle, Rights, Signals, Status};

use crate::header::{Header, Notify, Observer, ObserverId};
use crate::ids::{EventId, ObjectRef, PortId, ProcessId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::Body;

/// Most waits registered with one object by `zx_object_wait_async`.
const MAX_OBSERVERS: usize = 4096;

/// An event: nothing but its signals.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub header: Header,
}

impl Kernel {
    pub(crate) fn sys_event_create(&mut self, caller: Caller, options: u32, out: u64) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        self.enforce(caller, PolicyCondition::NewEvent)?;
        let id = EventId(self.next_koid());
        let header = Header::new(Signals::empty());
        self.events.insert(id, Event { header });
        self.return_handle(caller, ObjectRef::Event(id), Rights::DEFAULT_EVENT, out)
    }

    /// Changes an object's signals and tells those who wait for one that rises, in the order of their registration.
    pub(crate) fn change_signals(&mut self, object: ObjectRef, clear: Signals, set: Signals) {
        let Some(header) = self.header_mut(object) else {
            return;
        };
        let old = header.signals;
        let new = (old - clear) | set;
        header.signals = new;
        let risen = new - old;
        if risen.is_empty() {
            return;
        }
        let told = header
            .observers
            .iter()
            .filter(|(_, observer)| observer.trigger.intersects(risen));
        let mut told: Vec<ObserverId> = told.map(|(id, _)| *id).collect();
        told.sort_unstable_by_key(|id| id.number);
        for id in told {
            if let Some(observer) = self.take_observer(object, id) {
                self.notify(id, observer, new);
            }
        }
    }

    /// Tells an observer, which is registered nowhere any more, what it waited for.
    fn notify(&mut self, id: ObserverId, observer: Observer, signals: Signals) {
        match observer.then {
            Notify::Wake(token) => self.see(token, id, signals),
            Notify::Packet {
                port,
                key,
                timestamp,
            } => {
                let time = if timestamp { self.now } else { 0 };
                let trigger = observer.trigger.bits();
                let packet = PortPacket::signal(key, trigger, signals.bits(), time);
                self.queue_signal(port, packet, (id.process, id.handle));
            }
        }
    }

    /// Puts down what an operation that waits for signals has seen, and wakes it.
    fn see(&mut self, token: crate::ids::Token, id: ObserverId, signals: Signals) {
        if let Some(Body::Wait(wait)) = self.ops.get_mut(token).map(|op| &mut op.body) {
            wait.see(id, signals);
        }
        self.wake(token);
    }

    /// Takes an observer out of the object it watches and, if it is to queue a packet, out of its port's list.
    pub(crate) fn take_observer(&mut self, object: ObjectRef, id: ObserverId) -> Option<Observer> {
        let observer = self.header_mut(object)?.observers.remove(&id)?;
        if let Notify::Packet { port, key, .. } = observer.then {
            self.forget_observer(port, key, id.number);
        }
        Some(observer)
    }

    /// Everybody may change the user signals of every object; events have one more.
    pub(crate) fn sys_object_signal(
        &mut self,
        caller: Caller,
        handle: RawHandle,
        clear: u32,
        set: u32,
    ) -> Begin {
        let handle = self.handle(caller.process, handle)?;
        crate::handle::require(handle.rights, Rights::SIGNAL)?;
        let mut allowed = Signals::USER_ALL;
        allowed.set(
            Signals::EVENT_SIGNALED,
            matches!(handle.object, ObjectRef::Event(_)),
        );
        let (clear, set) = (
            Signals::from_bits_retain(clear),
            Signals::from_bits_retain(set),
        );
        if !allowed.contains(clear | set) {
            return Err(Status::INVALID_ARGS);
        }
        self.change_signals(handle.object, clear, set);
        Ok(Started::Done(0))
    }

    /// Options, port, object: in this order. What is asserted already is told at once, unless only a change counts (EDGE).
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
        let timestamps = WaitAsyncOptions::TIMESTAMP | WaitAsyncOptions::BOOT_TIMESTAMP;
        if options.contains(timestamps) {
            return Err(Status::INVALID_ARGS);
        }
        let (port, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let handle = self.handle(caller.process, raw)?;
        crate::handle::require(handle.rights, Rights::WAIT)?;
        let id = ObserverId {
            process: caller.process,
            handle: raw,
            number: self.next_id(),
        };
        let observer = Observer {
            trigger: Signals::from_bits_retain(signals),
            then: Notify::Packet {
                port,
                key,
                timestamp: options.intersects(timestamps),
            },
        };
        let header = self.header_mut(handle.object).ok_or(Status::INTERNAL)?;
        if header.observers.len() >= MAX_OBSERVERS {
            return Err(Status::NO_MEMORY);
        }
        let now = header.signals;
        self.observe(caller.thread, port, key, (handle.object, id))?;
        if now.intersects(observer.trigger) && !options.contains(WaitAsyncOptions::EDGE) {
            self.forget_observer(port, key, id.number);
            self.notify(id, observer, now);
        } else if let Some(header) = self.header_mut(handle.object) {
            header.observers.insert(id, observer);
        }
        Ok(Started::Done(0))
    }

    /// A handle is closed: waits through it end. Packets that are queued already stay.
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
        let through = header.observers.range(ObserverId::through(process, handle));
        let through: Vec<ObserverId> = through.map(|(id, _)| *id).collect();
        for id in through {
            let observer = self.take_observer(object, id);
            if let Some(Notify::Wake(token)) = observer.map(|observer| observer.then) {
                self.see(token, id, signals | Signals::HANDLE_CLOSED);
            }
        }
    }
}
