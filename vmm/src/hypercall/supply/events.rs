//! Faults that come as events, answered by a thread of their own.
//!
//! What can be had at once is installed, without the core having been asked for it, just as what is read ahead. All else becomes an
//! exit: a read that would wait for the host or fails, a request that is to be late, a limit that is reached. The core hears of the
//! fault then, and the vCPU can run other threads meanwhile.

use std::io;
use std::os::fd::BorrowedFd;

use zircon::{Pages, VmoId};

use super::{HostVmo, Provider, RUN};
use crate::hypercall::shared::{Vm, lock};
use crate::memory::MemoryError;
use crate::pager::Wait;

impl HostVmo {
    /// The same, with faults that come as events, if its content can be read and nobody can write to it.
    pub fn events(self, events: bool) -> Self {
        let reads = matches!(self.provider, Provider::Reads(_));
        HostVmo {
            events: events && reads && self.delay.is_none(),
            ..self
        }
    }
}

impl Vm {
    /// Has the faults of a new VMO come as they are to.
    pub(in crate::hypercall) fn choose_delivery(&self, vmo: VmoId) -> Result<(), MemoryError> {
        let host = lock(&self.host_vmos).get(&vmo).cloned();
        match host.is_some_and(|host| host.events) {
            true => self.memory.deliver_as_events(vmo),
            false => Ok(()),
        }
    }

    /// Answers faults that come as events, until `ended` can be read: after the vCPUs' threads have ended, which may wait for an answer.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn answer_events(&self, ended: BorrowedFd<'_>) -> io::Result<()> {
        while let Some(faults) = self.memory.wait_for_events(ended)? {
            for (vmo, page) in faults {
                if !self.is_stopped() {
                    self.answer_at_once(vmo, page);
                }
                if let Err(error) = self.memory.release(vmo, page) {
                    log::error!("a fault at page {page:#x} of VMO {}: {error}", vmo.0);
                }
            }
        }
        Ok(())
    }

    /// Installs a page, and what its reader's past suggests behind it, as far as that needs no waiting.
    fn answer_at_once(&self, vmo: VmoId, page: u64) {
        let Some(host) = lock(&self.host_vmos).get(&vmo).cloned() else {
            return;
        };
        let (Provider::Reads(reads), true) = (&host.provider, page < host.pages) else {
            return;
        };
        self.stats.page_request(1);
        let room = self.core().room_left();
        let plan = lock(&reads.ahead).plan(page..page + 1, host.pages, room);
        self.stats.in_vain(plan.in_vain);
        let run = Pages {
            vmo,
            first: page,
            count: (plan.run.end - page).min(RUN),
        };
        // The exit that follows from a failure brings it up again.
        let _ = self.serve_run(reads, run, page + 1, Wait::Never);
        for run in plan.others() {
            if self.serve_unasked(reads, vmo, run).is_err() {
                break;
            }
        }
        self.drain(None);
    }
}
