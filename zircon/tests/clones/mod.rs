//! Trees of VMOs against a model in which each is a plain list of pages: a snapshot copies them, and a clone of a pager's VMO notes
//! for each page whether it still shows the pager's.

mod races;

use proptest::prelude::*;
use protocol::syscall::SyscallNumber as N;
use zircon::Access;

use crate::common::{PAGE_SIZE, TestMachine, Touch};

const SNAPSHOT: u32 = 1;
const SLICE: u32 = 8;
const RESIZABLE_CHILD: u32 = 4;
const RESIZABLE: u32 = 2;
const TYPES: [u32; 5] = [SNAPSHOT, 0x10, 0x80, SLICE, 0x40];

const COMMIT: u64 = 1;
const ZERO: u64 = 10;

/// Most VMOs at a time, and most pages of one.
const MAX_VMOS: usize = 7;
const MAX_PAGES: u64 = 7;
/// Pages of the pager's VMO that VMOs are emptied into.
const SINK_PAGES: u64 = 4096;

type Page = Vec<u8>;

#[derive(Clone, PartialEq)]
enum Slot {
    Own(Page),
    /// A page of a pager's VMO, as it is now: store and page.
    Live(usize, usize),
}

/// The pages of VMOs that have pages, alive or not.
struct Store {
    slots: Vec<Slot>,
    paged: bool,
}

/// A VMO that the program has a handle to.
#[derive(Clone)]
struct Node {
    handle: u32,
    store: usize,
    first: usize,
    /// A slice's pages; others have all of the store's.
    count: Option<usize>,
    mapped: Option<u64>,
}

/// What a random step is made of.
type Step = (u8, u8, u8, u8, u8);

struct Forest {
    m: TestMachine,
    pager: u32,
    port: u32,
    sink: u32,
    sunk: u64,
    stores: Vec<Store>,
    nodes: Vec<Node>,
    zero: Page,
}

impl Forest {
    fn new() -> Forest {
        let mut m = TestMachine::new();
        let (pager, port) = (m.pager_create(), m.port_create());
        let size = SINK_PAGES * PAGE_SIZE;
        let sink = m.pager_create_vmo(pager, 0, port, 1, size).unwrap();
        Forest {
            m,
            pager,
            port,
            sink,
            sunk: 0,
            stores: Vec::new(),
            nodes: Vec::new(),
            zero: vec![0; PAGE_SIZE as usize],
        }
    }

    fn count(&self, node: &Node) -> usize {
        node.count.unwrap_or(self.stores[node.store].slots.len())
    }

    fn page(&self, slot: &Slot) -> Page {
        match slot {
            Slot::Own(page) => page.clone(),
            Slot::Live(store, page) => self.page(&self.stores[*store].slots[*page]),
        }
    }

    fn content(&self, node: &Node) -> Vec<Page> {
        let slots = &self.stores[node.store].slots[node.first..][..self.count(node)];
        slots.iter().map(|slot| self.page(slot)).collect()
    }

    /// Changes a page: the store's own from then on.
    fn change(&mut self, node: &Node, page: usize, change: impl Fn(&mut Page)) {
        let at = node.first + page;
        let mut content = self.page(&self.stores[node.store].slots[at]);
        change(&mut content);
        self.stores[node.store].slots[at] = Slot::Own(content);
    }

    fn is_live(&self, node: &Node) -> bool {
        let slots = &self.stores[node.store].slots;
        slots.iter().any(|slot| matches!(slot, Slot::Live(..)))
    }

    fn add(&mut self, handle: u32, store: usize, first: usize, count: Option<usize>) {
        let mapped = None;
        self.nodes.push(Node {
            handle,
            store,
            first,
            count,
            mapped,
        });
    }

    fn create(&mut self, pages: u64, paged: bool, resizable: bool, tag: u8) {
        let options = if resizable { RESIZABLE } else { 0 };
        let size = pages * PAGE_SIZE;
        let mut slots = vec![Slot::Own(self.zero.clone()); pages as usize];
        let handle = if paged {
            let (pager, port) = (self.pager, self.port);
            let vmo = self
                .m
                .pager_create_vmo(pager, options, port, 2, size)
                .unwrap();
            if pages > 0 {
                self.m.supply(pager, vmo, 0..pages, tag).unwrap();
            }
            for (page, slot) in slots.iter_mut().enumerate() {
                *slot = Slot::Own(vec![(page as u8).wrapping_add(tag); PAGE_SIZE as usize]);
            }
            vmo
        } else {
            self.m.vmo_create(size, options).unwrap()
        };
        self.stores.push(Store { slots, paged });
        self.add(handle, self.stores.len() - 1, 0, None);
    }

    fn child(&mut self, parent: usize, kind: u32, offset: u64, pages: u64) {
        let node = self.nodes[parent].clone();
        let (at, size) = match kind & 0x40 {
            0 => (offset * PAGE_SIZE, pages * PAGE_SIZE),
            _ => (0, 0),
        };
        // What is refused is the matter of other tests.
        let Ok(handle) = self.m.vmo_create_child(node.handle, kind, at, size) else {
            return;
        };
        if kind & SLICE != 0 {
            let first = node.first + offset as usize;
            return self.add(handle, node.store, first, Some(pages as usize));
        }
        if kind & 0x40 != 0 {
            return self.add(handle, node.store, node.first, node.count);
        }
        let paged = self.stores[node.store].paged;
        let shown = self.count(&node);
        let slots = (0..pages as usize).map(|page| {
            let from = page + offset as usize;
            match from < shown {
                false => Slot::Own(self.zero.clone()),
                true if paged => Slot::Live(node.store, node.first + from),
                true => self.stores[node.store].slots[node.first + from].clone(),
            }
        });
        let slots = slots.collect();
        self.stores.push(Store {
            slots,
            paged: false,
        });
        self.add(handle, self.stores.len() - 1, 0, None);
    }

    fn write(&mut self, at: usize, offset: u64, length: u64, value: u8) {
        let node = self.nodes[at].clone();
        let end = self.count(&node) as u64 * PAGE_SIZE;
        let (offset, length) = (offset.min(end), length.min(end - offset.min(end)));
        if length == 0 {
            return;
        }
        let bytes = vec![value; length as usize];
        self.m.vmo_write(node.handle, offset, &bytes).unwrap();
        self.fill(&node, offset, length, value);
    }

    fn fill(&mut self, node: &Node, offset: u64, length: u64, value: u8) {
        for page in offset / PAGE_SIZE..(offset + length).div_ceil(PAGE_SIZE) {
            let start = offset.max(page * PAGE_SIZE) - page * PAGE_SIZE;
            let end = (offset + length).min((page + 1) * PAGE_SIZE) - page * PAGE_SIZE;
            self.change(node, page as usize, |content| {
                content[start as usize..end as usize].fill(value);
            });
        }
    }

    fn zero(&mut self, at: usize, offset: u64, length: u64) {
        let node = self.nodes[at].clone();
        let end = self.count(&node) as u64 * PAGE_SIZE;
        let (mut offset, mut length) = (offset.min(end), length.min(end - offset.min(end)));
        if self.is_live(&node) {
            // A part of a live page that is zero already leaves it live.
            (offset, length) = (offset - offset % PAGE_SIZE, length - length % PAGE_SIZE);
        }
        self.op_range(&node, ZERO, offset, length);
        self.fill(&node, offset, length, 0);
    }

    fn op_range(&mut self, node: &Node, op: u64, offset: u64, length: u64) {
        let args = [node.handle.into(), op, offset, length, 0, 0];
        let status = self.m.call(N::VmoOpRange, &args);
        assert_eq!(status, protocol::Status::OK, "op_range {op}");
    }

    fn commit(&mut self, at: usize) {
        let node = self.nodes[at].clone();
        let count = self.count(&node);
        self.op_range(&node, COMMIT, 0, count as u64 * PAGE_SIZE);
        if !self.stores[node.store].paged {
            for page in 0..count {
                self.change(&node, page, |_| ());
            }
        }
    }

    fn resize(&mut self, at: usize, size: u64) {
        let node = self.nodes[at].clone();
        let size = match self.is_live(&node) {
            true => size.next_multiple_of(PAGE_SIZE),
            false => size,
        };
        if self.m.vmo_set_size(node.handle, size).is_err() {
            return;
        }
        let (new, store) = (size.div_ceil(PAGE_SIZE) as usize, node.store);
        let zero = Slot::Own(self.zero.clone());
        self.stores[store].slots.resize(new, zero.clone());
        if size % PAGE_SIZE != 0 {
            let rest = PAGE_SIZE - size % PAGE_SIZE;
            self.fill(&node, size, rest, 0);
        }
        for slot in self.stores.iter_mut().flat_map(|other| &mut other.slots) {
            if matches!(slot, Slot::Live(of, page) if *of == store && *page >= new) {
                *slot = zero.clone();
            }
        }
    }

    fn touch(&mut self, at: usize, page: u64, value: u8) {
        let node = self.nodes[at].clone();
        if page as usize >= self.count(&node) {
            return;
        }
        let mapped = node
            .mapped
            .unwrap_or_else(|| self.m.map(node.handle, 2 * MAX_PAGES));
        self.nodes[at].mapped = Some(mapped);
        let address = mapped + page * PAGE_SIZE;
        if value.is_multiple_of(2) {
            let thread = self.m.main.thread;
            assert_eq!(self.m.touch(thread, address, Access::Read), Touch::Done);
            let seen = self.m.try_peek(address, PAGE_SIZE);
            assert_eq!(seen.as_ref(), self.content(&node).get(page as usize));
        } else {
            self.m.poke(address + 8, &[value; 16]);
            self.fill(&node, page * PAGE_SIZE + 8, 16, value);
        }
    }

    /// Supplies pages of a VMO to the sink.
    fn sink(&mut self, at: usize, page: u64, pages: u64) {
        let node = self.nodes[at].clone();
        let pages = pages.min((self.count(&node) as u64).saturating_sub(page));
        if pages == 0 || self.sunk + pages > SINK_PAGES {
            return;
        }
        let (to, length, from) = (self.sunk * PAGE_SIZE, pages * PAGE_SIZE, page * PAGE_SIZE);
        let (pager, sink) = (self.pager, self.sink);
        let supplied = self
            .m
            .pager_supply_pages(pager, sink, to, length, node.handle, from);
        if supplied.is_err() {
            assert!(self.stores[node.store].paged);
            return;
        }
        let expected = self.content(&node)[page as usize..][..pages as usize].concat();
        let got = self.m.vmo_read(sink, to, length).unwrap();
        assert!(got == expected, "what was supplied");
        self.sunk += pages;
        self.fill(&node, from, length, 0);
    }

    /// Moves pages from one VMO to another, or within one.
    fn transfer(&mut self, at: usize, to: usize, page: u64, pages: u64, to_page: u64) {
        let (from, to) = (self.nodes[at].clone(), self.nodes[to].clone());
        let pages = pages
            .min((self.count(&from) as u64).saturating_sub(page))
            .min((self.count(&to) as u64).saturating_sub(to_page));
        let [offset, length, from_offset] = [to_page, pages, page].map(|pages| pages * PAGE_SIZE);
        let args = [
            to.handle.into(),
            0,
            offset,
            length,
            from.handle.into(),
            from_offset,
        ];
        let status = self.m.call(N::VmoTransferData, &args);
        let paged = [&from, &to]
            .iter()
            .any(|node| self.stores[node.store].paged);
        let same = from.store == to.store && from.first as u64 + page == to.first as u64 + to_page;
        if status != protocol::Status::OK || same {
            assert!(paged || same || pages == 0, "{status}");
            return;
        }
        let moved: Vec<Page> = self.content(&from)[page as usize..][..pages as usize].to_vec();
        self.fill(&from, from_offset, length, 0);
        for (ahead, content) in moved.into_iter().enumerate() {
            self.change(&to, to_page as usize + ahead, |page| {
                page.clone_from(&content)
            });
        }
    }

    fn close(&mut self, at: usize) {
        let node = self.nodes.remove(at);
        if let Some(mapped) = node.mapped {
            self.m
                .vmar_unmap(mapped, 2 * MAX_PAGES * PAGE_SIZE)
                .unwrap();
        }
        self.m.handle_close(node.handle).unwrap();
    }

    fn step(&mut self, (kind, which, a, b, c): Step) {
        let at = which as usize % self.nodes.len().max(1);
        let (small, pages) = (u64::from(a) % MAX_PAGES, u64::from(b) % (MAX_PAGES + 1));
        let offset = u64::from(a) * 512 % (MAX_PAGES * PAGE_SIZE);
        let length = u64::from(b) * 700 % (4 * PAGE_SIZE) + 1;
        if self.nodes.is_empty() || (kind < 3 && self.nodes.len() < MAX_VMOS) {
            return self.create(pages, kind == 0, c % 2 == 0, c | 1);
        }
        match kind {
            0..=9 if self.nodes.len() < MAX_VMOS => {
                let resizable = if c % 2 == 0 { RESIZABLE_CHILD } else { 0 };
                let kind = TYPES[c as usize / 2 % TYPES.len()] | resizable;
                self.child(at, kind, small, pages);
            }
            0..=14 => self.write(at, offset, length, c | 1),
            15..=18 => self.touch(at, small, c),
            19..=21 => self.zero(at, offset, length),
            22..=23 => self.resize(at, offset + length % 3),
            24 => self.commit(at),
            25..=26 => self.sink(at, small, pages),
            27..=28 => {
                let to = c as usize / 4 % self.nodes.len();
                self.transfer(at, to, small, pages, u64::from(c % 4));
            }
            _ => self.close(at),
        }
    }

    fn check(&mut self) {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at].clone();
            let expected = self.content(&node);
            let length = expected.len() as u64 * PAGE_SIZE;
            assert_eq!(self.m.vmo_get_size(node.handle), Ok(length));
            let bytes = self.m.vmo_read(node.handle, 0, length).unwrap();
            for (page, (got, expected)) in bytes.chunks(4096).zip(&expected).enumerate() {
                let differs = got.iter().zip(expected).position(|(got, want)| got != want);
                assert_eq!(differs, None, "VMO {at}, page {page}");
            }
        }
    }
}

fn run(steps: &[Step]) {
    let mut forest = Forest::new();
    let before = forest.m.kernel.usage().len();
    for step in steps {
        forest.step(*step);
        forest.check();
    }
    while !forest.nodes.is_empty() {
        forest.close(steps.len() % forest.nodes.len());
        forest.check();
    }
    // COMPLETE keeps a pager's VMO.
    forest.m.packets(forest.port);
    let left = forest.m.kernel.usage().len();
    assert_eq!(left, before, "VMOs that nobody refers to");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, max_shrink_iters: 5000, ..ProptestConfig::default() })]
    #[test]
    fn trees_of_clones_behave_like_copies(
        steps in prop::collection::vec((0u8..31, any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..60)
    ) {
        run(&steps);
    }
}
