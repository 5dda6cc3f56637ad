//! What fuzzing found worth keeping (`fuzz/corpus`), played as the fuzzer plays it.

use std::path::Path;

use crate::{hostile, script};

/// Plays every input of a target.
fn replay(target: &str, play: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        play(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

#[test]
fn corpus_of_system_calls() {
    replay("syscalls", hostile::play);
}

#[test]
fn corpus_of_sequences() {
    replay("sequences", script::play_bytes);
}
