//! All the state of one VM, its objects' lives, and the way in and out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::syscall::SyscallNumber;
use protocol::{Koid, ObjectType, Status, TIME_INFINITE};

use crate::candidates::Candidates;
use crate::channel::Channel;
use crate::debugger::Debugger;
use crate::exception::ExceptionObject;
use crate::handle::Handle;
use crate::ids::{
    BtiId, ChannelId, EventId, ExceptionId, IommuId, JobId, PagerId, PmtId, PortId, ProcessId,
    ResourceId, SuspendId, ThreadId, Token, VmarId, VmoId,
};
use crate::job::Job;
use crate::look::Seen;
use crate::memory::{MemoryOpId, Writes};
use crate::memory_ops::InFlight;
use crate::op::{Body, Op, Waiting};
use crate::pager_calls::Pager;
use crate::pin::Pmt;
use crate::port::Port;
use crate::process::Process;
use crate::reclaim::Reclaimed;
use crate::resource::{Bti, Iommu, Resource};
use crate::room::Room;
use crate::signals::Event;
use crate::suspend::SuspendToken;
use crate::table::Table;
use crate::task::Thread;
use crate::vmar::Vmar;
use crate::vmo::Vmo;
use crate::watch::Watch;
use crate::work::{Access, OpResult, Work};

/// First koid of a real object.
const FIRST_KOID: Koid = 1024;

/// The objects of one VM and everything that happens among them.
///
/// Time goes in with each call; effects come out of [`Kernel::next_work`]. Same inputs, same outputs.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(crate) now: i64,
    next: u64,
    /// Threads that the VMM has room for.
    pub(crate) max_threads: usize,
    /// The limit on pages of storage, and who waits at it.
    pub(crate) room: Room,
    /// Pages that can go when others are needed.
    pub(crate) candidates: Candidates,
    /// Discardable VMOs that hold pages and that nobody has locked, by when that came to be.
    pub(crate) unlocked: BTreeMap<u64, VmoId>,
    /// What reclaim did so far.
    pub(crate) reclaimed: Reclaimed,
    /// Pages in storage that the VMM is freeing.
    pub(crate) freeing: BTreeMap<VmoId, u64>,
    /// Counts changes after which an access that failed may succeed.
    pub(crate) epoch: u64,
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    /// What the messages of all channels take.
    pub(crate) queued_bytes: u64,
    /// Handles that no process has any more and whose objects have yet to learn of it; `None` while nobody is at it.
    pub(crate) discarded: Option<VecDeque<Handle>>,
    /// Packets of programs and of signals in all ports, and waits that will queue one.
    pub(crate) packets: usize,
    pub(crate) btis: BTreeMap<BtiId, Bti>,
    pub(crate) iommus: BTreeMap<IommuId, Iommu>,
    /// A process has ended: there may be messages that nobody can read any more.
    pub(crate) sweep: bool,
    pub(crate) exceptions: BTreeMap<ExceptionId, ExceptionObject>,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) events: BTreeMap<EventId, Event>,
    pub(crate) pagers: BTreeMap<PagerId, Pager>,
    pub(crate) pmts: BTreeMap<PmtId, Pmt>,
    pub(crate) ports: BTreeMap<PortId, Port>,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) resources: BTreeMap<ResourceId, Resource>,
    pub(crate) debugger: Option<Debugger>,
    pub(crate) suspend_tokens: BTreeMap<SuspendId, SuspendToken>,
    /// Threads that the VMM will be asked to stop when the call into the core ends.
    pub(crate) stopping: Vec<ThreadId>,
    pub(crate) threads: BTreeMap<ThreadId, Thread>,
    pub(crate) vmars: BTreeMap<VmarId, Vmar>,
    pub(crate) vmos: BTreeMap<VmoId, Vmo>,
    pub(crate) ops: Table<Token, Box<Op>>,
    pub(crate) memory: Table<MemoryOpId, InFlight>,
    pub(crate) futexes: BTreeMap<(ProcessId, u64), VecDeque<Token>>,
    pub(crate) timers: BTreeSet<(i64, Token)>,
    pub(crate) ready: VecDeque<Token>,
    pub(crate) work: VecDeque<Work>,
    pub(crate) usage_at_end: Option<Vec<VmoUsage>>,
    /// Somebody watches.
    pub(crate) watch: Option<Watch>,
}

/// What a VMO holds: its id, its name, its size in bytes, its resident pages.
pub type VmoUsage = (VmoId, String, u64, u64);

/// Who makes a system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub process: ProcessId,
    pub thread: ThreadId,
}

/// How a system call began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Started {
    /// It is over: the value for rax.
    Done(u64),
    /// It waits, or works: its end will be told.
    Parked(Token),
    /// It was dropped: the thread stops, and makes it again when it goes on.
    Restart,
    /// The thread that called is no more.
    Gone,
}

pub(crate) type Begin = Result<Started, Status>;

/// How a system call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyscallOutcome {
    /// The value for rax.
    Done(u64),
    /// A [`Work::Complete`] with this token will tell.
    Parked(Token),
    /// The thread stops, and makes the call again when it goes on.
    Restart,
    /// The thread ended.
    Gone,
}

/// How a page fault went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultOutcome {
    /// The page is there and permits the access: nothing was done.
    Present,
    /// A [`Work::Complete`] with this token will tell.
    Parked(Token),
    /// The thread stops, and tries the access again when it goes on.
    Restart,
    /// The access can never succeed, and the thread has ended.
    Gone,
}

/// Where a byte that a thread has access to lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The VMO.
    pub vmo: VmoId,
    /// The byte in it.
    pub offset: u64,
    /// Nothing in the VM ever changes what that VMO holds.
    pub unchanging: bool,
}

impl Kernel {
    /// An empty kernel for a VM that has room for `max_threads` threads.
    pub fn new(max_threads: usize) -> Self {
        Kernel {
            now: 0,
            next: FIRST_KOID,
            max_threads,
            room: Room::new(),
            candidates: Candidates::default(),
            unlocked: BTreeMap::new(),
            reclaimed: Reclaimed::default(),
            freeing: BTreeMap::new(),
            epoch: 0,
            channels: BTreeMap::new(),
            queued_bytes: 0,
            discarded: None,
            packets: 0,
            btis: BTreeMap::new(),
            iommus: BTreeMap::new(),
            sweep: false,
            exceptions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: BTreeMap::new(),
            pagers: BTreeMap::new(),
            pmts: BTreeMap::new(),
            ports: BTreeMap::new(),
            processes: BTreeMap::new(),
            resources: BTreeMap::new(),
            debugger: None,
            suspend_tokens: BTreeMap::new(),
            stopping: Vec::new(),
            threads: BTreeMap::new(),
            vmars: BTreeMap::new(),
            vmos: BTreeMap::new(),
            ops: Table::default(),
            memory: Table::default(),
            futexes: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            work: VecDeque::new(),
            usage_at_end: None,
            watch: None,
        }
    }

    /// A system call of `thread`: `number` from rax, `args` in the order of the registers. `now` is in nanoseconds.
    pub fn syscall(
        &mut self,
        now: i64,
        thread: ThreadId,
        number: u64,
        args: &[u64; protocol::syscall::MAX_ARGS],
    ) -> SyscallOutcome {
        self.now = now;
        let Some(process) = self.process_of_live(thread) else {
            return SyscallOutcome::Gone;
        };
        let begun = match SyscallNumber::from_register(number) {
            Some(number) => self.dispatch(Caller { process, thread }, number, args),
            None => Err(Status::BAD_SYSCALL),
        };
        if let Err(status) = begun {
            self.enforce_at_end(thread, status);
        }
        let outcome = match begun.unwrap_or_else(|status| Started::Done(status.to_register())) {
            Started::Done(value) if self.end_call(thread) => SyscallOutcome::Done(value),
            Started::Done(_) | Started::Gone => SyscallOutcome::Gone,
            Started::Restart => SyscallOutcome::Restart,
            Started::Parked(token) => SyscallOutcome::Parked(token),
        };
        self.settle();
        outcome
    }

    /// `thread` touched `address` and the access did not go through.
    pub fn page_fault(
        &mut self,
        now: i64,
        thread: ThreadId,
        address: u64,
        access: Access,
    ) -> FaultOutcome {
        self.fault(now, thread, (address, access), true)
    }

    /// As [`Kernel::page_fault`], for what is left of an instruction that the thread cannot execute again.
    pub fn late_access(
        &mut self,
        now: i64,
        thread: ThreadId,
        address: u64,
        access: Access,
    ) -> FaultOutcome {
        self.fault(now, thread, (address, access), false)
    }

    fn fault(
        &mut self,
        now: i64,
        thread: ThreadId,
        (address, access): (u64, Access),
        again: bool,
    ) -> FaultOutcome {
        self.now = now;
        let Some(process) = self.process_of_live(thread) else {
            return FaultOutcome::Gone;
        };
        self.note_fault(thread, address, access);
        let body = Body::Fault {
            process,
            address,
            access,
            again,
        };
        let outcome = match self.start(Some(thread), body, Vec::new(), None) {
            Err(token) => FaultOutcome::Parked(token),
            Ok(OpResult::Restart) => FaultOutcome::Restart,
            Ok(OpResult::Gone) => FaultOutcome::Gone,
            Ok(_) => FaultOutcome::Present,
        };
        self.settle();
        outcome
    }

    /// Wakes what has waited long enough.
    pub fn timer(&mut self, now: i64) {
        self.now = now;
        while let Some(&(deadline, token)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(deadline, token));
            // A futex's queue tells who was woken: the waiter leaves it itself.
            let waiting = self.ops.get(token).map(|op| op.waiting);
            if let Some(waiting) = waiting.filter(|w| !matches!(w, Waiting::Futex(..))) {
                self.unregister(token, waiting);
            }
            self.wake(token);
        }
        self.settle();
    }

    /// When [`Kernel::timer`] has to be called next, in nanoseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// The next thing to do.
    pub fn next_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    /// Counts changes after which an access that failed may succeed: a fault that nothing explains is worth another try
    /// while this moves.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether `thread` could make this access now, without any page being asked for.
    pub fn is_present(&self, thread: ThreadId, address: u64, access: Access) -> bool {
        self.place_of(thread, address, access).is_some()
    }

    /// Where the byte at an address lies, if `thread` could make this access now.
    pub fn place_of(&self, thread: ThreadId, address: u64, access: Access) -> Option<Place> {
        let process = self.threads.get(&thread)?.process;
        let run = self.user_run(process, address, 1, access).ok()?;
        let page = run.offset / protocol::PAGE_SIZE;
        let (Seen::Page(owner, at, state) | Seen::Zero(owner, at, state)) =
            self.look(run.vmo, page, 1).0
        else {
            return None;
        };
        let vmo = self.vmos.get(&run.vmo)?;
        let own = owner == run.vmo;
        let calm = vmo.calm_run(page, 1, false) == 1
            && (own || self.vmos.get(&owner)?.calm_run(at, 1, false) == 1);
        let writable = own && vmo.permits_write(state);
        let there = state.is_resident() && calm && (access != Access::Write || writable);
        there.then(|| Place {
            vmo: run.vmo,
            offset: run.offset,
            unchanging: vmo.storage_writes() == Writes::Never,
        })
    }

    /// Where `thread`'s process has mapped a page: the lowest address that permits the access, else the lowest.
    pub fn address_of(
        &self,
        thread: ThreadId,
        (vmo, page): (VmoId, u64),
        access: Access,
    ) -> Option<u64> {
        let process = self.processes.get(&self.threads.get(&thread)?.process)?;
        let offset = page * protocol::PAGE_SIZE;
        let places = process.mappings.values().filter_map(|mapping| {
            // A mapping may begin beyond its VMO's end, or reach beyond it.
            let reach = self.reach(mapping).checked_sub(mapping.vmo_offset)?;
            let (root, start) = self.root(mapping.vmo, mapping.vmo_offset);
            let into = offset
                .checked_sub(start)
                .filter(|into| *into < mapping.length.min(reach))?;
            (root == vmo).then_some((mapping.permits(access), mapping.base + into))
        });
        places
            .min_by_key(|&(permits, address)| (!permits, address))
            .map(|(_, address)| address)
    }

    /// The process of a thread.
    pub fn process_of(&self, thread: ThreadId) -> Option<ProcessId> {
        self.threads.get(&thread).map(|thread| thread.process)
    }

    /// Whether memory operations are under way on the VMO behind an address.
    pub fn is_busy(&self, thread: ThreadId, address: u64) -> bool {
        let process = self.threads.get(&thread).map(|thread| thread.process);
        let run = process.and_then(|p| self.user_run(p, address, 1, Access::Read).ok());
        run.and_then(|run| self.vmos.get(&run.vmo))
            .is_some_and(|vmo| !vmo.busy.is_empty())
    }

    /// What [`Kernel::usage`] was when the last process ended, before its VMOs went with it; what it is now if none has.
    pub fn usage_at_end(&self) -> Vec<VmoUsage> {
        self.usage_at_end.clone().unwrap_or_else(|| self.usage())
    }

    /// Every VMO that holds pages.
    pub fn usage(&self) -> Vec<VmoUsage> {
        let roots = self.vmos.iter().filter(|(_, vmo)| vmo.owner().is_none());
        roots
            .map(|(id, vmo)| (*id, vmo.header.name(), vmo.size, vmo.pages.resident()))
            .collect()
    }

    /// How many objects of each type there are.
    pub fn census(&self) -> BTreeMap<ObjectType, usize> {
        let counts = [
            (ObjectType::Channel, self.channels.len()),
            (ObjectType::Event, self.events.len()),
            (ObjectType::Exception, self.exceptions.len()),
            (ObjectType::Job, self.jobs.len()),
            (ObjectType::Pager, self.pagers.len()),
            (ObjectType::Port, self.ports.len()),
            (ObjectType::Process, self.processes.len()),
            (ObjectType::SuspendToken, self.suspend_tokens.len()),
            (ObjectType::Thread, self.threads.len()),
            (ObjectType::Vmar, self.vmars.len()),
            (ObjectType::Vmo, self.vmos.len()),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Pages of a VMO.
    pub fn page_count(&self, id: VmoId) -> u64 {
        self.vmos.get(&id).map_or(0, Vmo::page_count)
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn next_koid(&mut self) -> Koid {
        let koid = self.next;
        self.next += 1;
        koid
    }

    pub(crate) fn begin(&mut self, caller: Caller, body: Body, holds: Vec<VmoId>) -> Begin {
        self.begun(caller, body, holds, None)
    }

    /// Starts an operation with a deadline.
    pub(crate) fn begin_until(&mut self, caller: Caller, body: Body, deadline: i64) -> Begin {
        let deadline = (deadline != TIME_INFINITE).then_some(deadline);
        self.begun(caller, body, Vec::new(), deadline)
    }

    fn begun(
        &mut self,
        caller: Caller,
        body: Body,
        holds: Vec<VmoId>,
        deadline: Option<i64>,
    ) -> Begin {
        match self.start(Some(caller.thread), body, holds, deadline) {
            Ok(OpResult::Returned(value)) => Ok(Started::Done(value)),
            Ok(OpResult::Restart) => Ok(Started::Restart),
            Ok(_) => Ok(Started::Gone),
            Err(token) => Ok(Started::Parked(token)),
        }
    }

    /// What a thread waits on, in words, for reports of a VM that stands still.
    pub fn waits(&self) -> Vec<(ThreadId, String)> {
        let waiting = self
            .ops
            .values()
            .filter_map(|op| Some((op.thread?, &op.waiting)));
        waiting
            .map(|(thread, waiting)| (thread, describe(waiting)))
            .collect()
    }
}

fn describe(waiting: &Waiting) -> String {
    match waiting {
        Waiting::Nothing => "nothing".into(),
        Waiting::Memory => "its memory operation".into(),
        Waiting::Room => "pages to be reclaimed".into(),
        Waiting::Busy(vmo) => format!("operations on VMO {}", vmo.0),
        Waiting::Request(vmo) => format!("the pager of VMO {}", vmo.0),
        Waiting::Port(port) => format!("port {}", port.0),
        Waiting::Objects(first, others) => {
            let more = match others {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let kind = first.object_type().name();
            format!("{kind} {}{more}", first.koid())
        }
        Waiting::Futex(_, address) => format!("the futex at {address:#x}"),
        Waiting::Outside => "the clock or a flush".into(),
    }
}
