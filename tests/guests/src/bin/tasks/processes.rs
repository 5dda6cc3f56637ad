//! Child processes.

use test_guests::{Outcome, cases, check, equal, soon};
use zx::{AsHandleRef, Channel, Handle, InfoProcess, Signals, Status, Task};

use crate::child::{Child, Does, job};

fn exit_code() -> Outcome {
    let child = Child::new(&job())?;
    equal!(child.process.info()?.flags, 0);
    child.start(Does::Exit, Handle::from_raw(0), 77)?;
    equal!(child.return_code()?, 77);
    let flags = InfoProcess::STARTED | InfoProcess::EXITED;
    equal!(child.process.info()?.flags, flags);
    let observed = child.thread.wait_handle(Signals::TASK_TERMINATED, soon())?;
    equal!(observed, Signals::TASK_TERMINATED);
    equal!(
        child.start(Does::Exit, Handle::from_raw(0), 0),
        Err(Status::BAD_STATE)
    );
    Ok(())
}

/// The handle that a process is started with is its first argument, and the caller's no more.
fn starts_with_a_handle() -> Outcome {
    let (near, far) = Channel::create()?;
    let raw = far.raw_handle();
    let child = Child::new(&job())?;
    child.start(Does::Send, far.into(), 0x1234_5678)?;
    equal!(
        zx::Unowned::<Channel>::from_raw(raw).write(b"", []),
        Err(Status::BAD_HANDLE)
    );
    equal!(child.return_code()?, 0);
    let mut bytes = [0; 8];
    near.read(&mut bytes, &mut [])
        .map_err(|(status, _)| status)?;
    equal!(u64::from_le_bytes(bytes), 0x1234_5678);
    near.wait_handle(Signals::CHANNEL_PEER_CLOSED, soon())?;
    Ok(())
}

/// Several at the same time, each in its own address space.
fn several_at_a_time() -> Outcome {
    let mut children = [const { None }; 6];
    let (near, far) = Channel::create()?;
    drop(far);
    for (n, place) in children.iter_mut().enumerate() {
        let does = if n % 2 == 0 { Does::Spin } else { Does::Sleep };
        *place = Some(Child::running(does, n)?);
    }
    for n in 0..4 {
        equal!(Child::running(Does::Exit, n)?.return_code()?, n as i64);
    }
    for child in children.iter().flatten() {
        check!(child.process.info()?.flags == InfoProcess::STARTED);
        child.process.kill()?;
        equal!(child.return_code()?, -1024);
    }
    drop(near);
    Ok(())
}

/// Their tables and pages are given back.
fn many_in_turn() -> Outcome {
    for n in 0..300 {
        equal!(Child::running(Does::Exit, n)?.return_code()?, n as i64);
    }
    Ok(())
}

/// One that is never started goes with its last handle.
fn never_started() -> Outcome {
    for _ in 0..1200 {
        Child::new(&job())?;
    }
    Ok(())
}

fn job_kill_ends_its_processes() -> Outcome {
    let below = job().create_child_job()?;
    let children = [Child::new(&below)?, Child::new(&below)?];
    for (child, does) in children.iter().zip([Does::Spin, Does::Sleep]) {
        child.start(does, Handle::from_raw(0), 0)?;
    }
    below.kill()?;
    for child in &children {
        equal!(child.return_code()?, -1024);
    }
    equal!(
        below.create_child_process("late").err(),
        Some(Status::BAD_STATE)
    );
    Ok(())
}

cases! { "processes":
    exit_code
    starts_with_a_handle
    several_at_a_time
    many_in_turn
    never_started
    job_kill_ends_its_processes
}
