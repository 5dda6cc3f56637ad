//! Waiting for page tables: what was taken out of an address space is only gone when the VMM has dropped what its tables
//! said about the range on every vCPU ([`crate::Work::Flush`]). One range after the other; then the call goes on.

use crate::ids::{ProcessId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::op::{Body, Step, StepResult, Waiting};
use crate::work::Work;

/// Addresses of a process, `start..end`.
pub(crate) type AddressRange = (ProcessId, u64, u64);

/// Waits until page tables are flushed, then goes on.
#[derive(Clone, Debug)]
pub(crate) struct Flushing {
    /// The ranges that are left; the last one is under way once it was asked for.
    ranges: Vec<AddressRange>,
    /// The flush of the last range was asked for.
    asked: bool,
    /// What the call does then; nothing: it is over.
    then: Option<Box<Body>>,
}

/// Flushes `ranges`, then does the rest of the call.
pub(crate) fn flushing(ranges: Vec<AddressRange>, then: Option<Body>) -> Body {
    Body::Flush(Flushing {
        ranges,
        asked: false,
        then: then.map(Box::new),
    })
}

impl Kernel {
    /// Starts an operation that keeps VMOs alive which have lost a mapping: their storage must not go before page tables
    /// have forgotten it.
    pub(crate) fn begin_holding(&mut self, caller: Caller, body: Body, taken: Vec<VmoId>) -> Begin {
        let begun = self.begin(caller, body, taken.clone());
        self.release_all(taken);
        begun
    }

    pub(crate) fn release_all(&mut self, taken: Vec<VmoId>) {
        for vmo in taken {
            self.release(vmo);
        }
    }

    pub(crate) fn step_flush(&mut self, token: Token, flushing: &mut Flushing) -> StepResult {
        if let Some(&(process, start, end)) = flushing.ranges.last() {
            if !flushing.asked {
                flushing.asked = true;
                self.work.push_back(Work::Flush {
                    process,
                    start,
                    end,
                    token,
                });
            }
            return Ok(Step::Wait(Waiting::Outside));
        }
        match flushing.then.take() {
            Some(body) => Ok(Step::Become(*body)),
            None => Ok(Step::Done(0)),
        }
    }

    /// A [`Work::Flush`] was carried out.
    pub fn flush_done(&mut self, now: i64, token: Token) {
        self.now = now;
        if let Some(Body::Flush(flushing)) = self.ops.get_mut(token).map(|op| &mut op.body) {
            flushing.ranges.pop();
            flushing.asked = false;
            self.wake(token);
        }
        self.settle();
    }
}
