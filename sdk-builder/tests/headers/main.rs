//! The headers of the C SDK are made from the crate `protocol`, and a C and a C++ compiler see its numbers and layouts in them.
//!
//! `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder` writes them; without it they are compared.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod calls;
mod constants;
mod header;
mod packets;
mod records;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use header::Header;

/// Set to write the files instead of comparing them.
const WRITE: &str = "ZVMM_WRITE_DOCS";

/// First line of every file.
const NOTICE: &str = "/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .into()
}

fn headers() -> Vec<Header> {
    let mut headers = constants::headers();
    headers.extend(records::headers());
    headers.push(packets::header());
    headers
}

#[test]
fn the_files_are_made_from_the_protocol() {
    let folder = root().join("programs/c");
    let mut files: Vec<(PathBuf, String)> = headers()
        .iter()
        .map(|header| (folder.join("include").join(header.path), header.text()))
        .collect();
    files.push((
        folder.join("include/zircon/syscalls.h"),
        calls::prototypes(),
    ));
    files.push((folder.join("src/syscalls.S"), calls::stubs()));
    files.push((folder.join("src/status.c"), constants::status_names()));
    for (path, text) in files {
        let text = format!("{NOTICE}{text}");
        if env::var_os(WRITE).is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            continue;
        }
        let is = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            is == text,
            "{} is not what protocol says; run with {WRITE}=1 to write it",
            path.display()
        );
    }
}

/// Every constant, size and offset, as the compiler sees them.
fn layout_test() -> String {
    let mut out = String::from("#include <stddef.h>\n#include <zircon/syscalls.h>\n");
    out.push_str("#ifndef __cplusplus\n#define static_assert _Static_assert\n#endif\n");
    for header in headers() {
        let _ = writeln!(out, "#include <{}>", header.path);
    }
    for header in headers() {
        for (name, value) in &header.constants {
            let value = *value as u64;
            let _ = writeln!(
                out,
                "static_assert((unsigned long)({name}) == {value}u, \"{name}\");"
            );
        }
        for (what, value) in &header.layouts {
            let _ = writeln!(out, "static_assert({what} == {value}u, \"{what}\");");
        }
    }
    out
}

/// What the compiler says to a source that is only checked.
fn complaints(compiler: &str, flags: &[&str], source: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout.c");
    fs::write(&path, source).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-ffreestanding", "-fsyntax-only", "-Wall", "-Wextra"]);
    command.args(flags).arg("-I");
    command
        .arg(root().join("programs/c/include"))
        .args(["-x", flags[0].trim_start_matches("-x")]);
    let output = command.args(&flags[1..]).arg(&path).output();
    let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() == text.is_empty(), "{text}");
    text
}

#[test]
fn c_sees_the_protocols_numbers_and_layouts() {
    let source = layout_test();
    let checks = source.matches("static_assert(").count();
    assert!(checks > 500, "only {checks} checks");
    assert_eq!(complaints("cc", &["-xc", "-std=c11"], &source), "");
}

#[test]
fn cpp_sees_them_too() {
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("skipped: there is no C++ compiler (Debian: apt-get install g++)");
        return;
    }
    assert_eq!(
        complaints("cc", &["-xc++", "-std=c++17"], &layout_test()),
        ""
    );
}

#[test]
fn a_wrong_number_is_noticed() {
    let source = layout_test().replace("(ZX_ERR_IO) == ", "(ZX_ERR_IO) == 1+");
    assert!(complaints("cc", &["-xc", "-std=c11"], &source).contains("ZX_ERR_IO"));
}

/// Every public number of these files of `protocol` has its name in C.
#[test]
fn no_constant_is_left_out() {
    let of = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let table = of("sdk-builder/tests/headers/constants.rs");
    let mut found = 0;
    for file in ["options", "info", "maps", "exception", "policy", "regs"] {
        for line in of(&format!("protocol/src/{file}.rs")).lines() {
            let Some(rest) = line.trim().strip_prefix("pub const ") else {
                continue;
            };
            let Some((name, _)) = rest.split_once(": u") else {
                continue;
            };
            if rest.starts_with("fn ") || ["SIZE", "USER_FLAGS", "FLAGS_ALWAYS"].contains(&name) {
                continue;
            }
            found += 1;
            let words = table.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            assert!(
                words.into_iter().any(|word| word == name),
                "protocol/src/{file}.rs: {name}"
            );
        }
    }
    assert!(found > 60, "only {found} constants");
}
