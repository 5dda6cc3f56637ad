//! `--trace`: what the file tells is what the figures tell.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use prost::Message;
use serde_json::Value;
use vmm::observe::trace::proto::{Trace, TrackEvent, TrackEventType};

use crate::{Running, needs_kvm, programs, zvmm};

/// The events of each track, by the track's name, in the order of the file.
type Tracks = BTreeMap<String, Vec<(u64, TrackEvent)>>;

/// Reads a trace. Times rise on every track, and what begins ends.
fn read(path: &Path) -> Tracks {
    let bytes = std::fs::read(path).unwrap();
    let (mut names, mut tracks) = (HashMap::new(), HashMap::<u64, Vec<_>>::new());
    for packet in Trace::decode(bytes.as_slice()).unwrap().packet {
        assert_eq!(packet.previous_packet_dropped, None, "something is missing");
        let at = packet.timestamp();
        if let Some(track) = packet.track_descriptor {
            names.insert(track.uuid.unwrap(), track.name.unwrap());
        }
        if let Some(event) = packet.track_event {
            let uuid = event.track_uuid.unwrap();
            assert!(names.contains_key(&uuid), "{event:?} on no track");
            tracks.entry(uuid).or_default().push((at, event));
        }
    }
    let named = |(uuid, events): (u64, Vec<(u64, TrackEvent)>)| {
        assert!(events.is_sorted_by_key(|(at, _)| *at), "{}", names[&uuid]);
        let mut open = 0;
        for (_, event) in &events {
            match event.r#type() {
                TrackEventType::SliceBegin => open += 1,
                TrackEventType::SliceEnd => open -= 1,
                TrackEventType::Instant => {}
            }
            assert!((0..=2).contains(&open), "{}: {event:?}", names[&uuid]);
        }
        assert_eq!(open, 0, "on {}", names[&uuid]);
        (names[&uuid].clone(), events)
    };
    tracks.into_iter().map(named).collect()
}

/// How many slices begin, or instants are, on tracks whose names begin so.
fn count(tracks: &Tracks, track: &str, event: &str) -> u64 {
    let mine = tracks.iter().filter(|(name, _)| name.starts_with(track));
    let events = mine.flat_map(|(_, events)| events);
    events.filter(|(_, it)| it.name() == event).count() as u64
}

/// The sum of a detail of such events, of those for which `with` (a detail and its value) holds if given.
fn pages(tracks: &Tracks, track: &str, event: &str, why: Option<&str>) -> u64 {
    let mine = tracks.iter().filter(|(name, _)| name.starts_with(track));
    let events = mine.flat_map(|(_, events)| events);
    let events = events
        .filter(|(_, it)| it.name() == event)
        .filter(|(_, it)| {
            let told = it.debug_annotations.iter().find(|it| it.name() == "why");
            why.is_none() || told.map(|it| it.string_value()) == why
        });
    let details = events.flat_map(|(_, it)| &it.debug_annotations);
    let details = details.filter(|it| it.name() == "pages");
    details.map(|it| it.uint_value()).sum()
}

fn traced(options: &[&str], program: &[&str]) -> (Option<i32>, Tracks, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (trace, figures) = (folder.path().join("trace"), folder.path().join("figures"));
    let own = [
        "--trace",
        trace.to_str().unwrap(),
        "--stats=json",
        figures.to_str().unwrap(),
    ];
    let said = zvmm([options, &own, program].concat());
    assert!(
        !said.err.contains("cannot write") && !said.err.contains("lacks"),
        "{said:?}"
    );
    let figures = std::fs::read_to_string(figures).unwrap();
    (
        said.code,
        read(&trace),
        serde_json::from_str(&figures).unwrap(),
    )
}

/// Exits of each vCPU, calls and faults are as many as the figures say.
#[track_caller]
fn agrees(tracks: &Tracks, figures: &Value) {
    for exits in figures["exits"].as_array().unwrap() {
        let kind = exits["kind"].as_str().unwrap();
        for (vcpu, told) in exits["per_vcpu"].as_array().unwrap().iter().enumerate() {
            let found = count(tracks, &format!("vCPU {vcpu}"), kind);
            assert_eq!(Some(found), told.as_u64(), "{kind} on vCPU {vcpu}");
        }
    }
    for (name, told) in figures["hypercalls"].as_object().unwrap() {
        let found = count(tracks, "thread ", &format!("zx_{name}"));
        assert_eq!(Some(found), told.as_u64(), "{name}");
    }
    let told = |path: &str| figures.pointer(path).and_then(Value::as_u64).unwrap();
    assert_eq!(
        count(tracks, "thread ", "page fault"),
        told("/faults/served")
    );
    assert_eq!(
        count(tracks, "host pager", "request"),
        told("/pages/requests")
    );
    assert_eq!(
        pages(tracks, "host pager", "request", None),
        told("/pages/requested")
    );
    for (why, path) in [
        ("asked for", "/pages/supplied_demand"),
        ("ahead", "/pages/supplied_ahead"),
    ] {
        assert_eq!(
            pages(tracks, "host pager", "supply", Some(why)),
            told(path),
            "{why}"
        );
    }
}

#[test]
fn a_file_that_is_read() {
    needs_kvm!();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(300 * 4096 - 5).unwrap();
    let vmo = format!("data=file:{}", file.path().display());
    for options in [
        ["--cpus", "1", "--vmo", &vmo, "--timeout", "1m"],
        ["--cpus", "2", "--vmo", &vmo, "--fault-delay", "100us"],
    ] {
        let (code, tracks, figures) = traced(&options, &["sum"]);
        assert_eq!(code, Some(0), "{figures:#}");
        agrees(&tracks, &figures);
        let data = tracks.keys().find(|name| name.ends_with(" \"data\""));
        assert_eq!(pages(&tracks, data.unwrap(), "supply", None), 300);
        let parked = count(&tracks, "thread ", "parked");
        let delayed = options.contains(&"--fault-delay");
        assert!(parked > 0 || !delayed, "{parked} times");
        assert!(count(&tracks, "thread ", "completion") >= parked);
        assert_eq!(count(&tracks, "host pager", "failure"), 0);
    }
}

/// A pager inside the guest, on one vCPU and on two.
#[test]
fn a_pager_of_a_program() {
    needs_kvm!();
    for cpus in ["1", "2"] {
        let (code, tracks, figures) = traced(&["--cpus", cpus, "--timeout", "1m"], &["userpager"]);
        assert_eq!(code, Some(0), "{figures:#}");
        agrees(&tracks, &figures);
        let told = |event| count(&tracks, "pager ", event);
        let calls = figures["hypercalls"]["pager_supply_pages"].as_u64();
        assert_eq!(Some(told("request")), calls);
        assert_eq!(pages(&tracks, "pager ", "supply", None), 4096);
        assert!(count(&tracks, "thread ", "parked") > 0);
        assert!(count(&tracks, "thread ", "zx_port_wait") >= told("request"));
    }
}

/// A run that is stopped leaves a file that can be read, with all that is open ended; one that is killed, all but that.
#[test]
fn runs_that_end_otherwise() {
    needs_kvm!();
    let folder = tempfile::tempdir().unwrap();
    let program = programs::write(folder.path(), "spin", programs::spin());
    let program = program.to_str().unwrap();
    let (code, tracks, figures) = traced(&["--timeout", "300ms"], &[program]);
    assert_eq!(code, Some(124), "{figures:#}");
    agrees(&tracks, &figures);

    let path = folder.path().join("killed");
    let mut running = Running::start(["--trace", path.to_str().unwrap(), program]);
    running.wait_for(6);
    let since = std::time::Instant::now();
    // The call that wrote those bytes is in the file soon.
    let told = |bytes: &[u8]| bytes.windows(14).any(|it| it == b"zx_debug_write");
    while !told(&std::fs::read(&path).unwrap()) {
        assert!(since.elapsed() < crate::PATIENCE);
        std::thread::yield_now();
    }
    running.signal(rustix::process::Signal::KILL);
    running.end();
    let bytes = std::fs::read(&path).unwrap();
    Trace::decode(bytes.as_slice()).unwrap();
}

#[test]
fn places_that_cannot_be_written_to() {
    needs_kvm!();
    let said = zvmm(["--trace", "/nowhere/trace", "hello"]);
    said.refused(121, &["cannot write /nowhere/trace", "No such file"]);
    // A run that does not start leaves an older file as it is.
    let older = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(older.path(), b"older").unwrap();
    let said = zvmm(["--trace", older.path().to_str().unwrap(), "/dev/null"]);
    assert_eq!(said.code, Some(121), "{said:?}");
    assert_eq!(std::fs::read(older.path()).unwrap(), b"older");
    let said = zvmm(["--trace", "/dev/full", "hello"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with(b"hello from ring 3\n"), "{said:?}");
    for part in [
        "zvmm: cannot write /dev/full: No space left",
        "not affected",
    ] {
        assert!(said.err.contains(part), "no {part:?} in {}", said.err);
    }
}
