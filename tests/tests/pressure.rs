//! Programs that touch more than `--memory` leaves them: what a pager can supply again goes, and everything stays right.

use tests::{Guest, Run, marked, needs_kvm};
use vmm::{config::FileMode, outcome::End};

const PAGE: u64 = 4096;

/// The run took no more than its limit at any time, and had to evict.
fn within(run: &Run, limit: u64) {
    let reclaim = run.report.reclaim;
    let pages = limit / PAGE;
    assert_eq!(reclaim.limit_pages, Some(pages), "{run}");
    assert!(reclaim.evicted > 0, "{run}");
    assert!(reclaim.peak_counted_pages <= pages, "{run}");
    let sampled = reclaim.peak_sampled_pages;
    assert!(0 < sampled && sampled <= pages, "{run}");
}

/// `walk` over a file of `size` bytes with `limit` bytes of memory.
fn walk(size: u64, limit: u64, cpus: u32, args: &[&str]) -> Run {
    let file = marked(size);
    let mode = match args[2] {
        "0" => FileMode::ReadOnly,
        _ => FileMode::CopyOnWrite,
    };
    let guest = Guest::test("walk").file("data", file.path(), mode);
    let run = guest.memory(limit).cpus(cpus).args(args).run().exited(0);
    let passes: u64 = args[0].parse().unwrap();
    let looks = format!("looked at {} pages", passes * size / PAGE);
    assert!(run.output.starts_with(&looks), "{run}");
    within(&run, limit);
    run
}

#[test]
fn a_file_much_larger_than_memory_is_walked_twice() {
    needs_kvm!();
    for (cpus, walkers) in [(1, "1"), (2, "2")] {
        let run = walk(64 << 20, 4 << 20, cpus, &["2", walkers, "0"]);
        let reclaim = run.report.reclaim;
        assert!(reclaim.evicted >= 2 * (60 << 20) / PAGE, "{run}");
        let pages = &run.report.pages;
        assert!(pages.supplied_ahead > pages.supplied_demand, "{run}");
    }
}

#[test]
fn what_writers_wrote_stays_while_others_walk() {
    needs_kvm!();
    for (cpus, writers) in [(1, "1"), (2, "2")] {
        walk(64 << 20, 12 << 20, cpus, &["2", "2", writers]);
    }
}

#[test]
fn calls_walk_as_mappings_do() {
    needs_kvm!();
    walk(16 << 20, 2 << 20, 2, &["2", "2", "0", "read"]);
}

/// With next to no memory a program runs or is told so: it never faults for ever on pages that push each other out.
#[test]
fn a_handful_of_pages_is_enough_or_not() {
    needs_kvm!();
    for pages in 2..10 {
        let guest = Guest::built_in("hello").memory(pages * PAGE);
        let run = guest.timeout(std::time::Duration::from_secs(20)).run();
        match &run.end {
            End::Exited(0) => assert!(pages > 3, "{run}"),
            End::Exception(report) => assert!(
                pages < 9 && report.contains("ZX_ERR_NO_MEMORY"),
                "{pages} pages\n{run}"
            ),
            _ => panic!("{pages} pages\n{run}"),
        }
        assert!(run.report.reclaim.peak_counted_pages <= pages, "{run}");
    }
}

/// By hand: `cargo test -p tests --test pressure -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
fn a_gibibyte_with_64_mebibytes() {
    needs_kvm!();
    for (cpus, args) in [
        (1, &["2", "1", "0"][..]),
        (2, &["2", "2", "0"]),
        (2, &["2", "2", "2"]),
    ] {
        let run = walk(1 << 30, 64 << 20, cpus, args);
        println!("{run}");
    }
}
