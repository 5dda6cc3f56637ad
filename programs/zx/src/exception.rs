//! Exceptions as a handler sees them.

use protocol::Status;
use protocol::exception::{ExceptionInfo, ExceptionReport};
use protocol::info::TOPIC_THREAD_EXCEPTION_REPORT;
use protocol::options::property;

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, Channel, Handle, Process, Thread, sys};

object! {
    /// An exception: its thread stands until the last handle is closed.
    Exception
}

impl Exception {
    /// The next exception of a channel that `Task::create_exception_channel` made.
    ///
    /// # Errors
    /// As `zx_channel_read`; BUFFER_TOO_SMALL for a message that is no exception.
    pub fn read(channel: &Channel) -> Result<(ExceptionInfo, Exception), Status> {
        let mut bytes = [0; size_of::<ExceptionInfo>()];
        let mut handles = [Handle::from_raw(0)];
        channel
            .read(&mut bytes, &mut handles)
            .map_err(|(status, _)| status)?;
        let [handle] = handles;
        Ok((ExceptionInfo::from_bytes(&bytes), Exception(handle)))
    }

    /// `zx_exception_get_thread`.
    pub fn get_thread(&self) -> Result<Thread, Status> {
        let exception = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::exception_get_thread(exception, out) }).map(Thread::from)
    }

    /// `zx_exception_get_process`.
    pub fn get_process(&self) -> Result<Process, Status> {
        let exception = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::exception_get_process(exception, out) }).map(Process::from)
    }

    /// Says what becomes of the thread, with one of [`protocol::exception::state`].
    pub fn set_exception_state(&self, state: u32) -> Result<(), Status> {
        let mut state = state;
        let (address, exception) = (address_of(&mut state), self.raw_handle());
        // SAFETY: the call reads 4 bytes.
        unsafe { sys::object_set_property(exception, property::EXCEPTION_STATE, address, 4).ok() }
    }
}

impl Thread {
    /// `zx_object_get_info(ZX_INFO_THREAD_EXCEPTION_REPORT)`.
    pub fn exception_report(&self) -> Result<ExceptionReport, Status> {
        let mut report = ExceptionReport::default();
        let (buffer, size) = (address_of(&mut report), size_of::<ExceptionReport>() as u64);
        let topic = TOPIC_THREAD_EXCEPTION_REPORT;
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), topic, buffer, size, 0, 0).ok()? };
        Ok(report)
    }
}
