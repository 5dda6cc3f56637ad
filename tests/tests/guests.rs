//! The test guests that bring their own cases, each on one vCPU and on two. `names/` lists the cases that must run, so that
//! none is lost in silence.

use protocol::{PolicyAction, PolicyCondition};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tests::{Guest, Run, Scripted, needs_kvm};
use vmm::config::Grant;

/// Numbers of vCPUs.
const CPUS: [u32; 2] = [1, 2];

/// Runs a guest with all its cases, which must be those of `names`, and pass.
fn all_pass(guest: impl Fn() -> Guest, names: &str) {
    for cpus in CPUS {
        guest()
            .cpus(cpus)
            .run()
            .verdicts()
            .assert_are(names.lines());
    }
}

/// Zircon's own scenarios: each that reads runs through `zx_vmo_read` and through a mapping.
#[test]
fn scenarios() {
    needs_kvm!();
    all_pass(
        || Guest::test("scenarios"),
        include_str!("names/scenarios.txt"),
    );
}

/// Every sentence and error row of the three documents that a program can reach.
#[test]
fn seeds() {
    needs_kvm!();
    all_pass(|| Guest::test("seeds"), include_str!("names/seeds.txt"));
}

/// What the `zx` crate gives a program beyond system calls.
#[test]
fn heap() {
    needs_kvm!();
    let memory = 64 << 20;
    all_pass(
        || Guest::test("heap").memory(memory),
        include_str!("names/heap.txt"),
    );
}

/// `ZX_POL_NEW_VMO` is "deny".
#[test]
fn seeds_where_new_vmos_are_denied() {
    needs_kvm!();
    let (condition, action) = (PolicyCondition::NewVmo, PolicyAction::Deny);
    let seeds = || Guest::test("seeds").args(["policy-denied"]);
    let denied = || seeds().policy(condition, action);
    all_pass(denied, include_str!("names/seeds-denied.txt"));
}

/// Clones, and who writes to what they show.
#[test]
fn clones() {
    needs_kvm!();
    all_pass(|| Guest::test("clones"), include_str!("names/clones.txt"));
}

/// Channels, processes, suspended threads, exceptions, kills.
#[test]
fn tasks() {
    needs_kvm!();
    let tasks = || Guest::test("tasks").exec(64 << 10);
    all_pass(tasks, include_str!("names/tasks.txt"));
}

/// Handles, ports, signals, futexes, time, threads, mappings.
#[test]
fn waits() {
    needs_kvm!();
    all_pass(|| Guest::test("waits"), include_str!("names/waits.txt"));
}

/// `ZX_POL_NEW_ANY` and `ZX_POL_AMBIENT_MARK_VMO_EXEC` are "deny".
#[test]
fn waits_where_new_objects_are_denied() {
    needs_kvm!();
    let waits = || Guest::test("waits").args(["policy-denied"]).exec(4096);
    let denied = || {
        waits()
            .policy(PolicyCondition::NewAny, PolicyAction::Deny)
            .policy(PolicyCondition::AmbientMarkVmoExec, PolicyAction::Deny)
    };
    all_pass(denied, include_str!("names/waits-denied.txt"));
}

/// A program that fills a port gets a policy exception for it.
#[test]
fn a_full_port_is_a_policy_exception() {
    needs_kvm!();
    for cpus in CPUS {
        let guest = Guest::test("waits").args(["fatal", "port_full"]);
        let run = guest.cpus(cpus).run();
        let run = run.killed(&["ZX_EXCP_POLICY_ERROR", "port-too-many-packets (17)"]);
        assert!(run.output.contains("4097 are queued"), "{run}");
        assert!(!run.output.contains("FAIL"), "{run}");
    }
}

/// A policy kills a program that makes what it forbids, and the program says nothing any more.
#[test]
fn a_policy_kills() {
    needs_kvm!();
    for (action, parts) in [
        (
            PolicyAction::AllowException,
            ["ZX_EXCP_POLICY_ERROR", "new-port (8)"],
        ),
        (
            PolicyAction::DenyException,
            ["ZX_EXCP_POLICY_ERROR", "new-port (8)"],
        ),
    ] {
        let guest = Guest::test("waits").args(["ports.fifo"]);
        let run = guest.policy(PolicyCondition::NewPort, action).run();
        let run = run.killed(&parts);
        assert!(!run.output.contains("ports.fifo"), "{run}");
    }
    let guest = Guest::test("waits").args(["ports.fifo"]);
    let run = guest
        .policy(PolicyCondition::NewPort, PolicyAction::Kill)
        .run();
    run.exited(-1026);
}

/// What threads write comes out whole, and in the order in which they wrote it, whichever vCPU wrote it.
#[test]
fn lines_of_many_threads_keep_their_order() {
    needs_kvm!();
    for cpus in CPUS {
        let run = Guest::test("writers")
            .args(["turns", "500"])
            .cpus(cpus)
            .run()
            .exited(0);
        let lines = run.output.lines().collect::<Vec<_>>();
        for (line, number) in lines.iter().zip(0..) {
            let name = line.strip_prefix(&format!("{number} "));
            let whole = name.is_some_and(|name| ["one", "two", "three"].contains(&name));
            assert!(whole, "line {number} is {line:?}\n{run}");
        }
        assert_eq!(lines.len(), 500, "{run}");
    }
}

/// What two threads write at once: no line is torn or lost, and each thread's come in order, also where the output is slow
/// now and then.
#[test]
fn lines_written_at_once_are_whole() {
    needs_kvm!();
    const LINES: usize = 1000;
    for cpus in CPUS {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let slow_sink = move |line: &[u8]| {
            if line.len().is_multiple_of(8) {
                thread::sleep(Duration::from_micros(200));
            }
            sink.lock().unwrap().push_str(str::from_utf8(line).unwrap());
        };
        let guest = Guest::test("writers").args(["at-once", &LINES.to_string()]);
        guest.cpus(cpus).on_output(slow_sink).run().exited(0);
        let written = written.lock().unwrap();
        for letter in ["a", "b"] {
            let of_it = written.lines().filter(|line| line.starts_with(letter));
            for (line, number) in of_it.zip(0..) {
                let expected = letter.repeat(1 + number * 1237 % 4999);
                assert!(line == expected, "line {number} of {letter}: {line}");
            }
        }
        assert_eq!(written.lines().count(), 2 * LINES);
    }
}

/// VMARs in VMARs, and mappings that change under threads.
#[test]
fn vmars() {
    needs_kvm!();
    all_pass(|| Guest::test("vmars"), include_str!("names/vmars.txt"));
}

/// A mapping that is changed while a thread writes to it: when the call has returned, the thread's next write is a fault, with
/// the status that says why.
#[test]
fn mappings_changed_under_a_writer() {
    needs_kvm!();
    for (name, status) in [
        ("protect", "ZX_ERR_ACCESS_DENIED"),
        ("unmap", "ZX_ERR_NOT_FOUND"),
        ("destroy", "ZX_ERR_NOT_FOUND"),
        ("stream", "ZX_ERR_OUT_OF_RANGE"),
        ("resize", "ZX_ERR_OUT_OF_RANGE"),
    ] {
        for cpus in CPUS {
            let guest = Guest::test("vmars").args(["fatal", name]).cpus(cpus);
            let parts = ["ZX_EXCP_FATAL_PAGE_FAULT", status, "(write)"];
            let run: Run = guest.run().killed(&parts);
            assert!(!run.output.contains("FAIL"), "{name}: {run}");
        }
    }
}

/// Every kind of memory instruction on absent pages of three kinds.
#[test]
fn memory_instructions() {
    needs_kvm!();
    all_pass(memops, include_str!("names/memops.txt"));
}

/// The same where a software KVM emulates them.
#[test]
fn emulated_memory_instructions() {
    needs_kvm!();
    let emulated = || memops().args(["emulated"]);
    all_pass(emulated, include_str!("names/memops-emulated.txt"));
}

/// With the start-up VMOs that it asks for: `data` is large enough for pages of its own for each case.
fn memops() -> Guest {
    let data = Scripted::new(4 << 20, |offset, buffer, _| {
        for (at, byte) in (offset..).zip(buffer) {
            *byte = (at.wrapping_mul(7).wrapping_add(at / 4096)) as u8;
        }
        Ok(())
    });
    Guest::test("memops")
        .exec(64 << 10)
        .pager("data", Arc::new(data))
}

/// Zircon's pager scenarios beyond "Basics" and "Mappings".
#[test]
fn pager_scenarios() {
    needs_kvm!();
    let granted = || Guest::test("pager").grant(Grant::Iommu);
    all_pass(granted, include_str!("names/pager.txt"));
}
