//! Instructions that read one operand from memory.

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, run};
use test_guests::{Outcome, equal};

/// A case: rbx points `offset` bytes from the start of page 2; what rax becomes, from rax and the eight bytes there.
macro_rules! load {
    ($($name:ident $offset:literal [$($line:literal),+] |$rax:pat_param, $memory:ident| $result:expr;)*) => {$(
        fn $name(ground: &Ground) -> Outcome {
            let address = ground.at(2, $offset);
            let before = Registers { rbx: address, ..MARKED };
            let after = run!(before, $($line),+);
            let ($rax, $memory) = (before.rax, ground.initial(address));
            after.expect(Registers { rax: $result, ..before })
        }
    )*};
}

load! {
    mov_qword 8 ["mov rax, [rbx]"] |_, memory| memory;
    mov_qword_across_pages -3 ["mov rax, [rbx]"] |_, memory| memory;
    mov_dword -4 ["mov eax, [rbx]"] |_, memory| memory & 0xFFFF_FFFF;
    mov_dword_across_pages -1 ["mov eax, [rbx]"] |_, memory| memory & 0xFFFF_FFFF;
    mov_word_across_pages -1 ["mov ax, [rbx]"] |rax, memory| rax & !0xFFFF | memory & 0xFFFF;
    mov_byte -1 ["mov al, [rbx]"] |rax, memory| rax & !0xFF | memory & 0xFF;
    mov_high_byte 0 ["mov ah, [rbx]"] |rax, memory| rax & !0xFF00 | (memory & 0xFF) << 8;
    movzx_byte 77 ["movzx eax, byte ptr [rbx]"] |_, memory| memory & 0xFF;
    movzx_word_across_pages -1 ["movzx rax, word ptr [rbx]"] |_, memory| memory & 0xFFFF;
    movsx_byte 17 ["movsx rax, byte ptr [rbx]"] |_, memory| memory as i8 as u64;
    movsx_word 100 ["movsx rax, word ptr [rbx]"] |_, memory| memory as i16 as u64;
    movsxd -2 ["movsxd rax, dword ptr [rbx]"] |_, memory| memory as i32 as u64;
    add_from_memory -5 ["add rax, [rbx]"] |rax, memory| rax.wrapping_add(memory);
    sub_from_memory 0 ["sub rax, [rbx]"] |rax, memory| rax.wrapping_sub(memory);
    and_or_xor -7 ["and rax, [rbx]", "xor rax, [rbx]", "or rax, [rbx]"] |_, memory| memory;
    adc_from_memory 24 ["stc", "adc rax, [rbx]"] |rax, memory| rax.wrapping_add(memory).wrapping_add(1);
    imul_from_memory -6 ["imul rax, [rbx]"] |rax, memory| rax.wrapping_mul(memory);
    imul_immediate -6 ["imul rax, [rbx], 1000"] |_, memory| memory.wrapping_mul(1000);
    cmp_memory -3 ["cmp rax, [rbx]", "setb al", "movzx eax, al"] |rax, memory| u64::from(rax < memory);
    cmp_immediate 9 ["cmp byte ptr [rbx], 0", "sete al", "movzx eax, al"] |_, memory| u64::from(memory & 0xFF == 0);
    test_memory 8 ["test [rbx], rax", "setz al", "movzx eax, al"] |rax, memory| u64::from(rax & memory == 0);
    cmov_taken -3 ["cmp eax, eax", "cmove rax, [rbx]"] |_, memory| memory;
    cmov_not_taken -3 ["cmp eax, eax", "cmovne rax, [rbx]"] |rax, _memory| rax;
    bsf_from_memory 8 ["mov eax, 99", "bsf rax, [rbx]"] |_, memory| if memory == 0 { 99 } else { memory.trailing_zeros().into() };
}

/// All parts of an address: base, scaled index, displacement.
fn base_index_displacement(ground: &Ground) -> Outcome {
    let address = ground.at(3, -4);
    let before = Registers {
        rbx: ground.at(0, 0),
        r9: 3 * 512 - 1,
        ..MARKED
    };
    let after = run!(before, "mov rax, [rbx + 8*r9 + 4]");
    after.expect(Registers {
        rax: ground.initial(address),
        ..before
    })
}

/// A negative index.
fn negative_index(ground: &Ground) -> Outcome {
    let address = ground.at(1, -4);
    let before = Registers {
        r13: ground.at(4, 0),
        r12: (-(3 * 4096 + 4i64)) as u64,
        ..MARKED
    };
    let after = run!(before, "mov rax, [r13 + r12]");
    after.expect(Registers {
        rax: ground.initial(address),
        ..before
    })
}

/// A displacement of 32 bits, and the base register that needs one.
fn large_displacement(ground: &Ground) -> Outcome {
    let address = ground.at(2, -1);
    let before = Registers {
        rbp: address.wrapping_sub(0x1234_5678),
        ..MARKED
    };
    let after = run!(before, "mov rax, [rbp + 0x12345678]");
    after.expect(Registers {
        rax: ground.initial(address),
        ..before
    })
}

/// xlat: al = [rbx + al].
fn xlat(ground: &Ground) -> Outcome {
    let base = ground.at(2, -100);
    let before = Registers {
        rax: 0x7F00 | 200,
        rbx: base,
        ..MARKED
    };
    let after = run!(before, "xlatb");
    after.expect(Registers {
        rax: 0x7F00 | u64::from(ground.byte(base + 200)),
        ..before
    })
}

/// mul and div with their operand in memory.
fn mul_div(ground: &Ground) -> Outcome {
    let address = ground.at(2, -2);
    let memory = ground.initial(address);
    let before = Registers {
        rax: 1 << 40,
        rbx: address,
        ..MARKED
    };
    let after = run!(before, "mul qword ptr [rbx]");
    let product = u128::from(memory) << 40;
    let (rax, rdx) = (product as u64, (product >> 64) as u64);
    after.expect(Registers { rax, rdx, ..before })?;
    if memory != 0 {
        let address = ground.at(5, -2);
        let divisor = ground.initial(address) | u64::from(ground.initial(address) == 0);
        let before = Registers {
            rax: 12_345,
            rdx: 0,
            rbx: address,
            ..MARKED
        };
        let after = run!(before, "div qword ptr [rbx]");
        equal!(after.rax, 12_345 / divisor);
    }
    Ok(())
}

/// Reads both sides of the boundary between two absent pages, the later one first.
fn later_page_first(ground: &Ground) -> Outcome {
    let before = Registers {
        rbx: ground.at(3, 0),
        ..MARKED
    };
    let after = run!(
        before,
        "mov rax, [rbx]",
        "mov rdx, [rbx - 8]",
        "mov rcx, [rbx - 4]"
    );
    after.expect(Registers {
        rax: ground.initial(ground.at(3, 0)),
        rdx: ground.initial(ground.at(3, -8)),
        rcx: ground.initial(ground.at(3, -4)),
        ..before
    })
}

/// A prefetch never faults, wherever it points.
fn prefetch(ground: &Ground) -> Outcome {
    let before = Registers {
        rbx: ground.at(2, 0),
        rcx: 0x1000,
        ..MARKED
    };
    let after = run!(
        before,
        "prefetcht0 [rbx]",
        "prefetchnta [rcx]",
        "lea rax, [rbx]"
    );
    after.expect(Registers {
        rax: before.rbx,
        ..before
    })
}

crate::table! {
    Load: mov_qword mov_qword_across_pages mov_dword mov_dword_across_pages mov_word_across_pages
        mov_byte mov_high_byte movzx_byte movzx_word_across_pages movsx_byte movsx_word movsxd
        add_from_memory sub_from_memory and_or_xor adc_from_memory imul_from_memory
        imul_immediate cmp_memory cmp_immediate test_memory cmov_taken cmov_not_taken
        bsf_from_memory base_index_displacement negative_index large_displacement xlat mul_div
        later_page_first prefetch;
}
