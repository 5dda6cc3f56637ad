//! Mappings that change while another thread writes to them, or next to them.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use test_guests::pages::PAGE;
use test_guests::{Outcome, cases, check, equal, fail, raw, shortly, soon, status};
use zx::thread::JoinHandle;
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, Status, VmOptions, Vmar, Vmo, VmoOptions, time, vmar_root_self,
};

use crate::cases::{CAN_MAP, OVERWRITE, READ_WRITE, SPECIFIC, destroy, map, word};

/// Puts the VMO in place of what a test has mapped at the start of a VMAR of its own.
fn replace(vmar: &Vmar, vmo: &Vmo) -> Result<(), Status> {
    // SAFETY: the VMAR holds nothing but the test's mappings.
    unsafe {
        vmar.map(0, vmo, 0, PAGE_SIZE, READ_WRITE | OVERWRITE)
            .map(drop)
    }
}

static STOP: AtomicBool = AtomicBool::new(false);

/// A thread that counts up the word at `address` until it is told to stop.
fn counter(address: usize) -> Result<JoinHandle<()>, Status> {
    STOP.store(false, Ordering::Release);
    zx::thread::spawn("counter", move || {
        while !STOP.load(Ordering::Acquire) {
            // SAFETY: the address is mapped, and no Rust value lives there.
            unsafe { asm!("lock inc qword ptr [{}]", in(reg) address, options(nostack)) };
        }
    })
}

/// Threads touch the same regions for the first time, side by side: in new page tables, and, when all was unmapped, in such as served before.
fn first_touches_side_by_side() -> Outcome {
    const REGION: usize = 2 << 20;
    const REGIONS: usize = 24;
    const THREADS: usize = 4;
    const ROUNDS: u64 = 8;
    let length = REGIONS * REGION;
    let vmo = Vmo::create(length as u64)?;
    for _ in 0..ROUNDS {
        let mapping = Mapping::read_write(&vmo, 0, length)?;
        let base = mapping.base();
        let mut threads = [const { None }; THREADS];
        for (nth, place) in threads.iter_mut().enumerate() {
            let touch = move || {
                for region in (base..base + length).step_by(REGION) {
                    // The first page of the region is everybody's, another one is this thread's own.
                    for address in [region, region + (1 + nth) * PAGE] {
                        // SAFETY: the address is mapped, and no Rust value lives there.
                        unsafe {
                            asm!("lock inc qword ptr [{}]", in(reg) address, options(nostack));
                        }
                    }
                }
            };
            *place = Some(zx::thread::spawn("toucher", touch)?);
        }
        for thread in threads.into_iter().flatten() {
            thread.join(soon())?;
        }
    }
    for region in (0..length).step_by(REGION) {
        for page in 0..=THREADS {
            let mut bytes = [0; 8];
            vmo.read(&mut bytes, (region + page * PAGE) as u64)?;
            let times = if page == 0 { THREADS as u64 } else { 1 };
            equal!(u64::from_le_bytes(bytes), times * ROUNDS);
        }
    }
    Ok(())
}

/// Waits until the word of a VMO differs from `from`.
fn moves_on(vmo: &Vmo, from: u64) -> Result<u64, test_guests::Failure> {
    let deadline = soon();
    loop {
        let mut bytes = [0; 8];
        vmo.read(&mut bytes, 0)?;
        let now = u64::from_le_bytes(bytes);
        if now != from {
            return Ok(now);
        }
        if time::now() > deadline {
            fail!("nobody writes any more, at {now}");
        }
        time::sleep_until(time::now() + 100_000)?;
    }
}

/// A mapping is replaced under a thread that writes to it: when the call returns, not one more write reaches the old VMO.
fn overwrite_under_a_writer() -> Outcome {
    let vmos = [Vmo::create(PAGE_SIZE)?, Vmo::create(PAGE_SIZE)?];
    let (vmar, base) = vmar_root_self().allocate(0, PAGE_SIZE, CAN_MAP)?;
    let [first, second] = &vmos;
    replace(&vmar, first)?;
    let thread = counter(base)?;
    let mut counts = [moves_on(first, 0)?, 0];
    for round in 0..40 {
        let (old, new) = if round % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let [_, other] = counts;
        replace(&vmar, new)?;
        let mut bytes = [0; 8];
        old.read(&mut bytes, 0)?;
        let stopped = u64::from_le_bytes(bytes);
        let running = moves_on(new, other)?;
        old.read(&mut bytes, 0)?;
        equal!(u64::from_le_bytes(bytes), stopped);
        counts = [running, stopped];
    }
    STOP.store(true, Ordering::Release);
    thread.join(soon())?;
    destroy(&vmar)?;
    Ok(())
}

/// Mappings and VMARs come and go around the one that a thread writes to, in the same page table: it goes on.
fn neighbours_come_and_go() -> Outcome {
    let vmo = Vmo::create(4 * PAGE_SIZE)?;
    let (vmar, base) = vmar_root_self().allocate(0, 16 * PAGE_SIZE, CAN_MAP)?;
    map(&vmar, 8, &vmo, 1, READ_WRITE)?;
    let thread = counter(base + 8 * PAGE)?;
    let mut count = moves_on(&vmo, 0)?;
    let root = vmar_root_self().raw_handle();
    for _ in 0..40 {
        let (child, at) = vmar.allocate(0, 4 * PAGE_SIZE, CAN_MAP | SPECIFIC)?;
        map(&child, 1, &vmo, 2, READ_WRITE)?;
        equal!(word(at + 2 * PAGE), 0);
        status!(
            OK,
            raw::vmar_protect(root, 1, (at + PAGE) as u64, PAGE_SIZE)
        );
        let own = (base + 8 * PAGE) as u64;
        status!(OK, raw::vmar_protect(vmar.raw_handle(), 3, own, PAGE_SIZE));
        destroy(&child)?;
        count = moves_on(&vmo, count)?;
    }
    STOP.store(true, Ordering::Release);
    thread.join(soon())?;
    destroy(&vmar)?;
    Ok(())
}

cases! { "changes": overwrite_under_a_writer neighbours_come_and_go first_touches_side_by_side }

/// What ends with a fatal fault of a thread that uses a mapping while it is changed; returns only if the thread survived.
pub fn fatal(name: &str) -> Outcome {
    let vmo = Vmo::create_with_opts(VmoOptions::RESIZABLE, 2 * PAGE_SIZE)?;
    let (vmar, base) = vmar_root_self().allocate(0, 4 * PAGE_SIZE, CAN_MAP)?;
    let (inner, at) = vmar.allocate(0, 2 * PAGE_SIZE, CAN_MAP | SPECIFIC)?;
    let flags = VmOptions::ALLOW_FAULTS | VmOptions::FAULT_BEYOND_STREAM_SIZE;
    map(&inner, 0, &vmo, 2, READ_WRITE | flags)?;
    let thread = counter(at)?;
    moves_on(&vmo, 0)?;
    zx::println!("expected: a write at {at:#x}");
    match name {
        "protect" => status!(
            OK,
            raw::vmar_protect(vmar.raw_handle(), 1, at as u64, PAGE_SIZE)
        ),
        "unmap" => status!(
            OK,
            raw::vmar_unmap(vmar.raw_handle(), base as u64, 4 * PAGE_SIZE)
        ),
        "destroy" => destroy(&vmar)?,
        "stream" => vmo.set_content_size(0)?,
        "resize" => vmo.set_size(0)?,
        _ => fail!("no fatal case is called {name}"),
    }
    check!(thread.finished_by(shortly()));
    fail!("the thread wrote where it must not");
}
