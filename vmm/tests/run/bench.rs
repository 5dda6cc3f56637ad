//! `zvmm bench`: every figure is measured; how fast is nobody's business here.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::needs_kvm;

fn bench(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zvmm"));
    let output = command.arg("bench").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn every_figure_is_measured() {
    needs_kvm!();
    // Where it stays: CI keeps it.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-quick.json");
    let plot = path.with_extension("html");
    let files = [
        "--json",
        path.to_str().unwrap(),
        "--plot",
        plot.to_str().unwrap(),
    ];
    let (code, table, err) = bench(&[&["--quick"], &files[..]].concat());
    assert_eq!(code, Some(0), "{err}");
    let results: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let figures = results["figures"].as_array().unwrap();
    let numbers: Vec<u64> = figures
        .iter()
        .map(|figure| figure["figure"].as_u64().unwrap())
        .collect();
    for number in [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12] {
        assert!(
            numbers.contains(&number),
            "no figure {number} in {numbers:?}"
        );
    }
    for part in [
        "exec to first word",
        "run to first instruction",
        "run to first fault served",
    ] {
        let line = format!("Vm/Start, {part}");
        assert!(table.contains(&line), "{line} is not in {table}");
    }
    for name in [
        "PageInBlobRandom",
        "PageInBlobSequential",
        "Vmo/Read",
        "Vmo/Write",
        "VmoMap/Read",
        "VmoMap/Write",
        "Vmo/Clone",
        "Mmu/MapUnmap",
    ] {
        assert!(table.contains(name), "{name} is not in {table}");
    }
    let instructions = results["kernel_instructions"].as_u64().unwrap();
    assert!((1..60).contains(&instructions), "{instructions}");
    let memory = results["memory"].as_array().unwrap();
    assert!(!memory.is_empty());
    for line in memory {
        let name = line["name"].as_str().unwrap();
        assert!(table.contains(name), "{name} is not in {table}");
        if name == "Memory/Own, at the start" {
            assert!(line["bytes"].as_f64().unwrap() > 0.0, "{line}");
        }
    }
    let page = std::fs::read_to_string(plot).unwrap();
    assert_eq!(page.matches("<svg").count(), figures.len());
    for figure in figures {
        let name = figure["name"].as_str().unwrap();
        assert!(table.contains(name), "{name} is not in {table}");
        let rounds = |side: &str| figure[side].as_array().unwrap().clone();
        let full = |round: &Value| !round.as_array().unwrap().is_empty();
        assert!(rounds("samples").iter().all(full), "{name}");
        for row in figure["rows"].as_array().unwrap() {
            assert!(row["ours_ns"].as_f64().unwrap() > 0.0, "{name}: {row}");
            if row["floor_ns"].is_null() {
                assert!(row["ratio"].is_null(), "{name}: {row}");
                continue;
            }
            assert!(rounds("floor_samples").iter().all(full), "{name}");
            let ratio = row["ratio"]["value"].as_f64().unwrap();
            assert!(ratio > 0.0 && ratio.is_finite(), "{name}: {row}");
        }
    }
}

#[test]
fn one_figure_and_paths_that_cannot_be() {
    needs_kvm!();
    let (code, table, err) = bench(&["--quick", "11"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        table.contains("Core/Fault") && !table.contains("Syscall/Null"),
        "{table}"
    );
    let (code, table, err) = bench(&["--json", "/nowhere/bench.json", "11"]);
    assert_eq!((code, table.as_str()), (Some(121), ""));
    assert!(err.contains("cannot write /nowhere/bench.json"), "{err}");
    let (code, _, err) = bench(&["13"]);
    assert_eq!(code, Some(120));
    assert!(err.contains("there is no figure 13"), "{err}");
}
