//! Ports: one queue of packets, first in first out over all kinds.
//!
//! A user or signal packet is held in the queue itself; a pager-owned VMO has one place in the queue, and what it says is
//! looked up when it is taken out ([`crate::source`]).

use std::collections::VecDeque;

use protocol::{PacketKind, PortPacket, RawHandle, Rights, Signals, Status, options};

use crate::header::Header;
use crate::ids::{ObjectRef, PortId, ProcessId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::source::{PacketMove, Provider};
use crate::user::{AfterCopyIn, CopyOut, Undo};

/// A queue is refused when this many user packets are in it already.
const MAX_USER_PACKETS: usize = 4096;

/// A port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub header: Header,
    queue: VecDeque<Item>,
    waiters: VecDeque<Token>,
}

#[derive(Clone, Debug)]
enum Item {
    Packet(PortPacket),
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
        if options & !options::PORT_BIND_TO_INTERRUPT != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let id = PortId(self.next_koid());
        let port = Port {
            header: Header::new(Signals::empty()),
            queue: VecDeque::new(),
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
        process: ProcessId,
        port: RawHandle,
        bytes: &[u8],
    ) -> StepResult {
        let (id, _) = self.typed::<PortId>(process, port, Rights::WRITE)?;
        let bytes = bytes.try_into().map_err(|_| Status::INTERNAL)?;
        let packet = PortPacket {
            kind: PacketKind::User as u32,
            ..PortPacket::from_bytes(bytes)
        };
        self.check_room(id)?;
        self.queue_packet(id, packet);
        Ok(Step::Done(0))
    }

    /// SHOULD_WAIT if the port holds as many packets of programs and signals as it takes.
    pub(crate) fn check_room(&self, id: PortId) -> Result<(), Status> {
        let port = self.ports.get(&id).ok_or(Status::BAD_HANDLE)?;
        let held = port
            .queue
            .iter()
            .filter(|item| matches!(item, Item::Packet(_)));
        if held.count() > MAX_USER_PACKETS {
            return Err(Status::SHOULD_WAIT);
        }
        Ok(())
    }

    /// Queues a packet of the core's own; a closed port loses it.
    pub(crate) fn queue_packet(&mut self, id: PortId, packet: PortPacket) {
        self.push(id, Item::Packet(packet));
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
            match self.ports.get_mut(&id)?.queue.pop_front()? {
                Item::Packet(packet) => return Some(packet),
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
        }
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
        for item in port.queue {
            if let Item::Source(vmo) = item {
                self.pump_source(vmo, true);
                self.bury(vmo);
            }
        }
    }
}
