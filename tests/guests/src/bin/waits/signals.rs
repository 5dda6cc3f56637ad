//! wait_one, wait_async and signal, on VMOs.

use test_guests::raw::{self, out};
use test_guests::{NOW, Outcome, cases, check, equal, fail, shortly, soon, status};
use zx::{
    AsHandleRef, ChildOptions, HandleBased, PAGE_SIZE, Port, PortPacket, Rights, Signals, Status,
    Unowned, Vmo, WaitAsyncOptions, time,
};

const ONCE: WaitAsyncOptions = WaitAsyncOptions::empty();
const ZERO: Signals = Signals::VMO_ZERO_CHILDREN;

fn user_signals_are_set_and_cleared() -> Outcome {
    let vmo = Vmo::create(0)?;
    equal!(
        vmo.wait_handle(Signals::USER_ALL, NOW),
        Err(Status::TIMED_OUT)
    );
    vmo.signal_handle(Signals::empty(), Signals::USER_0 | Signals::USER_7)?;
    equal!(
        vmo.wait_handle(Signals::USER_7, NOW)?,
        ZERO | Signals::USER_0 | Signals::USER_7
    );
    vmo.signal_handle(Signals::USER_0, Signals::USER_1)?;
    equal!(
        vmo.wait_handle(Signals::USER_1, NOW)?,
        ZERO | Signals::USER_1 | Signals::USER_7
    );
    Ok(())
}

fn signal_errors() -> Outcome {
    let vmo = Vmo::create(0)?;
    let raw = vmo.raw_handle();
    let zero = ZERO.bits();
    status!(INVALID_ARGS, raw::object_signal(raw, zero, 0));
    status!(INVALID_ARGS, raw::object_signal(raw, 0, zero));
    status!(
        INVALID_ARGS,
        raw::object_signal(raw, 0, Signals::HANDLE_CLOSED.bits())
    );
    status!(BAD_HANDLE, raw::object_signal(0, 0, 0));
    let mute = vmo.duplicate_handle(Rights::DEFAULT_VMO - Rights::SIGNAL)?;
    let denied = mute.signal_handle(Signals::empty(), Signals::USER_0);
    equal!(denied, Err(Status::ACCESS_DENIED));
    Ok(())
}

/// The signals are told when the wait times out, too.
fn timed_out_wait_tells_signals() -> Outcome {
    let vmo = Vmo::create(0)?;
    let mut observed = 0u32;
    let (raw, user) = (vmo.raw_handle(), Signals::USER_3.bits());
    let deadline = shortly();
    status!(
        TIMED_OUT,
        raw::object_wait_one(raw, user, deadline, out(&mut observed))
    );
    equal!(observed, ZERO.bits());
    check!(time::now() >= deadline);
    // Nobody has to be told.
    status!(TIMED_OUT, raw::object_wait_one(raw, user, NOW, 0));
    Ok(())
}

fn wait_errors() -> Outcome {
    let vmo = Vmo::create(0)?;
    let mut observed = 0u32;
    let at = out(&mut observed);
    status!(BAD_HANDLE, raw::object_wait_one(0, 8, NOW, at));
    let deaf = vmo.duplicate_handle(Rights::DEFAULT_VMO - Rights::WAIT)?;
    equal!(deaf.wait_handle(ZERO, NOW), Err(Status::ACCESS_DENIED));
    equal!(
        Port::create()?.wait_handle(ZERO, NOW),
        Err(Status::ACCESS_DENIED)
    );
    Ok(())
}

/// A thread waits, the signal comes, the thread goes on.
fn signal_wakes_a_waiter() -> Outcome {
    let vmo = Vmo::create(0)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("waiter", move || {
        Unowned::<Vmo>::from_raw(raw).wait_handle(Signals::USER_2, time::TIME_INFINITE)
    })?;
    if thread.finished_by(shortly()) {
        fail!("the wait ended without the signal");
    }
    vmo.signal_handle(Signals::empty(), Signals::USER_2)?;
    equal!(thread.join(soon())?, Ok(ZERO | Signals::USER_2));
    Ok(())
}

/// Closing the handle that is waited on ends the wait.
fn close_cancels_the_wait() -> Outcome {
    let vmo = Vmo::create(0)?;
    let keep = vmo.duplicate_handle(Rights::SAME_RIGHTS)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("waiter", move || {
        let mut observed = 0u32;
        let user = Signals::USER_2.bits();
        let status = raw::object_wait_one(raw, user, time::TIME_INFINITE, out(&mut observed));
        (status, observed)
    })?;
    if thread.finished_by(shortly()) {
        fail!("the wait ended too early");
    }
    drop(vmo);
    let (status, observed) = thread.join(soon())?;
    equal!(status, Status::CANCELED);
    check!(observed & Signals::HANDLE_CLOSED.bits() != 0);
    drop(keep);
    Ok(())
}

/// The packet of a wait: trigger, what was observed, a count of 1, no timestamp.
fn async_wait_sends_one_packet() -> Outcome {
    let (vmo, port) = (Vmo::create(0)?, Port::create()?);
    let mask = Signals::USER_1 | Signals::USER_2;
    vmo.wait_async_handle(&port, 11, mask, ONCE)?;
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    vmo.signal_handle(Signals::empty(), Signals::USER_1)?;
    let observed = (ZERO | Signals::USER_1).bits();
    equal!(
        port.wait(soon())?,
        PortPacket::signal(11, mask.bits(), observed, 0)
    );
    // It is over after one packet.
    vmo.signal_handle(Signals::empty(), Signals::USER_2)?;
    equal!(port.wait(shortly()), Err(Status::TIMED_OUT));
    Ok(())
}

/// What is asserted already sends its packet at once.
fn async_wait_for_the_present() -> Outcome {
    let (vmo, port) = (Vmo::create(0)?, Port::create()?);
    vmo.wait_async_handle(&port, 12, ZERO, ONCE)?;
    equal!(
        port.wait(NOW)?,
        PortPacket::signal(12, ZERO.bits(), ZERO.bits(), 0)
    );
    Ok(())
}

/// ... unless only a change counts.
fn async_edge_waits_for_a_change() -> Outcome {
    let (vmo, port) = (Vmo::create(PAGE_SIZE)?, Port::create()?);
    vmo.wait_async_handle(&port, 13, ZERO, WaitAsyncOptions::EDGE)?;
    equal!(port.wait(shortly()), Err(Status::TIMED_OUT));
    let child = vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    drop(child);
    equal!(
        port.wait(soon())?,
        PortPacket::signal(13, ZERO.bits(), ZERO.bits(), 0)
    );
    Ok(())
}

/// ZERO_CHILDREN comes as a packet when the last child goes.
fn async_zero_children() -> Outcome {
    let (vmo, port) = (Vmo::create(PAGE_SIZE)?, Port::create()?);
    let child = vmo.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    vmo.wait_async_handle(&port, 14, ZERO, ONCE)?;
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    drop(child);
    equal!(
        port.wait(soon())?,
        PortPacket::signal(14, ZERO.bits(), ZERO.bits(), 0)
    );
    Ok(())
}

fn async_timestamp() -> Outcome {
    let (vmo, port) = (Vmo::create(0)?, Port::create()?);
    let before = time::now();
    vmo.wait_async_handle(&port, 15, ZERO, WaitAsyncOptions::TIMESTAMP)?;
    let packet = port.wait(NOW)?;
    let [_, _, timestamp, _] = packet.payload;
    check!(
        (before..=time::now()).contains(&(timestamp as i64)),
        "timestamp {timestamp}"
    );
    Ok(())
}

/// Closing the handle that was used takes the wait back.
fn async_wait_ends_with_its_handle() -> Outcome {
    let (vmo, port) = (Vmo::create(0)?, Port::create()?);
    let keep = vmo.duplicate_handle(Rights::SAME_RIGHTS)?;
    vmo.wait_async_handle(&port, 16, Signals::USER_0, ONCE)?;
    drop(vmo);
    keep.signal_handle(Signals::empty(), Signals::USER_0)?;
    equal!(port.wait(shortly()), Err(Status::TIMED_OUT));
    Ok(())
}

fn async_errors() -> Outcome {
    let (vmo, port) = (Vmo::create(0)?, Port::create()?);
    let (v, p) = (vmo.raw_handle(), port.raw_handle());
    let both = (WaitAsyncOptions::TIMESTAMP | WaitAsyncOptions::BOOT_TIMESTAMP).bits();
    status!(INVALID_ARGS, raw::object_wait_async(v, p, 1, 8, 8));
    status!(INVALID_ARGS, raw::object_wait_async(v, p, 1, 8, both));
    status!(BAD_HANDLE, raw::object_wait_async(v, 0, 1, 8, 0));
    status!(BAD_HANDLE, raw::object_wait_async(0, p, 1, 8, 0));
    status!(WRONG_TYPE, raw::object_wait_async(v, v, 1, 8, 0));
    // The port is looked at first.
    status!(WRONG_TYPE, raw::object_wait_async(0, v, 1, 8, 0));
    let reader = port.duplicate_handle(Rights::READ)?;
    let denied = vmo.wait_async_handle(&reader, 1, ZERO, ONCE);
    equal!(denied, Err(Status::ACCESS_DENIED));
    let deaf = vmo.duplicate_handle(Rights::DEFAULT_VMO - Rights::WAIT)?;
    equal!(
        deaf.wait_async_handle(&port, 1, ZERO, ONCE),
        Err(Status::ACCESS_DENIED)
    );
    Ok(())
}

cases! { "signals":
    user_signals_are_set_and_cleared signal_errors timed_out_wait_tells_signals wait_errors
    signal_wakes_a_waiter close_cancels_the_wait async_wait_sends_one_packet
    async_wait_for_the_present async_edge_waits_for_a_change async_zero_children async_timestamp
    async_wait_ends_with_its_handle async_errors
}
