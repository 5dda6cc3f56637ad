//! The workspace's own files, for tests that hold names against them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new(""))
        .to_path_buf()
}

/// The text of a file of the workspace.
///
/// # Panics
/// It cannot be read.
#[allow(clippy::panic, reason = "for tests")]
pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder whose names end so.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
    found
}

/// The texts of the Rust sources below a folder of the workspace.
fn sources(dir: &str) -> Vec<String> {
    files(&root().join(dir), "rs").iter().map(read).collect()
}

/// Whether it may stand in a Rust name.
fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Tests of the core below a folder: the functions under `#[test]` and their texts. What one name stands for more than once
/// comes one after the other.
pub fn core_tests(dir: &str) -> BTreeMap<String, Vec<String>> {
    let mut tests = BTreeMap::<String, Vec<String>>::new();
    for source in sources(dir) {
        for after in source.split("#[test]").skip(1) {
            let (_, function) = after.split_once("fn ").unwrap_or_default();
            let name = function.chars().take_while(|&char| is_name(char)).collect();
            let (body, _) = function.split_once("\n}\n").unwrap_or((function, ""));
            tests.entry(name).or_default().push(body.to_owned());
        }
    }
    tests
}

/// The cases of guests that must run: the list's name and the case's, for each line of `tests/names`.
pub fn guest_cases() -> Vec<(String, String)> {
    let lists = files(&root().join("tests/tests/names"), "txt");
    let cases = |list: &PathBuf| {
        let name = list.file_stem().unwrap_or_default().to_string_lossy();
        let case = |case: &str| (name.to_string(), case.to_owned());
        read(list).lines().map(case).collect::<Vec<_>>()
    };
    lists.iter().flat_map(cases).collect()
}
