//! What an instruction that faulted needs: its bytes, its accesses, and the first page among them that is not there.

use std::fmt;
use std::time::Instant;

use protocol::{PAGE_SIZE, USER_END};
use zircon::{Access, Kernel, MemoryOp, MemoryResult, Place, ThreadId};

use super::operands::{self, AccessKind, Decoded, MAX_INSTRUCTION};
use super::run::{RunError, Runner};
use crate::machine::{Registers, SegmentBases};

/// fs and gs. A byte of that value may be something else: then the bases are not looked at.
const SEGMENT_PREFIXES: [u8; 2] = [0x64, 0x65];

impl From<AccessKind> for Access {
    fn from(kind: AccessKind) -> Self {
        match kind {
            AccessKind::Read => Access::Read,
            AccessKind::Write => Access::Write,
            AccessKind::Execute => Access::Execute,
        }
    }
}

/// Instructions that faulted lately, of programs' text that nobody can write to: reading one costs more than decoding it.
#[derive(Debug, Default)]
pub(super) struct KnownCode {
    /// By the low bits of the offset.
    entries: [Option<(Place, [u8; MAX_INSTRUCTION])>; 16],
}

impl KnownCode {
    fn get(&self, place: Place) -> Option<&[u8]> {
        let entry = self
            .entries
            .get(place.offset as usize % self.entries.len())?;
        let (known, bytes) = entry.as_ref()?;
        (*known == place).then_some(bytes)
    }

    /// Keeps an instruction if nobody can write there.
    fn set(&mut self, place: Place, bytes: [u8; MAX_INSTRUCTION]) {
        let slot = place.offset as usize % self.entries.len();
        if let Some(entry) = self.entries.get_mut(slot).filter(|_| place.unchanging) {
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
pub(super) fn permits(core: &Kernel, thread: ThreadId, address: u64, access: Access) -> bool {
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
pub(super) enum Explained {
    /// A page was asked for, or is there now, or the thread has ended: nothing more to do.
    Handled,
    /// Every page is there.
    No(String),
}

impl Runner {
    /// Puts the accesses of the instruction at RIP to the core, one page after the other.
    pub(super) fn explain(
        &mut self,
        thread: ThreadId,
        registers: &Registers,
        since: Instant,
    ) -> Result<Explained, RunError> {
        let rip = registers.rip;
        let place = self.vm.core().place_of(thread, rip, Access::Execute);
        let Some(place) = place else {
            self.touch(thread, rip, Access::Execute, since, None)?;
            return Ok(Explained::Handled);
        };
        let Some(code) = self.code(thread, rip, place) else {
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

    /// The bytes at RIP, as far as they are there; the first page is, in this place.
    fn code(&mut self, thread: ThreadId, rip: u64, place: Place) -> Option<Code> {
        let first = (PAGE_SIZE - rip % PAGE_SIZE).min(MAX_INSTRUCTION as u64);
        if let Some(bytes) = self.known_code.get(place) {
            return Some(Code::of(bytes));
        }
        let mut bytes = self.read(place, first)?;
        if let Ok(whole) = bytes.as_slice().try_into() {
            self.known_code.set(place, whole);
        }
        let rest = MAX_INSTRUCTION as u64 - first;
        if rest > 0 {
            let next = self
                .vm
                .core()
                .place_of(thread, rip + first, Access::Execute);
            if let Some(next) = next {
                bytes.extend(self.read(next, rest)?);
            }
        }
        Some(Code::of(&bytes))
    }

    /// Bytes of a present page; `None` if it went between the two looks.
    fn read(&self, place: Place, length: u64) -> Option<Vec<u8>> {
        let op = MemoryOp::Read {
            vmo: place.vmo,
            offset: place.offset,
            length: length as usize,
        };
        match self.vm.memory.perform(&op) {
            MemoryResult::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The general registers in the hardware's numbering.
fn general(r: &Registers) -> [u64; 16] {
    [
        r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12,
        r.r13, r.r14, r.r15,
    ]
}
