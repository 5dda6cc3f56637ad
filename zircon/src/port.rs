//! Ports: one queue of packets, first in first out over all kinds.
//!
//! A user or signal packet is held in the queue itself; a pager-owned VMO has one place in the queue, and what it says is
//! looked up when it is taken out ([`crate::source`]). A port also knows the waits that will queue a packet in it
//! ([`crate::signals`]), to cancel them.

use std::collections::{BTreeMap, VecDeque};

use protocol::{
    PacketKind, PolicyCode, PolicyCondition, PortPacket, RawHandle, Rights, Signals, Status,
    options,
};

use crate::handle::require;
use crate::header::{Header, ObserverId};
use crate::ids::{ObjectRef, PortId, ProcessId, ThreadId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::source::{PacketMove, Provider};
use crate::user::{AfterCopyIn, CopyOut, Undo};

/// A packet of a program is refused when more than this many of them are in the queue already.
const MAX_USER_PACKETS: usize = 4096;

/// A further wait that will queue a packet in a port is registered, but raises a policy exception.
const MANY_OBSERVERS: usize = 50_000;

/// Most packets in all ports of the VM, those of pagers not counted, and waits that will queue one.
const MAX_PACKETS: usize = 1 << 18;

/// A port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub header: Header,
    queue: VecDeque<Item>,
    /// Packets of programs in the queue.
    user_packets: usize,
    /// Waits that will queue a packet: by key and number, the object and the observer there.
    observers: BTreeMap<(u64, u64), (ObjectRef, ObserverId)>,
    waiters: VecDeque<Token>,
}

#[derive(Clone, Debug)]
enum Item {
    /// A program's own packet.
    User(PortPacket),
    /// A signal was seen through this handle.
    Signal(PortPacket, (ProcessId, RawHandle)),
    /// A pager-owned VMO has something to say.
    Source(VmoId),
}

/// A `zx_port_wait` that has no packet yet.
#[derive(Clone, Debug)]
pub(crate) struct PortWait {
    process: ProcessId,
    port: PortId,
    out: u64,
}

impl Kernel {
    pub(crate) fn sys_port_create(&mut self, caller: Caller, options: u32, out: u64) -> Begin {
        self.enforce(caller, PolicyCondition::NewPort)?;
        if options & !options::PORT_BIND_TO_INTERRUPT != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let id = PortId(self.next_koid());
        let port = Port {
            header: Header::new(Signals::empty()),
            queue: VecDeque::new(),
            user_packets: 0,
            observers: BTreeMap::new(),
            waiters: VecDeque::new(),
        };
        self.ports.insert(id, port);
        self.return_handle(caller, ObjectRef::Port(id), Rights::DEFAULT_PORT, out)
    }

    pub(crate) fn sys_port_queue(&mut self, caller: Caller, port: RawHandle, packet: u64) -> Begin {
        self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let then = AfterCopyIn::PortQueue { port };
        let size = PortPacket::SIZE as u64;
        let body = self.copy_in(caller.process, caller.thread, packet, size, then);
        self.begin(caller, body, Vec::new())
    }

    /// The rest of `zx_port_queue`: the type is forced to USER, the status kept.
    pub(crate) fn queue_user(
        &mut self,
        caller: Caller,
        port: RawHandle,
        bytes: &[u8],
    ) -> StepResult {
        let (id, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let bytes = bytes.try_into().map_err(|_| Status::INTERNAL)?;
        let packet = PortPacket {
            kind: PacketKind::User as u32,
            ..PortPacket::from_bytes(bytes)
        };
        let port = self.ports.get(&id).ok_or(Status::BAD_HANDLE)?;
        if port.user_packets > MAX_USER_PACKETS {
            self.raise_policy(caller.thread, PolicyCode::PortTooManyPackets);
            return Err(Status::SHOULD_WAIT);
        }
        self.count_packet()?;
        if let Some(port) = self.ports.get_mut(&id) {
            port.user_packets += 1;
        }
        self.push(id, Item::User(packet));
        Ok(Step::Done(0))
    }

    /// One packet more, or a wait that will queue one: NO_MEMORY if there are too many.
    fn count_packet(&mut self) -> Result<(), Status> {
        if self.packets >= MAX_PACKETS {
            return Err(Status::NO_MEMORY);
        }
        self.packets += 1;
        Ok(())
    }

    /// A wait will queue its packet in a port.
    pub(crate) fn observe(
        &mut self,
        thread: ThreadId,
        id: PortId,
        key: u64,
        (object, observer): (ObjectRef, ObserverId),
    ) -> Result<(), Status> {
        self.count_packet()?;
        let port = self.ports.get_mut(&id).ok_or(Status::BAD_HANDLE)?;
        let many = port.observers.len() >= MANY_OBSERVERS;
        port.observers
            .insert((key, observer.number), (object, observer));
        if many {
            self.raise_policy(thread, PolicyCode::PortTooManyObservers);
        }
        Ok(())
    }

    /// A wait will queue no packet any more.
    pub(crate) fn forget_observer(&mut self, id: PortId, key: u64, number: u64) {
        let port = self.ports.get_mut(&id);
        if port.is_some_and(|port| port.observers.remove(&(key, number)).is_some()) {
            self.packets -= 1;
        }
    }

    /// Queues the packet of a wait that has just been forgotten, and whose place it takes.
    pub(crate) fn queue_signal(
        &mut self,
        id: PortId,
        packet: PortPacket,
        source: (ProcessId, RawHandle),
    ) {
        if self.ports.contains_key(&id) {
            self.packets += 1;
            self.push(id, Item::Signal(packet, source));
        }
    }

    fn push(&mut self, id: PortId, item: Item) {
        let Some(port) = self.ports.get_mut(&id) else {
            return;
        };
        port.queue.push_back(item);
        if let Some(waiter) = port.waiters.pop_front() {
            self.wake(waiter);
        }
    }

    pub(crate) fn sys_port_wait(
        &mut self,
        caller: Caller,
        handle: RawHandle,
        deadline: i64,
        out: u64,
    ) -> Begin {
        let (port, _) = self.typed::<PortId>(caller.process, handle, Rights::READ)?;
        let body = Body::PortWait(PortWait {
            process: caller.process,
            port,
            out,
        });
        self.begin_until(caller, body, deadline)
    }

    pub(crate) fn step_port_wait(
        &mut self,
        token: Token,
        op: &mut Op,
        wait: &PortWait,
    ) -> StepResult {
        // A packet that is there is taken even if the deadline has passed.
        if let Some(packet) = self.take_packet(wait.port) {
            let writes = vec![(wait.out, packet.to_bytes().to_vec())];
            op.deadline = None;
            return Ok(Step::Become(Body::CopyOut(CopyOut {
                process: wait.process,
                writes,
                value: Status::OK,
                undo: Undo::Nothing,
            })));
        }
        if op.deadline.is_some_and(|deadline| deadline <= self.now) {
            return Err(Status::TIMED_OUT);
        }
        // A port whose last handle is closed stays silent: the waiter waits for its deadline.
        if let Some(port) = self.ports.get_mut(&wait.port) {
            port.waiters.push_back(token);
        }
        Ok(Step::Wait(Waiting::Port(wait.port)))
    }

    fn take_packet(&mut self, id: PortId) -> Option<PortPacket> {
        loop {
            let port = self.ports.get_mut(&id)?;
            match port.queue.pop_front()? {
                Item::User(packet) => {
                    port.user_packets -= 1;
                    self.packets -= 1;
                    return Some(packet);
                }
                Item::Signal(packet, _) => {
                    self.packets -= 1;
                    return Some(packet);
                }
                Item::Source(vmo) => {
                    let source = self.vmos.get_mut(&vmo).and_then(|vmo| vmo.source_mut());
                    let packet = source.and_then(|source| source.take_packet());
                    self.pump_source(vmo, false);
                    self.bury(vmo);
                    if packet.is_some() {
                        return packet;
                    }
                }
            }
        }
    }

    pub(crate) fn leave_port(&mut self, id: PortId, token: Token) {
        if let Some(port) = self.ports.get_mut(&id) {
            port.waiters.retain(|&waiter| waiter != token);
            // It may have been woken for a packet that it will not take.
            if !port.queue.is_empty()
                && let Some(next) = port.waiters.pop_front()
            {
                self.wake(next);
            }
        }
    }

    /// Port, then source; removes waits through this very handle, and packets of signals seen through it.
    pub(crate) fn sys_port_cancel(
        &mut self,
        caller: Caller,
        port: RawHandle,
        raw: RawHandle,
        key: u64,
    ) -> Begin {
        let (id, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let source = self.handle(caller.process, raw)?;
        require(source.rights, Rights::WAIT)?;
        let through = (caller.process, raw);
        let waits = self.cancel_observers(id, key, |observer| {
            (observer.process, observer.handle) == through
        });
        let is_from = |item: &Item| matches!(item, Item::Signal(packet, from) if packet.key == key && *from == through);
        found(waits + self.cancel_packets(id, is_from))
    }

    /// Removes everything with a key but the packets of pagers: their VMOs would wait for ever for an answer to a request
    /// that nobody has seen.
    pub(crate) fn sys_port_cancel_key(
        &mut self,
        caller: Caller,
        port: RawHandle,
        options: u32,
        key: u64,
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (id, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let waits = self.cancel_observers(id, key, |_| true);
        let has_key = |item: &Item| match item {
            Item::User(packet) | Item::Signal(packet, _) => packet.key == key,
            Item::Source(_) => false,
        };
        found(waits + self.cancel_packets(id, has_key))
    }

    /// Removes the waits with this key that `which` picks: how many.
    fn cancel_observers(
        &mut self,
        id: PortId,
        key: u64,
        which: impl Fn(&ObserverId) -> bool,
    ) -> usize {
        let Some(port) = self.ports.get(&id) else {
            return 0;
        };
        let with_key = port.observers.range((key, 0)..=(key, u64::MAX));
        let picked = with_key.filter(|(_, (_, observer))| which(observer));
        let picked: Vec<_> = picked.map(|(_, entry)| *entry).collect();
        for (object, observer) in &picked {
            self.take_observer(*object, *observer);
        }
        picked.len()
    }

    /// Removes the packets that `which` picks, never a pager's: how many.
    fn cancel_packets(&mut self, id: PortId, which: impl Fn(&Item) -> bool) -> usize {
        let Some(port) = self.ports.get_mut(&id) else {
            return 0;
        };
        let before = port.queue.len();
        port.queue.retain(|item| !which(item));
        let removed = before - port.queue.len();
        let users = port.queue.iter().filter(|i| matches!(i, Item::User(_)));
        port.user_packets = users.count();
        self.packets -= removed;
        removed
    }

    /// Moves a VMO's packet on after its source changed. `was_queued`: whether the packet was in the port before.
    pub(crate) fn pump_source(&mut self, id: VmoId, was_queued: bool) {
        let Some(source) = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut()) else {
            return;
        };
        let Provider::Pager { port, .. } = source.provider else {
            return;
        };
        if !self.ports.contains_key(&port) {
            // Requests stay until they are answered; nobody hears of them, and nothing is held for a packet.
            return source.silence();
        }
        let Some(change) = source.next_packet(was_queued) else {
            return;
        };
        if matches!(change, PacketMove::Withdraw | PacketMove::Requeue)
            && let Some(port) = self.ports.get_mut(&port)
        {
            port.queue
                .retain(|item| !matches!(item, Item::Source(vmo) if *vmo == id));
        }
        if matches!(change, PacketMove::Queue | PacketMove::Requeue) {
            self.push(port, Item::Source(id));
        }
    }

    /// The last handle of a port is closed: what is queued is lost.
    pub(crate) fn drop_port(&mut self, id: PortId) {
        let Some(port) = self.ports.remove(&id) else {
            return;
        };
        for (object, observer) in port.observers.into_values() {
            self.packets -= 1;
            self.take_observer(object, observer);
        }
        for item in port.queue {
            match item {
                Item::User(_) | Item::Signal(..) => self.packets -= 1,
                Item::Source(vmo) => {
                    self.pump_source(vmo, true);
                    self.bury(vmo);
                }
            }
        }
    }
}

/// What a cancelling call returns that removed so many: NOT_FOUND if it was nothing.
fn found(removed: usize) -> Begin {
    match removed {
        0 => Err(Status::NOT_FOUND),
        _ => Ok(Started::Done(0)),
    }
}
