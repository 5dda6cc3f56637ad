//! The test guests that bring their own cases: each on one vCPU and on two.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
use tests::{Guest, Verdicts, needs_kvm};

#[test]
fn p() {
    needs_kvm!();
    for cpus in [1, 2] {
        for g in ["scenarios", "seeds", "waits", "memops"] {
            let t = std::time::Instant::now();
            let mut guest = Guest::test(g).cpus(cpus);
            if g == "memops" {
                guest = guest.exec(64 << 10);
            }
            let run = guest.run();
            println!(
                "=== {g} {cpus} {:?} {:?}\n{}",
                t.elapsed(),
                run.end,
                run.output
            );
            if let Err(e) = Verdicts::parse(&run.output) {
                println!("{g} {e}");
            }
        }
    }
}
