//! Events, and waiting for several objects at once.

use core::marker::PhantomData;
use protocol::{RawHandle, Signals, Status};

use crate::handle::{created, object};
use crate::{AsHandleRef, sys};

object! {
    /// An event: an object that is nothing but its signals.
    Event
}

impl Event {
    /// `zx_event_create`.
    pub fn create() -> Result<Event, Status> {
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::event_create(0, out) }).map(Event)
    }
}

/// One object of [`object_wait_many`]: `zx_wait_item_t`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct WaitItem<'a> {
    handle: RawHandle,
    waitfor: u32,
    pending: u32,
    object: PhantomData<&'a ()>,
}

const _: () = assert!(
    size_of::<WaitItem<'_>>() == 12,
    "zx_wait_item_t is 12 bytes"
);

impl<'a> WaitItem<'a> {
    /// Waits for one of `signals` of `object`.
    pub fn new(object: &'a impl AsHandleRef, signals: Signals) -> Self {
        WaitItem {
            handle: object.raw_handle(),
            waitfor: signals.bits(),
            pending: 0,
            object: PhantomData,
        }
    }

    /// The object's signals, once the wait has ended.
    pub fn pending(&self) -> Signals {
        Signals::from_bits_retain(self.pending)
    }
}

/// `zx_object_wait_many`: true if a handle was closed during the wait. `pending` is filled in this case, too, and when the
/// wait times out.
pub fn object_wait_many(items: &mut [WaitItem<'_>], deadline: i64) -> Result<bool, Status> {
    let (address, count) = (items.as_mut_ptr() as u64, items.len() as u64);
    // SAFETY: the call reads and writes the items, which outlive it.
    match unsafe { sys::object_wait_many(address, count, deadline) } {
        Status::CANCELED => Ok(true),
        status => status.ok().map(|_| false),
    }
}
