//! Programs in C and C++, as somebody makes them who has nothing but the `zvmm` binary and a compiler: in an empty folder,
//! with an SDK that was never unpacked before.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod debugging;
mod gdb;
mod readers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// An empty folder, and a data folder of its own.
struct Desk {
    folder: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("desk")).unwrap();
        Desk { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("desk").join(name)
    }

    /// A desk with these files of `sources`.
    fn with(names: &[&str]) -> Desk {
        let desk = Desk::new();
        for name in names {
            fs::copy(sources().join(name), desk.path(name)).unwrap();
        }
        desk
    }

    /// A command line; `zvmm` is the one of this build. Every run of a VM has a time limit.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = match words.next().unwrap() {
            "zvmm" => Command::new(env!("CARGO_BIN_EXE_zvmm")),
            other => Command::new(other),
        };
        let mut words = words.peekable();
        if words.next_if_eq(&"run").is_some() {
            command.args(["run", "--timeout", "60s"]);
        }
        command
            .args(words)
            .current_dir(self.path(""))
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env_remove("CC")
            .env_remove("CXX")
            .stdin(Stdio::null());
        command
    }

    fn say(&self, line: &str) -> Said {
        let output = self.command(line).output();
        Said::from(output.unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    /// It must go well, and without a word on standard error; what it printed.
    #[track_caller]
    fn well(&self, line: &str) -> String {
        let said = self.say(line);
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(0), ""),
            "{line}: {said:#?}"
        );
        said.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/sources")
}

/// Whether tests that boot a guest are left out.
fn skips_kvm() -> bool {
    let skips = std::env::var_os("ZVMM_SKIP_KVM").is_some_and(|value| value == "1");
    if skips {
        eprintln!("skipped: ZVMM_SKIP_KVM is set");
    }
    skips
}

/// The library is called even where the compiler could do its work.
const STRICT: &str = "-O2 -fno-builtin -Wall -Wextra -Werror";

/// Compiles a source, and runs it on one vCPU and on two.
#[track_caller]
fn prints(source: &str, expected: &str) {
    let desk = Desk::with(&[source]);
    desk.well(&format!("zvmm cc {source} {STRICT} -o program"));
    if skips_kvm() {
        return;
    }
    for cpus in ["1", "2"] {
        let out = desk.well(&format!("zvmm run --cpus {cpus} ./program"));
        assert_eq!(out, expected, "on {cpus} vCPU(s)");
    }
}

#[test]
fn hello() {
    let desk = Desk::new();
    let source = "#include <stdio.h>\nint main(void)\n{\n    printf(\"hello from C\\n\");\n}\n";
    fs::write(desk.path("hello.c"), source).unwrap();
    desk.well("zvmm cc hello.c -o hello");
    if !skips_kvm() {
        assert_eq!(desk.well("zvmm run ./hello"), "hello from C\n");
    }
}

#[test]
fn the_library() {
    let desk = Desk::with(&["library.c"]);
    desk.well(&format!("zvmm cc library.c {STRICT} -o library"));
    if skips_kvm() {
        return;
    }
    let said = desk.say("zvmm run --vmo data=zero:4K ./library -- one ");
    assert_eq!(said.out, "all is well\nat the end\n", "{said:#?}");
    assert_eq!(said.code, Some(5), "{said:#?}");
}

#[test]
fn formats_are_those_of_the_host() {
    let desk = Desk::with(&["formats.c"]);
    desk.well("cc formats.c -fno-builtin -w -o host");
    desk.well("zvmm cc formats.c -fno-builtin -w -o guest");
    let expected = desk.well(&desk.path("host").display().to_string());
    assert!(expected.lines().count() > 3000);
    if skips_kvm() {
        return;
    }
    let out = desk.well("zvmm run ./guest");
    for (line, host) in out.lines().zip(expected.lines()) {
        assert_eq!(line, host);
    }
    assert_eq!(out, expected);
}

#[test]
fn the_heap() {
    prints("heap.c", "the heap is well\n");
}

#[test]
fn threads() {
    prints("threads.c", "threads are well\n");
}

#[test]
fn four_threads_and_a_pager() {
    prints("pager.c", "256 pages are as they should be\n");
}

/// Whether there is a compiler for C++; what needs one is left out otherwise.
fn has_cpp() -> bool {
    let has = Command::new("c++").arg("--version").output().is_ok();
    if !has {
        eprintln!("skipped: there is no C++ compiler (Debian: apt-get install g++)");
    }
    has
}

#[test]
fn cpp() {
    if !has_cpp() {
        return;
    }
    let expected = [
        "square 5 is gone, 2 left",
        "42 of 100",
        "square 4 is gone, 1 left",
        "square 3 is gone, 0 left\n",
    ];
    prints("objects.cpp", &expected.join("\n"));
}

#[test]
fn a_failed_assertion_says_where() {
    let desk = Desk::new();
    let source =
        "#include <assert.h>\nint main(int argc, char **argv)\n{\n    assert(argc == 5);\n}\n";
    fs::write(desk.path("fails.c"), source).unwrap();
    desk.well("zvmm cc fails.c -o fails");
    if skips_kvm() {
        return;
    }
    let said = desk.say("zvmm run ./fails");
    assert_eq!(said.out, "fails.c:4: main: assertion failed: argc == 5\n");
    assert_eq!(said.code, Some(123), "{said:#?}");
    assert!(
        said.err.contains("ZX_EXCP_UNDEFINED_INSTRUCTION"),
        "{said:#?}"
    );
}

#[test]
fn the_compilers_errors_and_exit_code_pass_through() {
    let desk = Desk::new();
    fs::write(desk.path("bad.c"), "int main(void) { return nothing; }\n").unwrap();
    let said = desk.say("zvmm cc bad.c -o bad");
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.err.contains("bad.c:1:") && !said.err.contains("zvmm:"),
        "{said:#?}"
    );
    let said = desk.say("zvmm cc absent.c");
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        desk.well("zvmm cc --version").contains("Free Software")
            || desk.well("zvmm cc --version").contains("clang")
    );
}

#[test]
fn a_compiler_that_is_not_there() {
    let desk = Desk::new();
    fs::write(desk.path("a.c"), "int main(void) {}\n").unwrap();
    let none = desk.command("zvmm cc a.c").env("PATH", "/nowhere").output();
    let said = Said::from(none.unwrap());
    assert_eq!(said.code, Some(121));
    assert!(
        said.err.contains("no compiler") && said.err.contains("apt-get install gcc"),
        "{said:#?}"
    );
    let named = desk.command("zvmm cc a.c").env("CC", "no-such-cc").output();
    let said = Said::from(named.unwrap());
    assert_eq!(said.code, Some(121));
    assert!(said.err.contains("no-such-cc"), "{said:#?}");
}

const VERDICTS: &str = "\
TAP version 14
1..13
# one
# two three
ok 1 - passes
ok 2 - starts_afresh
# tests.c:28: fails: assertion failed: variable == 2
not ok 3 - fails
# it ended with code 101
# tests.c:34: fails_before_it_traps: assertion failed: variable == 2
not ok 4 - fails_before_it_traps
# it ended with code 101; announced was ZX_EXCP_UNDEFINED_INSTRUCTION
not ok 5 - exits
# it ended with code 3
not ok 6 - crashes
# it crashed: ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND, rip RIP
ok 7 - crashes_as_announced
not ok 8 - crashes_elsewhere
# it crashed: ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND, rip RIP; announced was ZX_EXCP_FATAL_PAGE_FAULT at 0x20: ZX_ERR_NOT_FOUND
ok 9 - traps_as_announced
not ok 10 - does_not_crash
# it ended with code 0; announced was ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND
not ok 11 - hangs
# it was not over after 200 ms
ok 12 - crashes_in_a_thread
ok 13 - goes_on
";

/// The text with RIP in place of addresses of instructions.
fn without_rips(text: &str) -> String {
    let mut parts = text.split("rip 0x");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str("rip RIP");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    out
}

#[test]
fn the_runner_of_tests_tells_how_each_ended() {
    let desk = Desk::with(&["tests.c"]);
    desk.well(&format!("zvmm cc tests.c {STRICT} -o tests"));
    if skips_kvm() {
        return;
    }
    for cpus in ["1", "2"] {
        let run = format!("zvmm run --cpus {cpus} --vmo data=zero:4K ./tests");
        let said = desk.say(&run);
        assert_eq!((said.code, said.err.as_str()), (Some(1), ""), "{said:#?}");
        assert_eq!(without_rips(&said.out), VERDICTS);
        // The filter is an argument of the tests, too.
        let selected = desk.well(&format!("{run} -- starts"));
        assert_eq!(selected, "TAP version 14\n1..1\nok 1 - starts_afresh\n");
    }
}

/// Each example of the SDK, built by its Makefile, prints what docs/sdk.md shows.
#[test]
fn the_examples_do_what_the_documentation_shows() {
    let desk = Desk::new();
    let sdk = desk.well("zvmm sdk --path");
    let examples = Path::new(sdk.trim_end()).join("examples/c");
    let mut names = Vec::new();
    for file in fs::read_dir(&examples).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::copy(&file, desk.path(name)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().count() < 100, "{name}");
        names.extend(name.strip_suffix(".c").map(str::to_owned));
    }
    assert!(names.len() >= 5, "{names:?}");
    // The Makefile takes zvmm from PATH.
    let zvmm = Path::new(env!("CARGO_BIN_EXE_zvmm")).parent().unwrap();
    let path = format!("{}:{}", zvmm.display(), std::env::var("PATH").unwrap());
    let made = Said::from(
        desk.command("make --silent")
            .env("PATH", path)
            .output()
            .unwrap(),
    );
    assert_eq!((made.code, made.err.as_str()), (Some(0), ""), "{made:#?}");
    if skips_kvm() {
        return;
    }
    fs::write(desk.path("note.txt"), "a note for whoever reads it").unwrap();
    for name in names {
        let (line, expected) = shown(&name);
        for cpus in ["1", "2"] {
            let line = line.replacen("run ", &format!("run --cpus {cpus} "), 1);
            assert_eq!(desk.well(&line), expected, "{line}");
        }
    }
}

/// The same with CMake, where that is installed.
#[test]
fn cmake_builds_the_examples() {
    let desk = Desk::new();
    if desk.command("cmake --version").output().is_err() {
        eprintln!("skipped: there is no cmake");
        return;
    }
    let sdk = PathBuf::from(desk.well("zvmm sdk --path").trim_end());
    let zvmm = Path::new(env!("CARGO_BIN_EXE_zvmm")).parent().unwrap();
    let path = format!("{}:{}", zvmm.display(), std::env::var("PATH").unwrap());
    let toolchain = sdk.join("c/cmake/zvmm.cmake");
    let toolchain = format!("-DCMAKE_TOOLCHAIN_FILE={}", toolchain.display());
    let examples = sdk.join("examples/c");
    let configure = format!("cmake -B build -S {} {toolchain}", examples.display());
    for line in [&configure, "cmake --build build"] {
        let output = desk.command(line).env("PATH", &path).output();
        let said = Said::from(output.unwrap());
        assert_eq!(said.code, Some(0), "{said:#?}");
    }
    if !skips_kvm() {
        assert_eq!(desk.well("zvmm run ./build/hello"), "hello, nobody\n");
    }
}

/// The command line that docs/sdk.md shows for `./NAME`, and what it prints.
fn shown(name: &str) -> (String, String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sdk.md");
    let page = fs::read_to_string(page).unwrap();
    for block in page.split("```console\n$ ").skip(1) {
        let (line, rest) = block.split_once('\n').unwrap();
        let runs = line.split(' ').any(|word| word == format!("./{name}"));
        if line.starts_with("zvmm run ") && runs {
            let (output, _) = rest.split_once("```").unwrap();
            return (line.into(), output.into());
        }
    }
    panic!("docs/sdk.md does not show {name}");
}

/// In steps, as Makefiles do it.
#[test]
fn objects_are_linked() {
    let desk = Desk::new();
    fs::write(
        desk.path("a.c"),
        "int b(void);\nint main(void) { return b(); }\n",
    )
    .unwrap();
    fs::write(desk.path("b.c"), "int b(void) { return 3; }\n").unwrap();
    desk.well("zvmm cc -c a.c -o a.o");
    desk.well("zvmm cc -c b.c");
    desk.well("zvmm cc a.o b.o -o both");
    if !skips_kvm() {
        assert_eq!(desk.say("zvmm run ./both").code, Some(3));
    }
}

#[test]
fn the_first_stack_is_as_large_as_the_linker_is_told() {
    let desk = Desk::new();
    let source = "#include <string.h>\nint main(void)\n{\n    volatile char room[4 << 20];\n    \
                  for (int i = 0; i < 4 << 20; i += 4096)\n        room[i] = 1;\n    return room[4096];\n}\n";
    fs::write(desk.path("deep.c"), source).unwrap();
    desk.well("zvmm cc deep.c -o small");
    desk.well("zvmm cc deep.c -Wl,-z,stack-size=8388608 -o large");
    if !skips_kvm() {
        assert_eq!(desk.say("zvmm run ./small").code, Some(123));
        assert_eq!(desk.say("zvmm run ./large").code, Some(1));
    }
}

/// The host's headers are out of reach: what is not in the SDK is not found, rather than linked wrongly.
#[test]
fn headers_of_the_host_are_not_seen() {
    let desk = Desk::new();
    for (file, header) in [("a.c", "unistd.h"), ("b.cpp", "pthread.h")] {
        if file == "b.cpp" && !has_cpp() {
            continue;
        }
        fs::write(desk.path(file), format!("#include <{header}>\n")).unwrap();
        let said = desk.say(&format!("zvmm cc -c {file}"));
        assert!(
            said.code == Some(1) && said.err.contains(header),
            "{said:#?}"
        );
    }
}

/// The numbers that assembly in the library repeats.
#[test]
fn numbers_of_the_library_are_the_protocols() {
    use protocol::syscall::SyscallNumber;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/c/src/numbers.h");
    let text = fs::read_to_string(path).unwrap();
    let mut found = 0;
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("#define CALL_"))
    {
        let (name, number) = line.split_once(' ').unwrap();
        let mut calls = SyscallNumber::ALL.iter();
        let call = calls
            .find(|call| call.name() == name.to_lowercase())
            .unwrap();
        assert_eq!(number, (*call as u32).to_string(), "{name}");
        found += 1;
    }
    assert_eq!(found, 4);
}
