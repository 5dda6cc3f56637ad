//! Guest page tables: what the VMM builds so that a process can reach its mappings.
//!
//! A KVM that shadows guest page tables sees only the writes that the *guest* makes to tables that
//! are linked; what is not present it does not keep, but looks up when it is missed. So a table page
//! lives like this:
//!
//! 1. **built**: taken from the [`TablePool`], filled by the host, reachable from nowhere;
//! 2. **linked**: the [`Link`] that names it is written, by the guest kernel, or, where nothing was
//!    present before, by the host; from now on the page changes only by links that are written and
//!    cleared in it likewise;
//! 3. **retired**: the guest has cleared or replaced the link; a vCPU may still have what it held
//!    in its TLB;
//! 4. **free**: every vCPU has reloaded CR3 since; the page is back in the pool.
//!
//! A page that comes out of the pool a second time may still be known to such a KVM with its old content:
//! [`TablePool::take_recycled`] names the pages that the guest has to rewrite a word of before it writes a link to them.
//!
//! Tables come into being region by region (2 MiB, one entry of a page directory) at the first page
//! fault there, and hold the region's mappings in full. They say what may be accessed, not what is
//! resident: residency is the second stage's business. Changing a mapping means
//! [`AddressSpace::unlink`] for its range, a flush, and new faults.
//!
//! **What the caller owes.** Links of one address space take effect in the order in which they were
//! returned, and those of an `unlink` before any vCPU reloads CR3 for the flush that follows. What
//! an address space has handed out it holds for linked: it never reads tables back.

mod build;
mod pool;
mod region;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    ops::RangeInclusive,
};

use protocol::USER_END;

pub use pool::{OutOfTables, TablePool};
pub use region::Leaf;

use build::Builder;
use region::{PRESENT, REGION, Region, TABLE_FLAGS};

/// Entries in a table.
pub const ENTRIES: usize = 512;

/// Where table pages are: guest RAM.
pub trait TableMemory {
    /// Fills the table page at the guest-physical address `gpa`. The page is not linked.
    fn write_table(&self, gpa: u64, entries: &[u64; ENTRIES]);
}

/// A write to a linked table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Guest-physical address of the entry.
    pub entry: u64,
    /// Its new value; 0 clears it.
    pub value: u64,
}

/// Names a flush: all that was retired before it began is free once it is complete.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FlushId(u64);

/// The page tables of one process, and the host's own account of what is linked there.
#[derive(Debug)]
pub struct AddressSpace {
    root: u64,
    /// By entry of the root.
    upper: BTreeMap<u16, Pdpt>,
    retired: VecDeque<Retired>,
    /// The generation in which pages are retired now; a flush closes it.
    generation: u64,
}

/// A linked page-directory-pointer table: 512 GiB.
#[derive(Debug)]
struct Pdpt {
    page: u64,
    directories: BTreeMap<u16, Directory>,
}

/// A linked page directory: 1 GiB.
#[derive(Debug)]
struct Directory {
    page: u64,
    regions: BTreeMap<u16, Region>,
}

#[derive(Debug)]
struct Retired {
    generation: u64,
    page: u64,
}

/// Regions that are linked beside the one that was asked for, when they need no table of their own.
const AHEAD: u64 = 16;

impl AddressSpace {
    /// An address space in which only the kernel's half is mapped: entry 511 of the root is
    /// `kernel_entry`.
    pub fn new(
        pool: &mut TablePool,
        memory: &impl TableMemory,
        kernel_entry: u64,
    ) -> Result<Self, OutOfTables> {
        let root = pool.allocate()?;
        let mut entries = [0; ENTRIES];
        if let Some(last) = entries.last_mut() {
            *last = kernel_entry;
        }
        memory.write_table(root, &entries);
        Ok(Self {
            root,
            upper: BTreeMap::new(),
            retired: VecDeque::new(),
            generation: 0,
        })
    }

    /// Guest-physical address of the root: the value for CR3.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Makes the region of `va` reachable with the mappings that `leaf_at` describes now, and
    /// returns the links to write (one, unless neighbouring regions of the same leaf can be linked
    /// for nothing). Empty: the region is linked with these very mappings already, or nothing is
    /// mapped at `va`.
    ///
    /// `leaf_at(address)` is the largest run of user mapping around `address` that is contiguous in
    /// guest-physical memory and uniform in permissions.
    ///
    /// # Errors
    /// [`OutOfTables`]: nothing has changed. A flush may return retired pages to the pool.
    pub fn link(
        &mut self,
        pool: &mut TablePool,
        memory: &impl TableMemory,
        va: u64,
        mut leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> Result<Vec<Link>, OutOfTables> {
        let Some(leaf) = leaf_at(va).filter(|leaf| leaf.contains(va) && va < USER_END) else {
            return Ok(Vec::new());
        };
        let [at_root, at_pdpt, at_directory] = indices(va);
        let Some(pdpt) = self.upper.get_mut(&at_root) else {
            let mut builder = Builder::new(pool, memory);
            let pdpt = builder.pdpt(va, &leaf, leaf_at)?;
            builder.keep();
            let link = link(self.root, at_root, pdpt.page | TABLE_FLAGS);
            self.upper.insert(at_root, pdpt);
            return Ok(vec![link]);
        };
        let Some(directory) = pdpt.directories.get_mut(&at_pdpt) else {
            let mut builder = Builder::new(pool, memory);
            let directory = builder.directory(va, &leaf, leaf_at)?;
            builder.keep();
            let link = link(pdpt.page, at_pdpt, directory.page | TABLE_FLAGS);
            pdpt.directories.insert(at_pdpt, directory);
            return Ok(vec![link]);
        };
        let plan = region::Plan::of(va, leaf_at);
        if directory
            .regions
            .get(&at_directory)
            .is_some_and(|linked| linked.is(&plan))
        {
            return Ok(Vec::new());
        }
        let mut builder = Builder::new(pool, memory);
        let region = builder.region(plan)?;
        builder.keep();
        let mut links = vec![link(directory.page, at_directory, region.entry())];
        if let Some(page) = directory
            .regions
            .insert(at_directory, region)
            .and_then(|old| old.table())
        {
            self.retired.push_back(Retired {
                generation: self.generation,
                page,
            });
        }
        links.extend(directory.link_ahead(va, &leaf));
        Ok(links)
    }

    /// Whether the region of `va` is linked, with whatever mappings.
    pub fn is_linked(&self, va: u64) -> bool {
        let [at_root, at_pdpt, at_directory] = indices(va);
        let pdpt = self.upper.get(&at_root);
        let directory = pdpt.and_then(|pdpt| pdpt.directories.get(&at_pdpt));
        directory.is_some_and(|directory| directory.regions.contains_key(&at_directory))
    }

    /// Clears everything that is linked in the regions that `start..end` touches, and returns the
    /// links that do it. Their other mappings come back at the next faults.
    ///
    /// A table that loses its last entry is unlinked itself, so that the links stay few.
    pub fn unlink(&mut self, start: u64, end: u64) -> Vec<Link> {
        let mut links = Vec::new();
        let Some(last) = end
            .min(USER_END)
            .checked_sub(1)
            .filter(|last| *last >= start)
        else {
            return links;
        };
        let mut freed = Vec::new();
        for (at_root, covered) in children(start, last, 39) {
            if let Some(pdpt) = self.upper.get_mut(&at_root) {
                let first = links.len();
                pdpt.unlink(*covered.start(), *covered.end(), &mut links, &mut freed);
                if pdpt.directories.is_empty() {
                    links.truncate(first);
                    links.push(link(self.root, at_root, 0));
                    freed.push(pdpt.page);
                    self.upper.remove(&at_root);
                }
            }
        }
        let generation = self.generation;
        self.retired
            .extend(freed.into_iter().map(|page| Retired { generation, page }));
        links
    }

    /// Table pages that wait for a flush.
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    /// Begins a flush, which covers everything retired so far. To be called when all links returned
    /// so far are on their way to the vCPUs, ahead of the order to reload CR3.
    pub fn begin_flush(&mut self) -> FlushId {
        let flush = FlushId(self.generation);
        self.generation += 1;
        flush
    }

    /// Every vCPU that may run this process has reloaded CR3 since `flush` began: what it covers
    /// returns to the pool. Flushes may complete in any order.
    pub fn flushed(&mut self, pool: &mut TablePool, flush: FlushId) {
        while let Some(retired) = self.retired.front() {
            if retired.generation > flush.0 {
                break;
            }
            pool.free(retired.page);
            self.retired.pop_front();
        }
    }

    /// Returns all pages to the pool. No vCPU has this address space loaded, nor will load it.
    pub fn destroy(self, pool: &mut TablePool) {
        for pdpt in self.upper.values() {
            for directory in pdpt.directories.values() {
                for page in directory.regions.values().filter_map(Region::table) {
                    pool.free(page);
                }
                pool.free(directory.page);
            }
            pool.free(pdpt.page);
        }
        for retired in self.retired {
            pool.free(retired.page);
        }
        pool.free(self.root);
    }
}

impl Pdpt {
    fn unlink(&mut self, start: u64, last: u64, links: &mut Vec<Link>, freed: &mut Vec<u64>) {
        for (at, covered) in children(start, last, 30) {
            if let Some(directory) = self.directories.get_mut(&at) {
                let first = links.len();
                directory.unlink(*covered.start(), *covered.end(), links, freed);
                if directory.regions.is_empty() {
                    links.truncate(first);
                    links.push(link(self.page, at, 0));
                    freed.push(directory.page);
                    self.directories.remove(&at);
                }
            }
        }
    }
}

impl Directory {
    fn unlink(&mut self, start: u64, last: u64, links: &mut Vec<Link>, freed: &mut Vec<u64>) {
        for (at, _) in children(start, last, 21) {
            if let Some(region) = self.regions.remove(&at) {
                links.push(link(self.page, at, 0));
                freed.extend(region.table());
            }
        }
    }

    /// Links the regions after that of `va`, as far as `leaf` covers them whole and they are not
    /// linked.
    fn link_ahead(&mut self, va: u64, leaf: &Leaf) -> Vec<Link> {
        let mut links = Vec::new();
        let own = va & !(REGION - 1);
        for ahead in 1..=AHEAD {
            let Some(base) = own.checked_add(ahead * REGION) else {
                break;
            };
            let Some(large) = leaf.large(base).filter(|_| base >> 30 == va >> 30) else {
                break;
            };
            let [_, _, at] = indices(base);
            if let Entry::Vacant(vacant) = self.regions.entry(at) {
                links.push(link(self.page, at, large.entry()));
                vacant.insert(large);
            }
        }
        links
    }
}

/// The entry of `va` in the root, in its page-directory-pointer table and in its page directory.
fn indices(va: u64) -> [u16; 3] {
    [39, 30, 21].map(|shift| index(va, shift))
}

fn index(va: u64, shift: u32) -> u16 {
    (va >> shift & 0x1FF) as u16
}

/// The entries of one table that `start..=last` touches, each with the part of the range that it
/// covers.
fn children(start: u64, last: u64, shift: u32) -> impl Iterator<Item = (u16, RangeInclusive<u64>)> {
    (start >> shift..=last >> shift).map(move |n| {
        let low = (n << shift).max(start);
        let high = (n << shift | ((1 << shift) - 1)).min(last);
        (index(n << shift, shift), low..=high)
    })
}

fn link(table: u64, at: u16, value: u64) -> Link {
    debug_assert!(
        value == 0 || value & PRESENT != 0,
        "a link is present or cleared"
    );
    Link {
        entry: table + 8 * u64::from(at),
        value,
    }
}
