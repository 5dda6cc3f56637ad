//! Accesses that KVM's instruction emulator makes for ring 3 and that meet an absent page.
//!
//! A processor runs ring 3 itself, so these are rare; but a software KVM emulates every instruction while the stack pointer is
//! no canonical address, for one. A read is abandoned and the instruction starts again when the page is there. A write is what
//! is left of an instruction that is done otherwise: its pieces, one for each page, are kept, and carried out one after the
//! other as the pages come.

use std::collections::VecDeque;
use std::time::Instant;

use protocol::PAGE_SIZE;
use zircon::{Access, ExceptionKind, FaultOutcome, MemoryOp, ThreadId, VmoId};

use super::mailbox::{Call, Item};
use super::run::{RunError, Runner};
use super::shared::Vm;
use super::work::{Mine, Parked};
use crate::machine::MmioAccess;
use crate::observe::Event;

/// What an instruction has yet to write, in order; not empty.
#[derive(Clone, Debug)]
pub(super) struct LateWrites(VecDeque<Piece>);

/// A write to one page.
#[derive(Clone, Debug)]
struct Piece {
    /// Where the program sees it.
    address: u64,
    vmo: VmoId,
    offset: u64,
    bytes: Vec<u8>,
}

/// How far the writes of an instruction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// All are carried out, or the thread is no more.
    Done,
    /// The thread waits for the page of the next one.
    Waits,
}

impl Runner {
    /// An access that KVM's emulator met: a fault whose place is known.
    pub(super) fn on_mmio(
        &mut self,
        gpa: u64,
        access: MmioAccess,
        since: Instant,
    ) -> Result<(), RunError> {
        let thread = self.current_thread()?;
        match access {
            MmioAccess::Read { .. } => {
                let Some((address, _, _)) = self.place_of(thread, gpa, Access::Read) else {
                    return self.unbacked(thread, gpa);
                };
                self.vcpu.discard_mmio()?;
                self.touch(thread, address, Access::Read, since, None)
            }
            MmioAccess::Write { data, len } => {
                let mut writes = vec![(gpa, data.get(..len).unwrap_or_default().to_vec())];
                writes.extend(self.vcpu.finish_mmio()?);
                let mut pieces = VecDeque::new();
                for (gpa, bytes) in writes {
                    let Some((address, vmo, offset)) = self.place_of(thread, gpa, Access::Write)
                    else {
                        return self.unbacked(thread, gpa);
                    };
                    pieces.push_back(Piece {
                        address,
                        vmo,
                        offset,
                        bytes,
                    });
                }
                let Some(address) = pieces.front().map(|piece| piece.address) else {
                    return Ok(());
                };
                let writes = Some(LateWrites(pieces));
                self.touch(thread, address, Access::Write, since, writes)
            }
        }
    }

    /// The address, the VMO and the offset in it of guest-physical memory that a thread reached.
    fn place_of(&self, thread: ThreadId, gpa: u64, access: Access) -> Option<(u64, VmoId, u64)> {
        let (vmo, page) = self.vm.memory.locate(gpa)?;
        let address = self.vm.core().address_of(thread, (vmo, page), access)?;
        let within = gpa % PAGE_SIZE;
        Some((address + within, vmo, page * PAGE_SIZE + within))
    }

    fn unbacked(&mut self, thread: ThreadId, gpa: u64) -> Result<(), RunError> {
        let what = format!("an emulated access to guest-physical {gpa:#x}, which no VMO backs");
        self.raise(thread, ExceptionKind::Unexplained(what))
    }

    /// Carries out what the running thread's instruction left to write; its first page is there.
    pub(super) fn write_late(&mut self, thread: ThreadId, writes: LateWrites, since: Instant) {
        let registers = *self.vcpu.registers();
        let parked = Parked {
            fault: Some(since),
            registers,
            writes: Some(writes),
        };
        let late = self.vm.write_late(self.index, thread, parked, true);
        if late == Late::Waits {
            // Asks for the page.
            self.vm.drain(Some(Mine {
                vcpu: self.index,
                token: None,
                thread: Some(thread),
                registers: &registers,
            }));
        }
    }
}

impl Vm {
    /// Writes piece by piece, as far as the pages are there. Where one is not, the thread is parked with the rest; if it is
    /// `running`, its vCPU is told.
    pub(super) fn write_late(
        &self,
        vcpu: u32,
        thread: ThreadId,
        mut parked: Parked,
        running: bool,
    ) -> Late {
        loop {
            let Some(LateWrites(pieces)) = &mut parked.writes else {
                return Late::Done;
            };
            let Some(piece) = pieces.pop_front() else {
                return Late::Done;
            };
            let Piece {
                vmo, offset, bytes, ..
            } = piece;
            // What went away since is not written: neither would the processor have.
            self.memory.perform(&MemoryOp::Write { vmo, offset, bytes });
            let Some(next) = pieces.front() else {
                return Late::Done;
            };
            let mut core = self.core();
            match core.late_access(self.now(), thread, next.address, Access::Write) {
                FaultOutcome::Present => {}
                FaultOutcome::Restart | FaultOutcome::Gone => return Late::Done,
                FaultOutcome::Parked(token) => {
                    self.note_fault(thread, next.address, Access::Write);
                    self.note(Event::Parked(thread.0));
                    let Some(mailbox) = self.mailbox(vcpu) else {
                        return Late::Done;
                    };
                    // The core is still locked, so nobody has seen the token yet.
                    let mut state = mailbox.lock();
                    state
                        .calls
                        .insert(thread, Call::Parked(token, Box::new(parked)));
                    if running {
                        state.items.push_back(Item::Park(thread));
                    }
                    return Late::Waits;
                }
            }
        }
    }
}
