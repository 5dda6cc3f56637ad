//! `memops [FILTER]`: every kind of instruction that touches memory, on pages that are absent. `memops emulated` runs
//! those that KVM's instruction emulator knows in a way that has a software KVM use it.
//!
//! Each case gets a fresh ground (see `ground`) whose pages are absent, points registers at it, runs the instruction
//! once and compares all registers and all bytes of the ground. Loads run on zero pages, on pages of a pager in this
//! program and on the start-up VMO `data`; stores on the first two. The start-up VMO `exec` (64 KiB, zero-filled, with
//! EXECUTE) is the ground of the `code` cases.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod bits;
mod code;
mod float;
mod ground;
mod loads;
mod machine;
mod segments;
mod sse;
mod stack;
mod stores;
mod strings;

use ground::{Ground, Source, World};
use test_guests::{Outcome, Runner};
use zx::Startup;

zx::entry!(run);

/// What a case does to its ground.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Reads only: the ground must be unchanged, and may be read-only.
    Load,
    /// May write and plant; checks the ground itself.
    Store,
    /// As `Load`, with addresses below 4 GiB.
    LowLoad,
    /// As `Store`, with addresses below 4 GiB.
    LowStore,
}

/// A case of this program.
type Case = (&'static str, Kind, fn(&Ground) -> Outcome);

/// Makes a table of cases that are called like their functions.
macro_rules! table {
    ($($kind:ident: $($case:ident)*;)*) => {
        pub const CASES: &[$crate::Case] =
            &[$($((stringify!($case), $crate::Kind::$kind, $case),)*)*];
    };
}
pub(crate) use table;

/// Cases that KVM's instruction emulator does not know.
const NOT_EMULATED: &[&str] = &["cmpxchg16b"];

fn run(startup: &Startup<'_>) -> i32 {
    let filter = startup.arg(1).unwrap_or("");
    let emulated = filter == "emulated";
    if emulated {
        machine::use_strange_stack();
    }
    let mut runner = Runner::new(if emulated { "" } else { filter });
    let world = match World::new(startup.handle("data")) {
        Ok(world) => world,
        Err(status) => {
            zx::println!("memops: the pager's thread could not be started: {status}");
            return 1;
        }
    };
    segments::remember(startup.handle("thread"));
    let tables = [
        ("loads", loads::CASES),
        ("stores", stores::CASES),
        ("bits", bits::CASES),
        ("stack", stack::CASES),
        ("strings", strings::CASES),
        ("sse", sse::CASES),
        ("float", float::CASES),
        ("segments", segments::CASES),
    ];
    for (table, cases) in tables {
        if emulated && ["sse", "float"].contains(&table) {
            continue;
        }
        for (name, kind, case) in cases {
            if emulated && NOT_EMULATED.contains(name) {
                continue;
            }
            for source in [Source::Zero, Source::Served, Source::Data] {
                if source == Source::Data && !(world.has_data() && kind.is_load()) {
                    continue;
                }
                let Name(text, length) = Name::new(table, name, source);
                let name = core::str::from_utf8(text.get(..length).unwrap_or_default());
                let name = name.unwrap_or("?");
                runner.case(name, || one(&world, source, *kind, *case));
            }
        }
    }
    match startup.handle("exec") {
        Some(exec) => code::cases(&mut runner, &world, exec),
        None => zx::println!("memops: no start-up VMO called exec, code cases are left out"),
    }
    runner.finish()
}

impl Kind {
    fn is_load(self) -> bool {
        matches!(self, Kind::Load | Kind::LowLoad)
    }

    fn is_low(self) -> bool {
        matches!(self, Kind::LowLoad | Kind::LowStore)
    }
}

fn one(world: &World, source: Source, kind: Kind, case: fn(&Ground) -> Outcome) -> Outcome {
    let ground = Ground::new(world, source, kind.is_low())?;
    case(&ground)?;
    if kind.is_load() {
        ground.unchanged()
    } else {
        Ok(())
    }
}

/// `table.case/source` in a buffer.
struct Name([u8; 64], usize);

impl Name {
    fn new(table: &str, case: &str, source: Source) -> Self {
        let mut name = Name([0; 64], 0);
        for part in [table, ".", case, "/", source.name()] {
            for &byte in part.as_bytes() {
                if let Some(slot) = name.0.get_mut(name.1) {
                    *slot = byte;
                    name.1 += 1;
                }
            }
        }
        name
    }
}
