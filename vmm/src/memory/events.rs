//! Faults that come as events.
//!
//! Such a window is registered with the descriptor that lacks `UFFD_FEATURE_SIGBUS`: whoever touches an absent page of it sleeps in the
//! kernel, and an event is queued for a thread that asks [`Memory::wait_for_events`]. An installation wakes those who wait for its
//! pages. A vCPU that sleeps so can be kicked: KVM_RUN ends as if interrupted, and the next one brings a new event.
//!
//! What the thread cannot have installed at once is **barred** ([`Memory::release`]): the page may not be accessed, and whoever waits is woken,
//! which makes an exit of the fault. When the page is installed after all, it is admitted again. So nobody is left asleep, in the kernel's
//! own copies least of all, which no signal interrupts; nor at the end of a run, when the thread bars whatever it is asked for.
//!
//! Only VMOs that nobody writes to: nothing is protected here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, MutexGuard};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use zircon::{Intervals, VmoId, Writes};

use super::{
    Memory, MemoryError,
    chunk::{Accesses, Piece, Run},
    units::PAGE_SIZE,
    watch::Watching,
};

impl Memory {
    /// Has the faults of a VMO without chunks come as events, if nobody ever writes to it.
    ///
    /// # Errors
    /// [`MemoryError::Unknown`].
    pub fn deliver_as_events(&self, vmo: VmoId) -> Result<(), MemoryError> {
        let window = self.window(vmo)?;
        if window.writes == Writes::Never && self.arena.watch().events().is_some() {
            window.set_events();
        }
        Ok(())
    }

    /// Waits for events; gives the VMO and page of each, or `None` when `until` can be read, or if there are no events at all.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait_for_events(&self, until: BorrowedFd<'_>) -> io::Result<Option<Vec<(VmoId, u64)>>> {
        let Some(events) = self.arena.watch().events() else {
            return Ok(None);
        };
        let mut fds = [events.as_fd(), until].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [_, end] = &fds;
        if !end.revents().is_empty() {
            return Ok(None);
        }
        let faults = events.read_events()?.into_iter();
        Ok(Some(
            faults
                .filter_map(|host| self.arena.locate_host(host))
                .collect(),
        ))
    }

    /// Lets go of those who wait for a page: if it is not there, what they do becomes an exit.
    ///
    /// # Errors
    /// What the kernel says. Who waits may go on waiting then, until the page is there.
    pub fn release(&self, vmo: VmoId, page: u64) -> Result<(), MemoryError> {
        let window = self.window(vmo)?;
        // An event may be older than the VMO that has its addresses now.
        let events = window.watching() == Watching::Events;
        let Some(chunk) = window.find(page).filter(|_| events) else {
            return Ok(());
        };
        let run = Run::clip(chunk, page..page + 1);
        let store = Arc::clone(&window.layout().store);
        {
            let mut barred = run.chunk().barred();
            // If that cannot be found out, it counts as absent.
            if store.present(run.range()).unwrap_or_default().is_empty() {
                barred.insert(run.range());
                run.chunk().permit(run.range(), Accesses::None)?;
            }
        }
        match self.arena.watch().events() {
            Some(events) => events
                .wake(run.host(), PAGE_SIZE)
                .map_err(|errno| run.chunk().failed("wake who waits for a page", errno)),
            None => Ok(()),
        }
    }
}

impl Piece {
    /// Lets its pages be accessed again: in one mapping, as an installation needs it, for as long as what is returned is held.
    pub(super) fn admit(&self) -> Result<Option<MutexGuard<'_, Intervals>>, MemoryError> {
        if self.watching != Watching::Events {
            return Ok(None);
        }
        let (chunk, range) = (self.run.chunk(), self.run.range());
        let mut barred = chunk.barred();
        for run in barred.within(range.clone()) {
            chunk.permit(run, Accesses::All)?;
        }
        barred.remove(range);
        Ok(Some(barred))
    }
}
