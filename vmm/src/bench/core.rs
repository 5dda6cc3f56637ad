//! The object core alone, without KVM and without memory: faults that are looked up, asked for, supplied and done.

use std::io;
use std::time::Instant;

use protocol::Status;
use zircon::{Access, JobPolicy, Kernel, MappedRun, MemoryResult, ThreadId, Work};

use super::side::{Observation, Work as Done};

/// Where the VMO is mapped.
const BASE: u64 = 0x10_0000_0000;
const PAGE: u64 = 4096;

/// The core with a thread that has a VMO mapped, which the VMM provides.
#[derive(Debug)]
pub struct Core {
    kernel: Kernel,
    thread: ThreadId,
}

impl Core {
    /// With a VMO of so many pages.
    ///
    /// # Errors
    /// What the core refused.
    pub fn new(pages: u64) -> io::Result<Core> {
        let refused = |status: Status| io::Error::other(format!("the core says {status}"));
        let mut kernel = Kernel::new(1);
        let new = kernel
            .create_process("core", JobPolicy::default())
            .map_err(refused)?;
        let length = pages * PAGE;
        let vmo = kernel
            .add_host_vmo("data", length, false)
            .map_err(refused)?;
        let run = MappedRun {
            address: BASE,
            length,
            vmo,
            page: 0,
            write: false,
            execute: false,
        };
        kernel.map_at(new.process, run).map_err(refused)?;
        kernel
            .start_thread(new.thread, BASE, BASE, (0, 0))
            .map_err(refused)?;
        while kernel.next_work().is_some() {}
        let thread = new.thread;
        Ok(Core { kernel, thread })
    }

    /// A fault on a page that is not there; `install` is called when the core has it installed.
    ///
    /// # Errors
    /// That of `install`.
    pub fn fault(
        &mut self,
        page: u64,
        mut install: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let kernel = &mut self.kernel;
        kernel.page_fault(0, self.thread, BASE + page * PAGE, Access::Read);
        while let Some(work) = kernel.next_work() {
            let Work::HostRead(pages) = work else {
                continue;
            };
            for (id, _) in kernel.supply_begin(0, pages) {
                install()?;
                kernel.memory_done(0, id, MemoryResult::Done);
            }
        }
        Ok(())
    }
}

/// Faults of one thread at `order`. One sample: what a fault took on average.
///
/// # Errors
/// What the core refused.
pub fn faults(order: &[u64]) -> io::Result<Observation> {
    let count = order.len() as u64;
    let mut core = Core::new(count)?;
    let began = Instant::now();
    for page in order {
        core.fault(*page, || Ok(()))?;
    }
    let nanoseconds = began.elapsed().as_nanos() as f64;
    let there = core.kernel.resident_pages().0;
    if there != count {
        return Err(io::Error::other(format!("{there} pages came, not {count}")));
    }
    Ok(Observation {
        samples: vec![nanoseconds / count as f64],
        work: Done {
            pages: count,
            faults: count,
            exits: 0,
        },
    })
}
