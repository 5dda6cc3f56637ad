//! A thread that never gives the processor back, and one that must go on all the same.

use core::arch::asm;
use zx::futex::Gate;
use zx::time;

/// How long the counting may take.
const PATIENCE_MILLIS: i64 = 20_000;

static STARTED: Gate = Gate::new();

/// Counts `count` milliseconds by the clock while another thread spins.
pub fn spin(count: u64) -> i32 {
    let spinner = zx::thread::spawn("spinner", || {
        STARTED.open();
        // SAFETY: an endless loop; the process's end ends it.
        unsafe { asm!("2:", "jmp 2b", options(nomem, nostack)) }
    });
    let give_up = time::after_millis(PATIENCE_MILLIS);
    if let Err(status) = spinner {
        zx::println!("hostile: spin: {status}");
        return 2;
    }
    if !STARTED.pass(give_up) {
        zx::println!("hostile: spin: the spinning thread never started");
        return 1;
    }
    for counted in 0..count {
        let next = time::after_millis(1);
        while time::now() < next {}
        if next > give_up {
            zx::println!("spin: counted to {counted} only");
            return 1;
        }
    }
    zx::println!("spin: counted to {count}");
    0
}

/// Moves a GiB up by one byte with one call: the source overlaps the target, so that it goes byte by byte.
pub fn long_call() -> i32 {
    const LENGTH: u64 = 1 << 30;
    let moved = zx::Vmo::create(LENGTH + zx::PAGE_SIZE).and_then(|vmo| {
        let mapping = zx::Mapping::read_write(&vmo, 0, (LENGTH + zx::PAGE_SIZE) as usize)?;
        // Every page is there, so that every byte has to be moved.
        for page in (0..16 << 20).step_by(zx::PAGE_SIZE as usize) {
            mapping.set_word(page, 1)?;
        }
        let buffer = mapping.base() as u64;
        // SAFETY: the buffer is the mapping's own memory, which nothing else uses.
        unsafe { zx::sys::vmo_read(zx::AsHandleRef::raw_handle(&vmo), buffer, 1, LENGTH).ok() }
    });
    match moved {
        Ok(()) => 0,
        Err(status) => {
            zx::println!("hostile: long-call: {status}");
            2
        }
    }
}
