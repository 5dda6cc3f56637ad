//! The pages of guest RAM that tables are made of.

use std::ops::Range;

use protocol::PAGE_SIZE;

/// Hands out 4 KiB pages of one range of guest RAM. Content is the taker's business.
#[derive(Debug)]
pub struct TablePool {
    /// Pages that were in use once.
    free: Vec<u64>,
    /// Pages that never were.
    fresh: Range<u64>,
    /// Pages handed out again that the guest has not been told of.
    recycled: Vec<u64>,
    total: usize,
}

/// All pages for tables are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "all {total} pages that guest RAM has for page tables are in use: map less, or in fewer and \
     larger pieces"
)]
pub struct OutOfTables {
    /// Pages that the pool has.
    pub total: usize,
}

impl TablePool {
    /// A pool of the whole pages in the guest-physical range `range`.
    pub fn new(range: Range<u64>) -> Self {
        let start = range.start.next_multiple_of(PAGE_SIZE);
        let end = range.end & !(PAGE_SIZE - 1);
        let total = (end.saturating_sub(start) / PAGE_SIZE) as usize;
        Self {
            free: Vec::new(),
            recycled: Vec::new(),
            fresh: start..end,
            total,
        }
    }

    /// Pages that can be had now.
    pub fn available(&self) -> usize {
        let fresh = self.fresh.end.saturating_sub(self.fresh.start) / PAGE_SIZE;
        self.free.len() + fresh as usize
    }

    /// Whether no page that is to be had has served before.
    pub fn is_fresh(&self) -> bool {
        self.free.is_empty()
    }

    /// A page of any content.
    pub(super) fn allocate(&mut self) -> Result<u64, OutOfTables> {
        if let Some(page) = self.free.pop() {
            self.recycled.push(page);
            return Ok(page);
        }
        if self.fresh.start >= self.fresh.end {
            return Err(OutOfTables { total: self.total });
        }
        let page = self.fresh.start;
        self.fresh.start += PAGE_SIZE;
        Ok(page)
    }

    /// The pages that were handed out again since the last call. A KVM that shadows page tables may still know their old
    /// content: the guest has to rewrite a word of each before it writes a link to it.
    pub fn take_recycled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.recycled)
    }

    /// Takes back a page that nothing links.
    pub(super) fn free(&mut self, page: u64) {
        self.recycled.retain(|&recycled| recycled != page);
        self.free.push(page);
    }
}
