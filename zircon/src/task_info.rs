//! `zx_object_get_info` on processes and threads.

use protocol::exception::ExceptionReport;
use protocol::info::{InfoProcess, InfoThread, thread_state};
use protocol::{RawHandle, Rights, Status};

use crate::ids::{ProcessId, ThreadId};
use crate::kernel::Kernel;
use crate::op::{Body, Op, Waiting};
use crate::task::{Thread, ThreadState};

impl Kernel {
    pub(crate) fn info_process(
        &self,
        caller: ProcessId,
        raw: RawHandle,
    ) -> Result<InfoProcess, Status> {
        let (id, _) = self.typed::<ProcessId>(caller, raw, Rights::INSPECT)?;
        let process = self.processes.get(&id).ok_or(Status::INTERNAL)?;
        let mut flags = 0;
        if process.started.is_some() {
            flags |= InfoProcess::STARTED;
        }
        if process.ended {
            flags |= InfoProcess::EXITED;
        }
        Ok(InfoProcess {
            return_code: process.return_code,
            start_time: process.started.unwrap_or(0),
            flags,
            padding: 0,
        })
    }

    pub(crate) fn info_thread(
        &self,
        caller: ProcessId,
        raw: RawHandle,
    ) -> Result<InfoThread, Status> {
        let (id, _) = self.typed::<ThreadId>(caller, raw, Rights::INSPECT)?;
        let thread = self.threads.get(&id).ok_or(Status::INTERNAL)?;
        let raised = thread.raised.as_ref();
        Ok(InfoThread {
            state: self.thread_state(id, thread),
            wait_exception_channel_type: raised.map_or(0, |raised| raised.channel_type()),
            ..InfoThread::default()
        })
    }

    fn thread_state(&self, id: ThreadId, thread: &Thread) -> u32 {
        match thread.state {
            ThreadState::New => return thread_state::NEW,
            ThreadState::Dead => return thread_state::DEAD,
            ThreadState::Running => {}
        }
        if thread.raised.is_some() {
            return thread_state::BLOCKED_EXCEPTION;
        }
        if self.stopped_registers(id).is_ok() {
            return thread_state::SUSPENDED;
        }
        let op = self.ops.values().find(|op| op.thread == Some(id));
        op.map_or(thread_state::RUNNING, |op| blocked_state(op))
    }

    /// What a handler hears of a thread's exception, as far as `length` goes.
    pub(crate) fn info_report(
        &self,
        caller: ProcessId,
        raw: RawHandle,
        length: u32,
    ) -> Result<Vec<u8>, Status> {
        let (id, _) = self.typed::<ThreadId>(caller, raw, Rights::INSPECT)?;
        let report = ExceptionReport {
            size: length,
            ..self.exception_report(id)?
        };
        let bytes = report.to_bytes();
        Ok(bytes
            .get(..length as usize)
            .ok_or(Status::INTERNAL)?
            .to_vec())
    }
}

/// What the thread of an operation waits for. Work of the VMM's own is not waiting.
fn blocked_state(op: &Op) -> u32 {
    match (op.waiting, &op.body) {
        (Waiting::Port(_), _) => thread_state::BLOCKED_PORT,
        (Waiting::Objects(..), Body::Wait(wait)) if wait.is_many() => {
            thread_state::BLOCKED_WAIT_MANY
        }
        (Waiting::Objects(..), _) => thread_state::BLOCKED_WAIT_ONE,
        (Waiting::Futex(..), _) => thread_state::BLOCKED_FUTEX,
        (Waiting::Request(_), _) => thread_state::BLOCKED_PAGER,
        (Waiting::Outside, Body::Sleep | Body::Wait(_)) => thread_state::BLOCKED_SLEEPING,
        (
            Waiting::Outside
            | Waiting::Nothing
            | Waiting::Memory
            | Waiting::Busy(_)
            | Waiting::Room,
            _,
        ) => thread_state::RUNNING,
    }
}
