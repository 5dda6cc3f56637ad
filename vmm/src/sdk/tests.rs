use std::{ffi::OsString, fs, path::Path, thread};

use super::*;

fn unpacked(parent: &Path) -> PathBuf {
    unpack::unpacked(ARCHIVE, parent, Path::new(NAME)).unwrap()
}

/// Names in the folder, but for that of the SDK.
fn others(parent: &Path) -> Vec<OsString> {
    let names = fs::read_dir(parent).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != NAME).collect()
}

#[test]
fn it_is_unpacked_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = unpacked(&parent.path().join("not/there/yet"));
    for file in [
        "c/lib/libzx.a",
        "c/lib/crt0.o",
        "c/lib/program.ld",
        "rust/zx/Cargo.toml",
        "rust/protocol/src/lib.rs",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let of = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let library = folder.join("c/lib/libzx.a");
    let before = of(&library);
    assert_eq!(unpacked(&parent.path().join("not/there/yet")), folder);
    assert_eq!(of(&library), before);
}

#[test]
fn damage_is_repaired() {
    let parent = tempfile::tempdir().unwrap();
    let folder = unpacked(parent.path());
    let (library, script) = (
        folder.join("c/lib/libzx.a"),
        folder.join("c/lib/program.ld"),
    );
    let whole = fs::read(&library).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&library, damaged).unwrap();
    fs::remove_file(&script).unwrap();
    unpacked(parent.path());
    assert_eq!(fs::read(&library).unwrap(), whole);
    assert!(script.is_file());
    assert_eq!(others(parent.path()), [""; 0], "nothing is left behind");
}

#[test]
fn something_else_of_that_name_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join(NAME), "a file").unwrap();
    assert!(unpacked(parent.path()).join("c/lib/libzx.a").is_file());
}

#[test]
fn many_may_unpack_at_once() {
    let parent = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(unpacked(parent.path()).join("c/lib/libzx.a").is_file()));
        }
    });
    assert_eq!(others(parent.path()), [""; 0], "nothing is left behind");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let parent = tempfile::NamedTempFile::new().unwrap();
    let error = unpack::unpacked(ARCHIVE, parent.path(), Path::new(NAME)).unwrap_err();
    let expected = format!(
        "the SDK cannot be unpacked to {}/{NAME}",
        parent.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_place_is_the_users_data_folder() {
    let of = |xdg: Option<&str>, home: Option<&str>| {
        data_folder(xdg.map(Into::into), home.map(Into::into)).ok()
    };
    assert_eq!(of(Some("/x"), Some("/h")), Some("/x".into()));
    for xdg in [None, Some(""), Some("relative")] {
        assert_eq!(of(xdg, Some("/h")), Some("/h/.local/share".into()));
    }
    assert_eq!(of(None, None), None);
}
