//! SSE loads and stores. The compiler has no SSE here, so the xmm registers belong to the cases.

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, run};
use test_guests::{Outcome, equal};

/// Sixteen bytes of ground as they are at first.
fn initial16(ground: &Ground, address: u64) -> (u64, u64) {
    (ground.initial(address), ground.initial(address + 8))
}

/// A case: an instruction loads xmm0 from rbx; its halves must become what the last part says.
macro_rules! load {
    ($($name:ident $offset:literal [$line:literal] |$low:ident, $high:ident| $result:expr;)*) => {$(
        fn $name(ground: &Ground) -> Outcome {
            let address = ground.at(2, $offset);
            let before = Registers { rbx: address, ..MARKED };
            let after = run!(
                before,
                "movq xmm0, rcx",
                "punpcklqdq xmm0, xmm0",
                $line,
                "movq rax, xmm0",
                "psrldq xmm0, 8",
                "movq rdx, xmm0",
            );
            let ($low, $high) = initial16(ground, address);
            let (rax, rdx) = $result;
            after.expect(Registers { rax, rdx, ..before })
        }
    )*};
}

const RCX: u64 = MARKED.rcx;

load! {
    movups_across_pages -7 ["movups xmm0, [rbx]"] |low, high| (low, high);
    movaps 0 ["movaps xmm0, [rbx]"] |low, high| (low, high);
    movdqu_across_pages -8 ["movdqu xmm0, [rbx]"] |low, high| (low, high);
    movdqa -16 ["movdqa xmm0, [rbx]"] |low, high| (low, high);
    movupd_across_pages -1 ["movupd xmm0, [rbx]"] |low, high| (low, high);
    movq_across_pages -3 ["movq xmm0, qword ptr [rbx]"] |low, _high| (low, 0);
    movd_across_pages -3 ["movd xmm0, dword ptr [rbx]"] |low, _high| (low & 0xFFFF_FFFF, 0);
    movss -2 ["movss xmm0, [rbx]"] |low, _high| (low & 0xFFFF_FFFF, 0);
    movsd -2 ["movsd xmm0, [rbx]"] |low, _high| (low, 0);
    movlps -5 ["movlps xmm0, [rbx]"] |low, _high| (low, RCX);
    movhps -5 ["movhps xmm0, [rbx]"] |low, _high| (RCX, low);
    paddq 16 ["paddq xmm0, [rbx]"] |low, high| (RCX.wrapping_add(low), RCX.wrapping_add(high));
    pxor -16 ["pxor xmm0, [rbx]"] |low, high| (RCX ^ low, RCX ^ high);
    pshufd 0 ["pshufd xmm0, [rbx], 0x4E"] |low, high| (high, low);
}

/// A case: an instruction stores from xmm0, which holds rax below and rcx above; `bytes` of it change at rbx.
macro_rules! store {
    ($($name:ident $offset:literal $bytes:literal [$($line:literal),+];)*) => {$(
        fn $name(ground: &Ground) -> Outcome {
            let address = ground.at(2, $offset);
            let before = Registers { rbx: address, ..MARKED };
            let after = run!(
                before,
                "movq xmm0, rax",
                "movq xmm1, rcx",
                "punpcklqdq xmm0, xmm1",
                $($line),+
            );
            after.expect(before)?;
            ground.expect(&[(address, xmm0().get(..$bytes).unwrap_or_default())])
        }
    )*};
}

/// What xmm0 holds in the store cases.
fn xmm0() -> [u8; 16] {
    (u128::from(MARKED.rcx) << 64 | u128::from(MARKED.rax)).to_le_bytes()
}

store! {
    store_movups_across_pages -7 16 ["movups [rbx], xmm0"];
    store_movaps 0 16 ["movaps [rbx], xmm0"];
    store_movdqu_across_pages -8 16 ["movdqu [rbx], xmm0"];
    store_movdqa -16 16 ["movdqa [rbx], xmm0"];
    store_movntdq 0 16 ["movntdq [rbx], xmm0", "sfence"];
    store_movntps 16 16 ["movntps [rbx], xmm0", "sfence"];
    store_movq_across_pages -3 8 ["movq qword ptr [rbx], xmm0"];
    store_movd_across_pages -3 4 ["movd dword ptr [rbx], xmm0"];
    store_movss -1 4 ["movss [rbx], xmm0"];
    store_movlps -5 8 ["movlps [rbx], xmm0"];
}

/// addps with its operand on an absent page.
fn addps(ground: &Ground) -> Outcome {
    let address = ground.at(2, 0);
    let operand: [u8; 16] = *bytes_of([1.5f32, 2.0, -3.0, 4.25])
        .first_chunk()
        .unwrap_or(&[0; 16]);
    ground.plant(address, &operand)?;
    let (one, half) = (1.0f32.to_bits(), 0.5f32.to_bits());
    let pair = u64::from(half) << 32 | u64::from(one);
    let before = Registers {
        rbx: address,
        rcx: pair,
        ..MARKED
    };
    let after = run!(
        before,
        "movq xmm0, rcx",
        "punpcklqdq xmm0, xmm0",
        "addps xmm0, [rbx]",
        "movq rax, xmm0",
        "psrldq xmm0, 8",
        "movq rdx, xmm0",
    );
    let sums = bytes_of([2.5f32, 2.5, -2.0, 4.75]);
    let (rax, rdx) = (word(&sums, 0), word(&sums, 8));
    after.expect(Registers { rax, rdx, ..before })?;
    ground.expect(&[(address, &operand)])
}

fn bytes_of(floats: [f32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (chunk, float) in bytes.chunks_exact_mut(4).zip(floats) {
        chunk.copy_from_slice(&float.to_bits().to_le_bytes());
    }
    bytes
}

fn word(bytes: &[u8; 16], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// maskmovdqu stores the bytes whose mask has its top bit set, at rdi.
fn maskmovdqu(ground: &Ground) -> Outcome {
    let address = ground.at(2, -8);
    let mask = 0x80FF_0000_7F80_0080_u64;
    let before = Registers {
        rdi: address,
        rdx: mask,
        ..MARKED
    };
    let after = run!(
        before,
        "movq xmm0, rax",
        "movq xmm1, rcx",
        "punpcklqdq xmm0, xmm1",
        "movq xmm1, rdx",
        "punpcklqdq xmm1, xmm1",
        "maskmovdqu xmm0, xmm1",
        "sfence",
    );
    after.expect(before)?;
    let mut expected = [0; 16];
    let masks = mask.to_le_bytes();
    let masks = masks.iter().chain(&masks);
    for (((at, slot), byte), mask) in (address..).zip(&mut expected).zip(xmm0()).zip(masks) {
        *slot = if mask & 0x80 != 0 {
            byte
        } else {
            ground.byte(at)
        };
    }
    ground.expect(&[(address, &expected)])
}

/// What xmm0 holds survives faults and the threads that run meanwhile.
fn registers_survive_faults(ground: &Ground) -> Outcome {
    let before = Registers {
        rbx: ground.at(1, 0),
        ..MARKED
    };
    let after = run!(
        before,
        "movq xmm0, rcx",
        "movq xmm15, rdx",
        "mov al, [rbx]",
        "mov al, [rbx + 0x1000]",
        "movups xmm1, [rbx + 0x1ff8]",
        "mov al, [rbx + 0x4000]",
        "movq r8, xmm0",
        "movq r9, xmm15",
    );
    equal!(after.r8, before.rcx);
    equal!(after.r9, before.rdx);
    Ok(())
}

crate::table! {
    Load: movups_across_pages movaps movdqu_across_pages movdqa movupd_across_pages
        movq_across_pages movd_across_pages movss movsd movlps movhps paddq pxor pshufd
        registers_survive_faults;
    Store: store_movups_across_pages store_movaps store_movdqu_across_pages store_movdqa
        store_movntdq store_movntps store_movq_across_pages store_movd_across_pages store_movss
        store_movlps addps maskmovdqu;
}
