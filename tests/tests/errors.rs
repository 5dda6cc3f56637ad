//! The table of all calls' errors (tests/guests/src/bin/errors): each row that a program can provoke is provoked by one in ring
//! 3, and docs/errors.md is the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use protocol::syscall::SyscallNumber;
use tests::sources::{files, guest_cases, read, root};
use tests::{Guest, needs_kvm};
use vmm::config::Grant;

/// Set to write docs/errors.md instead of comparing it.
const WRITE: &str = "ZVMM_WRITE_DOCS";

fn errors() -> Guest {
    Guest::test("errors")
        .grant(Grant::Vmex)
        .grant(Grant::Iommu)
        .grant(Grant::Mmio { size: 64 << 10 })
}

/// One line of `errors list`.
struct Row {
    call: String,
    status: String,
    what: String,
    how: String,
    detail: String,
}

fn rows() -> Vec<Row> {
    let run = errors().args(["list"]).run().exited(0);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        let [call, status, what, how, detail] = cells.as_slice() else {
            panic!("not a row: {line:?}");
        };
        Row {
            call: (*call).into(),
            status: (*status).into(),
            what: (*what).into(),
            how: (*how).into(),
            detail: (*detail).into(),
        }
    };
    run.output.lines().map(row).collect()
}

#[test]
fn every_error_that_a_program_can_provoke_is_provoked() {
    needs_kvm!();
    let verdicts = errors().run().exited(0).verdicts();
    let provoked = rows().iter().filter(|row| row.how == "provoked").count();
    assert_eq!(verdicts.count(), provoked);
    assert!(provoked > 300, "only {provoked} rows");
}

#[test]
fn every_error_of_want_of_memory_is_provoked() {
    needs_kvm!();
    let run = errors().memory(8 << 20).args(["limited"]).run();
    let verdicts = run.exited(0).verdicts();
    let limited = rows().iter().filter(|row| row.how == "limited").count();
    assert_eq!(verdicts.count(), limited);
}

#[test]
fn every_call_has_its_errors() {
    needs_kvm!();
    let rows = rows();
    let calls: BTreeSet<&str> = rows.iter().map(|row| row.call.as_str()).collect();
    let all: BTreeSet<&str> = SyscallNumber::ALL.iter().map(|call| call.name()).collect();
    assert_eq!(calls, all);
}

/// The cases of guests that run by name, and the tests of this folder as `file.test`.
fn cases() -> BTreeSet<String> {
    let cases = guest_cases().into_iter();
    let mut known: BTreeSet<String> = cases
        .map(|(guest, case)| format!("{guest}.{case}"))
        .collect();
    for path in files(&root().join("tests/tests"), "rs") {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for after in read(&path).split("#[test]").skip(1) {
            let name = after.split_once("fn ").map_or("", |(_, rest)| rest);
            let name = name.split('(').next().unwrap_or_default();
            known.insert(format!("{file}.{name}"));
        }
    }
    known
}

#[test]
fn what_other_tests_show_is_there() {
    needs_kvm!();
    let known = cases();
    let shown = rows().into_iter().filter(|row| row.how == "shown");
    let missing: Vec<String> = shown
        .filter(|row| !known.contains(&row.detail))
        .map(|row| format!("{}: no case {}", row.call, row.detail))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// The table as docs/errors.md.
fn document(rows: &[Row]) -> String {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.how.as_str()).or_insert(0) += 1;
    }
    let count = |how| counts.get(how).copied().unwrap_or(0);
    let mut out = format!(
        "# Every call's errors\n\n\
         Made from the table in tests/guests/src/bin/errors by `{WRITE}=1 cargo test -p tests --test errors`; do not edit it here. \
         {} rows are *provoked* by that program in ring 3, {} are shown by another test, {} cannot be provoked by a program.\n",
        count("provoked") + count("limited"),
        count("shown"),
        count("cannot"),
    );
    let mut call = "";
    for row in rows {
        if row.call != call {
            call = &row.call;
            let _ = write!(
                out,
                "\n## zx_{call}\n\n| status | when | shown by |\n|---|---|---|\n"
            );
        }
        let by = match row.how.as_str() {
            "provoked" => "the table's program".into(),
            "limited" => "the table's program, with little memory".into(),
            "shown" => format!("`{}`", row.detail),
            _ => format!("no program can: {}", row.detail),
        };
        let _ = writeln!(out, "| {} | {} | {by} |", row.status, row.what);
    }
    out
}

#[test]
fn the_document_is_the_table() {
    needs_kvm!();
    let document = document(&rows());
    let path = root().join("docs/errors.md");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, document).unwrap();
        return;
    }
    let is = read(&path);
    let differs = is
        .lines()
        .zip(document.lines())
        .position(|(is, made)| is != made);
    assert!(
        is == document,
        "docs/errors.md is not the table from line {differs:?} on; run with {WRITE}=1 to write it"
    );
}
