//! What all threads of a VM share.
//!
//! Locks are taken in this order and held for short, computation-only sections: page tables, core, threads, mailbox, timers. Memory is
//! never worked on while one is held.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use zircon::{
    Kernel, MappedRun, MemoryOp, MemoryResult, Pages, ProcessId, Reclaimed, ThreadId, VmoId,
    VmoUsage,
};

use super::ahead::Ahead;
use super::mailbox::{Item, Mailbox};
use super::spaces::Spaces;
use super::supply::HostVmo;
use crate::debug::{CoreFile, Crash, backtrace};
use crate::machine::KickHandle;
use crate::memory::Memory;
use crate::observe::{Event, Recorder, Stats};
use crate::outcome::End;
use crate::pager::{Delayer, Wait, Workers};
use protocol::{GeneralRegs, PAGE_SIZE};

/// One VM, as its vCPU threads, its workers and its event loop see it.
#[derive(Debug)]
pub struct Vm {
    pub(super) this: Weak<Vm>,
    pub(super) kernel: Mutex<Kernel>,
    pub(super) memory: Memory,
    pub(super) spaces: Mutex<Spaces>,
    pub(super) mailboxes: Vec<Mailbox>,
    /// The vCPU of each thread.
    pub(super) threads: Mutex<BTreeMap<ThreadId, u32>>,
    pub(super) host_vmos: Mutex<BTreeMap<VmoId, Arc<HostVmo>>>,
    pub(super) workers: Workers,
    pub(super) delayer: Delayer,
    pub(super) stats: Arc<Stats>,
    recorder: Option<Arc<Recorder>>,
    pub(super) ahead: Option<Ahead>,
    /// What programs wrote and nobody has taken on yet, in order: put there while the core is locked.
    pub(super) unwritten: Mutex<VecDeque<Vec<u8>>>,
    /// Held, and no other lock, while some of it is written.
    pub(super) writing: Mutex<()>,
    /// What the last failed read of a host pager said.
    pub(super) pager_failure: Mutex<Option<(VmoId, String)>>,
    /// What is left of the program, if an exception ended it.
    pub(super) crash: Mutex<Option<Crash>>,
    /// The registers of its threads when the vCPUs stopped after that.
    pub(super) last_registers: Mutex<Vec<(ThreadId, GeneralRegs)>>,
    /// The process whose end is the end of the run.
    pub(super) program: ProcessId,
    began: Instant,
    pub(super) host: Box<dyn HostSide>,
    /// An eventfd, if there may be a debugger.
    pub(super) debug_event: Option<OwnedFd>,
    end: Mutex<Option<End>>,
    stopped: AtomicBool,
}

/// What the event loop does for the VM's other threads.
pub(crate) trait HostSide: Send + Sync + std::fmt::Debug {
    /// The core's earliest deadline is now this many nanoseconds after the VM's start.
    fn set_deadline(&self, deadline: Option<i64>, now: i64);
    /// Threads compete for a vCPU: tick.
    fn start_tick(&self);
    /// The VM has ended.
    fn ended(&self);
    /// A process that is not the program was ended by an exception.
    fn report(&self, report: &str);
    /// A program writes to the standard output.
    fn write(&self, bytes: &[u8]);
}

/// What a VM is made of.
pub(crate) struct Parts {
    pub kernel: Kernel,
    pub memory: Memory,
    pub ram: crate::machine::Ram,
    pub tables: std::ops::Range<u64>,
    pub kicks: Vec<KickHandle>,
    pub host_vmos: BTreeMap<VmoId, Arc<HostVmo>>,
    pub stats: Arc<Stats>,
    pub recorder: Option<Arc<Recorder>>,
    /// Whether it is of interest which pages that come ahead are used.
    pub judge: bool,
    pub program: ProcessId,
    pub host: Box<dyn HostSide>,
    pub debug_event: Option<OwnedFd>,
}

/// Locks a mutex whose data stays consistent whatever its holder did.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vm {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|this| Vm {
            this: this.clone(),
            kernel: Mutex::new(parts.kernel),
            memory: parts.memory,
            spaces: Mutex::new(Spaces::new(parts.ram, parts.tables)),
            mailboxes: parts.kicks.into_iter().map(Mailbox::new).collect(),
            threads: Mutex::default(),
            host_vmos: Mutex::new(parts.host_vmos),
            workers: Workers::new(WORKERS),
            delayer: Delayer::default(),
            stats: parts.stats,
            began: began(parts.recorder.as_deref()),
            recorder: parts.recorder,
            ahead: parts.judge.then(Ahead::default),
            unwritten: Mutex::default(),
            writing: Mutex::default(),
            pager_failure: Mutex::default(),
            crash: Mutex::default(),
            last_registers: Mutex::default(),
            program: parts.program,
            host: parts.host,
            debug_event: parts.debug_event,
            end: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Another handle to this VM, for a job of its own.
    pub(super) fn this(&self) -> Option<Arc<Vm>> {
        self.this.upgrade()
    }

    /// Nanoseconds since the VM started: the guest's monotonic clock.
    pub(super) fn now(&self) -> i64 {
        self.at(Instant::now())
    }

    /// What [`Vm::now`] was then.
    pub(super) fn at(&self, then: Instant) -> i64 {
        i64::try_from(then.duration_since(self.began).as_nanos()).unwrap_or(i64::MAX)
    }

    /// As [`Vm::note`], when the run is over: it can wait for room.
    pub(super) fn note_at_leisure(&self, event: Event) {
        if let Some(recorder) = &self.recorder {
            recorder.note_at_leisure(event);
        }
    }

    /// Notes an event, if anybody records.
    pub(super) fn note(&self, event: Event) {
        if let Some(recorder) = &self.recorder {
            recorder.note(event);
        }
    }

    /// The core, locked.
    pub(super) fn core(&self) -> MutexGuard<'_, Kernel> {
        lock(&self.kernel)
    }

    /// Number of vCPUs.
    pub(super) fn vcpus(&self) -> u32 {
        self.mailboxes.len() as u32
    }

    pub(super) fn mailbox(&self, vcpu: u32) -> Option<&Mailbox> {
        self.mailboxes.get(vcpu as usize)
    }

    /// The vCPU of a thread.
    pub(super) fn vcpu_of(&self, thread: ThreadId) -> Option<u32> {
        lock(&self.threads).get(&thread).copied()
    }

    /// Posts an item to the vCPU of its thread. `from`: the vCPU whose thread posts.
    pub(super) fn post(&self, thread: ThreadId, item: Item, from: Option<u32>) {
        self.post_all(thread, [item], from);
    }

    /// Posts items that the guest kernel sees without the thread running in between.
    pub(super) fn post_all(
        &self,
        thread: ThreadId,
        items: impl IntoIterator<Item = Item>,
        from: Option<u32>,
    ) {
        // Locked until it is posted, so that nothing is posted behind the thread's end.
        let threads = lock(&self.threads);
        let Some(&vcpu) = threads.get(&thread) else {
            return;
        };
        if let Some(mailbox) = self.mailbox(vcpu) {
            mailbox.post(items, from == Some(vcpu));
            self.host.start_tick();
        }
    }

    /// Carries out what loading the program left to do, and brings in the pages that it needs first, as far as nothing has to be waited
    /// for.
    pub(crate) fn begin(&self, first: &[Pages]) {
        self.drain(None);
        for pages in first {
            self.fetch(*pages, Wait::Never);
        }
    }

    /// Tells the event loop when the core wants to be woken.
    pub(super) fn arm(&self, deadline: Option<i64>) {
        self.host.set_deadline(deadline, self.now());
    }

    /// A deadline of the core has come.
    pub(crate) fn on_deadline(&self) {
        let now = self.now();
        self.core().timer(now);
        self.drain(None);
    }

    /// One tick: vCPUs on which another thread may be waiting let it run. Says whether there is any such vCPU.
    pub(crate) fn on_tick(&self) -> bool {
        let mut contended = false;
        for mailbox in &self.mailboxes {
            if mailbox.contended.load(Ordering::SeqCst) {
                contended = true;
                mailbox.preempt.store(true, Ordering::Relaxed);
                mailbox.wake();
            }
        }
        contended
    }

    /// Starts the tick if threads compete for a vCPU.
    pub(crate) fn tick_if_contended(&self) {
        if self
            .mailboxes
            .iter()
            .any(|mailbox| mailbox.contended.load(Ordering::SeqCst))
        {
            self.host.start_tick();
        }
    }

    /// Ends the run; the first reason counts.
    pub(crate) fn stop(&self, end: End) {
        lock(&self.end).get_or_insert(end);
        self.stopped.store(true, Ordering::SeqCst);
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
        self.host.ended();
        self.tell_debugger();
    }

    /// Whether the run is over.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Why the run is over.
    pub(crate) fn end(&self) -> Option<End> {
        lock(&self.end).clone()
    }

    /// Pages that the host holds for VMOs now.
    pub(crate) fn resident_pages(&self) -> u64 {
        self.memory.resident_total() / protocol::PAGE_SIZE
    }

    /// What was done to keep the limit, and the most pages that counted.
    pub(crate) fn reclaimed(&self) -> (Reclaimed, u64) {
        let core = self.core();
        (core.reclaimed(), core.resident_pages().1)
    }

    /// Writes a core, if there is anything to write it of.
    pub(crate) fn write_core(&self, core: CoreFile) -> std::io::Result<()> {
        match &*lock(&self.crash) {
            Some(crash) => core.write(crash, &lock(&self.last_registers), &self.memory),
            None => Ok(()),
        }
    }

    /// Who called whom when the program crashed, by the names in its image; empty if it has not crashed.
    pub(crate) fn backtrace(&self, image: &[u8]) -> String {
        let crash = lock(&self.crash);
        let Some((crash, registers)) = crash
            .as_ref()
            .and_then(|crash| Some((crash, crash.registers?)))
        else {
            return String::new();
        };
        backtrace(image, &registers, |address| {
            let covers =
                |run: &&MappedRun| (run.address..run.address + run.length).contains(&address);
            let run = crash.present.iter().find(covers)?;
            let op = MemoryOp::Read {
                vmo: run.vmo,
                offset: run.page * PAGE_SIZE + (address - run.address),
                length: 8,
            };
            match self.memory.perform(&op) {
                MemoryResult::Bytes(bytes) => Some(u64::from_le_bytes(bytes.try_into().ok()?)),
                _ => None,
            }
        })
    }

    /// What every VMO holds, or held when the program ended.
    pub(crate) fn usage(&self) -> Vec<VmoUsage> {
        self.core().usage_at_end()
    }

    /// What each waiting thread waits for, for the report of a run that was stopped.
    pub(crate) fn waits(&self) -> Vec<(ThreadId, String)> {
        self.core().waits()
    }

    /// Ends the workers; `false` if one of them hangs in the host.
    pub(crate) fn shut_down(&self, patience: std::time::Duration) -> bool {
        self.workers.shutdown(patience)
    }
}

/// Zero of the guest's clock: the same as that of what is recorded.
fn began(recorder: Option<&Recorder>) -> Instant {
    recorder.map_or_else(Instant::now, Recorder::began)
}

/// Most threads that wait for the host's disks at a time.
const WORKERS: usize = 4;
