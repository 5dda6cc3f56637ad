//! `writers LINES`: three threads take turns to print numbered lines, in no order of theirs.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use zx::{Startup, Status, time};

zx::entry!(run);

/// How long a thread may take.
const PATIENCE_MILLIS: i64 = 60_000;

/// The next line's number; none while somebody prints it.
static NEXT: AtomicU64 = AtomicU64::new(0);
const NONE: u64 = u64::MAX;

fn run(startup: &Startup<'_>) -> i32 {
    match startup.arg(1).and_then(programs::number).map(print) {
        Some(Ok(())) => 0,
        Some(Err(status)) => {
            zx::println!("writers: {status}");
            1
        }
        None => 2,
    }
}

fn print(lines: u64) -> Result<(), Status> {
    let spawn = |name: &'static str| zx::thread::spawn(name, move || write(name, lines));
    let threads = [spawn("one")?, spawn("two")?, spawn("three")?];
    for thread in threads {
        thread.join(time::after_millis(PATIENCE_MILLIS))?;
    }
    Ok(())
}

fn write(name: &str, lines: u64) {
    loop {
        let number = NEXT.swap(NONE, Acquire);
        if number == NONE {
            core::hint::spin_loop();
            continue;
        }
        if number < lines {
            zx::println!("{number} {name}");
        }
        NEXT.store((number + 1).min(lines), Release);
        if number == lines {
            return;
        }
    }
}
