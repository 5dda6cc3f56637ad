//! `tasks [FILTER]`: channels, processes, suspended threads, registers, exceptions, and tasks that are killed.
//!
//! It asks for the start-up VMO `exec`, whose handle has EXECUTE: the code of its child processes goes there.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

mod channels;
mod child;
mod exceptions;
mod kills;
mod processes;
mod suspends;

use test_guests::{Outcome, Runner, Service, equal, fail, soon};
use zx::{AsHandleRef, Signals, Startup, Thread, thread_state};

zx::entry!(run);

fn run(startup: &Startup<'_>) -> i32 {
    child::remember(startup.handle("job"), startup.handle("exec"));
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    for cases in [
        channels::CASES,
        processes::CASES,
        suspends::CASES,
        exceptions::CASES,
        kills::CASES,
    ] {
        runner.cases(cases);
    }
    runner.finish()
}

/// The thread is suspended soon.
fn expect_suspended(thread: &Thread) -> Outcome {
    thread.wait_handle(Signals::THREAD_SUSPENDED, soon())?;
    equal!(thread.info()?.state, thread_state::SUSPENDED);
    Ok(())
}

/// The thread is soon in this state.
fn expect_state(thread: &Thread, state: u32) -> Outcome {
    let deadline = soon();
    loop {
        let now = thread.info()?.state;
        if now == state {
            return Ok(());
        }
        if zx::time::now() > deadline {
            fail!("the thread's state is {now:#x}, not {state:#x}");
        }
        zx::time::sleep_until(zx::time::after_millis(1))?;
    }
}

/// A pager service and its VMO of two absent pages.
fn paged(key: u64) -> Result<(Service, zx::Vmo), test_guests::Failure> {
    let service = Service::new()?;
    let vmo = service.vmo(key, 2)?;
    Ok((service, vmo))
}
