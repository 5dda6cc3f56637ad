//! What gdb asks of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use gdbstub::common::{Pid, Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints as BreakpointsExt, BreakpointsOps, SwBreakpoint, SwBreakpointOps,
};
use gdbstub::target::ext::exec_file::{ExecFile, ExecFileOps};
use gdbstub::target::ext::host_io::{
    HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps,
    HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoOps, HostIoPread,
    HostIoPreadOps, HostIoResult, HostIoStat,
};
use gdbstub::target::ext::libraries::{Libraries, LibrariesOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{self, TargetError, TargetResult};
use zircon::{DebuggedThread, Running, ThreadId};

use super::arch::{Amd64, Amd64Registers};
use super::breakpoints::Breakpoints;
use super::connection::Connection;
use super::files::{Files, part};
use super::stops::{self, Action, Stops, tid};
use crate::hypercall::Vm;

/// gdb's number of an error of memory.
const EFAULT: u8 = 14;

/// The program of a VM, to one gdb.
pub(super) struct Target<'a> {
    vm: Arc<Vm>,
    files: &'a Files,
    breakpoints: Breakpoints,
    stops: Stops,
    actions: BTreeMap<ThreadId, Action>,
    /// Threads without an action stay.
    locked: bool,
    running: Running,
    /// gdb waits for a stop.
    resumed: bool,
}

impl<'a> Target<'a> {
    pub fn new(vm: &Arc<Vm>, files: &'a Files) -> Self {
        Target {
            vm: Arc::clone(vm),
            files,
            breakpoints: Breakpoints::default(),
            stops: Stops::default(),
            actions: BTreeMap::new(),
            locked: false,
            running: Running::Nobody,
            resumed: false,
        }
    }

    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Stops the program.
    pub fn attach(&mut self) {
        self.stand();
    }

    /// Lets the program go on as if nothing had been.
    pub fn leave(&mut self) {
        if !self.vm.is_stopped() {
            self.stand();
            self.breakpoints.clear_all(&self.vm);
            self.stops.leave(&self.vm);
        }
    }

    fn stand(&mut self) {
        self.resumed = false;
        self.stops.stand(&self.vm, &self.breakpoints);
    }

    fn thread(&self, tid: Tid) -> Option<DebuggedThread> {
        let id = ThreadId(tid.get() as u64);
        let mut threads = self.vm.debugged_threads().into_iter();
        threads.find(|thread| thread.thread == id)
    }

    /// The next thing to tell gdb of; all threads stand then.
    fn next_stop(&mut self) -> Option<MultiThreadStopReason<u64>> {
        if self.vm.is_stopped() {
            return Some(stops::ended(self.vm.end().as_ref()));
        }
        self.stops.look(&self.vm, &self.breakpoints);
        let stop = self.stops.next(&self.running)?;
        self.stand();
        Some(stop)
    }
}

/// Waits for the program and for gdb at once.
pub(super) struct Events<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> BlockingEventLoop for Events<'a> {
    type Target = Target<'a>;
    type Connection = Connection;
    type StopReason = MultiThreadStopReason<u64>;

    fn wait_for_stop_reason(
        target: &mut Target<'a>,
        connection: &mut Connection,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<Infallible, std::io::Error>> {
        use gdbstub::conn::ConnectionExt as _;
        loop {
            if let Some(stop) = target.next_stop() {
                return Ok(Event::TargetStopped(stop));
            }
            let waited = connection.wait().and_then(|()| connection.peek());
            if waited
                .map_err(WaitForStopReasonError::Connection)?
                .is_some()
            {
                let byte = connection
                    .read()
                    .map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
        }
    }

    fn on_interrupt(target: &mut Target<'a>) -> Result<Option<Self::StopReason>, Infallible> {
        if !target.resumed {
            // It came behind the stop that it was meant for.
            return Ok(None);
        }
        target.stand();
        if let Some(stop) = target.stops.next(&target.running) {
            return Ok(Some(stop));
        }
        let threads = target.vm.debugged_threads();
        let signal = Signal::SIGINT;
        let tid = threads.first().and_then(|thread| tid(thread.thread));
        Ok(Some(
            tid.map_or(MultiThreadStopReason::Signal(signal), |tid| {
                MultiThreadStopReason::SignalWithThread { tid, signal }
            }),
        ))
    }
}

impl target::Target for Target<'_> {
    type Arch = Amd64;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Amd64, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }

    fn support_libraries(&mut self) -> Option<LibrariesOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Target<'_> {
    fn read_registers(
        &mut self,
        registers: &mut Amd64Registers,
        tid: Tid,
    ) -> TargetResult<(), Self> {
        let thread = self.thread(tid).ok_or(TargetError::NonFatal)?;
        registers.general = thread.registers.ok_or(TargetError::NonFatal)?;
        registers.bases = !thread.waits;
        Ok(())
    }

    fn write_registers(&mut self, registers: &Amd64Registers, tid: Tid) -> TargetResult<(), Self> {
        let thread = self.thread(tid).ok_or(TargetError::NonFatal)?;
        let set = self
            .vm
            .debug_set_registers(thread.thread, registers.general);
        set.map_err(|_| TargetError::NonFatal)
    }

    fn read_addrs(&mut self, address: u64, data: &mut [u8], _: Tid) -> TargetResult<usize, Self> {
        let count = self.vm.debug_read(address, data);
        self.breakpoints
            .hide(address, data.get_mut(..count).unwrap_or_default());
        match (count, data.len()) {
            (0, 1..) => Err(TargetError::Errno(EFAULT)),
            _ => Ok(count),
        }
    }

    fn write_addrs(&mut self, address: u64, data: &[u8], _: Tid) -> TargetResult<(), Self> {
        let mut data = data.to_vec();
        self.breakpoints.keep(address, &mut data);
        let written = self.vm.debug_write(address, &data);
        written.map_err(|_| TargetError::Errno(EFAULT))
    }

    fn list_active_threads(&mut self, each: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        let threads = self.vm.debugged_threads().into_iter();
        threads
            .filter_map(|thread| tid(thread.thread))
            .for_each(each);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadResume for Target<'_> {
    fn resume(&mut self) -> Result<(), Infallible> {
        let threads: BTreeSet<ThreadId> = self.actions.keys().copied().collect();
        self.running = match self.locked {
            true => Running::Only(threads),
            false => Running::All,
        };
        self.resumed = true;
        self.stops
            .go(&self.vm, &self.breakpoints, &self.running, &self.actions);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.actions.clear();
        self.locked = false;
        Ok(())
    }

    fn set_resume_action_continue(
        &mut self,
        tid: Tid,
        signal: Option<Signal>,
    ) -> Result<(), Infallible> {
        let (step, raise) = (false, signal.is_some());
        let id = ThreadId(tid.get() as u64);
        self.actions.insert(id, Action { step, raise });
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Target<'_> {
    fn set_resume_action_step(
        &mut self,
        tid: Tid,
        signal: Option<Signal>,
    ) -> Result<(), Infallible> {
        let (step, raise) = (true, signal.is_some());
        let id = ThreadId(tid.get() as u64);
        self.actions.insert(id, Action { step, raise });
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Target<'_> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        self.locked = true;
        Ok(())
    }
}

impl ThreadExtraInfo for Target<'_> {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let name = self.thread(tid).map(|thread| match thread.waits {
            true => format!("{}, waits for a page", thread.name),
            false => thread.name,
        });
        Ok(part(name.unwrap_or_default().as_bytes(), 0, buffer))
    }
}

impl BreakpointsExt for Target<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Target<'_> {
    fn add_sw_breakpoint(&mut self, address: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.breakpoints.set(&self.vm, address).is_ok())
    }

    fn remove_sw_breakpoint(&mut self, address: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.breakpoints.clear(&self.vm, address).unwrap_or(false))
    }
}

impl ExecFile for Target<'_> {
    fn get_exec_file(
        &self,
        _pid: Option<Pid>,
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let to = buffer.get_mut(..length).unwrap_or_default();
        Ok(part(self.files.program().as_bytes(), offset, to))
    }
}

impl Libraries for Target<'_> {
    fn get_libraries(
        &self,
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let to = buffer.get_mut(..length).unwrap_or_default();
        Ok(part(self.files.libraries().as_bytes(), offset, to))
    }
}

impl HostIo for Target<'_> {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for Target<'_> {
    fn open(
        &mut self,
        name: &[u8],
        flags: HostIoOpenFlags,
        _mode: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        if flags != HostIoOpenFlags::O_RDONLY {
            return Err(HostIoError::Errno(HostIoErrno::EROFS));
        }
        let opened = self.files.open(name);
        opened.ok_or(HostIoError::Errno(HostIoErrno::ENOENT))
    }
}

impl HostIoClose for Target<'_> {
    fn close(&mut self, _descriptor: u32) -> HostIoResult<(), Self> {
        Ok(())
    }
}

impl HostIoPread for Target<'_> {
    fn pread(
        &mut self,
        descriptor: u32,
        count: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        let count = count.min(buffer.len());
        let to = buffer.get_mut(..count).unwrap_or_default();
        Ok(self.files.read(descriptor, offset, to)?)
    }
}

impl HostIoFstat for Target<'_> {
    fn fstat(&mut self, descriptor: u32) -> HostIoResult<HostIoStat, Self> {
        let size = self.files.size(descriptor)?;
        Ok(HostIoStat {
            st_dev: 0,
            st_ino: 0,
            st_mode: HostIoOpenMode::S_IFREG | HostIoOpenMode::S_IRUSR,
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: 0,
            st_size: size,
            st_blksize: 4096,
            st_blocks: size.div_ceil(512),
            st_atime: 0,
            st_mtime: 0,
            st_ctime: 0,
        })
    }
}
