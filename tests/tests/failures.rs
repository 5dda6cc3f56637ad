//! Host pagers that fail, wait or misbehave, and files cut short: never zeros, never a hang.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use protocol::Status;
use tests::{Guest, Run, Scripted, needs_kvm};
use vmm::{
    config::FileMode,
    outcome::End,
    pager::{ReadError, Wait},
};

const PAGE: u64 = 4096;

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first word of a page, as the pagers here serve it.
fn word(page: u64) -> u64 {
    page.wrapping_mul(0x0101_0101_0101_0101) | 1
}

fn fill(offset: u64, buffer: &mut [u8]) {
    for (page, bytes) in (offset / PAGE..).zip(buffer.chunks_mut(PAGE as usize)) {
        bytes.fill(0xEE);
        bytes[..8].copy_from_slice(&word(page).to_le_bytes());
    }
}

fn failed(reason: &str) -> ReadError {
    ReadError::Failed {
        status: Status::IO,
        reason: reason.into(),
    }
}

/// `reader MODE PAGES` on a pager of 4,096 pages.
fn reader(mode: &str, pages: &[u64], pager: Scripted) -> Guest {
    let pages = pages.iter().map(u64::to_string);
    Guest::test("reader")
        .args(std::iter::once(mode.to_owned()).chain(pages))
        .pager("data", Arc::new(pager))
}

fn pager(
    answer: impl Fn(u64, &mut [u8], Wait) -> Result<(), ReadError> + Send + Sync + 'static,
) -> Scripted {
    Scripted::new(4096 * PAGE, answer)
}

/// What `reader` says of a page that it got.
fn got(mode: &str, page: u64) -> String {
    format!("{mode} {page}\npage {page} {:#018x}\n", word(page))
}

#[track_caller]
fn killed_by_io(run: Run, page: u64) -> Run {
    let offset = format!("offset {:#x}", page * PAGE);
    run.killed(&[
        "ZX_EXCP_FATAL_PAGE_FAULT",
        "ZX_ERR_IO",
        "rip ",
        "\"reader\"",
        "\"data\"",
        &offset,
    ])
}

/// Pages before the bad one are right, and so are those behind it for the next program.
#[test]
fn an_error_at_the_nth_page() {
    needs_kvm!();
    for (cpus, first_would_block) in [(1, false), (2, false), (1, true), (2, true)] {
        let bad = pager(move |offset, buffer, wait| {
            if first_would_block && wait == Wait::Never {
                return Err(ReadError::WouldBlock);
            }
            if (offset..offset + buffer.len() as u64).contains(&(7 * PAGE)) {
                return Err(failed("the disk is on fire"));
            }
            fill(offset, buffer);
            Ok(())
        });
        let guest = reader("map", &[3, 4, 5, 6, 8, 7, 9], bad).cpus(cpus);
        let run = killed_by_io(guest.run(), 7).killed(&["the disk is on fire"]);
        let pages = [3, 4, 5, 6, 8].map(|page| got("map", page));
        assert_eq!(run.output, pages.concat() + "map 7\n", "{run}");
    }
}

/// A system call gets the status, and the program lives.
#[test]
fn an_error_in_a_system_call() {
    needs_kvm!();
    let bad = pager(|offset, buffer, _| match offset / PAGE {
        7 => Err(failed("no")),
        _ if buffer.len() > PAGE as usize => Err(failed("one page at a time")),
        _ => {
            fill(offset, buffer);
            Ok(())
        }
    });
    let run = reader("read", &[6, 7, 8], bad).run().exited(0);
    let expected = [
        got("read", 6),
        "read 7\npage 7 ZX_ERR_IO\n".into(),
        got("read", 8),
    ];
    assert_eq!(run.output, expected.concat(), "{run}");
}

/// Every page is read by a worker.
#[test]
fn a_pager_that_always_has_to_wait() {
    needs_kvm!();
    let pages = [0, 1, 2, 3, 4095, 17, 18];
    for (mode, cpus) in [("map", 1), ("map", 2), ("read", 1)] {
        let slow = pager(|offset, buffer, wait| match wait {
            Wait::Never => Err(ReadError::WouldBlock),
            Wait::Allowed => {
                fill(offset, buffer);
                Ok(())
            }
        });
        let run = reader(mode, &pages, slow).cpus(cpus).run().exited(0);
        assert_eq!(
            run.output,
            pages.map(|page| got(mode, page)).concat(),
            "{run}"
        );
    }
}

/// While one thread waits for the host, the others go on, on the same vCPU as well.
#[test]
fn other_threads_go_on_while_the_host_waits() {
    needs_kvm!();
    for cpus in [1, 2] {
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        let slow = pager(move |offset, buffer, wait| match wait {
            Wait::Never => Err(ReadError::WouldBlock),
            Wait::Allowed if held.pass() => {
                fill(offset, buffer);
                Ok(())
            }
            Wait::Allowed => Err(failed("the other thread did not go on")),
        });
        let ticks = AtomicU64::new(0);
        let guest = reader("meanwhile", &[5], slow)
            .cpus(cpus)
            .on_output(move |bytes| {
                let seen = String::from_utf8_lossy(bytes).matches("tick").count() as u64;
                if ticks.fetch_add(seen, Ordering::Relaxed) + seen >= 5 {
                    gate.open();
                }
            });
        let run = guest.run().exited(0);
        assert!(
            run.output.ends_with(&format!("page 5 {:#018x}\n", word(5))),
            "{run}"
        );
    }
}

/// A run whose time is up does not wait for the host.
#[test]
fn a_pager_that_waits_for_ever() {
    needs_kvm!();
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    let stuck = pager(move |_, _, wait| match wait {
        Wait::Never => Err(ReadError::WouldBlock),
        Wait::Allowed => {
            held.pass();
            Err(failed("released"))
        }
    });
    let since = Instant::now();
    let run = reader("map", &[5], stuck)
        .timeout(Duration::from_millis(300))
        .run();
    gate.open();
    assert_eq!(run.end, End::TimedOut, "{run}");
    assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
}

/// A pager that panics has failed, on a vCPU's thread and on a worker's.
#[test]
fn a_pager_that_panics() {
    needs_kvm!();
    for on_worker in [false, true] {
        let broken = pager(move |offset, buffer, wait| {
            if on_worker && wait == Wait::Never {
                return Err(ReadError::WouldBlock);
            }
            assert!(offset != 9 * PAGE, "on purpose");
            fill(offset, buffer);
            Ok(())
        });
        let run = reader("map", &[8, 9], broken).run();
        let run = killed_by_io(run, 9).killed(&["the pager panicked"]);
        assert_eq!(run.output, got("map", 8) + "map 9\n", "{run}");
    }
}

/// A pager that says it would block when it may: asked again it would only say so again.
#[test]
fn a_pager_that_never_reads() {
    needs_kvm!();
    let lazy = pager(|_, _, _| Err(ReadError::WouldBlock));
    killed_by_io(reader("map", &[1], lazy).run(), 1).killed(&["would not wait"]);
}

/// The VM is stopped, not left without a vCPU.
#[test]
fn an_output_that_panics() {
    needs_kvm!();
    for cpus in [1, 2] {
        let guest = Guest::built_in("hello").cpus(cpus);
        let run = guest.on_output(|_| panic!("on purpose")).run();
        let End::GuestKernel(report) = &run.end else {
            run.fail("not stopped");
        };
        assert!(report.contains("its thread panicked"), "{report}");
    }
}

/// The file is cut when the guest says that it is about to read a page that is not there yet.
#[test]
fn a_file_cut_short() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (length, pages, at) in [
        // At a page boundary, inside the page to be read, inside a page before it, to nothing.
        (100 * PAGE, &[5, 200][..], 200),
        (200 * PAGE + 100, &[5, 200], 200),
        (199 * PAGE + 4095, &[5, 199, 200], 199),
        (0, &[0, 1000], 1000),
    ] {
        for (mode, cpus) in [("map", 1), ("map", 2), ("read", 1)] {
            write_pages(&path, 4096);
            let run = cut_at(&path, length, mode, pages, at).cpus(cpus).run();
            let first = got(mode, pages[0]);
            if mode == "read" {
                let run = run.exited(0);
                let refused = format!("{first}{mode} {at}\npage {at} ZX_ERR_IO\n");
                assert!(run.output.starts_with(&refused), "cut to {length}\n{run}");
            } else {
                let run = killed_by_io(run, at).killed(&["file"]);
                assert_eq!(
                    run.output,
                    format!("{first}{mode} {at}\n"),
                    "cut to {length}\n{run}"
                );
            }
        }
    }
}

/// What lies before the cut is still there.
#[test]
fn a_file_cut_behind_the_reader() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_pages(&path, 4096);
    let run = cut_at(&path, 3000 * PAGE, "map", &[5, 200, 2999, 3000], 200).run();
    let run = killed_by_io(run, 3000);
    let pages = [5, 200, 2999].map(|page| got("map", page));
    assert_eq!(run.output, pages.concat() + "map 3000\n", "{run}");
}

fn write_pages(path: &Path, pages: u64) {
    let mut bytes = vec![0; (pages * PAGE) as usize];
    fill(0, &mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Cuts the file to `length` as soon as the guest says that it reads page `at`.
fn cut_at(path: &Path, length: u64, mode: &str, pages: &[u64], at: u64) -> Guest {
    let pages = pages.iter().map(u64::to_string);
    let file = File::options().write(true).open(path).unwrap();
    let cue = format!("{mode} {at}\n");
    let said = Mutex::new(String::new());
    Guest::test("reader")
        .args(std::iter::once(mode.to_owned()).chain(pages))
        .file("data", path, FileMode::ReadOnly)
        .on_output(move |bytes| {
            let mut said = said.lock().unwrap();
            said.push_str(&String::from_utf8_lossy(bytes));
            if said.ends_with(&cue) {
                file.set_len(length).unwrap();
            }
        })
}

/// Opened once, by whoever sees what others wait for.
#[derive(Debug, Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Waits for it; `false` if that took too long.
    fn pass(&self) -> bool {
        let open = self.open.lock().unwrap();
        let (open, _) = self
            .opened
            .wait_timeout_while(open, PATIENCE, |open| !*open)
            .unwrap();
        *open
    }
}
