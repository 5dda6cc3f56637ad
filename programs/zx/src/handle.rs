//! Owned handles, and what can be done with a handle of any type.

use core::mem::{ManuallyDrop, size_of};
use core::ops::Deref;
use protocol::info::{InfoHandleBasic, TOPIC_HANDLE_BASIC, TOPIC_HANDLE_COUNT};
use protocol::options::{WaitAsyncOptions, property};
use protocol::{MAX_NAME_LEN, RawHandle, Rights, Signals, Status};

use crate::Port;
use crate::sys;

/// A handle that closes when dropped. 0 is "no handle".
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Handle(RawHandle);

impl Handle {
    /// Takes ownership of `raw`.
    pub const fn from_raw(raw: RawHandle) -> Self {
        Handle(raw)
    }

    /// Gives ownership up: nobody closes the handle.
    pub fn into_raw(self) -> RawHandle {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0 != 0 {
            // SAFETY: closing a handle touches no memory of the program.
            let _ = unsafe { sys::handle_close(self.0) };
        }
    }
}

/// The address of a value, for a system call that writes or reads it.
pub(crate) fn address_of<T>(value: &mut T) -> u64 {
    (&raw mut *value) as u64
}

/// Runs a call that answers with a new handle through an out-pointer.
pub(crate) fn created(call: impl FnOnce(u64) -> Status) -> Result<Handle, Status> {
    let mut raw: RawHandle = 0;
    call(address_of(&mut raw)).ok()?;
    Ok(Handle(raw))
}

/// What works on a handle of any type.
pub trait AsHandleRef {
    /// The handle's value; ownership stays where it is.
    fn raw_handle(&self) -> RawHandle;

    /// `zx_object_get_info(ZX_INFO_HANDLE_BASIC)`.
    fn basic_info(&self) -> Result<InfoHandleBasic, Status> {
        let mut info = InfoHandleBasic::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoHandleBasic>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe {
            sys::object_get_info(self.raw_handle(), TOPIC_HANDLE_BASIC, buffer, size, 0, 0).ok()?;
        }
        Ok(info)
    }

    /// `zx_object_get_info(ZX_INFO_HANDLE_COUNT)`: how many handles to the object there are.
    fn count_info(&self) -> Result<u32, Status> {
        let mut count = 0u32;
        let buffer = address_of(&mut count);
        // SAFETY: the count outlives the call and has room for 4 bytes.
        unsafe {
            sys::object_get_info(self.raw_handle(), TOPIC_HANDLE_COUNT, buffer, 4, 0, 0).ok()?;
        }
        Ok(count)
    }

    /// `zx_object_wait_one`: the signals that were asserted when the wait ended.
    ///
    /// # Errors
    /// TIMED_OUT when the deadline came first.
    fn wait_handle(&self, signals: Signals, deadline: i64) -> Result<Signals, Status> {
        let mut observed = 0u32;
        let out = address_of(&mut observed);
        // SAFETY: `observed` outlives the call.
        unsafe { sys::object_wait_one(self.raw_handle(), signals.bits(), deadline, out).ok()? };
        Ok(Signals::from_bits_retain(observed))
    }

    /// `zx_object_wait_async`: a packet with `key` comes to `port` once one of `signals` is asserted.
    fn wait_async_handle(
        &self,
        port: &Port,
        key: u64,
        signals: Signals,
        options: WaitAsyncOptions,
    ) -> Result<(), Status> {
        let (handle, port) = (self.raw_handle(), port.raw_handle());
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::object_wait_async(handle, port, key, signals.bits(), options.bits()).ok() }
    }

    /// `zx_object_signal`.
    fn signal_handle(&self, clear: Signals, set: Signals) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::object_signal(self.raw_handle(), clear.bits(), set.bits()).ok() }
    }

    /// `ZX_PROP_NAME`, with the NULs that fill it.
    fn get_name(&self) -> Result<[u8; MAX_NAME_LEN], Status> {
        let mut name = [0; MAX_NAME_LEN];
        let (out, size) = (address_of(&mut name), MAX_NAME_LEN as u64);
        // SAFETY: the array outlives the call and has room for `size` bytes.
        unsafe {
            sys::object_get_property(self.raw_handle(), property::NAME, out, size).ok()?;
        }
        Ok(name)
    }

    /// Sets `ZX_PROP_NAME`; longer names are cut at 31 bytes.
    fn set_name(&self, name: &str) -> Result<(), Status> {
        let (address, size) = (name.as_ptr() as u64, name.len() as u64);
        // SAFETY: the call only reads the name.
        unsafe { sys::object_set_property(self.raw_handle(), property::NAME, address, size).ok() }
    }
}

/// A type that owns a handle.
pub trait HandleBased: AsHandleRef + From<Handle> + Into<Handle> {
    /// `zx_handle_duplicate`.
    fn duplicate_handle(&self, rights: Rights) -> Result<Self, Status> {
        let raw = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::handle_duplicate(raw, rights.bits(), out) }).map(Self::from)
    }

    /// `zx_handle_replace`: the old handle is gone in every case.
    fn replace_handle(self, rights: Rights) -> Result<Self, Status> {
        let raw = self.into_raw();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::handle_replace(raw, rights.bits(), out) }).map(Self::from)
    }

    /// Takes ownership of `raw`.
    fn from_raw(raw: RawHandle) -> Self {
        Self::from(Handle::from_raw(raw))
    }

    /// Gives ownership up.
    fn into_raw(self) -> RawHandle {
        let handle: Handle = self.into();
        handle.into_raw()
    }
}

impl AsHandleRef for Handle {
    fn raw_handle(&self) -> RawHandle {
        self.0
    }
}

impl HandleBased for Handle {}

/// An object type over a handle that somebody else owns, for example one that a closure of another thread uses.
#[derive(Debug)]
pub struct Unowned<T: HandleBased>(ManuallyDrop<T>);

impl<T: HandleBased> Unowned<T> {
    /// Uses `raw` without owning it.
    pub fn from_raw(raw: RawHandle) -> Self {
        Unowned(ManuallyDrop::new(T::from_raw(raw)))
    }
}

impl<T: HandleBased> Deref for Unowned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name($crate::Handle);

        impl $crate::AsHandleRef for $name {
            fn raw_handle(&self) -> protocol::RawHandle {
                $crate::AsHandleRef::raw_handle(&self.0)
            }
        }

        impl From<$crate::Handle> for $name {
            fn from(handle: $crate::Handle) -> Self {
                $name(handle)
            }
        }

        impl From<$name> for $crate::Handle {
            fn from(object: $name) -> $crate::Handle {
                object.0
            }
        }

        impl $crate::HandleBased for $name {}
    };
}
pub(crate) use object;
