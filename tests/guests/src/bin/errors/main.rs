//! `errors [FILTER]`: the table of every call's errors. `errors list` prints it, one row a line; otherwise each row that a
//! program can provoke is provoked, and its status compared. `errors limited` does that with the rows for a run with little memory.
//!
//! The table is the only place where rows are written: docs/errors.md is made of it. A row says which arguments provoke the error
//! (`args`), what to do for it (`does`), which case of another test guest shows it (`shown`), or why no program can
//! provoke it (`cannot`).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod row;
mod rows;
mod world;

use protocol::syscall::SyscallNumber;
use test_guests::Runner;
use zx::Startup;

use row::{How, Row};
use world::World;

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    let filter = startup.arg(1).unwrap_or("");
    if filter == "list" {
        rows::all(list);
        return 0;
    }
    let limited = filter == "limited";
    let filter = if limited { "" } else { filter };
    if limited {
        keep_program(startup);
    }
    let mut runner = Runner::new(filter);
    rows::all(|row| {
        let name = row.call.name();
        let wanted = match row.how {
            How::Args(_) | How::Does(_) => !limited,
            How::Limited(_) => limited,
            How::Shown(_) | How::Cannot(_) => false,
        };
        if !name.contains(filter) || !wanted {
            return;
        }
        let outcome = row.provoke(&mut World::new(startup));
        let (status, what) = (row.status, row.what);
        runner.verdict(format_args!("{name} {status}: {what}"), outcome);
    });
    runner.finish()
}

/// Asks for the pages of the program itself, never to be reclaimed: rows that use memory up would take them.
fn keep_program(startup: &Startup<'_>) {
    const ALWAYS_NEED: u64 = 13;
    let here = (run as fn(&Startup<'_>) -> i32) as usize as u64;
    let first = here & !(MIB - 1);
    let image = (first..first + MIB).step_by(zx::PAGE_SIZE as usize);
    let given = startup.bytes().as_ptr() as u64 & !(zx::PAGE_SIZE - 1);
    let vmar = startup.handle("vmar").unwrap_or(0);
    for page in image.chain([given]) {
        let args = [vmar.into(), ALWAYS_NEED, page, zx::PAGE_SIZE, 0, 0];
        // Where nothing is mapped there is nothing to keep.
        World::new(startup).calls(SyscallNumber::VmarOpRange, args);
    }
}

/// What the program's image fits into.
const MIB: u64 = 1 << 20;

fn list(row: &Row) {
    let (call, status, what) = (row.call.name(), row.status, row.what);
    match row.how {
        How::Args(_) | How::Does(_) => zx::println!("{call}|{status}|{what}|provoked|"),
        How::Limited(_) => zx::println!("{call}|{status}|{what}|limited|"),
        How::Shown(case) => zx::println!("{call}|{status}|{what}|shown|{case}"),
        How::Cannot(reason) => zx::println!("{call}|{status}|{what}|cannot|{reason}"),
    }
}
