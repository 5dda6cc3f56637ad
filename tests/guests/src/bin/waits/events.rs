//! Events, and waits for several objects at once.

use test_guests::raw::{self, out};
use test_guests::{NOW, Outcome, cases, check, equal, fail, shortly, soon, status};
use zx::{
    AsHandleRef, Event, HandleBased, Port, Rights, Signals, Status, Unowned, Vmo, WaitItem,
    object_wait_many, time,
};

const NONE: Signals = Signals::empty();
const SIGNALED: Signals = Signals::EVENT_SIGNALED;
const USER_0: Signals = Signals::USER_0;

fn create() -> Outcome {
    let event = Event::create()?;
    equal!(event.basic_info()?.rights, Rights::DEFAULT_EVENT.bits());
    equal!(event.wait_handle(SIGNALED, NOW), Err(Status::TIMED_OUT));
    event.signal_handle(NONE, SIGNALED | USER_0)?;
    equal!(event.wait_handle(SIGNALED, NOW)?, SIGNALED | USER_0);
    event.signal_handle(SIGNALED, NONE)?;
    equal!(event.wait_handle(SIGNALED, NOW), Err(Status::TIMED_OUT));
    Ok(())
}

fn handles_are_counted() -> Outcome {
    let event = Event::create()?;
    equal!(event.count_info()?, 1);
    let other = event.duplicate_handle(Rights::SAME_RIGHTS)?;
    equal!(event.count_info()?, 2);
    drop(other);
    equal!(event.count_info()?, 1);
    let blind = event.duplicate_handle(Rights::WAIT)?;
    equal!(blind.count_info(), Err(Status::ACCESS_DENIED));
    Ok(())
}

fn create_errors() -> Outcome {
    let mut handle = 0u32;
    status!(INVALID_ARGS, raw::event_create(1, out(&mut handle)));
    for address in raw::bad_addresses() {
        status!(INVALID_ARGS, raw::event_create(0, address));
    }
    let event = Event::create()?;
    let closed = Signals::HANDLE_CLOSED.bits();
    status!(
        INVALID_ARGS,
        raw::object_signal(event.raw_handle(), 0, closed)
    );
    Ok(())
}

fn many_fills_pending() -> Outcome {
    let (a, b, vmo) = (Event::create()?, Event::create()?, Vmo::create(0)?);
    b.signal_handle(NONE, USER_0)?;
    let mut items = [
        WaitItem::new(&a, SIGNALED),
        WaitItem::new(&b, SIGNALED),
        WaitItem::new(&vmo, NONE),
    ];
    let deadline = shortly();
    equal!(
        object_wait_many(&mut items, deadline),
        Err(Status::TIMED_OUT)
    );
    check!(time::now() >= deadline);
    equal!(
        items.map(|item| item.pending()),
        [NONE, USER_0, Signals::VMO_ZERO_CHILDREN]
    );
    a.signal_handle(NONE, SIGNALED)?;
    equal!(object_wait_many(&mut items, soon()), Ok(false));
    equal!(items[0].pending(), SIGNALED);
    Ok(())
}

fn many_of_nothing_sleeps() -> Outcome {
    let deadline = shortly();
    equal!(object_wait_many(&mut [], deadline), Err(Status::TIMED_OUT));
    check!(time::now() >= deadline);
    Ok(())
}

/// A thread waits for 64 events; the last one wakes it.
fn many_takes_64() -> Outcome {
    let mut events = [const { None }; 64];
    for slot in &mut events {
        *slot = Some(Event::create()?);
    }
    let handles = events.each_ref().map(|event| {
        let event = event.as_ref();
        event.map_or(0, AsHandleRef::raw_handle)
    });
    let thread = zx::thread::spawn("many", move || {
        let events = handles.map(Unowned::<Event>::from_raw);
        let mut items = events
            .each_ref()
            .map(|event| WaitItem::new(&**event, SIGNALED));
        let result = object_wait_many(&mut items, soon());
        (result, items[63].pending(), items[0].pending())
    })?;
    check!(!thread.finished_by(shortly()));
    if let [.., Some(last)] = &events {
        last.signal_handle(NONE, SIGNALED)?;
    }
    equal!(thread.join(soon())?, (Ok(false), SIGNALED, NONE));
    Ok(())
}

fn many_is_canceled_by_a_close() -> Outcome {
    let (a, b) = (Event::create()?, Event::create()?);
    let keep = b.duplicate_handle(Rights::SAME_RIGHTS)?;
    let handles = [a.raw_handle(), b.raw_handle()];
    let thread = zx::thread::spawn("many", move || {
        let events = handles.map(Unowned::<Event>::from_raw);
        let mut items = events
            .each_ref()
            .map(|event| WaitItem::new(&**event, SIGNALED));
        let result = object_wait_many(&mut items, time::TIME_INFINITE);
        (result, items.map(|item| item.pending()))
    })?;
    if thread.finished_by(shortly()) {
        fail!("the wait ended too early");
    }
    drop(b);
    let (result, pending) = thread.join(soon())?;
    equal!(result, Ok(true));
    equal!(pending, [NONE, Signals::HANDLE_CLOSED]);
    drop(keep);
    Ok(())
}

fn many_errors() -> Outcome {
    let (event, port) = (Event::create()?, Port::create()?);
    status!(INVALID_ARGS, raw::object_wait_many(0, 64, NOW));
    status!(OUT_OF_RANGE, raw::object_wait_many(0, 65, NOW));
    status!(OUT_OF_RANGE, raw::object_wait_many(0, u64::MAX, NOW));
    for address in raw::bad_addresses() {
        // An item that can be read is the null handle.
        let status = raw::object_wait_many(address, 1, NOW);
        check!(matches!(status, Status::INVALID_ARGS | Status::BAD_HANDLE));
    }
    let deaf = event.duplicate_handle(Rights::DEFAULT_EVENT - Rights::WAIT)?;
    event.signal_handle(NONE, SIGNALED)?;
    let mut items = [WaitItem::new(&event, SIGNALED), WaitItem::new(&deaf, NONE)];
    equal!(
        object_wait_many(&mut items, NOW),
        Err(Status::ACCESS_DENIED)
    );
    items[1] = WaitItem::new(&port, NONE);
    equal!(
        object_wait_many(&mut items, NOW),
        Err(Status::ACCESS_DENIED)
    );
    let null = zx::Handle::from_raw(0);
    items[1] = WaitItem::new(&null, NONE);
    equal!(object_wait_many(&mut items, NOW), Err(Status::BAD_HANDLE));
    Ok(())
}

cases! { "events":
    create handles_are_counted create_errors many_fills_pending many_of_nothing_sleeps many_takes_64
    many_is_canceled_by_a_close many_errors
}
