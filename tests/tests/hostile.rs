//! Programs that do what they must not: each is killed or gets a status, and the VMM lives and reports.

use std::time::Duration;

use tests::{Guest, Run, marked, needs_kvm};
use vmm::{machine::KernelImage, outcome::End};

/// Exit code of `hostile` for an index beyond its last variant.
const NO_SUCH_VARIANT: i64 = 99;

fn hostile<T: ToString>(args: impl IntoIterator<Item = T>) -> Guest {
    Guest::test("hostile").args(args).exec(64 << 10)
}

/// It must have been killed, with a report that names the program, or have ended by itself.
#[track_caller]
fn contained(run: Run) -> Run {
    match &run.end {
        End::Exited(_) => run,
        End::Exception(_) => run.killed(&["exception  ZX_EXCP_", "\"hostile\"", "rip "]),
        _ => run.fail("neither killed nor exited"),
    }
}

/// The VMM is as good as new.
#[track_caller]
fn hello_still_runs() {
    let run = Guest::built_in("hello").cpus(2).run().exited(0);
    assert!(run.output.starts_with("hello from ring 3\n"), "{run}");
}

/// Runs `hostile MODE ... N` for N = 0, 1, ... to the last; how many there are.
fn every_variant(args: &[&str]) -> u64 {
    for index in 0..1000 {
        let index_word = index.to_string();
        let words = args.iter().copied().chain([index_word.as_str()]);
        let run = contained(hostile(words).run());
        match run.end {
            End::Exited(NO_SUCH_VARIANT) => return index,
            // 0: the processor may let a few pass without effect.
            End::Exited(0) | End::Exception(_) => {}
            _ => run.fail("it survived"),
        }
    }
    panic!("no end of variants");
}

#[test]
fn privileged_instructions() {
    needs_kvm!();
    let count = every_variant(&["privileged"]);
    assert!(count >= 60, "only {count} instructions");
    hello_still_runs();
}

#[test]
fn jumps_to_the_system_call_entry() {
    needs_kvm!();
    let kernel = KernelImage::parse(vmm::guest_image::KERNEL).unwrap();
    let entry = kernel.header().syscall_entry.to_string();
    let count = every_variant(&["entry-jump", &entry]);
    assert!(count >= 10, "only {count} variants");
    hello_still_runs();
}

#[test]
fn plain_faults() {
    needs_kvm!();
    for (mode, parts) in [
        ("port", &["ZX_EXCP_GENERAL", "#GP"][..]),
        (
            "stack",
            &["ZX_EXCP_FATAL_PAGE_FAULT", "write", "ZX_ERR_NOT_FOUND"],
        ),
        (
            "null",
            &[
                "ZX_EXCP_FATAL_PAGE_FAULT",
                "address    0x0 (read)",
                "ZX_ERR_NOT_FOUND",
            ],
        ),
        ("wild", &["ZX_EXCP_GENERAL"]),
        ("wild-jump", &["ZX_EXCP_GENERAL"]),
        ("kernel-read", &["ZX_EXCP_FATAL_PAGE_FAULT", "(read)"]),
        ("kernel-write", &["ZX_EXCP_FATAL_PAGE_FAULT", "(write)"]),
        ("kernel-jump", &["ZX_EXCP_FATAL_PAGE_FAULT"]),
        (
            "exec-data",
            &[
                "ZX_EXCP_FATAL_PAGE_FAULT",
                "\"stack\"",
                "ZX_ERR_ACCESS_DENIED",
            ],
        ),
        (
            "write-text",
            &[
                "ZX_EXCP_FATAL_PAGE_FAULT",
                "\"program text\"",
                "ZX_ERR_ACCESS_DENIED",
            ],
        ),
        ("divide", &["ZX_EXCP_GENERAL", "#DE"]),
        ("int3", &["ZX_EXCP_SW_BREAKPOINT"]),
        ("ud2", &["ZX_EXCP_UNDEFINED_INSTRUCTION", "#UD"]),
        ("single-step", &["ZX_EXCP_HW_BREAKPOINT"]),
    ] {
        let run = hostile([mode]).run().killed(parts);
        assert!(!run.output.contains("did nothing"), "{run}");
    }
    hello_still_runs();
}

#[test]
fn random_bytes() {
    needs_kvm!();
    for seed in 0..20 {
        let run = contained(hostile(["random".into(), seed.to_string()]).run());
        assert!(run.output.contains("jumping"), "{run}");
    }
    hello_still_runs();
}

#[test]
fn random_system_calls() {
    needs_kvm!();
    for (seed, cpus) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        let args = ["syscalls".into(), seed.to_string(), "3000".into()];
        let run = hostile(args).cpus(cpus).run().exited(0);
        assert!(run.output.contains("syscalls: 3000 calls, "), "{run}");
    }
    hello_still_runs();
}

/// A thread that never gives its vCPU back does not keep the other from it.
#[test]
fn a_spinning_thread() {
    needs_kvm!();
    for cpus in [1, 2] {
        let run = hostile(["spin", "50"]).cpus(cpus).run().exited(0);
        assert_eq!(run.output, "spin: counted to 50\n");
    }
}

/// Nothing but the time limit ends it.
#[test]
fn spinning_until_the_time_is_up() {
    needs_kvm!();
    for cpus in [1, 2] {
        let guest = hostile(["spin", "1000000"]).cpus(cpus);
        let run = guest.timeout(Duration::from_millis(400)).run();
        assert_eq!(run.end, End::TimedOut, "{run}");
    }
    hello_still_runs();
}

/// A single system call that would take hours does not keep the run from ending.
#[test]
fn a_call_that_takes_hours() {
    needs_kvm!();
    for cpus in [1, 2] {
        let guest = hostile(["long-call"]).cpus(cpus);
        let run = guest.timeout(Duration::from_millis(1500)).run();
        assert_eq!(run.end, End::TimedOut, "{run}");
    }
    hello_still_runs();
}

/// The memory limit is the program's: it gets a status or a fault, and the VMM goes on.
#[test]
fn more_memory_than_there_is() {
    needs_kvm!();
    let file = marked(8 << 20);
    for cpus in [1, 2] {
        // What writers write to cannot go, and they write for as long as somebody walks.
        let guest = Guest::test("walk").args([100_000, 1, 2]).cpus(cpus);
        let mode = vmm::config::FileMode::CopyOnWrite;
        let run = guest.memory(1 << 20).file("data", file.path(), mode).run();
        let run = run.killed(&["ZX_EXCP_FATAL_PAGE_FAULT", "ZX_ERR_NO_MEMORY", "--memory"]);
        assert!(run.report.reclaim.peak_counted_pages <= 256, "{run}");
    }
    hello_still_runs();
}
