//! Builds tables in pages that nothing links yet. What was taken goes back if the pool cannot supply it all.

use std::collections::BTreeMap;

use super::{
    Directory, ENTRIES, Leaf, OutOfTables, Pdpt, TableMemory, TablePool, indices,
    region::{Plan, REGION, Region, TABLE_FLAGS},
};

/// One piece of building: its pages return to the pool unless [`Builder::keep`] is called.
#[derive(Debug)]
pub struct Builder<'a, M> {
    pool: &'a mut TablePool,
    memory: &'a M,
    taken: Vec<u64>,
}

impl<'a, M: TableMemory> Builder<'a, M> {
    pub fn new(pool: &'a mut TablePool, memory: &'a M) -> Self {
        Self {
            pool,
            memory,
            taken: Vec::new(),
        }
    }

    /// What was built will be linked.
    pub fn keep(mut self) {
        self.taken.clear();
    }

    /// A page-directory-pointer table with the directory of `va`.
    pub fn pdpt(
        &mut self,
        va: u64,
        leaf: &Leaf,
        leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> Result<Pdpt, OutOfTables> {
        let directory = self.directory(va, leaf, leaf_at)?;
        let [_, at, _] = indices(va);
        let page = self.table([(at, directory.page | TABLE_FLAGS)])?;
        Ok(Pdpt {
            page,
            directories: BTreeMap::from([(at, directory)]),
        })
    }

    /// A page directory with the region of `va`, and all other regions that `leaf` (the one at `va`) maps by large pages.
    pub fn directory(
        &mut self,
        va: u64,
        leaf: &Leaf,
        leaf_at: impl FnMut(u64) -> Option<Leaf>,
    ) -> Result<Directory, OutOfTables> {
        const DIRECTORY: u64 = REGION * ENTRIES as u64;
        let base = va & !(DIRECTORY - 1);
        let [_, _, own] = indices(va);
        let mut regions = BTreeMap::new();
        regions.insert(own, self.region(Plan::of(va, leaf_at))?);
        for at in (0..ENTRIES as u16).filter(|at| *at != own) {
            if let Some(large) = leaf.large(base + u64::from(at) * REGION) {
                regions.insert(at, large);
            }
        }
        let page = self.table(regions.iter().map(|(at, region)| (*at, region.entry())))?;
        Ok(Directory { page, regions })
    }

    /// A region as planned, with its page table if it needs one.
    pub fn region(&mut self, plan: Plan) -> Result<Region, OutOfTables> {
        match plan {
            Plan::Large(entry) => Ok(Region::Large(entry)),
            Plan::Table(runs) => {
                let page = self.take()?;
                self.memory.write_table(page, &Plan::entries(&runs));
                Ok(Region::Table(page, runs.into_boxed_slice()))
            }
        }
    }

    fn table(&mut self, present: impl IntoIterator<Item = (u16, u64)>) -> Result<u64, OutOfTables> {
        let mut entries = [0; ENTRIES];
        for (at, value) in present {
            if let Some(entry) = entries.get_mut(usize::from(at)) {
                *entry = value;
            }
        }
        let page = self.take()?;
        self.memory.write_table(page, &entries);
        Ok(page)
    }

    fn take(&mut self) -> Result<u64, OutOfTables> {
        let page = self.pool.allocate()?;
        self.taken.push(page);
        Ok(page)
    }
}

impl<M> Drop for Builder<'_, M> {
    fn drop(&mut self) {
        for page in self.taken.drain(..) {
            self.pool.free(page);
        }
    }
}
