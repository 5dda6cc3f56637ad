//! Threads that are suspended while they wait for a pager.

use protocol::info::TOPIC_HANDLE_BASIC;
use test_guests::{Failure, Outcome, Via, check, equal, raw, shortly, soon};
use zx::thread::JoinHandle;
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, Signals, Status, Task, Thread, Vmo, VmoOp, thread_state,
};

use crate::act::Act;
use crate::scene::{Read, Scene, scene};

fn suspend(thread: &Thread) -> Result<zx::Handle, Failure> {
    let token = thread.suspend()?;
    thread.wait_handle(Signals::THREAD_SUSPENDED, soon())?;
    equal!(thread.info()?.state, thread_state::SUSPENDED);
    Ok(token)
}

/// The same READ comes again when the thread goes on; while it is suspended none does.
fn asks_again(s: &Scene, act: Act, pages: u64) -> Outcome {
    s.packets(&[Read(0, pages)])?;
    for _ in 0..3 {
        act.waits()?;
        let token = suspend(act.thread())?;
        s.packets(&[])?;
        drop(token);
        s.packets(&[Read(0, pages)])?;
    }
    s.supply(0..pages)?;
    act.ends(Status::OK)?;
    s.packets(&[])
}

fn suspend_read(via: Via) -> Outcome {
    let s = scene(1)?;
    asks_again(&s, s.read(via, 0..1)?, 1)
}

fn suspend_commit() -> Outcome {
    let s = scene(2)?;
    asks_again(&s, s.op(VmoOp::Commit, 0..2)?, 2)
}

/// A thread whose call waits for a page of its buffer is suspended when the page is there and the call is over.
fn in_kernel(s: &Scene, thread: JoinHandle<Status>) -> Outcome {
    s.packets(&[Read(0, 1)])?;
    let token = thread.thread().suspend()?;
    let early = thread
        .thread()
        .wait_handle(Signals::THREAD_SUSPENDED, shortly());
    equal!(early, Err(Status::TIMED_OUT));
    equal!(thread.thread().info()?.state, thread_state::BLOCKED_PAGER);
    s.supply(0..1)?;
    thread
        .thread()
        .wait_handle(Signals::THREAD_SUSPENDED, soon())?;
    check!(!thread.finished_by(shortly()));
    drop(token);
    equal!(thread.join(soon())?, Status::OK);
    s.packets(&[])
}

/// The call writes its result to the page.
fn suspend_in_kernel() -> Outcome {
    let s = scene(1)?;
    let mapping = Mapping::read_write(&s.vmo, 0, PAGE_SIZE as usize)?;
    let (port, at) = (s.port.raw_handle(), mapping.base() as u64);
    let thread = zx::thread::spawn("informed", move || {
        raw::object_get_info(port, TOPIC_HANDLE_BASIC, at, 32, 0, 0)
    })?;
    in_kernel(&s, thread)?;
    check!(mapping.word(0)? >= 1024, "no koid");
    s.dirty_are(&[(0, 1, false)])
}

/// The call copies the page to another VMO.
fn suspend_in_kernel_capture_faults() -> Outcome {
    let s = scene(1)?;
    let to = Vmo::create(PAGE_SIZE)?;
    to.write(&[9; PAGE_SIZE as usize], 0)?;
    let mapping = Mapping::read_only(&s.vmo, 0, PAGE_SIZE as usize)?;
    let (raw, at) = (to.raw_handle(), mapping.base() as u64);
    let thread = zx::thread::spawn("writer", move || raw::vmo_write(raw, at, 0, PAGE_SIZE))?;
    in_kernel(&s, thread)?;
    s.bytes_are(&to, 0, &[0])
}

crate::scenarios! {
    "SuspendCommitTest" suspend_commit
    "SuspendInKernelTest" suspend_in_kernel
    "SuspendInKernelCaptureFaultsTest" suspend_in_kernel_capture_faults;
    reading "SuspendReadTest" suspend_read;
    writing;
}
