//! `walk PASSES WALKERS WRITERS [read]`: walks over all pages of the start-up VMO `data` while others write, with less memory than that
//! takes. Says how many pages were looked at and how many rounds the writers made; the first thing that is wrong ends it.
//!
//! Each walker takes a share of the pages and looks at the first and the last word of each, `PASSES` times: through a mapping, or with
//! `read` by `zx_vmo_read`. Page `n` begins and ends with [`mark`]`(n)`.
//!
//! Each writer, until all have walked, goes over some pages of `data` and over a VMO of its own: it finds the number of the last round in
//! each page and writes that of the next. Without writers `data` may be read-only.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering};
use zx::{Mapping, PAGE_SIZE, Startup, Status, Unowned, Vmo, time};

zx::entry!(run);

const PAGE: usize = PAGE_SIZE as usize;

/// Pages between those of `data` that hold something and those that writers write to.
const STEP: u64 = 64;
/// Of each [`STEP`] pages this one is marked, the others are zero.
const MARKED: u64 = 7;
/// Of each [`STEP`] pages this one, and the marked one, are written to by one writer, in turn.
const WRITTEN: u64 = 20;
/// The word of a page that writers write to.
const WORD: usize = 8;
/// Pages of a writer's own.
const OWN: u64 = 256;
/// Most pages of `data` that a writer writes to.
const SHARED: u64 = 256;

const PATIENCE_MILLIS: i64 = 600_000;
const MAX_THREADS: usize = 8;

/// Walkers that have not finished.
static WALKING: AtomicU64 = AtomicU64::new(0);

/// What page `n` of `data` begins and ends with.
fn mark(page: u64) -> u64 {
    match page % STEP {
        MARKED => programs::page_word(1, page, 0),
        _ => 0,
    }
}

fn run(startup: &Startup<'_>) -> i32 {
    let number = |at: usize| startup.arg(at).and_then(programs::number);
    let (Some(passes), Some(walkers), Some(writers), Some(data)) =
        (number(1), number(2), number(3), startup.handle("data"))
    else {
        zx::println!("walk: say walk PASSES WALKERS WRITERS, with a VMO called data");
        return 2;
    };
    let calls = startup.arg(4) == Some("read");
    match walk(data, passes, walkers, writers, calls) {
        Ok((looks, rounds)) => {
            zx::println!("looked at {looks} pages, wrote {rounds} rounds");
            0
        }
        Err(status) => {
            zx::println!("walk: {status}");
            1
        }
    }
}

/// Page counts: looked at, and rounds written.
fn walk(
    data: u32,
    passes: u64,
    walkers: u64,
    writers: u64,
    calls: bool,
) -> Result<(u64, u64), Status> {
    WALKING.store(walkers, Ordering::Release);
    let mut threads = [const { None }; MAX_THREADS];
    for (place, thread) in threads.iter_mut().enumerate() {
        let place = place as u64;
        *thread = if place < walkers {
            let work = move || {
                let result = look(data, passes, (place, walkers), calls);
                WALKING.fetch_sub(1, Ordering::AcqRel);
                result
            };
            Some((true, zx::thread::spawn("walker", work)?))
        } else if place < walkers + writers {
            let work = move || write(data, (place - walkers, writers));
            Some((false, zx::thread::spawn("writer", work)?))
        } else {
            None
        };
    }
    let (mut looks, mut rounds) = (0, 0);
    for (walker, thread) in threads.into_iter().flatten() {
        let count = thread.join(time::after_millis(PATIENCE_MILLIS))??;
        *(if walker { &mut looks } else { &mut rounds }) += count;
    }
    Ok((looks, rounds))
}

/// A walker: how many pages it looked at.
fn look(data: u32, passes: u64, (place, walkers): (u64, u64), calls: bool) -> Result<u64, Status> {
    let data = Unowned::<Vmo>::from_raw(data);
    let pages = data.get_size()? / PAGE_SIZE;
    let (first, end) = (pages * place / walkers, pages * (place + 1) / walkers);
    let length = ((end - first) * PAGE_SIZE) as usize;
    let mapping = Mapping::read_only(&data, first * PAGE_SIZE, length)?;
    let mut looks = 0;
    for pass in 0..passes {
        for page in first..end {
            let at = (page - first) as usize * PAGE;
            let words = if calls {
                let mut bytes = [[0; 8]; 2];
                data.read(&mut bytes[0], page * PAGE_SIZE)?;
                data.read(&mut bytes[1], (page + 1) * PAGE_SIZE - 8)?;
                bytes.map(u64::from_le_bytes)
            } else {
                [mapping.word(at)?, mapping.word(at + PAGE - 8)?]
            };
            if words != [mark(page); 2] {
                zx::println!("pass {pass}, page {page}: {words:x?}");
                return Err(Status::IO_DATA_INTEGRITY);
            }
            looks += 1;
        }
    }
    Ok(looks)
}

/// A writer: how many rounds it made.
fn write(data: u32, (place, writers): (u64, u64)) -> Result<u64, Status> {
    let data = Unowned::<Vmo>::from_raw(data);
    let size = data.get_size()?;
    let (own_vmo, own_size) = (Vmo::create(OWN * PAGE_SIZE)?, OWN as usize * PAGE);
    let own = Mapping::read_write(&own_vmo, 0, own_size)?;
    let shared = Mapping::read_write(&data, 0, size as usize)?;
    // A writer's pages are spread over all of `data`.
    let strides = size / PAGE_SIZE / STEP;
    let mine = strides / writers;
    let apart = mine.div_ceil(SHARED).max(1);
    let mut round = 0;
    while WALKING.load(Ordering::Acquire) > 0 {
        for page in 0..OWN {
            next(&own, page, round)?;
        }
        for stride in (0..mine).step_by(apart as usize) {
            let base = (stride * writers + place) * STEP;
            next(&shared, base + WRITTEN, round)?;
            next(&shared, base + MARKED, round)?;
        }
        round += 1;
    }
    Ok(round)
}

/// A page holds the number of the last round; now it gets that of the next.
fn next(mapping: &Mapping, page: u64, round: u64) -> Result<(), Status> {
    let at = page as usize * PAGE + WORD;
    let found = mapping.word(at)?;
    if found != round {
        zx::println!("page {page} is of round {found}, not {round}");
        return Err(Status::IO_DATA_LOSS);
    }
    mapping.set_word(at, round + 1)
}
