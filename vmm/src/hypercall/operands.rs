//! Which memory an instruction touches: the way from an exit without an address to a page.
//!
//! When a page behind a guest access may not be touched yet, KVM_RUN returns EFAULT and says
//! neither address nor access. The registers still describe the instruction about to run, so the
//! address is among its operands:
//!
//! 1. the caller reads the bytes at RIP (as many of the 15 as are present) and the registers;
//! 2. [`OperandDecoder::decode`] lists every access that the instruction makes, in the order in
//!    which it makes them: its own bytes, then what it reads, then what it writes;
//! 3. the caller takes the first page ([`Access::pages`]) whose state does not permit the access,
//!    and resolves it.
//!
//! The list holds for 64-bit code in ring 3. A read-modify-write is one [`AccessKind::Write`],
//! since the processor itself demands write permission before it reads. Accesses of the processor
//! to its own tables (descriptors, page tables) are not listed: they lie in guest RAM. Targets of
//! jumps are not listed either: their fetch faults with the new RIP. An address that is not
//! canonical is listed as computed; the processor raises #GP for it and never asks for a page.
//!
//! This module only computes; it reads no memory.

mod address;
mod order;
#[cfg(test)]
mod tests;

use iced_x86::{
    Decoder, DecoderError, DecoderOptions, Instruction, InstructionInfoFactory,
    InstructionInfoOptions, MemorySize,
};
use protocol::{PAGE_SHIFT, PAGE_SIZE};

/// Longest instruction in bytes; a longer one raises #GP.
pub const MAX_INSTRUCTION: usize = 15;

/// The registers from which addresses are computed, as the thread had them before the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// The sixteen general registers, indexed by [`protocol::vcpu::register`].
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags; only DF is looked at.
    pub rflags: u64,
    /// Base of fs.
    pub fs_base: u64,
    /// Base of gs.
    pub gs_base: u64,
}

/// One access of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// First byte, a virtual address.
    pub address: u64,
    /// Bytes, at least 1; the range may wrap at 2^64.
    pub length: u64,
    /// What is done there.
    pub kind: AccessKind,
    /// The instruction may leave the access out: a masked lane, a later element of a repeated
    /// instruction, the part of a save area that depends on enabled features. That such a page
    /// cannot be had explains a fault only if no other access does.
    pub conditional: bool,
}

/// What an access does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessKind {
    /// Reads data.
    Read,
    /// Writes data, or reads and writes it.
    Write,
    /// Fetches the instruction.
    Execute,
}

/// What the bytes at RIP turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded<'a> {
    /// An instruction, or the first part of one: its accesses in the order in which they are made.
    /// Of an instruction whose bytes end too early only the fetches are known; the last one is of
    /// the first byte that is missing.
    Accesses(&'a [Access]),
    /// An instruction whose accesses these registers do not tell.
    Unexplained(Unexplained),
    /// Not an instruction: it raises #UD (or #GP when longer than [`MAX_INSTRUCTION`]).
    Invalid,
}

/// Why the accesses of a valid instruction are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unexplained {
    /// A gather or scatter.
    #[error("its addresses come from a vector register, which the VMM does not read")]
    VectorAddress,
    /// A load or store of AMX tiles.
    #[error(
        "the number of rows it moves is in the tile configuration, which the VMM does not read"
    )]
    Tile,
    /// An operand uses a register that has no place in [`Registers`].
    #[error("its address depends on a register that the VMM does not read")]
    Register,
}

impl Access {
    /// The addresses of the pages that the access touches, each with the kind, in ascending order.
    pub fn pages(self) -> impl Iterator<Item = (u64, AccessKind)> {
        let first = self.address >> PAGE_SHIFT;
        let within = self.address % PAGE_SIZE;
        let count = within.saturating_add(self.length).div_ceil(PAGE_SIZE);
        (0..count).map(move |n| (first.wrapping_add(n) << PAGE_SHIFT, self.kind))
    }
}

/// Decodes instructions into accesses. One is kept for each vCPU: it re-uses its buffers, and what it decoded last.
#[derive(Debug)]
pub struct OperandDecoder {
    info: InstructionInfoFactory,
    accesses: Vec<Access>,
    last: Option<Last>,
}

/// An instruction that was decoded whole.
#[derive(Debug)]
struct Last {
    rip: u64,
    bytes: [u8; MAX_INSTRUCTION],
    instruction: Instruction,
}

impl Default for OperandDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl OperandDecoder {
    /// A decoder with buffers for any ordinary instruction.
    pub fn new() -> Self {
        // 64: ENTER with its deepest nesting reads and writes 31 frame pointers.
        Self {
            info: InstructionInfoFactory::new(),
            accesses: Vec::with_capacity(64),
            last: None,
        }
    }

    /// Builds the tables that all decoders share and that the first decoding would build: that takes half a millisecond.
    pub fn warm_up() {
        let nop = [0x90];
        Self::new().decode(&nop, &Registers::default());
    }

    /// The accesses of the instruction whose bytes, as far as they are present, are `bytes` (more
    /// than [`MAX_INSTRUCTION`] are not looked at).
    pub fn decode(&mut self, bytes: &[u8], registers: &Registers) -> Decoded<'_> {
        let bytes = bytes.get(..MAX_INSTRUCTION).unwrap_or(bytes);
        self.accesses.clear();
        let known = |last: &Last| last.rip == registers.rip && last.bytes == bytes;
        let instruction = match self.last.as_ref().filter(|last| known(last)) {
            Some(last) => last.instruction,
            None => {
                let mut decoder = Decoder::with_ip(64, bytes, registers.rip, DecoderOptions::NONE);
                let instruction = decoder.decode();
                match decoder.last_error() {
                    DecoderError::None => {}
                    DecoderError::NoMoreBytes if bytes.len() < MAX_INSTRUCTION => {
                        self.fetch(registers.rip, bytes.len());
                        self.fetch(registers.rip.wrapping_add(bytes.len() as u64), 1);
                        return Decoded::Accesses(&self.accesses);
                    }
                    _ => return Decoded::Invalid,
                }
                self.last = bytes.try_into().ok().map(|bytes| Last {
                    rip: registers.rip,
                    bytes,
                    instruction,
                });
                instruction
            }
        };
        self.fetch(registers.rip, instruction.len());
        match self.data(&instruction, registers) {
            Ok(()) => Decoded::Accesses(&self.accesses),
            Err(reason) => Decoded::Unexplained(reason),
        }
    }

    fn fetch(&mut self, address: u64, length: usize) {
        if length > 0 {
            let (length, kind) = (length as u64, AccessKind::Execute);
            self.accesses.push(Access {
                address,
                length,
                kind,
                conditional: false,
            });
        }
    }

    /// Appends the accesses to data.
    fn data(
        &mut self,
        instruction: &Instruction,
        registers: &Registers,
    ) -> Result<(), Unexplained> {
        // A privileged instruction raises #GP in ring 3 before it touches anything.
        if instruction.is_privileged() {
            return Ok(());
        }
        let used = self
            .info
            .info_options(instruction, InstructionInfoOptions::NO_REGISTER_USAGE)
            .used_memory();
        if used
            .iter()
            .any(|memory| memory.index().is_vector_register())
        {
            return Err(Unexplained::VectorAddress);
        }
        if used
            .iter()
            .any(|memory| memory.memory_size() == MemorySize::Tile)
        {
            return Err(Unexplained::Tile);
        }
        order::list(instruction, used, registers, &mut self.accesses)
    }
}
