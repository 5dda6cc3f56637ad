//! Files for the guest `walk`.

use std::{fs::File, os::unix::fs::FileExt};

const PAGE: u64 = 4096;

/// A sparse file of `size` bytes as the guest `walk` wants it.
pub fn marked(size: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    for page in (7..size / PAGE).step_by(64) {
        mark(file.as_file(), page);
    }
    file
}

fn mark(file: &File, page: u64) {
    let word = programs::page_word(1, page, 0).to_le_bytes();
    file.write_all_at(&word, page * PAGE).unwrap();
    file.write_all_at(&word, (page + 1) * PAGE - 8).unwrap();
}
