//! From the memory that the instruction tables name to accesses with addresses, in the order of execution.
//!
//! The tables name destinations first, as assembly does. The processor reads all sources before it writes anything, so reads are
//! listed first; only ENTER alternates. Where the tables cannot know a size or an address, it is settled here.

use iced_x86::{Code, CodeSize, Instruction, MemorySize, Mnemonic, OpAccess, Register, UsedMemory};

use super::{Access, AccessKind, Registers, Unexplained, address};

/// DF in rflags: string instructions go downwards.
const DIRECTION_FLAG: u64 = 1 << 10;

/// How much of the elements still to come of a repeated instruction is listed. The registers at a fault describe the element
/// that faulted; what follows is listed for processors that move strings in larger units.
const LOOKAHEAD: u64 = 4096;

/// Legacy region and header of an XSAVE area: what every XSAVE and XRSTOR touches (SDM volume 1, section 13.4).
const XSAVE_FIXED: u64 = 512 + 64;

/// Size of the standard-format XSAVE area with every state component that is defined, AMX tiles being the last. The real size
/// depends on XCR0, rdx:rax and the compaction format, so the rest is listed as conditional.
const XSAVE_LARGEST: u64 = 11_008;

/// Appends the data accesses of an instruction that uses `used`.
pub fn list(
    instruction: &Instruction,
    used: &[UsedMemory],
    registers: &Registers,
    accesses: &mut Vec<Access>,
) -> Result<(), Unexplained> {
    if instruction.is_string_instruction() {
        return string(instruction, used, registers, accesses);
    }
    if instruction.mnemonic() == Mnemonic::Enter {
        return enter(instruction, used, registers, accesses);
    }
    if matches!(
        instruction.mnemonic(),
        Mnemonic::Clzero | Mnemonic::Monitorx
    ) {
        accesses.push(at_rax(instruction, registers)?);
        return Ok(());
    }
    let displaced = address::bit_displacement(instruction, registers)?;
    for pass in [AccessKind::Read, AccessKind::Write] {
        for memory in used {
            if kind(memory) != Some(pass) {
                continue;
            }
            let address = address::effective(memory, displaced, registers)?;
            operand(instruction, memory, address, pass, accesses);
        }
    }
    Ok(())
}

/// Appends one operand of an ordinary instruction.
fn operand(
    instruction: &Instruction,
    memory: &UsedMemory,
    address: u64,
    kind: AccessKind,
    accesses: &mut Vec<Access>,
) {
    let access = Access {
        address,
        length: memory.memory_size().size() as u64,
        kind,
        conditional: conditional(instruction),
    };
    match memory.memory_size() {
        MemorySize::Xsave | MemorySize::Xsave64 => {
            accesses.push(Access {
                length: XSAVE_FIXED,
                ..access
            });
            accesses.push(Access {
                address: address.wrapping_add(XSAVE_FIXED),
                length: XSAVE_LARGEST - XSAVE_FIXED,
                conditional: true,
                ..access
            });
        }
        _ if instruction.mnemonic() == Mnemonic::Clzero => {
            accesses.push(Access {
                address: address & !63,
                length: 64,
                ..access
            });
        }
        // What names a cache line (CLFLUSH, MONITOR, ...) is checked at the byte that is named.
        _ => accesses.push(Access {
            length: access.length.max(1),
            ..access
        }),
    }
}

/// A string instruction: the elements of this iteration, then a little of what follows.
fn string(
    instruction: &Instruction,
    used: &[UsedMemory],
    registers: &Registers,
    accesses: &mut Vec<Access>,
) -> Result<(), Unexplained> {
    let length = instruction.memory_size().size() as u64;
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let Some(address_size) = used.first().map(|memory| memory.address_size()) else {
        return Ok(());
    };
    let count = if repeated {
        address::repeat_count(address_size, registers)
    } else {
        1
    };
    let Some(later) = count.checked_sub(1) else {
        return Ok(());
    };
    let first = accesses.len();
    for pass in [AccessKind::Read, AccessKind::Write] {
        for memory in used.iter().filter(|memory| kind(memory) == Some(pass)) {
            let address = address::effective(memory, 0, registers)?;
            accesses.push(Access {
                address,
                length,
                kind: pass,
                conditional: false,
            });
        }
    }
    let span = later.saturating_mul(length).min(LOOKAHEAD);
    if span > 0 {
        for at in first..accesses.len() {
            if let Some(element) = accesses.get(at).copied() {
                let address = if registers.rflags & DIRECTION_FLAG == 0 {
                    element.address.wrapping_add(length)
                } else {
                    element.address.wrapping_sub(span)
                };
                accesses.push(Access {
                    address,
                    length: span,
                    conditional: true,
                    ..element
                });
            }
        }
    }
    Ok(())
}

/// ENTER: pushes and reads of the frame chain alternate, and at the end it faults if a write at the final stack
/// pointer would (SDM volume 2, ENTER, "64-bit mode exceptions").
fn enter(
    instruction: &Instruction,
    used: &[UsedMemory],
    registers: &Registers,
    accesses: &mut Vec<Access>,
) -> Result<(), Unexplained> {
    let mut top = None;
    for memory in used {
        let Some(kind) = kind(memory) else { continue };
        let address = address::effective(memory, 0, registers)?;
        let length = memory.memory_size().size() as u64;
        let access = Access {
            address,
            length,
            kind,
            conditional: false,
        };
        accesses.push(access);
        if kind == AccessKind::Write {
            top = Some(access);
        }
    }
    let frame = u64::from(instruction.immediate16());
    if let Some(top) = top.filter(|_| frame > 0) {
        accesses.push(Access {
            address: top.address.wrapping_sub(frame),
            conditional: true,
            ..top
        });
    }
    Ok(())
}

/// CLZERO and MONITORX, which the tables know without their operand: the cache line that rax points into, and the byte
/// (AMD APM volume 3).
fn at_rax(instruction: &Instruction, registers: &Registers) -> Result<Access, Unexplained> {
    const LINE: u64 = 64;
    let (base, size) = match instruction.code() {
        Code::Clzerod | Code::Monitorxd => (Register::EAX, CodeSize::Code32),
        _ => (Register::RAX, CodeSize::Code64),
    };
    let (segment, none) = (instruction.segment_prefix(), Register::None);
    let (unknown, access) = (MemorySize::Unknown, OpAccess::None);
    let memory = UsedMemory::new2(segment, base, none, 1, 0, unknown, access, size, 0);
    let address = address::effective(&memory, 0, registers)?;
    let (address, length, kind) = match instruction.mnemonic() {
        Mnemonic::Clzero => (address & !(LINE - 1), LINE, AccessKind::Write),
        _ => (address, 1, AccessKind::Read),
    };
    Ok(Access {
        address,
        length,
        kind,
        conditional: false,
    })
}

/// What the operand's access is, `None` for an operand that is only computed (LEA, NOP, prefetches).
fn kind(memory: &UsedMemory) -> Option<AccessKind> {
    match memory.access() {
        OpAccess::Read | OpAccess::CondRead => Some(AccessKind::Read),
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            Some(AccessKind::Write)
        }
        OpAccess::None | OpAccess::NoMemAccess => None,
    }
}

/// Whether a mask decides if the operand's bytes are touched. A conditional move is none of these: it reads in any case.
fn conditional(instruction: &Instruction) -> bool {
    instruction.has_op_mask()
        || matches!(
            instruction.mnemonic(),
            Mnemonic::Maskmovq
                | Mnemonic::Maskmovdqu
                | Mnemonic::Vmaskmovdqu
                | Mnemonic::Vmaskmovps
                | Mnemonic::Vmaskmovpd
                | Mnemonic::Vpmaskmovd
                | Mnemonic::Vpmaskmovq
        )
}
