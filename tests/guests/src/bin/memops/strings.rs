//! String instructions: across pages, backwards, and with a count of zero (which touches nothing, wherever it points).

use crate::ground::Ground;
use crate::machine::{DF, MARKED, Registers, ZF, run};
use test_guests::{Outcome, equal};

/// Bytes that the repeated cases move: more than a page.
const COUNT: u64 = 5000;

/// An address where nothing is mapped.
const NOWHERE: u64 = 0x1000;

/// What `COUNT` bytes of ground from `address` on hold at first.
fn initial_bytes(ground: &Ground, address: u64) -> [u8; COUNT as usize] {
    let mut bytes = [0; COUNT as usize];
    for (at, byte) in (address..).zip(&mut bytes) {
        *byte = ground.byte(at);
    }
    bytes
}

fn lods(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let before = Registers {
        rsi: address,
        ..MARKED
    };
    let after = run!(before, "lodsq");
    after.expect(Registers {
        rax: ground.initial(address),
        rsi: address + 8,
        ..before
    })?;
    let before = Registers {
        rsi: ground.at(5, -1),
        rflags: MARKED.rflags | DF,
        ..MARKED
    };
    let after = run!(before, "lodsb");
    let rax = before.rax & !0xFF | u64::from(ground.byte(before.rsi));
    after.expect(Registers {
        rax,
        rsi: before.rsi - 1,
        ..before
    })
}

fn rep_lods(ground: &Ground) -> Outcome {
    let address = ground.at(2, -100);
    let before = Registers {
        rsi: address,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "rep lodsb");
    let rax = before.rax & !0xFF | u64::from(ground.byte(address + COUNT - 1));
    after.expect(Registers {
        rax,
        rcx: 0,
        rsi: address + COUNT,
        ..before
    })
}

fn movs(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(2, -3), ground.at(5, -5));
    let before = Registers {
        rsi: from,
        rdi: to,
        ..MARKED
    };
    run!(before, "movsq").expect(Registers {
        rsi: from + 8,
        rdi: to + 8,
        ..before
    })?;
    ground.expect(&[(to, &ground.initial(from).to_le_bytes())])
}

fn rep_movsb(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(1, 100), ground.at(4, 50));
    let before = Registers {
        rsi: from,
        rdi: to,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "rep movsb");
    after.expect(Registers {
        rsi: from + COUNT,
        rdi: to + COUNT,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &initial_bytes(ground, from))])
}

fn rep_movsq_unaligned(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(1, -3), ground.at(4, -5));
    let before = Registers {
        rsi: from,
        rdi: to,
        rcx: COUNT / 8,
        ..MARKED
    };
    let after = run!(before, "rep movsq");
    after.expect(Registers {
        rsi: from + COUNT,
        rdi: to + COUNT,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &initial_bytes(ground, from))])
}

fn rep_movsb_backward(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(1, 100), ground.at(4, 50));
    let before = Registers {
        rsi: from + COUNT - 1,
        rdi: to + COUNT - 1,
        rcx: COUNT,
        rflags: MARKED.rflags | DF,
        ..MARKED
    };
    let after = run!(before, "rep movsb");
    after.expect(Registers {
        rsi: from - 1,
        rdi: to - 1,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &initial_bytes(ground, from))])
}

fn rep_movsq_backward(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(1, -3), ground.at(4, -5));
    let before = Registers {
        rsi: from + COUNT - 8,
        rdi: to + COUNT - 8,
        rcx: COUNT / 8,
        rflags: MARKED.rflags | DF,
        ..MARKED
    };
    let after = run!(before, "rep movsq");
    after.expect(Registers {
        rsi: from - 8,
        rdi: to - 8,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &initial_bytes(ground, from))])
}

/// The classic overlap that spreads one byte over the whole range.
fn rep_movsb_overlapping(ground: &Ground) -> Outcome {
    let from = ground.at(2, -100);
    let before = Registers {
        rsi: from,
        rdi: from + 1,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "rep movsb");
    after.expect(Registers {
        rsi: from + COUNT,
        rdi: from + 1 + COUNT,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(from + 1, &[ground.byte(from); COUNT as usize])])
}

fn stos(ground: &Ground) -> Outcome {
    let to = ground.at(2, -3);
    let before = Registers { rdi: to, ..MARKED };
    run!(before, "stosq").expect(Registers {
        rdi: to + 8,
        ..before
    })?;
    ground.expect(&[(to, &before.rax.to_le_bytes())])
}

fn rep_stosb(ground: &Ground) -> Outcome {
    let to = ground.at(1, 100);
    let before = Registers {
        rdi: to,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "rep stosb");
    after.expect(Registers {
        rdi: to + COUNT,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &[before.rax as u8; COUNT as usize])])
}

fn rep_stosd_backward(ground: &Ground) -> Outcome {
    let to = ground.at(1, 102);
    let before = Registers {
        rax: 0x7777_7777,
        rdi: to + COUNT - 4,
        rcx: COUNT / 4,
        rflags: MARKED.rflags | DF,
        ..MARKED
    };
    let after = run!(before, "rep stosd");
    after.expect(Registers {
        rdi: to - 4,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &[0x77; COUNT as usize])])
}

/// Compares absent pages with a copy of what they hold: equal to the end, then different in one byte.
fn repe_cmpsb(ground: &Ground) -> Outcome {
    let address = ground.at(2, -100);
    let mut copy = initial_bytes(ground, address);
    let buffer = copy.as_mut_ptr() as u64;
    let before = Registers {
        rsi: address,
        rdi: buffer,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "repe cmpsb");
    after.expect(Registers {
        rsi: address + COUNT,
        rdi: buffer + COUNT,
        rcx: 0,
        ..before
    })?;
    equal!(after.rflags & ZF, ZF);

    let address = ground.at(5, -100);
    copy = initial_bytes(ground, address);
    if let Some(byte) = copy.get_mut(300) {
        *byte ^= 1;
    }
    let buffer = copy.as_mut_ptr() as u64;
    let before = Registers {
        rsi: buffer,
        rdi: address,
        rcx: COUNT,
        ..MARKED
    };
    let after = run!(before, "repe cmpsb");
    after.expect(Registers {
        rsi: buffer + 301,
        rdi: address + 301,
        rcx: COUNT - 301,
        ..before
    })?;
    equal!(after.rflags & ZF, 0);
    Ok(())
}

fn cmps_both_absent(ground: &Ground) -> Outcome {
    let (a, b) = (ground.at(2, -3), ground.at(5, -3));
    let before = Registers {
        rsi: a,
        rdi: b,
        ..MARKED
    };
    let after = run!(before, "cmpsq");
    after.expect(Registers {
        rsi: a + 8,
        rdi: b + 8,
        ..before
    })?;
    let same = ground.initial(a) == ground.initial(b);
    equal!(after.rflags & ZF, ZF * u64::from(same));
    Ok(())
}

/// Where scasq stops, looking for `value` (`until_equal`) or for anything else.
fn scan(ground: &Ground, start: u64, value: u64, until_equal: bool) -> (u64, bool) {
    for word in 0..COUNT / 8 {
        let equal = ground.initial(start + word * 8) == value;
        if equal == until_equal {
            return (word + 1, equal);
        }
    }
    (COUNT / 8, !until_equal)
}

fn scas(ground: &Ground) -> Outcome {
    let start = ground.at(2, -99);
    for (until_equal, rax) in [(true, ground.initial(start + 4800)), (false, 0), (true, 1)] {
        let before = Registers {
            rdi: start,
            rcx: COUNT / 8,
            rax,
            ..MARKED
        };
        let after = if until_equal {
            run!(before, "repne scasq")
        } else {
            run!(before, "repe scasq")
        };
        let (words, equal) = scan(ground, start, rax, until_equal);
        after.expect(Registers {
            rdi: start + words * 8,
            rcx: COUNT / 8 - words,
            ..before
        })?;
        equal!(after.rflags & ZF, ZF * u64::from(equal));
    }
    Ok(())
}

fn scasb_backward(ground: &Ground) -> Outcome {
    let start = ground.at(2, 20);
    let al = ground.byte(start - 40);
    let steps = (0..)
        .find(|step| ground.byte(start - step) == al)
        .unwrap_or(0)
        + 1;
    let before = Registers {
        rax: u64::from(al),
        rdi: start,
        rcx: COUNT,
        rflags: MARKED.rflags | DF,
        ..MARKED
    };
    let after = run!(before, "repne scasb");
    after.expect(Registers {
        rdi: start - steps,
        rcx: COUNT - steps,
        ..before
    })
}

/// A count of zero touches nothing: the pointers lead nowhere.
fn count_zero(_ground: &Ground) -> Outcome {
    let before = Registers {
        rsi: NOWHERE,
        rdi: NOWHERE,
        rcx: 0,
        ..MARKED
    };
    run!(before, "rep movsb").expect(before)?;
    run!(before, "rep movsq").expect(before)?;
    run!(before, "rep stosb").expect(before)?;
    run!(before, "rep stosq").expect(before)?;
    run!(before, "rep lodsb").expect(before)?;
    run!(before, "repe cmpsb").expect(before)?;
    run!(before, "repne scasb").expect(before)?;
    let backward = Registers {
        rflags: MARKED.rflags | DF,
        ..before
    };
    run!(backward, "rep movsb").expect(before)
}

/// With 32-bit addresses the registers wrap at 4 GiB and lose their upper halves.
fn rep_movsb_32_bit(ground: &Ground) -> Outcome {
    let (from, to) = (ground.at(1, 100), ground.at(4, 50));
    let high = 0xDEAD_BEEF << 32;
    let before = Registers {
        rsi: high | from,
        rdi: high | to,
        rcx: high | COUNT,
        ..MARKED
    };
    let after = run!(before, ".byte 0x67", "rep movsb");
    after.expect(Registers {
        rsi: from + COUNT,
        rdi: to + COUNT,
        rcx: 0,
        ..before
    })?;
    ground.expect(&[(to, &initial_bytes(ground, from))])
}

/// A 32-bit address ignores the upper halves of its registers, and wraps.
fn mov_32_bit_address(ground: &Ground) -> Outcome {
    let address = ground.at(2, -3);
    let before = Registers {
        rbx: 0xDEAD_BEEF_0000_0000 | address,
        rcx: 0xFFFF_FFFF,
        ..MARKED
    };
    let after = run!(before, "mov rax, [ebx]", "mov rdx, [ebx + ecx + 1]");
    after.expect(Registers {
        rax: ground.initial(address),
        rdx: ground.initial(address),
        ..before
    })
}

crate::table! {
    Load: lods rep_lods repe_cmpsb cmps_both_absent scas scasb_backward count_zero;
    Store: movs rep_movsb rep_movsq_unaligned rep_movsb_backward rep_movsq_backward
        rep_movsb_overlapping stos rep_stosb rep_stosd_backward;
    LowLoad: mov_32_bit_address;
    LowStore: rep_movsb_32_bit;
}
