//! Ports: order, deadlines, errors.

use test_guests::pages::PAGE;
use test_guests::raw::{self, out};
use test_guests::{NOW, Outcome, cases, check, equal, fail, shortly, soon, status};
use zx::{
    AsHandleRef, HandleBased, Mapping, PAGE_SIZE, PacketKind, Port, PortPacket, Rights, Status,
    Unowned, Vmo, time,
};

fn packet(key: u64) -> PortPacket {
    PortPacket {
        key,
        kind: 0,
        status: -3,
        payload: [key, !key, 1, u64::MAX],
    }
}

/// First in, first out; key, status and payload come back, the kind is always USER.
fn fifo() -> Outcome {
    let port = Port::create()?;
    for key in 0..100 {
        port.queue(&PortPacket {
            kind: 77,
            ..packet(key)
        })?;
    }
    for key in 0..100 {
        let expected = PortPacket {
            kind: PacketKind::User as u32,
            ..packet(key)
        };
        equal!(port.wait(NOW)?, expected);
    }
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    Ok(())
}

fn rights() -> Outcome {
    let port = Port::create()?;
    equal!(port.basic_info()?.rights, Rights::DEFAULT_PORT.bits());
    let reader = port.duplicate_handle(Rights::READ)?;
    equal!(reader.queue(&packet(1)), Err(Status::ACCESS_DENIED));
    let writer = port.duplicate_handle(Rights::WRITE)?;
    equal!(writer.wait(NOW), Err(Status::ACCESS_DENIED));
    writer.queue(&packet(1))?;
    equal!(reader.wait(NOW)?, packet(1));
    Ok(())
}

/// A deadline in the future is waited for, one in the past is not.
fn deadline() -> Outcome {
    let port = Port::create()?;
    let deadline = shortly();
    equal!(port.wait(deadline), Err(Status::TIMED_OUT));
    check!(
        time::now() >= deadline,
        "woken {} ns too early",
        deadline - time::now()
    );
    equal!(port.wait(0), Err(Status::TIMED_OUT));
    equal!(port.wait(-1), Err(Status::TIMED_OUT));
    Ok(())
}

/// A packet that is there is delivered however old the deadline.
fn packet_beats_deadline() -> Outcome {
    let port = Port::create()?;
    port.queue(&packet(5))?;
    equal!(port.wait(NOW)?, packet(5));
    Ok(())
}

/// A waiting thread gets a packet that is queued later.
fn wakes_a_waiter() -> Outcome {
    let port = Port::create()?;
    let raw = port.raw_handle();
    let thread = zx::thread::spawn("waiter", move || {
        Unowned::<Port>::from_raw(raw).wait(time::TIME_INFINITE)
    })?;
    if thread.finished_by(shortly()) {
        fail!("a packet came from nowhere");
    }
    port.queue(&packet(9))?;
    equal!(thread.join(soon())?, Ok(packet(9)));
    Ok(())
}

/// Each packet goes to one waiter.
fn one_packet_one_waiter() -> Outcome {
    const COUNT: usize = 4;
    let port = Port::create()?;
    let raw = port.raw_handle();
    let mut threads = [const { None }; COUNT];
    for slot in &mut threads {
        *slot = Some(zx::thread::spawn("waiter", move || {
            Unowned::<Port>::from_raw(raw)
                .wait(soon())
                .map(|packet| packet.key)
        })?);
    }
    for key in 0..COUNT as u64 {
        port.queue(&packet(1 << key))?;
    }
    let mut keys = 0;
    for thread in threads.into_iter().flatten() {
        keys |= thread.join(soon())??;
    }
    equal!(keys, (1 << COUNT) - 1);
    equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    Ok(())
}

fn create_errors() -> Outcome {
    let mut handle = 0u32;
    status!(INVALID_ARGS, raw::port_create(2, out(&mut handle)));
    status!(INVALID_ARGS, raw::port_create(u32::MAX, out(&mut handle)));
    for address in raw::bad_addresses() {
        status!(INVALID_ARGS, raw::port_create(0, address));
    }
    // ZX_PORT_BIND_TO_INTERRUPT
    status!(OK, raw::port_create(1, out(&mut handle)));
    status!(OK, raw::handle_close(handle));
    Ok(())
}

fn queue_and_wait_errors() -> Outcome {
    let port = Port::create()?;
    let raw = port.raw_handle();
    let mut buffer = packet(1);
    status!(BAD_HANDLE, raw::port_queue(0, out(&mut buffer)));
    status!(BAD_HANDLE, raw::port_wait(0, NOW, out(&mut buffer)));
    let vmo = Vmo::create(0)?;
    status!(
        WRONG_TYPE,
        raw::port_queue(vmo.raw_handle(), out(&mut buffer))
    );
    status!(
        WRONG_TYPE,
        raw::port_wait(vmo.raw_handle(), NOW, out(&mut buffer))
    );
    status!(INVALID_ARGS, raw::port_queue(raw, 0));
    status!(INVALID_ARGS, raw::port_queue(raw, 0x1000));
    // A packet whose place cannot be written is taken all the same.
    for address in raw::bad_addresses() {
        port.queue(&packet(1))?;
        status!(INVALID_ARGS, raw::port_wait(raw, NOW, address));
        equal!(port.wait(NOW), Err(Status::TIMED_OUT));
    }
    Ok(())
}

/// The packet's buffer may lie across two absent pages, for both calls.
fn packets_on_absent_pages() -> Outcome {
    let port = Port::create()?;
    let vmo = Vmo::create(4 * PAGE_SIZE)?;
    let mapping = Mapping::read_write(&vmo, 0, 4 * PAGE)?;
    let zeros = (mapping.base() + PAGE - 20) as u64;
    status!(OK, raw::port_queue(port.raw_handle(), zeros));
    equal!(port.wait(NOW)?, PortPacket::default());
    port.queue(&packet(33))?;
    let out = mapping.base() + 3 * PAGE - 20;
    status!(OK, raw::port_wait(port.raw_handle(), NOW, out as u64));
    let mut bytes = [0; PortPacket::SIZE];
    mapping.copy_out(3 * PAGE - 20, &mut bytes)?;
    equal!(PortPacket::from_bytes(&bytes), packet(33));
    Ok(())
}

/// Packets of a port whose last handle is closed go with it; a VMO may still be served without it.
fn closed_port() -> Outcome {
    let port = Port::create()?;
    for key in 0..10 {
        port.queue(&packet(key))?;
    }
    let raw = port.raw_handle();
    drop(port);
    let mut buffer = packet(1);
    status!(BAD_HANDLE, raw::port_wait(raw, NOW, out(&mut buffer)));
    Ok(())
}

cases! { "ports":
    fifo rights deadline packet_beats_deadline wakes_a_waiter one_packet_one_waiter create_errors
    queue_and_wait_errors packets_on_absent_pages closed_port
}
