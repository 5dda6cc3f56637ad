//! What a debugger asks of the VM: its threads, their registers, memory. No page request comes of it: pages that are not there stay away.
//!
//! Code is the exception. The VMM has it in the program's file, and gdb needs it before it has run: where a breakpoint goes, it is brought
//! in.

use std::os::fd::{AsFd, BorrowedFd};
use std::thread::sleep;
use std::time::Duration;

use protocol::{GeneralRegs, PAGE_SIZE, Status};
use zircon::{DebuggedThread, MemoryOp, MemoryResult, Pages, Running, ThreadId, VmoId};

use super::shared::Vm;
use crate::machine::in_protocol;
use crate::pager::Wait;

/// How often a write is tried again while something is under way on its page, a millisecond apart.
const TRIES: u32 = 100;

impl Vm {
    /// Which of the program's threads may run from now on.
    pub(crate) fn debug(&self, running: Running) {
        let now = self.now();
        self.core().debug(now, self.program, running);
        self.drain(None);
    }

    /// The debugger leaves: all threads go on.
    pub(crate) fn debug_end(&self) {
        let now = self.now();
        self.core().debug_end(now);
        self.drain(None);
    }

    /// The program's threads. Those that wait in a call have the registers that they made it with.
    pub(crate) fn debugged_threads(&self) -> Vec<DebuggedThread> {
        let mut threads = self.core().debugged_threads();
        for thread in &mut threads {
            if thread.registers.is_none() && thread.waits {
                let parked = self.parked_registers(thread.thread);
                thread.registers = parked.map(|registers| in_protocol(&registers));
            }
        }
        threads
    }

    /// Gives a thread that stands other registers.
    pub(crate) fn debug_set_registers(
        &self,
        thread: ThreadId,
        registers: GeneralRegs,
    ) -> Result<(), Status> {
        self.core().set_stopped_registers(thread, registers)
    }

    /// Has a thread raise #DB behind the next instruction that it executes, or not any more.
    pub(crate) fn debug_step(&self, thread: ThreadId, on: bool) {
        let now = self.now();
        self.core().debug_step(now, thread, on);
        self.drain(None);
    }

    /// Ends the debugger's look at an exception of a thread, which is passed on or never happened.
    pub(crate) fn end_exception(&self, thread: ThreadId, pass: bool) {
        self.core().end_exception(thread, pass);
    }

    /// Reads the program's memory up to the first page that is not there: says how many bytes.
    pub(crate) fn debug_read(&self, address: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        for (address, part) in parts(address, to.len()) {
            let there = self.core().debug_place(self.program, address);
            let fetched = || self.fetch_code(address);
            let Some((vmo, offset)) = there.or_else(fetched) else {
                break;
            };
            let length = part.len();
            let op = MemoryOp::Read {
                vmo,
                offset,
                length,
            };
            let MemoryResult::Bytes(bytes) = self.memory.perform(&op) else {
                break;
            };
            if let Some(to) = to.get_mut(part) {
                to.copy_from_slice(&bytes);
            }
            done += length;
        }
        done
    }

    /// Writes to the program's memory, whatever its mappings permit: all or nothing, if nobody changes the pages meanwhile.
    ///
    /// # Errors
    /// As [`zircon::Kernel::debug_place_to_write`].
    pub(crate) fn debug_write(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        let places = parts(address, bytes.len()).map(|(address, part)| {
            let place = self.place_to_write(address)?;
            Ok((place, bytes.get(part).unwrap_or_default()))
        });
        let places: Vec<_> = places.collect::<Result<_, Status>>()?;
        for ((vmo, offset), bytes) in places {
            let bytes = bytes.to_vec();
            let op = MemoryOp::Write { vmo, offset, bytes };
            if let MemoryResult::Failed(status) = self.memory.perform(&op) {
                return Err(status);
            }
        }
        Ok(())
    }

    fn place_to_write(&self, address: u64) -> Result<(VmoId, u64), Status> {
        let mut tries = 0;
        loop {
            let place = self.core().debug_place_to_write(self.program, address);
            match place {
                Err(Status::NOT_FOUND) if self.fetch_code(address).is_some() => {}
                Err(Status::SHOULD_WAIT) => {}
                place => return place,
            }
            if tries == TRIES {
                return place;
            }
            tries += 1;
            sleep(Duration::from_millis(1));
        }
    }

    /// Brings in a page of code; where it is then.
    fn fetch_code(&self, address: u64) -> Option<(VmoId, u64)> {
        let run = self.core().mapped_run(self.program, address)?;
        if !run.execute {
            return None;
        }
        let first = run.page + (address - run.address) / PAGE_SIZE;
        let (vmo, count) = (run.vmo, 1);
        self.fetch(Pages { vmo, first, count }, Wait::Allowed);
        self.drain(None);
        self.core().debug_place(self.program, address)
    }

    /// What becomes readable when something happened that a debugger may wait for, if there may be one.
    pub(crate) fn debug_event(&self) -> Option<BorrowedFd<'_>> {
        self.debug_event.as_ref().map(AsFd::as_fd)
    }

    /// Something happened that a debugger may wait for.
    pub(super) fn tell_debugger(&self) {
        if let Some(event) = &self.debug_event {
            // The counter is full at worst: then it is readable already.
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
    }
}

/// A range of bytes, page by page: the address, and which of the bytes.
fn parts(address: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = address.checked_add(done as u64)?;
        let page = usize::try_from(PAGE_SIZE - at % PAGE_SIZE).ok()?;
        let part = done..length.min(done + page);
        done = part.end;
        (!part.is_empty()).then_some((at, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_pages() {
        let all = |address, length| parts(address, length).collect::<Vec<_>>();
        assert_eq!(all(0x1000, 0), []);
        assert_eq!(all(0x1FFE, 2), [(0x1FFE, 0..2)]);
        let three = [(0x1FFE, 0..2), (0x2000, 2..4098), (0x3000, 4098..4099)];
        assert_eq!(all(0x1FFE, 4099), three);
        assert_eq!(all(u64::MAX, 3), [(u64::MAX, 0..1)], "no address follows");
    }
}
