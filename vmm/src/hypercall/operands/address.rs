//! Effective addresses: from an operand's registers, scale, displacement and segment to a virtual address.
//!
//! The order of the steps is that of the Intel SDM, volume 1, section 3.7.5: base + index x scale + displacement, cut to the
//! address size, and only then the segment's base, which is zero for all but fs and gs in 64-bit mode.

use iced_x86::{CodeSize, Instruction, Mnemonic, OpKind, Register, UsedMemory};
use protocol::vcpu::register;

use super::{Registers, Unexplained};

/// The virtual address of an operand, `displaced` bytes further on.
pub fn effective(
    memory: &UsedMemory,
    displaced: u64,
    registers: &Registers,
) -> Result<u64, Unexplained> {
    let base = value(memory.base(), registers)?;
    let index = value(memory.index(), registers)?;
    let offset = memory
        .displacement()
        .wrapping_add(base)
        .wrapping_add(index.wrapping_mul(u64::from(memory.scale())))
        .wrapping_add(displaced);
    let offset = match memory.address_size() {
        CodeSize::Code32 => offset & u64::from(u32::MAX),
        _ => offset,
    };
    Ok(segment_base(memory.segment(), registers).wrapping_add(offset))
}

/// How far the bit offset in a register moves the operand of bt, bts, btr and btc: the offset is signed, and the operand is taken
/// from an array of elements of its own size (SDM volume 1, section 3.1.1.9, and the pages of BT).
pub fn bit_displacement(
    instruction: &Instruction,
    registers: &Registers,
) -> Result<u64, Unexplained> {
    let bit_test = matches!(
        instruction.mnemonic(),
        Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
    );
    if !bit_test || instruction.op1_kind() != OpKind::Register {
        return Ok(0);
    }
    let source = instruction.op1_register();
    let offset = value(source, registers)?;
    let element = match source.size() {
        2 => i64::from(offset as u16 as i16) >> 4 << 1,
        4 => i64::from(offset as u32 as i32) >> 5 << 2,
        _ => (offset as i64) >> 6 << 3,
    };
    Ok(element as u64)
}

/// The value of a general register of any width, zero-extended; 0 for no register.
pub fn value(name: Register, registers: &Registers) -> Result<u64, Unexplained> {
    if name == Register::None {
        return Ok(0);
    }
    let full = name.full_register();
    let number = full.number();
    let whole = match registers.general.get(number) {
        Some(whole) if full.is_gpr64() => *whole,
        _ => return Err(Unexplained::Register),
    };
    Ok(match name.size() {
        1 if matches!(
            name,
            Register::AH | Register::CH | Register::DH | Register::BH
        ) =>
        {
            whole >> 8 & 0xFF
        }
        1 => whole & 0xFF,
        2 => whole & 0xFFFF,
        4 => whole & 0xFFFF_FFFF,
        _ => whole,
    })
}

/// The iteration count of a repeated string instruction whose operands have this address size.
pub fn repeat_count(size: CodeSize, registers: &Registers) -> u64 {
    let [_, rcx, ..] = registers.general;
    const _: () = assert!(
        register::RCX == 1,
        "rcx is the second of the general registers"
    );
    match size {
        CodeSize::Code32 => rcx & u64::from(u32::MAX),
        _ => rcx,
    }
}

fn segment_base(segment: Register, registers: &Registers) -> u64 {
    match segment {
        Register::FS => registers.fs_base,
        Register::GS => registers.gs_base,
        _ => 0,
    }
}
