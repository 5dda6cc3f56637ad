//! The guest threads that live on one vCPU: their slots, and the translation of items into mailbox entries.
//!
//! Only the vCPU's own thread uses this. A slot whose thread was killed serves again when the guest kernel has drained the
//! batch that said so; a new thread that finds no slot waits for one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::GeneralRegs;
use protocol::vcpu::{Entry, EntryKind, MAX_THREADS, ThreadContext};
use zircon::ThreadId;

use super::mailbox::Item;
use crate::machine::{Area, MachineError};

/// The slots of one vCPU.
#[derive(Debug)]
pub(super) struct Slots {
    of: BTreeMap<ThreadId, u32>,
    /// Who is, or was last, in each slot: the guest may run a killed thread until it has drained the batch.
    threads: Vec<Option<ThreadId>>,
    free: Vec<u32>,
    /// Killed in the batch that the guest has not drained yet, or in one to come.
    dying: Vec<u32>,
    /// New threads without a slot.
    waiting: VecDeque<(ThreadId, Box<ThreadContext>)>,
    /// Stopped, or about to be: whoever else wants one of them to go on comes too late.
    stopped: BTreeSet<ThreadId>,
    /// Entries on their way.
    outbox: VecDeque<Entry>,
}

impl Slots {
    pub fn new() -> Self {
        Slots {
            of: BTreeMap::new(),
            threads: vec![None; MAX_THREADS],
            free: (0..MAX_THREADS as u32).rev().collect(),
            dying: Vec::new(),
            waiting: VecDeque::new(),
            stopped: BTreeSet::new(),
            outbox: VecDeque::new(),
        }
    }

    /// The thread in `slot`.
    pub fn thread(&self, slot: u32) -> Option<ThreadId> {
        self.threads.get(slot as usize).copied().flatten()
    }

    /// The slot of a thread.
    pub fn slot(&self, thread: ThreadId) -> Option<u32> {
        self.of.get(&thread).copied()
    }

    /// Whether the thread is stopped or about to be.
    pub fn is_stopped(&self, thread: ThreadId) -> bool {
        self.stopped.contains(&thread)
    }

    /// Every thread with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, u32)> {
        self.of.iter().map(|(thread, slot)| (*thread, *slot))
    }

    /// Whether every entry handed over so far has been carried out by the guest.
    pub fn is_settled(&self, area: &Area) -> Result<bool, MachineError> {
        Ok(self.outbox.is_empty() && area.is_drained()?)
    }

    /// Puts items into the mailbox, as many as fit; says whether the guest has something to drain.
    pub fn deliver(
        &mut self,
        area: &Area,
        items: impl IntoIterator<Item = Item>,
    ) -> Result<bool, MachineError> {
        if self.is_settled(area)? {
            self.free.append(&mut self.dying);
        }
        for item in items {
            self.translate(area, item)?;
        }
        while let Some((thread, context)) = self.waiting.pop_front() {
            let Some(slot) = self.free.pop() else {
                self.waiting.push_front((thread, context));
                break;
            };
            self.seat(area, thread, slot, *context)?;
            self.announce(thread, slot);
        }
        area.post(&mut self.outbox)?;
        Ok(!area.is_drained()?)
    }

    /// The slot of a new thread that the guest kernel need not be told of; `None`: it has to wait for one.
    pub fn begin(
        &mut self,
        area: &Area,
        thread: ThreadId,
        context: Box<ThreadContext>,
    ) -> Result<Option<u32>, MachineError> {
        let Some(slot) = self.free.pop() else {
            self.waiting.push_back((thread, context));
            return Ok(None);
        };
        self.seat(area, thread, slot, *context)?;
        Ok(Some(slot))
    }

    fn seat(
        &mut self,
        area: &Area,
        thread: ThreadId,
        slot: u32,
        context: ThreadContext,
    ) -> Result<(), MachineError> {
        area.set_context(slot, &ThreadContext { slot, ..context })?;
        self.of.insert(thread, slot);
        if let Some(place) = self.threads.get_mut(slot as usize) {
            *place = Some(thread);
        }
        Ok(())
    }

    /// Tells the guest kernel of a new thread.
    fn announce(&mut self, thread: ThreadId, slot: u32) {
        self.push(EntryKind::Resume, slot, 0, 0);
        // The order to stop it came before it had a slot.
        if self.stopped.contains(&thread) {
            self.push(EntryKind::Stop, slot, 0, 0);
        }
    }

    fn push(&mut self, kind: EntryKind, slot: u32, a: u64, b: u64) {
        self.outbox.push_back(Entry {
            kind: kind as u32,
            slot,
            a,
            b,
        });
    }

    fn translate(&mut self, area: &Area, item: Item) -> Result<(), MachineError> {
        let on_thread = match item {
            Item::Start(thread, context) => {
                self.waiting.push_back((thread, context));
                return Ok(());
            }
            Item::Link(link) => {
                self.push(EntryKind::Link, 0, link.entry, link.value);
                return Ok(());
            }
            Item::Refresh(page) => {
                self.push(EntryKind::Refresh, 0, page, 0);
                return Ok(());
            }
            Item::Flush(id) => {
                self.push(EntryKind::Flush, 0, id, 0);
                return Ok(());
            }
            Item::SetBase { thread, gs, value } => {
                if let Some(slot) = self.slot(thread) {
                    self.push(EntryKind::SetBase, slot, value, gs.into());
                }
                return Ok(());
            }
            Item::Kill(thread) => {
                self.waiting.retain(|(waiting, _)| *waiting != thread);
                if let Some(slot) = self.of.remove(&thread) {
                    self.dying.push(slot);
                    self.push(EntryKind::Kill, slot, 0, 0);
                }
                self.stopped.remove(&thread);
                return Ok(());
            }
            Item::Stop(thread) => {
                self.stopped.insert(thread);
                (thread, EntryKind::Stop, 0)
            }
            Item::Go(thread, registers) => {
                self.stopped.remove(&thread);
                if let Some(registers) = registers {
                    self.set_registers(area, thread, &registers)?;
                }
                (thread, EntryKind::Resume, 0)
            }
            Item::Park(thread) => (thread, EntryKind::Park, 0),
            Item::Complete(thread, value) => (thread, EntryKind::Complete, value),
            Item::Resume(thread) if self.stopped.contains(&thread) => return Ok(()),
            Item::Resume(thread) => (thread, EntryKind::Resume, 0),
        };
        // A thread that was killed meanwhile has no slot any more.
        let (thread, kind, value) = on_thread;
        if let Some(slot) = self.slot(thread) {
            self.push(kind, slot, value, 0);
        }
        Ok(())
    }

    /// Gives a stopped thread other registers. The guest kernel has its segment bases in the processor, perhaps: it sets them
    /// itself.
    fn set_registers(
        &mut self,
        area: &Area,
        thread: ThreadId,
        registers: &GeneralRegs,
    ) -> Result<(), MachineError> {
        let Some(slot) = self.slot(thread) else {
            return Ok(());
        };
        let mut context = area.context(slot)?;
        let (fs_base, gs_base) = (context.fs_base, context.gs_base);
        context.set_general_regs(&GeneralRegs {
            fs_base,
            gs_base,
            ..*registers
        });
        area.set_context(slot, &context)?;
        let bases = [
            (fs_base, registers.fs_base, 0),
            (gs_base, registers.gs_base, 1),
        ];
        for (_, base, gs) in bases.into_iter().filter(|(old, new, _)| old != new) {
            self.push(EntryKind::SetBase, slot, base, gs);
        }
        Ok(())
    }

    /// Whether a new thread waits for a slot.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets the next thread run.
    pub fn preempt(&mut self) {
        self.push(EntryKind::Preempt, 0, 0, 0);
    }
}
