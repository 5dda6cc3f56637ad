//! Processes and threads as objects. Starting a thread on a Rust closure: [`crate::thread`].

use protocol::Status;
use protocol::options::property;

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, sys};

object! {
    /// A process.
    Process
}

/// What can be killed: jobs, processes, threads.
pub trait Task: AsHandleRef {
    /// `zx_task_kill`. Does not return if the caller is part of it.
    fn kill(&self) -> Result<(), Status> {
        // SAFETY: the call touches no memory of the program.
        unsafe { sys::task_kill(self.raw_handle()).ok() }
    }
}

impl Task for crate::Job {}
impl Task for Process {}
impl Task for Thread {}

object! {
    /// A thread.
    Thread
}

impl Process {
    /// `zx_thread_create`: a thread of this process that has not started yet.
    pub fn create_thread(&self, name: &str) -> Result<Thread, Status> {
        let (process, length) = (self.raw_handle(), name.len() as u64);
        let address = name.as_ptr() as u64;
        // SAFETY: the call reads the name; the out-pointer is valid.
        created(|out| unsafe { sys::thread_create(process, address, length, 0, out) }).map(Thread)
    }

    /// `zx_process_exit` of the calling process.
    pub fn exit(code: i64) -> ! {
        loop {
            // SAFETY: the call does not come back.
            let _ = unsafe { sys::process_exit(code) };
        }
    }
}

impl Thread {
    /// `zx_thread_start`: rip = `entry`, rsp = `stack`, rdi and rsi = the arguments.
    ///
    /// # Safety
    /// `entry` must be code that can run so, on a stack that is its own.
    pub unsafe fn start(
        &self,
        entry: usize,
        stack: usize,
        arg1: usize,
        arg2: usize,
    ) -> Result<(), Status> {
        let (thread, entry, stack) = (self.raw_handle(), entry as u64, stack as u64);
        // SAFETY: passed on to the caller.
        unsafe { sys::thread_start(thread, entry, stack, arg1 as u64, arg2 as u64).ok() }
    }

    /// Sets the fs base; only for the calling thread.
    pub fn set_fs_base(&self, base: usize) -> Result<(), Status> {
        self.set_base(property::REGISTER_FS, base)
    }

    /// Sets the gs base; only for the calling thread.
    pub fn set_gs_base(&self, base: usize) -> Result<(), Status> {
        self.set_base(property::REGISTER_GS, base)
    }

    fn set_base(&self, property: u32, base: usize) -> Result<(), Status> {
        let mut value = base as u64;
        let address = address_of(&mut value);
        // SAFETY: the call reads 8 bytes; Rust code uses neither fs nor gs on this target.
        unsafe { sys::object_set_property(self.raw_handle(), property, address, 8).ok() }
    }
}
