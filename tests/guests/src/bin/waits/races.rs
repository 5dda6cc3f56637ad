//! Waits that race with signals, closes and cancels of other threads. Each case is right however the threads come.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use test_guests::{NOW, Outcome, cases, check, equal, fail, soon};
use zx::{
    AsHandleRef, Event, HandleBased, Port, PortPacket, Rights, Signals, Status, Unowned,
    WaitAsyncOptions, WaitItem, object_wait_many, time,
};

const ONCE: WaitAsyncOptions = WaitAsyncOptions::empty();
const NONE: Signals = Signals::empty();
const SIGNALED: Signals = Signals::EVENT_SIGNALED;
const ROUNDS: u32 = 200;

/// A waiter whose handle is closed learns of it, or comes too late and finds no handle.
fn closes_against_waits() -> Outcome {
    static HANDLE: AtomicU32 = AtomicU32::new(0);
    let (event, turn) = (Event::create()?, Event::create()?);
    let turn_raw = turn.raw_handle();
    let waiter = zx::thread::spawn("waiter", move || {
        let turn = Unowned::<Event>::from_raw(turn_raw);
        for _ in 0..ROUNDS {
            turn.wait_handle(SIGNALED, soon())?;
            turn.signal_handle(SIGNALED, NONE)?;
            let victim = Unowned::<Event>::from_raw(HANDLE.load(SeqCst));
            match victim.wait_handle(SIGNALED, soon()) {
                Err(Status::CANCELED | Status::BAD_HANDLE) => {}
                Ok(_) => return Err(Status::BAD_STATE),
                Err(other) => return Err(other),
            }
            turn.signal_handle(NONE, Signals::USER_0)?;
        }
        Ok(())
    })?;
    for round in 0..ROUNDS {
        let victim = event.duplicate_handle(Rights::SAME_RIGHTS)?;
        HANDLE.store(victim.raw_handle(), SeqCst);
        turn.signal_handle(NONE, SIGNALED)?;
        // Now and then the waiter is surely blocked, mostly the two race.
        if round % 50 == 0 {
            time::sleep_until(time::after_millis(2))?;
        }
        drop(victim);
        turn.wait_handle(Signals::USER_0, soon())?;
        turn.signal_handle(Signals::USER_0, NONE)?;
    }
    equal!(waiter.join(soon())?, Ok(()));
    Ok(())
}

/// Two threads signal, one waits for both: no signal is lost.
fn signals_against_wait_many() -> Outcome {
    let (a, b) = (Event::create()?, Event::create()?);
    let raws = [a.raw_handle(), b.raw_handle()];
    let signaller = |raw: zx::RawHandle| {
        zx::thread::spawn("signaller", move || {
            let event = Unowned::<Event>::from_raw(raw);
            for _ in 0..ROUNDS {
                event.signal_handle(NONE, SIGNALED)?;
                event.wait_handle(Signals::USER_0, soon())?;
                event.signal_handle(Signals::USER_0, NONE)?;
            }
            Ok::<_, Status>(())
        })
    };
    let threads = [signaller(raws[0])?, signaller(raws[1])?];
    let mut seen = [0; 2];
    while seen != [ROUNDS; 2] {
        let mut items = [WaitItem::new(&a, SIGNALED), WaitItem::new(&b, SIGNALED)];
        equal!(object_wait_many(&mut items, soon()), Ok(false));
        for ((item, event), seen) in items.iter().zip([&a, &b]).zip(&mut seen) {
            if item.pending().contains(SIGNALED) {
                *seen += 1;
                event.signal_handle(SIGNALED, Signals::USER_0)?;
            }
        }
    }
    for thread in threads {
        equal!(thread.join(soon())?, Ok(()));
    }
    Ok(())
}

/// A wait that is cancelled by key is gone, whether it had seen its signal or not; nothing comes afterwards.
fn cancel_key_against_signals() -> Outcome {
    let (port, event) = (Port::create()?, Event::create()?);
    let raw = event.raw_handle();
    let stop = Event::create()?;
    let stop_raw = stop.raw_handle();
    let strober = zx::thread::spawn("strober", move || {
        let (event, stop) = (
            Unowned::<Event>::from_raw(raw),
            Unowned::<Event>::from_raw(stop_raw),
        );
        while stop.wait_handle(SIGNALED, NOW) == Err(Status::TIMED_OUT) {
            event.signal_handle(NONE, SIGNALED)?;
            event.signal_handle(SIGNALED, NONE)?;
        }
        Ok::<_, Status>(())
    })?;
    for round in 0..ROUNDS {
        event.wait_async_handle(&port, 1, SIGNALED, ONCE)?;
        let cancelled = match round % 2 {
            0 => port.cancel_key(1),
            _ => port.cancel(&event, 1),
        };
        check!(cancelled == Ok(()), "round {round}: {cancelled:?}");
        let left = port.wait(NOW);
        check!(left == Err(Status::TIMED_OUT), "round {round}: {left:?}");
    }
    stop.signal_handle(NONE, SIGNALED)?;
    equal!(strober.join(soon())?, Ok(()));
    Ok(())
}

/// Packets with one key are cancelled under the reader's hands; all others arrive in order.
fn cancel_key_against_a_reader() -> Outcome {
    let port = Port::create()?;
    let raw = port.raw_handle();
    let reader = zx::thread::spawn("reader", move || {
        let port = Unowned::<Port>::from_raw(raw);
        let mut next = 0;
        while next < u64::from(ROUNDS) {
            let packet = port.wait(soon())?;
            if packet.key == 2 {
                if packet.payload[0] != next {
                    return Err(Status::IO_DATA_LOSS);
                }
                next += 1;
            }
        }
        Ok(())
    })?;
    let packet = |key, number| PortPacket {
        key,
        payload: [number, 0, 0, 0],
        ..PortPacket::default()
    };
    for number in 0..u64::from(ROUNDS) {
        port.queue(&packet(1, number))?;
        port.queue(&packet(2, number))?;
        match port.cancel_key(1) {
            Ok(()) | Err(Status::NOT_FOUND) => {}
            Err(other) => fail!("cancel_key: {other}"),
        }
    }
    equal!(reader.join(soon())?, Ok(()));
    // What the reader had not taken was cancelled.
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    Ok(())
}

/// Deadlines and signals at the same moment: each wait ends once, with one or the other.
fn deadlines_against_signals() -> Outcome {
    let event = Event::create()?;
    let raw = event.raw_handle();
    let waiter = zx::thread::spawn("waiter", move || {
        let event = Unowned::<Event>::from_raw(raw);
        let mut ends = 0;
        for _ in 0..ROUNDS {
            let deadline = time::now() + 100_000;
            match event.wait_handle(SIGNALED, deadline) {
                Ok(_) => event.signal_handle(SIGNALED, NONE)?,
                Err(Status::TIMED_OUT) if time::now() >= deadline => {}
                Err(Status::TIMED_OUT) => return Err(Status::BAD_STATE),
                Err(other) => return Err(other),
            }
            ends += 1;
        }
        Ok(ends)
    })?;
    while !waiter.finished_by(time::now() + 150_000) {
        event.signal_handle(NONE, SIGNALED)?;
    }
    let ends = waiter.join(soon())?;
    check!(ends == Ok(ROUNDS), "{ends:?}");
    Ok(())
}

cases! { "races":
    closes_against_waits signals_against_wait_many cancel_key_against_signals
    cancel_key_against_a_reader deadlines_against_signals
}
