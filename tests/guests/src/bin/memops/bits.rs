//! bt, bts, btr and btc with their bit offset in a register: the operand may lie far from the address.

use crate::ground::Ground;
use crate::machine::{CF, MARKED, Registers, run};
use test_guests::{Outcome, equal};

/// Where the addressed word lies: `width` bits wide, bit offset `bit` from `base`.
fn word_at(base: u64, bit: i64, width: i64) -> u64 {
    base.wrapping_add_signed(bit.div_euclid(width) * (width / 8))
}

/// Checks rbx and rcx unchanged, CF = the old bit, and memory as `change` makes the bit.
fn verify(
    ground: &Ground,
    (before, after): (Registers, Registers),
    width: i64,
    change: fn(u64, u64) -> u64,
) -> Outcome {
    after.expect(before)?;
    let bit = match width {
        64 => before.rcx as i64,
        32 => i64::from(before.rcx as i32),
        _ => i64::from(before.rcx as i16),
    };
    let address = word_at(before.rbx, bit, width);
    let mask = 1 << bit.rem_euclid(width);
    let old = ground.initial(address);
    equal!(after.rflags & CF, CF * u64::from(old & mask != 0));
    ground.expect(&[(address, &change(old, mask).to_le_bytes())])
}

macro_rules! bit {
    ($($name:ident $width:literal $page:literal $offset:literal $bit:literal [$line:literal] |$old:ident, $mask:ident| $new:expr;)*) => {$(
        fn $name(ground: &Ground) -> Outcome {
            let before = Registers { rbx: ground.at($page, $offset), rcx: $bit as i64 as u64, ..MARKED };
            let after = run!(before, $line);
            verify(ground, (before, after), $width, |$old, $mask| $new)
        }
    )*};
}

// 40000 bits are 5000 bytes: the operand lies on the page after the next one, or two before.
bit! {
    bt_near 64 2 -3 37 ["bt [rbx], rcx"] |old, _mask| old;
    bt_far_forward 64 2 -3 40_003 ["bt [rbx], rcx"] |old, _mask| old;
    bt_far_backward 64 4 8 -40_005 ["bt [rbx], rcx"] |old, _mask| old;
    bt_dword_backward 32 4 0 -33 ["bt [rbx], ecx"] |old, _mask| old;
    bt_word_backward 16 4 0 -32_768 ["bt [rbx], cx"] |old, _mask| old;
    bts_near 64 2 -5 63 ["bts [rbx], rcx"] |old, mask| old | mask;
    bts_far_forward 64 2 -3 40_003 ["bts [rbx], rcx"] |old, mask| old | mask;
    bts_far_backward 64 4 8 -40_005 ["bts [rbx], rcx"] |old, mask| old | mask;
    btr_far_forward 64 2 -3 40_001 ["btr [rbx], rcx"] |old, mask| old & !mask;
    btr_far_backward 64 4 8 -1 ["btr [rbx], rcx"] |old, mask| old & !mask;
    btc_far_forward 64 2 -3 40_002 ["btc [rbx], rcx"] |old, mask| old ^ mask;
    btc_far_backward 64 4 8 -40_000 ["btc [rbx], rcx"] |old, mask| old ^ mask;
    btc_dword_backward 32 4 2 -32_801 ["btc [rbx], ecx"] |old, mask| old ^ mask;
    btc_word_forward 16 2 -1 32_767 ["btc [rbx], cx"] |old, mask| old ^ mask;
    lock_bts_backward 64 4 0 -40_005 ["lock bts [rbx], rcx"] |old, mask| old | mask;
}

/// An immediate offset is taken modulo the operand's width: it never leaves the word.
fn bts_immediate(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let before = Registers {
        rbx: address,
        ..MARKED
    };
    run!(before, "bts qword ptr [rbx], 71").expect(before)?;
    let new = ground.initial(address) | 1 << 7;
    ground.expect(&[(address, &new.to_le_bytes())])
}

crate::table! {
    Load: bt_near bt_far_forward bt_far_backward bt_dword_backward bt_word_backward;
    Store: bts_near bts_far_forward bts_far_backward btr_far_forward btr_far_backward
        btc_far_forward btc_far_backward btc_dword_backward btc_word_forward lock_bts_backward
        bts_immediate;
}
