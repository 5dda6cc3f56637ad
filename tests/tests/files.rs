//! Files through the built-in programs: what the guest computes is what the host computes.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tests::{Guest, needs_kvm};
use vmm::config::{FileMode, SupplyPolicy};

const PAGE: u64 = 4096;

/// Bytes that do not repeat: xorshift64.
fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ length;
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

/// What `sum` prints for these bytes.
fn line(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}  data\n")
}

fn sum(path: &Path, mode: FileMode) -> Guest {
    Guest::built_in("sum").file("data", path, mode)
}

#[test]
fn sum_is_what_sha256sum_says() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    for (length, cpus) in [
        (0, 1),
        (1, 1),
        (PAGE - 1, 1),
        (PAGE, 2),
        (PAGE + 1, 1),
        ((3 << 20) + 13, 1),
        ((3 << 20) + 13, 2),
    ] {
        let path = folder.path().join("file");
        let bytes = noise(length);
        std::fs::write(&path, &bytes).unwrap();
        for mode in [FileMode::ReadOnly, FileMode::CopyOnWrite] {
            let run = sum(&path, mode).cpus(cpus).run().exited(0);
            assert_eq!(run.output, line(&bytes), "{length} bytes\n{run}");
            let pages = length.div_ceil(PAGE);
            assert_eq!(run.resident_pages("data"), pages, "{run}");
            // One request for each page at worst; far fewer, because sequential readers are read ahead of.
            let requests = run.report.pages.requests;
            assert!(requests <= 40 + pages / 8, "{requests} requests\n{run}");
        }
    }
}

#[test]
fn sum_of_64_mib_and_13_bytes() {
    needs_kvm!();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes = noise((64 << 20) + 13);
    file.write_all(&bytes).unwrap();
    let run = sum(file.path(), FileMode::ReadOnly).run().exited(0);
    assert_eq!(run.output, line(&bytes), "{run}");
    assert_eq!(run.resident_pages("data"), (64 << 20) / PAGE + 1);
}

/// How much comes at a fault is what was asked for; what comes is right all the same.
#[test]
fn supply_policies() {
    needs_kvm!();
    const PAGES: u64 = 300;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes = noise(PAGES * PAGE - 5);
    file.write_all(&bytes).unwrap();
    let requests = |policy| {
        let run = sum(file.path(), FileMode::ReadOnly)
            .supply(policy)
            .run()
            .exited(0);
        assert_eq!(run.output, line(&bytes), "{run}");
        assert_eq!(run.resident_pages("data"), PAGES);
        run.report.pages.requests
    };
    // The program's own pages cost some requests more.
    let none = requests(SupplyPolicy::None);
    assert!((PAGES..PAGES + 30).contains(&none), "{none}");
    let fixed = requests(SupplyPolicy::Fixed(50));
    assert!((PAGES / 50..PAGES / 50 + 10).contains(&fixed), "{fixed}");
    let adaptive = requests(SupplyPolicy::Adaptive);
    assert!(adaptive < 40, "{adaptive}");
}

/// Every request takes so much longer, and nothing else changes; what many threads wait for overlaps.
#[test]
fn delayed_faults() {
    needs_kvm!();
    const PAGES: u64 = 40;
    let delay = Duration::from_millis(3);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes = noise(PAGES * PAGE);
    file.write_all(&bytes).unwrap();
    for cpus in [1, 2] {
        let guest = sum(file.path(), FileMode::ReadOnly).supply(SupplyPolicy::None);
        let began = Instant::now();
        let run = guest.fault_delay(delay).cpus(cpus).run().exited(0);
        assert_eq!(run.output, line(&bytes), "{run}");
        assert!(began.elapsed() >= delay * PAGES as u32, "{run}");
    }
}

/// 8 GiB with a little content in three places; what is not touched takes nothing.
#[test]
fn parts_of_a_sparse_file() {
    needs_kvm!();
    const LENGTH: u64 = 8 << 30;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(LENGTH).unwrap();
    let content = noise(3 * PAGE);
    for at in [0, (5 << 30) - PAGE - 7, LENGTH - 3 * PAGE] {
        file.as_file().write_all_at(&content, at).unwrap();
    }
    let pages = |offset: u64, length: u64| (offset + length).div_ceil(PAGE) - offset / PAGE;
    for (offset, length) in [
        (0, 2 * PAGE),
        // Across the 5 GiB boundary, where windows end, begun and ended inside a page.
        ((5 << 30) - 100_001, 300_003),
        (LENGTH - 17, 17),
        (3 << 30, 1 << 20),
    ] {
        let mut bytes = vec![0; length as usize];
        file.as_file().read_exact_at(&mut bytes, offset).unwrap();
        let guest = sum(file.path(), FileMode::ReadOnly);
        let run = guest
            .args(["data".into(), offset.to_string(), length.to_string()])
            .run();
        let run = run.exited(0);
        assert_eq!(run.output, line(&bytes), "{run}");
        // What was read, and at most one full read-ahead beyond it.
        let (resident, touched) = (run.resident_pages("data"), pages(offset, length));
        assert!(
            (touched..=touched + 64).contains(&resident),
            "{resident} pages\n{run}"
        );
        let supplied = run.report.pages.supplied_demand + run.report.pages.supplied_ahead;
        assert!(
            supplied < touched + 64 + 200,
            "{supplied} pages supplied\n{run}"
        );
    }
}

/// Half a terabyte of addresses costs nothing.
#[test]
fn parts_that_lie_outside_are_refused() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(PAGE + 1).unwrap();
    let guest = sum(file.path(), FileMode::ReadOnly).args(["data", "1", "4097"]);
    let run = guest.run().exited(1);
    assert_eq!(run.output, "sum: data: ZX_ERR_OUT_OF_RANGE\n", "{run}");
}

/// What a program writes to a `cow` file is its own; `ro` denies it.
#[test]
fn writes_do_not_reach_the_file() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let bytes = noise(5 * PAGE + 100);
    std::fs::write(&path, &bytes).unwrap();
    let word = |page: usize| {
        let at = page * PAGE as usize;
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    for cpus in [1, 2] {
        let writer = |mode| {
            let guest = Guest::test("reader").file("data", &path, mode);
            guest
                .args(["write", "4", "0", "5", "4"])
                .cpus(cpus)
                .run()
                .exited(0)
        };
        let run = writer(FileMode::CopyOnWrite);
        let expected = [(4, !word(4)), (0, !word(0)), (5, !word(5)), (4, word(4))];
        let expected =
            expected.map(|(page, word)| format!("write {page}\npage {page} {word:#018x}\n"));
        assert_eq!(run.output, expected.concat(), "{run}");
        let run = writer(FileMode::ReadOnly);
        let expected =
            [4, 0, 5, 4].map(|page| format!("write {page}\npage {page} ZX_ERR_ACCESS_DENIED\n"));
        assert_eq!(run.output, expected.concat(), "{run}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

/// A pager in the guest, asked for 4,096 pages in random order.
#[test]
fn userpager_verifies_its_pages() {
    needs_kvm!();
    for cpus in [1, 2] {
        // As it is, and with a request for each page.
        for (args, most) in [(&[][..], 4096 / 4), (&["4096", "7", "1"], 4096)] {
            let guest = Guest::built_in("userpager").args(args).cpus(cpus);
            let run = guest.run().exited(0);
            let requests = run.output.strip_prefix("userpager: 4096 pages verified, ");
            let requests = requests.and_then(|rest| rest.strip_suffix(" requests\n"));
            let Some(requests) = requests.and_then(|number| number.parse::<u64>().ok()) else {
                run.fail("no verified line");
            };
            assert!(requests <= most, "{requests} requests");
            assert_eq!(run.report.hypercalls["pager_supply_pages"], requests);
        }
    }
}

/// The program itself comes from a file, page by page.
#[test]
fn a_program_from_a_file() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greeting");
    let image = vmm::guest_image::programs()
        .iter()
        .find(|(name, _)| *name == "hello");
    File::create(&path)
        .unwrap()
        .write_all(image.unwrap().1)
        .unwrap();
    for policy in [SupplyPolicy::None, SupplyPolicy::Adaptive] {
        let guest = Guest::program(vmm::config::Program::File(path.clone())).supply(policy);
        let run = guest.args(["and", "more"]).run().exited(0);
        let hello = run.output.starts_with("hello from ring 3 and more\n");
        assert!(hello, "{run}");
        let pages = run.report.pages;
        let asked = pages.requests > 0 && pages.supplied_ahead == 0;
        assert!(asked || policy == SupplyPolicy::Adaptive, "{pages:?}");
    }
}

/// What it begins with is there before it runs, and of a small one that is all.
#[test]
fn a_program_at_hand() {
    needs_kvm!();
    let pages = Guest::built_in("hello").run().exited(0).report.pages;
    assert!(pages.requests == 0 && pages.supplied_ahead > 0, "{pages:?}");
}
