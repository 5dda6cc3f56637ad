//! Suspended threads: what they were at, and their registers.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use test_guests::{Failure, Outcome, Via, cases, check, equal, fail, reader, shortly, soon};
use zx::{
    AsHandleRef, Handle, PAGE_SIZE, Port, PortPacket, Signals, Status, Task, Unowned, Vmo,
    thread_state, time,
};

use crate::child::{Child, Does};
use crate::{expect_state, expect_suspended, paged};

static COUNT: AtomicU64 = AtomicU64::new(0);
static GOAL: AtomicU64 = AtomicU64::new(0);

/// Whether the counter moves.
fn moves() -> Result<bool, Failure> {
    let before = COUNT.load(Relaxed);
    time::sleep_until(shortly())?;
    Ok(COUNT.load(Relaxed) != before)
}

/// A thread that counts stands still while it is suspended, however often.
fn a_running_thread_stands_still() -> Outcome {
    GOAL.store(u64::MAX, Relaxed);
    let thread = zx::thread::spawn("counter", || {
        while COUNT.fetch_add(1, Relaxed) < GOAL.load(Relaxed) {
            core::hint::spin_loop();
        }
    })?;
    for round in 0..20 {
        let tokens = [thread.thread().suspend()?, thread.thread().suspend()?];
        expect_suspended(thread.thread())?;
        check!(!moves()?, "round {round}: it runs");
        let [first, second] = tokens;
        drop(first);
        if round == 0 {
            check!(!moves()?, "one token is left");
        }
        drop(second);
        thread
            .thread()
            .wait_handle(Signals::THREAD_RUNNING, soon())?;
        check!(moves()?, "round {round}: it stands");
    }
    GOAL.store(0, Relaxed);
    thread.join(soon())?;
    Ok(())
}

/// A thread cannot suspend itself, nor its process.
fn oneself_not_supported() -> Outcome {
    let process = zx::process_self();
    equal!(process.suspend().err(), Some(Status::NOT_SUPPORTED));
    Ok(())
}

/// A packet that nobody has seen is withdrawn with its request.
fn an_unseen_packet_is_withdrawn() -> Outcome {
    let (service, vmo) = paged(7)?;
    let reader = reader(&vmo, Via::Read, Some(7), 0, 1)?;
    expect_state(reader.thread(), thread_state::BLOCKED_PAGER)?;
    let token = reader.thread().suspend()?;
    expect_suspended(reader.thread())?;
    service.expect_silence()?;
    drop(token);
    service.expect_read(7, 0, 1)?;
    service.supply(&vmo, 7, 0, 1)?;
    reader.expect_done()
}

/// What comes while a thread that waits for it is suspended is there when it goes on.
fn waits_are_made_again() -> Outcome {
    static PORT: AtomicU64 = AtomicU64::new(0);
    let port = Port::create()?;
    PORT.store(port.raw_handle().into(), Relaxed);
    let thread = zx::thread::spawn("waiter", || {
        let port = Unowned::<Port>::from_raw(PORT.load(Relaxed) as u32);
        port.wait(soon()).map(|packet| packet.key)
    })?;
    expect_state(thread.thread(), thread_state::BLOCKED_PORT)?;
    let token = thread.thread().suspend()?;
    expect_suspended(thread.thread())?;
    let packet = PortPacket {
        key: 9,
        ..PortPacket::default()
    };
    port.queue(&packet)?;
    check!(!thread.finished_by(shortly()));
    drop(token);
    equal!(thread.join(soon())?, Ok(9));
    Ok(())
}

/// A deadline that passes meanwhile has passed.
fn a_sleep_ends_late() -> Outcome {
    let deadline = shortly();
    let thread = zx::thread::spawn("sleeper", move || {
        let _ = time::sleep_until(deadline);
        time::now()
    })?;
    let token = thread.thread().suspend()?;
    expect_suspended(thread.thread())?;
    time::sleep_until(deadline + 1_000_000)?;
    let resumed = time::now();
    drop(token);
    check!(thread.join(soon())? >= resumed);
    Ok(())
}

/// Registers of a suspended thread can be read and written; of a running one they cannot.
fn registers() -> Outcome {
    let child = Child::running(Does::Spin, 0x55AA)?;
    equal!(
        child.thread.read_state_general_regs().err(),
        Some(Status::BAD_STATE)
    );
    let token = child.thread.suspend()?;
    expect_suspended(&child.thread)?;
    let mut regs = child.thread.read_state_general_regs()?;
    equal!(regs.rsi, 0x55AA);
    // From "spin" to "exit with the argument".
    regs.rip -= regs.rip % 32 + (Does::Spin as u64 - Does::Exit as u64);
    regs.rsi = 99;
    // SAFETY: the child's code is made for this.
    unsafe { child.thread.write_state_general_regs(&regs)? };
    equal!(child.thread.read_state_general_regs()?.rsi, 99);
    drop(token);
    equal!(child.return_code()?, 99);
    Ok(())
}

/// A process that is suspended before it starts does not run, and its registers are those it will start with.
fn a_process_that_starts_suspended() -> Outcome {
    let child = Child::new(&crate::child::job())?;
    let token = child.process.suspend()?;
    child.start(Does::Exit, Handle::from_raw(0), 3)?;
    expect_suspended(&child.thread)?;
    let mut regs = child.thread.read_state_general_regs()?;
    equal!(regs.rsi, 3);
    regs.rsi = 4;
    // SAFETY: it is only an exit code.
    unsafe { child.thread.write_state_general_regs(&regs)? };
    drop(token);
    equal!(child.return_code()?, 4);
    Ok(())
}

/// Suspending and letting go in quick succession loses nothing.
fn in_quick_succession() -> Outcome {
    let child = Child::running(Does::Spin, 0)?;
    for _ in 0..200 {
        drop(child.thread.suspend()?);
    }
    let token = child.thread.suspend()?;
    if let Err(failure) = expect_suspended(&child.thread) {
        fail!("{failure}");
    }
    drop(token);
    child.thread.wait_handle(Signals::THREAD_RUNNING, soon())?;
    child.process.kill()?;
    equal!(child.return_code()?, -1024);
    Ok(())
}

/// A thread is suspended as soon as it has been started, while others have the VMM busy.
fn as_it_starts() -> Outcome {
    static BUSY: AtomicU64 = AtomicU64::new(1);
    let others = ["one", "two"].map(|name| {
        zx::thread::spawn(name, || {
            while BUSY.load(Relaxed) != 0 {
                let _ = Vmo::create(PAGE_SIZE);
            }
        })
    });
    for _ in 0..100 {
        let thread = zx::thread::spawn("started", || 7)?;
        let Ok(token) = thread.thread().suspend() else {
            equal!(thread.join(soon())?, 7);
            continue;
        };
        thread
            .thread()
            .wait_handle(Signals::THREAD_SUSPENDED | Signals::TASK_TERMINATED, soon())?;
        drop(token);
        equal!(thread.join(soon())?, 7);
    }
    BUSY.store(0, Relaxed);
    for other in others {
        other?.join(soon())?;
    }
    Ok(())
}

cases! { "suspends":
    a_running_thread_stands_still
    oneself_not_supported
    an_unseen_packet_is_withdrawn
    waits_are_made_again
    a_sleep_ends_late
    registers
    a_process_that_starts_suspended
    in_quick_succession
    as_it_starts
}
