//! `writers turns LINES`: three threads take turns to print numbered lines, in no order of theirs.
//! `writers at-once LINES`: two threads print lines of many lengths, each without a thought of the other.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use zx::{Startup, Status, sys, time};

zx::entry!(run);

/// How long a thread may take.
const PATIENCE_MILLIS: i64 = 60_000;

/// The next line's number; none while somebody prints it.
static NEXT: AtomicU64 = AtomicU64::new(0);
const NONE: u64 = u64::MAX;

/// Longest line of those that are printed at once: more than a page.
const LONGEST: u64 = 5000;

fn run(startup: &Startup<'_>) -> i32 {
    let lines = startup.arg(2).and_then(programs::number);
    let printed = match (startup.arg(1), lines) {
        (Some("turns"), Some(lines)) => turns(lines),
        (Some("at-once"), Some(lines)) => at_once(lines),
        _ => return 2,
    };
    match printed {
        Ok(()) => 0,
        Err(status) => {
            zx::println!("writers: {status}");
            1
        }
    }
}

fn turns(lines: u64) -> Result<(), Status> {
    let spawn = |name: &'static str| zx::thread::spawn(name, move || take_turns(name, lines));
    let threads = [spawn("one")?, spawn("two")?, spawn("three")?];
    for thread in threads {
        thread.join(time::after_millis(PATIENCE_MILLIS))?;
    }
    Ok(())
}

fn take_turns(name: &str, lines: u64) {
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

fn at_once(lines: u64) -> Result<(), Status> {
    let spawn = |letter| zx::thread::spawn("writer", move || write(letter, lines));
    let threads = [spawn(b'a')?, spawn(b'b')?];
    for thread in threads {
        thread.join(time::after_millis(PATIENCE_MILLIS))??;
    }
    Ok(())
}

/// Line n is the letter 1 + n * 1237 % 4999 times: no two lines of a thread are alike. Each is one call.
fn write(letter: u8, lines: u64) -> Result<(), Status> {
    let letters = [letter; LONGEST as usize + 1];
    for number in 0..lines {
        let length = 1 + number * 1237 % (LONGEST - 1);
        let mut line = letters;
        if let Some(end) = line.get_mut(length as usize) {
            *end = b'\n';
        }
        // SAFETY: the line is longer than what is written of it.
        unsafe { sys::debug_write(line.as_ptr() as u64, length + 1).ok()? };
    }
    Ok(())
}
