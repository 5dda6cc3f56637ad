//! Faults of ring 3: finding the page that an instruction could not access, and making it accessible.
//!
//! KVM tells that an access failed, rarely where. The instruction at RIP is decoded; its accesses, in the order in which the
//! processor makes them, are put to the core until one is found whose page is not there. If all are there, the page came between
//! the exit and now: the access is tried again. A fault that stays unexplained while nothing changes ends the thread.

use std::time::Instant;

use protocol::PAGE_SIZE;
use zircon::{Access, ExceptionKind, FaultOutcome, OpResult, ThreadId};

use super::emulated::LateWrites;
use super::explain::{Explained, permits};
use super::mailbox::Item;
use super::run::{RunError, Runner};
use super::shared::{Vm, lock};
use super::spaces::Linked;
use super::work::{Mine, Parked};
use crate::machine::tables::Leaf;
use crate::machine::{PageFault, Registers};

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

    /// A page fault of the guest's tables: what needs no more than links is done with at once, and everything else comes again as an
    /// exception.
    pub(super) fn on_page_fault(&mut self) -> Result<(), RunError> {
        let fault = self.vcpu.page_fault()?;
        let mut again = false;
        if fault.in_ring_3 {
            self.faulting = Some(fault.registers);
            again = self.link_at_once(&fault)? && !self.deliver_urgent()?;
        }
        self.vcpu.answer_page_fault(again);
        Ok(())
    }

    /// Links what a page fault has found missing, if that can be done here and now; says whether it was.
    fn link_at_once(&mut self, fault: &PageFault) -> Result<bool, RunError> {
        const PRESENT: u64 = 1;
        let thread = self.current_thread()?;
        let vm = &self.vm;
        let process = vm.core().process_of(thread);
        let Some(process) = process.filter(|_| fault.error_code & PRESENT == 0) else {
            return Ok(false);
        };
        // Makes the window now: under the lock below it is only looked up.
        if vm.leaf(process, fault.address).is_none() {
            return Ok(false);
        }
        let leaf_at = |address| vm.leaf(process, address);
        Ok(lock(&vm.spaces).link_at_once(process, fault.address, leaf_at))
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
