//! Faults that come as events: pages come as they do with exits, and what cannot come at once becomes an exit.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use protocol::Status;
use sha2::{Digest, Sha256};
use tests::{Guest, Run, Scripted, marked, needs_kvm};
use vmm::{
    config::{FaultDelivery, FileMode, SupplyPolicy},
    outcome::End,
    pager::{ReadError, Wait},
};

const PAGE: u64 = 4096;

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fault exits that the program's own pages and its first accesses cost, at most.
const OTHERS: u64 = 60;

fn fault_exits(run: &Run) -> u64 {
    let mut exits = run.report.exits.iter();
    let faults = exits.find(|exits| exits.kind == "fault");
    faults.map_or(0, |exits| exits.total)
}

fn failed() -> ReadError {
    ReadError::Failed {
        status: Status::IO,
        reason: "the test says so".into(),
    }
}

const PAGES: u64 = 64;

/// `sum` of a pager whose pages are full of what the answer says; every page is asked for by itself.
fn sum(answer: impl Fn(u64, Wait) -> Result<u8, ReadError> + Send + Sync + 'static) -> Guest {
    let pager = Scripted::new(PAGES * PAGE, move |offset, buffer, wait| {
        for (page, bytes) in (offset / PAGE..).zip(buffer.chunks_mut(PAGE as usize)) {
            bytes.fill(answer(page, wait)?);
        }
        Ok(())
    });
    Guest::built_in("sum")
        .pager("data", Arc::new(pager))
        .supply(SupplyPolicy::None)
        .fault_delivery(FaultDelivery::Event)
}

/// What `sum` prints if page n is full of n.
fn expected() -> String {
    let bytes: Vec<u8> = (0..PAGES as u8)
        .flat_map(|page| [page; PAGE as usize])
        .collect();
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}  data\n")
}

/// Every page is right, and there are next to no exits for them.
#[test]
fn a_file_is_walked_without_exits() {
    needs_kvm!();
    let size = 16 << 20;
    let file = marked(size);
    for (cpus, walkers) in [(1, "1"), (1, "2"), (2, "2")] {
        let run = |delivery| {
            let guest = Guest::test("walk").file("data", file.path(), FileMode::ReadOnly);
            let guest = guest.args(["1", walkers, "0"]).cpus(cpus);
            let run = guest.fault_delivery(delivery).run().exited(0);
            let looks = format!("looked at {} pages", size / PAGE);
            assert!(run.output.starts_with(&looks), "{run}");
            run
        };
        let events = run(FaultDelivery::Event);
        let (few, many) = (fault_exits(&events), fault_exits(&run(FaultDelivery::Exit)));
        assert!(few < OTHERS && many > few, "{few} and {many}\n{events}");
    }
}

/// Pages go while others come, on all vCPUs.
#[test]
fn a_file_larger_than_memory() {
    needs_kvm!();
    let (size, limit) = (32 << 20, 4 << 20);
    let file = marked(size);
    for (cpus, walkers) in [(1, "1"), (2, "2")] {
        let guest = Guest::test("walk").file("data", file.path(), FileMode::ReadOnly);
        let guest = guest.args(["2", walkers, "0"]).memory(limit).cpus(cpus);
        let guest = guest.fault_delivery(FaultDelivery::Event);
        let run = guest.run().exited(0);
        assert!(run.report.reclaim.evicted > 0, "{run}");
        assert!(
            run.report.reclaim.peak_counted_pages <= limit / PAGE,
            "{run}"
        );
    }
}

/// What would wait for the host, and what fails once, comes by way of an exit: by one each.
#[test]
fn what_cannot_be_had_at_once() {
    needs_kvm!();
    for cpus in [1, 2] {
        let run = sum(|page, _| Ok(page as u8)).cpus(cpus).run().exited(0);
        assert_eq!(run.output, expected(), "{run}");
        let before = fault_exits(&run);
        let failures = AtomicU64::new(0);
        let run = sum(move |page, wait| match (page, wait) {
            (5 | 6, Wait::Never) => Err(ReadError::WouldBlock),
            (9, _) if failures.fetch_add(1, Ordering::SeqCst) == 0 => Err(failed()),
            _ => Ok(page as u8),
        });
        let run = run.cpus(cpus).run().exited(0);
        assert_eq!(run.output, expected(), "{run}");
        assert_eq!(fault_exits(&run), before + 3, "{run}");
    }
}

#[test]
fn what_fails_is_an_error_of_the_access() {
    needs_kvm!();
    for cpus in [1, 2] {
        let run = sum(|page, _| match page {
            20 => Err(failed()),
            _ => Ok(page as u8),
        });
        let run = run.cpus(cpus).run();
        run.killed(&["ZX_ERR_IO", "\"data\"", "page 20", "the test says so"]);
    }
}

/// A run whose time is up ends, whoever sleeps.
#[test]
fn the_end_of_a_run_waits_for_nobody() {
    needs_kvm!();
    for cpus in [1, 2] {
        let (gate, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let reads = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&reads);
        // The events' thread itself is held, against the rules, until the time is up.
        let guest = sum(move |page, _| {
            if page == 20 && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = held.lock().map(|gate| gate.recv_timeout(PATIENCE));
            }
            Ok(page as u8)
        });
        let release = thread::spawn(move || {
            thread::sleep(Duration::from_millis(600));
            drop(gate);
        });
        let since = Instant::now();
        let run = guest.cpus(cpus).timeout(Duration::from_millis(300)).run();
        assert_eq!(run.end, End::TimedOut, "{run}");
        assert!(since.elapsed() < PATIENCE / 2, "{:?}", since.elapsed());
        assert_eq!(reads.load(Ordering::SeqCst), 1, "{run}");
        release.join().unwrap();
    }
}
