//! What is written is read again.

use std::collections::HashMap;

use prost::Message;
use zircon::{Access, ThreadId, VmoId};

use super::proto::TrackEventType;
use super::*;
use crate::observe::ExitKind;

/// A trace of records; names, types and times of the events of each track, by the track's name.
fn written(records: &[(u64, u32, Event)], lost: u64) -> HashMap<String, Vec<(u64, String)>> {
    let mut bytes = Vec::new();
    let mut trace = Box::new(Trace::new(Path::new("x"), &mut bytes, 2));
    let records: Vec<Record> = records
        .iter()
        .map(|&(at, lane, event)| Record { at, lane, event })
        .collect();
    trace.take(&records, lost);
    let recorded = trace.finish(1000);
    assert_eq!(
        (recorded.events, recorded.lost),
        (records.len() as u64, lost)
    );
    assert!(recorded.error.is_none());
    read(&bytes)
}

fn read(bytes: &[u8]) -> HashMap<String, Vec<(u64, String)>> {
    let (mut names, mut events) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
    let packets = proto::Trace::decode(bytes).unwrap().packet;
    assert_eq!(packets[0].sequence_flags, Some(1));
    for packet in packets {
        let at = packet.timestamp();
        if let Some(track) = packet.track_descriptor {
            assert!(
                track
                    .parent_uuid
                    .is_none_or(|parent| names.contains_key(&parent))
            );
            names.insert(track.uuid.unwrap(), track.name.unwrap());
        }
        if let Some(event) = packet.track_event {
            let name = names[&event.track_uuid.unwrap()].clone();
            let what = match event.r#type() {
                TrackEventType::SliceBegin => format!("+{}", event.name()),
                TrackEventType::SliceEnd => "-".into(),
                TrackEventType::Instant => event.name().into(),
            };
            events.entry(name).or_default().push((at, what));
        }
    }
    events
}

fn line(events: &[(u64, &str)]) -> Vec<(u64, String)> {
    events
        .iter()
        .map(|(at, what)| (*at, (*what).into()))
        .collect()
}

fn named(object: ObjectRef, of: u64, text: &str) -> Event {
    let mut name = [0; protocol::MAX_NAME_LEN];
    name[..text.len()].copy_from_slice(text.as_bytes());
    Event::Core(zircon::Event::Named { object, of, name })
}

const FAULT: Event = Event::Fault {
    thread: 7,
    address: 0x1000,
    access: Access::Read,
};

#[test]
fn a_fault_from_exit_to_entry() {
    let pages = Pages {
        vmo: VmoId(9),
        first: 3,
        count: 2,
    };
    let tracks = written(
        &[
            (0, 2, named(ObjectRef::Thread(ThreadId(7)), 5, "main")),
            (0, 2, named(ObjectRef::Vmo(VmoId(9)), 0, "data")),
            (1, 0, Event::Enter),
            (10, 0, Event::Exit(ExitKind::Fault)),
            (11, 0, FAULT),
            (
                12,
                0,
                Event::Core(zircon::Event::Requested {
                    pages,
                    dirty: false,
                    pager: None,
                }),
            ),
            (13, 0, Event::Parked(7)),
            (14, 0, Event::Enter),
            (
                15,
                2,
                Event::Core(zircon::Event::Came {
                    pages,
                    why: Arrival::Asked,
                    from: Supplier::Host,
                }),
            ),
            (
                16,
                2,
                Event::Completed {
                    thread: 7,
                    how: OpResult::Retry,
                },
            ),
            (17, 2, Event::Ended(7)),
        ],
        0,
    );
    assert_eq!(tracks["vCPU 0"], line(&[(10, "+fault"), (14, "-")]));
    let thread = [
        (11, "+page fault"),
        (13, "+parked"),
        (16, "completion"),
        (17, "-"),
        (17, "-"),
    ];
    assert_eq!(tracks["thread 7 \"main\""], line(&thread));
    let served = line(&[(12, "request"), (15, "supply")]);
    assert_eq!(tracks["VMO 9 \"data\""], served);
    assert_eq!(tracks["host pager"], served);
    assert_eq!(tracks.len(), 4);
}

#[test]
fn what_began_ends_whatever_is_lost() {
    let tracks = written(
        &[
            (1, 0, Event::Exit(ExitKind::Halt)),
            (2, 0, Event::Exit(ExitKind::Fault)),
            (3, 0, FAULT),
            (4, 1, Event::Parked(7)),
            (5, 1, Event::Parked(7)),
            (6, 1, Event::Ended(8)),
            (7, 1, Event::Enter),
            (
                8,
                0,
                Event::Call {
                    thread: 7,
                    number: 1,
                },
            ),
            (9, 0, Event::ThreadEnded(7)),
            (
                10,
                0,
                Event::Call {
                    thread: 7,
                    number: 9999,
                },
            ),
        ],
        3,
    );
    let cpu = [(1, "+halt"), (2, "-"), (2, "+fault"), (1000, "-")];
    assert_eq!(tracks["vCPU 0"], line(&cpu));
    assert!(!tracks.contains_key("vCPU 1"), "an end of nothing");
    let thread = [
        (3, "+page fault"),
        (4, "+parked"),
        (8, "-"),
        (8, "-"),
        (8, "+zx_nanosleep"),
        (9, "-"),
        (10, "+system call 9999"),
        (1000, "-"),
    ];
    assert_eq!(tracks["thread 7"], line(&thread));
    assert_eq!(tracks["lost events"], line(&[(1, "lost")]));
}

/// What is written after each batch can be read, were it the last.
#[test]
fn every_batch_leaves_a_whole_file() {
    let mut bytes = Vec::new();
    for batches in 1..4u64 {
        bytes.clear();
        let mut trace = Trace::new(Path::new("x"), &mut bytes, 1);
        for at in 0..batches {
            let event = Event::Exit(ExitKind::Halt);
            trace.take(&[Record { at, lane: 0, event }], 0);
        }
        drop(trace);
        assert_eq!(read(&bytes)["vCPU 0"].len() as u64, 2 * batches - 1);
    }
}

#[test]
fn a_full_disk_is_told_and_ends_the_writing() {
    struct Full(u64);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            assert_eq!(self.0, 1, "it tries again");
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut trace = Box::new(Trace::new(Path::new("full"), Full(0), 1));
    for at in 0..3 {
        let event = Event::Exit(ExitKind::Halt);
        trace.take(&[Record { at, lane: 0, event }], 0);
    }
    let recorded = trace.finish(9);
    assert_eq!(recorded.error.unwrap().kind(), io::ErrorKind::StorageFull);
}
