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

/// Each example of the SDK as the only source of a package, with the command line and the output that docs/sdk.md shows.
#[test]
fn the_examples_do_what_the_documentation_shows() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, data) = (folder.path(), data.path());
    succeeds(&zvmm(folder, data, &["new", "example"]));
    let package = folder.join("example");
    let sdk = succeeds(&zvmm(folder, data, &["sdk", "--path"]));
    let sources = Path::new(sdk.trim_end()).join("examples/rust");
    let mut seen = 0;
    for source in fs::read_dir(sources).unwrap() {
        let source = source.unwrap().path();
        let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&source).unwrap().lines().count();
        assert!(lines < 100, "{name} has {lines} lines");
        fs::copy(&source, package.join("src/main.rs")).unwrap();
        succeeds(&zvmm(&package, data, &["cargo", "build"]));
        needs_kvm!();
        let (options, expected) = shown(&name);
        for cpus in ["1", "2"] {
            let program = format!("{}/x86_64-unknown-none/debug/example", target());
            let mut args = vec!["run", "--cpus", cpus];
            args.extend(options.split_whitespace());
            args.push(&program);
            let output = zvmm(&package, data, &args);
            assert_eq!(succeeds(&output), expected, "{name}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 3, "{seen} examples");
}

/// The options and the output of `$ zvmm run OPTIONS target/.../NAME` in docs/sdk.md.
fn shown(name: &str) -> (String, String) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sdk.md");
    let page = fs::read_to_string(page).unwrap();
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        let (command, output) = block.split_once('\n').unwrap();
        let Some(options) = command.strip_prefix("$ zvmm run ") else {
            continue;
        };
        if let Some(options) =
            options.strip_suffix(&format!("target/x86_64-unknown-none/debug/{name}"))
        {
            return (options.into(), output.into());
        }
    }
    panic!("docs/sdk.md does not show {name}");
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
