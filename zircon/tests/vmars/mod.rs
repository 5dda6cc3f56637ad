//! Random operations on a tree of VMARs, held against a list of pages: every status, every address, and after each operation
//! what is mapped at every page.

mod model;

use model::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use protocol::maps::{MAPS_TYPE_VMAR, TOPIC_PROCESS_MAPS};
use protocol::{PAGE_SIZE, Rights, Status};

use crate::common::TestMachine;

/// Pages of each VMO.
const VMO_PAGES: usize = 12;

/// One operation. VMARs are counted from the last one made, so that most operations are on those that are alive.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(Vmar, Wish),
    Map(Vmar, Wish, usize, usize),
    Unmap(Vmar, Span),
    Protect(Vmar, Span, u32),
    /// Of the n-th mapped page and those behind it, through the VMAR it is in or the one around that.
    ProtectMapped(usize, Vmar, usize, u32),
    Destroy(Vmar),
}

/// Which VMAR, and whether by the handle without OP_CHILDREN.
type Vmar = (usize, bool);

fn vmar() -> impl Strategy<Value = Vmar> {
    (
        prop_oneof![3 => 0usize..3, 1 => 0usize..40],
        prop::bool::weighted(0.2),
    )
}

fn span() -> impl Strategy<Value = Span> {
    (
        0..PAGES + 2,
        prop_oneof![8 => 1usize..12, 1 => Just(0), 1 => Just(PAGES)],
    )
        .prop_map(|(first, count)| Span { first, count })
}

/// Each of some option words, or a few at once.
fn words(of: &'static [u32]) -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => prop::sample::select(of),
        1 => (prop::sample::select(of), prop::sample::select(of)).prop_map(|(a, b)| a | b),
    ]
}

fn wish(options: impl Strategy<Value = u32>, most: usize) -> impl Strategy<Value = Wish> {
    let place = prop::sample::select(&[
        0,
        0,
        0,
        SPECIFIC,
        SPECIFIC,
        SPECIFIC,
        OVERWRITE,
        UPPER_LIMIT,
        SPECIFIC | UPPER_LIMIT,
        13 << 24,
        14 << 24,
        SPECIFIC | 13 << 24,
        UPPER_LIMIT | 13 << 24,
    ]);
    let count = prop_oneof![12 => 1..most, 1 => Just(0), 1 => Just(PAGES)];
    (options, place, 0..24usize, count, prop::bool::weighted(0.9)).prop_map(
        |(options, place, offset, count, fitting)| Wish {
            options: options | place,
            // Where the place is free to choose an offset is an error.
            offset: match place & (SPECIFIC | OVERWRITE | UPPER_LIMIT) == 0 && fitting {
                true => 0,
                false => offset,
            },
            count,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    const ALL: u32 = CAN_READ | CAN_WRITE | CAN_SPECIFIC;
    let can = words(&[
        ALL,
        ALL,
        ALL | COMPACT,
        ALL | CAN_EXECUTE,
        CAN_READ | CAN_SPECIFIC,
        CAN_READ,
        0,
        READ,
    ]);
    let perms = words(&[
        READ,
        READ,
        READ | WRITE,
        READ | WRITE,
        READ | EXECUTE,
        0,
        WRITE,
        COMPACT,
        CAN_READ,
    ]);
    let protect_mapped = prop::sample::select(&[0, READ, READ | WRITE]);
    let protect = prop::sample::select(&[0, READ, READ | WRITE, READ | EXECUTE, WRITE]);
    prop_oneof![
        3 => (vmar(), wish(can, 20)).prop_map(|(vmar, wish)| Step::Allocate(vmar, wish)),
        6 => (vmar(), wish(perms, 8), 0..4usize, 0..6usize)
            .prop_map(|(vmar, wish, vmo, page)| Step::Map(vmar, wish, vmo, page)),
        4 => (vmar(), span()).prop_map(|(vmar, span)| Step::Unmap(vmar, span)),
        4 => (vmar(), span(), protect).prop_map(|(vmar, span, perms)| Step::Protect(vmar, span, perms)),
        3 => (0..PAGES, 0..2usize, prop::bool::weighted(0.2), 1..5usize, protect_mapped).prop_map(
            |(n, up, weak, count, perms)| Step::ProtectMapped(n, (up, weak), count, perms)
        ),
        1 => vmar().prop_map(Step::Destroy),
    ]
}

/// The core and the model, side by side.
struct Pair {
    m: TestMachine,
    space: Space,
    /// Address of the model's page 0.
    base: u64,
    /// Handles to each VMAR, whole and without OP_CHILDREN.
    handles: Vec<[u32; 2]>,
    /// Handles to the VMOs, their rights, their koids.
    vmos: Vec<(u32, Rights, u64)>,
}

impl Pair {
    fn new() -> Pair {
        let mut m = TestMachine::new();
        let can = CAN_READ | CAN_WRITE | CAN_EXECUTE | CAN_SPECIFIC;
        // On a boundary that suits every alignment.
        let options = can | 16 << 24;
        let size = PAGES as u64 * PAGE_SIZE;
        let (outer, base) = m
            .vmar_allocate(m.main.vmar_handle, options, 0, size)
            .unwrap();
        let weak = m.without(outer, Rights::OP_CHILDREN);
        let vmo = m.vmo(VMO_PAGES as u64);
        let koid = m.koid(vmo);
        let other = m.vmo(VMO_PAGES as u64);
        let other_koid = m.koid(other);
        let full = Rights::DEFAULT_VMO;
        let vmos = vec![
            (vmo, full, koid),
            (other, full, other_koid),
            (m.without(vmo, Rights::WRITE), full - Rights::WRITE, koid),
            (m.without(vmo, Rights::READ), full - Rights::READ, koid),
        ];
        Pair {
            m,
            space: Space::new(can),
            base,
            handles: vec![[outer, weak]],
            vmos,
        }
    }

    fn address(&self, page: usize) -> u64 {
        self.base + page as u64 * PAGE_SIZE
    }

    fn vmar(&self, (back, weak): Vmar) -> (usize, u32) {
        let region = (self.handles.len() - 1).saturating_sub(back);
        (region, self.handles[region][usize::from(weak)])
    }

    /// Does one step on both sides: the statuses and the addresses.
    fn step(&mut self, step: Step) -> (Result<u64, Status>, Result<u64, Status>) {
        let bytes = |pages: usize| pages as u64 * PAGE_SIZE;
        let (got, expected) = match step {
            Step::Allocate(vmar, wish) => {
                let (region, handle) = self.vmar(vmar);
                let (offset, size) = (bytes(wish.offset), bytes(wish.count));
                let got = self.m.vmar_allocate(handle, wish.options, offset, size);
                if let Ok((made, _)) = got {
                    let weak = self.m.without(made, Rights::OP_CHILDREN);
                    self.handles.push([made, weak]);
                }
                let expected = self.space.allocate(region, vmar.1, wish);
                (
                    got.map(|(_, at)| at),
                    expected.map(|page| self.address(page)),
                )
            }
            Step::Map(vmar, wish, vmo, page) => {
                let (region, handle) = self.vmar(vmar);
                let (raw, rights, _) = self.vmos[vmo];
                let from = (raw, bytes(page));
                let (offset, length) = (bytes(wish.offset), bytes(wish.count));
                let got = self.m.map_at(handle, wish.options, offset, from, length);
                let expected = self.space.map(region, vmar.1, wish, (vmo, rights, page));
                (got, expected.map(|page| self.address(page)))
            }
            Step::Unmap(vmar, span) => {
                let (region, handle) = self.vmar(vmar);
                let at = self.address(span.first);
                let got = self.m.unmap_in(handle, at, bytes(span.count));
                let expected = self.space.unmap(region, vmar.1, span);
                (got.map(|()| 0), expected.map(|()| 0))
            }
            Step::ProtectMapped(n, (up, weak), count, perms) => {
                let pages = self.space.pages.iter().enumerate();
                let mapped: Vec<_> = pages
                    .filter_map(|(page, at)| Some((page, (*at)?)))
                    .collect();
                let Some(&(first, at)) = mapped.get(n % mapped.len().max(1)) else {
                    return (Ok(0), Ok(0));
                };
                let around = self.space.regions[at.vmar].parent.filter(|_| up > 0);
                let back = self.handles.len() - 1 - around.unwrap_or(at.vmar);
                return self.step(Step::Protect((back, weak), Span { first, count }, perms));
            }
            Step::Protect(vmar, span, perms) => {
                let (region, handle) = self.vmar(vmar);
                let at = self.address(span.first);
                let got = self.m.protect_in(handle, perms, at, bytes(span.count));
                let expected = self.space.protect(region, vmar.1, span, perms);
                (got.map(|()| 0), expected.map(|()| 0))
            }
            Step::Destroy(vmar) => {
                let (region, handle) = self.vmar(vmar);
                let got = self.m.vmar_destroy(handle);
                let expected = self.space.destroy(region, vmar.1);
                (got.map(|()| 0), expected.map(|()| 0))
            }
        };
        (got, expected)
    }

    /// What page tables would be given, page by page, is what the model has.
    fn compare_pages(&self) {
        for (page, mapped) in self.space.pages.iter().enumerate() {
            let at = self.address(page);
            let run = self.m.kernel.mapped_run(self.m.main.process, at);
            let got = run.map(|run| {
                let into = (at - run.address) / PAGE_SIZE;
                (run.vmo.0, run.page + into, run.write, run.execute)
            });
            let reached = mapped.filter(|mapped| mapped.perms != 0 && mapped.page < VMO_PAGES);
            let expected = reached.map(|mapped| {
                let (write, execute) = (mapped.perms & WRITE != 0, mapped.perms & EXECUTE != 0);
                (self.vmos[mapped.vmo].2, mapped.page as u64, write, execute)
            });
            assert_eq!(got, expected, "page {page}");
        }
    }

    /// The VMARs that ZX_INFO_PROCESS_MAPS tells of are those that are alive.
    fn compare_regions(&mut self) {
        let size = 152 * 200;
        let process = self.m.main.process_handle;
        let records = self.m.info(process, TOPIC_PROCESS_MAPS, size).unwrap();
        let word =
            |record: &[u8], at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap());
        let vmars = records
            .chunks_exact(152)
            .filter(|record| word(record, 56) == MAPS_TYPE_VMAR.into() && word(record, 48) > 1);
        let mut got: Vec<_> = vmars
            .map(|record| (word(record, 48) - 2, word(record, 32), word(record, 40)))
            .collect();
        let alive = (0..self.space.regions.len()).filter(|&n| !self.space.regions[n].dead);
        let mut expected: Vec<_> = alive
            .map(|n| {
                let region = &self.space.regions[n];
                let length = (region.end - region.base) as u64 * PAGE_SIZE;
                (self.space.depth(n), self.address(region.base), length)
            })
            .collect();
        got.sort_unstable();
        expected.sort_unstable();
        assert_eq!(got, expected);
    }
}

fn run(steps: &[Step]) {
    let mut pair = Pair::new();
    for &step in steps {
        let (got, expected) = pair.step(step);
        assert_eq!(got, expected, "{step:x?}");
        pair.compare_pages();
    }
    pair.compare_regions();
    let total = |m: &mut TestMachine, vmo| m.vmo_info(vmo, 64);
    let (first, second) = (pair.vmos[0].0, pair.vmos[1].0);
    let root = pair.m.main.vmar_handle;
    let whole = PAGES as u64 * PAGE_SIZE;
    if !pair.space.regions[0].dead {
        pair.m.unmap_in(root, pair.base, whole).unwrap();
    }
    let left = (total(&mut pair.m, first), total(&mut pair.m, second));
    assert_eq!(left, (0, 0), "every mapping gave its VMO back");
}

/// `ZVMM_CASES=N` runs that many sequences.
#[test]
fn random_vmars_are_those_of_the_model() {
    let cases = std::env::var("ZVMM_CASES").map_or(2_000, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), 1..40);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&steps, |steps| {
        run(&steps);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// The random operations reach what they are there for: most kinds of end, with a tree of some depth.
#[test]
fn random_vmars_go_everywhere() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut ends = std::collections::BTreeMap::new();
    let mut deepest = 0;
    for _ in 0..300 {
        let tree = prop::collection::vec(step(), 40)
            .new_tree(&mut runner)
            .unwrap();
        let mut pair = Pair::new();
        for step in tree.current() {
            let kind = match step {
                Step::Allocate(..) => "allocate",
                Step::Map(..) => "map",
                Step::Unmap(..) => "unmap",
                Step::Protect(..) | Step::ProtectMapped(..) => "protect",
                Step::Destroy(_) => "destroy",
            };
            let status = pair
                .step(step)
                .0
                .map_or_else(|status| status, |_| Status::OK);
            *ends.entry((kind, status.to_register())).or_insert(0) += 1;
        }
        let alive = (0..pair.space.regions.len()).filter(|&n| !pair.space.regions[n].dead);
        deepest = deepest.max(alive.map(|n| pair.space.depth(n)).max().unwrap_or(0));
    }
    let denied = [Status::OK, Status::INVALID_ARGS, Status::ACCESS_DENIED];
    let placed = [
        Status::BAD_STATE,
        Status::ALREADY_EXISTS,
        Status::NO_RESOURCES,
    ];
    let found = [Status::BAD_STATE, Status::NOT_FOUND];
    let rows = [
        ("allocate", [&denied[..], &placed].concat()),
        ("map", [&denied[..], &placed].concat()),
        ("unmap", [&denied[..2], &found].concat()),
        ("protect", [&denied[..], &found].concat()),
        (
            "destroy",
            vec![Status::OK, Status::ACCESS_DENIED, Status::BAD_STATE],
        ),
    ];
    for (kind, statuses) in rows {
        for status in statuses {
            let times = ends.get(&(kind, status.to_register())).unwrap_or(&0);
            assert!(*times >= 20, "{kind} {status}: {times} times");
        }
    }
    assert!(deepest >= 3, "{deepest}");
}
