//! The registers of an x86-64 thread in gdb's order.
//!
//! Of the processor's state gdb gets what a supervisor in the VM gets: general registers, flags and segment bases. x87 and vector
//! registers are unavailable.

use gdbstub::arch::{Arch, Registers};
use protocol::GeneralRegs;
use protocol::boot::{USER_CS, USER_SS};

/// x86-64 as the description below has it.
#[derive(Debug)]
pub(super) enum Amd64 {}

impl Arch for Amd64 {
    type Usize = u64;
    type Registers = Amd64Registers;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(include_str!("target.xml"))
    }
}

/// What a `g` packet has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Amd64Registers {
    pub general: GeneralRegs,
    /// The segment bases are known.
    pub bases: bool,
}

/// rax to r15 and rip.
const WORDS: usize = 17;
/// Bytes of eflags and of a segment register.
const SHORT: usize = 4;
/// cs, ss, ds, es, fs, gs.
const SEGMENTS: [u16; 6] = [USER_CS, USER_SS, USER_SS, USER_SS, USER_SS, USER_SS];
/// Eight x87 registers of ten bytes and eight control words: never there.
const X87: usize = 8 * 10 + 8 * SHORT;

impl Registers for Amd64Registers {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.general.rip
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        // The record's words are in gdb's order, but for what gdb has between the flags and the bases.
        let bytes = self.general.to_bytes();
        let (words, rest) = bytes.split_at(WORDS * 8);
        let (flags, bases) = rest.split_at(8);
        let flags = flags.iter().take(SHORT).copied();
        let segments = SEGMENTS.iter().flat_map(|it| u32::from(*it).to_le_bytes());
        let front = words.iter().copied().chain(flags).chain(segments);
        front.for_each(|byte| write_byte(Some(byte)));
        (0..X87).for_each(|_| write_byte(None));
        let known = |byte: &u8| self.bases.then_some(*byte);
        bases.iter().for_each(|byte| write_byte(known(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let bases = WORDS * 8 + SHORT * (1 + SEGMENTS.len()) + X87;
        let part = |at: usize, length: usize| bytes.get(at..at + length).ok_or(());
        let mut record = part(0, WORDS * 8)?.to_vec();
        record.extend(part(WORDS * 8, SHORT)?);
        record.extend([0; 8 - SHORT]);
        record.extend(part(bases, 16)?);
        self.general = GeneralRegs::from_bytes(record.as_slice().try_into().map_err(|_| ())?);
        self.bases = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every register has bytes of its own.
    fn distinct() -> GeneralRegs {
        let bytes: Vec<u8> = (0..160).collect();
        let mut registers = GeneralRegs::from_bytes(bytes.as_slice().try_into().unwrap());
        registers.rflags &= 0xFFFF_FFFF;
        registers
    }

    #[test]
    fn registers_come_back_as_they_went() {
        let mut bytes = Vec::new();
        let (general, bases) = (distinct(), true);
        let registers = Amd64Registers { general, bases };
        registers.gdb_serialize(|byte| bytes.push(byte.unwrap_or(0)));
        assert_eq!(bytes.len(), 17 * 8 + 7 * 4 + 112 + 16);
        let mut back = Amd64Registers::default();
        back.gdb_deserialize(&bytes).unwrap();
        assert_eq!(back, registers);
        assert!(back.gdb_deserialize(&bytes[1..]).is_err());
    }

    #[test]
    fn the_description_has_the_bytes_that_are_sent() {
        let xml = Amd64::target_description_xml().unwrap();
        let sizes = xml.split("bitsize=\"").skip(1);
        let bits: usize = sizes
            .map(|rest| rest.split('"').next().unwrap().parse::<usize>().unwrap())
            .sum();
        let mut count = 0;
        Amd64Registers::default().gdb_serialize(|_| count += 1);
        assert_eq!(bits, count * 8);
    }
}
