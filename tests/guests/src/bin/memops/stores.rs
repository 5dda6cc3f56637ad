//! Instructions that write one operand, or read and write it.

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, ZF, run};
use test_guests::{Outcome, equal};

/// A case: rbx points `offset` bytes from the start of page 2; what rax and the eight bytes there become.
macro_rules! store {
    ($($name:ident $offset:literal [$($line:literal),+] |$rax:ident, $memory:ident| ($new_rax:expr, $new_memory:expr);)*) => {$(
        fn $name(ground: &Ground) -> Outcome {
            let address = ground.at(2, $offset);
            let before = Registers { rbx: address, ..MARKED };
            let after = run!(before, $($line),+);
            let ($rax, $memory) = (before.rax, ground.initial(address));
            let new_memory: u64 = $new_memory;
            after.expect(Registers { rax: $new_rax, ..before })?;
            ground.expect(&[(address, &new_memory.to_le_bytes())])
        }
    )*};
}

store! {
    mov_qword 0 ["mov [rbx], rax"] |rax, _memory| (rax, rax);
    mov_qword_across_pages -3 ["mov [rbx], rax"] |rax, _memory| (rax, rax);
    mov_dword_across_pages -2 ["mov [rbx], eax"] |rax, memory| (rax, memory & !0xFFFF_FFFF | rax & 0xFFFF_FFFF);
    mov_word_across_pages -1 ["mov [rbx], ax"] |rax, memory| (rax, memory & !0xFFFF | rax & 0xFFFF);
    mov_byte -1 ["mov [rbx], al"] |rax, memory| (rax, memory & !0xFF | rax & 0xFF);
    mov_immediate -5 ["mov qword ptr [rbx], -2"] |rax, _memory| (rax, u64::MAX - 1);
    mov_byte_immediate 0 ["mov byte ptr [rbx], 0x5A"] |rax, memory| (rax, memory & !0xFF | 0x5A);
    movnti 0 ["movnti [rbx], rax", "sfence"] |rax, _memory| (rax, rax);
    add_to_memory -3 ["add [rbx], rax"] |rax, memory| (rax, memory.wrapping_add(rax));
    sub_immediate -3 ["sub qword ptr [rbx], 1"] |rax, memory| (rax, memory.wrapping_sub(1));
    sbb_to_memory 40 ["stc", "sbb [rbx], rax"] |rax, memory| (rax, memory.wrapping_sub(rax).wrapping_sub(1));
    and_or_xor_to_memory -7 ["or [rbx], rax", "and [rbx], rax", "xor qword ptr [rbx], -1"] |rax, _memory| (rax, !rax);
    inc_across_pages -3 ["inc qword ptr [rbx]"] |rax, memory| (rax, memory.wrapping_add(1));
    dec_byte -1 ["dec byte ptr [rbx]"] |rax, memory| (rax, memory & !0xFF | memory.wrapping_sub(1) & 0xFF);
    not_neg 8 ["not qword ptr [rbx]", "neg qword ptr [rbx]"] |rax, memory| (rax, memory.wrapping_add(1));
    shl_memory -3 ["shl qword ptr [rbx], 5"] |rax, memory| (rax, memory << 5);
    rol_by_cl -3 ["rol qword ptr [rbx], cl"] |rax, memory| (rax, memory.rotate_left(0xC7 & 63));
    shld_memory -3 ["shld [rbx], rax, 8"] |rax, memory| (rax, memory << 8 | rax >> 56);
    setcc 3 ["cmp eax, eax", "sete byte ptr [rbx]"] |rax, memory| (rax, memory & !0xFF | 1);
    lock_inc 8 ["lock inc qword ptr [rbx]"] |rax, memory| (rax, memory.wrapping_add(1));
    lock_add 16 ["lock add [rbx], eax"] |rax, memory| (rax, memory & !0xFFFF_FFFF | memory.wrapping_add(rax) & 0xFFFF_FFFF);
    lock_or_byte -1 ["lock or byte ptr [rbx], 0x81"] |rax, memory| (rax, memory | 0x81);
    xchg 8 ["xchg [rbx], rax"] |rax, memory| (memory, rax);
    xchg_byte -1 ["xchg [rbx], al"] |rax, memory| (rax & !0xFF | memory & 0xFF, memory & !0xFF | rax & 0xFF);
    xadd -3 ["xadd [rbx], rax"] |rax, memory| (memory, memory.wrapping_add(rax));
    lock_xadd 64 ["lock xadd [rbx], rax"] |rax, memory| (memory, memory.wrapping_add(rax));
}

/// cmpxchg that finds what it expects, across two pages.
fn cmpxchg_equal(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let before = Registers {
        rbx: address,
        rax: ground.initial(address),
        ..MARKED
    };
    let after = run!(before, "cmpxchg [rbx], rdx");
    after.expect(before)?;
    equal!(after.rflags & ZF, ZF);
    ground.expect(&[(address, &before.rdx.to_le_bytes())])
}

/// cmpxchg that finds something else: memory keeps its value, rax gets it.
fn cmpxchg_different(ground: &Ground) -> Outcome {
    let address = ground.at(2, 8);
    let before = Registers {
        rbx: address,
        rax: !ground.initial(address),
        ..MARKED
    };
    let after = run!(before, "lock cmpxchg [rbx], rdx");
    after.expect(Registers {
        rax: ground.initial(address),
        ..before
    })?;
    equal!(after.rflags & ZF, 0);
    ground.unchanged()
}

fn cmpxchg8b(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let old = ground.initial(address);
    let before = Registers {
        rsi: address,
        rax: old & 0xFFFF_FFFF,
        rdx: old >> 32,
        rbx: 0x1234_5678,
        rcx: 0x9ABC_DEF0,
        ..MARKED
    };
    let after = run!(before, "cmpxchg8b [rsi]");
    after.expect(before)?;
    equal!(after.rflags & ZF, ZF);
    ground.expect(&[(address, &0x9ABC_DEF0_1234_5678u64.to_le_bytes())])
}

fn cmpxchg16b(ground: &Ground) -> Outcome {
    let address = ground.at(2, 0);
    let (low, high) = (ground.initial(address), ground.initial(address + 8));
    let before = Registers {
        rsi: address,
        rax: low,
        rdx: high,
        ..MARKED
    };
    let after = run!(before, "lock cmpxchg16b [rsi]");
    after.expect(before)?;
    equal!(after.rflags & ZF, ZF);
    ground.expect(&[
        (address, &before.rbx.to_le_bytes()),
        (address + 8, &before.rcx.to_le_bytes()),
    ])
}

/// One instruction that reads one absent page and writes another: source first.
fn push_and_pop_memory(ground: &Ground) -> Outcome {
    let (source, target, stack) = (ground.at(2, -3), ground.at(4, -3), ground.at(6, 4));
    let value = ground.initial(source).to_le_bytes();
    let before = Registers {
        rbx: source,
        rdx: target,
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "push qword ptr [rbx]", "pop qword ptr [rdx]");
    after.expect(before)?;
    ground.expect(&[(target, &value), (stack - 8, &value)])
}

/// clflush of an absent page changes nothing.
fn clflush(ground: &Ground) -> Outcome {
    let before = Registers {
        rbx: ground.at(2, 100),
        ..MARKED
    };
    run!(before, "clflush [rbx]").expect(before)?;
    ground.unchanged()
}

crate::table! {
    Store: mov_qword mov_qword_across_pages mov_dword_across_pages mov_word_across_pages mov_byte
        mov_immediate mov_byte_immediate movnti add_to_memory sub_immediate sbb_to_memory
        and_or_xor_to_memory inc_across_pages dec_byte not_neg shl_memory rol_by_cl shld_memory
        setcc lock_inc lock_add lock_or_byte xchg xchg_byte xadd lock_xadd cmpxchg_equal
        cmpxchg_different cmpxchg8b cmpxchg16b push_and_pop_memory clflush;
}
