//! Random bytes, what is made of them, and how a list of things that fails is made short.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes to make decisions from, zeros when they run out.
pub struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Source { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u64::from(self.byte())
            | if end > 256 {
                u64::from(self.byte()) << 8
            } else {
                0
            };
        wide % end.max(1)
    }

    pub fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    /// One of these, each as often as its weight says.
    pub fn weighted<T>(&mut self, from: &[T], weight: impl Fn(&T) -> u64) -> usize {
        let total = from.iter().map(&weight).sum();
        let mut at = self.below(total);
        let chosen = from.iter().position(|one| {
            let here = at < weight(one);
            at = at.saturating_sub(weight(one));
            here
        });
        chosen.unwrap_or(0)
    }
}

/// Splitmix: the same seed gives the same bytes.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        out.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    out.truncate(length);
    out
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What a run panics with, if it does, without a word on the terminal.
pub fn failure(run: impl FnOnce()) -> Option<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let quiet = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(quiet);
    let payload = result.err()?;
    let text = payload.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| {
        payload
            .downcast_ref::<&str>()
            .unwrap_or(&"panic")
            .to_string()
    }))
}

/// Runs a check for many seeds, on two threads; panics with the first failure. ZVMM_CASES says how many, ZVMM_SEED the first.
pub fn each_seed(cases: u64, check: impl Fn(u64) -> Result<(), String> + Sync) {
    let variable = |name, default| {
        let value = std::env::var(name);
        value.map_or(default, |value| value.parse().unwrap())
    };
    let (cases, first) = (variable("ZVMM_CASES", cases), variable("ZVMM_SEED", 1));
    let next = AtomicU64::new(0);
    let worker = || {
        loop {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases {
                return Ok(());
            }
            let seed = first.wrapping_add(case);
            if let Err(why) = check(seed) {
                next.store(cases, Ordering::Relaxed);
                return Err(format!("seed {seed}: {why}"));
            }
        }
    };
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.collect()
    });
    if let Some(failure) = results.into_iter().find_map(Result::err) {
        panic!("{failure}");
    }
}

/// The shortest list found that still fails: leaves out ever smaller pieces, then makes single entries simpler.
pub fn shrink<T: Clone>(
    list: &[T],
    simpler: impl Fn(&T) -> Vec<T>,
    fails: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut list = list.to_vec();
    loop {
        let before = list.len();
        let mut piece = list.len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            while at < list.len() {
                let mut without = list.clone();
                without.drain(at..(at + piece).min(list.len()));
                if fails(&without) {
                    list = without;
                } else {
                    at += piece;
                }
            }
            piece /= 2;
        }
        let mut simplified = false;
        for at in 0..list.len() {
            for candidate in simpler(&list[at]) {
                let mut other = list.clone();
                other[at] = candidate;
                if fails(&other) {
                    list = other;
                    simplified = true;
                    break;
                }
            }
        }
        if list.len() == before && !simplified {
            return list;
        }
    }
}
