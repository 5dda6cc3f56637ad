//! The object core alone, without KVM and without memory: faults that are looked up, asked for, supplied and done.

use std::io;
use std::time::Instant;

use protocol::Status;
use zircon::{Access, JobPolicy, Kernel, MappedRun, MemoryResult, Work};

use super::side::{Observation, Work as Done};

/// Where the VMO is mapped.
const BASE: u64 = 0x10_0000_0000;
const PAGE: u64 = 4096;

/// Faults of one thread at `order`, pages of a VMO that the VMM provides. One sample: what a fault took on average.
///
/// # Errors
/// What the core refused.
pub fn faults(order: &[u64]) -> io::Result<Observation> {
    let refused = |status: Status| io::Error::other(format!("the core says {status}"));
    let mut kernel = Kernel::new(1);
    let new = kernel
        .create_process("core", JobPolicy::default())
        .map_err(refused)?;
    let length = order.len() as u64 * PAGE;
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
    let began = Instant::now();
    for page in order {
        kernel.page_fault(0, new.thread, BASE + page * PAGE, Access::Read);
        while let Some(work) = kernel.next_work() {
            let Work::HostRead(pages) = work else {
                continue;
            };
            for (id, _) in kernel.supply_begin(0, pages) {
                kernel.memory_done(0, id, MemoryResult::Done);
            }
        }
    }
    let nanoseconds = began.elapsed().as_nanos() as f64;
    let there = kernel.resident_pages().0;
    if there != order.len() as u64 {
        return Err(io::Error::other(format!(
            "{there} pages came, not {}",
            order.len()
        )));
    }
    let count = order.len() as u64;
    Ok(Observation {
        samples: vec![nanoseconds / order.len() as f64],
        work: Done {
            pages: count,
            faults: count,
            exits: 0,
        },
    })
}
