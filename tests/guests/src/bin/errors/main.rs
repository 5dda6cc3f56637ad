//! `errors [FILTER]`: the table of every call's errors. `errors list` prints it, one row a line; otherwise each row that a
//! program can provoke is provoked, and its status compared.
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
    let mut runner = Runner::new(filter);
    rows::all(|row| {
        let name = row.call.name();
        if !name.contains(filter) || matches!(row.how, How::Shown(_) | How::Cannot(_)) {
            return;
        }
        let outcome = row.provoke(&mut World::new(startup));
        let (status, what) = (row.status, row.what);
        runner.verdict(format_args!("{name} {status}: {what}"), outcome);
    });
    runner.finish()
}

fn list(row: &Row) {
    let (call, status, what) = (row.call.name(), row.status, row.what);
    match row.how {
        How::Args(_) | How::Does(_) => zx::println!("{call}|{status}|{what}|provoked|"),
        How::Shown(case) => zx::println!("{call}|{status}|{what}|shown|{case}"),
        How::Cannot(reason) => zx::println!("{call}|{status}|{what}|cannot|{reason}"),
    }
}
