//! Channels between threads.

use test_guests::{Outcome, cases, equal, soon};
use zx::{AsHandleRef, Channel, Handle, Signals, Status, Vmo};

/// A message waits for its reader, with a VMO whose content comes along.
fn messages_and_handles() -> Outcome {
    let (near, far) = Channel::create()?;
    equal!(near.basic_info()?.related_koid, far.basic_info()?.koid);
    let thread = zx::thread::spawn("reader", move || -> Result<u64, Status> {
        far.wait_handle(Signals::CHANNEL_READABLE, soon())?;
        let (mut bytes, mut handles) = ([0; 8], [Handle::from_raw(0)]);
        let size = far
            .read(&mut bytes, &mut handles)
            .map_err(|(status, _)| status)?;
        let [handle] = handles;
        let mut word = [0; 8];
        Vmo::from(handle).read(&mut word, 8)?;
        far.write(&word, [])?;
        Ok(u64::from_le_bytes(bytes) + u64::from(size.bytes + size.handles))
    })?;
    let vmo = Vmo::create(4096)?;
    vmo.write(b"a content", 8)?;
    near.write(&100u64.to_le_bytes(), [vmo.into()])?;
    equal!(thread.join(soon())??, 109);
    let mut bytes = [0; 8];
    let size = near
        .read(&mut bytes, &mut [])
        .map_err(|(status, _)| status)?;
    equal!((size.bytes, &bytes), (8, b"a conten"));
    let closed = near.wait_handle(Signals::CHANNEL_PEER_CLOSED, soon())?;
    equal!(closed, Signals::CHANNEL_PEER_CLOSED);
    equal!(near.write(b"", []), Err(Status::PEER_CLOSED));
    Ok(())
}

fn buffer_too_small_tells_the_size() -> Outcome {
    let (near, far) = Channel::create()?;
    let empty = far.read(&mut [], &mut []);
    equal!(
        empty.map_err(|(status, _)| status),
        Err(Status::SHOULD_WAIT)
    );
    near.write(b"12345", [Vmo::create(0)?.into()])?;
    let Err((status, size)) = far.read(&mut [0; 4], &mut []) else {
        test_guests::fail!("it fits");
    };
    equal!(
        (status, size.bytes, size.handles),
        (Status::BUFFER_TOO_SMALL, 5, 1)
    );
    let mut handles = [Handle::from_raw(0)];
    equal!(far.read(&mut [0; 5], &mut handles).is_ok(), true);
    let [handle] = handles;
    equal!(Vmo::from(handle).get_size()?, 0);
    Ok(())
}

/// A handle that was written is gone, whatever became of the message.
fn writes_consume_handles() -> Outcome {
    let (near, far) = Channel::create()?;
    drop(far);
    let vmo = Vmo::create(0)?;
    let raw = vmo.raw_handle();
    equal!(near.write(b"", [vmo.into()]), Err(Status::PEER_CLOSED));
    let gone = zx::Unowned::<Vmo>::from_raw(raw);
    equal!(gone.get_size(), Err(Status::BAD_HANDLE));
    Ok(())
}

cases! { "channels":
    messages_and_handles
    buffer_too_small_tells_the_size
    writes_consume_handles
}
