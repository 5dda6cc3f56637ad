//! `zx_object_get_info` on address spaces: ZX_INFO_VMAR and ZX_INFO_PROCESS_MAPS.

use protocol::maps::{
    MAPS_TYPE_ASPACE, MAPS_TYPE_MAPPING, MAPS_TYPE_VMAR, TOPIC_PROCESS_MAPS, TOPIC_PROCESS_MAPS_V1,
    TOPIC_PROCESS_MAPS_V2, TOPIC_VMAR,
};
use protocol::syscall::SyscallNumber as N;
use protocol::{USER_BASE, USER_END};

use super::*;
use crate::common::{SCRATCH, SCRATCH_SIZE};

const P: u64 = PAGE_SIZE;
const RECORD: u64 = 152;
const SPECIFIC: u32 = 0x10;
const CAN_RW: u32 = 0x1C0;

/// A record, without the counts: depth, type, base, size.
type Node = (u64, u32, u64, u64);

fn word(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().unwrap())
}

fn name(record: &[u8]) -> String {
    let end = record.iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(record[..end].to_vec()).unwrap()
}

/// The records that fit in `room` bytes, and what the call says of them.
fn maps(m: &mut TestMachine, topic: u32, size: u64, room: u64) -> (Vec<Vec<u8>>, u64, u64) {
    let (at, counts) = (m.alloc(room), m.alloc(16));
    let process = m.main.process_handle.into();
    let args = [process, topic.into(), at, room, counts, counts + 8];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::OK);
    let (actual, avail) = (m.peek_u64(counts), m.peek_u64(counts + 8));
    let records = (0..actual).map(|n| m.peek(at + n * size, size)).collect();
    (records, actual, avail)
}

fn nodes(m: &mut TestMachine) -> Vec<Node> {
    let (records, actual, avail) = maps(m, TOPIC_PROCESS_MAPS, RECORD, 64 * RECORD);
    assert_eq!(actual, avail);
    let node = |record: &Vec<u8>| {
        let place = (word(record, 32), word(record, 40));
        (word(record, 48), word(record, 56) as u32, place.0, place.1)
    };
    records.iter().map(node).collect()
}

#[test]
fn info_vmar_rows() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.main.vmar_handle, m.vmo(1));
    let whole = m.info(root, TOPIC_VMAR, 16).unwrap();
    let place = (word(&whole, 0), word(&whole, 8));
    assert_eq!(place, (USER_BASE, USER_END - USER_BASE));
    let (vmar, base) = m.vmar_allocate(root, CAN_RW, 0, 4 * P).unwrap();
    m.vmar_destroy(vmar).unwrap();
    let dead = m.info(vmar, TOPIC_VMAR, 16).unwrap();
    assert_eq!((word(&dead, 0), word(&dead, 8)), (base, 4 * P));
    let bare = m.without(root, Rights::INSPECT);
    for (handle, size, status) in [
        (BAD, 0, Status::BAD_HANDLE),
        (vmo, 0, Status::WRONG_TYPE),
        (bare, 0, Status::ACCESS_DENIED),
        (root, 15, Status::BUFFER_TOO_SMALL),
    ] {
        assert_eq!(m.info(handle, TOPIC_VMAR, size), Err(status));
    }
}

#[test]
fn info_process_maps_is_the_tree() {
    let mut m = TestMachine::new();
    let (root, vmo) = (m.main.vmar_handle, m.vmo(8));
    let whole = (USER_BASE, USER_END - USER_BASE);
    let scratch = (2, MAPS_TYPE_MAPPING, SCRATCH, SCRATCH_SIZE);
    let top = [
        (0, MAPS_TYPE_ASPACE, whole.0, whole.1),
        (1, MAPS_TYPE_VMAR, whole.0, whole.1),
    ];
    assert_eq!(nodes(&mut m), [top[0], top[1], scratch]);
    let options = CAN_RW | SPECIFIC;
    let (outer, base) = m.vmar_allocate(root, options, 16 * P, 16 * P).unwrap();
    let (inner, _) = m.vmar_allocate(outer, options, 4 * P, 4 * P).unwrap();
    m.vmar_allocate(inner, options, P, P).unwrap();
    m.vmar_allocate(outer, options, 8 * P, P).unwrap();
    for (vmar, page) in [
        (root, 0),
        (outer, 0),
        (inner, 0),
        (inner, 3),
        (outer, 9),
        (root, 32),
    ] {
        m.map_in(vmar, 1 | SPECIFIC, page * P, vmo, P).unwrap();
    }
    let vmar = |depth, page: u64, pages| (depth, MAPS_TYPE_VMAR, base + page * P, pages * P);
    let map = |depth, page: u64| (depth, MAPS_TYPE_MAPPING, base + page * P, P);
    let expected = [
        top[0],
        top[1],
        (2, MAPS_TYPE_MAPPING, USER_BASE, P),
        vmar(2, 0, 16),
        map(3, 0),
        vmar(3, 4, 4),
        map(4, 4),
        vmar(4, 5, 1),
        map(4, 7),
        vmar(3, 8, 1),
        map(3, 9),
        map(2, 16),
        scratch,
    ];
    assert_eq!(nodes(&mut m), expected);
}

#[test]
fn info_process_maps_records() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(8);
    let id = m.koid(vmo);
    let at = m.alloc(8);
    m.poke(at, b"some");
    let named = [vmo.into(), 3, at, 4];
    assert_eq!(m.call(N::ObjectSetProperty, &named), Status::OK);
    m.vmo_write(vmo, 2 * P, &[1; 4 * P as usize]).unwrap();
    m.vmar_map(3, 0, vmo, P, 3 * P).unwrap();
    let slice = m.vmo_create_child(vmo, 8, 0, 8 * P).unwrap();
    m.vmar_map(0, 0, slice, 0, 8 * P).unwrap();
    let (records, ..) = maps(&mut m, TOPIC_PROCESS_MAPS, RECORD, 64 * RECORD);
    let names: Vec<_> = records.iter().map(|record| name(record)).collect();
    let process = format!("proc:{}", m.main.process.0);
    assert_eq!(names, [process.as_str(), "root", "some", "some", "scratch"]);
    let fields = |record: &[u8]| -> Vec<u64> {
        (64..RECORD as usize)
            .step_by(8)
            .map(|at| word(record, at))
            .collect()
    };
    assert_eq!(fields(&records[1]), [0; 11]);
    let committed = 2 * P;
    let mut expected = vec![3, id, P];
    expected.extend([committed; 6]);
    expected.extend([0, 0]);
    assert_eq!(fields(&records[2]), expected);
    let mut expected = vec![0, m.koid(slice), 0];
    expected.extend([0; 8]);
    assert_eq!(fields(&records[3]), expected, "a slice has no pages");
    // The older versions, which count pages.
    let (first, ..) = maps(&mut m, TOPIC_PROCESS_MAPS_V1, 96, 64 * 96);
    let (second, ..) = maps(&mut m, TOPIC_PROCESS_MAPS_V2, 104, 64 * 104);
    assert_eq!(first[2][..88], records[2][..88]);
    assert_eq!(second[2][..88], records[2][..88]);
    assert_eq!(word(&first[2], 88), 2);
    assert_eq!((word(&second[2], 88), word(&second[2], 96)), (2, 2));
}

/// What does not fit is left out; the count of what there is tells.
#[test]
fn info_process_maps_as_many_as_fit() {
    let mut m = TestMachine::new();
    for (room, fit) in [
        (0, 0),
        (RECORD - 1, 0),
        (RECORD, 1),
        (3 * RECORD - 1, 2),
        (900, 3),
    ] {
        let (records, actual, avail) = maps(&mut m, TOPIC_PROCESS_MAPS, RECORD, room);
        assert_eq!(
            (records.len() as u64, actual, avail),
            (fit, fit, 3),
            "{room}"
        );
    }
    // Many: more than one piece, and more than a call tells.
    let vmo = m.vmo(1);
    for page in 0..5_000 {
        m.vmar_map(1 | SPECIFIC, 2 * page * P, vmo, 0, P).unwrap();
    }
    let (records, actual, avail) = maps(&mut m, TOPIC_PROCESS_MAPS, RECORD, 6_000 * RECORD);
    assert_eq!((actual, avail), (4_096, 5_003));
    let last = records.last().unwrap();
    assert_eq!(word(last, 32), USER_BASE + 2 * 4_093 * P);
}

#[test]
fn info_process_maps_rows() {
    let mut m = TestMachine::new();
    let (process, vmo) = (m.main.process_handle, m.vmo(1));
    let bare = m.without(process, Rights::INSPECT);
    for (handle, status) in [
        (BAD, Status::BAD_HANDLE),
        (vmo, Status::WRONG_TYPE),
        (bare, Status::ACCESS_DENIED),
    ] {
        let got = m.info(handle, TOPIC_PROCESS_MAPS, RECORD);
        assert_eq!(got, Err(status));
    }
    let args = [process.into(), TOPIC_PROCESS_MAPS.into(), 0, RECORD, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::INVALID_ARGS);
    let args = [process.into(), TOPIC_PROCESS_MAPS.into(), 0, 0, 0, 0];
    assert_eq!(m.call(N::ObjectGetInfo, &args), Status::OK);
    let other = m
        .kernel
        .create_process("other", zircon::JobPolicy::default())
        .unwrap();
    m.kernel
        .start_thread(other.thread, 0x20_0000, 0, (0, 0))
        .unwrap();
    let object = zircon::ObjectRef::Process(other.process);
    let handle = m
        .kernel
        .give_handle(m.main.process, object, Rights::INSPECT)
        .unwrap();
    m.drain();
    assert!(m.info(handle, TOPIC_PROCESS_MAPS, RECORD).is_ok());
    m.raw_call(other.thread, N::ProcessExit as u64, &[0]);
    let got = m.info(handle, TOPIC_PROCESS_MAPS, RECORD);
    assert_eq!(got, Err(Status::BAD_STATE));
}
