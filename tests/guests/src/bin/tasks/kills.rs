//! Threads and processes are killed whatever they are at.

use test_guests::{Outcome, Service, cases, equal, soon};
use zx::{AsHandleRef, Handle, Signals, Task, VmOptions, thread_state};

use crate::child::{Child, Does, job};
use crate::{expect_state, expect_suspended};

fn kill(child: &Child) -> Outcome {
    child.process.kill()?;
    equal!(child.return_code()?, -1024);
    let observed = child.thread.wait_handle(Signals::TASK_TERMINATED, soon())?;
    equal!(observed, Signals::TASK_TERMINATED);
    equal!(child.thread.info()?.state, thread_state::DEAD);
    Ok(())
}

fn running() -> Outcome {
    kill(&Child::running(Does::Spin, 0)?)
}

fn asleep() -> Outcome {
    let child = Child::running(Does::Sleep, 0)?;
    expect_state(&child.thread, thread_state::BLOCKED_SLEEPING)?;
    kill(&child)
}

fn not_started() -> Outcome {
    let child = Child::new(&job())?;
    child.process.kill()?;
    equal!(child.return_code()?, -1024);
    Ok(())
}

fn suspended() -> Outcome {
    let child = Child::running(Does::Spin, 0)?;
    let token = child.thread.suspend()?;
    expect_suspended(&child.thread)?;
    kill(&child)?;
    drop(token);
    Ok(())
}

/// While the thread is about to be suspended.
fn nearly_suspended() -> Outcome {
    let child = Child::running(Does::Spin, 0)?;
    let token = child.thread.suspend()?;
    kill(&child)?;
    drop(token);
    Ok(())
}

fn waiting_for_a_pager() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(4, 1)?;
    let child = Child::new(&job())?;
    // SAFETY: the address space is the child's.
    let at = unsafe { child.vmar.map(0, &vmo, 0, 4096, VmOptions::PERM_READ)? };
    child.start(Does::Load, Handle::from_raw(0), at)?;
    service.expect_read(4, 0, 1)?;
    expect_state(&child.thread, thread_state::BLOCKED_PAGER)?;
    kill(&child)?;
    drop(vmo);
    service.expect_complete(4)
}

fn in_an_exception() -> Outcome {
    let child = Child::new(&job())?;
    let channel = child.thread.create_exception_channel()?;
    child.start(Does::Load, Handle::from_raw(0), 64)?;
    expect_state(&child.thread, thread_state::BLOCKED_EXCEPTION)?;
    channel.wait_handle(Signals::CHANNEL_READABLE, soon())?;
    kill(&child)?;
    channel.wait_handle(Signals::CHANNEL_PEER_CLOSED, soon())?;
    Ok(())
}

/// Only the thread: with the last one its process ends as if it had exited.
fn a_thread() -> Outcome {
    let child = Child::running(Does::Spin, 0)?;
    child.thread.kill()?;
    equal!(child.return_code()?, 0);
    Ok(())
}

cases! { "kills":
    running
    asleep
    not_started
    suspended
    nearly_suspended
    waiting_for_a_pager
    in_an_exception
    a_thread
}
