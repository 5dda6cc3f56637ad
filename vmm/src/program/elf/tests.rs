//! A good image, each way of spoiling it, and random ones.

use std::{io, io::Write, os::unix::net::UnixListener};

use proptest::prelude::*;
use protocol::{PAGE_SIZE, USER_BASE, USER_END};

use super::*;

const HEADER: usize = 64;
const ENTRY_SIZE: usize = 56;

/// Byte offsets in the file header.
const E_CLASS: usize = 4;
const E_DATA: usize = 5;
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;
const E_ENTRY: usize = 24;
const E_PHOFF: usize = 32;
const E_PHENTSIZE: usize = 54;
const E_PHNUM: usize = 56;

#[derive(Clone, Copy, Debug)]
struct Load {
    kind: u32,
    flags: u32,
    offset: u64,
    va: u64,
    file_size: u64,
    mem_size: u64,
}

const TEXT: Load = Load {
    kind: 1,
    flags: 5,
    offset: 0x1000,
    va: 0x40_1000,
    file_size: 0x800,
    mem_size: 0x800,
};
const DATA: Load = Load {
    kind: 1,
    flags: 6,
    offset: 0x1800,
    va: 0x40_2800,
    file_size: 0x100,
    mem_size: 0x5000,
};
const STACK: Load = Load {
    kind: 0x6474_e551,
    flags: 6,
    offset: 0,
    va: 0,
    file_size: 0,
    mem_size: 0x4_0000,
};

/// An image of 0x2000 bytes with these program headers, which starts at the beginning of `TEXT`.
fn image_of(loads: &[Load]) -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    put(&mut bytes, E_TYPE, &2u16.to_le_bytes());
    put(&mut bytes, E_MACHINE, &62u16.to_le_bytes());
    put(&mut bytes, E_ENTRY, &TEXT.va.to_le_bytes());
    put(&mut bytes, E_PHOFF, &(HEADER as u64).to_le_bytes());
    put(&mut bytes, E_PHENTSIZE, &(ENTRY_SIZE as u16).to_le_bytes());
    put(&mut bytes, E_PHNUM, &(loads.len() as u16).to_le_bytes());
    for (n, load) in loads.iter().enumerate() {
        let at = HEADER + n * ENTRY_SIZE;
        put(&mut bytes, at, &load.kind.to_le_bytes());
        put(&mut bytes, at + 4, &load.flags.to_le_bytes());
        for (k, field) in [
            load.offset,
            load.va,
            load.va,
            load.file_size,
            load.mem_size,
            0x1000,
        ]
        .iter()
        .enumerate()
        {
            put(&mut bytes, at + 8 + 8 * k, &field.to_le_bytes());
        }
    }
    bytes
}

fn good() -> Vec<u8> {
    image_of(&[TEXT, DATA, STACK])
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The good image with `value` at `at`.
fn spoiled(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    put(&mut bytes, at, value);
    bytes
}

fn problem(bytes: &[u8]) -> Problem {
    parse("prog", bytes).expect_err("a spoiled image").problem
}

macro_rules! refused {
    ($bytes:expr, $pattern:pat) => {
        let problem = problem(&$bytes);
        assert!(matches!(problem, $pattern), "{problem:?}");
        let text = problem.to_string();
        assert!(text.contains("; "), "no remedy: {text}");
        assert!(
            !text.contains('\n') && text.len() < 240,
            "not a paragraph: {text}"
        );
    };
}

#[test]
fn a_good_image_is_read() {
    let image = parse("prog", good().as_slice()).expect("a good image");
    let [text, data] = image.segments[..] else {
        panic!("two segments")
    };
    assert_eq!(image.entry, 0x40_1000);
    assert_eq!(image.stack_size, Some(0x4_0000));
    assert_eq!(
        text,
        Segment {
            va: 0x40_1000,
            file_offset: 0x1000,
            file_size: 0x800,
            mem_size: 0x800,
            write: false,
            execute: true
        }
    );
    assert_eq!((data.write, data.execute), (true, false));
    assert_eq!(
        (data.range(), data.pages()),
        (0x40_2800..0x40_7800, 0x40_2000..0x40_8000)
    );
}

#[test]
fn segments_are_sorted_and_empty_ones_left_out() {
    let nothing = Load {
        va: 0,
        mem_size: 0,
        file_size: 0,
        ..DATA
    };
    let zeros = Load {
        offset: 0x123,
        file_size: 0,
        va: 0x50_0000,
        mem_size: 1,
        ..DATA
    };
    let image = parse("prog", image_of(&[zeros, DATA, nothing, TEXT]).as_slice()).expect("good");
    let found: Vec<u64> = image.segments.iter().map(|segment| segment.va).collect();
    assert_eq!(found, [TEXT.va, DATA.va, zeros.va]);
    assert_eq!(image.stack_size, None);
}

#[test]
fn neighbours_on_one_page_become_one_segment_if_one_mapping_can_hold_both() {
    let upper = Load {
        offset: 0x1900,
        va: 0x40_1900,
        file_size: 0x200,
        mem_size: 0x900,
        ..TEXT
    };
    let image = parse("prog", image_of(&[upper, TEXT]).as_slice()).expect("good");
    let [joined] = image.segments[..] else {
        panic!("one segment")
    };
    assert_eq!(
        (joined.va, joined.file_size, joined.mem_size),
        (TEXT.va, 0xB00, 0x1200)
    );
    refused!(
        image_of(&[TEXT, Load { flags: 6, ..upper }]),
        Problem::SharedPage { .. }
    );
    refused!(
        image_of(&[
            TEXT,
            Load {
                offset: 0x900,
                ..upper
            }
        ]),
        Problem::SharedPage { .. }
    );
    let zeros = Load {
        mem_size: 0x880,
        ..TEXT
    };
    refused!(image_of(&[zeros, upper]), Problem::SharedPage { .. });
}

#[test]
fn what_is_no_program_for_this_machine() {
    refused!([], Problem::Empty);
    refused!(b"#!/bin/sh\n".as_slice(), Problem::NotElf);
    refused!(b"\x7fE".as_slice(), Problem::NotElf);
    refused!(b"\x7fELF\x02".as_slice(), Problem::Truncated);
    refused!(good()[..63], Problem::Truncated);
    refused!(good()[..HEADER + ENTRY_SIZE], Problem::Truncated);
    refused!(spoiled(E_CLASS, &[1]), Problem::Bits32);
    refused!(spoiled(E_CLASS, &[3]), Problem::Malformed(_));
    refused!(spoiled(E_DATA, &[2]), Problem::BigEndian);
    refused!(spoiled(E_DATA, &[0]), Problem::Malformed(_));
    refused!(
        spoiled(E_MACHINE, &[183, 0]),
        Problem::Machine { machine: 183 }
    );
    refused!(spoiled(E_TYPE, &[1, 0]), Problem::ObjectFile);
    refused!(spoiled(E_TYPE, &[3, 0]), Problem::PositionIndependent);
    refused!(spoiled(E_TYPE, &[4, 0]), Problem::CoreDump);
    refused!(spoiled(E_TYPE, &[0xFF, 0xFF]), Problem::Malformed(_));
    refused!(
        image_of(&[TEXT, Load { kind: 3, ..TEXT }]),
        Problem::Dynamic
    );
}

#[test]
fn header_tables_that_make_no_sense() {
    refused!(spoiled(E_PHNUM, &[0, 0]), Problem::NothingToLoad);
    refused!(
        spoiled(E_PHNUM, &[129, 0]),
        Problem::TooManyHeaders { count: 129 }
    );
    refused!(
        spoiled(E_PHNUM, &[0xFF, 0xFF]),
        Problem::TooManyHeaders { .. }
    );
    refused!(spoiled(E_PHENTSIZE, &[32]), Problem::Malformed(_));
    refused!(
        spoiled(E_PHOFF, &0x1FFFu64.to_le_bytes()),
        Problem::Truncated
    );
    refused!(
        spoiled(E_PHOFF, &u64::MAX.to_le_bytes()),
        Problem::Truncated
    );
    refused!(image_of(&[STACK]), Problem::NothingToLoad);
    refused!(
        image_of(&[Load {
            file_size: 0,
            mem_size: 0,
            ..TEXT
        }]),
        Problem::NothingToLoad
    );
    refused!(
        image_of(&[
            TEXT,
            Load {
                mem_size: MAX_STACK + 1,
                ..STACK
            }
        ]),
        Problem::Stack { .. }
    );
}

#[test]
fn segments_that_cannot_be_mapped() {
    let data = |change: &dyn Fn(&mut Load)| {
        let mut load = DATA;
        change(&mut load);
        image_of(&[TEXT, load])
    };
    refused!(
        data(&|load| load.file_size = 0x5001),
        Problem::FileExceedsMemory { .. }
    );
    refused!(data(&|load| load.flags = 0), Problem::NoAccess { .. });
    refused!(
        data(&|load| load.va = USER_BASE - 0x800),
        Problem::OutsideUserRange { .. }
    );
    refused!(data(&|load| load.va = 0), Problem::OutsideUserRange { .. });
    refused!(
        data(&|load| load.va = USER_END - 0x800),
        Problem::OutsideUserRange { .. }
    );
    refused!(
        data(&|load| load.va = u64::MAX - 1),
        Problem::OutsideUserRange { .. }
    );
    refused!(
        data(&|load| load.mem_size = u64::MAX),
        Problem::OutsideUserRange { .. }
    );
    refused!(
        data(&|load| load.offset = 0x1F01),
        Problem::BeyondFile { .. }
    );
    refused!(
        data(&|load| load.offset = u64::MAX),
        Problem::BeyondFile { .. }
    );
    refused!(
        data(&|load| load.offset = 0x1801),
        Problem::Misaligned { .. }
    );
    refused!(
        data(&|load| (load.va, load.offset) = (0x40_1000, 0x1000)),
        Problem::Overlap { .. }
    );
    refused!(
        data(&|load| (load.va, load.offset) = (0x40_17FF, 0x17FF)),
        Problem::Overlap { .. }
    );
    refused!(
        data(&|load| load.va = 0x40_1800),
        Problem::SharedPage { .. }
    );
}

#[test]
fn the_entry_point_must_be_executable() {
    for entry in [0, TEXT.va - 1, TEXT.va + TEXT.mem_size, DATA.va, u64::MAX] {
        refused!(
            spoiled(E_ENTRY, &entry.to_le_bytes()),
            Problem::Entry { .. }
        );
    }
    let last = TEXT.va + TEXT.mem_size - 1;
    assert!(parse("prog", spoiled(E_ENTRY, &last.to_le_bytes()).as_slice()).is_ok());
}

#[test]
fn files() {
    let folder = tempfile::tempdir().expect("a folder");
    let failed = |path: &Path| open(path).expect_err("not a program").to_string();
    let path = folder.path().join("program");
    assert!(failed(&path).contains("no such file"));
    assert!(failed(folder.path()).contains("is a directory"));
    assert!(failed(&folder.path().join("program/under")).contains("no such file"));

    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    assert!(failed(&socket).contains("not a regular file"));

    let mut file = File::create(&path).expect("a file");
    let message = failed(&path);
    assert_eq!(
        message,
        format!("{}: it is empty; build the program again", path.display())
    );
    assert!(
        failed(&path.join("under")).contains("cannot be opened"),
        "{}",
        failed(&path)
    );

    // What is not read does not matter: a sparse file of 8 TiB takes no longer.
    file.write_all(&good()).expect("room");
    file.set_len(8 << 40).expect("a sparse file");
    let (_, image) = open(&path).expect("a good image");
    assert_eq!(
        image,
        parse("prog", good().as_slice()).expect("the same image")
    );
}

#[test]
fn refusals_of_the_host_keep_their_meaning() {
    let of = |kind: io::ErrorKind| Problem::from(io::Error::from(kind)).to_string();
    assert!(of(io::ErrorKind::PermissionDenied).contains("chmod +r"));
    assert!(of(io::ErrorKind::NotFound).contains("no such file"));
    assert!(of(io::ErrorKind::Other).contains("cannot be opened"));
}

/// What [`parse`] promises of whatever it accepts.
fn assert_in_range(image: &Image, length: u64) {
    let mut end = USER_BASE;
    for segment in &image.segments {
        let pages = segment.pages();
        assert!(segment.mem_size > 0 && segment.file_size <= segment.mem_size);
        assert!(pages.start >= end && pages.end <= USER_END && pages.start < pages.end);
        end = pages.end;
        if segment.file_size > 0 {
            assert_eq!(segment.va % PAGE_SIZE, segment.file_offset % PAGE_SIZE);
            assert!(
                segment
                    .file_offset
                    .checked_add(segment.file_size)
                    .expect("no wrap")
                    <= length
            );
        }
    }
    let entry = |segment: &&Segment| segment.execute && segment.range().contains(&image.entry);
    assert_eq!(image.segments.iter().filter(entry).count(), 1);
    assert!(
        image
            .stack_size
            .is_none_or(|size| size > 0 && size <= MAX_STACK)
    );
}

/// A program header near enough to a good one to get past the first checks.
fn load() -> impl Strategy<Value = Load> {
    let kind = prop_oneof![8 => Just(1u32), 1 => Just(STACK.kind), 1 => any::<u32>()];
    let number = prop_oneof![
        6 => 0..0x3000u64,
        2 => (0..8u64).prop_map(|n| n * 0x400),
        1 => any::<u64>(),
    ];
    (
        kind,
        0..8u32,
        number.clone(),
        number.clone(),
        number.clone(),
        number,
    )
        .prop_map(|(kind, flags, offset, va, file_size, more)| Load {
            kind,
            flags,
            offset,
            va: va.wrapping_add(0x40_0000),
            file_size,
            mem_size: file_size.wrapping_add(more),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn damaged_images_are_refused_or_in_range(
        damage in prop::collection::vec((0..HEADER + 3 * ENTRY_SIZE, any::<u8>()), 0..6),
        length in prop_oneof![Just(0x2000usize), 0..0x2000usize],
    ) {
        let mut bytes = good();
        for (at, value) in damage {
            bytes[at] = value;
        }
        bytes.truncate(length);
        if let Ok(image) = parse("prog", bytes.as_slice()) {
            assert_in_range(&image, length as u64);
        }
    }

    #[test]
    fn random_headers_are_refused_or_in_range(
        loads in prop::collection::vec(load(), 0..6),
    ) {
        let bytes = image_of(&[loads.as_slice(), &[TEXT]].concat());
        if let Ok(image) = parse("prog", bytes.as_slice()) {
            assert_in_range(&image, bytes.len() as u64);
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse("prog", bytes.as_slice()).is_err());
        let mut bytes = bytes;
        bytes.splice(..bytes.len().min(4), elf::ELFMAG);
        if let Ok(image) = parse("prog", bytes.as_slice()) {
            assert_in_range(&image, bytes.len() as u64);
        }
    }
}
