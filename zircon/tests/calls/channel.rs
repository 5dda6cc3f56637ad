//! Channels: messages and the handles in them, ends that close, limits.

use protocol::syscall::SyscallNumber as N;

use super::*;
use crate::common::{NOWHERE, Outcome};

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
const PEER_CLOSED: u32 = 4;

#[test]
fn channel_create_rows() {
    let mut m = TestMachine::new();
    let out = m.alloc(8);
    for (args, status) in [
        ([1, out, out + 4], Status::INVALID_ARGS),
        ([0, 0, out], Status::INVALID_ARGS),
        ([0, out, NOWHERE], Status::INVALID_ARGS),
        ([0, out, out + 4], Status::OK),
    ] {
        assert_eq!(m.call(N::ChannelCreate, &args), status);
    }
    let (a, b) = (m.peek_u32(out), m.peek_u32(out + 4));
    assert_eq!(m.rights(a), Rights::DEFAULT_CHANNEL);
    assert_eq!(
        (m.koid(a), m.koid(b)),
        (m.related_koid(b), m.related_koid(a))
    );
    assert_eq!((m.signals(a), m.signals(b)), (WRITABLE, WRITABLE));
}

#[test]
fn channel_messages_keep_their_order() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    assert_eq!(m.channel_read(b), Err(Status::SHOULD_WAIT));
    for text in [&b"one"[..], b"", b"three"] {
        m.channel_write(a, text, &[]).unwrap();
    }
    assert_eq!(m.signals(b), READABLE | WRITABLE);
    assert_eq!(m.signals(a), WRITABLE);
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(m.channel_read(b).unwrap().bytes, text);
    }
    assert_eq!(m.signals(b), WRITABLE);
    m.channel_write(b, b"back", &[]).unwrap();
    assert_eq!(m.channel_read(a).unwrap().bytes, b"back");
}

#[test]
fn channel_write_rows() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    let weak = m.handle_replace(a, Rights::READ).unwrap();
    let (a, at) = (b, m.alloc(1 << 17));
    let large = 65537;
    for (channel, options, bytes, length, handles, count, status) in [
        (BAD, 1, NOWHERE, 1, 0, 0, Status::INVALID_ARGS),
        (BAD, 0, NOWHERE, large, 0, 0, Status::OUT_OF_RANGE),
        (BAD, 0, NOWHERE, 1, NOWHERE, 65, Status::OUT_OF_RANGE),
        (BAD, 0, NOWHERE, 1, 0, 0, Status::INVALID_ARGS),
        (BAD, 0, at, 1, 0, 0, Status::BAD_HANDLE),
        (vmo, 0, at, 1, 0, 0, Status::WRONG_TYPE),
        (weak, 0, at, 1, 0, 0, Status::ACCESS_DENIED),
        (a, 0, at, 1, NOWHERE, 1, Status::INVALID_ARGS),
        (a, 0, NOWHERE, 0, NOWHERE, 0, Status::OK),
        (a, 0, at, 65536, 0, 0, Status::OK),
    ] {
        let args = [channel.into(), options, bytes, length, handles, count];
        assert_eq!(m.call(N::ChannelWrite, &args), status);
    }
    m.handle_close(weak).unwrap();
    assert_eq!(m.channel_write(a, b"", &[]), Err(Status::PEER_CLOSED));
}

#[test]
fn channel_write_handle_rows() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    let kept = m.without(vmo, Rights::TRANSFER);
    assert_eq!(m.channel_write(a, b"", &[BAD]), Err(Status::BAD_HANDLE));
    assert_eq!(m.channel_write(a, b"", &[kept]), Err(Status::ACCESS_DENIED));
    assert_eq!(m.handle_close(kept), Err(Status::BAD_HANDLE), "consumed");
    let duplicate = m.handle_duplicate(vmo, Rights::SAME_RIGHTS).unwrap();
    let twice = [duplicate, duplicate];
    assert_eq!(m.channel_write(a, b"", &twice), Err(Status::BAD_HANDLE));
    assert_eq!(m.channel_read(b), Err(Status::SHOULD_WAIT));
    assert_eq!(m.channel_write(a, b"", &[a]), Err(Status::NOT_SUPPORTED));
    assert_eq!(m.signals(b), PEER_CLOSED, "the end was consumed");
}

/// Whatever is wrong with a write, its handles are gone afterwards.
#[test]
fn channel_write_that_fails_consumes_its_handles() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let (closed, peer) = m.channel_create();
    m.handle_close(peer).unwrap();
    let (at, values) = (m.alloc(8), m.alloc(4 * 70));
    let file = m.vmo(1);
    for (channel, options, bytes, length, count, status) in [
        (a, 1, at, 1, 1, Status::INVALID_ARGS),
        (a, 0, at, 65537, 1, Status::OUT_OF_RANGE),
        (a, 0, at, 1, 65, Status::OUT_OF_RANGE),
        (a, 0, NOWHERE, 1, 1, Status::INVALID_ARGS),
        (BAD, 0, at, 1, 1, Status::BAD_HANDLE),
        (file, 0, at, 1, 1, Status::WRONG_TYPE),
        (closed, 0, at, 1, 1, Status::PEER_CLOSED),
        (a, 0, at, 1, 2, Status::BAD_HANDLE),
    ] {
        let vmo = m.vmo(1);
        let mut raw = vmo.to_le_bytes().to_vec();
        raw.resize(4 * 70, 0);
        m.poke(values, &raw);
        let args = [channel.into(), options, bytes, length, values, count];
        assert_eq!(m.call(N::ChannelWrite, &args), status);
        assert_eq!(m.handle_close(vmo), Err(Status::BAD_HANDLE), "{status}");
    }
    assert_eq!(m.channel_read(b), Err(Status::SHOULD_WAIT));
}

#[test]
fn channel_read_rows() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    let actual = m.alloc(8);
    m.channel_write(a, b"12345", &[vmo]).unwrap();
    let other = m.vmo(1);
    let (at, values) = (m.alloc(8), m.alloc(8));
    let (count, none) = (actual, 0);
    for (channel, options, sizes, counts, status) in [
        (BAD, 2, (5, 1), none, Status::INVALID_ARGS),
        (BAD, 0, (5, 1), none, Status::BAD_HANDLE),
        (other, 0, (5, 1), none, Status::WRONG_TYPE),
        (b, 0, (4, 1), none, Status::BUFFER_TOO_SMALL),
        (b, 0, (5, 0), count, Status::BUFFER_TOO_SMALL),
        (b, 0, (5, 0), NOWHERE, Status::INVALID_ARGS),
        (b, 0, (5, 1), count, Status::OK),
        (b, 0, (5, 1), none, Status::SHOULD_WAIT),
    ] {
        let second = if counts == 0 { 0 } else { counts + 4 };
        let args = [
            channel.into(),
            options,
            at,
            values,
            sizes.0,
            sizes.1,
            counts,
            second,
        ];
        assert_eq!(m.call(N::ChannelRead, &args), status);
    }
    assert_eq!((m.peek_u32(actual), m.peek_u32(actual + 4)), (5, 1));
    let write_only = m.handle_replace(b, Rights::WRITE).unwrap();
    assert_eq!(m.channel_read(write_only), Err(Status::ACCESS_DENIED));
}

#[test]
fn channel_read_may_discard() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    m.channel_write(a, b"12345", &[vmo]).unwrap();
    let actual = m.alloc(8);
    let args = [b.into(), 1, 0, 0, 0, 0, actual, actual + 4];
    let status = m.call(N::ChannelRead, &args);
    assert_eq!(status, Status::BUFFER_TOO_SMALL);
    assert_eq!((m.peek_u32(actual), m.peek_u32(actual + 4)), (5, 1));
    assert_eq!(m.channel_read(b), Err(Status::SHOULD_WAIT));
    assert_eq!(m.freed.len(), 1, "the VMO went with the message");
}

/// A message that cannot be written to the reader is lost, and its handles with it.
#[test]
fn channel_read_into_bad_memory_loses_the_message() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let at = m.alloc(8);
    for (freed, (bytes, handles)) in [(1, (NOWHERE, at)), (2, (at, NOWHERE))] {
        let vmo = m.vmo(1);
        m.channel_write(a, b"12345", &[vmo]).unwrap();
        let args = [b.into(), 0, bytes, handles, 5, 1, 0, 0];
        assert_eq!(m.call(N::ChannelRead, &args), Status::INVALID_ARGS);
        assert_eq!(m.channel_read(b), Err(Status::SHOULD_WAIT));
        assert_eq!(m.freed.len(), freed);
    }
}

/// Handles keep their rights and their objects; their values are new.
#[test]
fn channel_transfers_handles() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(2);
    m.vmo_write(vmo, 0, b"content").unwrap();
    let koid = m.koid(vmo);
    let weak = m.without(vmo, Rights::WRITE);
    let rights = m.rights(weak);
    m.channel_write(a, b"", &[vmo, weak]).unwrap();
    assert_eq!(m.vmo_get_size(vmo), Err(Status::BAD_HANDLE));
    assert!(m.freed.is_empty());
    let handles = m.channel_read(b).unwrap().handles;
    assert_eq!(m.koid(handles[0]), koid);
    assert_eq!(m.rights(handles[1]), rights);
    assert_eq!(m.vmo_read(handles[1], 0, 7).unwrap(), b"content");
}

#[test]
fn channel_close_reads_the_rest_then_peer_closed() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    m.channel_write(a, b"last", &[]).unwrap();
    m.handle_close(a).unwrap();
    assert_eq!(m.signals(b), READABLE | PEER_CLOSED);
    assert_eq!(m.related_koid(b), 0);
    assert_eq!(m.channel_read(b).unwrap().bytes, b"last");
    assert_eq!(m.channel_read(b), Err(Status::PEER_CLOSED));
    assert_eq!(m.signals(b), PEER_CLOSED);
    assert_eq!(m.channel_write(b, b"", &[]), Err(Status::PEER_CLOSED));
}

/// Channels within channels within channels: their end takes no depth.
#[test]
fn channel_close_frees_what_is_in_it_however_deep() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let vmo = m.vmo(1);
    let mut inner = vmo;
    for _ in 0..2000 {
        let (a, b) = m.channel_create();
        m.channel_write(a, b"", &[inner]).unwrap();
        m.handle_close(a).unwrap();
        inner = b;
    }
    assert!(m.freed.is_empty());
    m.handle_close(inner).unwrap();
    assert_eq!(m.freed.len(), 1);
}

/// A wait through a handle that goes into a message is over, as if the handle were closed.
#[test]
fn channel_write_cancels_waits_through_the_handle() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    let (waiter, observed) = (m.thread(), m.alloc(4));
    let args = [vmo.into(), 1 << 24, i64::MAX as u64, observed];
    let token = m.begin(waiter, N::ObjectWaitOne, &args);
    m.channel_write(a, b"", &[vmo]).unwrap();
    assert_eq!(m.status(token), Status::CANCELED);
    assert_eq!(m.channel_read(b).unwrap().handles.len(), 1);
}

#[test]
fn channel_wakes_a_waiting_reader() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let waiter = m.thread();
    let args = [b.into(), 5, i64::MAX as u64, 0];
    let token = m.begin(waiter, N::ObjectWaitOne, &args);
    m.channel_write(a, b"x", &[]).unwrap();
    assert_eq!(m.status(token), Status::OK);
    assert_eq!(m.channel_read(b).unwrap().bytes, b"x");
    let token = m.begin(waiter, N::ObjectWaitOne, &args);
    m.handle_close(a).unwrap();
    assert_eq!(m.status(token), Status::OK);
}

#[test]
fn channel_queue_is_bounded() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let (a, b) = m.channel_create();
    let args = [a.into(), 0, 0, 0, 0, 0];
    for _ in 0..3500 {
        assert_eq!(m.call(N::ChannelWrite, &args), Status::OK);
    }
    m.channel_read(b).unwrap();
    assert_eq!(m.call(N::ChannelWrite, &args), Status::OK);
    assert_eq!(
        m.call_on(m.main.thread, N::ChannelWrite, &args),
        Outcome::Gone
    );
    let report = m.exceptions[0].to_string();
    assert!(report.contains("channel-full-write"), "{report}");
}

#[test]
fn channel_memory_is_bounded() {
    let mut m = TestMachine::new();
    m.unchecked = true;
    let at = m.alloc(65536);
    let mut ends = Vec::new();
    let mut status = Status::OK;
    while status == Status::OK && ends.len() < 4 {
        let (a, b) = m.channel_create();
        ends.push(b);
        let args = [a.into(), 0, at, 65536, 0, 0];
        for _ in 0..600 {
            status = status.ok().err().unwrap_or(m.call(N::ChannelWrite, &args));
        }
    }
    assert_eq!((status, ends.len()), (Status::NO_MEMORY, 2));
    m.handle_close(ends[0]).unwrap();
    let (a, _) = m.channel_create();
    m.channel_write(a, &[1; 65536], &[]).unwrap();
}

#[test]
fn object_signal_peer_rows() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    let port = m.port_create();
    let weak = m.handle_replace(b, Rights::DEFAULT_CHANNEL - Rights::SIGNAL_PEER);
    let weak = weak.unwrap();
    for (handle, clear, set, status) in [
        (BAD, 0, 0, Status::BAD_HANDLE),
        (vmo, 0, 0, Status::ACCESS_DENIED),
        (port, 0, 0, Status::ACCESS_DENIED),
        (weak, 1, 0, Status::ACCESS_DENIED),
        (a, 1, 0, Status::INVALID_ARGS),
        (a, 0, 1 << 23, Status::INVALID_ARGS),
        (a, 0, 3 << 24, Status::OK),
        (a, 1 << 24, 0, Status::OK),
    ] {
        let args = [handle.into(), clear, set];
        assert_eq!(m.call(N::ObjectSignalPeer, &args), status);
    }
    assert_eq!(m.signals(weak), WRITABLE | 1 << 25);
    m.handle_close(weak).unwrap();
    let args = [a.into(), 0, 1 << 24];
    assert_eq!(m.call(N::ObjectSignalPeer, &args), Status::PEER_CLOSED);
    let args = [a.into(), 0, 1];
    assert_eq!(m.call(N::ObjectSignalPeer, &args), Status::INVALID_ARGS);
}

/// An end in its own queue, and two ends in each other's: nobody can read them.
#[test]
fn process_exit_takes_rings_of_channels_apart() {
    let mut m = TestMachine::new();
    let (a, b) = m.channel_create();
    let vmo = m.vmo(1);
    m.channel_write(a, b"", &[vmo, b]).unwrap();
    let ((c, d), (e, f)) = (m.channel_create(), m.channel_create());
    let vmo = m.vmo(1);
    m.channel_write(c, b"", &[vmo, f]).unwrap();
    m.channel_write(e, b"", &[d]).unwrap();
    m.call_on(m.main.thread, N::ProcessExit, &[0]);
    assert_eq!(m.kernel.usage(), []);
}

/// The end of a process closes its ends and what is in them.
#[test]
fn process_exit_closes_channels() {
    let mut m = TestMachine::new();
    let (a, _b) = m.channel_create();
    let vmo = m.vmo(1);
    m.channel_write(a, b"", &[vmo]).unwrap();
    m.call_on(m.main.thread, N::ProcessExit, &[0]);
    assert_eq!(m.kernel.usage(), []);
}
