//! Processes and threads as objects. Starting a thread on a Rust closure: [`crate::thread`].

use protocol::info::{InfoProcess, InfoThread, TOPIC_PROCESS, TOPIC_THREAD};
use protocol::maps::{InfoMaps, TOPIC_PROCESS_MAPS};
use protocol::options::property;
use protocol::regs::state_kind;
use protocol::{GeneralRegs, Status};

use crate::handle::{address_of, created, object};
use crate::{AsHandleRef, Channel, Handle, sys};

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

    /// `zx_task_suspend`: the task stands until the token is closed.
    fn suspend(&self) -> Result<Handle, Status> {
        let task = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::task_suspend(task, out) })
    }

    /// `zx_task_create_exception_channel`.
    fn create_exception_channel(&self) -> Result<Channel, Status> {
        let task = self.raw_handle();
        // SAFETY: the out-pointer is valid for the call.
        created(|out| unsafe { sys::task_create_exception_channel(task, 0, out) })
            .map(Channel::from)
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

    /// `zx_process_start`: as [`Thread::start`], but the first argument is a handle that moves into the process.
    ///
    /// # Safety
    /// `entry` must be code that can run so in the process.
    pub unsafe fn start(
        &self,
        thread: &Thread,
        entry: usize,
        stack: usize,
        arg1: Handle,
        arg2: usize,
    ) -> Result<(), Status> {
        let (process, thread) = (self.raw_handle(), thread.raw_handle());
        let (entry, stack) = (entry as u64, stack as u64);
        let (arg1, arg2) = (arg1.into_raw(), arg2 as u64);
        // SAFETY: passed on to the caller.
        unsafe { sys::process_start(process, thread, entry, stack, arg1, arg2).ok() }
    }

    /// `zx_object_get_info(ZX_INFO_PROCESS)`.
    pub fn info(&self) -> Result<InfoProcess, Status> {
        let mut info = InfoProcess::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoProcess>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_PROCESS, buffer, size, 0, 0).ok()? };
        Ok(info)
    }

    /// `zx_object_get_info(ZX_INFO_PROCESS_MAPS)`: the nodes of its address space, as many as `maps` has room for.
    pub fn info_maps<'a>(&self, maps: &'a mut [InfoMaps]) -> Result<&'a [InfoMaps], Status> {
        let (buffer, size) = (maps.as_mut_ptr() as u64, size_of_val(maps) as u64);
        let (mut actual, topic) = (0u64, TOPIC_PROCESS_MAPS);
        let (process, out) = (self.raw_handle(), address_of(&mut actual));
        // SAFETY: the records and the count outlive the call.
        unsafe { sys::object_get_info(process, topic, buffer, size, out, 0).ok()? };
        Ok(maps.get(..actual as usize).unwrap_or(maps))
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

    /// `zx_thread_read_state(ZX_THREAD_STATE_GENERAL_REGS)`.
    pub fn read_state_general_regs(&self) -> Result<GeneralRegs, Status> {
        let mut regs = GeneralRegs::default();
        let (buffer, size) = (address_of(&mut regs), GeneralRegs::SIZE as u64);
        let kind = state_kind::GENERAL_REGS;
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::thread_read_state(self.raw_handle(), kind, buffer, size).ok()? };
        Ok(regs)
    }

    /// `zx_thread_write_state(ZX_THREAD_STATE_GENERAL_REGS)`.
    ///
    /// # Safety
    /// The thread must be able to go on with these registers.
    pub unsafe fn write_state_general_regs(&self, regs: &GeneralRegs) -> Result<(), Status> {
        let mut copy = *regs;
        let (buffer, size) = (address_of(&mut copy), GeneralRegs::SIZE as u64);
        let kind = state_kind::GENERAL_REGS;
        // SAFETY: the call only reads the record; what the thread does then is the caller's care.
        unsafe { sys::thread_write_state(self.raw_handle(), kind, buffer, size).ok() }
    }

    /// `zx_object_get_info(ZX_INFO_THREAD)`.
    pub fn info(&self) -> Result<InfoThread, Status> {
        let mut info = InfoThread::default();
        let (buffer, size) = (address_of(&mut info), size_of::<InfoThread>() as u64);
        // SAFETY: the record outlives the call and has room for `size` bytes.
        unsafe { sys::object_get_info(self.raw_handle(), TOPIC_THREAD, buffer, size, 0, 0).ok()? };
        Ok(info)
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
