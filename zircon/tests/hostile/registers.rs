//! Registers: values that a call may well want, and now and then anything at all.

use protocol::{PAGE_SIZE, USER_BASE, USER_END};

use super::First;
use crate::common::SCRATCH;
use crate::common::random::Source;

/// Where items for `zx_object_wait_many` stand, and entries of policies.
pub const ITEMS: u64 = SCRATCH + 0x20_0000;
pub const ENTRIES: u64 = SCRATCH + 0x30_0000;

/// A register.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A handle value that may well be alive.
    Handle(u8),
    /// One of the handles the machine started with: to a VMO, a pager, a port.
    Vmo(u8),
    Pager(u8),
    Port(u8),
    Channel(u8),
    Vmar(u8),
    Job(u8),
    /// One to an object that can be waited for.
    Waitable(u8),
    Task(u8),
    /// An address in or around what is mapped.
    Address(u8, u16),
    /// Pages, and a few bytes more or less.
    Pages(u8, i8),
    Option(u8),
    Deadline(i16),
    Raw(u64),
}

impl Arg {
    pub fn value(self, first: &First) -> u64 {
        let pick = |from: &[u32], n: u8| u64::from(from[usize::from(n) % from.len()]);
        match self {
            Arg::Vmo(n) => pick(&first.vmos, n),
            Arg::Pager(n) => pick(&first.pagers, n),
            Arg::Port(n) => pick(&first.ports, n),
            Arg::Channel(n) => pick(&first.channels, n),
            Arg::Vmar(n) => pick(&first.vmars, n),
            Arg::Job(n) => pick(&first.jobs, n),
            Arg::Waitable(n) => pick(&first.waitables, n),
            Arg::Task(n) => pick(&first.tasks, n),
            Arg::Handle(n) => u64::from(n % 24) << 2 | 3 | u64::from(n / 24 % 3) << 20,
            Arg::Address(region, offset) => {
                let base = match region % 8 {
                    0..3 => SCRATCH,
                    3 => SCRATCH + 0x10_0000,
                    region => USER_BASE + u64::from(region - 4) * 16 * PAGE_SIZE,
                };
                base + u64::from(offset)
            }
            Arg::Pages(pages, more) => {
                (u64::from(pages % 16) * PAGE_SIZE).wrapping_add(more as i64 as u64)
            }
            Arg::Option(n) => match n % 8 {
                0..4 => 0,
                4 => 2,
                5 => 3,
                6 => 8,
                _ => 1 << (n / 8),
            },
            Arg::Deadline(at) => match at {
                0 => i64::MAX as u64,
                _ => (1_000 + i64::from(at)) as u64,
            },
            Arg::Raw(raw) => raw,
        }
    }

    /// What a call's register wants, by the letter of its kind.
    pub fn decode(kind: char, source: &mut Source<'_>) -> Arg {
        if source.below(16) == 15 {
            return Arg::Raw(raw(source));
        }
        let words: &[u64] = match kind {
            'h' => return Arg::Handle(source.below(72) as u8),
            'v' => return Arg::Vmo(source.byte()),
            'g' => return Arg::Pager(source.byte()),
            'q' => return Arg::Port(source.byte()),
            'k' => return Arg::Channel(source.byte()),
            'm' => return Arg::Vmar(source.byte()),
            't' => return Arg::Task(source.byte()),
            'R' => return Arg::Raw(160),
            'J' => return Arg::Job(source.byte()),
            'x' => return Arg::Waitable(source.byte()),
            'I' => return Arg::Raw(ITEMS + 12 * source.below(64)),
            'P' => return Arg::Raw(ENTRIES + 12 * source.below(64)),
            'n' => return Arg::Raw(source.below(66)),
            'N' => return Arg::Raw(source.below(4)),
            'a' => return Arg::Address(source.byte(), source.below(0x1_0000) as u16 & 0xFFF8),
            'b' => return Arg::Address(source.byte(), (source.below(8) << 12) as u16),
            'p' => {
                let more = if source.below(5) == 4 {
                    source.byte() as i8
                } else {
                    0
                };
                return Arg::Pages(source.byte(), more);
            }
            'e' => return Arg::Pages(source.byte(), 0),
            'o' => return Arg::Option(source.byte()),
            'd' => return Arg::Deadline(source.below(3050) as i16 - 50),
            'z' => &[0],
            'K' => &[1, 2, 3],
            'T' => &[0, 0x0100_0000, 0x0100_0000],
            's' => &[0, 8, 1 << 24, 1 << 25, 3 << 24, 1 << 31, 0xD0EF, 0x4C],
            'i' => &[1, 2, 8, 9, 19, 24, 0x17, 0x1000_0017, 0x3000_0017],
            'j' => &[2, 3, 4, 17, 17, 17],
            'c' => &[8, 8, 8, 0x28, 0xC, 1, 0x10, 0x11, 0x14, 0x80, 0x40],
            'w' => &[
                0,
                1,
                1,
                3,
                3,
                3,
                0x13,
                0x23,
                0x23,
                0x403,
                0x2003,
                0x1000_0003,
                0x9003,
            ],
            'l' => &[0, 0x80, 0x1C0, 0x1C0, 0x3C8, 0x1D0, 0x1D0, 0x21C0],
            'y' => &[1, 1, 2, 3, 10, 10, 12, 13, 13, 14],
            _ => return Arg::Raw(raw(source)),
        };
        Arg::Raw(words[source.below(words.len() as u64) as usize])
    }
}

fn raw(source: &mut Source<'_>) -> u64 {
    let bit = 1u64 << source.below(64);
    match source.below(6) {
        0 => source.word(),
        1 => bit,
        2 => bit.wrapping_sub(source.below(9000)),
        3 => u64::MAX,
        4 => protocol::MAX_VMO_SIZE,
        _ => USER_END,
    }
}
