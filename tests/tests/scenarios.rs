//! Zircon's own pager scenarios are all there, under their names: `scenarios.txt` lists them.

use std::collections::BTreeSet;

use tests::sources::{core_tests, guest_cases};

/// One line of the list.
struct Scenario {
    name: &'static str,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Once,
    /// Through `zx_vmo_read` and through a mapping.
    Reading,
    /// Without and with TRAP_DIRTY.
    Writing,
    Absent,
}

fn scenarios() -> Vec<Scenario> {
    let lines = include_str!("scenarios.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let scenario = |line: &'static str| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let kind = match rest.split_once(' ').unwrap_or((rest, "")) {
            ("", _) => Kind::Once,
            ("V", "") => Kind::Reading,
            ("T", "") => Kind::Writing,
            ("-", reason) if !reason.is_empty() => Kind::Absent,
            _ => panic!("neither V, T, nor a reason: {line}"),
        };
        Scenario { name, kind }
    };
    lines.map(scenario).collect()
}

/// `SinglePageTest` is `single_page_test` in the core.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut before = '_';
    for char in name.chars() {
        if char.is_ascii_uppercase() && !before.is_ascii_uppercase() && before != '_' {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
        before = char;
    }
    snake
}

#[test]
fn the_list_is_whole() {
    let scenarios = scenarios();
    let names: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), scenarios.len(), "a scenario is listed twice");
    let absent = scenarios.iter().filter(|it| it.kind == Kind::Absent);
    assert_eq!((names.len(), absent.count()), (117, 1));
}

/// Each is one test of the core; its variants show in its text.
#[test]
fn the_core_has_each_once() {
    let tests = core_tests("zircon/tests/scenarios");
    let mut wrong = Vec::new();
    for Scenario { name, kind } in scenarios() {
        let found = tests.get(&snake_case(name)).map_or(&[][..], Vec::as_slice);
        let both_ways = |body: &String| {
            body.contains("Via::BOTH")
                || body.contains("Via::Read") && body.contains("Via::Mapping")
        };
        let right = match (&kind, found) {
            (Kind::Absent, found) => found.is_empty(),
            (Kind::Once, [_]) => true,
            (Kind::Reading, [body]) => both_ways(body),
            (Kind::Writing, [body]) => body.contains("for options in"),
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {} tests", found.len()));
        }
    }
    assert!(
        wrong.is_empty(),
        "not once, or not in both variants: {wrong:#?}"
    );
}

/// Each is a case of a guest, once or in both variants, and `guests.rs` sees all cases pass.
#[test]
fn a_guest_has_each() {
    let cases: BTreeSet<String> = guest_cases().into_iter().map(|(_, case)| case).collect();
    let mut wrong = Vec::new();
    for Scenario { name, kind } in scenarios() {
        let variants: &[&str] = match kind {
            Kind::Once => &[""],
            Kind::Reading => &[".mapping", ".read"],
            Kind::Writing => &[".noted", ".trapped"],
            Kind::Absent => &[],
        };
        let of_it = |case: &&String| case.split('.').next() == Some(name);
        let found: Vec<&String> = cases.iter().filter(of_it).collect();
        let expected: Vec<String> = variants.iter().map(|it| format!("{name}{it}")).collect();
        if found != expected.iter().collect::<Vec<_>>() {
            wrong.push(format!("{expected:?}, not {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "cases of guests: {wrong:#?}");
}
