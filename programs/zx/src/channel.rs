//! Channels: messages with handles in them.

use protocol::{RawHandle, Signals, Status};

use crate::handle::{address_of, object};
use crate::{AsHandleRef, Handle, HandleBased, sys};

object! {
    /// One end of a channel.
    Channel
}

/// How much of the buffers of [`Channel::read`] a message filled; with BUFFER_TOO_SMALL, how much it would.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageSize {
    /// Bytes.
    pub bytes: u32,
    /// Handles.
    pub handles: u32,
}

impl Channel {
    /// `zx_channel_create`: both ends.
    pub fn create() -> Result<(Channel, Channel), Status> {
        let mut ends: [RawHandle; 2] = [0; 2];
        let [first, second] = &mut ends;
        let (first, second) = (address_of(first), address_of(second));
        // SAFETY: both out-pointers are valid for the call.
        unsafe { sys::channel_create(0, first, second).ok()? };
        let [first, second] = ends.map(Channel::from_raw);
        Ok((first, second))
    }

    /// `zx_channel_write`. The handles are gone in every case.
    pub fn write<const N: usize>(&self, bytes: &[u8], handles: [Handle; N]) -> Result<(), Status> {
        self.write_raw(bytes, &handles.map(Handle::into_raw))
    }

    /// As [`Channel::write`], with the values of handles that the caller owns and gives away.
    pub(crate) fn write_raw(&self, bytes: &[u8], handles: &[RawHandle]) -> Result<(), Status> {
        let (length, count) = (bytes.len() as u32, handles.len() as u32);
        let (bytes, handles) = (bytes.as_ptr() as u64, handles.as_ptr() as u64);
        // SAFETY: the call only reads the bytes and the values.
        unsafe { sys::channel_write(self.raw_handle(), 0, bytes, length, handles, count).ok() }
    }

    /// `zx_object_signal_peer`: changes user signals of the other end.
    pub fn signal_peer(&self, clear: Signals, set: Signals) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::object_signal_peer(self.raw_handle(), clear.bits(), set.bits()).ok() }
    }

    /// `zx_channel_read`: the next message. Places without a handle afterwards hold 0.
    ///
    /// # Errors
    /// With BUFFER_TOO_SMALL the sizes are those of the message, which stays where it is.
    pub fn read(
        &self,
        bytes: &mut [u8],
        handles: &mut [Handle],
    ) -> Result<MessageSize, (Status, MessageSize)> {
        for handle in handles.iter_mut() {
            *handle = Handle::from_raw(0);
        }
        let mut size = MessageSize::default();
        let (actual_bytes, actual_handles) =
            (address_of(&mut size.bytes), address_of(&mut size.handles));
        let (length, count) = (bytes.len() as u32, handles.len() as u32);
        let (to, values) = (bytes.as_mut_ptr() as u64, handles.as_mut_ptr() as u64);
        let channel = self.raw_handle();
        // SAFETY: the call writes within the buffers; a `Handle` is its value and nothing else.
        let status = unsafe {
            sys::channel_read(
                channel,
                0,
                to,
                values,
                length,
                count,
                actual_bytes,
                actual_handles,
            )
        };
        status.ok().map(|()| size).map_err(|status| (status, size))
    }
}

const _: () = assert!(size_of::<Handle>() == size_of::<RawHandle>());
