//! What a stranger does who writes a program in Rust: `zvmm new` in an empty folder, a build, a run.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use super::needs_kvm;

/// Runs a zvmm in `folder`, with the SDK in `data`. Cargo's output is kept between runs of the tests.
fn zvmm(folder: &Path, data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zvmm"));
    command.args(args).current_dir(folder);
    command.env("XDG_DATA_HOME", data);
    command.env("CARGO_TARGET_DIR", target());
    command.output().unwrap()
}

fn target() -> String {
    format!("{}/stranger", env!("CARGO_TARGET_TMPDIR"))
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8_lossy(out).into_owned();
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out
}

#[test]
fn a_new_package_builds_and_runs() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, data) = (folder.path(), data.path());
    let said = succeeds(&zvmm(folder, data, &["new", "demo"]));
    assert!(said.contains("cd demo"), "{said}");
    let package = folder.join("demo");
    succeeds(&zvmm(&package, data, &["cargo", "build"]));

    needs_kvm!();
    let program = format!("{}/x86_64-unknown-none/debug/demo", target());
    let said = zvmm(&package, data, &["run", &program, "big", "world"]);
    assert_eq!(
        succeeds(&said),
        "hello from demo big world\nwritten through a mapping\n4096 of 8192 bytes are committed\n"
    );

    // A panic says where, and has a code of its own.
    let panics =
        "#![no_std]\n#![no_main]\n#[zx::main]\nfn main() {\n    panic!(\"no {}\", 1);\n}\n";
    fs::write(package.join("src/main.rs"), panics).unwrap();
    succeeds(&zvmm(&package, data, &["cargo", "build"]));
    let run = zvmm(&package, data, &["run", &program]);
    assert_eq!(run.status.code(), Some(101));
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(said, "panicked at src/main.rs:5:5:\nno 1\n");
}

#[test]
fn what_cannot_be_made_is_said() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("demo")).unwrap();
    for (name, why) in [
        ("demo", "there is a 'demo' already"),
        ("fn", "'fn' cannot be"),
    ] {
        let output = zvmm(folder.path(), data.path(), &["new", name]);
        assert_eq!(output.status.code(), Some(120));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("zvmm: ") && said.contains(why), "{said}");
    }
}
