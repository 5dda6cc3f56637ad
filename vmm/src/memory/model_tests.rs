//! Random operations on real windows against a page map in plain Rust.

use std::collections::BTreeMap;

use proptest::prelude::*;
use zircon::{MemoryOp, MemoryResult, Pages, Storage, VmoId};

use super::{Memory, tests::memory, units::PAGE_SIZE};

const PAGE: usize = PAGE_SIZE as usize;
const VMOS: u64 = 3;

/// Where runs of pages start: around the borders of chunks, units and the address space.
const PLACES: [u64; 8] = [
    0,
    3,
    254,
    510,
    (1 << 17) - 2,
    (1 << 18) - 2,
    (1 << 30) - 3,
    (1 << 51) - 1,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Zero(Target),
    Supply(Target, u8),
    Move(Target, Target),
    Decommit(Target),
    Write(Target, u16, u8),
    Clear(Target, u16),
    Copy(Target, Target, u16),
    Resize(u64, u32),
    Recreate(u64),
}

/// A run of up to four pages near one of the places.
#[derive(Clone, Copy, Debug)]
struct Target {
    vmo: u64,
    first: u64,
    count: u64,
}

fn target() -> impl Strategy<Value = Target> {
    (
        0..VMOS,
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
    prop_oneof![
        4 => target().prop_map(Step::Zero),
        4 => (target(), any::<u8>()).prop_map(|(to, byte)| Step::Supply(to, byte)),
        3 => (target(), target()).prop_map(|(from, to)| Step::Move(from, to)),
        2 => target().prop_map(Step::Decommit),
        4 => (target(), 0..4096_u16, any::<u8>()).prop_map(|(to, skip, byte)| Step::Write(to, skip, byte)),
        2 => (target(), 0..4096_u16).prop_map(|(to, skip)| Step::Clear(to, skip)),
        3 => (target(), target(), 0..4096_u16).prop_map(|(from, to, skip)| Step::Copy(from, to, skip)),
        1 => (0..VMOS, 0..40_u32).prop_map(|(vmo, log)| Step::Resize(vmo, log)),
        1 => (0..VMOS).prop_map(Step::Recreate),
    ]
}

/// `to`, as long as `from`, if they do not overlap.
fn apart(from: Target, to: Target) -> Option<Target> {
    let overlap = from.vmo == to.vmo && from.first.abs_diff(to.first) < from.count;
    (!overlap).then_some(Target {
        count: from.count,
        ..to
    })
}

/// What memory should hold, and the memory.
struct Pair {
    model: BTreeMap<(u64, u64), Vec<u8>>,
    memory: Memory,
}

impl Pair {
    /// Zeros what is absent of a run, as the core would before it asks for an access.
    fn make_present(&mut self, run: Target) {
        for page in run.first..run.first + run.count {
            if !self.model.contains_key(&(run.vmo, page)) {
                let page = Target {
                    first: page,
                    count: 1,
                    ..run
                };
                assert_eq!(self.step(Step::Zero(page)), MemoryResult::Done);
            }
        }
    }

    /// Drops what is present of a run.
    fn make_absent(&mut self, run: Target) {
        assert_eq!(self.step(Step::Decommit(run)), MemoryResult::Done);
    }

    /// The bytes of a run from byte `skip` on.
    fn bytes(&self, run: Target, skip: u16) -> Vec<u8> {
        let pages = run.first..run.first + run.count;
        let bytes: Vec<u8> = pages
            .flat_map(|page| self.model[&(run.vmo, page)].clone())
            .collect();
        bytes[usize::from(skip)..].to_vec()
    }

    fn set(&mut self, run: Target, skip: u16, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            let at = usize::from(skip) + n;
            let page = run.first + (at / PAGE) as u64;
            self.model.get_mut(&(run.vmo, page)).unwrap()[at % PAGE] = *byte;
        }
    }

    fn insert(&mut self, run: Target, bytes: &[u8]) {
        for (page, content) in (run.first..).zip(bytes.chunks(PAGE)) {
            self.model.insert((run.vmo, page), content.to_vec());
        }
    }

    fn remove(&mut self, run: Target) {
        for page in run.first..run.first + run.count {
            self.model.remove(&(run.vmo, page));
        }
    }

    /// Performs a step on both sides, after what makes it one that the core may ask for.
    fn step(&mut self, step: Step) -> MemoryResult {
        let pages = |run: Target| Pages {
            vmo: VmoId(run.vmo),
            first: run.first,
            count: run.count,
        };
        let offset = |run: Target, skip: u16| run.first * PAGE_SIZE + u64::from(skip);
        match step {
            Step::Zero(run) => {
                if (run.first..run.first + run.count)
                    .any(|page| self.model.contains_key(&(run.vmo, page)))
                {
                    self.make_absent(run);
                }
                self.insert(run, &vec![0; run.count as usize * PAGE]);
                self.memory.perform(&MemoryOp::Zero {
                    pages: pages(run),
                    protect: false,
                })
            }
            Step::Supply(run, byte) => {
                self.make_absent(run);
                let bytes: Vec<u8> = (0..run.count as usize * PAGE)
                    .map(|n| byte ^ (n / 100) as u8)
                    .collect();
                self.insert(run, &bytes);
                self.memory.supply(VmoId(run.vmo), run.first, &bytes)
            }
            Step::Move(from, to) => {
                let Some(to) = apart(from, to) else {
                    return MemoryResult::Done;
                };
                self.make_present(from);
                self.make_absent(to);
                let bytes = self.bytes(from, 0);
                self.insert(to, &bytes);
                self.remove(from);
                let (to, to_first) = (VmoId(to.vmo), to.first);
                self.memory.perform(&MemoryOp::Move {
                    from: pages(from),
                    to,
                    to_first,
                    protect: false,
                })
            }
            Step::Decommit(run) => {
                self.remove(run);
                self.memory.perform(&MemoryOp::Decommit {
                    pages: pages(run),
                    inherited: false,
                })
            }
            Step::Write(run, skip, byte) => {
                self.make_present(run);
                let length = run.count as usize * PAGE - usize::from(skip);
                let bytes: Vec<u8> = (0..length).map(|n| byte.wrapping_add(n as u8)).collect();
                self.set(run, skip, &bytes);
                let (vmo, offset) = (VmoId(run.vmo), offset(run, skip));
                self.memory.perform(&MemoryOp::Write { vmo, offset, bytes })
            }
            Step::Clear(run, skip) => {
                self.make_present(run);
                let length = run.count * PAGE_SIZE - u64::from(skip);
                self.set(run, skip, &vec![0; length as usize]);
                let (vmo, offset) = (VmoId(run.vmo), offset(run, skip));
                self.memory.perform(&MemoryOp::Clear {
                    vmo,
                    offset,
                    length,
                })
            }
            Step::Copy(from, to, skip) => {
                // The source is read from `skip` on, the target written from its start on.
                let Some(to) = apart(from, to) else {
                    return MemoryResult::Done;
                };
                self.make_present(from);
                self.make_present(to);
                let bytes = self.bytes(from, skip);
                self.set(to, 0, &bytes);
                self.memory.perform(&MemoryOp::Copy {
                    from: VmoId(from.vmo),
                    from_offset: offset(from, skip),
                    to: VmoId(to.vmo),
                    to_offset: offset(to, 0),
                    length: bytes.len() as u64,
                })
            }
            Step::Resize(vmo, log) => {
                self.memory.set_size_hint(VmoId(vmo), 1 << log).unwrap();
                MemoryResult::Done
            }
            Step::Recreate(vmo) => {
                self.model.retain(|(id, _), _| *id != vmo);
                self.memory.destroy(VmoId(vmo)).unwrap();
                self.memory
                    .create(VmoId(vmo), Storage::of(1 << vmo))
                    .unwrap();
                MemoryResult::Done
            }
        }
    }

    fn check(&self) {
        for vmo in 0..VMOS {
            for page in PLACES.iter().flat_map(|place| *place..place + 7) {
                let offset = page * PAGE_SIZE;
                let window = self.memory.window(VmoId(vmo)).unwrap();
                match self.model.get(&(vmo, page)) {
                    Some(bytes) => {
                        let op = MemoryOp::Read {
                            vmo: VmoId(vmo),
                            offset,
                            length: PAGE,
                        };
                        assert_eq!(self.memory.perform(&op), MemoryResult::Bytes(bytes.clone()));
                    }
                    None => {
                        for run in window.placed(page, 1).unwrap() {
                            super::copy::read(run.host(), &mut [0; 1]).unwrap_err();
                        }
                    }
                }
            }
            let pages = self.model.keys().filter(|(id, _)| *id == vmo).count() as u64;
            assert_eq!(self.memory.resident(VmoId(vmo)).unwrap(), pages * PAGE_SIZE);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn memory_is_a_page_map(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair { model: BTreeMap::new(), memory: memory(32) };
        for vmo in 0..VMOS {
            pair.memory.create(VmoId(vmo), Storage::of(vmo * 300)).unwrap();
        }
        for step in steps {
            prop_assert_eq!(pair.step(step), MemoryResult::Done, "{:?}", step);
        }
        pair.check();
    }
}
