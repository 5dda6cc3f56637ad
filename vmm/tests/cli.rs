//! The `zvmm` binary itself, as far as it goes without a VM: messages on standard error, exit codes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{path::Path, process::Command};

/// Exit code, standard output and standard error of `zvmm ARGS`.
fn zvmm(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_zvmm"))
        .args(args)
        .env_remove("ZVMM_LOG")
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A program that is there, though no VM will load it: what is wrong is found before.
fn some_program(folder: &Path) -> String {
    let path = folder.join("program");
    std::fs::write(&path, b"not an ELF").unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn mistakes_end_with_their_code_and_one_paragraph() {
    let folder = tempfile::tempdir().unwrap();
    let program = some_program(folder.path());
    let folder = folder.path().to_str().unwrap();
    let missing = format!("data=file:{folder}/none");
    let directory = format!("data=file:{folder}");
    for (options, code, part) in [
        (
            &["--vmo", &missing][..],
            121,
            "none does not exist. Check the spelling of the path.",
        ),
        (
            &["--vmo", &directory],
            121,
            "is a directory, not a file. Name a file inside it.",
        ),
        (
            &["--vmo", "data=file:/dev/null"],
            121,
            "is a character device, not a regular file.",
        ),
        (
            &["--vmo", "data=zero:1Q"],
            120,
            "say bytes, or a number with K, M, G or T",
        ),
        (
            &["--vmo", "a=zero:1", "--vmo", "a=zero:1"],
            120,
            "the name 'a' is given twice.",
        ),
        (
            &["--cpus", "0"],
            120,
            "a VM needs a vCPU; say --cpus 1 or more",
        ),
        (&["--memory", "0"], 120, "leave --memory out for no limit"),
        (
            &["no-such-program"],
            120,
            "there is no program 'no-such-program'",
        ),
    ] {
        let args = [&["run"], options, &[&program]].concat();
        let (found, out, err) = zvmm(&args);
        assert_eq!(found, Some(code), "{err}");
        assert_eq!(out, "");
        assert!(
            err.starts_with("zvmm: ") && err.contains(part),
            "no {part:?} in {err:?}"
        );
        assert_eq!(err.matches('\n').count(), 1, "{err:?}");
    }
}

#[test]
fn help_is_no_mistake() {
    let (code, out, err) = zvmm(&["--help"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in [
        "run",
        "doctor",
        "programs",
        "  124    the time limit (--timeout) passed",
    ] {
        assert!(out.contains(part), "no {part:?} in {out}");
    }
    let (code, out, err) = zvmm(&[]);
    assert_eq!((code, out.as_str()), (Some(120), ""));
    assert!(err.contains("\nUsage: zvmm <COMMAND>\n"), "{err}");
}

#[test]
fn doctor_has_one_line_for_each_check() {
    let (code, out, err) = zvmm(&["doctor"]);
    assert!(matches!(code, Some(0 | 121)), "{err}");
    let (verdict, checks) = {
        let mut lines: Vec<&str> = out.lines().collect();
        (lines.pop().unwrap(), lines)
    };
    assert!(checks.len() >= 5);
    for line in checks {
        let grade = line.split_whitespace().next();
        assert!(matches!(grade, Some("ok" | "warn" | "FAIL")), "{line}");
    }
    assert_eq!(
        verdict == "zvmm can run here.",
        code == Some(0),
        "{verdict}"
    );
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_zvmm"))
        .arg("doctor")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(121));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.starts_with("zvmm: cannot write to standard output: No space left"),
        "{err}"
    );
}
