//! `reader MODE PAGE...`: looks at single pages of the start-up VMO `data` and says what it does before it does it.
//!
//! | mode | what it does with each page |
//! |---|---|
//! | `map` | reads its first word through a mapping |
//! | `read` | reads its first word with `zx_vmo_read` |
//! | `write` | writes the complement of its first word through a mapping |
//! | `meanwhile` | reads through a mapping in a thread of its own, while the main thread prints `tick` after `tick` |
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, Ordering};
use zx::{AsHandleRef, Mapping, PAGE_SIZE, Startup, Status, Unowned, Vmo, time};

zx::entry!(run);

const PAGE: usize = PAGE_SIZE as usize;

/// How long a thread's end is waited for once it has read.
const PATIENCE_MILLIS: i64 = 10_000;

fn run(startup: &Startup<'_>) -> i32 {
    let mode = startup.arg(1).unwrap_or("");
    let Some(data) = startup.handle("data") else {
        zx::println!("reader: there is no VMO called data");
        return 2;
    };
    let data = Unowned::<Vmo>::from_raw(data);
    for page in startup.args().skip(2) {
        let Some(page) = programs::number(page) else {
            zx::println!("reader: {page} is no page");
            return 2;
        };
        zx::println!("{mode} {page}");
        let word = match mode {
            "map" => map(&data, page, false),
            "write" => map(&data, page, true),
            "read" => read(&data, page),
            "meanwhile" => meanwhile(&data, page),
            _ => Err(Status::NOT_SUPPORTED),
        };
        match word {
            Ok(word) => zx::println!("page {page} {word:#018x}"),
            Err(status) => zx::println!("page {page} {status}"),
        }
    }
    0
}

fn map(data: &Vmo, page: u64, write: bool) -> Result<u64, Status> {
    let make = if write {
        Mapping::read_write
    } else {
        Mapping::read_only
    };
    let mapping = make(data, page * PAGE_SIZE, PAGE)?;
    let word = mapping.word(0)?;
    if write {
        mapping.set_word(0, !word)?;
    }
    mapping.word(0)
}

fn read(data: &Vmo, page: u64) -> Result<u64, Status> {
    let mut word = [0; 8];
    data.read(&mut word, page * PAGE_SIZE)?;
    Ok(u64::from_le_bytes(word))
}

fn meanwhile(data: &Vmo, page: u64) -> Result<u64, Status> {
    static DONE: AtomicBool = AtomicBool::new(false);
    DONE.store(false, Ordering::Relaxed);
    let raw = data.raw_handle();
    let thread = zx::thread::spawn("reader", move || {
        let word = map(&Unowned::from_raw(raw), page, false);
        DONE.store(true, Ordering::Release);
        word
    })?;
    while !DONE.load(Ordering::Acquire) {
        zx::println!("tick");
        time::sleep_until(time::after_millis(1))?;
    }
    thread.join(time::after_millis(PATIENCE_MILLIS))?
}
