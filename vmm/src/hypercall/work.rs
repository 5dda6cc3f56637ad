//! Carrying out what the core asks for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use protocol::GeneralRegs;
use zircon::{
    Access, Arrival, Completion, OpResult, Pages, ProcessId, Storage, ThreadId, Token, VmoId, Work,
};

use super::emulated::{Late, LateWrites};
use super::mailbox::{Call, Item};
use super::shared::{Vm, lock};
use super::spaces::FlushOrder;
use crate::machine::{Registers, new_context};
use crate::observe::Event;
use crate::outcome::End;

/// The call on whose behalf a vCPU's thread drains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mine<'a> {
    pub vcpu: u32,
    /// The call, if it has not ended yet.
    pub token: Option<Token>,
    pub thread: Option<ThreadId>,
    /// The thread's registers, for a report.
    pub registers: &'a Registers,
}

/// What is left of an item of work once the core is unlocked.
enum Rest {
    Nothing,
    /// The caller's own call has ended.
    Ended(Completion),
    /// An exception to tell of.
    Report(String),
    /// Something that a program wrote waits to be written.
    Write,
    Work(Work),
}

impl Vm {
    /// Does everything the core has asked for so far, and what follows from it. Returns the end of the caller's own call, if it
    /// came.
    pub(super) fn drain(&self, mine: Option<Mine<'_>>) -> Option<OpResult> {
        let from = mine.map(|mine| mine.vcpu);
        let mut result = None;
        // What a run that has ended still wants is not done: a guest may have asked for hours of it.
        while !self.is_stopped() {
            match self.take_work(mine) {
                None => break,
                Some(Rest::Nothing) => {}
                Some(Rest::Ended(end)) => {
                    self.note_completion(&end);
                    result = Some(end.result);
                    if end.stop {
                        self.post(end.thread, Item::Stop(end.thread), from);
                    }
                }
                Some(Rest::Report(report)) => self.host.report(&report),
                Some(Rest::Write) => self.write_next(),
                Some(Rest::Work(work)) => self.perform(work, from),
            }
        }
        result
    }

    /// Takes the next item, and does what has to be done while the core is still locked: other threads take items, too, and none that
    /// comes later may get ahead of it.
    fn take_work(&self, mine: Option<Mine<'_>>) -> Option<Rest> {
        let from = mine.map(|mine| mine.vcpu);
        let mut core = self.core();
        let work = loop {
            match core.next_work() {
                Some(Work::Tell(event)) => {
                    self.note(Event::Core(event));
                    if self.ahead.is_some() {
                        break Work::Tell(event);
                    }
                }
                Some(work) => break work,
                None => {
                    // An older deadline is not set after a newer one.
                    self.arm(core.next_deadline());
                    return None;
                }
            }
        };
        match work {
            // Before any work on the VMO.
            Work::Created { vmo, storage } => self.create_storage(vmo, storage),
            Work::View { pages, of, at } => self.view_storage(pages, of, at),
            Work::Sized { vmo, pages } => self.size_storage(vmo, pages),
            // What a thread gets comes in order, from where it is placed to where it ends.
            Work::StartThread { thread, .. } => {
                self.place(thread);
                return Some(Rest::Work(work));
            }
            Work::SetBase { thread, gs, value } => {
                self.post(thread, Item::SetBase { thread, gs, value }, from);
            }
            Work::StopThread(thread) => self.post(thread, Item::Stop(thread), from),
            Work::DebugEvent => self.tell_debugger(),
            Work::GoThread(thread, registers) => {
                self.post(thread, Item::Go(thread, registers), from);
            }
            Work::EndThread(thread) => self.end_thread(thread, from),
            Work::Complete(end) if mine.is_some_and(|mine| mine.token == Some(end.token)) => {
                return Some(Rest::Ended(end));
            }
            // What is left of an access is memory's business. A thread that is stopped meanwhile stays so.
            Work::Complete(ref end)
                if end.result == OpResult::Retry && self.has_late_writes(end.thread) =>
            {
                return Some(Rest::Work(work));
            }
            Work::Complete(end) => self.complete(end, from),
            // Neither the end of its process nor that of its thread gets ahead of it.
            Work::Exception(exception) => {
                return Some(match self.report(&core, &exception, mine) {
                    Some(report) => Rest::Report(report),
                    None => Rest::Nothing,
                });
            }
            // What programs write comes out in the order in which it was written.
            Work::DebugWrite(bytes) => {
                lock(&self.unwritten).push_back(bytes);
                return Some(Rest::Write);
            }
            work => return Some(Rest::Work(work)),
        }
        Some(Rest::Nothing)
    }

    /// Does what may take time, or needs locks that come before the core's.
    fn perform(&self, work: Work, from: Option<u32>) {
        match work {
            Work::Memory(id, op) => {
                self.judge_before(&op);
                let done = self.memory.perform(&op);
                let now = self.now();
                self.core().memory_done(now, id, done);
            }
            Work::Complete(end) => self.complete(end, from),
            Work::HostRead(pages) => self.host_read(pages),
            Work::StartThread {
                thread,
                process,
                registers,
            } => self.start_thread(thread, process, &registers, from),
            Work::Flush {
                process,
                start,
                end,
                token,
            } => self.flush(process, start..end, token, from),
            Work::ProcessEnded { process, code } if process == self.program => {
                self.stop(End::Exited(code));
            }
            Work::ProcessEnded { process, .. } => {
                let mut spaces = lock(&self.spaces);
                if let Some(order) = spaces.retire(process, self.vcpus()) {
                    // As for any flush.
                    self.order_flush(order, from);
                }
            }
            Work::Free(vmo) => self.free(vmo),
            Work::Tell(zircon::Event::Came {
                pages,
                why: Arrival::Ahead,
                ..
            }) => self.came_ahead(pages),
            Work::Created { .. }
            | Work::View { .. }
            | Work::Sized { .. }
            | Work::SetBase { .. }
            | Work::StopThread(_)
            | Work::DebugEvent
            | Work::GoThread(..)
            | Work::EndThread(_)
            | Work::Exception(_)
            | Work::DebugWrite(_)
            | Work::Tell(_) => {}
        }
    }

    /// A fault is over.
    pub(super) fn fault_served(&self, vcpu: u32, thread: ThreadId, since: Instant) {
        self.stats.fault_served(vcpu, since.elapsed());
        self.note(Event::Ended(thread.0));
    }

    pub(super) fn note_fault(&self, thread: ThreadId, address: u64, access: Access) {
        let thread = thread.0;
        self.note(Event::Fault {
            thread,
            address,
            access,
        });
    }

    fn note_completion(&self, completion: &Completion) {
        let (thread, how) = (completion.thread.0, completion.result);
        self.note(Event::Completed { thread, how });
    }

    /// Has every vCPU forget a range of addresses.
    fn flush(&self, process: ProcessId, range: Range<u64>, token: Token, from: Option<u32>) {
        let mut spaces = lock(&self.spaces);
        match spaces.begin_flush(process, range, token, self.vcpus()) {
            // Posted while the tables are locked, so that no newer link gets ahead of it.
            Some(order) => self.order_flush(order, from),
            None => {
                drop(spaces);
                let now = self.now();
                self.core().flush_done(now, token);
            }
        }
    }

    /// Gives back what a VMO that is no more held.
    fn free(&self, vmo: VmoId) {
        self.judge_vmo(vmo);
        self.note(Event::Freed(vmo));
        let host = lock(&self.host_vmos).remove(&vmo);
        if let Some(host) = host {
            self.stats.in_vain(host.unproven());
        }
        // At the end of a run vCPUs may still use the addresses; the process's end frees them.
        if !self.is_stopped()
            && let Err(error) = self.memory.destroy(vmo)
        {
            log::error!("freeing VMO {}: {error}", vmo.0);
        }
        let now = self.now();
        self.core().freed(now, vmo);
    }

    /// Tells memory of a new VMO. Nothing is allocated.
    fn create_storage(&self, vmo: VmoId, storage: Storage) {
        let created = self.memory.create(vmo, storage);
        if let Err(error) = created.and_then(|()| self.choose_delivery(vmo)) {
            log::error!("storage of VMO {}: {error}", vmo.0);
        }
    }

    /// Tells memory what a clone shows.
    fn view_storage(&self, pages: Pages, of: VmoId, at: u64) {
        if let Err(error) = self.memory.view(pages, of, at) {
            log::error!("VMO {} as a view of VMO {}: {error}", pages.vmo.0, of.0);
        }
    }

    /// Tells memory how large a VMO is. Nothing is allocated.
    fn size_storage(&self, vmo: VmoId, pages: u64) {
        if let Err(error) = self.memory.set_size_hint(vmo, pages) {
            log::error!("storage of VMO {}: {error}", vmo.0);
        }
    }

    /// Whether a thread is parked whose instruction has yet to write.
    fn has_late_writes(&self, thread: ThreadId) -> bool {
        let mailbox = self.vcpu_of(thread).and_then(|vcpu| self.mailbox(vcpu));
        mailbox.is_some_and(|mailbox| match mailbox.lock().calls.get(&thread) {
            Some(Call::Parked(_, parked)) => parked.writes.is_some(),
            _ => false,
        })
    }

    /// A call that another thread made has ended.
    pub(super) fn complete(&self, completion: Completion, from: Option<u32>) {
        self.note_completion(&completion);
        let Completion {
            token,
            thread,
            result,
            stop,
        } = completion;
        let Some(vcpu) = self.vcpu_of(thread) else {
            return;
        };
        let Some(mailbox) = self.mailbox(vcpu) else {
            return;
        };
        let mut state = mailbox.lock();
        match state.calls.remove(&thread) {
            Some(Call::Open(open, _)) if open == token => {
                state.calls.insert(thread, Call::Answered(result));
                if stop {
                    // With the answer: its vCPU's thread looks at both before it goes on.
                    state.items.push_back(Item::Stop(thread));
                }
            }
            Some(Call::Parked(its, parked))
                if its == token && result == OpResult::Restart && parked.fault.is_none() =>
            {
                self.note(Event::Ended(thread.0));
                state
                    .calls
                    .insert(thread, Call::Restart(parked.registers.rax));
            }
            Some(Call::Parked(its, parked)) if its == token => {
                drop(state);
                match parked.fault {
                    Some(since) => self.fault_served(vcpu, thread, since),
                    None => self.note(Event::Ended(thread.0)),
                }
                let waits = result == OpResult::Retry
                    && self.write_late(vcpu, thread, *parked, false) == Late::Waits;
                let goes_on = match result {
                    OpResult::Returned(value) => Some(Item::Complete(thread, value)),
                    OpResult::Retry if !waits => Some(Item::Resume(thread)),
                    // An access is made again as it is.
                    OpResult::Retry | OpResult::Restart | OpResult::Gone => None,
                };
                // Together, so that it executes nothing in between.
                let stop = stop.then_some(Item::Stop(thread));
                self.post_all(thread, goes_on.into_iter().chain(stop), from);
            }
            Some(other) => {
                state.calls.insert(thread, other);
            }
            None => {}
        }
    }

    /// Runs a new thread on the vCPU where it was placed. It may have been ended since the core asked for it.
    fn start_thread(
        &self,
        thread: ThreadId,
        process: ProcessId,
        registers: &GeneralRegs,
        from: Option<u32>,
    ) {
        // What any thread touches at once, and what it was most likely given.
        let touched = [
            registers.rip,
            registers.rsp.saturating_sub(8),
            registers.rdi,
        ];
        for address in touched {
            // Makes the window now: under the lock below it is only looked up.
            self.leaf(process, address);
        }
        let root = {
            let mut spaces = lock(&self.spaces);
            if !self.core().is_alive(process) {
                return;
            }
            spaces.root(process, &touched, |address| self.leaf(process, address))
        };
        let (root, refresh) = match root {
            Ok(root) => root,
            Err(error) => {
                log::warn!("process {} is killed: {error}", process.0);
                let now = self.now();
                return self.core().kill_process(now, process);
            }
        };
        let start = Item::Start(thread, Box::new(new_context(0, root, registers)));
        let refresh = refresh.into_iter().map(Item::Refresh);
        self.post_all(thread, refresh.chain([start]), from);
    }

    /// A new thread goes to the vCPU with the fewest: from now on it gets what is posted for it.
    fn place(&self, thread: ThreadId) {
        let mut threads = lock(&self.threads);
        let mut load: BTreeMap<u32, usize> = (0..self.vcpus()).map(|vcpu| (vcpu, 0)).collect();
        for vcpu in threads.values() {
            *load.entry(*vcpu).or_default() += 1;
        }
        if let Some((&vcpu, _)) = load.iter().min_by_key(|(_, count)| **count) {
            threads.insert(thread, vcpu);
        }
    }

    /// A thread is no more. Whatever is posted for it from now on goes nowhere.
    fn end_thread(&self, thread: ThreadId, from: Option<u32>) {
        self.note(Event::ThreadEnded(thread.0));
        self.post(thread, Item::Kill(thread), from);
        let vcpu = lock(&self.threads).remove(&thread);
        if let Some(mailbox) = vcpu.and_then(|vcpu| self.mailbox(vcpu)) {
            mailbox.lock().calls.remove(&thread);
        }
    }

    /// The number of the call that a thread which is stopped is to make again, if there is one.
    pub(super) fn take_restart(&self, vcpu: u32, thread: ThreadId) -> Option<u64> {
        let calls = &mut self.mailbox(vcpu)?.lock().calls;
        match calls.remove(&thread) {
            Some(Call::Restart(number)) => Some(number),
            Some(other) => {
                calls.insert(thread, other);
                None
            }
            None => None,
        }
    }

    /// Writes the oldest of what programs have written. Each that was put there is followed by one call of this.
    fn write_next(&self) {
        let _alone = lock(&self.writing);
        let bytes = lock(&self.unwritten).pop_front();
        if let Some(bytes) = bytes {
            self.host.write(&bytes);
        }
    }

    /// Marks the call of a thread as open; the core is locked, so nobody has seen its end yet.
    pub(super) fn open_call(
        &self,
        vcpu: u32,
        thread: ThreadId,
        token: Token,
        registers: &Registers,
    ) {
        if let Some(mailbox) = self.mailbox(vcpu) {
            mailbox
                .lock()
                .calls
                .insert(thread, Call::Open(token, *registers));
        }
    }

    /// The call of a thread has ended on the vCPU's own thread.
    pub(super) fn forget_call(&self, vcpu: u32, thread: ThreadId) {
        if let Some(mailbox) = self.mailbox(vcpu) {
            mailbox.lock().calls.remove(&thread);
        }
    }

    /// Has every vCPU carry out a flush.
    pub(super) fn order_flush(&self, order: FlushOrder, from: Option<u32>) {
        for (vcpu, mailbox) in (0..).zip(&self.mailboxes) {
            let links = order.links.iter().copied().map(Item::Link);
            mailbox.post(links.chain([Item::Flush(order.id)]), from == Some(vcpu));
        }
    }

    /// The vCPU's thread has done what it could for an open call: its end, if anybody brought it meanwhile; else the guest thread
    /// is parked from now on.
    pub(super) fn close_call(
        &self,
        vcpu: u32,
        thread: ThreadId,
        parked: Parked,
    ) -> Option<OpResult> {
        let mailbox = self.mailbox(vcpu)?;
        let mut state = mailbox.lock();
        match state.calls.remove(&thread) {
            Some(Call::Answered(result)) => Some(result),
            Some(Call::Open(token, _)) => {
                state
                    .calls
                    .insert(thread, Call::Parked(token, Box::new(parked)));
                self.note(Event::Parked(thread.0));
                state.items.push_back(Item::Park(thread));
                None
            }
            // The thread was ended.
            _ => Some(OpResult::Gone),
        }
    }
}

/// What is kept of a thread that parks.
#[derive(Debug)]
pub(super) struct Parked {
    /// When the fault happened, if it is one.
    pub fault: Option<Instant>,
    pub registers: Registers,
    /// What its instruction has yet to write.
    pub writes: Option<LateWrites>,
}
