//! `bench WHAT ...`: what `zvmm bench` runs in its guests. It writes the cycles that each touch or call took, 32 bits each.
//!
//! | WHAT | what it measures |
//! |---|---|
//! | `read SEED COUNT NAME...` | the first load of COUNT pages of each VMO, one thread a name, of other pages if a name comes again; in order if SEED is 0, else at random |
//! | `write SEED COUNT NAME...` | likewise, stores |
//! | `listed COUNT NAME LIST` | the first load of the pages of a VMO that another lists, 64 bits each |
//! | `null COUNT` | `zx_clock_get_monotonic` |
//! | `supply PAGES COUNT [VMOS]` | `zx_pager_supply_pages` of so many pages, while there are so many other VMOs |
//! | `vmo-read BYTES COUNT`, `vmo-write BYTES COUNT` | `zx_vmo_read` and `zx_vmo_write` of so much of memory that is all there |
//! | `map PAGES COUNT` | `zx_vmar_map` of so many pages that are all there, with `ZX_VM_MAP_RANGE`, and `zx_vmar_unmap` |
//! | `many VMOS SEED COUNT NAME` | as `read`, with so many other VMOs there |
//! | `places COUNT EACH NAME` | the first load of EACH pages in COUNT places of a VMO |
//! | `clone PAGES COUNT` | `zx_vmo_create_child` (a snapshot) of a VMO of so many pages, none of which is there |
//! | `service COUNT` | the first load of COUNT pages of a pager's VMO, which another thread answers for |
//! | `clone-write PAGES COUNT` | the first store to COUNT pages of a snapshot of so many pages, at random |
//! | `dirty PAGES EVERY COUNT` | `zx_pager_query_dirty_ranges` over so many pages, each EVERYth of which was written to |
//! | `memory VMOS PAGES FAULTS` | nothing by itself: it waits after each step until what it writes is read |
//! | `exit` | nothing |
#![cfg_attr(target_os = "none", no_std, no_main)]

mod calls;
mod sizes;
mod writes;

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use programs::{Random, number};
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, PageRequestCommand, Pager, Port, Startup, Status, Unowned,
    Vmo, VmoOp, VmoOptions, time,
};

zx::entry!(run);

const PAGE: usize = PAGE_SIZE as usize;

/// How long a thread may take.
const PATIENCE_MILLIS: i64 = 120_000;

fn run(startup: &Startup<'_>) -> i32 {
    let argument = |n| startup.arg(n).and_then(number);
    let done = match (startup.arg(1), argument(2), argument(3)) {
        (Some(what @ ("read" | "write")), Some(seed), Some(count)) => {
            touch(startup, what == "write", seed, count as usize, 4)
        }
        (Some("listed"), Some(count), _) => listed(startup, count as usize),
        (Some("many"), Some(vmos), Some(seed)) => many(startup, vmos, seed),
        (Some("places"), Some(count), Some(each)) => {
            sizes::places(startup, count as usize, each as usize)
        }
        (Some("clone"), Some(pages), Some(count)) => calls::clone(pages, count as usize),
        (Some("clone-write"), Some(pages), Some(count)) => {
            writes::clone_writes(pages as usize, count as usize)
        }
        (Some("dirty"), Some(pages), Some(every)) => match argument(4) {
            Some(count) => writes::dirty_ranges(pages as usize, every as usize, count as usize),
            None => Err(Status::INVALID_ARGS),
        },
        (Some("memory"), Some(vmos), Some(pages)) => match argument(4) {
            Some(faults) => sizes::memory(vmos, pages as usize, faults as usize),
            None => Err(Status::INVALID_ARGS),
        },
        (Some("null"), Some(count), _) => calls::null(count as usize),
        (Some("supply"), Some(pages), Some(count)) => {
            crowd(argument(4).unwrap_or(0)).and_then(|()| calls::supply(pages, count as usize))
        }
        (Some(what @ ("vmo-read" | "vmo-write")), Some(bytes), Some(count)) => {
            calls::copy(what == "vmo-write", bytes as usize, count as usize)
        }
        (Some("map"), Some(pages), Some(count)) => calls::map(pages as usize, count as usize),
        (Some("service"), Some(count), _) => service(count as usize),
        (Some("exit"), ..) => Ok(()),
        _ => Err(Status::INVALID_ARGS),
    };
    match done {
        Ok(()) => 0,
        Err(status) => {
            zx::println!("bench: {status}");
            1
        }
    }
}

/// Numbers in memory that is all there.
struct Numbers(Mapping);

impl Numbers {
    fn new(count: usize) -> Result<Self, Status> {
        let length = (count * 8).next_multiple_of(PAGE);
        let vmo = Vmo::create(length as u64)?;
        vmo.op_range(VmoOp::Commit, 0..length as u64)?;
        let mapping = Mapping::read_write(&vmo, 0, length)?;
        for page in (0..length).step_by(PAGE) {
            mapping.set_word(page, 0)?;
        }
        Ok(Numbers(mapping))
    }

    fn get(&self, at: usize) -> usize {
        self.0.word(8 * at).unwrap_or(0) as usize
    }

    fn set(&self, at: usize, value: usize) {
        let _ = self.0.set_word(8 * at, value as u64);
    }

    /// Writes the numbers out, 32 bits each.
    fn print(&self, count: usize) -> Result<(), Status> {
        let mut bytes = [0; 4096];
        for first in (0..count).step_by(1024) {
            let chunk = 1024.min(count - first);
            for (at, out) in bytes.chunks_exact_mut(4).take(chunk).enumerate() {
                out.copy_from_slice(&(self.get(first + at) as u32).to_le_bytes());
            }
            // SAFETY: the buffer is this program's own.
            unsafe { zx::sys::debug_write(bytes.as_ptr() as u64, 4 * chunk as u64).ok()? };
        }
        Ok(())
    }
}

/// The page of each touch: the first of a random permutation of the VMO's pages, or all in order.
fn order(seed: u64, count: usize, pages: usize) -> Result<Numbers, Status> {
    let order = Numbers::new(pages)?;
    for page in 0..pages {
        order.set(page, page);
    }
    let mut random = Random::new(seed);
    for at in (0..count).filter(|_| seed != 0) {
        let other = at + random.below((pages - at) as u64) as usize;
        let page = order.get(other);
        order.set(other, order.get(at));
        order.set(at, page);
    }
    Ok(order)
}

/// A thread's part: what it touches and how long that took.
struct Part {
    base: usize,
    order: Numbers,
    /// Where in the order it begins.
    first: usize,
    cycles: Numbers,
}

fn touch(
    startup: &Startup<'_>,
    write: bool,
    seed: u64,
    count: usize,
    names_at: usize,
) -> Result<(), Status> {
    static READY: AtomicU32 = AtomicU32::new(0);
    let threads = startup.args().skip(names_at).count() as u32;
    let mut running = [const { None }; 8];
    for (nth, place) in (0..threads as usize).zip(&mut running) {
        let names = || startup.args().skip(names_at);
        let name = names().nth(nth).unwrap_or_default();
        let first = count * names().take(nth).filter(|other| *other == name).count();
        let raw = startup.handle(name).ok_or(Status::NOT_FOUND)?;
        let vmo = Unowned::<Vmo>::from_raw(raw);
        let pages = (vmo.get_size()? / PAGE_SIZE) as usize;
        let length = pages * PAGE;
        let mapping = match write {
            true => Mapping::read_write(&vmo, 0, length)?,
            false => Mapping::read_only(&vmo, 0, length)?,
        };
        let part = Part {
            base: mapping.leak(),
            order: order(seed, first + count, pages)?,
            first,
            cycles: Numbers::new(count)?,
        };
        let work = move || {
            READY.fetch_add(1, SeqCst);
            while READY.load(SeqCst) < threads {
                core::hint::spin_loop();
            }
            for at in 0..count {
                let address = part.base + part.order.get(part.first + at) * PAGE;
                part.cycles.set(at, timed(address, write));
            }
            part.cycles
        };
        *place = Some(zx::thread::spawn(name, work)?);
    }
    for thread in running.into_iter().flatten() {
        thread
            .join(time::after_millis(PATIENCE_MILLIS))?
            .print(count)?;
    }
    Ok(())
}

/// Loads the pages that a list names.
fn listed(startup: &Startup<'_>, count: usize) -> Result<(), Status> {
    let mapped = |n| {
        let name = startup.arg(n).ok_or(Status::INVALID_ARGS)?;
        let raw = startup.handle(name).ok_or(Status::NOT_FOUND)?;
        let vmo = Unowned::<Vmo>::from_raw(raw);
        Mapping::read_only(&vmo, 0, vmo.get_size()? as usize)
    };
    let (base, order) = (mapped(3)?.leak(), Numbers(mapped(4)?));
    let cycles_of = Numbers::new(count)?;
    // The list is all there before anything is measured.
    (0..count).for_each(|at| {
        core::hint::black_box(order.get(at));
    });
    for at in 0..count {
        cycles_of.set(at, timed(base + order.get(at) * PAGE, false));
    }
    cycles_of.print(count)
}

/// The cycles that one access takes.
#[inline(always)]
fn timed(address: usize, write: bool) -> usize {
    let begun = cycles();
    // SAFETY: a mapping of this program's own, where no Rust value lives.
    unsafe {
        if write {
            asm!("mov byte ptr [{a}], 1", a = in(reg) address, options(nostack, preserves_flags));
        } else {
            asm!("mov {b}, byte ptr [{a}]", a = in(reg) address, b = out(reg_byte) _,
                options(nostack, preserves_flags, readonly));
        }
    }
    (cycles() - begun) as usize
}

/// The time-stamp counter, when everything before is done.
#[inline(always)]
fn cycles() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: it only reads the counter.
    unsafe {
        asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
    }
    high << 32 | low
}

/// Reads while many other VMOs are there, each with a page.
fn many(startup: &Startup<'_>, vmos: u64, seed: u64) -> Result<(), Status> {
    let count = startup
        .arg(4)
        .and_then(number)
        .ok_or(Status::INVALID_ARGS)?;
    crowd(vmos)?;
    touch(startup, false, seed, count as usize, 5)
}

/// Makes VMOs with a page each, which stay until the program ends.
fn crowd(vmos: u64) -> Result<(), Status> {
    for _ in 0..vmos {
        let vmo = Vmo::create(PAGE_SIZE)?;
        vmo.write(&[1], 0)?;
        core::mem::forget(vmo);
    }
    Ok(())
}

/// Faults of this thread that another one answers, by moving a page out of memory of its own for each.
fn service(count: usize) -> Result<(), Status> {
    let length = count * PAGE;
    let (pager, port, aux) = (
        Pager::create()?,
        Port::create()?,
        Vmo::create(length as u64)?,
    );
    let vmo = pager.create_vmo(VmoOptions::empty(), &port, 1, length as u64)?;
    aux.op_range(VmoOp::Commit, 0..length as u64)?;
    let mapping = Mapping::read_only(&vmo, 0, length)?;
    let [its_pager, its_port] = [pager.raw_handle(), port.raw_handle()];
    let its_vmo = vmo.raw_handle();
    let answer = move || -> Result<(), Status> {
        let pager = Unowned::<Pager>::from_raw(its_pager);
        let (port, vmo) = (
            Unowned::<Port>::from_raw(its_port),
            Unowned::<Vmo>::from_raw(its_vmo),
        );
        loop {
            let packet = port.wait(time::TIME_INFINITE)?;
            if packet.command() == PageRequestCommand::Complete as u16 {
                return Ok(());
            }
            let range = packet.offset()..packet.offset() + packet.length();
            pager.supply_pages(&vmo, range, &aux, packet.offset())?;
        }
    };
    let thread = zx::thread::spawn("service", answer)?;
    let cycles_of = Numbers::new(count)?;
    for at in 0..count {
        cycles_of.set(at, timed(mapping.base() + at * PAGE, false));
    }
    pager.detach_vmo(&vmo)?;
    thread.join(time::after_millis(PATIENCE_MILLIS))??;
    cycles_of.print(count)
}
