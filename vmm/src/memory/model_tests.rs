//! Random operations on real windows, held against the plain memory that the core is tested with.
//!
//! A step is put on both sides after what makes it one that the core may ask for: pages are made absent, owned or writable first, as
//! the core would. Every answer must be the same; in the end, so must every page, who may write to it, and how much memory is held.

use std::ops::Range;

use proptest::prelude::*;
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId, Writes};

use super::{Memory, copy, tests::memory, units::PAGE_SIZE};

#[allow(dead_code)]
#[path = "../../../zircon/tests/common/memory.rs"]
mod page_memory;

use page_memory::{Holding, PageMemory};

const PAGE: usize = PAGE_SIZE as usize;

/// Most VMOs at once that are not frozen.
const VMOS: usize = 6;

/// Where runs of pages start: around the borders of chunks, units, files and the address space.
const PLACES: [u64; 8] = [
    0,
    3,
    254,
    510,
    (1 << 18) - 2,
    (1 << 30) - 3,
    (1 << 50) - 3,
    (1 << 51) - 1,
];

/// Pages looked at from each place on.
const NEAR: u64 = 9;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create(bool, u64),
    Clone(Target, u64),
    Free(usize),
    Zero(Target, bool),
    Supply(Target, u8),
    Move(Target, Target, bool),
    Decommit(Target),
    DecommitFar(usize, u64),
    Evict(Target),
    Fork(Target),
    Protect(Target, bool),
    Scan(Target, bool),
    Locate(Target),
    Write(Target, u16, u8),
    Clear(Target, u16),
    Copy(Target, Target, u16),
}

/// A run of up to four pages near one of the places.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// Which of the VMOs that there are.
    vmo: usize,
    first: u64,
    count: u64,
}

impl Target {
    fn range(&self) -> Range<u64> {
        self.first..self.first + self.count
    }
}

fn target() -> impl Strategy<Value = Target> {
    (
        0..VMOS * 2,
        prop::sample::select(&PLACES[..]),
        0..3_u64,
        1..5_u64,
    )
        .prop_map(|(vmo, place, skip, count)| Target {
            vmo,
            first: place + skip,
            count,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let place = || prop::sample::select(&PLACES[..]);
    prop_oneof![
        2 => (any::<bool>(), 0..600_u64).prop_map(|(noted, pages)| Step::Create(noted, pages)),
        4 => (target(), place()).prop_map(|(from, first)| Step::Clone(from, first)),
        2 => (0..VMOS * 2).prop_map(Step::Free),
        4 => (target(), any::<bool>()).prop_map(|(to, protect)| Step::Zero(to, protect)),
        4 => (target(), any::<u8>()).prop_map(|(to, byte)| Step::Supply(to, byte)),
        3 => (target(), target(), any::<bool>()).prop_map(|(from, to, protect)| Step::Move(from, to, protect)),
        2 => target().prop_map(Step::Decommit),
        1 => (0..VMOS * 2, place()).prop_map(|(vmo, first)| Step::DecommitFar(vmo, first)),
        2 => target().prop_map(Step::Evict),
        4 => target().prop_map(Step::Fork),
        2 => (target(), any::<bool>()).prop_map(|(pages, on)| Step::Protect(pages, on)),
        3 => (target(), any::<bool>()).prop_map(|(pages, protect)| Step::Scan(pages, protect)),
        1 => target().prop_map(Step::Locate),
        4 => (target(), 0..4096_u16, any::<u8>()).prop_map(|(to, skip, byte)| Step::Write(to, skip, byte)),
        2 => (target(), 0..4096_u16).prop_map(|(to, skip)| Step::Clear(to, skip)),
        3 => (target(), target(), 0..4096_u16).prop_map(|(from, to, skip)| Step::Copy(from, to, skip)),
    ]
}

/// What the test knows of a VMO.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: VmoId,
    writes: Writes,
    /// A pager's: its clones show what it holds at any time.
    live: bool,
    frozen: bool,
}

/// What memory should hold, and the memory.
struct Pair {
    model: PageMemory,
    memory: Memory,
    vmos: Vec<Known>,
    next: u64,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            model: PageMemory::default(),
            memory: memory(200),
            vmos: Vec::new(),
            next: 1,
        }
    }

    fn create(&mut self, writes: Writes, live: bool, pages: u64) -> VmoId {
        let id = VmoId(self.next);
        self.next += 1;
        let storage = Storage {
            writes,
            ..Storage::of(pages)
        };
        self.model.create(id, storage);
        self.memory.create(id, storage).unwrap();
        self.vmos.push(Known {
            id,
            writes,
            live,
            frozen: false,
        });
        id
    }

    /// Both sides; the answers must be the same.
    fn perform(&mut self, op: MemoryOp) {
        let expected = self.model.perform(&op);
        let found = self.memory.perform(&op);
        if let (MemoryResult::Addresses(expected), MemoryResult::Addresses(found)) =
            (&expected, &found)
        {
            // Each has its own; these must lead back.
            assert_eq!(expected.len(), found.len());
            let MemoryOp::Locate(pages) = op else {
                panic!("addresses for {op:?}");
            };
            for (page, gpa) in pages.range().zip(found) {
                assert_eq!(self.memory.locate(*gpa), Some((pages.vmo, page)));
            }
            return;
        }
        if let (MemoryResult::Written(expected), MemoryOp::Scan { pages, protect }) =
            (&expected, &op)
            && let (MemoryResult::Written(found), false) = (&found, protect)
        {
            // Absent pages may be among those found.
            let there =
                |page: &u64| matches!(self.model.holding(pages.vmo, *page), Holding::Owned { .. });
            let found = found.iter().cloned().flatten().filter(there);
            assert!(found.eq(expected.iter().cloned().flatten()), "{op:?}");
            return;
        }
        assert_eq!(found, expected, "{op:?}");
    }

    /// The VMO of a target: one that may be changed, or any.
    fn pick(&self, vmo: usize, frozen: bool) -> Option<Known> {
        let vmos: Vec<Known> = self
            .vmos
            .iter()
            .filter(|vmo| frozen || !vmo.frozen)
            .copied()
            .collect();
        let index = vmo.checked_rem(vmos.len())?;
        vmos.get(index).copied()
    }

    /// Runs of a target's pages that are held alike.
    fn held(&self, vmo: VmoId, range: Range<u64>) -> Vec<(Pages, Holding)> {
        let mut runs: Vec<(Pages, Holding)> = Vec::new();
        for page in range {
            let holding = self.model.holding(vmo, page);
            match runs.last_mut() {
                Some((pages, last)) if *last == holding => pages.count += 1,
                _ => runs.push((pages(vmo, page..page + 1), holding)),
            }
        }
        runs
    }

    fn make_absent(&mut self, vmo: VmoId, range: Range<u64>) {
        for (pages, holding) in self.held(vmo, range) {
            if holding != Holding::Absent {
                let inherited = holding == Holding::Inherited;
                self.perform(MemoryOp::Decommit { pages, inherited });
            }
        }
    }

    fn make_present(&mut self, vmo: VmoId, range: Range<u64>) {
        for (pages, holding) in self.held(vmo, range.clone()) {
            if holding == Holding::Absent {
                self.grow(vmo, range.end);
                let protect = false;
                self.perform(MemoryOp::Zero { pages, protect });
            }
        }
    }

    fn make_owned(&mut self, vmo: VmoId, range: Range<u64>) {
        self.grow(vmo, range.end);
        self.make_present(vmo, range.clone());
        for (pages, holding) in self.held(vmo, range) {
            let inherited = holding == Holding::Inherited;
            if inherited || holding == Holding::Shown {
                self.perform(MemoryOp::Fork { pages, inherited });
            }
        }
    }

    fn make_writable(&mut self, vmo: Known, range: Range<u64>) {
        self.make_owned(vmo.id, range.clone());
        for (pages, holding) in self.held(vmo.id, range) {
            if vmo.writes == Writes::Exit && holding == (Holding::Owned { protected: true }) {
                let on = false;
                self.perform(MemoryOp::Protect { pages, on });
            }
        }
    }

    fn grow(&mut self, vmo: VmoId, pages: u64) {
        self.model.grow(vmo, pages);
        self.memory.set_size_hint(vmo, pages).unwrap();
    }

    /// Performs a step on both sides, after what makes it one that the core may ask for.
    fn step(&mut self, step: Step) {
        match step {
            Step::Create(noted, pages) => {
                if self.vmos.iter().filter(|vmo| !vmo.frozen).count() < VMOS {
                    let writes = if noted { Writes::Noted } else { Writes::Exit };
                    self.create(writes, noted || pages % 2 == 0, pages);
                }
            }
            Step::Clone(from, first) => self.clone_of(from, first),
            Step::Free(vmo) => self.free(vmo),
            Step::DecommitFar(vmo, first) => {
                let Some(vmo) = self.pick(vmo, false) else {
                    return;
                };
                let count = (1 << 51) + 64 - first;
                // What is inherited goes first.
                for run in self.model.inherited(vmo.id) {
                    let pages = pages(vmo.id, run.start.max(first)..run.end.max(first));
                    if pages.count > 0 {
                        let inherited = true;
                        self.perform(MemoryOp::Decommit { pages, inherited });
                    }
                }
                let pages = pages(vmo.id, first..first + count);
                let inherited = false;
                self.perform(MemoryOp::Decommit { pages, inherited });
            }
            Step::Locate(run) | Step::Fork(run) => {
                let Some(vmo) = self.pick(run.vmo, false) else {
                    return;
                };
                self.make_owned(vmo.id, run.range());
                self.perform(MemoryOp::Locate(pages(vmo.id, run.range())));
            }
            Step::Copy(from, to, skip) => self.copy(from, to, skip),
            Step::Move(from, to, protect) => self.move_pages(from, to, protect),
            Step::Zero(run, _)
            | Step::Supply(run, _)
            | Step::Decommit(run)
            | Step::Evict(run)
            | Step::Protect(run, _)
            | Step::Scan(run, _)
            | Step::Write(run, ..)
            | Step::Clear(run, _) => {
                if let Some(vmo) = self.pick(run.vmo, false) {
                    self.step_on(step, vmo, run);
                }
            }
        }
    }

    fn step_on(&mut self, step: Step, vmo: Known, run: Target) {
        let (id, range) = (vmo.id, run.range());
        let at = |skip: u16| run.first * PAGE_SIZE + u64::from(skip);
        match step {
            Step::Zero(_, protect) => {
                self.grow(id, range.end);
                self.make_absent(id, range.clone());
                let pages = pages(id, range);
                self.perform(MemoryOp::Zero { pages, protect });
            }
            Step::Supply(_, byte) => {
                self.grow(id, range.end);
                self.make_absent(id, range.clone());
                let content = |page: u64| byte ^ page as u8;
                let bytes: Vec<u8> = range
                    .clone()
                    .flat_map(|page| [content(page); PAGE])
                    .collect();
                self.model.supply(pages(id, range), content);
                let done = self.memory.supply(id, run.first, &bytes);
                assert_eq!(done, MemoryResult::Done);
            }
            Step::Decommit(_) => {
                self.make_absent(id, range.clone());
                let pages = pages(id, range);
                self.perform(MemoryOp::Decommit {
                    pages,
                    inherited: false,
                });
            }
            Step::Evict(_) => {
                for (pages, holding) in self.held(id, range) {
                    if matches!(holding, Holding::Owned { .. }) {
                        self.perform(MemoryOp::Evict(pages));
                    }
                }
            }
            Step::Protect(_, on) => {
                self.make_owned(id, range.clone());
                let pages = pages(id, range);
                self.perform(MemoryOp::Protect { pages, on });
            }
            Step::Scan(_, protect) if vmo.writes == Writes::Noted => {
                let pages = pages(id, range.start..range.end + 1000);
                self.perform(MemoryOp::Scan { pages, protect });
            }
            Step::Write(_, skip, byte) => {
                self.make_writable(vmo, range);
                let length = run.count as usize * PAGE - usize::from(skip);
                let bytes: Vec<u8> = (0..length).map(|n| byte.wrapping_add(n as u8)).collect();
                let (vmo, offset) = (id, at(skip));
                self.perform(MemoryOp::Write { vmo, offset, bytes });
            }
            Step::Clear(_, skip) => {
                self.make_writable(vmo, range);
                self.perform(MemoryOp::Clear {
                    vmo: id,
                    offset: at(skip),
                    length: run.count * PAGE_SIZE - u64::from(skip),
                });
            }
            _ => {}
        }
    }

    /// A clone of a pager's VMO shows what that holds at any time; any other VMO is frozen first.
    fn clone_of(&mut self, from: Target, first: u64) {
        let Some(of) = self.pick(from.vmo, false) else {
            return;
        };
        if self.vmos.iter().filter(|vmo| !vmo.frozen).count() >= VMOS {
            return;
        }
        let parent = match of.live {
            true => of.id,
            false => {
                // What lies beyond its size is lost to all who show it.
                let size = if from.count == 1 { 512 } else { (1 << 51) + 64 };
                let into = self.create(Writes::Exit, false, size);
                if let Some(into) = self.vmos.last_mut() {
                    into.frozen = true;
                }
                let (vmo, owned) = (of.id, self.model.owned(of.id));
                self.perform(MemoryOp::Freeze { vmo, into, owned });
                into
            }
        };
        let clone = self.create(Writes::Exit, false, 10);
        let shown = pages(clone, first..first + 600 + from.count);
        self.model.view(shown, parent, from.first);
        self.memory.view(shown, parent, from.first).unwrap();
    }

    /// Frees a VMO that nobody shows, and the frozen ones that become useless or have one viewer left.
    fn free(&mut self, vmo: usize) {
        let Some(vmo) = self.pick(vmo, false) else {
            return;
        };
        if !self.model.viewers(vmo.id).is_empty() {
            return;
        }
        self.drop_vmo(vmo.id);
        while let Some(frozen) = self
            .vmos
            .iter()
            .find(|vmo| vmo.frozen && self.model.viewers(vmo.id).len() <= 1)
            .copied()
        {
            for heir in self.model.viewers(frozen.id) {
                self.merge(frozen.id, heir);
            }
            self.drop_vmo(frozen.id);
        }
    }

    /// What the heir does not need of a frozen VMO goes first.
    fn merge(&mut self, frozen: VmoId, heir: VmoId) {
        let own = [self.model.owned(heir), self.model.inherited(heir)].concat();
        for own in own {
            for page in own {
                let covered = self.model.covered(heir, page);
                let Some((_, at)) = covered.filter(|(of, _)| *of == frozen) else {
                    continue;
                };
                let holding = self.model.holding(frozen, at);
                if holding != Holding::Shown {
                    self.make_absent(frozen, at..at + 1);
                }
            }
        }
    }

    fn drop_vmo(&mut self, vmo: VmoId) {
        self.model.free(vmo);
        self.memory.destroy(vmo).unwrap();
        self.vmos.retain(|known| known.id != vmo);
    }

    fn copy(&mut self, from: Target, to: Target, skip: u16) {
        let (Some(source), Some(target)) = (self.pick(from.vmo, true), self.pick(to.vmo, false))
        else {
            return;
        };
        let to = Target {
            count: from.count,
            ..to
        };
        if source.id == target.id && from.first.abs_diff(to.first) < from.count {
            return;
        }
        if source.frozen {
            let held = self.held(source.id, from.range());
            if held.iter().any(|(_, holding)| *holding == Holding::Absent) {
                return;
            }
        }
        self.make_present(source.id, from.range());
        self.make_writable(target, to.range());
        // Making the target ready may have changed what the source shows.
        self.make_present(source.id, from.range());
        // A live clone that is copied onto the VMO that it shows: what is read may have been written before. Nobody says what comes of it.
        if from
            .range()
            .any(|page| self.lies_in(source.id, page, target.id, &to.range()))
        {
            return;
        }
        // The source is read from `skip` on, the target written from its start on.
        self.perform(MemoryOp::Copy {
            from: source.id,
            from_offset: from.first * PAGE_SIZE + u64::from(skip),
            to: target.id,
            to_offset: to.first * PAGE_SIZE,
            length: from.count * PAGE_SIZE - u64::from(skip),
        });
    }

    /// Whether what a VMO has or shows of a page lies in these pages of another.
    fn lies_in(&self, vmo: VmoId, page: u64, other: VmoId, pages: &Range<u64>) -> bool {
        let mut place = Some((vmo, page));
        while let Some((of, at)) = place {
            if of == other && pages.contains(&at) {
                return true;
            }
            let shown = self.model.holding(of, at) == Holding::Shown;
            place = self.model.covered(of, at).filter(|_| shown);
        }
        false
    }

    fn move_pages(&mut self, from: Target, to: Target, protect: bool) {
        let (Some(source), Some(target)) = (self.pick(from.vmo, false), self.pick(to.vmo, false))
        else {
            return;
        };
        let to = to.first..to.first + from.count;
        if source.id == target.id && from.first.abs_diff(to.start) < from.count {
            return;
        }
        self.grow(target.id, to.end);
        self.make_absent(target.id, to.clone());
        self.make_owned(source.id, from.range());
        // A clone of the source shows at the target what the source holds now.
        self.make_absent(target.id, to.clone());
        self.perform(MemoryOp::Move {
            from: pages(source.id, from.range()),
            to: target.id,
            to_first: to.start,
            protect,
        });
    }

    fn check(&self) {
        for vmo in &self.vmos {
            for page in PLACES.iter().flat_map(|place| *place..place + NEAR) {
                self.check_page(*vmo, page);
            }
        }
        let pages = self.model.total() as u64;
        assert_eq!(self.memory.resident_total(), pages * PAGE_SIZE);
    }

    fn check_page(&self, vmo: Known, page: u64) {
        let (id, offset) = (vmo.id, page * PAGE_SIZE);
        let window = self.memory.window(id).unwrap();
        let run = window.place_all(page, 1).unwrap().remove(0);
        let Some(expected) = self.model.page(id, page) else {
            copy::read(run.host(), &mut [0; 1]).unwrap_err();
            return;
        };
        let op = MemoryOp::Read {
            vmo: id,
            offset,
            length: PAGE,
        };
        let found = self.memory.perform(&op);
        assert!(
            found == MemoryResult::Bytes(expected.to_vec()),
            "{id:?} page {page}"
        );
        if vmo.frozen {
            return;
        }
        // The bytes that are there already: nothing changes where the write goes through.
        let write = super::tests::write(&self.memory, id, offset, &expected[..1]);
        let may = match self.model.holding(id, page) {
            Holding::Owned { protected } => !protected || vmo.writes == Writes::Noted,
            _ => false,
        };
        assert_eq!(write == MemoryResult::Done, may, "{id:?} page {page}");
    }
}

fn pages(vmo: VmoId, range: Range<u64>) -> Pages {
    super::tests::pages(vmo, range.start, range.end - range.start)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_page_map(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        pair.create(Writes::Noted, true, 300);
        pair.create(Writes::Exit, false, 3);
        for step in steps {
            pair.step(step);
        }
        pair.check();
    }
}
