//! Dirty tracking and write-back: a pager that learns which pages were written to, and saves only these.
//!
//! `zvmm run write_back`

#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;
use zx::{
    HandleBased, Mapping, PAGE_SIZE, PageRequestCommand, Pager, PagerOp, Port, Rights, Status, Vmo,
    VmoDirtyRange, VmoOptions, thread, time, writeback_options,
};

const PAGES: u64 = 8;
const PAGE: usize = PAGE_SIZE as usize;

/// What the pager works with. The "disk" is a VMO, too.
struct Service {
    pager: Pager,
    port: Port,
    disk: Vmo,
}

impl Service {
    /// Answers requests until the VMO is detached.
    fn serve(&self, vmo: &Vmo) -> Result<(), Status> {
        let aux = Vmo::create(PAGES * PAGE_SIZE)?;
        let mut page = [0; PAGE];
        loop {
            let packet = self.port.wait(time::TIME_INFINITE)?;
            let range = packet.offset()..packet.offset() + packet.length();
            if packet.command() == PageRequestCommand::Read as u16 {
                for offset in range.clone().step_by(PAGE) {
                    self.disk.read(&mut page, offset)?;
                    aux.write(&page, offset)?;
                }
                self.pager
                    .supply_pages(vmo, range.clone(), &aux, range.start)?;
                zx::println!("pager: read page {}", range.start / PAGE_SIZE);
            } else if packet.command() == PageRequestCommand::Dirty as u16 {
                zx::println!("pager: page {} is about to change", range.start / PAGE_SIZE);
                self.pager.op_range(PagerOp::Dirty, vmo, range)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Saves what is dirty. What is written to meanwhile stays dirty, for the next time.
    fn write_back(&self, vmo: &Vmo) -> Result<(), Status> {
        let mut ranges = [VmoDirtyRange::default(); PAGES as usize];
        let all = 0..PAGES * PAGE_SIZE;
        let count = self.pager.query_dirty_ranges(vmo, all, &mut ranges)?;
        zx::println!("dirty ranges: {}", count.actual);
        let mut page = [0; PAGE];
        for dirty in ranges.iter().take(count.actual) {
            let range = dirty.offset..dirty.offset + dirty.length;
            let begin = PagerOp::WritebackBegin(writeback_options(dirty));
            self.pager.op_range(begin, vmo, range.clone())?;
            for offset in range.clone().step_by(PAGE) {
                vmo.read(&mut page, offset)?;
                self.disk.write(&page, offset)?;
                zx::println!("saved page {}", offset / PAGE_SIZE);
            }
            self.pager.op_range(PagerOp::WritebackEnd, vmo, range)?;
        }
        Ok(())
    }
}

#[zx::main]
fn main() -> Result<(), Status> {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let vmo = pager.create_vmo(VmoOptions::TRAP_DIRTY, &port, 1, PAGES * PAGE_SIZE)?;
    let duplicate = vmo.duplicate_handle(Rights::SAME_RIGHTS)?;
    let disk = Vmo::create(PAGES * PAGE_SIZE)?;
    let service = Arc::new(Service { pager, port, disk });
    let serving = service.clone();
    let thread = thread::spawn("pager", move || serving.serve(&duplicate))?;

    let memory = Mapping::read_write(&vmo, 0, PAGES as usize * PAGE)?;
    for page in [1, 2, 5] {
        memory.set_word(page * PAGE, page as u64)?;
    }
    service.write_back(&vmo)?;
    service.write_back(&vmo)?;
    memory.set_word(2 * PAGE, 22)?;
    service.write_back(&vmo)?;

    drop(memory);
    service.pager.detach_vmo(&vmo)?;
    thread.join(time::after_millis(10_000))?
}
