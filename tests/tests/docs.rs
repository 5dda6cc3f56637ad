//! The documentation does not drift from the sources: test names, system calls and links that it mentions exist.

use std::collections::BTreeSet;
use std::path::Path;

use tests::sources::{core_tests, files, guest_cases, read, root};

/// Columns of docs/semantics.md that hold names of tests.
const CORE: &str = "in the core";
const GUEST: &str = "in a guest";

/// The cells of a line of a table, if it is one.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

/// The test names that docs/semantics.md has in the columns of this heading, with their lines.
fn mentioned(column: &str) -> Vec<(usize, String)> {
    let mut at = None;
    let mut names = Vec::new();
    for (number, line) in (1..).zip(read("docs/semantics.md").lines()) {
        let Some(cells) = cells(line) else {
            at = None;
            continue;
        };
        at = cells.iter().position(|cell| *cell == column).or(at);
        if let Some(cell) = at.and_then(|at| cells.get(at)) {
            let quoted = cell.split('`').skip(1).step_by(2);
            names.extend(quoted.map(|name| (number, name.to_owned())));
        }
    }
    names
}

fn unknown(column: &str, known: &BTreeSet<String>) -> Vec<String> {
    let names = mentioned(column);
    assert!(names.len() > 50, "only {} names are {column}", names.len());
    let unknown = names.iter().filter(|(_, name)| !known.contains(name));
    unknown
        .map(|(line, name)| format!("docs/semantics.md:{line}: no test is called {name}"))
        .collect()
}

#[test]
fn tests_of_the_core_exist() {
    let names = core_tests("zircon").into_keys().collect();
    assert_eq!(unknown(CORE, &names), [""; 0]);
}

#[test]
fn cases_of_guests_exist() {
    let names = guest_cases().into_iter().map(|(_, case)| case).collect();
    assert_eq!(unknown(GUEST, &names), [""; 0]);
}

/// Every row has a status, and what holds has a test in the core.
#[test]
fn rows_that_hold_have_tests() {
    let mut rows = 0;
    for line in read("docs/semantics.md").lines() {
        let cells = cells(line).unwrap_or_default();
        let [number, _, status, core, _] = cells.as_slice() else {
            continue;
        };
        if number.parse::<u32>().is_err() {
            continue;
        }
        rows += 1;
        let left = status.starts_with("left");
        let tested = ["holds", "superseded"]
            .iter()
            .any(|word| status.starts_with(word));
        assert!(left || tested, "no status: {line}");
        assert!(left || !core.is_empty(), "no test: {line}");
    }
    assert!(rows > 80, "only {rows} rows");
}

#[test]
fn every_system_call_is_listed() {
    let (semantics, abi) = (read("docs/semantics.md"), read("docs/abi.md"));
    let mut calls = 0;
    // Lines of the table: `13 VmoCreate "vmo_create",`.
    for line in read("protocol/src/syscall.rs").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, _, name] = words.as_slice() else {
            continue;
        };
        let Some(name) = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix("\","))
        else {
            continue;
        };
        if number.parse::<u32>().is_err() {
            continue;
        }
        calls += 1;
        assert!(
            semantics.contains(&format!("\n| {name} |")),
            "semantics.md: {name}"
        );
        assert!(
            abi.contains(&format!("| {number} {name} |")),
            "abi.md: {number} {name}"
        );
    }
    assert!(calls >= 35, "only {calls} system calls");
}

/// Each system call has a method in the crate `zx`, or docs/sdk.md says why it has none.
#[test]
fn every_system_call_has_a_method() {
    let page = read("docs/sdk.md");
    let sources = files(&root().join("programs/zx/src"), "rs");
    let sources: String = sources.iter().map(read).collect();
    for call in protocol::syscall::SyscallNumber::ALL {
        let name = call.name();
        let method = sources.contains(&format!("sys::{name}("));
        assert!(method || page.contains(&format!("`{name}`")), "{name}");
    }
}

/// Relative links of the documents lead to files.
#[test]
fn links_lead_somewhere() {
    let mut documents = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    documents.extend(files(&root().join("docs"), "md"));
    let mut links = 0;
    for document in documents {
        let folder = document.parent().map(Path::to_path_buf).unwrap_or_default();
        for after in read(&document).split("](").skip(1) {
            let target = after.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            assert!(
                folder.join(target).exists(),
                "{}: {target}",
                document.display()
            );
        }
    }
    assert!(links > 5, "only {links} links");
}
