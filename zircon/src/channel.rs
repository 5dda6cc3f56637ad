//! Channels: two ends, each with a queue of messages that the other end wrote.
//!
//! ```text
//! write: bytes copied in -> handles copied in -> taken from the writer's table -> message in the peer's queue
//! read:  message out of the own queue -> handles into the reader's table -> counts, bytes and handle values copied out
//! ```
//! A handle in a message belongs to no process, but keeps its object. A write that fails has consumed its handles. A message
//! that was taken out of the queue and cannot be copied out is lost, and its handles with it.

use std::collections::VecDeque;

use protocol::{PolicyCode, PolicyCondition, RawHandle, Rights, Signals, Status, options};

use crate::handle::Handle;
use crate::header::Header;
use crate::ids::{ChannelId, ObjectRef};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, OK, Step, StepResult};
use crate::user::{AfterCopyIn, CopyOut, Undo};

/// Messages that one end's queue takes; a further write gets SHOULD_WAIT and an exception.
const MAX_MESSAGES: usize = 3500;

/// What all messages of all channels may take together, in bytes; a write beyond it gets NO_MEMORY.
const MAX_QUEUED: u64 = 64 << 20;

/// What a message and each handle in it count beside its bytes.
const MESSAGE_COST: u64 = 64;

/// One end of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub header: Header,
    /// The other end, while it has handles, or a task that writes to it.
    pub peer: Option<ChannelId>,
    queue: VecDeque<Message>,
}

/// A message on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub bytes: Vec<u8>,
    pub handles: Vec<Handle>,
}

impl Channel {
    pub fn has_messages(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The handles in its messages.
    pub fn handles_within(&self) -> impl Iterator<Item = &Handle> {
        self.queue.iter().flat_map(|message| &message.handles)
    }
}

impl Message {
    fn cost(&self) -> u64 {
        self.bytes.len() as u64 + MESSAGE_COST * (1 + self.handles.len() as u64)
    }
}

/// The arguments of `zx_channel_write`, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteArgs {
    pub channel: RawHandle,
    pub options: u32,
    pub bytes: u64,
    pub byte_count: u32,
    pub handles: u64,
    pub handle_count: u32,
}

/// The arguments of `zx_channel_read`, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadArgs {
    pub channel: RawHandle,
    pub options: u32,
    pub bytes: u64,
    pub handles: u64,
    pub byte_count: u32,
    pub handle_count: u32,
    pub actual_bytes: u64,
    pub actual_handles: u64,
}

impl Kernel {
    pub(crate) fn sys_channel_create(
        &mut self,
        caller: Caller,
        options: u32,
        out0: u64,
        out1: u64,
    ) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        self.enforce(caller, PolicyCondition::NewChannel)?;
        let (first, second) = self.new_channel();
        let ends = [(first, out0), (second, out1)];
        let copy = self.handles_to_user(
            caller.process,
            &ends.map(|(id, out)| (ObjectRef::Channel(id), Rights::DEFAULT_CHANNEL, out)),
        )?;
        self.begin(caller, Body::CopyOut(copy), Vec::new())
    }

    /// Two ends of a new channel, without handles.
    pub(crate) fn new_channel(&mut self) -> (ChannelId, ChannelId) {
        let ids = (ChannelId(self.next_koid()), ChannelId(self.next_koid()));
        for (id, peer) in [ids, (ids.1, ids.0)] {
            let channel = Channel {
                header: Header::new(Signals::CHANNEL_WRITABLE),
                peer: Some(peer),
                queue: VecDeque::new(),
            };
            self.channels.insert(id, channel);
        }
        ids
    }

    pub(crate) fn sys_channel_write(&mut self, caller: Caller, args: WriteArgs) -> Begin {
        let too_many = args.handle_count as usize > options::CHANNEL_MAX_HANDLES;
        let refused = if args.options != 0 {
            Some(Status::INVALID_ARGS)
        } else if args.byte_count as usize > options::CHANNEL_MAX_BYTES || too_many {
            Some(Status::OUT_OF_RANGE)
        } else {
            None
        };
        let body = match refused {
            Some(status) => self.consume_handles(caller, args, status),
            None => {
                let then = AfterCopyIn::ChannelBytes(args);
                let length = args.byte_count.into();
                self.copy_in(caller.process, caller.thread, args.bytes, length, then)
            }
        };
        self.begin(caller, body, Vec::new())
    }

    /// A write failed before its handles were looked at: they are closed all the same.
    pub(crate) fn consume_handles(&self, caller: Caller, args: WriteArgs, status: Status) -> Body {
        let count = u64::from(args.handle_count).min(crate::dispatch::MAX_CLOSE_MANY);
        let then = AfterCopyIn::CloseRefused(status);
        self.copy_in(caller.process, caller.thread, args.handles, count * 4, then)
    }

    /// The bytes of a write are there.
    pub(crate) fn channel_bytes(
        &mut self,
        caller: Caller,
        args: WriteArgs,
        bytes: Vec<u8>,
    ) -> StepResult {
        if let Err(status) = self.typed::<ChannelId>(caller.process, args.channel, Rights::WRITE) {
            return Ok(Step::Become(self.consume_handles(caller, args, status)));
        }
        let channel = args.channel;
        let then = AfterCopyIn::ChannelHandles { channel, bytes };
        let length = u64::from(args.handle_count) * 4;
        let body = self.copy_in(caller.process, caller.thread, args.handles, length, then);
        Ok(Step::Become(body))
    }

    /// The handles of a write are there: the rest of `zx_channel_write`.
    pub(crate) fn channel_handles(
        &mut self,
        caller: Caller,
        channel: RawHandle,
        bytes: Vec<u8>,
        handles: &[u8],
    ) -> StepResult {
        let process = caller.process;
        let end = self.typed::<ChannelId>(process, channel, Rights::WRITE);
        let mut message = Message {
            bytes,
            handles: Vec::new(),
        };
        let mut result = end.map(|(id, _)| id);
        for raw in handles.as_chunks().0 {
            let raw = RawHandle::from_le_bytes(*raw);
            // Each is taken, whatever is wrong with it or with one before it.
            match self.take_handle(process, raw) {
                Ok(handle) => {
                    let own = result.is_ok_and(|id| handle.object == ObjectRef::Channel(id));
                    message.handles.push(handle);
                    if own {
                        result = result.and(Err(Status::NOT_SUPPORTED));
                    } else if !handle.rights.contains(Rights::TRANSFER) {
                        result = result.and(Err(Status::ACCESS_DENIED));
                    }
                }
                Err(status) => result = result.and(Err(status)),
            }
        }
        let written = result.and_then(|id| {
            let peer = self.channels.get(&id).and_then(|channel| channel.peer);
            peer.ok_or(Status::PEER_CLOSED)
        });
        match written.and_then(|peer| self.check_queue(peer, &message).map(|()| peer)) {
            Ok(peer) => {
                self.queue_message(peer, message);
                OK
            }
            Err(status) => {
                if status == Status::SHOULD_WAIT {
                    self.raise_policy(caller.thread, PolicyCode::ChannelFullWrite);
                }
                self.discard(message.handles);
                Err(status)
            }
        }
    }

    fn check_queue(&self, id: ChannelId, message: &Message) -> Result<(), Status> {
        let channel = self.channels.get(&id).ok_or(Status::PEER_CLOSED)?;
        if channel.queue.len() >= MAX_MESSAGES {
            return Err(Status::SHOULD_WAIT);
        }
        if self.queued_bytes + message.cost() > MAX_QUEUED {
            return Err(Status::NO_MEMORY);
        }
        Ok(())
    }

    /// Puts a message into an end's queue.
    pub(crate) fn queue_message(&mut self, id: ChannelId, message: Message) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return self.discard(message.handles);
        };
        self.queued_bytes += message.cost();
        channel.queue.push_back(message);
        let readable = Signals::CHANNEL_READABLE;
        self.change_signals(ObjectRef::Channel(id), Signals::empty(), readable);
    }

    pub(crate) fn take_message(&mut self, id: ChannelId) -> Option<Message> {
        let channel = self.channels.get_mut(&id)?;
        let message = channel.queue.pop_front()?;
        self.queued_bytes -= message.cost();
        if channel.queue.is_empty() {
            let readable = Signals::CHANNEL_READABLE;
            self.change_signals(ObjectRef::Channel(id), readable, Signals::empty());
        }
        Some(message)
    }

    pub(crate) fn sys_channel_read(&mut self, caller: Caller, args: ReadArgs) -> Begin {
        if args.options & !options::CHANNEL_READ_MAY_DISCARD != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let (id, _) = self.typed::<ChannelId>(caller.process, args.channel, Rights::READ)?;
        let channel = self.channels.get(&id).ok_or(Status::INTERNAL)?;
        let Some(next) = channel.queue.front() else {
            return Err(match channel.peer {
                Some(_) => Status::SHOULD_WAIT,
                None => Status::PEER_CLOSED,
            });
        };
        let (bytes, handles) = (next.bytes.len() as u32, next.handles.len() as u32);
        let mut writes = Vec::new();
        for (address, count) in [(args.actual_bytes, bytes), (args.actual_handles, handles)] {
            if address != 0 {
                writes.push((address, count.to_le_bytes().to_vec()));
            }
        }
        let mut copy = CopyOut {
            process: caller.process,
            writes,
            value: Status::OK,
            undo: Undo::Nothing,
        };
        let fits = bytes <= args.byte_count && handles <= args.handle_count;
        if !fits {
            copy.value = Status::BUFFER_TOO_SMALL;
            if args.options & options::CHANNEL_READ_MAY_DISCARD != 0
                && let Some(message) = self.take_message(id)
            {
                self.discard(message.handles);
            }
        } else if let Some(message) = self.take_message(id) {
            self.deliver(&mut copy, args, message)?;
        }
        self.begin(caller, Body::CopyOut(copy), Vec::new())
    }

    /// Hands a message over: the bytes are written before the handles.
    fn deliver(
        &mut self,
        copy: &mut CopyOut,
        args: ReadArgs,
        message: Message,
    ) -> Result<(), Status> {
        let mut received = Vec::new();
        let mut result = Ok(());
        for handle in message.handles {
            match self.place_handle(copy.process, handle) {
                Ok(raw) => received.push(raw),
                Err(status) => result = Err(status),
            }
        }
        copy.undo = Undo::Handles(copy.process, received.clone());
        if result.is_err() {
            self.undo(&copy.undo);
            return result;
        }
        if !message.bytes.is_empty() {
            copy.writes.push((args.bytes, message.bytes));
        }
        let values: Vec<u8> = received.iter().flat_map(|raw| raw.to_le_bytes()).collect();
        if !values.is_empty() {
            copy.writes.push((args.handles, values));
        }
        Ok(())
    }

    pub(crate) fn sys_object_signal_peer(
        &mut self,
        caller: Caller,
        handle: RawHandle,
        clear: u32,
        set: u32,
    ) -> Begin {
        let handle = self.handle(caller.process, handle)?;
        crate::handle::require(handle.rights, Rights::SIGNAL_PEER)?;
        let ObjectRef::Channel(id) = handle.object else {
            return Err(Status::NOT_SUPPORTED);
        };
        if (clear | set) & !Signals::USER_ALL.bits() != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let peer = self.channels.get(&id).and_then(|channel| channel.peer);
        let peer = ObjectRef::Channel(peer.ok_or(Status::PEER_CLOSED)?);
        let (clear, set) = (
            Signals::from_bits_retain(clear),
            Signals::from_bits_retain(set),
        );
        self.change_signals(peer, clear, set);
        Ok(crate::kernel::Started::Done(0))
    }

    /// An end is closed: its messages are lost, and the other end learns of it.
    pub(crate) fn drop_channel(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.remove(&id) else {
            return;
        };
        if let Some(peer) = channel.peer.and_then(|peer| self.channels.get_mut(&peer)) {
            peer.peer = None;
        }
        if let Some(peer) = channel.peer {
            let (writable, closed) = (Signals::CHANNEL_WRITABLE, Signals::CHANNEL_PEER_CLOSED);
            self.change_signals(ObjectRef::Channel(peer), writable, closed);
        }
        for message in channel.queue {
            self.queued_bytes -= message.cost();
            self.discard(message.handles);
        }
    }
}
