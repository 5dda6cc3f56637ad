//! Faults of ring 3: finding the page that an instruction could not access, and making it accessible.
//!
//! KVM tells that an access failed, rarely where. The instruction at RIP is decoded; its accesses, in the order in which the
//! processor makes them, are put to the core until one is found whose page is not there. If all are there, the page came between
//! the exit and now: the access is tried again. A fault that stays unexplained while nothing changes ends the thread.

use std::fmt;
use std::time::Instant;

use protocol::{PAGE_SIZE, USER_END};
use zircon::{
    Access, ExceptionKind, FaultOutcome, Kernel, MemoryOp, MemoryResult, OpResult, ThreadId, VmoId,
};

use super::emulated::LateWrites;
use super::mailbox::Item;
use super::operands::{self, AccessKind, Decoded, MAX_INSTRUCTION};
use super::run::{RunError, Runner};
use super::shared::{Vm, lock};
use super::spaces::Linked;
use super::work::{Mine, Parked};
use crate::machine::tables::Leaf;
use crate::machine::{Registers, SegmentBases};

/// fs and gs. A byte of that value may be something else: then the bases are not looked at.
const SEGMENT_PREFIXES: [u8; 2] = [0x64, 0x65];

/// How often an unexplained fault is tried again while nothing changes.
const PATIENCE: u32 = 8;

/// How often a page fault that finds everything in place is tried again.
const SPURIOUS: u32 = 100_000;

/// The last fault that found nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Puzzle {
    rip: u64,
    epoch: u64,
    times: u32,
    /// However much changes meanwhile.
    total: u32,
}

impl Puzzle {
    /// Counts another one; says whether it has come too often: more than `patience` times since anything changed, or without end
    /// while others keep changing things.
    fn again(&mut self, rip: u64, epoch: u64, patience: u32) -> bool {
        if self.rip != rip {
            *self = Puzzle {
                rip,
                ..Puzzle::default()
            };
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.times = 0;
        }
        self.times += 1;
        self.total += 1;
        self.times > patience || self.total > SPURIOUS
    }
}

impl From<AccessKind> for Access {
    fn from(kind: AccessKind) -> Self {
        match kind {
            AccessKind::Read => Access::Read,
            AccessKind::Write => Access::Write,
            AccessKind::Execute => Access::Execute,
        }
    }
}

/// A byte of a VMO: the VMO and the offset.
type Place = (VmoId, u64);

/// Instructions that faulted lately, of programs' text that nobody can write to: reading one costs more than decoding it.
#[derive(Debug, Default)]
pub(super) struct KnownCode {
    /// By the low bits of the offset.
    entries: [Option<(Place, [u8; MAX_INSTRUCTION])>; 16],
}

impl KnownCode {
    fn get(&self, place: Place) -> Option<&[u8]> {
        let entry = self.entries.get(place.1 as usize % self.entries.len())?;
        let (known, bytes) = entry.as_ref()?;
        (*known == place).then_some(bytes)
    }

    fn set(&mut self, place: Place, bytes: [u8; MAX_INSTRUCTION]) {
        let slot = place.1 as usize % self.entries.len();
        if let Some(entry) = self.entries.get_mut(slot) {
            *entry = Some((place, bytes));
        }
    }
}

/// The bytes of an instruction, as many as are there.
#[derive(Clone, Copy)]
struct Code {
    bytes: [u8; MAX_INSTRUCTION],
    length: usize,
}

impl Code {
    fn of(there: &[u8]) -> Code {
        let length = there.len().min(MAX_INSTRUCTION);
        let mut bytes = [0; MAX_INSTRUCTION];
        for (to, from) in bytes.iter_mut().zip(there) {
            *to = *from;
        }
        Code { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.bytes().iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Whether what is mapped at an address permits an access.
fn permits(core: &Kernel, thread: ThreadId, address: u64, access: Access) -> bool {
    let run = core
        .process_of(thread)
        .and_then(|process| core.mapped_run(process, address));
    run.is_some_and(|run| match access {
        Access::Read => true,
        Access::Write => run.write,
        Access::Execute => run.execute,
    })
}

/// The first page that an instruction at `rip`, which was read there, needs and that is not there.
fn first_missing(
    core: &Kernel,
    thread: ThreadId,
    rip: u64,
    accesses: &[operands::Access],
) -> Option<(u64, Access)> {
    // What the instruction may leave out explains a fault only if nothing else does.
    [false, true].into_iter().find_map(|conditional| {
        let accesses = accesses.iter();
        let pages = accesses
            .filter(|access| access.conditional == conditional)
            .flat_map(|access| {
                access
                    .pages()
                    .map(|(page, kind)| (page.max(access.address), kind))
            });
        let mut pages = pages.map(|(address, kind)| (address, Access::from(kind)));
        pages.find(|&(address, access)| {
            let known = address == rip && access == Access::Execute;
            address < USER_END
                && !known
                && !core.is_present(thread, address, access)
                && (!conditional || permits(core, thread, address, access))
        })
    })
}

/// What looking at an instruction brought.
enum Explained {
    /// A page was asked for, or is there now, or the thread has ended: nothing more to do.
    Handled,
    /// Every page is there.
    No(String),
}

impl Runner {
    /// KVM_RUN failed with EFAULT in ring 3.
    pub(super) fn on_fault(&mut self, gpa: Option<u64>, since: Instant) -> Result<(), RunError> {
        let thread = self.current_thread()?;
        let registers = *self.vcpu.registers();
        if let Some(place) = gpa.and_then(|gpa| self.vm.memory.locate(gpa)) {
            // This KVM tells the place. The kind of access is not told: what the mappings permit is tried in turn.
            for access in [Access::Write, Access::Read, Access::Execute] {
                let Some(address) = self.vm.core().address_of(thread, place, access) else {
                    continue;
                };
                let missing = {
                    let core = self.vm.core();
                    !core.is_present(thread, address, access)
                        && permits(&core, thread, address, access)
                };
                if missing {
                    return self.touch(thread, address, access, since, None);
                }
            }
        }
        match self.explain(thread, &registers, since)? {
            Explained::Handled => {
                self.puzzle = Puzzle::default();
                Ok(())
            }
            Explained::No(seen) => {
                let (epoch, busy) = {
                    let core = self.vm.core();
                    (core.epoch(), core.is_busy(thread, registers.rip))
                };
                let patience = if busy { SPURIOUS } else { PATIENCE };
                if !self.puzzle.again(registers.rip, epoch, patience) {
                    return Ok(());
                }
                let gpa = gpa.map_or("not told".into(), |gpa| format!("{gpa:#x}"));
                let what = format!(
                    "an access at rip {:#x} failed, but every page that it needs is there; {seen}; \
                     guest-physical address {gpa}",
                    registers.rip
                );
                self.raise(thread, ExceptionKind::Unexplained(what))
            }
        }
    }

    /// Puts the accesses of the instruction at RIP to the core, one page after the other.
    fn explain(
        &mut self,
        thread: ThreadId,
        registers: &Registers,
        since: Instant,
    ) -> Result<Explained, RunError> {
        let rip = registers.rip;
        if !self.vm.core().is_present(thread, rip, Access::Execute) {
            self.touch(thread, rip, Access::Execute, since, None)?;
            return Ok(Explained::Handled);
        }
        let Some(code) = self.code(thread, rip) else {
            // The page went between the two looks.
            return Ok(Explained::Handled);
        };
        // Asking for the bases costs a system call, and a tenth of a fault: only a prefix makes them matter.
        let bases = match code
            .bytes()
            .iter()
            .any(|byte| SEGMENT_PREFIXES.contains(byte))
        {
            true => self.vcpu.segment_bases()?,
            false => SegmentBases::default(),
        };
        let state = operands::Registers {
            general: general(registers),
            rip,
            rflags: registers.rflags,
            fs_base: bases.fs,
            gs_base: bases.gs,
        };
        let accesses = match self.decoder.decode(code.bytes(), &state) {
            Decoded::Accesses(accesses) => accesses,
            Decoded::Unexplained(why) => {
                let seen = format!("the instruction {code} is beyond it: {why}");
                return Ok(Explained::No(seen));
            }
            Decoded::Invalid => {
                return Ok(Explained::No(format!(
                    "the bytes {code} are no instruction"
                )));
            }
        };
        let missing = first_missing(&self.vm.core(), thread, rip, accesses);
        let Some((address, access)) = missing else {
            return Ok(Explained::No(format!("the instruction is {code}")));
        };
        self.touch(thread, address, access, since, None)?;
        Ok(Explained::Handled)
    }

    /// The bytes at RIP, as far as they are there; the first page is.
    fn code(&mut self, thread: ThreadId, rip: u64) -> Option<Code> {
        let first = (PAGE_SIZE - rip % PAGE_SIZE).min(MAX_INSTRUCTION as u64);
        let place = self.unchanging_code(thread, rip);
        if let Some(place) = place
            && let Some(bytes) = self.known_code.get(place)
        {
            return Some(Code::of(bytes));
        }
        let mut bytes = self.read(thread, rip, first)?;
        if let (Some(place), Ok(whole)) = (place, bytes.as_slice().try_into()) {
            self.known_code.set(place, whole);
        }
        let next = rip + first;
        if first < MAX_INSTRUCTION as u64
            && self.vm.core().is_present(thread, next, Access::Execute)
        {
            bytes.extend(self.read(thread, next, MAX_INSTRUCTION as u64 - first)?);
        }
        Some(Code::of(&bytes))
    }

    /// Where the bytes at RIP lie, if nobody can write there.
    fn unchanging_code(&self, thread: ThreadId, rip: u64) -> Option<Place> {
        let core = self.vm.core();
        let run = core.mapped_run(core.process_of(thread)?, rip)?;
        let place = (run.vmo, run.page * PAGE_SIZE + (rip - run.address));
        core.is_never_written(run.vmo).then_some(place)
    }

    /// Bytes of one present page of a program.
    fn read(&self, thread: ThreadId, address: u64, length: u64) -> Option<Vec<u8>> {
        let run = {
            let core = self.vm.core();
            core.mapped_run(core.process_of(thread)?, address)?
        };
        let offset = run.page * PAGE_SIZE + (address - run.address);
        let op = MemoryOp::Read {
            vmo: run.vmo,
            offset,
            length: length as usize,
        };
        match self.vm.memory.perform(&op) {
            MemoryResult::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Makes one page accessible, or parks the thread until it is; then carries out `writes`, the first of which is there.
    pub(super) fn touch(
        &mut self,
        thread: ThreadId,
        address: u64,
        access: Access,
        since: Instant,
        writes: Option<LateWrites>,
    ) -> Result<(), RunError> {
        let registers = *self.vcpu.registers();
        let outcome = {
            let mut core = self.vm.core();
            let now = self.vm.at(since);
            let outcome = match writes {
                None => core.page_fault(now, thread, address, access),
                // The instruction is done otherwise: it cannot be executed again.
                Some(_) => core.late_access(now, thread, address, access),
            };
            if let FaultOutcome::Parked(token) = outcome {
                self.vm.open_call(self.index, thread, token, &registers);
            }
            outcome
        };
        if outcome != FaultOutcome::Present {
            self.vm.note_fault(thread, address, access);
        }
        let token = match outcome {
            FaultOutcome::Parked(token) => Some(token),
            FaultOutcome::Present | FaultOutcome::Restart | FaultOutcome::Gone => None,
        };
        let mine = Mine {
            vcpu: self.index,
            token,
            thread: Some(thread),
            registers: &registers,
        };
        let mut ended = self.vm.drain(Some(mine));
        if token.is_some() && ended.is_none() {
            let parked = Parked {
                fault: Some(since),
                registers,
                writes: writes.clone(),
            };
            ended = self.vm.close_call(self.index, thread, parked);
            if ended.is_none() {
                return Ok(());
            }
        }
        if token.is_some() {
            self.vm.forget_call(self.index, thread);
        }
        if outcome != FaultOutcome::Present {
            self.vm.fault_served(self.index, thread, since);
        }
        // One that is to stop has raised an exception.
        let gone = matches!(outcome, FaultOutcome::Restart | FaultOutcome::Gone)
            || matches!(ended, Some(OpResult::Restart | OpResult::Gone));
        if let Some(writes) = writes.filter(|_| !gone) {
            self.write_late(thread, writes, since);
        }
        Ok(())
    }

    /// The guest kernel reports a page fault of ring 3: a table is missing, or the access is not permitted.
    pub(super) fn on_guest_page_fault(
        &mut self,
        thread: ThreadId,
        address: u64,
        error: u64,
        registers: &Registers,
        since: Instant,
    ) -> Result<(), RunError> {
        let access = match error {
            _ if error & 0x10 != 0 => Access::Execute,
            _ if error & 2 != 0 => Access::Write,
            _ => Access::Read,
        };
        let vm = &self.vm;
        let (outcome, process, epoch) = {
            let mut core = vm.core();
            let outcome = core.page_fault(vm.at(since), thread, address, access);
            if let FaultOutcome::Parked(token) = outcome {
                vm.open_call(self.index, thread, token, registers);
                vm.note_fault(thread, address, access);
            }
            (outcome, core.process_of(thread), core.epoch())
        };
        let token = match outcome {
            FaultOutcome::Parked(token) => Some(token),
            FaultOutcome::Present | FaultOutcome::Restart | FaultOutcome::Gone => None,
        };
        let mine = Mine {
            vcpu: self.index,
            token,
            thread: Some(thread),
            registers,
        };
        let ended = vm.drain(Some(mine));
        if token.is_some() {
            let parked = Parked {
                fault: Some(since),
                registers: *registers,
                writes: None,
            };
            if ended.is_none() && vm.close_call(self.index, thread, parked).is_none() {
                // Linked at the next fault, when the thread goes on.
                return Ok(());
            }
            vm.forget_call(self.index, thread);
            vm.fault_served(self.index, thread, since);
        }
        let stays = matches!(outcome, FaultOutcome::Restart | FaultOutcome::Gone)
            || matches!(ended, Some(OpResult::Restart | OpResult::Gone));
        let Some(process) = process.filter(|_| !stays) else {
            return Ok(());
        };
        // Makes the window now: under the lock below it is only looked up.
        if vm.leaf(process, address).is_none() && vm.core().mapped_run(process, address).is_some() {
            let (status, vmo) = (protocol::Status::NO_MEMORY, None);
            let kind = ExceptionKind::PageFault {
                address,
                access,
                status,
                vmo,
            };
            return self.raise(thread, kind);
        }
        let mut spaces = lock(&vm.spaces);
        let linked = spaces.link(process, self.index, thread, address, |address| {
            vm.leaf(process, address)
        });
        match linked {
            // Posted while the tables are locked, so that no flush of another vCPU comes in between.
            Linked::Links { refresh, links } if !links.is_empty() => {
                let refresh = refresh.into_iter().map(Item::Refresh);
                let items = refresh.chain(links.into_iter().map(Item::Link));
                if let Some(mailbox) = vm.mailbox(self.index) {
                    mailbox.post(items, true);
                }
                drop(spaces);
                self.linking = true;
            }
            Linked::Links { .. } => {
                drop(spaces);
                if self.puzzle.again(registers.rip, epoch, SPURIOUS) {
                    let what = format!("page faults at {address:#x} that nothing explains");
                    return self.raise(thread, ExceptionKind::Unexplained(what));
                }
            }
            Linked::Behind(other) => {
                if let Some(mailbox) = vm.mailbox(other) {
                    mailbox.wake();
                }
            }
            // Likewise, so that the flush's end finds it there.
            Linked::Flushing => vm.post(thread, Item::Park(thread), Some(self.index)),
            Linked::OutOfTables(error) => {
                if let Some(order) = spaces.reclaim(process, vm.vcpus()) {
                    spaces.park(process, thread);
                    vm.post(thread, Item::Park(thread), Some(self.index));
                    vm.order_flush(order, Some(self.index));
                    return Ok(());
                }
                drop(spaces);
                let vmo = None;
                let status = protocol::Status::NO_MEMORY;
                log::warn!("{error}");
                return self.raise(
                    thread,
                    ExceptionKind::PageFault {
                        address,
                        access,
                        status,
                        vmo,
                    },
                );
            }
        }
        Ok(())
    }
}

impl Vm {
    /// The run of guest-physical memory behind an address.
    pub(super) fn leaf(&self, process: zircon::ProcessId, address: u64) -> Option<Leaf> {
        let run = self.core().mapped_run(process, address)?;
        let page = run.page + (address - run.address) / PAGE_SIZE;
        let chunk = match self.memory.place(run.vmo, page) {
            Ok(chunk) => chunk,
            Err(error) => {
                log::warn!("no window for VMO {}: {error}", run.vmo.0);
                return None;
            }
        };
        let first = run.page.max(chunk.first_page);
        let end = (run.page + run.length / PAGE_SIZE).min(chunk.first_page + chunk.pages);
        Some(Leaf {
            va: run.address + (first - run.page) * PAGE_SIZE,
            len: (end - first) * PAGE_SIZE,
            gpa: chunk.gpa + (first - chunk.first_page) * PAGE_SIZE,
            write: run.write,
            execute: run.execute,
        })
    }
}

/// The general registers in the hardware's numbering.
fn general(r: &Registers) -> [u64; 16] {
    [
        r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12,
        r.r13, r.r14, r.r15,
    ]
}
