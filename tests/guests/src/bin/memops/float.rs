//! x87 loads and stores, and the instructions that save and restore the whole floating-point state.

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, run};
use test_guests::{Outcome, equal};

/// An integer through the x87 stack and back is exact.
fn fild(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let mut result = 0u64;
    let before = Registers {
        rbx: address,
        rdx: (&raw mut result) as u64,
        ..MARKED
    };
    let after = run!(
        before,
        "fninit",
        "fild qword ptr [rbx]",
        "fistp qword ptr [rdx]"
    );
    after.expect(before)?;
    equal!(result, ground.initial(address));
    Ok(())
}

fn fistp(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let mut value = 0x0123_4567_89AB_CDEFu64;
    let before = Registers {
        rbx: address,
        rdx: (&raw mut value) as u64,
        ..MARKED
    };
    run!(
        before,
        "fninit",
        "fild qword ptr [rdx]",
        "fistp qword ptr [rbx]"
    )
    .expect(before)?;
    ground.expect(&[(address, &value.to_le_bytes())])
}

/// Ten bytes, in and out unchanged.
fn fld_80_bit(ground: &Ground) -> Outcome {
    let address = ground.at(2, -5);
    let mut result = [0u64; 2];
    let before = Registers {
        rbx: address,
        rdx: (&raw mut result) as u64,
        ..MARKED
    };
    run!(
        before,
        "fninit",
        "fld tbyte ptr [rbx]",
        "fstp tbyte ptr [rdx]"
    )
    .expect(before)?;
    equal!(
        result,
        [
            ground.initial(address),
            ground.initial(address + 8) & 0xFFFF
        ]
    );
    Ok(())
}

fn fstp_80_bit(ground: &Ground) -> Outcome {
    let address = ground.at(2, -5);
    let before = Registers {
        rbx: address,
        ..MARKED
    };
    run!(before, "fninit", "fld1", "fstp tbyte ptr [rbx]").expect(before)?;
    ground.expect(&[(address, &[0, 0, 0, 0, 0, 0, 0, 0x80, 0xFF, 0x3F])])
}

fn fst_double(ground: &Ground) -> Outcome {
    let address = ground.at(2, -5);
    let before = Registers {
        rbx: address,
        ..MARKED
    };
    run!(before, "fninit", "fld1", "fstp qword ptr [rbx]").expect(before)?;
    ground.expect(&[(address, &1.0f64.to_bits().to_le_bytes())])
}

fn control_words(ground: &Ground) -> Outcome {
    let (word, mxcsr) = (ground.at(2, -1), ground.at(5, -2));
    let before = Registers {
        rbx: word,
        rdx: mxcsr,
        ..MARKED
    };
    run!(before, "fninit", "fnstcw [rbx]", "stmxcsr [rdx]").expect(before)?;
    let mut status = [0; 4];
    ground.read(mxcsr, &mut status)?;
    equal!(u32::from_le_bytes(status) & 0xFFC0, 0x1F80);
    ground.expect(&[(word, &0x037Fu16.to_le_bytes()), (mxcsr, &status)])
}

fn load_control_words(ground: &Ground) -> Outcome {
    let (word, mxcsr) = (ground.at(2, -1), ground.at(5, -2));
    ground.plant(word, &0x027Fu16.to_le_bytes())?;
    ground.plant(mxcsr, &0x1FA0u32.to_le_bytes())?;
    let mut result = [0u32; 2];
    let pointer = (&raw mut result) as u64;
    let mut default = 0x1F80u32;
    let default = (&raw mut default) as u64;
    let before = Registers {
        rbx: word,
        rdx: mxcsr,
        rsi: pointer,
        rdi: default,
        ..MARKED
    };
    let after = run!(
        before,
        "fldcw [rbx]",
        "ldmxcsr [rdx]",
        "fnstcw [rsi]",
        "stmxcsr [rsi + 4]",
        "fninit",
        "ldmxcsr [rdi]",
    );
    after.expect(before)?;
    equal!(result, [0x027F, 0x1FA0]);
    Ok(())
}

/// Offset of xmm0 in the saved state.
const XMM0: u64 = 160;

/// 512 bytes across two absent pages.
fn fxsave(ground: &Ground) -> Outcome {
    let address = ground.at(2, -256);
    let before = Registers {
        rbx: address,
        ..MARKED
    };
    run!(before, "fninit", "movq xmm0, rax", "fxsave64 [rbx]").expect(before)?;
    let mut saved = [0; 512];
    ground.read(address, &mut saved)?;
    let xmm0 = saved
        .get(XMM0 as usize..)
        .and_then(|rest| rest.first_chunk::<8>());
    equal!(xmm0, Some(&before.rax.to_le_bytes()));
    equal!(saved.first_chunk::<2>(), Some(&0x037Fu16.to_le_bytes()));
    // The last 48 bytes are left alone.
    let Some(written) = saved.get(..464) else {
        return Ok(());
    };
    ground.expect(&[(address, written)])
}

/// A state out of two absent pages. On zero ground it is all zeros, which is a legal state too.
fn fxrstor(ground: &Ground) -> Outcome {
    let (address, zero) = (ground.at(2, -256), ground.byte(ground.at(2, 1)) == 0);
    let mut image = Image([0; 512]);
    let pointer = (&raw mut image) as u64;
    run!(
        Registers {
            rbx: pointer,
            ..MARKED
        },
        "fninit",
        "movq xmm0, rax",
        "fxsave64 [rbx]"
    );
    if !zero {
        ground.plant(address, &image.0)?;
    }
    let before = Registers {
        rbx: address,
        rdx: pointer,
        ..MARKED
    };
    let after = run!(
        before,
        "movq xmm0, rcx",
        "fxrstor64 [rbx]",
        "movq rax, xmm0",
        "fxrstor64 [rdx]",
    );
    after.expect(Registers {
        rax: if zero { 0 } else { MARKED.rax },
        ..before
    })
}

#[repr(C, align(16))]
struct Image([u8; 512]);

crate::table! {
    Load: fild fld_80_bit;
    Store: fistp fstp_80_bit fst_double control_words load_control_words fxsave fxrstor;
}
