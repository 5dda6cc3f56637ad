//! The test runner that programs are written with: what it says of tests of every kind, on one vCPU and on two.

use std::sync::Arc;

use tests::{Guest, Run, Scripted, needs_kvm};
use vmm::outcome::End;

const CPUS: [u32; 2] = [1, 2];

/// The whole of it, with `RIP` for the addresses of instructions, which a compiler chooses.
const EXPECTED: &str = "\
TAP version 14
1..15
# one line
# ok 77 - is no verdict
ok 1 - passes
ok 2 - has_statics_of_its_own
ok 3 - has_statics_of_its_own_again
ok 4 - has_handles_of_its_own
ok 5 - has_threads_and_a_heap
ok 6 - crashes_as_announced
ok 7 - crashes_as_announced_by_an_instruction
# panicked at tests/guests/src/bin/harness.rs:76:5:
# assertion `left == right` failed: so it was taught
#   left: 2
#  right: 3
not ok 8 - fails_an_assertion
# it ended with code 101
# error: ZX_ERR_NO_SPACE
not ok 9 - fails_with_an_error
# it ended with code 1
not ok 10 - crashes
# it crashed: ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND, rip RIP
not ok 11 - crashes_elsewhere
# it crashed: ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND, rip RIP; announced was ZX_EXCP_FATAL_PAGE_FAULT at 0x18: ZX_ERR_NOT_FOUND
not ok 12 - crashes_not_at_all
# it ended with code 0; announced was ZX_EXCP_FATAL_PAGE_FAULT at 0x10: ZX_ERR_NOT_FOUND
not ok 13 - hangs
# it was not over after 300 ms
not ok 14 - sleeps
# it was not over after 300 ms
ok 15 - leaves_a_thread_behind
";

fn harness(args: &[&str], cpus: u32) -> Run {
    Guest::test("harness")
        .pager("data", Arc::new(Scripted::new(4096, |_, _, _| Ok(()))))
        .args(args)
        .cpus(cpus)
        .run()
}

/// The text with `RIP` in place of each address behind "rip ".
fn without_rips(output: &str) -> String {
    let mut parts = output.split("rip 0x");
    let mut text = parts.next().unwrap_or("").to_owned();
    for part in parts {
        text.push_str("rip RIP");
        text.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
    }
    text
}

#[test]
fn tests_of_every_kind() {
    needs_kvm!();
    for cpus in CPUS {
        let run = harness(&[], cpus).exited(1);
        assert_eq!(without_rips(&run.output), EXPECTED, "{cpus} vCPUs");
    }
}

#[test]
fn a_filter_selects_tests() {
    needs_kvm!();
    let run = harness(&["has_statics"], 1).exited(0);
    assert_eq!(
        run.output,
        "TAP version 14\n1..2\nok 1 - has_statics_of_its_own\nok 2 - has_statics_of_its_own_again\n"
    );
}

/// Without the right to make code executable there are no processes.
#[test]
fn a_runner_that_cannot_start_tests_says_so() {
    needs_kvm!();
    use protocol::{PolicyAction, PolicyCondition};
    let (condition, deny) = (PolicyCondition::AmbientMarkVmoExec, PolicyAction::Deny);
    let run = Guest::test("harness").policy(condition, deny).run();
    assert_eq!(run.end, End::Exited(2));
    assert_eq!(
        run.output,
        "Bail out! the program cannot be copied: ZX_ERR_ACCESS_DENIED\n"
    );
}
