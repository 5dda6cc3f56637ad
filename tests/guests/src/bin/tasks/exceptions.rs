//! Exceptions: a supervisor sees them, looks at the thread, and lets it go on or end.

use test_guests::{Failure, Outcome, cases, check, equal, soon};
use zx::exceptions::{channel_type, kind, state};
use zx::{
    AsHandleRef, Channel, Exception, ExceptionInfo, Handle, Signals, Status, Task, VmOptions,
    thread_state,
};

use crate::child::{Child, Does, job};
use crate::paged;

/// The exception that must come soon.
fn next(channel: &Channel) -> Result<(ExceptionInfo, Exception), Failure> {
    channel.wait_handle(Signals::CHANNEL_READABLE, soon())?;
    Ok(Exception::read(channel)?)
}

/// A page fault at an address without a mapping: the supervisor gives the thread another address, and it goes on.
fn registers_are_mended() -> Outcome {
    let child = Child::new(&job())?;
    let channel = child.thread.create_exception_channel()?;
    child.start(Does::Load, Handle::from_raw(0), 0x1000)?;
    let (info, exception) = next(&channel)?;
    equal!(info.kind, kind::FATAL_PAGE_FAULT);
    equal!(info.tid, child.thread.basic_info()?.koid);
    equal!(info.pid, child.process.basic_info()?.koid);
    let thread = exception.get_thread()?;
    equal!(thread.info()?.state, thread_state::BLOCKED_EXCEPTION);
    equal!(
        thread.info()?.wait_exception_channel_type,
        channel_type::THREAD
    );
    let report = thread.exception_report()?;
    equal!(report.synth_code, Status::NOT_FOUND.0 as u32);
    equal!((report.vector, report.cr2), (14, 0x1000));
    equal!(exception.get_process().err(), Some(Status::ACCESS_DENIED));
    let mut regs = thread.read_state_general_regs()?;
    equal!(regs.rsi, 0x1000);
    regs.rsi = child.stack() as u64;
    // SAFETY: the child loads from there.
    unsafe { thread.write_state_general_regs(&regs)? };
    exception.set_exception_state(state::HANDLED)?;
    drop(exception);
    equal!(child.return_code()?, 0);
    Ok(())
}

/// The cause is mended: the thread tries the same access again.
fn the_access_is_tried_again() -> Outcome {
    let child = Child::new(&job())?;
    let channel = child.process.create_exception_channel()?;
    let address = 0x5000_0000;
    child.start(Does::Load, Handle::from_raw(0), address)?;
    let (_, exception) = next(&channel)?;
    let vmo = zx::Vmo::create(4096)?;
    vmo.write(&42u64.to_le_bytes(), 0)?;
    let root = child.vmar.info()?;
    let offset = address as u64 - root.base;
    let options = VmOptions::PERM_READ | VmOptions::SPECIFIC;
    // SAFETY: the address space is the child's.
    unsafe { child.vmar.map(offset, &vmo, 0, 4096, options)? };
    exception.set_exception_state(state::HANDLED)?;
    drop(exception);
    equal!(child.return_code()?, 42);
    Ok(())
}

/// A pager that lets go of a VMO under a thread that waits for its page: the fault's code is BAD_STATE.
fn a_detached_pager() -> Outcome {
    let (service, vmo) = paged(3)?;
    let child = Child::new(&job())?;
    let options = VmOptions::PERM_READ;
    // SAFETY: the address space is the child's.
    let at = unsafe { child.vmar.map(0, &vmo, 0, 4096, options)? };
    let channel = child.process.create_exception_channel()?;
    child.start(Does::Load, Handle::from_raw(0), at)?;
    service.expect_read(3, 0, 1)?;
    crate::expect_state(&child.thread, thread_state::BLOCKED_PAGER)?;
    service.pager.detach_vmo(&vmo)?;
    let (info, exception) = next(&channel)?;
    equal!(info.kind, kind::FATAL_PAGE_FAULT);
    let report = exception.get_thread()?.exception_report()?;
    equal!(report.synth_code, Status::BAD_STATE.0 as u32);
    equal!(report.cr2, at as u64);
    equal!(exception.get_process()?.basic_info()?.koid, info.pid);
    exception.set_exception_state(state::THREAD_EXIT)?;
    drop(exception);
    equal!(child.return_code()?, 0);
    Ok(())
}

/// Thread, process, job, the job above; then nobody is left.
fn handlers_in_their_order() -> Outcome {
    let below = job().create_child_job()?;
    let child = Child::new(&below)?;
    let channels = [
        child.thread.create_exception_channel()?,
        child.process.create_exception_channel()?,
        below.create_exception_channel()?,
        job().create_exception_channel()?,
    ];
    let bound = child.process.create_exception_channel();
    equal!(bound.err(), Some(Status::ALREADY_BOUND));
    child.start(Does::Load, Handle::from_raw(0), 8)?;
    let types = [
        channel_type::THREAD,
        channel_type::PROCESS,
        channel_type::JOB,
        channel_type::JOB,
    ];
    for (channel, kind) in channels.iter().zip(types) {
        let (info, exception) = next(channel)?;
        check!(info.tid == child.thread.basic_info()?.koid);
        equal!(child.thread.info()?.wait_exception_channel_type, kind);
        for other in &channels {
            equal!(Exception::read(other).err(), Some(Status::SHOULD_WAIT));
        }
        drop(exception);
    }
    equal!(child.return_code()?, -1028);
    Ok(())
}

/// Without a handler the process dies with a report, and the run goes on.
fn nobody_handles_it() -> Outcome {
    equal!(Child::running(Does::Load, 16)?.return_code()?, -1028);
    Ok(())
}

/// A handler that closes its channel without a look passes the exception on.
fn a_closed_channel_passes_on() -> Outcome {
    let child = Child::new(&job())?;
    let first = child.thread.create_exception_channel()?;
    let second = child.process.create_exception_channel()?;
    child.start(Does::Load, Handle::from_raw(0), 24)?;
    first.wait_handle(Signals::CHANNEL_READABLE, soon())?;
    drop(first);
    let (_, exception) = next(&second)?;
    drop((exception, second));
    equal!(child.return_code()?, -1028);
    Ok(())
}

/// A suspended thread in an exception: first the exception is handled, then the thread stays suspended.
fn suspended_in_an_exception() -> Outcome {
    let child = Child::new(&job())?;
    let channel = child.thread.create_exception_channel()?;
    child.start(Does::Load, Handle::from_raw(0), 32)?;
    let (_, exception) = next(&channel)?;
    let token = child.thread.suspend()?;
    equal!(child.thread.info()?.state, thread_state::BLOCKED_EXCEPTION);
    let mut regs = child.thread.read_state_general_regs()?;
    regs.rsi = child.stack() as u64;
    // SAFETY: the child loads from there.
    unsafe { child.thread.write_state_general_regs(&regs)? };
    exception.set_exception_state(state::HANDLED)?;
    drop(exception);
    crate::expect_suspended(&child.thread)?;
    drop(token);
    equal!(child.return_code()?, 0);
    Ok(())
}

cases! { "exceptions":
    registers_are_mended
    the_access_is_tried_again
    a_detached_pager
    handlers_in_their_order
    nobody_handles_it
    a_closed_channel_passes_on
    suspended_in_an_exception
}
