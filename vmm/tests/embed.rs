//! A program that embeds a VM: its pagers, well-behaved and not, on one vCPU and on two. Needs /dev/kvm.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use protocol::Status;
use vmm::config::{NamedVmo, Output, Program, RunConfig, VmoSource};
use vmm::outcome::End;
use vmm::pager::{PageRequest, Pager};

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/zstd_pager.rs"]
mod zstd_pager;

/// Ends the test here if guests are not to be booted.
macro_rules! needs_kvm {
    () => {
        if std::env::var_os("ZVMM_SKIP_KVM").is_some_and(|value| value == "1") {
            eprintln!("skipped: ZVMM_SKIP_KVM is set");
            return;
        }
    };
}

/// A pager that is a function.
struct Answering<F>(F);

impl<F> fmt::Debug for Answering<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

impl<F: Fn(PageRequest) + Send + Sync> Pager for Answering<F> {
    fn supply(&self, request: PageRequest) {
        (self.0)(request);
    }
}

/// Writes each page's number into all of its bytes.
fn numbers(request: PageRequest) {
    let first = request.offset() / 4096;
    request.fill(|content| {
        for (page, bytes) in (first..).zip(content.chunks_mut(4096)) {
            bytes.fill(page as u8);
        }
    });
}

/// What `sum` prints of 256 such pages.
fn expected() -> String {
    use sha2::{Digest, Sha256};
    let content: Vec<u8> = (0..=255).flat_map(|page| [page; 4096]).collect();
    let hash = Sha256::digest(content);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs `sum` over 1 MiB of a pager; what it printed, and how it ended.
fn sum(
    cpus: u32,
    timeout: Duration,
    pager: impl Fn(PageRequest) + Send + Sync + 'static,
) -> (String, End) {
    let programs = vmm::guest_image::programs();
    let (name, bytes) = programs.iter().find(|(name, _)| *name == "sum").unwrap();
    let printed = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&printed);
    let source = VmoSource::Pager {
        pager: Arc::new(Answering(pager)),
        size: 1 << 20,
        writable: false,
    };
    let outcome = vmm::vm::run(RunConfig {
        vmos: vec![NamedVmo {
            name: "data".into(),
            source,
        }],
        cpus,
        timeout: Some(timeout),
        output: Output::Sink(Arc::new(move |bytes: &[u8]| {
            sink.lock().unwrap().extend_from_slice(bytes)
        })),
        ..RunConfig::new(Program::Image {
            name: (*name).into(),
            bytes,
        })
    });
    let printed = String::from_utf8(printed.lock().unwrap().clone()).unwrap();
    (printed, outcome.unwrap().end)
}

const LONG: Duration = Duration::from_secs(60);

#[track_caller]
fn is_right((printed, end): (String, End)) {
    assert_eq!(end, End::Exited(0), "{printed}");
    assert!(printed.starts_with(&expected()), "{printed}");
}

#[test]
fn answers_at_once() {
    needs_kvm!();
    for cpus in [1, 2] {
        is_right(sum(cpus, LONG, numbers));
    }
}

#[test]
fn answers_of_other_threads_later_and_before_the_call_returns() {
    needs_kvm!();
    for cpus in [1, 2] {
        is_right(sum(cpus, LONG, |request| {
            thread::spawn(move || numbers(request));
        }));
        is_right(sum(cpus, LONG, |request| {
            thread::scope(|scope| {
                scope.spawn(move || numbers(request));
            })
        }));
        is_right(sum(cpus, LONG, |request| {
            thread::spawn(move || {
                thread::sleep(Duration::from_micros(200));
                numbers(request);
            });
        }));
    }
}

/// What a guest sees of a pager that does not behave: the exception, with this status.
#[track_caller]
fn fails(status: &str, pager: impl Fn(PageRequest) + Send + Sync + Clone + 'static) {
    for cpus in [1, 2] {
        let (printed, end) = sum(cpus, LONG, pager.clone());
        let End::Exception(report) = end else {
            panic!("{end:?}: {printed}");
        };
        assert!(
            report.contains(status) && report.contains("\"data\""),
            "{report}"
        );
    }
}

#[test]
fn failures_reach_the_guest() {
    needs_kvm!();
    fails("ZX_ERR_NO_SPACE", |request| request.fail(Status::NO_SPACE));
    fails("ZX_ERR_IO", |request| request.fail(Status::OK));
    fails("ZX_ERR_IO_DATA_INTEGRITY", |request| {
        thread::spawn(move || request.fail(Status::IO_DATA_INTEGRITY));
    });
}

#[test]
fn whoever_misbehaves_fails_the_request() {
    needs_kvm!();
    fails("ZX_ERR_IO", drop);
    fails("ZX_ERR_IO", |request| request.supply(&[1; 100]));
    fails("ZX_ERR_IO", |request| request.supply(&vec![1; 1 << 21]));
    fails("ZX_ERR_IO", |_request| panic!("a pager that panics"));
    fails("ZX_ERR_IO", |request| {
        request.fill(|_| panic!("a pager that panics as it writes"))
    });
    fails("ZX_ERR_IO", |request| {
        thread::spawn(move || {
            let _dropped = request;
            panic!("a thread of a pager that panics");
        });
    });
}

/// A request that is kept holds up its guest thread and nothing else; an answer after the end goes nowhere.
#[test]
fn answers_after_the_end_do_nothing() {
    needs_kvm!();
    for cpus in [1, 2] {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let (_, end) = sum(cpus, Duration::from_millis(300), move |request| {
            keep.lock().unwrap().push(request)
        });
        assert_eq!(end, End::TimedOut);
        let mut kept = std::mem::take(&mut *kept.lock().unwrap());
        assert!(!kept.is_empty());
        numbers(kept.remove(0));
        drop(kept);
    }
}

#[test]
fn the_examples_do_what_they_say() {
    needs_kvm!();
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/embedding.md"))
            .unwrap();
    for cpus in [1, 2] {
        let said = embed::run(cpus).unwrap();
        assert!(page.contains(&said), "not in docs/embedding.md:\n{said}");
        assert!(said.starts_with(&expected()), "{said}");
    }
    // Its last page is not a whole one.
    let file = tempfile::NamedTempFile::new().unwrap();
    let content: Vec<u8> = (0..300_001u32).map(|at| (at / 1000) as u8).collect();
    std::fs::write(file.path(), &content).unwrap();
    use sha2::{Digest, Sha256};
    let hash: String = Sha256::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for cpus in [1, 2] {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&printed);
        let output = Output::Sink(Arc::new(move |bytes: &[u8]| {
            sink.lock().unwrap().extend_from_slice(bytes)
        }));
        let said = zstd_pager::run(file.path(), cpus, output).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        let (before, after): (u64, u64) = (words[0].parse().unwrap(), words[5].parse().unwrap());
        assert!(after * 10 < before, "{said}");
        let printed = String::from_utf8(printed.lock().unwrap().clone()).unwrap();
        assert!(printed.starts_with(&hash), "{printed}");
    }
    for example in ["embed", "zstd_pager"] {
        let path = format!("{}/examples/{example}.rs", env!("CARGO_MANIFEST_DIR"));
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines < 100, "{example} has {lines} lines");
    }
}
