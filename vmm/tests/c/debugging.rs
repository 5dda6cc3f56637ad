//! What gdb, the host's own, makes of a program and what zvmm gives it.

use std::fs;
use std::process::Command;

use crate::{Desk, skips_kvm};

/// Whether gdb is there; what needs it is left out otherwise.
pub(crate) fn has_gdb() -> bool {
    let has = Command::new("gdb").arg("--version").output().is_ok();
    if !has {
        eprintln!("skipped: there is no gdb (Debian: apt-get install gdb)");
    }
    has
}

/// What gdb prints, on both of its outputs, for these commands.
pub(crate) fn gdb(desk: &Desk, files: &str, commands: &[&str]) -> String {
    let mut command = desk.command("gdb -nx -batch");
    for line in commands {
        command.args(["-ex", line]);
    }
    let output = command.args(files.split(' ')).output().unwrap();
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

#[track_caller]
pub(crate) fn has(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn a_core_shows_where_the_program_crashed() {
    let desk = Desk::with(&["crash.c"]);
    desk.well("zvmm cc crash.c -g -O0 -o crash");
    if skips_kvm() || !has_gdb() {
        return;
    }
    for cpus in ["1", "2"] {
        let said = desk.say(&format!("zvmm run --cpus {cpus} --core core ./crash"));
        assert_eq!(said.code, Some(123), "{said:#?}");
        let length = fs::metadata(desk.path("core")).unwrap().len();
        assert!(
            length < 1 << 20,
            "{length} bytes of a program with a handful of pages"
        );
        let commands = [
            "bt",
            "info threads",
            "print counter >= 41",
            "x/1xw middle",
            "x/1xw middle + 100000",
            "thread apply all bt",
            "thread 2",
            "print $fs_base != 0",
        ];
        let shown = gdb(&desk, "./crash core", &commands);
        has(
            &shown,
            &[
                "SIGSEGV",
                "store (where=0x123456789000, value=1) at crash.c:",
                "*where = value;",
                "in main (argc=1",
                "$1 = 1",
                ":\t0x00c0ffee",
                "Cannot access memory",
                "Thread 2 (LWP",
                "spin (unused=",
                "$2 = 1",
            ],
        );
    }
}

#[test]
fn a_jump_into_the_kernel_is_reported_where_it_went() {
    let desk = Desk::with(&["wild.c"]);
    desk.well("zvmm cc wild.c -O0 -o wild");
    if skips_kvm() {
        return;
    }
    let said = desk.say("zvmm run ./wild");
    assert_eq!(said.code, Some(123), "{said:#?}");
    has(&said.err, &["rip ffffffff80000000", "rcx 0000000000000001"]);
}

#[test]
fn a_report_says_who_called_whom() {
    let desk = Desk::with(&["crash.c"]);
    desk.well("zvmm cc crash.c -g -O0 -o crash");
    desk.well("zvmm cc crash.c -g0 -O0 -o bare");
    if skips_kvm() {
        return;
    }
    let said = desk.say("zvmm run ./crash");
    let calls = said
        .err
        .split("\nbacktrace  0  ")
        .nth(1)
        .unwrap_or_else(|| panic!("{said:#?}"));
    let calls: Vec<&str> = calls.lines().collect();
    assert!(
        calls[0].contains("store (") && calls[0].contains("crash.c:"),
        "{said:#?}"
    );
    assert!(
        calls[1].trim().starts_with("1  0x") && calls[1].contains("main ("),
        "{said:#?}"
    );
    // Without debug information there are names still.
    let said = desk.say("zvmm run ./bare");
    let calls: Vec<&str> = said
        .err
        .split("\nbacktrace  ")
        .nth(1)
        .unwrap()
        .lines()
        .collect();
    assert!(
        calls[0].ends_with(" store") && calls[1].ends_with(" main"),
        "{said:#?}"
    );
}

#[test]
fn a_core_that_cannot_be_written_and_one_that_is_not_needed() {
    let desk = Desk::with(&["crash.c"]);
    if skips_kvm() {
        return;
    }
    let said = desk.say("zvmm run --core nowhere/core hello");
    assert_eq!((said.code, said.out.as_str()), (Some(121), ""), "{said:#?}");
    assert!(
        said.err.contains("cannot write the core nowhere/core"),
        "{said:#?}"
    );
    desk.well("zvmm run --core core hello");
    let names = fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["crash.c"]);
}
