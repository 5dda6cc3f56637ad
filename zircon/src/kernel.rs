//! All the state of one VM, its objects' lives, and the way in and out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::syscall::SyscallNumber;
use protocol::{Koid, RawHandle, Rights, Status, TIME_INFINITE};

use crate::handle::{FromObject, Handle};
use crate::header::Header;
use crate::ids::{JobId, ObjectRef, PagerId, PortId, ProcessId, ThreadId, Token, VmarId, VmoId};
use crate::memory::MemoryOpId;
use crate::memory_ops::InFlight;
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::pager_calls::Pager;
use crate::port::Port;
use crate::task::{Job, Process, Thread};
use crate::user::{CopyOut, Undo};
use crate::vmar::Vmar;
use crate::vmo::{Vmo, VmoKind};
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
    /// Pages of storage, those on their way included.
    pub(crate) resident: u64,
    /// Most pages of storage.
    limit: u64,
    /// Counts changes after which an access that failed may succeed.
    pub(crate) epoch: u64,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) pagers: BTreeMap<PagerId, Pager>,
    pub(crate) ports: BTreeMap<PortId, Port>,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) threads: BTreeMap<ThreadId, Thread>,
    pub(crate) vmars: BTreeMap<VmarId, Vmar>,
    pub(crate) vmos: BTreeMap<VmoId, Vmo>,
    pub(crate) ops: BTreeMap<Token, Op>,
    pub(crate) memory: BTreeMap<MemoryOpId, InFlight>,
    pub(crate) futexes: BTreeMap<(ProcessId, u64), VecDeque<Token>>,
    pub(crate) timers: BTreeSet<(i64, Token)>,
    pub(crate) ready: VecDeque<Token>,
    pub(crate) work: VecDeque<Work>,
    pub(crate) usage_at_end: Option<Vec<VmoUsage>>,
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
    /// The access can never succeed: an exception was raised.
    Gone,
}

impl Kernel {
    /// An empty kernel for a VM that has room for `max_threads` threads.
    pub fn new(max_threads: usize) -> Self {
        Kernel {
            now: 0,
            next: FIRST_KOID,
            max_threads,
            resident: 0,
            limit: u64::MAX,
            epoch: 0,
            jobs: BTreeMap::new(),
            pagers: BTreeMap::new(),
            ports: BTreeMap::new(),
            processes: BTreeMap::new(),
            threads: BTreeMap::new(),
            vmars: BTreeMap::new(),
            vmos: BTreeMap::new(),
            ops: BTreeMap::new(),
            memory: BTreeMap::new(),
            futexes: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            work: VecDeque::new(),
            usage_at_end: None,
        }
    }

    /// Limits the pages of storage of all VMOs together: what would take more gets NO_MEMORY.
    pub fn limit_memory(&mut self, pages: u64) {
        self.limit = pages;
    }

    /// Takes up to `pages` pages out of what the limit leaves: how many, or NO_MEMORY.
    pub(crate) fn reserve(&mut self, pages: u64) -> Result<u64, Status> {
        let granted = pages.min(self.limit.saturating_sub(self.resident));
        if granted == 0 {
            return Err(Status::NO_MEMORY);
        }
        self.resident += granted;
        Ok(granted)
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
        self.settle();
        match begun {
            Ok(Started::Done(value)) => SyscallOutcome::Done(value),
            Ok(Started::Parked(token)) => SyscallOutcome::Parked(token),
            Ok(Started::Gone) => SyscallOutcome::Gone,
            Err(status) => SyscallOutcome::Done(status.to_register()),
        }
    }

    /// `thread` touched `address` and the access did not go through.
    pub fn page_fault(
        &mut self,
        now: i64,
        thread: ThreadId,
        address: u64,
        access: Access,
    ) -> FaultOutcome {
        self.now = now;
        let Some(process) = self.process_of_live(thread) else {
            return FaultOutcome::Gone;
        };
        let body = Body::Fault {
            process,
            address,
            access,
        };
        let outcome = match self.start(Some(thread), body, Vec::new(), None) {
            Err(token) => FaultOutcome::Parked(token),
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
            let waiting = self.ops.get(&token).map(|op| op.waiting);
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
        let process = self.threads.get(&thread).map(|thread| thread.process);
        let run = process.and_then(|process| self.user_run(process, address, 1, access).ok());
        run.is_some_and(|run| {
            let page = run.offset / protocol::PAGE_SIZE;
            let vmo = self.vmos.get(&run.vmo);
            vmo.is_some_and(|vmo| {
                vmo.state(page).is_committed() && vmo.calm_run(page, 1, false) == 1
            })
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
            let (root, start) = self.root(mapping.vmo, mapping.vmo_offset);
            let into = offset
                .checked_sub(start)
                .filter(|into| *into < mapping.length)?;
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
        let roots = self
            .vmos
            .iter()
            .filter(|(_, vmo)| !matches!(vmo.kind, VmoKind::Slice { .. }));
        roots
            .map(|(id, vmo)| (*id, vmo.header.name(), vmo.size, vmo.pages.committed()))
            .collect()
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

    // ---- operations of system calls

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
            Ok(_) => Ok(Started::Gone),
            Err(token) => Ok(Started::Parked(token)),
        }
    }

    // ---- handles

    pub(crate) fn handle(&self, process: ProcessId, raw: RawHandle) -> Result<Handle, Status> {
        self.processes
            .get(&process)
            .ok_or(Status::BAD_HANDLE)?
            .handles
            .get(raw)
    }

    /// A handle of the wanted type and rights: BAD_HANDLE, then WRONG_TYPE, then ACCESS_DENIED.
    pub(crate) fn typed<T: FromObject>(
        &self,
        process: ProcessId,
        raw: RawHandle,
        rights: Rights,
    ) -> Result<(T, Rights), Status> {
        self.processes
            .get(&process)
            .ok_or(Status::BAD_HANDLE)?
            .handles
            .typed(raw, rights)
    }

    /// Gives a process a handle to an object.
    pub fn give_handle(
        &mut self,
        process: ProcessId,
        object: ObjectRef,
        rights: Rights,
    ) -> Result<RawHandle, Status> {
        let owner = self.processes.get_mut(&process).ok_or(Status::BAD_STATE)?;
        let raw = owner.handles.insert(Handle { object, rights })?;
        if let Some(header) = self.header_mut(object) {
            header.handles += 1;
        }
        if let ObjectRef::Vmo(id) = object {
            self.hold(id);
        }
        Ok(raw)
    }

    /// A new handle as a call's result; if it cannot be written the handle is closed again.
    pub(crate) fn return_handle(
        &mut self,
        caller: Caller,
        object: ObjectRef,
        rights: Rights,
        out: u64,
    ) -> Begin {
        let Step::Become(body) = self.handle_to_user(caller.process, object, rights, out)? else {
            return Err(Status::INTERNAL);
        };
        self.begin(caller, body, Vec::new())
    }

    pub(crate) fn handle_to_user(
        &mut self,
        process: ProcessId,
        object: ObjectRef,
        rights: Rights,
        out: u64,
    ) -> StepResult {
        let given = self.give_handle(process, object, rights);
        let raw = match given {
            Ok(raw) => raw,
            Err(status) => {
                self.drop_unreferenced(object);
                return Err(status);
            }
        };
        Ok(Step::Become(Body::CopyOut(CopyOut {
            process,
            writes: vec![(out, raw.to_le_bytes().to_vec())],
            value: Status::OK,
            undo: Undo::Handle(process, raw),
        })))
    }

    /// Closes a handle.
    pub(crate) fn close_handle(
        &mut self,
        process: ProcessId,
        raw: RawHandle,
    ) -> Result<(), Status> {
        let owner = self.processes.get_mut(&process).ok_or(Status::BAD_HANDLE)?;
        let handle = owner.handles.remove(raw)?;
        self.close_observers(handle.object, process, raw);
        let Some(header) = self.header_mut(handle.object) else {
            return Ok(());
        };
        header.handles -= 1;
        if let ObjectRef::Vmo(id) = handle.object {
            self.release(id);
        } else {
            self.drop_unreferenced(handle.object);
        }
        Ok(())
    }

    /// Ends an object that no handle refers to any more.
    fn drop_unreferenced(&mut self, object: ObjectRef) {
        if self
            .header_mut(object)
            .is_none_or(|header| header.handles > 0)
        {
            return;
        }
        match object {
            ObjectRef::Pager(id) => self.drop_pager(id),
            ObjectRef::Port(id) => self.drop_port(id),
            ObjectRef::Thread(id) => self.drop_thread(id),
            // A VMO's life is counted by its references.
            ObjectRef::Vmo(id) => {
                self.hold(id);
                self.release(id);
            }
            // These live as long as what belongs to them.
            ObjectRef::Job(_) | ObjectRef::Process(_) | ObjectRef::Vmar(_) => {}
        }
    }

    /// Name, signals and observers of an object.
    pub(crate) fn header_mut(&mut self, object: ObjectRef) -> Option<&mut Header> {
        match object {
            ObjectRef::Job(id) => self.jobs.get_mut(&id).map(|job| &mut job.header),
            ObjectRef::Pager(id) => self.pagers.get_mut(&id).map(|pager| &mut pager.header),
            ObjectRef::Port(id) => self.ports.get_mut(&id).map(|port| &mut port.header),
            ObjectRef::Process(id) => self
                .processes
                .get_mut(&id)
                .map(|process| &mut process.header),
            ObjectRef::Thread(id) => self.threads.get_mut(&id).map(|thread| &mut thread.header),
            ObjectRef::Vmar(id) => self.vmars.get_mut(&id).map(|vmar| &mut vmar.header),
            ObjectRef::Vmo(id) => self.vmos.get_mut(&id).map(|vmo| &mut vmo.header),
        }
    }

    // ---- lives of VMOs

    pub(crate) fn add_vmo(&mut self, vmo: Vmo) -> VmoId {
        let id = VmoId(self.next_koid());
        if !matches!(vmo.kind, VmoKind::Slice { .. }) {
            self.work.push_back(Work::Sized {
                vmo: id,
                pages: vmo.page_count(),
            });
        }
        self.vmos.insert(id, vmo);
        id
    }

    pub(crate) fn hold(&mut self, id: VmoId) {
        if let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.references += 1;
        }
    }

    /// Gives a reference back. With the last one the VMO ends: its source owes COMPLETE, its storage is freed. A slice
    /// takes its parent's reference with it, and so on up: chains of slices can be long.
    pub(crate) fn release(&mut self, mut id: VmoId) {
        while let Some(vmo) = self.vmos.get_mut(&id) {
            vmo.references -= 1;
            if vmo.references > 0 {
                return;
            }
            if let VmoKind::Slice { parent, .. } = vmo.kind {
                self.vmos.remove(&id);
                self.child_gone(parent);
                id = parent;
                continue;
            }
            let pages = std::mem::take(&mut vmo.pages);
            self.resident -= pages.committed();
            self.end_source(id);
            self.work.push_back(Work::Free(id));
            return self.bury(id);
        }
    }

    /// Forgets a VMO that nothing refers to, unless its last packet is still in its port.
    pub(crate) fn bury(&mut self, id: VmoId) {
        let Some(vmo) = self.vmos.get(&id) else {
            return;
        };
        let queued = vmo.source().is_some_and(|source| source.is_packet_queued());
        if vmo.references == 0 && !queued {
            self.vmos.remove(&id);
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
        Waiting::Busy(vmo) => format!("operations on VMO {}", vmo.0),
        Waiting::Request(vmo) => format!("the pager of VMO {}", vmo.0),
        Waiting::Port(port) => format!("port {}", port.0),
        Waiting::Observer(object) => format!("{} {}", object.object_type().name(), object.koid()),
        Waiting::Futex(_, address) => format!("the futex at {address:#x}"),
        Waiting::Outside => "the clock or a flush".into(),
    }
}
