//! Futexes: waiting for a word of a process to change.
//!
//! A waiter is queued first, then the word is read, then it decides: a wake between the two is not lost, and no memory is
//! touched while the core is locked.

use protocol::Status;

use crate::ids::{ProcessId, Token};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::memory::{MemoryOp, MemoryResult};
use crate::op::{Body, OK, Op, Step, StepResult, Waiting};
use crate::ready::{Intent, Need, Ready};
use crate::work::Access;

/// `zx_futex_wait`.
#[derive(Clone, Debug)]
pub(crate) struct FutexWait {
    pub process: ProcessId,
    pub address: u64,
    expected: u32,
    /// Queued; cleared by a wake.
    queued: bool,
    /// The word was seen to hold the expected value.
    checked: bool,
}

impl Kernel {
    pub(crate) fn sys_futex_wait(
        &mut self,
        caller: Caller,
        address: u64,
        expected: u32,
        deadline: i64,
    ) -> Begin {
        if address == 0 || !address.is_multiple_of(4) {
            return Err(Status::INVALID_ARGS);
        }
        let wait = FutexWait {
            process: caller.process,
            address,
            expected,
            queued: false,
            checked: false,
        };
        self.begin_until(caller, Body::FutexWait(wait), deadline)
    }

    pub(crate) fn step_futex_wait(
        &mut self,
        token: Token,
        op: &mut Op,
        wait: &mut FutexWait,
    ) -> StepResult {
        let key = (wait.process, wait.address);
        let result = self.futex_state(token, op, wait);
        match &result {
            Ok(Step::Wait(_)) => {}
            _ => self.leave_futex(key.0, key.1, token),
        }
        result
    }

    fn futex_state(&mut self, token: Token, op: &mut Op, wait: &mut FutexWait) -> StepResult {
        let reply = op.take_reply()?;
        if op.error.take().is_some() {
            return Err(Status::INVALID_ARGS);
        }
        let key = (wait.process, wait.address);
        let late = op.deadline.is_some_and(|deadline| deadline <= self.now);
        let queue = self.futexes.get(&key);
        if wait.queued && !queue.is_some_and(|queue| queue.contains(&token)) {
            return OK;
        }
        if let Some(MemoryResult::Bytes(bytes)) = reply {
            let word = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
            if word != Some(wait.expected) {
                return Err(Status::BAD_STATE);
            }
            wait.checked = true;
        }
        if wait.checked {
            let waiting = Waiting::Futex(key.0, key.1);
            return if late {
                Err(Status::TIMED_OUT)
            } else {
                Ok(Step::Wait(waiting))
            };
        }
        let run = self.user_run(wait.process, wait.address, 4, Access::Read);
        let run = run.map_err(|_| Status::INVALID_ARGS)?;
        if !wait.queued {
            self.futexes.entry(key).or_default().push_back(token);
            wait.queued = true;
        }
        let need = Need::whole(Intent::Map);
        match self
            .prepare(token, run.vmo, run.offset, 4, need)
            .map_err(|_| Status::INVALID_ARGS)?
        {
            Ready::Wait(waiting) => Ok(Step::Wait(waiting)),
            Ready::Present(_) | Ready::Zeros(_) => {
                self.emit(
                    Some(token),
                    MemoryOp::Read {
                        vmo: run.vmo,
                        offset: run.offset,
                        length: 4,
                    },
                );
                Ok(Step::Wait(Waiting::Memory))
            }
        }
    }

    pub(crate) fn sys_futex_wake(&mut self, caller: Caller, address: u64, count: u32) -> Begin {
        if address == 0 || !address.is_multiple_of(4) {
            return Err(Status::INVALID_ARGS);
        }
        let key = (caller.process, address);
        let mut woken = Vec::new();
        if let Some(queue) = self.futexes.get_mut(&key) {
            let count = queue.len().min(count as usize);
            woken.extend(queue.drain(..count));
            if queue.is_empty() {
                self.futexes.remove(&key);
            }
        }
        for token in woken {
            // It may not sleep yet, but wait for the page of its word.
            if let Some(waiting) = self.ops.get(token).map(|op| op.waiting) {
                self.unregister(token, waiting);
            }
            self.wake(token);
        }
        Ok(Started::Done(0))
    }

    pub(crate) fn leave_futex(&mut self, process: ProcessId, address: u64, token: Token) {
        if let Some(queue) = self.futexes.get_mut(&(process, address)) {
            queue.retain(|&waiter| waiter != token);
            if queue.is_empty() {
                self.futexes.remove(&(process, address));
            }
        }
    }
}
