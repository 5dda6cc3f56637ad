//! Two threads that write, as vCPUs would, while pages come, go, are cleaned and are frozen under them. A write is made through the
//! mapping; one that fails is one that the guest would wait for.

use std::{
    array,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use zircon::{MemoryOp, MemoryResult, Storage, VmoId, Writes};

use super::{
    Memory, copy,
    tests::{DONE, memory, pages, vmo},
    units::PAGE_SIZE,
};

const WRITERS: usize = 2;
const PAGES: u64 = 48;
/// Pages from here on are cut off now and then.
const CUT: u64 = 32;
/// How long the writers may take for what a test needs of them, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last number that each writer is known to have written to a page.
type Last = [AtomicU64; WRITERS];

/// A small generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % end
    }
}

/// Ends the writers, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Host address of a page, which is placed for good.
fn host(memory: &Memory, vmo: VmoId, page: u64) -> u64 {
    memory.window(vmo).unwrap().place_all(page, 1).unwrap()[0].host()
}

fn put(host: u64, writer: usize, value: u64) -> bool {
    // SAFETY: the address is that of a page in a window.
    unsafe { copy::write(&value.to_le_bytes(), host + 8 * writer as u64) }.is_ok()
}

fn values(content: &[u8]) -> [u64; WRITERS] {
    array::from_fn(|writer| {
        u64::from_le_bytes(content[8 * writer..8 * writer + 8].try_into().unwrap())
    })
}

fn read_page(memory: &Memory, vmo: VmoId, page: u64) -> Option<Vec<u8>> {
    let op = MemoryOp::Read {
        vmo,
        offset: page * PAGE_SIZE,
        length: PAGE_SIZE as usize,
    };
    match memory.perform(&op) {
        MemoryResult::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// What the core does with a pager's VMO.
struct Pager<'a> {
    memory: &'a Memory,
    vmo: VmoId,
    last: &'a [Last],
    /// What the pager would supply.
    backing: Vec<Vec<u8>>,
    there: Vec<bool>,
    /// What each page's numbers were at most when it was cut off last.
    cut: Vec<[u64; WRITERS]>,
    evicted: u64,
    written_back: u64,
}

impl Pager<'_> {
    fn supply(&mut self, page: u64) {
        if !self.there[page as usize] {
            let content = &self.backing[page as usize];
            assert_eq!(self.memory.supply(self.vmo, page, content), DONE);
            self.there[page as usize] = true;
        }
    }

    fn written(&self, op: MemoryOp) -> Vec<u64> {
        match self.memory.perform(&op) {
            MemoryResult::Written(runs) => runs.into_iter().flatten().collect(),
            other => panic!("{op:?}: {other:?}"),
        }
    }

    fn clean(&mut self, first: u64, count: u64) {
        let pages = pages(self.vmo, first, count);
        let written = self.written(MemoryOp::Scan {
            pages,
            protect: true,
        });
        for page in written {
            assert!(self.there[page as usize], "page {page} is absent");
            self.backing[page as usize] = read_page(self.memory, self.vmo, page).unwrap();
            self.written_back += 1;
        }
    }

    fn evict(&mut self, first: u64, count: u64) {
        let mut pages_there: Vec<u64> = (first..first + count).collect();
        pages_there.retain(|page| self.there[*page as usize]);
        for run in pages_there.chunk_by(|page, next| page + 1 == *next) {
            let op = MemoryOp::Evict(pages(self.vmo, run[0], run.len() as u64));
            let stayed = self.written(op);
            for page in run.iter().filter(|page| !stayed.contains(page)) {
                self.there[*page as usize] = false;
                self.evicted += 1;
                self.check_backing(*page);
            }
        }
    }

    fn cut(&mut self, page: u64) {
        let last = &self.last[page as usize];
        let pages = pages(self.vmo, page, 1);
        let inherited = false;
        let op = MemoryOp::Decommit { pages, inherited };
        assert_eq!(self.memory.perform(&op), DONE);
        // Now, not before: a writer may write any number of times until the page goes.
        self.cut[page as usize] = array::from_fn(|writer| last[writer].load(Ordering::SeqCst));
        self.there[page as usize] = false;
        self.backing[page as usize] = vec![0; PAGE_SIZE as usize];
    }

    /// No write goes to an absent page: the pager knows of all of them.
    fn check_backing(&self, page: u64) {
        let index = page as usize;
        for (writer, found) in values(&self.backing[index]).into_iter().enumerate() {
            let last = self.last[index][writer].load(Ordering::SeqCst);
            let kept = found >= last || last <= self.cut[index][writer] + 1;
            assert!(
                kept,
                "page {page}: writer {writer} wrote {last}, written back {found}"
            );
        }
    }

    /// Every write since the page was cut off last is there, and none from before.
    fn check(&self, page: u64) {
        let index = page as usize;
        let content = read_page(self.memory, self.vmo, page);
        assert_eq!(content.is_some(), self.there[index], "page {page}");
        let found = values(&content.unwrap_or_else(|| self.backing[index].clone()));
        for writer in 0..WRITERS {
            let last = self.last[index][writer].load(Ordering::SeqCst);
            let (found, cut) = (found[writer], self.cut[index][writer]);
            // One write may have been under way when the page was cut.
            let kept = found == last || (last <= cut + 1 && found == 0);
            assert!(
                kept,
                "page {page}: writer {writer} wrote {last}, found {found}, cut at {cut}"
            );
        }
    }
}

#[test]
fn no_write_is_lost_while_pages_are_supplied_evicted_cleaned_and_cut() {
    let memory = memory(1);
    let storage = Storage {
        writes: Writes::Noted,
        ..Storage::of(PAGES)
    };
    let vmo = VmoId(1);
    memory.create(vmo, storage).unwrap();
    let last: Vec<Last> = (0..PAGES).map(|_| Last::default()).collect();
    let stop = AtomicBool::new(false);
    let mut pager = Pager {
        memory: &memory,
        vmo,
        last: &last,
        backing: vec![vec![0; PAGE_SIZE as usize]; PAGES as usize],
        there: vec![false; PAGES as usize],
        cut: vec![[0; WRITERS]; PAGES as usize],
        evicted: 0,
        written_back: 0,
    };
    let host = host(&memory, vmo, 0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (last, stop) = (&last, &stop);
            scope.spawn(move || {
                let mut random = Random(writer as u64 + 1);
                while !stop.load(Ordering::Relaxed) {
                    let page = random.below(PAGES);
                    let last = &last[page as usize][writer];
                    let next = last.load(Ordering::Relaxed) + 1;
                    if put(host + page * PAGE_SIZE, writer, next) {
                        last.store(next, Ordering::SeqCst);
                    }
                }
            });
        }
        let _ends = Stop(&stop);
        let (mut random, end) = (Random(99), Instant::now() + PATIENCE);
        let mut steps = 0..4000;
        while steps.next().is_some() || pager.evicted < 50 || pager.written_back < 50 {
            assert!(Instant::now() < end, "the writers do not come to write");
            let page = random.below(PAGES - 8);
            match random.below(12) {
                0..6 => (page..page + 8).for_each(|page| pager.supply(page)),
                6 => pager.clean(page, 8),
                7..11 => pager.evict(page, 8),
                _ => pager.cut(CUT + random.below(PAGES - CUT)),
            }
        }
    });
    (0..PAGES).for_each(|page| pager.check(page));
}

#[test]
fn a_freeze_is_one_moment_for_all_writers() {
    const PAIRS: u64 = 8;
    let memory = memory(1);
    let id = vmo(&memory, 1, 2 * PAIRS);
    super::tests::zero(&memory, id, 0, 2 * PAIRS);
    let (stop, base) = (AtomicBool::new(false), host(&memory, id, 0));
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let (mut random, mut values) = (Random(writer as u64 + 1), [0; PAIRS as usize]);
                'all: loop {
                    let pair = random.below(PAIRS);
                    values[pair as usize] += 1;
                    // The first page of a pair is never behind the second.
                    for page in [2 * pair, 2 * pair + 1] {
                        while !put(base + page * PAGE_SIZE, writer, values[pair as usize]) {
                            if stop.load(Ordering::Relaxed) {
                                break 'all;
                            }
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let _ends = Stop(&stop);
        let (end, mut next, mut newest) = (
            Instant::now() + PATIENCE,
            2,
            vec![[0; WRITERS]; 2 * PAIRS as usize],
        );
        while next < 400 || done.load(Ordering::Relaxed) < 1000 {
            assert!(Instant::now() < end, "the writers do not come to write");
            let (frozen, clone) = (VmoId(next), VmoId(next + 1));
            next += 2;
            let all = |vmo| pages(vmo, 0, 2 * PAIRS);
            memory.create(frozen, Storage::of(2 * PAIRS)).unwrap();
            let owned = std::iter::once(0..2 * PAIRS).collect();
            let into = frozen;
            assert_eq!(
                memory.perform(&MemoryOp::Freeze {
                    vmo: id,
                    into,
                    owned
                }),
                DONE
            );
            memory.create(clone, Storage::of(2 * PAIRS)).unwrap();
            memory.view(all(clone), frozen, 0).unwrap();
            let read = |page| values(&read_page(&memory, clone, page).unwrap());
            let frozen_values: Vec<_> = (0..2 * PAIRS).map(read).collect();
            for pair in frozen_values.chunks(2) {
                for (&first, &second) in pair[0].iter().zip(&pair[1]) {
                    assert!(first == second || first == second + 1, "{first} {second}");
                }
            }
            for (old, new) in newest.iter().zip(&frozen_values) {
                assert!(
                    (0..WRITERS).all(|writer| old[writer] <= new[writer]),
                    "{old:?} {new:?}"
                );
            }
            newest = frozen_values;
            // The VMO goes on with pages of its own, some from before, some after the clone is gone.
            let fork = |first, count, inherited| {
                let pages = pages(id, first, count);
                assert_eq!(memory.perform(&MemoryOp::Fork { pages, inherited }), DONE);
            };
            fork(0, PAIRS, false);
            thread::yield_now();
            let unchanged: Vec<_> = (0..2 * PAIRS).map(read).collect();
            assert_eq!(unchanged, newest);
            memory.destroy(clone).unwrap();
            let (pages, inherited) = (pages(frozen, 0, PAIRS), false);
            assert_eq!(
                memory.perform(&MemoryOp::Decommit { pages, inherited }),
                DONE
            );
            memory.destroy(frozen).unwrap();
            fork(PAIRS, PAIRS, true);
        }
    });
    assert_eq!(memory.resident_total(), 2 * PAIRS * PAGE_SIZE);
}

/// A page that was written to counts as written wherever it is: in the page table, or in its file only.
#[test]
fn a_written_page_out_of_the_page_table_is_not_evicted() {
    let memory = memory(1);
    let vmo = VmoId(1);
    let writes = Writes::Noted;
    let storage = Storage {
        writes,
        ..Storage::of(8)
    };
    memory.create(vmo, storage).unwrap();
    let content = vec![1; PAGE_SIZE as usize];
    for page in 0..6 {
        assert_eq!(memory.supply(vmo, page, &content), DONE);
    }
    // 1 and 2 are written to and stay, 3 and 4 are and leave the page table, 5 leaves it unwritten.
    for page in 1..5 {
        assert!(put(host(&memory, vmo, page), 0, 77));
    }
    memory.unmap(pages(vmo, 3, 3));
    let evicted = memory.perform(&MemoryOp::Evict(pages(vmo, 0, 8)));
    let MemoryResult::Written(runs) = evicted else {
        panic!("{evicted:?}");
    };
    assert_eq!(runs.into_iter().flatten().collect::<Vec<_>>(), [1, 2, 3, 4]);
    for page in 1..5 {
        assert_eq!(values(&read_page(&memory, vmo, page).unwrap())[0], 77);
    }
    for page in [0, 5] {
        assert_eq!(read_page(&memory, vmo, page), None, "page {page}");
    }
}
