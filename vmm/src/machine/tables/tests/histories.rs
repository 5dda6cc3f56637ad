//! Random histories of mapping, unmapping, faults and flushes against a list of leaves.

use proptest::prelude::*;

use super::*;

const POOL: u64 = 200;

/// Where things happen: around the border of two directories, and near the top of the user half.
const AREAS: [u64; 2] = [VA + GIB - 4 * REGION, 0x7F80_0000_0000 - 2 * REGION];
const AREA_PAGES: u64 = 8 * 512;

#[derive(Clone, Copy, Debug)]
struct Place {
    area: usize,
    page: u64,
    pages: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Map {
        place: Place,
        shift: u64,
        write: bool,
        execute: bool,
    },
    Unmap(Place),
    Protect {
        place: Place,
        write: bool,
    },
    /// Anywhere, mostly where nothing is mapped.
    Fault {
        area: usize,
        page: u64,
    },
    /// In one of the leaves.
    Touch {
        leaf: usize,
        page: u64,
    },
    BeginFlush,
    CompleteFlush {
        newest: bool,
    },
}

impl Place {
    fn start(self) -> u64 {
        AREAS[self.area] + self.page * PAGE
    }

    fn end(self) -> u64 {
        self.start() + self.pages.min(AREA_PAGES - self.page) * PAGE
    }
}

fn place() -> impl Strategy<Value = Place> {
    let fine = (0..AREAS.len(), 0..AREA_PAGES, 1..40u64);
    let coarse =
        (0..AREAS.len(), 0..8u64, 1..5u64).prop_map(|(area, at, n)| (area, at * 512, n * 512));
    prop_oneof![fine, coarse].prop_map(|(area, page, pages)| Place { area, page, pages })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (place(), prop_oneof![2 => Just(0u64), 1 => 1..512u64], any::<bool>(), any::<bool>())
            .prop_map(|(place, shift, write, execute)| Step::Map { place, shift, write, execute }),
        1 => place().prop_map(Step::Unmap),
        1 => (place(), any::<bool>()).prop_map(|(place, write)| Step::Protect { place, write }),
        2 => (0..AREAS.len(), 0..AREA_PAGES).prop_map(|(area, page)| Step::Fault { area, page }),
        5 => (any::<usize>(), any::<u64>()).prop_map(|(leaf, page)| Step::Touch { leaf, page }),
        1 => Just(Step::BeginFlush),
        1 => any::<bool>().prop_map(|newest| Step::CompleteFlush { newest }),
    ]
}

/// The mappings, as a list; nothing more clever.
#[derive(Debug, Default)]
struct Model(Vec<Leaf>);

impl Model {
    fn translate(&self, va: u64) -> Option<Translation> {
        let leaf = self.0.iter().find(|leaf| leaf.contains(va))?;
        Some((leaf.gpa + (va - leaf.va), leaf.write, leaf.execute))
    }

    /// Cuts `start..end` out and returns what was there.
    fn cut(&mut self, start: u64, end: u64) -> Vec<Leaf> {
        let part = |leaf: &Leaf, low: u64, high: u64| {
            let (low, high) = (low.max(leaf.va), high.min(leaf.va + leaf.len));
            (low < high).then(|| Leaf {
                va: low,
                len: high - low,
                gpa: leaf.gpa + (low - leaf.va),
                ..*leaf
            })
        };
        let inside = self
            .0
            .iter()
            .filter_map(|leaf| part(leaf, start, end))
            .collect();
        self.0 = self
            .0
            .iter()
            .flat_map(|leaf| [part(leaf, 0, start), part(leaf, end, u64::MAX)])
            .flatten()
            .collect();
        inside
    }
}

#[derive(Debug)]
struct World {
    ram: Ram,
    pool: TablePool,
    space: AddressSpace,
    model: Model,
    flushes: Vec<FlushId>,
    probes: BTreeSet<u64>,
}

impl World {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Map {
                place,
                shift,
                write,
                execute,
            } => {
                let (va, end) = (place.start(), place.end());
                if !self.model.cut(va, end).is_empty() {
                    self.unlink(va, end);
                }
                // Congruent modulo 2 MiB when `shift` is 0, and always somewhere else in
                // guest-physical memory.
                let gpa = GPA + place.area as u64 * 64 * GIB + va % (8 * GIB) + shift * PAGE;
                self.model.0.push(Leaf {
                    va,
                    len: end - va,
                    gpa,
                    write,
                    execute,
                });
                self.probes.extend([va - 1, va, end - 1, end]);
            }
            Step::Unmap(place) => {
                self.model.cut(place.start(), place.end());
                self.unlink(place.start(), place.end());
            }
            Step::Protect { place, write } => {
                let inside = self.model.cut(place.start(), place.end());
                self.model
                    .0
                    .extend(inside.into_iter().map(|leaf| Leaf { write, ..leaf }));
                self.unlink(place.start(), place.end());
            }
            Step::Fault { area, page } => self.fault(AREAS[area] + page * PAGE + 5),
            Step::Touch { leaf, page } => {
                if let Some(leaf) = self.model.0.get(leaf % self.model.0.len().max(1)) {
                    self.fault(leaf.va + page % leaf.len);
                }
            }
            Step::BeginFlush => {
                self.observe();
                self.flushes.push(self.space.begin_flush());
            }
            Step::CompleteFlush { newest } => {
                let flush = if newest {
                    self.flushes.pop()
                } else {
                    self.flushes.first().copied()
                };
                if let Some(flush) = flush {
                    self.flushes.retain(|other| *other != flush);
                    self.ram.flushed = self.ram.flushed.max(Some(flush.0));
                    self.space.flushed(&mut self.pool, flush);
                }
            }
        }
        self.observe();
        self.check();
    }

    fn observe(&self) {
        self.ram.observe(self.space.root(), self.space.generation);
    }

    fn unlink(&mut self, start: u64, end: u64) {
        let links = self.space.unlink(start, end);
        self.ram.apply(&links);
        for va in [start, end - 1] {
            assert_eq!(
                self.ram.walk(self.space.root(), va),
                None,
                "{va:#x} is unlinked"
            );
        }
    }

    fn fault(&mut self, va: u64) {
        self.probes.insert(va);
        let was_linked = self.space.is_linked(va);
        let mut link = || {
            self.space
                .link(&mut self.pool, &self.ram, va, among(&self.model.0))
        };
        match link() {
            Ok(links) => {
                // So that the host may write them: see decision 0024.
                let absent = |link: &Link| self.ram.entry(link.entry) == 0;
                assert!(was_linked || links.iter().all(absent), "{va:#x} in place");
                self.ram.apply(&links);
                assert_eq!(link(), Ok(vec![]), "{va:#x} again");
                assert_eq!(self.space.is_linked(va), was_linked || !links.is_empty());
                let found = self.ram.walk(self.space.root(), va);
                assert_eq!(found, self.model.translate(va), "{va:#x}");
            }
            // Pages that wait for a flush are the only way in which so few mappings can exhaust the
            // pool.
            Err(OutOfTables { .. }) => assert!(self.space.retired() > 100),
        }
    }

    fn check(&self) {
        for va in &self.probes {
            let found = self.ram.walk(self.space.root(), *va);
            assert!(
                found.is_none() || found == self.model.translate(*va),
                "{va:#x}: {found:x?}"
            );
        }
        let linked = self.ram.reachable(self.space.root()).len();
        assert_eq!(
            linked + self.space.retired() + self.pool.available(),
            POOL as usize,
            "every page is somewhere"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tables_say_what_the_mappings_say(steps in prop::collection::vec(step(), 1..120)) {
        let (ram, pool, space) = setup(POOL);
        let (model, flushes, probes) = Default::default();
        let mut world = World { ram, pool, space, model, flushes, probes };
        for step in &steps {
            world.step(step);
        }
        let World { mut pool, space, .. } = world;
        space.destroy(&mut pool);
        prop_assert_eq!(pool.available(), POOL as usize);
    }
}
