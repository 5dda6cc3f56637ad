//! `heap [FILTER]`: what the `zx` crate gives a program beyond system calls: `alloc`, mutexes, start-up handles.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    clippy::result_large_err,
    reason = "without an allocator the reason travels by value"
)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use programs::Random;
use test_guests::{Outcome, Runner, cases, check, equal, soon};
use zx::sync::Mutex;
use zx::{HandleBased, Vmar};

#[zx::main]
fn main(startup: &zx::Startup<'_>) -> i32 {
    let mut runner = Runner::new(startup.arg(1).unwrap_or(""));
    runner.cases(CASES);
    runner.finish()
}

fn collections() -> Outcome {
    let words: BTreeMap<usize, String> = (0..500).map(|n| (n, format!("<{n}>"))).collect();
    equal!(words.values().map(String::len).sum::<usize>(), 1390 + 1000);
    equal!(*Box::new([7u8; 5000]), [7; 5000]);
    Ok(())
}

/// Blocks of random sizes and alignments, kept for a while: each holds what was written to it.
fn blocks(seed: u64) -> bool {
    let mut random = Random::new(seed);
    let mut kept: Vec<(u8, Vec<u8>)> = Vec::new();
    for round in 0..1500u32 {
        let length = if round % 100 == 0 {
            300_000
        } else {
            random.below(3000) as usize
        };
        let tag = random.next_u64() as u8;
        kept.push((tag, vec![tag; length]));
        if kept.len() > 40 {
            let (tag, mut block) = kept.swap_remove(random.below(40) as usize);
            block.resize(block.len() * 2, tag);
            if block.iter().any(|&byte| byte != tag) {
                return false;
            }
        }
    }
    kept.iter()
        .all(|(tag, block)| block.iter().all(|byte| byte == tag))
}

/// Threads allocate at the same time; blocks go from one to the other.
fn threads_share_the_heap() -> Outcome {
    let threads = [1, 2, 3, 4].map(|seed| zx::thread::spawn("allocating", move || blocks(seed)));
    for thread in threads {
        check!(thread?.join(soon())?, "a block was overwritten");
    }
    Ok(())
}

/// New memory is zero, also where something was written before.
fn zeroed_blocks_are_zero() -> Outcome {
    for _ in 0..4 {
        let mut block = vec![0u8; 4 << 20];
        check!(block.iter().all(|&byte| byte == 0));
        block.fill(0xFF);
    }
    Ok(())
}

/// More than `--memory` gives at once, one after the other: what is freed is given back.
fn freed_memory_is_given_back() -> Outcome {
    for tag in 0..32 {
        equal!(vec![tag; 12 << 20].last(), Some(&tag));
    }
    Ok(())
}

fn a_mutex_lets_one_in() -> Outcome {
    let count = Arc::new(Mutex::new([0u64; 2]));
    let add = |count: Arc<Mutex<[u64; 2]>>| {
        move || {
            for _ in 0..2000 {
                let mut count = count.lock();
                let [first, second] = &mut *count;
                *first += 1;
                *second += *first;
            }
        }
    };
    let threads = [(); 4].map(|()| zx::thread::spawn("counting", add(Arc::clone(&count))));
    for thread in threads {
        thread?.join(soon())?;
    }
    equal!(*count.lock(), [8000, 8000 * 8001 / 2]);
    Ok(())
}

fn a_startup_handle_is_taken_once() -> Outcome {
    let Some(vmar) = zx::take_startup_handle::<Vmar>("vmar") else {
        test_guests::fail!("no VMAR");
    };
    check!(vmar.info()?.len > 0);
    check!(zx::take_startup_handle::<Vmar>("vmar").is_none());
    check!(zx::take_startup_handle::<Vmar>("nothing").is_none());
    // The crate itself uses it, too.
    let _ = vmar.into_raw();
    Ok(())
}

cases! { "heap":
    collections
    threads_share_the_heap
    zeroed_blocks_are_zero
    freed_memory_is_given_back
    a_mutex_lets_one_in
    a_startup_handle_is_taken_once
}
