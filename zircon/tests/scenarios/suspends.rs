//! Scenarios of threads that are suspended while they wait for a pager.

use protocol::info::TOPIC_HANDLE_BASIC;
use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use zircon::{ObjectRef, OpResult, ThreadId};

use super::{Scene, bytes, scene};
use crate::calls::suspend::{state, suspend, thread};
use crate::common::{PAGE_SIZE, Packet, Rights, Status, Via};

const BLOCKED_PAGER: u32 = 0x903;
const SUSPENDED: u32 = 1 << 5;

/// A handle to a thread.
fn handle_to(s: &mut Scene, thread: ThreadId) -> u32 {
    let (process, rights) = (s.m.main.process, Rights::DEFAULT_THREAD);
    let object = ObjectRef::Thread(thread);
    s.m.kernel.give_handle(process, object, rights).unwrap()
}

/// The same READ comes again when the thread goes on.
#[test]
fn suspend_read_test() {
    for via in Via::BOTH {
        let mut s = scene(2);
        let mut reader = s.reader(via, 0..1);
        let handle = handle_to(&mut s, reader.thread);
        assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        for _ in 0..2 {
            assert_eq!(state(&mut s.m, handle), BLOCKED_PAGER);
            let token = suspend(&mut s.m, handle).unwrap();
            s.m.still_waits(&mut reader);
            assert_eq!(s.packets(), []);
            s.m.handle_close(token).unwrap();
            s.m.still_waits(&mut reader);
            assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
        }
        s.m.supply(s.pager, s.vmo, 0..1, 3).unwrap();
        assert_eq!(s.m.read_bytes(&mut reader), [3]);
    }
}

#[test]
fn suspend_commit_test() {
    let mut s = scene(2);
    let (handle, id) = thread(&mut s.m);
    let (offset, length) = bytes(&(0..2));
    let args = [s.vmo.into(), VmoOp::Commit as u64, offset, length, 0, 0];
    let commit = s.m.begin(id, N::VmoOpRange, &args);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    let token = suspend(&mut s.m, handle).unwrap();
    assert_eq!(s.m.result(commit), Some(OpResult::Restart));
    assert_eq!(s.packets(), []);
    s.m.handle_close(token).unwrap();
    let commit = s.m.begin(id, N::VmoOpRange, &args);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 2)]);
    s.supply(0..2);
    assert_eq!(s.m.status(commit), Status::OK);
}

/// A thread whose call waits for a page of its buffer is suspended when the page is there and the call is over.
fn suspend_in_kernel(call: impl FnOnce(&mut Scene, ThreadId, u64) -> zircon::Token) {
    let mut s = scene(1);
    let at = s.m.map(s.vmo, 1);
    let (handle, id) = thread(&mut s.m);
    let call = call(&mut s, id, at);
    assert_eq!(s.packets(), [Packet::Read(7, 0, 1)]);
    let token = suspend(&mut s.m, handle).unwrap();
    assert!(s.m.is_blocked(call));
    assert_eq!(state(&mut s.m, handle), BLOCKED_PAGER);
    assert_eq!(s.m.signals(handle) & SUSPENDED, 0);
    s.m.supply(s.pager, s.vmo, 0..1, 3).unwrap();
    assert_eq!(s.m.status(call), Status::OK);
    assert_eq!(s.m.signals(handle), SUSPENDED);
    assert_eq!(s.packets(), [], "it was asked for once");
    s.m.handle_close(token).unwrap();
}

/// The call writes its result to the page.
#[test]
fn suspend_in_kernel_test() {
    suspend_in_kernel(|s, id, at| {
        let args = [s.port.into(), TOPIC_HANDLE_BASIC.into(), at, 32, 0, 0];
        s.m.begin(id, N::ObjectGetInfo, &args)
    });
}

/// The call copies out of the page to another VMO, or into it.
#[test]
fn suspend_in_kernel_capture_faults_test() {
    for number in [N::VmoWrite, N::VmoRead] {
        suspend_in_kernel(|s, id, at| {
            let plain = s.m.vmo(1);
            s.m.begin(id, number, &[plain.into(), at, 0, PAGE_SIZE])
        });
    }
}
