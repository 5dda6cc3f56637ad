//! A store: the pages that one VMO has of its own, in memory files.
//!
//! Page `n` of the VMO is page `n` of its store, whatever of it is there: files are sparse, and what is absent costs nothing. A file
//! may have 2^63 bytes and the largest VMO has twice as many, so a store has several files; nearly every one uses the first only. A
//! file is made when a page in it is first mapped.
//!
//! The life of a store: it is made with its VMO; clones that view the VMO map its files too; when the VMO is frozen, the frozen VMO
//! takes it over and the VMO gets a new one. It is shared by reference count. When its VMO goes and somebody still shows it, it is an
//! *orphan*: what lies in it is inherited.

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::io::Errno;
use zircon::VmoId;

use super::{error::MemoryError, memfd::Memfd};

/// Log2 of the pages in one file.
const FILE_ORDER: u32 = 50;

/// Pages in one file.
const FILE_PAGES: u64 = 1 << FILE_ORDER;

/// The pages of one VMO.
#[derive(Debug)]
pub(super) struct Store {
    vmo: VmoId,
    files: [OnceLock<Memfd>; 4],
    orphan: AtomicBool,
}

impl Store {
    /// A store without pages.
    pub(super) fn new(vmo: VmoId) -> Store {
        Store {
            vmo,
            files: Default::default(),
            orphan: AtomicBool::new(false),
        }
    }

    /// First page after `page` that lies in another file.
    pub(super) fn file_end(page: u64) -> u64 {
        (page / FILE_PAGES + 1) * FILE_PAGES
    }

    /// The file that holds `page`, made now if need be, and the page's number in it.
    pub(super) fn file(&self, page: u64) -> Result<(&Memfd, u64), MemoryError> {
        let no_such = MemoryError::OutOfRange {
            vmo: self.vmo,
            page,
        };
        let index = usize::try_from(page / FILE_PAGES).unwrap_or(usize::MAX);
        let slot = self.files.get(index).ok_or(no_such)?;
        let file = match slot.get() {
            Some(file) => file,
            None => {
                let file = Memfd::create(self.vmo)?;
                slot.get_or_init(|| file)
            }
        };
        Ok((file, page % FILE_PAGES))
    }

    /// Drops pages, present or not, here and in every mapping, the guest's included; private pages of clones stay.
    pub(super) fn punch(&self, pages: Range<u64>) -> Result<(), Errno> {
        for (file, part, _) in self.parts(pages) {
            file.punch(part.start, part.end - part.start)?;
        }
        Ok(())
    }

    /// Fills absent pages from host address `from` on; the store grows to hold them.
    ///
    /// The pages must not be mapped anywhere: they appear unseen by userfaultfd.
    pub(super) fn fill(&self, pages: Range<u64>, from: u64) -> Result<(), MemoryError> {
        let (file, first) = self.file(pages.start)?;
        let count = pages.end - pages.start;
        file.grow(first + count)?;
        file.fill(first, count, from)
    }

    /// The pages that are there, in memory or swapped out.
    pub(super) fn present(&self, pages: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        let mut found = Vec::new();
        for (file, part, first) in self.parts(pages) {
            let runs = file.present(part)?.into_iter();
            found.extend(runs.map(|run| run.start + first..run.end + first));
        }
        Ok(found)
    }

    /// How many pages are there, in memory or swapped out.
    pub(super) fn pages(&self) -> u64 {
        let files = self.files.iter().filter_map(OnceLock::get);
        files.map(Memfd::pages).sum()
    }

    /// Its VMO is no more.
    pub(super) fn abandon(&self) {
        self.orphan.store(true, Ordering::Relaxed);
    }

    /// Whether its VMO is no more.
    pub(super) fn is_orphan(&self) -> bool {
        self.orphan.load(Ordering::Relaxed)
    }

    /// The parts of `pages` in the files that exist: (file, pages in it, first page of the file in the store).
    fn parts(&self, pages: Range<u64>) -> impl Iterator<Item = (&Memfd, Range<u64>, u64)> {
        let files = (0..).map(|index| index * FILE_PAGES).zip(&self.files);
        files.filter_map(move |(first, file)| {
            let start = pages.start.max(first);
            let end = pages.end.min(first + FILE_PAGES);
            let file = file.get().filter(|_| start < end)?;
            Some((file, start - first..end - first, first))
        })
    }
}
