//! The tables against a page walk in software, single cases first, then random histories.

mod histories;

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
};

use super::*;

const PAGE: u64 = 4096;
const GIB: u64 = 1 << 30;
const VA: u64 = 0x40_0000_0000;
const GPA: u64 = 0x1_0000_0000;
const KERNEL: u64 = 0x9_9063;
const POOL_START: u64 = 0x80_0000;

/// What a page walk finds: address, writable, executable.
type Translation = (u64, bool, bool);

/// Guest RAM in which a table can be written only while no vCPU can know of it.
#[derive(Debug, Default)]
struct Ram {
    pages: RefCell<HashMap<u64, [u64; ENTRIES]>>,
    /// By page: the latest generation in which it was reachable.
    seen: RefCell<HashMap<u64, u64>>,
    /// The latest flush that is complete.
    flushed: Option<u64>,
}

impl TableMemory for Ram {
    fn write_table(&self, gpa: u64, entries: &[u64; ENTRIES]) {
        let last = self.seen.borrow().get(&gpa).copied();
        assert!(
            last.is_none_or(|last| Some(last) <= self.flushed),
            "{gpa:#x} may be in a TLB"
        );
        self.pages.borrow_mut().insert(gpa, *entries);
    }
}

impl Ram {
    /// Does the guest kernel's part.
    fn apply(&self, links: &[Link]) {
        for link in links {
            let mut pages = self.pages.borrow_mut();
            let table = pages.get_mut(&(link.entry & !(PAGE - 1))).expect("a table");
            table[(link.entry % PAGE / 8) as usize] = link.value;
        }
    }

    fn entry(&self, gpa: u64) -> u64 {
        self.pages.borrow()[&(gpa & !(PAGE - 1))][(gpa % PAGE / 8) as usize]
    }

    fn walk(&self, root: u64, va: u64) -> Option<Translation> {
        let pages = self.pages.borrow();
        let mut table = root;
        let (mut write, mut execute) = (true, true);
        for shift in [39u32, 30, 21, 12] {
            let entry = pages[&table][usize::from(index(va, shift))];
            if entry & PRESENT == 0 {
                return None;
            }
            assert_eq!(entry & 0x24, 0x24, "user and accessed: {entry:#x}");
            write &= entry & 2 != 0;
            execute &= entry >> 63 == 0;
            let address = entry & 0x000F_FFFF_FFFF_F000;
            if shift == 12 || entry & 0x80 != 0 {
                assert_eq!(
                    entry & 0x40 != 0,
                    entry & 2 != 0,
                    "dirty where writable: {entry:#x}"
                );
                let size = 1u64 << shift;
                assert!(shift < 30 && address.is_multiple_of(size), "{entry:#x}");
                return Some((address + va % size, write, execute));
            }
            table = address;
        }
        unreachable!("the last level returns");
    }

    /// All table pages that can be reached from `root`.
    fn reachable(&self, root: u64) -> BTreeSet<u64> {
        let pages = self.pages.borrow();
        let mut found = BTreeSet::from([root]);
        let mut level = vec![root];
        for shift in [39, 30, 21] {
            let mut next = Vec::new();
            for table in level {
                let user = if shift == 39 { ENTRIES - 1 } else { ENTRIES };
                for entry in pages[&table][..user]
                    .iter()
                    .filter(|entry| **entry & 0x81 == 1)
                {
                    next.push(entry & 0x000F_FFFF_FFFF_F000);
                }
            }
            found.extend(&next);
            level = next;
        }
        found
    }

    fn observe(&self, root: u64, generation: u64) {
        for page in self.reachable(root) {
            self.seen.borrow_mut().insert(page, generation);
        }
    }
}

fn setup(pages: u64) -> (Ram, TablePool, AddressSpace) {
    let ram = Ram::default();
    let mut pool = TablePool::new(POOL_START..POOL_START + pages * PAGE);
    let space = AddressSpace::new(&mut pool, &ram, KERNEL).expect("a root");
    (ram, pool, space)
}

fn leaf(va: u64, len: u64, gpa: u64) -> Leaf {
    Leaf {
        va,
        len,
        gpa,
        write: true,
        execute: false,
    }
}

/// `leaf_at` of a list of leaves.
fn among(leaves: &[Leaf]) -> impl FnMut(u64) -> Option<Leaf> + '_ {
    |va| leaves.iter().copied().find(|leaf| leaf.contains(va))
}

#[test]
fn the_first_fault_is_one_link() {
    let (ram, mut pool, mut space) = setup(16);
    let leaves = [
        leaf(VA, 3 * PAGE, GPA),
        Leaf {
            write: false,
            execute: true,
            ..leaf(VA + 5 * PAGE, PAGE, GPA)
        },
    ];
    let links = space
        .link(&mut pool, &ram, VA + PAGE, among(&leaves))
        .expect("pages");
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].entry, space.root() + 8 * (VA >> 39));
    ram.apply(&links);
    let walk = |va| ram.walk(space.root(), va);
    assert_eq!(walk(VA), Some((GPA, true, false)));
    assert_eq!(
        walk(VA + 2 * PAGE + 7),
        Some((GPA + 2 * PAGE + 7, true, false))
    );
    assert_eq!(walk(VA + 3 * PAGE), None);
    assert_eq!(walk(VA + 5 * PAGE), Some((GPA, false, true)));
    assert_eq!(walk(VA + 6 * PAGE), None);
    assert_eq!(ram.pages.borrow()[&space.root()][511], KERNEL);
    assert_eq!(pool.available(), 12, "root and three tables");
}

#[test]
fn a_region_that_is_linked_as_wanted_needs_nothing() {
    let (ram, mut pool, mut space) = setup(16);
    for leaves in [[leaf(VA, PAGE, GPA)], [leaf(VA + GIB, 4 * REGION, GPA)]] {
        let va = leaves[0].va;
        assert_eq!(
            space
                .link(&mut pool, &ram, va, among(&leaves))
                .expect("pages")
                .len(),
            1
        );
        let available = pool.available();
        assert_eq!(space.link(&mut pool, &ram, va, among(&leaves)), Ok(vec![]));
        assert_eq!(pool.available(), available);
    }
}

#[test]
fn what_is_not_mapped_needs_nothing() {
    let (ram, mut pool, mut space) = setup(16);
    assert_eq!(space.link(&mut pool, &ram, VA, |_| None), Ok(vec![]));
    // A wrong answer about another place is no mapping either, nor is the kernel's half.
    let elsewhere = |_| Some(leaf(VA, PAGE, GPA));
    assert_eq!(
        space.link(&mut pool, &ram, VA + PAGE, elsewhere),
        Ok(vec![])
    );
    let kernel = 0xFFFF_FFFF_8000_0000;
    let everywhere = |_| Some(leaf(kernel, PAGE, GPA));
    assert_eq!(space.link(&mut pool, &ram, kernel, everywhere), Ok(vec![]));
    assert_eq!(pool.available(), 15);
}

#[test]
fn a_new_directory_holds_all_large_pages_of_the_leaf() {
    let (ram, mut pool, mut space) = setup(16);
    // Half a region, 600 regions (over the end of the GiB), half a region.
    let start = VA + 100 * REGION + REGION / 2;
    let leaves = [leaf(start, 601 * REGION, GPA + REGION / 2)];
    let links = space
        .link(&mut pool, &ram, start + 10 * REGION, among(&leaves))
        .expect("pages");
    assert_eq!(links.len(), 1);
    ram.apply(&links);
    let walk = |va| ram.walk(space.root(), va);
    assert_eq!(walk(start), None, "needs a table");
    assert_eq!(walk(VA + 101 * REGION), Some((GPA + REGION, true, false)));
    assert_eq!(
        walk(VA + GIB - 1),
        Some((GPA + 411 * REGION + REGION - 1, true, false))
    );
    assert_eq!(walk(VA + GIB), None, "the next directory");
    assert_eq!(pool.available(), 13, "no page tables");
}

#[test]
fn in_a_linked_directory_the_next_regions_of_the_leaf_come_along() {
    let (ram, mut pool, mut space) = setup(16);
    let first = leaf(VA, PAGE, GPA);
    let big = leaf(VA + 2 * REGION, 100 * REGION, 2 * GPA);
    let leaves = [first, big];
    ram.apply(
        &space
            .link(&mut pool, &ram, VA, among(&leaves))
            .expect("pages"),
    );
    let links = space
        .link(&mut pool, &ram, VA + 50 * REGION, among(&leaves))
        .expect("pages");
    assert_eq!(links.len(), 17);
    ram.apply(&links);
    let links = space
        .link(&mut pool, &ram, VA + 40 * REGION, among(&leaves))
        .expect("pages");
    assert_eq!(
        links.len(),
        10,
        "itself, and nine before the ones that are linked"
    );
    ram.apply(&links);
    let links = space
        .link(&mut pool, &ram, VA + 95 * REGION, among(&leaves))
        .expect("pages");
    assert_eq!(links.len(), 7, "as far as the leaf goes");
    ram.apply(&links);
    let walk = |at: u64| ram.walk(space.root(), VA + at * REGION).is_some();
    let found: Vec<u64> = (0..512).filter(|at| walk(*at)).collect();
    let expected: Vec<u64> = [0].into_iter().chain(40..=66).chain(95..=101).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_leaf_that_is_not_aligned_gets_a_table() {
    let (ram, mut pool, mut space) = setup(16);
    let leaves = [leaf(VA, 4 * REGION, GPA + PAGE)];
    let links = space
        .link(&mut pool, &ram, VA + REGION, among(&leaves))
        .expect("pages");
    ram.apply(&links);
    let walk = |va| ram.walk(space.root(), va);
    assert_eq!(
        walk(VA + 2 * REGION - PAGE),
        Some((GPA + 2 * REGION, true, false))
    );
    assert_eq!((walk(VA), walk(VA + 2 * REGION)), (None, None));
}

#[test]
fn a_changed_table_is_a_new_table() {
    let (ram, mut pool, mut space) = setup(16);
    let leaves = [leaf(VA, PAGE, GPA), leaf(VA + PAGE, PAGE, 3 * GPA)];
    ram.apply(
        &space
            .link(&mut pool, &ram, VA, among(&leaves[..1]))
            .expect("pages"),
    );
    ram.observe(space.root(), 0);
    let links = space
        .link(&mut pool, &ram, VA + PAGE, among(&leaves))
        .expect("pages");
    assert_eq!(links.len(), 1);
    ram.apply(&links);
    assert_eq!(ram.walk(space.root(), VA), Some((GPA, true, false)));
    assert_eq!(
        ram.walk(space.root(), VA + PAGE),
        Some((3 * GPA, true, false))
    );
    assert_eq!((space.retired(), pool.available()), (1, 11));
    let flush = space.begin_flush();
    space.flushed(&mut pool, flush);
    assert_eq!((space.retired(), pool.available()), (0, 12));
}

#[test]
fn an_empty_pool_changes_nothing() {
    let (ram, mut pool, mut space) = setup(3);
    let leaves = [leaf(VA, PAGE, GPA)];
    let error = space
        .link(&mut pool, &ram, VA, among(&leaves))
        .expect_err("two of three pages");
    assert_eq!(error, OutOfTables { total: 3 });
    assert_eq!(pool.available(), 2);
    // A large page needs one table less.
    let leaves = [leaf(VA, REGION, GPA)];
    ram.apply(
        &space
            .link(&mut pool, &ram, VA, among(&leaves))
            .expect("pages"),
    );
    assert_eq!(ram.walk(space.root(), VA), Some((GPA, true, false)));
    let more = [leaves[0], leaf(VA + REGION, PAGE, GPA)];
    assert!(
        space
            .link(&mut pool, &ram, VA + REGION, among(&more))
            .is_err()
    );
    assert_eq!(ram.walk(space.root(), VA), Some((GPA, true, false)));
    let mut none = TablePool::new(0x1001..0x1FFF);
    assert!(AddressSpace::new(&mut none, &ram, KERNEL).is_err());
}

#[test]
fn unlinking_clears_regions_and_drops_empty_tables() {
    let (ram, mut pool, mut space) = setup(32);
    let leaves = [
        leaf(VA, 8 * REGION, GPA),
        leaf(VA + GIB, 2 * PAGE, 3 * GPA),
        leaf(VA + 3 * GIB, PAGE, GPA),
    ];
    for leaf in &leaves {
        ram.apply(
            &space
                .link(&mut pool, &ram, leaf.va, among(&leaves))
                .expect("pages"),
        );
    }
    let links = space.unlink(VA + REGION - 1, VA + REGION + 1);
    assert_eq!(links.len(), 2, "both regions that the range touches");
    ram.apply(&links);
    let walk = |space: &AddressSpace, va| ram.walk(space.root(), va);
    assert_eq!((walk(&space, VA), walk(&space, VA + REGION)), (None, None));
    assert!(walk(&space, VA + 2 * REGION).is_some());
    assert_eq!(space.unlink(VA, VA), []);
    assert_eq!(space.unlink(VA + PAGE, VA), []);

    let links = space.unlink(VA + GIB + PAGE, VA + GIB + 2 * PAGE);
    assert_eq!(links.len(), 1);
    ram.apply(&links);
    assert_eq!(space.retired(), 2, "a page table and its directory");
    assert_eq!(walk(&space, VA + GIB), None);

    let links = space.unlink(0, u64::MAX);
    assert_eq!(
        links,
        [Link {
            entry: space.root() + 8 * (VA >> 39),
            value: 0
        }]
    );
    ram.apply(&links);
    assert_eq!(ram.reachable(space.root()).len(), 1);
    space.destroy(&mut pool);
    assert_eq!(pool.available(), 32);
}

#[test]
fn a_flush_frees_what_was_retired_before_it_began() {
    let (ram, mut pool, mut space) = setup(32);
    let cycle = |space: &mut AddressSpace, pool: &mut TablePool| {
        space
            .link(pool, &ram, VA, |va| Some(leaf(va & !(PAGE - 1), PAGE, GPA)))
            .expect("pages");
        space.unlink(VA, VA + 1);
    };
    cycle(&mut space, &mut pool);
    let first = space.begin_flush();
    cycle(&mut space, &mut pool);
    let second = space.begin_flush();
    cycle(&mut space, &mut pool);
    assert_eq!(space.retired(), 9);
    space.flushed(&mut pool, first);
    assert_eq!(space.retired(), 6);
    space.flushed(&mut pool, second);
    assert_eq!(space.retired(), 3);
    space.flushed(&mut pool, first);
    assert_eq!(space.retired(), 3, "an old flush says nothing new");
    let third = space.begin_flush();
    space.flushed(&mut pool, third);
    assert_eq!((space.retired(), pool.available()), (0, 31));
}
