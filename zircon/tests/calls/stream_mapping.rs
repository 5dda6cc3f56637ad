//! Mappings with FAULT_BEYOND_STREAM_SIZE: they end with the page that the VMO's stream ends in.

use protocol::syscall::SyscallNumber as N;
use zircon::{Access, MappedRun};

use super::*;
use crate::common::Touch;

const RW: u32 = 3;
const ALLOW_FAULTS: u32 = 0x1000;
const BEYOND: u32 = 0x8000;
const P: u64 = PAGE_SIZE;

/// A VMO of four pages with a stream of this many bytes, mapped with the option.
fn mapped(stream: u64) -> (TestMachine, u32, u64) {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(4 * P, 2).unwrap();
    m.set_content_size(vmo, stream).unwrap();
    let options = RW | ALLOW_FAULTS | BEYOND;
    let at = m.vmar_map(options, 0, vmo, 0, 6 * P).unwrap();
    (m, vmo, at)
}

fn run(m: &TestMachine, at: u64) -> Option<MappedRun> {
    m.kernel.mapped_run(m.main.process, at)
}

#[test]
fn fault_beyond_stream_size() {
    for (stream, pages) in [(1, 1), (P, 1), (P + 1, 2), (4 * P, 4)] {
        let (mut m, _, at) = mapped(stream);
        assert_eq!(run(&m, at).map(|run| run.length), Some(pages * P));
        assert_eq!(run(&m, at + pages * P), None);
        let thread = m.thread();
        let last = at + pages * P - 1;
        assert_eq!(m.touch(thread, last, Access::Write), Touch::Done);
        assert_eq!(
            m.touch(thread, last + 1, Access::Read),
            Touch::Fatal(Status::OUT_OF_RANGE),
            "{stream}"
        );
    }
    let (m, _, at) = mapped(0);
    assert_eq!(run(&m, at), None);
}

/// The pages are there, for those who come another way.
#[test]
fn fault_beyond_stream_size_is_of_the_mapping() {
    let (mut m, vmo, at) = mapped(P);
    let other = m.map(vmo, 4);
    m.poke(other + 2 * P, b"there");
    let page = |m: &TestMachine, at| run(m, at).map(|run| (run.vmo, run.page));
    let place = (page(&m, other).unwrap().0, 2);
    let thread = m.main.thread;
    assert_eq!(
        m.kernel.address_of(thread, place, Access::Read),
        Some(other + 2 * P),
        "a fault there is not put down to the mapping that ends before"
    );
    // A call that reads through the mapping is told, as by any bad buffer.
    let args = [vmo.into(), at + P, 0, 8];
    assert_eq!(m.call(N::VmoRead, &args), Status::NOT_FOUND);
    assert_eq!(
        m.call(N::VmoRead, &[vmo.into(), other + P, 0, 8]),
        Status::OK
    );
}

/// A stream that grows opens the pages.
#[test]
fn fault_beyond_stream_size_grows() {
    let (mut m, vmo, at) = mapped(P);
    m.set_content_size(vmo, 2 * P + 1).unwrap();
    assert_eq!(run(&m, at).map(|run| run.length), Some(3 * P));
    m.vmo_set_size(vmo, 5 * P).unwrap();
    assert_eq!(run(&m, at).map(|run| run.length), Some(5 * P));
    let thread = m.thread();
    assert_eq!(m.touch(thread, at + 4 * P, Access::Write), Touch::Done);
}

/// A stream that shrinks takes the pages away: the call ends when page tables have forgotten them.
#[test]
fn fault_beyond_stream_size_shrinks() {
    let (mut m, vmo, at) = mapped(4 * P);
    m.poke(at + 3 * P, b"gone");
    let plain = m.map(vmo, 4);
    let (thread, value) = (m.thread(), m.alloc(8));
    m.poke(value, &(P + 1).to_le_bytes());
    m.hold_flushes = true;
    let args = [vmo.into(), 17, value, 8];
    let token = m.begin(thread, N::ObjectSetProperty, &args);
    assert_eq!(m.flushes.len(), 1);
    assert_eq!(run(&m, at).map(|run| run.length), Some(2 * P));
    assert_eq!(m.peek(plain + 3 * P, 4), b"gone", "tables come first");
    m.flush();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.peek(plain + 3 * P, 4), [0; 4]);
    let toucher = m.thread();
    assert_eq!(
        m.touch(toucher, at + 2 * P, Access::Read),
        Touch::Fatal(Status::OUT_OF_RANGE)
    );
}

/// Nothing is flushed for mappings without the option, or that end before.
#[test]
fn fault_beyond_stream_size_flushes_nothing_else() {
    let mut m = TestMachine::new();
    let vmo = m.vmo_create(4 * P, 0).unwrap();
    m.map(vmo, 4);
    m.vmar_map(RW | ALLOW_FAULTS | BEYOND, 0, vmo, 0, P)
        .unwrap();
    m.hold_flushes = true;
    m.set_content_size(vmo, P).unwrap();
    assert_eq!(m.flushes, []);
}

/// The parts that protect and unmap make of a mapping keep the option.
#[test]
fn fault_beyond_stream_size_stays_with_the_parts() {
    let (mut m, _, at) = mapped(2 * P);
    m.vmar_protect(1, at + P, 2 * P).unwrap();
    assert_eq!(run(&m, at + P).map(|run| run.length), Some(P));
    assert_eq!(run(&m, at + 2 * P), None);
    assert_eq!(run(&m, at + 3 * P), None);
}

/// A fault that waits for its page when the stream is cut finds the new end.
#[test]
fn fault_beyond_stream_size_cut_under_a_blocked_fault() {
    let mut p = paged_with(4 * P, 2);
    let options = RW | ALLOW_FAULTS | BEYOND;
    let at = p.m.vmar_map(options, 0, p.vmo, 0, 4 * P).unwrap();
    let thread = p.m.thread();
    let Touch::Blocked(_) = p.m.touch(thread, at + 2 * P, Access::Read) else {
        panic!("the page is absent");
    };
    p.m.set_content_size(p.vmo, P).unwrap();
    assert_eq!(p.m.fault_status(thread), Status::OUT_OF_RANGE);
}
