//! How runs end.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{Running, Said, needs_kvm, programs, zvmm};

/// How long a run may go on once it was told to stop.
const PROMPTLY: Duration = Duration::from_secs(5);

fn text(said: &Said) -> String {
    String::from_utf8_lossy(&said.out).into_owned()
}

/// What the program writes is on standard output, and nothing else is anywhere.
#[test]
fn a_program_that_exits() {
    needs_kvm!();
    let said = zvmm(["hello", "--", "a", "b"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let out = text(&said);
    assert!(
        out.starts_with("hello from ring 3 a b\nhandle vmar: 0x"),
        "{out}"
    );
}

#[test]
fn the_exit_code_is_the_programs_low_eight_bits() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "exit", programs::exit());
    let said = zvmm([&program]);
    assert_eq!((said.code, said.err.as_str()), (Some(7), ""), "{said:?}");
    let said = zvmm(["sum"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        text(&said).contains("there is no VMO called data"),
        "{said:?}"
    );
}

#[test]
fn the_time_limit() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "spin", programs::spin());
    let program = program.to_str().unwrap();
    for cpus in ["1", "2"] {
        let said = zvmm(["--timeout", "300ms", "--cpus", cpus, program]);
        assert_eq!(
            (said.code, text(&said).as_str()),
            (Some(124), "ready\n"),
            "{said:?}"
        );
        assert!(
            said.err
                .contains("the time limit of 300ms (--timeout) has passed"),
            "{said:?}"
        );
    }
}

#[test]
fn control_c_and_termination_stop_at_once() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "spin", programs::spin());
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = Running::start([&program]);
        assert_eq!(running.wait_for(6), b"ready\n");
        let since = Instant::now();
        running.signal(signal);
        let said = running.end();
        assert!(since.elapsed() < PROMPTLY, "{:?}", since.elapsed());
        let expected = (Some(130), "zvmm: interrupted.\n");
        assert_eq!((said.code, said.err.as_str()), expected, "{said:?}");
    }
}

/// Neither the time limit nor Ctrl-C waits for somebody to read what the program writes.
#[test]
fn output_that_nobody_reads() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "chatter", programs::chatter());
    let program = program.to_str().unwrap();
    let said = Running::start(["--timeout", "500ms", program]).end_unread();
    assert_eq!(said.code, Some(124), "{said:?}");
    let mut running = Running::start([program]);
    running.wait_for(16);
    running.signal(Signal::INT);
    assert_eq!(running.end_unread().code, Some(130));
}

/// The reader is gone: the program is not told, and goes on.
#[test]
fn output_whose_reader_is_gone() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "chatter", programs::chatter());
    let mut running = Running::start(["--timeout", "300ms", program.to_str().unwrap()]);
    drop(running.out.take());
    assert_eq!(running.finish(None).code, Some(124));
}

/// The program waits, its output unread, until the file has been cut; then it reads a page that is gone.
#[test]
fn a_file_cut_short_kills_the_program() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "late", programs::late_reader());
    let path = folder.path().join("data");
    let file = File::create(&path).unwrap();
    let late = programs::LATE_PAGE * 4096;
    for (length, cpus) in [(late, "1"), (late + 100, "2"), (1, "1")] {
        file.set_len(late + 4096).unwrap();
        let vmo = format!("data=file:{},ro", path.display());
        let args = ["--cpus", cpus, "--vmo", &vmo, program.to_str().unwrap()];
        let mut running = Running::start(args);
        running.wait_for(512);
        file.set_len(length).unwrap();
        let said = running.end();
        assert_eq!(said.code, Some(123), "{}", said.err);
        let offset = format!("offset {late:#x}, page {}", programs::LATE_PAGE);
        for part in [
            "zvmm: the program was killed by an exception.\n",
            "exception  ZX_EXCP_FATAL_PAGE_FAULT\n",
            "process    \"late\" (koid ",
            "thread     \"main\" (koid ",
            "address    0x",
            "(read)\n",
            "vmo        \"data\" (koid ",
            &offset,
            "status     ZX_ERR_IO\n",
            "pager      ",
            &path.display().to_string(),
            "rip 0000000000400",
        ] {
            assert!(said.err.contains(part), "no {part:?} in\n{}", said.err);
        }
    }
}
