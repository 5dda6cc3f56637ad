//! A machine to test the core with: no KVM, no threads. It performs the core's memory operations on a page map, keeps
//! what comes out of the core, and speaks the system calls through registers and user memory.

mod calls;
mod memory;
pub mod random;
mod readers;
mod tasks;
mod told;

use std::collections::{BTreeMap, BTreeSet};

pub use calls::{Packet, read_packet};
pub use memory::PageMemory;
use protocol::GeneralRegs;
use protocol::syscall::SyscallNumber as N;
pub use protocol::{PAGE_SIZE, Rights, Status};
pub use readers::{Reader, Via};
pub use told::Told;
use zircon::{
    Access, Completion, Exception, ExceptionKind, FaultOutcome, JobPolicy, Kernel, MappedRun,
    MemoryOp, MemoryOpId, MemoryResult, NewProcess, OpResult, Pages, ProcessId, SyscallOutcome,
    ThreadId, Token, VmoId, Work,
};

/// Where the scratch memory of the test program is mapped.
pub const SCRATCH: u64 = 0x10_0000_0000;
pub const SCRATCH_SIZE: u64 = 1 << 36;
/// An address where nothing is mapped.
pub const NOWHERE: u64 = 0x7000_0000_0000;

/// When memory operations are performed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// At once.
    Now,
    /// When the test says so.
    Held,
    /// Some now, some later, out of order, as the seed says.
    Random,
}

/// How a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Value(u64),
    Blocked(Token),
    /// The thread stops and makes the call again when it goes on.
    Restart,
    Gone,
}

/// How a touch through a mapping went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    Done,
    Blocked(Token),
    /// The thread stops and tries again when it goes on.
    Restart,
    /// The thread raised an exception with this status.
    Fatal(Status),
}

pub struct TestMachine {
    pub kernel: Kernel,
    pub memory: PageMemory,
    pub now: i64,
    pub order: Order,
    pub random: u64,
    pub main: NewProcess,
    pub held: Vec<(MemoryOpId, MemoryOp)>,
    pub hold_flushes: bool,
    pub flushes: Vec<Token>,
    pub host_reads: Vec<Pages>,
    pub exceptions: Vec<Exception>,
    pub started: Vec<ThreadId>,
    /// Registers of threads when they were started, or went on.
    pub registers: BTreeMap<ThreadId, GeneralRegs>,
    /// Threads that are stopped, or are to be.
    pub stopped: BTreeSet<ThreadId>,
    pub hold_stops: bool,
    pub ended: BTreeSet<ThreadId>,
    pub processes_ended: Vec<(ProcessId, i64)>,
    pub freed: BTreeSet<VmoId>,
    pub output: Vec<u8>,
    pub bases: Vec<(ThreadId, bool, u64)>,
    /// Memory operations fail from now on, except for dropping pages.
    pub no_memory: bool,
    /// Dropping pages fails.
    pub decommit_fails: bool,
    pub memory_ops: u64,
    /// What a debugger may have waited for.
    pub debug_events: u64,
    /// Most pages of storage.
    pub limit: u64,
    /// Leaves out [`TestMachine::check`] after each call.
    pub unchecked: bool,
    /// What those who watch were told; it is checked when the machine is dropped.
    pub told: Told,
    results: BTreeMap<Token, OpResult>,
    parked: BTreeMap<Token, ThreadId>,
    next_scratch: u64,
}

impl Drop for TestMachine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.told.check(&mut self.kernel);
        }
    }
}

/// The start of a VMO, to be mapped for reading and writing.
pub fn writable(vmo: VmoId, address: u64, length: u64) -> MappedRun {
    MappedRun {
        address,
        length,
        vmo,
        page: 0,
        write: true,
        execute: false,
    }
}

impl TestMachine {
    pub fn new() -> Self {
        Self::with_policy(JobPolicy::default())
    }

    pub fn with_policy(policy: JobPolicy) -> Self {
        let mut kernel = Kernel::new(512);
        kernel.watch();
        let main = kernel.create_process("test", policy).unwrap();
        let scratch = kernel.add_anonymous_vmo("scratch", SCRATCH_SIZE).unwrap();
        kernel
            .map_at(main.process, writable(scratch, SCRATCH, SCRATCH_SIZE))
            .unwrap();
        kernel
            .start_thread(main.thread, 0x20_0000, SCRATCH, (0, 0))
            .unwrap();
        let mut machine = TestMachine {
            kernel,
            memory: PageMemory::default(),
            now: 1_000,
            order: Order::Now,
            random: 1,
            main,
            held: Vec::new(),
            hold_flushes: false,
            flushes: Vec::new(),
            host_reads: Vec::new(),
            exceptions: Vec::new(),
            started: Vec::new(),
            registers: BTreeMap::new(),
            stopped: BTreeSet::new(),
            hold_stops: false,
            ended: BTreeSet::new(),
            processes_ended: Vec::new(),
            freed: BTreeSet::new(),
            output: Vec::new(),
            bases: Vec::new(),
            no_memory: false,
            decommit_fails: false,
            memory_ops: 0,
            debug_events: 0,
            limit: u64::MAX,
            unchecked: false,
            told: Told::default(),
            results: BTreeMap::new(),
            parked: BTreeMap::new(),
            next_scratch: SCRATCH,
        };
        machine.drain();
        machine
    }

    // ---- calls

    /// A system call of any thread.
    pub fn call_on(&mut self, thread: ThreadId, number: N, args: &[u64]) -> Outcome {
        self.raw_call(thread, number as u64, args)
    }

    pub fn raw_call(&mut self, thread: ThreadId, number: u64, args: &[u64]) -> Outcome {
        let mut registers = [0; 8];
        registers[..args.len()].copy_from_slice(args);
        let outcome = self.kernel.syscall(self.now, thread, number, &registers);
        match outcome {
            SyscallOutcome::Done(value) => {
                self.drain();
                Outcome::Value(value)
            }
            SyscallOutcome::Gone => {
                self.drain();
                Outcome::Gone
            }
            SyscallOutcome::Restart => {
                self.drain();
                Outcome::Restart
            }
            SyscallOutcome::Parked(token) => {
                self.parked.insert(token, thread);
                self.drain();
                match self.results.remove(&token) {
                    Some(OpResult::Returned(value)) => Outcome::Value(value),
                    Some(OpResult::Restart) => Outcome::Restart,
                    Some(_) => Outcome::Gone,
                    None if self.ended.contains(&thread) => Outcome::Gone,
                    None => Outcome::Blocked(token),
                }
            }
        }
    }

    /// A system call of the first thread that must end by itself: its value.
    pub fn value(&mut self, number: N, args: &[u64]) -> u64 {
        let thread = self.main.thread;
        match self.call_on(thread, number, args) {
            Outcome::Value(value) => value,
            other => panic!("{} {args:x?}: {other:?}", number.name()),
        }
    }

    /// A system call of the first thread that must end by itself: its status.
    pub fn call(&mut self, number: N, args: &[u64]) -> Status {
        let value = self.value(number, args);
        let status = Status::from_register(value);
        assert_eq!(
            value,
            status.to_register(),
            "a status is sign-extended in rax"
        );
        status
    }

    /// A system call that must block.
    pub fn begin(&mut self, thread: ThreadId, number: N, args: &[u64]) -> Token {
        match self.call_on(thread, number, args) {
            Outcome::Blocked(token) => token,
            other => panic!("{} {args:x?} did not block: {other:?}", number.name()),
        }
    }

    /// How a blocked operation ended, if it has.
    pub fn result(&mut self, token: Token) -> Option<OpResult> {
        self.results.remove(&token)
    }

    /// The status of a blocked call that must have ended.
    pub fn status(&mut self, token: Token) -> Status {
        match self.results.remove(&token) {
            Some(OpResult::Returned(value)) => Status::from_register(value),
            other => panic!("{token:?} {other:?}; waits: {:?}", self.kernel.waits()),
        }
    }

    /// Whether a thread waits for an operation to end.
    pub fn waits(&self, thread: ThreadId) -> bool {
        self.parked.values().any(|owner| *owner == thread)
    }

    pub fn is_blocked(&self, token: Token) -> bool {
        self.parked.contains_key(&token)
    }

    /// A new running thread of the first process.
    pub fn thread(&mut self) -> ThreadId {
        let handle = self.thread_handle();
        self.handle_close(handle).unwrap();
        *self.started.last().unwrap()
    }

    /// A new running thread, by handle; its id is the last of `started`.
    pub fn thread_handle(&mut self) -> u32 {
        let out = self.alloc(8);
        let process = u64::from(self.main.process_handle);
        let status = self.call(N::ThreadCreate, &[process, out, 0, 0, out]);
        assert_eq!(status, Status::OK, "thread_create");
        let handle = self.peek_u32(out);
        let start = [u64::from(handle), 0x20_0000, 0x30_0000, 1, 2];
        assert_eq!(self.call(N::ThreadStart, &start), Status::OK);
        handle
    }

    // ---- time

    /// Time passes.
    pub fn advance(&mut self, by: i64) {
        self.now += by;
        self.kernel.timer(self.now);
        self.drain();
    }

    // ---- memory operations

    fn next_random(&mut self) -> u64 {
        // Xorshift: all that is needed is that the same seed gives the same run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Takes all work out of the core and does it, as `order` says.
    pub fn drain(&mut self) {
        loop {
            while let Some(work) = self.kernel.next_work() {
                self.take(work);
            }
            let count = self.held.len();
            let pick = match self.order {
                Order::Now if count > 0 => 0,
                Order::Random if count > 0 => {
                    let random = self.next_random();
                    if random.is_multiple_of(4) {
                        break;
                    }
                    (random / 4) as usize % count
                }
                _ => break,
            };
            self.perform(pick);
        }
        if self.held.is_empty() && !self.unchecked {
            self.check();
        }
    }

    /// Performs everything that is held, and whatever follows from it.
    pub fn settle(&mut self) {
        let order = std::mem::replace(&mut self.order, Order::Now);
        self.drain();
        self.order = order;
    }

    /// Performs one held operation.
    pub fn perform(&mut self, index: usize) {
        let (id, op) = self.held.remove(index);
        let fails = match op {
            MemoryOp::Decommit { .. } => self.decommit_fails,
            _ => self.no_memory,
        };
        let result = if fails {
            MemoryResult::Failed(Status::NO_MEMORY)
        } else {
            self.memory.perform(&op)
        };
        self.check_limit();
        self.memory_ops += 1;
        self.kernel.memory_done(self.now, id, result);
        while let Some(work) = self.kernel.next_work() {
            self.take(work);
        }
    }

    /// A thread that is to be stopped is.
    pub fn stop(&mut self, thread: ThreadId) {
        let registers = self.registers[&thread];
        self.kernel.thread_stopped(self.now, thread, registers);
    }

    /// Answers flushes that were held.
    pub fn flush(&mut self) {
        for token in std::mem::take(&mut self.flushes) {
            self.kernel.flush_done(self.now, token);
        }
        self.drain();
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Memory(id, op) => {
                self.check_conflicts(&op);
                self.held.push((id, op));
            }
            Work::Complete(Completion {
                token,
                thread,
                result,
                stop,
            }) => {
                if self.ended.contains(&thread) {
                    assert_eq!(result, OpResult::Gone, "{token:?} of a thread that ended");
                    return;
                }
                let owner = self.parked.remove(&token);
                assert_eq!(owner, Some(thread), "an end nobody waits for: {token:?}");
                self.results.insert(token, result);
                if stop {
                    self.take(Work::StopThread(thread));
                }
            }
            Work::Created { vmo, storage } => self.memory.create(vmo, storage),
            Work::View { pages, of, at } => self.memory.view(pages, of, at),
            Work::Sized { vmo, pages } => self.memory.grow(vmo, pages),
            Work::HostRead(pages) => self.host_reads.push(pages),
            Work::StartThread {
                thread, registers, ..
            } => {
                self.started.push(thread);
                self.registers.insert(thread, *registers);
            }
            Work::StopThread(thread) => {
                assert!(!self.waits(thread), "{thread:?} is stopped in a call");
                assert!(self.stopped.insert(thread), "{thread:?} is stopped twice");
                if !self.hold_stops {
                    self.stop(thread);
                }
            }
            Work::GoThread(thread, registers) => {
                assert!(self.stopped.remove(&thread), "{thread:?} was not stopped");
                if let Some(registers) = registers {
                    self.registers.insert(thread, *registers);
                }
            }
            Work::EndThread(thread) => {
                assert!(self.ended.insert(thread), "{thread:?} ended twice");
                // Operations that end the thread themselves still report it.
                self.parked.retain(|_, owner| *owner != thread);
                self.stopped.remove(&thread);
            }
            Work::SetBase { thread, gs, value } => self.bases.push((thread, gs, value)),
            Work::Flush { token, .. } if self.hold_flushes => self.flushes.push(token),
            Work::Flush { token, .. } => self.kernel.flush_done(self.now, token),
            Work::Exception(exception) => self.exceptions.push(exception),
            Work::ProcessEnded { process, code } => self.processes_ended.push((process, code)),
            Work::DebugEvent => self.debug_events += 1,
            Work::DebugWrite(bytes) => self.output.extend(bytes),
            Work::Tell(event) => self.told.take(event),
            Work::Free(vmo) => {
                self.told.pages.remove(&vmo);
                assert!(self.freed.insert(vmo), "{vmo:?} freed twice");
                let uses = |(_, op): &(MemoryOpId, MemoryOp)| {
                    memory::touched(op).iter().any(|(id, ..)| *id == vmo)
                };
                assert!(
                    !self.held.iter().any(uses),
                    "{vmo:?} freed under an operation"
                );
                self.memory.free(vmo);
                self.kernel.freed(self.now, vmo);
            }
        }
    }

    /// Operations under way at the same time never change each other's pages.
    fn check_conflicts(&self, op: &MemoryOp) {
        for (vmo, pages, exclusive) in memory::touched(op) {
            assert!(!self.freed.contains(&vmo), "{op:?} on a freed VMO");
            for (_, other) in &self.held {
                for (other_vmo, other_pages, other_exclusive) in memory::touched(other) {
                    let meet = vmo == other_vmo
                        && pages.start < other_pages.end
                        && other_pages.start < pages.end;
                    assert!(
                        !(meet && (exclusive || other_exclusive)),
                        "{op:?} emitted while {other:?} is under way"
                    );
                }
            }
        }
    }

    /// Limits the pages of storage from now on.
    pub fn limit(&mut self, pages: u64) {
        self.kernel.limit_memory(pages);
        self.limit = pages;
    }

    /// Memory never holds more pages than the core counts, and never more than the limit.
    pub fn check_limit(&self) {
        let (there, (counted, _)) = (self.memory.total() as u64, self.kernel.resident_pages());
        assert!(there <= counted, "{there} pages, {counted} counted");
        assert!(counted <= self.limit, "{counted} pages of {}", self.limit);
    }

    /// With no operation under way the core and the memory agree on what is resident, and no deadline lies in the past.
    pub fn check(&self) {
        for (vmo, name, size, resident) in self.kernel.usage() {
            let there = self.memory.resident(vmo);
            assert_eq!(resident, there, "resident pages of {name:?} ({vmo:?})");
            let beyond = self.memory.first_beyond(vmo, size / PAGE_SIZE);
            assert_eq!(beyond, None, "a page past the end of {name:?} ({vmo:?})");
        }
        if let Some(deadline) = self.kernel.next_deadline() {
            assert!(
                deadline > self.now,
                "a deadline in the past keeps the clock busy"
            );
        }
    }

    // ---- the program's memory

    /// Fresh, never touched scratch memory on pages of its own.
    pub fn alloc(&mut self, length: u64) -> u64 {
        let at = self.next_scratch;
        // A page between: an overrun shows.
        self.next_scratch += length.next_multiple_of(PAGE_SIZE) + PAGE_SIZE;
        assert!(self.next_scratch < SCRATCH + SCRATCH_SIZE);
        at
    }

    /// A touch that tries again until the access goes through, or has to wait.
    pub fn touch(&mut self, thread: ThreadId, address: u64, access: Access) -> Touch {
        for _ in 0..100 {
            let outcome = self.kernel.page_fault(self.now, thread, address, access);
            match outcome {
                FaultOutcome::Present => {
                    self.drain();
                    return Touch::Done;
                }
                FaultOutcome::Restart => {
                    self.drain();
                    return Touch::Restart;
                }
                FaultOutcome::Gone => {
                    self.drain();
                    return Touch::Fatal(self.fault_status(thread));
                }
                FaultOutcome::Parked(token) => {
                    self.parked.insert(token, thread);
                    self.drain();
                    match self.results.remove(&token) {
                        None if self.ended.contains(&thread) => {
                            return Touch::Fatal(self.fault_status(thread));
                        }
                        None => return Touch::Blocked(token),
                        Some(OpResult::Retry) => {}
                        Some(OpResult::Restart) => return Touch::Restart,
                        Some(OpResult::Gone) => return Touch::Fatal(self.fault_status(thread)),
                        Some(other) => panic!("a page fault ended as {other:?}"),
                    }
                }
            }
        }
        panic!("a touch of {address:#x} never goes through");
    }

    /// A store of one byte as the processor makes it: no fault where the page is there and permits it, or its writes are noted only.
    pub fn store(&mut self, thread: ThreadId, address: u64, byte: u8) -> Touch {
        if !self.kernel.is_present(thread, address, Access::Write) {
            let touch = self.touch(thread, address, Access::Write);
            if touch != Touch::Done {
                return touch;
            }
        }
        let run = self.kernel.mapped_run(self.main.process, address).unwrap();
        let page = run.page + (address - run.address) / PAGE_SIZE;
        let content = self.memory.page_mut(run.vmo, page).unwrap();
        content[(address % PAGE_SIZE) as usize] = byte;
        Touch::Done
    }

    /// One fault; it may park.
    pub fn fault(&mut self, thread: ThreadId, address: u64, access: Access) {
        let outcome = self.kernel.page_fault(self.now, thread, address, access);
        if let FaultOutcome::Parked(token) = outcome {
            self.parked.insert(token, thread);
        }
        self.drain();
    }

    /// The status of a thread's fatal page fault.
    pub fn fault_status(&self, thread: ThreadId) -> Status {
        let mine = self
            .exceptions
            .iter()
            .find(|exception| exception.thread == thread);
        match mine.map(|exception| &exception.kind) {
            Some(ExceptionKind::PageFault { status, .. }) => *status,
            other => panic!("no fatal page fault of {thread:?}: {other:?}"),
        }
    }

    /// Reads the program's memory as the hardware would, pages that are there; `None` for those that are not.
    pub fn try_peek(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let at = address + bytes.len() as u64;
            let run = self.kernel.mapped_run(self.main.process, at)?;
            let page = run.page + (at - run.address) / PAGE_SIZE;
            let content = self.memory.page(run.vmo, page)?;
            let rest = &content[(at % PAGE_SIZE) as usize..];
            let wanted = (length as usize - bytes.len()).min(rest.len());
            bytes.extend_from_slice(&rest[..wanted]);
        }
        Some(bytes)
    }

    /// Reads scratch memory; untouched pages are zeros.
    pub fn peek(&self, address: u64, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let at = address + bytes.len() as u64;
            let now = (PAGE_SIZE - at % PAGE_SIZE).min(length - bytes.len() as u64);
            let part = self.try_peek(at, now);
            bytes.extend(part.unwrap_or_else(|| vec![0; now as usize]));
        }
        bytes
    }

    pub fn peek_u32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.peek(address, 4).try_into().unwrap())
    }

    pub fn peek_u64(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.peek(address, 8).try_into().unwrap())
    }

    /// Writes the program's memory through its mappings, touching pages that are not there.
    pub fn poke(&mut self, address: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let order = std::mem::replace(&mut self.order, Order::Now);
        let end = address + bytes.len() as u64;
        for page in address / PAGE_SIZE..end.div_ceil(PAGE_SIZE) {
            let at = address.max(page * PAGE_SIZE);
            let touch = self.touch(self.main.thread, at, Access::Write);
            assert_eq!(touch, Touch::Done, "poke");
        }
        self.poke_present(address, bytes);
        self.order = order;
    }

    /// Writes the program's memory as the hardware would, pages that are there and permit it.
    pub fn poke_present(&mut self, address: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let run = self.kernel.mapped_run(self.main.process, at).unwrap();
            let page = run.page + (at - run.address) / PAGE_SIZE;
            let content = self.memory.page_mut(run.vmo, page).unwrap();
            let rest = &mut content[(at % PAGE_SIZE) as usize..];
            let now = rest.len().min(bytes.len() - done);
            rest[..now].copy_from_slice(&bytes[done..done + now]);
            done += now;
        }
    }
}
