//! Waiting for signals in a call: `zx_object_wait_one`, `zx_object_wait_many`.
//!
//! The call registers an observer for each item, and waits until one of them has seen something or the deadline comes. It
//! takes its observers back itself, and answers with what each item saw, or else with what is asserted now.

use protocol::options::WAIT_MANY_MAX_ITEMS;
use protocol::{RawHandle, Rights, Signals, Status, WaitItem};

use crate::handle::require;
use crate::header::{Notify, Observer, ObserverId};
use crate::ids::{ObjectRef, ProcessId, Token};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::user::{AfterCopyIn, CopyOut, Undo};

/// Bytes of one item: handle, signals to wait for, signals that were asserted.
const ITEM_SIZE: u64 = size_of::<WaitItem>() as u64;

/// A call that waits for signals.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    process: ProcessId,
    items: Vec<Item>,
    out: Out,
}

/// One object that is waited for.
#[derive(Clone, Debug)]
struct Item {
    handle: RawHandle,
    object: ObjectRef,
    trigger: Signals,
    observer: Option<ObserverId>,
    /// The object's signals when one of those waited for was asserted, or when the handle was closed.
    seen: Option<Signals>,
}

/// Where the signals go that were asserted.
#[derive(Clone, Copy, Debug)]
enum Out {
    /// One word, or nowhere (0).
    One(u64),
    /// The items of `zx_object_wait_many`.
    Many(u64),
}

impl Wait {
    /// Whether it waits for several objects.
    pub fn is_many(&self) -> bool {
        matches!(self.out, Out::Many(_))
    }

    /// An observer of this wait has seen `signals`.
    pub fn see(&mut self, id: ObserverId, signals: Signals) {
        let mut items = self.items.iter_mut();
        if let Some(item) = items.find(|item| item.observer == Some(id)) {
            item.seen = Some(signals);
        }
    }

    /// What is written to the program at the end.
    fn results(&self) -> Vec<(u64, Vec<u8>)> {
        let pending = |item: &Item| item.seen.unwrap_or(Signals::empty()).bits();
        match self.out {
            Out::One(0) => Vec::new(),
            Out::One(address) => {
                let bytes = self.items.iter().flat_map(|i| pending(i).to_le_bytes());
                vec![(address, bytes.collect())]
            }
            Out::Many(_) if self.items.is_empty() => Vec::new(),
            Out::Many(address) => {
                let words = self
                    .items
                    .iter()
                    .flat_map(|item| [item.handle, item.trigger.bits(), pending(item)]);
                vec![(address, words.flat_map(u32::to_le_bytes).collect())]
            }
        }
    }
}

impl Kernel {
    pub(crate) fn sys_object_wait_one(
        &mut self,
        caller: Caller,
        raw: RawHandle,
        signals: u32,
        deadline: i64,
        observed: u64,
    ) -> Begin {
        let item = self.wait_item(caller.process, raw, signals)?;
        let wait = Wait {
            process: caller.process,
            items: vec![item],
            out: Out::One(observed),
        };
        self.begin_until(caller, Body::Wait(wait), deadline)
    }

    pub(crate) fn sys_object_wait_many(
        &mut self,
        caller: Caller,
        items: u64,
        count: u64,
        deadline: i64,
    ) -> Begin {
        if count > WAIT_MANY_MAX_ITEMS as u64 {
            return Err(Status::OUT_OF_RANGE);
        }
        let (then, length) = (AfterCopyIn::WaitMany { items }, count * ITEM_SIZE);
        let body = self.copy_in(caller.process, caller.thread, items, length, then);
        self.begin_until(caller, body, deadline)
    }

    /// The rest of `zx_object_wait_many`. Without items it sleeps.
    pub(crate) fn wait_many(&mut self, process: ProcessId, out: u64, bytes: &[u8]) -> StepResult {
        let mut items = Vec::new();
        for item in bytes.as_chunks::<{ ITEM_SIZE as usize }>().0 {
            let [h0, h1, h2, h3, s0, s1, s2, s3, ..] = *item;
            let signals = u32::from_le_bytes([s0, s1, s2, s3]);
            let handle = RawHandle::from_le_bytes([h0, h1, h2, h3]);
            items.push(self.wait_item(process, handle, signals)?);
        }
        Ok(Step::Become(Body::Wait(Wait {
            process,
            items,
            out: Out::Many(out),
        })))
    }

    fn wait_item(
        &self,
        process: ProcessId,
        handle: RawHandle,
        signals: u32,
    ) -> Result<Item, Status> {
        let found = self.handle(process, handle)?;
        require(found.rights, Rights::WAIT)?;
        Ok(Item {
            handle,
            object: found.object,
            trigger: Signals::from_bits_retain(signals),
            observer: None,
            seen: None,
        })
    }

    pub(crate) fn step_wait(&mut self, token: Token, op: &mut Op, wait: &mut Wait) -> StepResult {
        let registered = wait.items.iter().any(|item| item.observer.is_some());
        if !registered {
            for item in &mut wait.items {
                let signals = self.signals_of(item.object);
                item.seen = signals.intersects(item.trigger).then_some(signals);
            }
        }
        let seen = wait.items.iter().any(|item| item.seen.is_some());
        if !seen && op.deadline.is_none_or(|deadline| deadline > self.now) {
            if !registered {
                self.register_wait(token, wait);
            }
            return Ok(Step::Wait(match wait.items.as_slice() {
                [] => Waiting::Outside,
                [first, others @ ..] => Waiting::Objects(first.object, others.len()),
            }));
        }
        self.leave_objects(wait);
        op.deadline = None;
        let closed = |item: &Item| {
            item.seen
                .is_some_and(|signals| signals.contains(Signals::HANDLE_CLOSED))
        };
        let value = match seen {
            true if wait.items.iter().any(closed) => Status::CANCELED,
            true => Status::OK,
            false => Status::TIMED_OUT,
        };
        for item in &mut wait.items {
            let signals = self.signals_of(item.object);
            item.seen.get_or_insert(signals);
        }
        Ok(Step::Become(Body::CopyOut(CopyOut {
            process: wait.process,
            writes: wait.results(),
            value,
            undo: Undo::Nothing,
        })))
    }

    fn signals_of(&mut self, object: ObjectRef) -> Signals {
        self.header_mut(object)
            .map_or(Signals::empty(), |header| header.signals)
    }

    fn register_wait(&mut self, token: Token, wait: &mut Wait) {
        for item in &mut wait.items {
            let id = ObserverId {
                process: wait.process,
                handle: item.handle,
                number: self.next_id(),
            };
            let observer = Observer {
                trigger: item.trigger,
                then: Notify::Wake(token),
            };
            if let Some(header) = self.header_mut(item.object) {
                header.observers.insert(id, observer);
                item.observer = Some(id);
            }
        }
    }

    /// Takes a call's observers back.
    pub(crate) fn leave_objects(&mut self, wait: &Wait) {
        for item in &wait.items {
            if let Some(id) = item.observer {
                self.take_observer(item.object, id);
            }
        }
    }
}
