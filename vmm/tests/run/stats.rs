//! `--stats`: what is told is there and plausible.

use serde_json::Value;

use crate::{needs_kvm, programs, zvmm};

fn number(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number {path} in {value:#}"))
}

fn json(options: &[&str], program: &[&str]) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures.json");
    let args = [options, &["--stats=json", path.to_str().unwrap()], program].concat();
    let said = zvmm(args);
    assert_eq!(said.err.matches("zvmm: cannot").count(), 0, "{said:?}");
    let text = std::fs::read_to_string(path).unwrap();
    (said.code, serde_json::from_str(&text).unwrap())
}

#[test]
fn figures_as_json() {
    needs_kvm!();
    const PAGES: u64 = 300;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(PAGES * 4096 - 5).unwrap();
    let vmo = format!("data=file:{}", file.path().display());
    let (code, figures) = json(&["--cpus", "2", "--vmo", &vmo], &["sum"]);
    assert_eq!(code, Some(0), "{figures:#}");
    let at = |path: &str| number(&figures, path);

    assert_eq!(figures["outcome"]["kind"], "exited");
    assert_eq!((at("/outcome/code"), at("/outcome/exit_code")), (0, 0));

    let since_exec = at("/times/first_user_instruction_since_exec_ns");
    let since_run = at("/times/first_user_instruction_since_run_ns");
    assert!(0 < since_run && since_run <= since_exec, "{figures:#}");
    let fault = at("/times/first_fault_served_since_run_ns");
    assert!(since_run <= fault, "{figures:#}");
    assert!(fault <= at("/times/wall_ns"), "{figures:#}");

    let exits = figures["exits"].as_array().unwrap();
    for kind in [
        "system call",
        "kernel call",
        "fault",
        "halt",
        "mmio",
        "interrupted",
    ] {
        let exit = exits.iter().find(|exit| exit["kind"] == kind);
        let exit = exit.unwrap_or_else(|| panic!("no exits of kind {kind:?} in {figures:#}"));
        let of_each: Vec<u64> = exit["per_vcpu"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .collect();
        assert_eq!(of_each.len(), 2);
        assert_eq!(of_each.iter().sum::<u64>(), number(exit, "/total"));
    }
    let calls = figures["hypercalls"].as_object().unwrap();
    assert_eq!(
        (calls["process_exit"].as_u64(), calls["vmar_map"].as_u64()),
        (Some(1), Some(1))
    );
    let total: u64 = calls.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(
        exits
            .iter()
            .find(|exit| exit["kind"] == "system call")
            .unwrap()["total"],
        total
    );

    let (requests, requested) = (at("/pages/requests"), at("/pages/requested"));
    assert!(0 < requests && requests <= requested, "{figures:#}");
    let supplied = at("/pages/supplied_demand") + at("/pages/supplied_ahead");
    assert!(
        supplied >= PAGES && at("/pages/supplied_demand") >= requests,
        "{figures:#}"
    );
    assert!(at("/faults/served") >= requests, "{figures:#}");
    let order = ["p50_ns", "p90_ns", "p99_ns", "max_ns"].map(|name| at(&format!("/faults/{name}")));
    assert!(order[0] > 0 && order.is_sorted(), "{figures:#}");

    let vmos = figures["vmos"].as_array().unwrap();
    let data = vmos.iter().find(|vmo| vmo["name"] == "data").unwrap();
    assert_eq!(number(data, "/resident_pages"), PAGES);
    assert_eq!(number(data, "/size_bytes"), PAGES * 4096);
    for name in ["program text", "stack", "start-up"] {
        let vmo = vmos.iter().find(|vmo| vmo["name"] == name);
        assert!(number(vmo.unwrap(), "/resident_pages") > 0, "{figures:#}");
    }
    assert_eq!(at("/memory/guest_ram_bytes"), 16 << 20);
    assert!(at("/memory/own_bytes") > 0, "{figures:#}");
    assert!(
        at("/memory/peak_resident_bytes") > PAGES * 4096,
        "{figures:#}"
    );
}

/// The tables for what a program touches first are linked before it starts: neither page faults nor links of the guest kernel.
#[test]
fn a_small_program_never_needs_the_guest_kernel() {
    needs_kvm!();
    let (code, figures) = json(&[], &["hello"]);
    assert_eq!(code, Some(0), "{figures:#}");
    let exits = figures["exits"].as_array().unwrap();
    let calls = exits.iter().find(|exit| exit["kind"] == "kernel call");
    assert_eq!(number(calls.unwrap(), "/total"), 0, "{figures:#}");
}

/// The figures are written however the run ends, with the whole exit code or the report.
#[test]
fn figures_of_runs_that_end_otherwise() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = |name, code| {
        let path = programs::write(folder.path(), name, code);
        path.to_str().unwrap().to_owned()
    };
    let (code, figures) = json(&[], &[&program("exit", programs::exit())]);
    assert_eq!(code, Some(7));
    assert_eq!(number(&figures, "/outcome/code"), 0x1234_5607);
    let (code, figures) = json(
        &["--timeout", "200ms"],
        &[&program("spin", programs::spin())],
    );
    assert_eq!(
        (code, &figures["outcome"]["kind"]),
        (Some(124), &"timed-out".into())
    );
    let (code, figures) = json(&[], &[&program("ud2", &[0x0F, 0x0B])]);
    assert_eq!(
        (code, &figures["outcome"]["kind"]),
        (Some(123), &"exception".into())
    );
    let report = figures["outcome"]["report"].as_str().unwrap();
    assert!(
        report.starts_with("exception  ZX_EXCP_UNDEFINED_INSTRUCTION\n"),
        "{report}"
    );
}

/// For people, on standard error, so that standard output stays the program's.
#[test]
fn figures_as_a_table() {
    needs_kvm!();
    // With faults of its own.
    let said = zvmm(["--stats", "--supply-policy", "none", "hello"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with(b"hello from ring 3\n"), "{said:?}");
    for row in [
        "time to first user instruction  ",
        "time to first fault served      ",
        "page requests  ",
        "pages supplied  ",
        "fault service latency  ",
        "the VMM's own memory  ",
        "peak resident set  ",
        "\n  system call  ",
        "\n  debug_write  ",
        "\n  program text  ",
    ] {
        assert!(said.err.contains(row), "no {row:?} in\n{}", said.err);
    }
}

/// A file of sixteen times the memory there is: the sum is right, for pages go and come again.
#[test]
fn figures_of_a_run_at_its_limit() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    let vmo = format!("data=file:{}", file.path().display());
    let options = ["--memory", "4M", "--cpus", "2", "--vmo", &vmo];
    let (code, figures) = json(&options, &["sum"]);
    assert_eq!(code, Some(0), "{figures:#}");
    let at = |name: &str| number(&figures, &format!("/reclaim/{name}"));
    assert_eq!(at("limit_pages"), 1024);
    assert!(at("evicted") > 15 << 10, "{figures:#}");
    assert_eq!((at("discarded_vmos"), at("discarded_pages")), (0, 0));
    assert!(at("peak_counted_pages") <= 1024, "{figures:#}");
    let sampled = at("peak_sampled_pages");
    assert!(sampled > 0 && sampled <= 1024, "{figures:#}");
}
