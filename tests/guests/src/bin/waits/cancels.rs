//! `zx_port_cancel` and `zx_port_cancel_key`.

use test_guests::raw;
use test_guests::{NOW, Outcome, cases, check, equal, shortly, soon, status};
use zx::{
    AsHandleRef, Event, HandleBased, PAGE_SIZE, PacketKind, Pager, Port, PortPacket, Rights,
    Signals, Status, Vmo, VmoOptions, WaitAsyncOptions,
};

const ONCE: WaitAsyncOptions = WaitAsyncOptions::empty();
const NONE: Signals = Signals::empty();
const SIGNALED: Signals = Signals::EVENT_SIGNALED;

fn user(key: u64) -> PortPacket {
    PortPacket {
        key,
        ..PortPacket::default()
    }
}

fn cancel_takes_back_waits_and_packets() -> Outcome {
    let (port, event) = (Port::create()?, Event::create()?);
    let same = event.duplicate_handle(Rights::SAME_RIGHTS)?;
    event.wait_async_handle(&port, 1, SIGNALED, ONCE)?;
    same.wait_async_handle(&port, 1, SIGNALED, ONCE)?;
    port.queue(&user(1))?;
    port.cancel(&event, 1)?;
    equal!(port.cancel(&event, 1), Err(Status::NOT_FOUND));
    event.signal_handle(NONE, SIGNALED)?;
    event.wait_async_handle(&port, 1, SIGNALED, ONCE)?;
    port.cancel(&event, 1)?;
    equal!(port.wait(NOW)?.kind, PacketKind::User as u32);
    equal!(port.wait(NOW)?.kind, PacketKind::SignalOne as u32);
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    Ok(())
}

fn cancel_key_takes_back_everything() -> Outcome {
    let (port, event, vmo) = (Port::create()?, Event::create()?, Vmo::create(0)?);
    for key in [1, 2] {
        port.queue(&user(key))?;
        event.wait_async_handle(&port, key, SIGNALED, ONCE)?;
        vmo.wait_async_handle(&port, key, Signals::VMO_ZERO_CHILDREN, ONCE)?;
    }
    port.cancel_key(1)?;
    equal!(port.cancel_key(1), Err(Status::NOT_FOUND));
    event.signal_handle(NONE, SIGNALED)?;
    for _ in 0..3 {
        equal!(port.wait(NOW)?.key, 2);
    }
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    Ok(())
}

/// A pager's request stays, and can be answered.
fn cancel_leaves_the_packets_of_pagers() -> Outcome {
    let (port, pager) = (Port::create()?, Pager::create()?);
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, 7, PAGE_SIZE)?;
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("reader", move || {
        let mut byte = [9];
        zx::Unowned::<Vmo>::from_raw(raw)
            .read(&mut byte, 0)
            .map(|()| byte[0])
    })?;
    // The request is in the port when the reader is blocked.
    check!(!thread.finished_by(shortly()));
    equal!(port.cancel_key(7), Err(Status::NOT_FOUND));
    equal!(port.cancel(&vmo, 7), Err(Status::NOT_FOUND));
    equal!(port.wait(soon())?.kind, PacketKind::PageRequest as u32);
    let aux = Vmo::create(PAGE_SIZE)?;
    aux.write(&[5], 0)?;
    pager.supply_pages(&vmo, 0..PAGE_SIZE, &aux, 0)?;
    equal!(thread.join(soon())?, Ok(5));
    Ok(())
}

fn cancel_errors() -> Outcome {
    let (port, event, vmo) = (Port::create()?, Event::create()?, Vmo::create(0)?);
    let (p, e, v) = (port.raw_handle(), event.raw_handle(), vmo.raw_handle());
    let reader = port.duplicate_handle(Rights::READ)?.into_raw();
    let deaf = event.duplicate_handle(Rights::SIGNAL)?.into_raw();
    status!(BAD_HANDLE, raw::port_cancel(0, 0, 1));
    status!(WRONG_TYPE, raw::port_cancel(v, 0, 1));
    status!(ACCESS_DENIED, raw::port_cancel(reader, 0, 1));
    status!(BAD_HANDLE, raw::port_cancel(p, 0, 1));
    status!(ACCESS_DENIED, raw::port_cancel(p, deaf, 1));
    status!(ACCESS_DENIED, raw::port_cancel(p, p, 1));
    status!(NOT_FOUND, raw::port_cancel(p, e, 1));
    status!(INVALID_ARGS, raw::port_cancel_key(0, 1, 1));
    status!(BAD_HANDLE, raw::port_cancel_key(0, 0, 1));
    status!(WRONG_TYPE, raw::port_cancel_key(v, 0, 1));
    status!(ACCESS_DENIED, raw::port_cancel_key(reader, 0, 1));
    status!(NOT_FOUND, raw::port_cancel_key(p, 0, 1));
    status!(OK, raw::handle_close(reader));
    status!(OK, raw::handle_close(deaf));
    Ok(())
}

/// Fills a port: the 4098th packet raises a policy exception.
pub fn port_full() -> Outcome {
    let port = Port::create()?;
    for _ in 0..4097 {
        port.queue(&user(1))?;
    }
    zx::println!("4097 are queued");
    port.queue(&user(1))?;
    Ok(())
}

cases! { "cancels":
    cancel_takes_back_waits_and_packets cancel_key_takes_back_everything
    cancel_leaves_the_packets_of_pagers cancel_errors
}
