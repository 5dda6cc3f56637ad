//! The page tables of all processes, and the protocol by which vCPUs forget what was taken out of them.
//!
//! **Linking.** A page fault of ring 3 asks for the region it touched. If nothing is linked there, and nothing else is to be done, the links are
//! written here and now ([`Spaces::link_at_once`], decision 0024); else they go into the mailbox of the vCPU that faulted.
//! Until that vCPU has written them no other vCPU gets links of the same process (it is told to try again), so links take
//! effect in the order in which they were made.
//!
//! **Flushing.** The links that clear a range go to *every* vCPU, each followed by the order to reload CR3 and acknowledge: behind
//! any older link in the same mailbox, ahead of any newer one, because no links are made for the process until the last
//! acknowledgement. Threads that fault meanwhile are parked and resumed at the end.

use std::collections::BTreeMap;
use std::ops::Range;

use zircon::{ProcessId, ThreadId, Token};

use crate::machine::tables::{
    AddressSpace, ENTRIES, FlushId, Leaf, Link, OutOfTables, TableMemory, TablePool,
};
use crate::machine::{KERNEL_ROOT_ENTRY, Ram};

/// All address spaces of a VM.
#[derive(Debug)]
pub(super) struct Spaces {
    ram: Tables,
    pool: TablePool,
    spaces: BTreeMap<ProcessId, Space>,
    flushes: BTreeMap<u64, Flush>,
    next_flush: u64,
}

#[derive(Debug)]
struct Tables(Ram);

impl TableMemory for Tables {
    fn write_table(&self, gpa: u64, entries: &[u64; ENTRIES]) {
        if let Err(error) = self.0.write_entries(gpa, entries) {
            // The pool hands out pages of RAM only.
            log::error!("page table at {gpa:#x}: {error}");
        }
    }
}

impl Tables {
    fn write_link(&self, link: Link) {
        if let Err(error) = self.0.store_u64(link.entry, link.value) {
            // As above.
            log::error!("page-table entry at {:#x}: {error}", link.entry);
        }
    }

    /// Whether nothing is linked there.
    fn is_absent(&self, link: Link) -> bool {
        self.0.read_u64(link.entry).is_ok_and(|entry| entry == 0)
    }
}

#[derive(Debug)]
struct Space {
    tables: AddressSpace,
    /// Flushes under way.
    flushing: u32,
    /// The vCPU that has links to write.
    linking: Option<u32>,
    /// Threads that faulted during a flush.
    parked: Vec<ThreadId>,
    /// Its process has ended: with the last flush it goes.
    ended: bool,
}

#[derive(Debug)]
struct Flush {
    process: ProcessId,
    /// The operation that waits for it, if any.
    token: Option<Token>,
    tables: FlushId,
    /// vCPUs that have not acknowledged.
    left: u32,
    /// A link was on its way when the flush began: a vCPU that acknowledged early may have followed it since.
    again: bool,
}

/// What a page fault got.
#[derive(Debug)]
pub(super) enum Linked {
    /// Refresh these tables, write these links (perhaps none), then try the access again.
    Links { refresh: Vec<u64>, links: Vec<Link> },
    /// Another vCPU is about to write links: make it do so, and try again.
    Behind(u32),
    /// A flush is under way: the thread is to be parked until its end.
    Flushing,
    /// No table pages are left.
    OutOfTables(OutOfTables),
}

/// A flush that begins: what every vCPU gets.
#[derive(Debug)]
pub(super) struct FlushOrder {
    pub id: u64,
    pub links: Vec<Link>,
}

/// A flush that is over.
#[derive(Debug)]
pub(super) struct Flushed {
    pub token: Option<Token>,
    pub resume: Vec<ThreadId>,
}

/// What the last acknowledgement of a flush leads to.
#[derive(Debug)]
pub(super) enum Acknowledged {
    /// Others are to come.
    Waiting,
    /// Every vCPU has to reload CR3 once more.
    Again(FlushOrder),
    /// It is over.
    Done(Flushed),
}

impl Spaces {
    pub fn new(ram: Ram, tables: Range<u64>) -> Self {
        Spaces {
            ram: Tables(ram),
            pool: TablePool::new(tables),
            spaces: BTreeMap::new(),
            flushes: BTreeMap::new(),
            next_flush: 1,
        }
    }

    /// Page-table root for a new thread of a process, and the tables to refresh before it runs. The process's tables are made with its
    /// first thread. No vCPU knows them then, so what that thread will touch is linked without the guest's doing, and without a fault.
    pub fn root(
        &mut self,
        process: ProcessId,
        touched: &[u64],
        mut leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> Result<(u64, Vec<u64>), OutOfTables> {
        if let Some(space) = self.spaces.get(&process) {
            return Ok((space.tables.root(), Vec::new()));
        }
        let mut tables = AddressSpace::new(&mut self.pool, &self.ram, KERNEL_ROOT_ENTRY)?;
        let root = tables.root();
        for &address in touched {
            let links = tables.link(&mut self.pool, &self.ram, address, &mut leaf_at);
            // If there are no tables for it, the fault will tell.
            for link in links.unwrap_or_default() {
                self.ram.write_link(link);
            }
        }
        let space = Space {
            tables,
            flushing: 0,
            linking: None,
            parked: Vec::new(),
            ended: false,
        };
        self.spaces.insert(process, space);
        Ok((root, self.pool.take_recycled()))
    }

    /// Makes `address` reachable for a thread of vCPU `vcpu`.
    pub fn link(
        &mut self,
        process: ProcessId,
        vcpu: u32,
        thread: ThreadId,
        address: u64,
        leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> Linked {
        let Some(space) = self.spaces.get_mut(&process) else {
            return Linked::Links {
                refresh: Vec::new(),
                links: Vec::new(),
            };
        };
        if space.flushing > 0 {
            space.parked.push(thread);
            return Linked::Flushing;
        }
        if let Some(other) = space.linking.filter(|&other| other != vcpu) {
            return Linked::Behind(other);
        }
        match space
            .tables
            .link(&mut self.pool, &self.ram, address, leaf_at)
        {
            Ok(links) => {
                if !links.is_empty() {
                    space.linking = Some(vcpu);
                }
                Linked::Links {
                    refresh: self.pool.take_recycled(),
                    links,
                }
            }
            Err(error) => Linked::OutOfTables(error),
        }
    }

    /// As [`Spaces::link`], if that needs no guest's help: nothing is linked there, no vCPU has anything of the process to write or to forget,
    /// and no table page has served before. Says whether it was done; if not, nothing has changed.
    pub fn link_at_once(
        &mut self,
        process: ProcessId,
        address: u64,
        leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> bool {
        let fresh = self.pool.is_fresh();
        let space = self.spaces.get_mut(&process).filter(|space| {
            let idle = space.flushing == 0 && space.linking.is_none();
            fresh && idle && !space.tables.is_linked(address)
        });
        let Some(space) = space else {
            return false;
        };
        let links = space
            .tables
            .link(&mut self.pool, &self.ram, address, leaf_at)
            .unwrap_or_default();
        for link in &links {
            debug_assert!(self.ram.is_absent(*link), "{link:?}");
            self.ram.write_link(*link);
        }
        !links.is_empty()
    }

    /// The guest kernel of `vcpu` has written all its links.
    pub fn links_written(&mut self, vcpu: u32) {
        for space in self.spaces.values_mut() {
            if space.linking == Some(vcpu) {
                space.linking = None;
            }
        }
    }

    /// Takes a range out; `None` if nothing of it was ever linked, so that there is nothing to forget.
    pub fn begin_flush(
        &mut self,
        process: ProcessId,
        range: Range<u64>,
        token: Token,
        vcpus: u32,
    ) -> Option<FlushOrder> {
        let space = self.spaces.get_mut(&process)?;
        let links = space.tables.unlink(range.start, range.end);
        if links.is_empty() && space.flushing == 0 {
            return None;
        }
        Some(self.order(process, links, Some(token), vcpus))
    }

    /// Begins a flush that gives retired tables back to the pool; `None` if there are none.
    pub fn reclaim(&mut self, process: ProcessId, vcpus: u32) -> Option<FlushOrder> {
        let space = self.spaces.get(&process)?;
        if space.tables.retired() == 0 {
            return None;
        }
        Some(self.order(process, Vec::new(), None, vcpus))
    }

    /// Parks a thread until the flushes of its process are over.
    pub fn park(&mut self, process: ProcessId, thread: ThreadId) {
        if let Some(space) = self.spaces.get_mut(&process) {
            space.parked.push(thread);
        }
    }

    /// A process has ended, and its threads were ended before: when every vCPU has forgotten its tables they are free. `None` if it has
    /// none.
    pub fn retire(&mut self, process: ProcessId, vcpus: u32) -> Option<FlushOrder> {
        let space = self.spaces.get_mut(&process)?;
        space.ended = true;
        let links = space.tables.unlink(0, u64::MAX);
        Some(self.order(process, links, None, vcpus))
    }

    /// A thread that is stopped does not wait for a flush any more: it will fault again.
    pub fn unpark(&mut self, process: ProcessId, thread: ThreadId) {
        if let Some(space) = self.spaces.get_mut(&process) {
            space.parked.retain(|parked| *parked != thread);
        }
    }

    fn order(
        &mut self,
        process: ProcessId,
        links: Vec<Link>,
        token: Option<Token>,
        vcpus: u32,
    ) -> FlushOrder {
        let id = self.next_flush;
        self.next_flush += 1;
        if let Some(space) = self.spaces.get_mut(&process) {
            space.flushing += 1;
            let flush = Flush {
                process,
                token,
                tables: space.tables.begin_flush(),
                left: vcpus,
                again: space.linking.is_some() && vcpus > 1,
            };
            self.flushes.insert(id, flush);
        }
        FlushOrder { id, links }
    }

    /// One more vCPU acknowledged; the last one ends the flush.
    pub fn acknowledge(&mut self, id: u64, vcpus: u32) -> Acknowledged {
        let Some(flush) = self.flushes.get_mut(&id) else {
            return Acknowledged::Waiting;
        };
        flush.left -= 1;
        if flush.left > 0 {
            return Acknowledged::Waiting;
        }
        if std::mem::take(&mut flush.again) {
            flush.left = vcpus;
            let links = Vec::new();
            return Acknowledged::Again(FlushOrder { id, links });
        }
        let (process, token, tables) = (flush.process, flush.token, flush.tables);
        self.flushes.remove(&id);
        let mut resume = Vec::new();
        if let Some(space) = self.spaces.get_mut(&process) {
            space.tables.flushed(&mut self.pool, tables);
            space.flushing -= 1;
            if space.flushing == 0 {
                resume.append(&mut space.parked);
            }
            if space.flushing == 0
                && space.ended
                && let Some(space) = self.spaces.remove(&process)
            {
                space.tables.destroy(&mut self.pool);
            }
        }
        Acknowledged::Done(Flushed { token, resume })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: ProcessId = ProcessId(7);
    const VA: u64 = 0x40_0000_0000;
    const REGION: u64 = 2 << 20;
    const FIRST_TABLE: u64 = 8 << 20;

    /// One page at the start of each region.
    fn page(address: u64) -> Option<Leaf> {
        let region = address & !(REGION - 1);
        (region >= VA).then_some(Leaf {
            va: region,
            len: 4096,
            gpa: (4 << 30) + region,
            write: true,
            execute: false,
        })
    }

    /// What the four levels of tables lead to.
    fn walk(ram: &Ram, root: u64, va: u64) -> Option<u64> {
        let mut table = root;
        for shift in [39, 30, 21, 12] {
            let entry = ram.read_u64(table + 8 * (va >> shift & 0x1FF)).unwrap();
            table = entry & 0x000F_FFFF_FFFF_F000;
            if entry & 1 == 0 {
                return None;
            }
        }
        Some(table)
    }

    #[test]
    fn what_is_missing_is_linked_at_once_while_that_is_safe() {
        let ram = Ram::new().unwrap();
        let mut spaces = Spaces::new(ram.clone(), FIRST_TABLE..FIRST_TABLE + 64 * 4096);
        let (root, _) = spaces.root(PROCESS, &[], page).unwrap();
        let at_once = |spaces: &mut Spaces, va| spaces.link_at_once(PROCESS, va, page);

        for va in [VA, VA + REGION, VA + (1 << 30)] {
            assert!(at_once(&mut spaces, va));
            assert_eq!(walk(&ram, root, va), Some((4 << 30) + va));
            assert!(!at_once(&mut spaces, va), "it is there");
        }
        assert!(!at_once(&mut spaces, VA - REGION), "nothing is mapped");
        let other = ProcessId(8);
        assert!(!spaces.link_at_once(other, VA, page), "no tables yet");

        // Another vCPU has links to write: a region whose mappings have changed.
        let larger = |address| page(address).map(|leaf| Leaf { len: 8192, ..leaf });
        let linked = spaces.link(PROCESS, 1, ThreadId(1), VA, larger);
        assert!(matches!(linked, Linked::Links { .. }));
        let next = VA + 2 * REGION;
        assert!(!at_once(&mut spaces, next));
        spaces.links_written(1);
        assert!(at_once(&mut spaces, next));

        // While a flush is under way, and behind it, when tables serve again.
        let range = VA..VA + REGION;
        let order = spaces.begin_flush(PROCESS, range, Token(1), 1).unwrap();
        let next = VA + 3 * REGION;
        assert!(!at_once(&mut spaces, next));
        for link in order.links {
            ram.write_u64(link.entry, link.value).unwrap();
        }
        let done = spaces.acknowledge(order.id, 1);
        assert!(matches!(done, Acknowledged::Done(_)));
        assert!(!at_once(&mut spaces, next));
        assert_eq!(walk(&ram, root, next), None);
        match spaces.link(PROCESS, 0, ThreadId(1), next, page) {
            Linked::Links { refresh, links } => {
                assert_eq!((refresh.len(), links.len()), (1, 1));
            }
            other => panic!("{other:?}"),
        }
    }
}
