//! Chunks: ranges of the arena with pages mapped there.
//!
//! A **chunk** is a power of two of pages, at most a unit, at a place of the arena aligned to its size. It stays there as long as its
//! VMO. What is mapped in it are **pieces**: either the pages of the VMO's own store (a shared mapping), or those of another store that
//! the VMO views (a private mapping that may be read: reads share the page, and the first write is an exit).
//!
//! The life of a piece: mapped PROT_NONE -> registered with userfaultfd -> made accessible; mapped over when the VMO comes to show
//! something else there. In this order no access can ever find it unregistered; mapping over a registered range silently drops the
//! registration.
//!
//! A view is **armed** a block of pages at a time, before the VMO gets a page of its own in it: each page is write-protected through
//! userfaultfd, which costs a page-table entry, and the block is made writable. So a large view costs nothing until it is written to,
//! and pages forked here and there do not cost a mapping each.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect},
};
use zircon::{Intervals, VmoId};

use super::{
    arena::Lease,
    error::MemoryError,
    memfd::Memfd,
    pagemap::Pagemap,
    store::Store,
    uffd::{Installed, Userfaultfd},
    units::{PAGE_SHIFT, bytes},
    views::View,
    watch::Watching,
};

/// What helps where the kernel refuses a mapping.
const MORE_MAPPINGS: &str =
    "a larger vm.max_map_count or `ulimit -v` allows more chunks and clones";

/// Pages that are armed at once: those of one page table.
pub(super) const BLOCK: u64 = 512;

/// Whether accesses may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Accesses {
    /// Reads and writes.
    All,
    /// Reads only.
    Reads,
    /// None.
    None,
}

/// A range of the arena.
#[derive(Debug)]
pub(super) struct Chunk {
    lease: Lease,
    vmo: VmoId,
    /// First page in the VMO.
    first_page: u64,
    /// The pages of views that are armed.
    armed: Mutex<Intervals>,
    /// Pages that may not be accessed, because nobody could answer an event: see `events.rs`.
    barred: Mutex<Intervals>,
}

impl Chunk {
    /// A chunk for the pages of `vmo` from `first_page` on. Nothing is mapped yet.
    pub(super) fn new(mut lease: Lease, vmo: VmoId, first_page: u64) -> Chunk {
        lease.set_mapped();
        Chunk {
            lease,
            vmo,
            first_page,
            armed: Mutex::default(),
            barred: Mutex::default(),
        }
    }

    /// First guest-physical address.
    pub(super) fn gpa(&self) -> u64 {
        self.lease.gpa()
    }

    /// Adds the memslot that holds a page of it, unless it is there.
    pub(super) fn ensure_slot(&self, page: u64) -> Result<(), MemoryError> {
        self.lease.ensure_slot(page - self.first_page)
    }

    /// Its pages in the VMO.
    pub(super) fn range(&self) -> Range<u64> {
        self.first_page..self.first_page + (self.lease.len() >> PAGE_SHIFT)
    }

    fn host(&self, page: u64) -> u64 {
        self.lease.host() + bytes(page - self.first_page)
    }

    /// The descriptor for pieces: views always make a write to a protected page an exit.
    fn uffd(&self, view: bool, own: Watching) -> &Userfaultfd {
        let watching = if view { Watching::Exits } else { own };
        self.lease.arena().watch().uffd(watching)
    }

    /// Maps the pages of the VMO's own store.
    pub(super) fn map_own(
        &self,
        pages: Range<u64>,
        store: &Store,
        watching: Watching,
    ) -> Result<(), MemoryError> {
        let (uffd, flags) = (self.uffd(false, watching), MapFlags::SHARED);
        self.map(pages.clone(), store.file(pages.start)?, flags, uffd)?;
        self.permit(pages, Accesses::All)
    }

    /// Maps what `view` shows.
    pub(super) fn map_view(&self, pages: Range<u64>, view: &View) -> Result<(), MemoryError> {
        let (uffd, flags) = (self.uffd(true, Watching::Exits), MapFlags::PRIVATE);
        self.map(pages.clone(), view.store.file(view.at)?, flags, uffd)?;
        match pages.end - pages.start > BLOCK {
            true => self.permit(pages, Accesses::Reads),
            false => self.arm(pages),
        }
    }

    fn map(
        &self,
        pages: Range<u64>,
        (file, file_page): (&Memfd, u64),
        flags: MapFlags,
        uffd: &Userfaultfd,
    ) -> Result<(), MemoryError> {
        let (host, len) = (self.host(pages.start), bytes(pages.end - pages.start));
        // Past the end of the file nothing could be installed, nor forked.
        file.grow(file_page + (pages.end - pages.start))?;
        let at = std::ptr::with_exposed_provenance_mut(host as usize);
        let flags = flags | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the addresses are leased, hence part of the reservation, and nothing in this process ever refers to what is mapped
        // there.
        let mapped = unsafe {
            let none = ProtFlags::empty();
            mmap(at, len as usize, none, flags, file, bytes(file_page))
        };
        mapped.map_err(|errno| self.failed("map a piece", errno))?;
        self.armed().remove(pages);
        // SAFETY: as above; this process reads windows through the kernel only.
        unsafe { uffd.register(host, len) }
            .map_err(|errno| self.failed("register a piece with userfaultfd", errno))?;
        // A crash of the VMM is not a reason to write the guest's memory to disk.
        // SAFETY: as above; the advice changes no content.
        unsafe { madvise(at, len as usize, Advice::LinuxDontDump) }
            .map_err(|errno| self.failed("keep a piece out of core dumps", errno))
    }

    /// Makes pages of one view ready to become the VMO's own, with those of their blocks that lie in `view`.
    pub(super) fn arm_within(
        &self,
        pages: Range<u64>,
        view: Range<u64>,
    ) -> Result<(), MemoryError> {
        let (view, all) = (view, self.range());
        let start = (pages.start - pages.start % BLOCK)
            .max(view.start)
            .max(all.start);
        let end = pages.end.next_multiple_of(BLOCK).min(view.end).min(all.end);
        self.arm(start..end)
    }

    fn arm(&self, pages: Range<u64>) -> Result<(), MemoryError> {
        let mut armed = self.armed();
        let mut rest = Intervals::of(pages.clone());
        armed
            .within(pages.clone())
            .into_iter()
            .for_each(|run| rest.remove(run));
        for run in rest.within(pages) {
            let (host, len) = (self.host(run.start), bytes(run.end - run.start));
            // SAFETY: the pages were registered when they were mapped.
            unsafe {
                self.uffd(true, Watching::Exits)
                    .write_protect(host, len, true)
            }
            .map_err(|errno| self.failed("write-protect a view", errno))?;
            self.permit(run.clone(), Accesses::All)?;
            armed.insert(run);
        }
        Ok(())
    }

    fn armed(&self) -> MutexGuard<'_, Intervals> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pages that may not be accessed; what is in there changes together with what is permitted.
    pub(super) fn barred(&self) -> MutexGuard<'_, Intervals> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permits again what a piece that is mapped permits.
    pub(super) fn restore(&self, pages: Range<u64>, view: bool) -> Result<(), MemoryError> {
        if !view {
            return self.permit(pages, Accesses::All);
        }
        let armed = self.armed().within(pages);
        armed
            .into_iter()
            .try_for_each(|run| self.permit(run, Accesses::All))
    }

    /// Says which accesses to `pages` may be made, the guest's included. Others fail like those to an absent page.
    pub(super) fn permit(&self, pages: Range<u64>, accesses: Accesses) -> Result<(), MemoryError> {
        let (host, len) = (self.host(pages.start), bytes(pages.end - pages.start));
        let flags = match accesses {
            Accesses::All => MprotectFlags::READ | MprotectFlags::WRITE,
            Accesses::Reads => MprotectFlags::READ,
            Accesses::None => MprotectFlags::empty(),
        };
        let at = std::ptr::with_exposed_provenance_mut(host as usize);
        // SAFETY: the addresses are leased, and nothing in this process refers to what is mapped there.
        unsafe { mprotect(at, len as usize, flags) }
            .map_err(|errno| self.failed("change the accessibility of a piece", errno))
    }

    pub(super) fn failed(&self, step: &'static str, source: Errno) -> MemoryError {
        MemoryError::Chunk {
            vmo: self.vmo,
            step,
            source,
            remedy: MORE_MAPPINGS,
        }
    }
}

/// A run of pages inside one chunk, which it keeps mapped.
#[derive(Clone, Debug)]
pub(super) struct Run {
    chunk: Arc<Chunk>,
    /// First page in the VMO.
    pub(super) first_page: u64,
    /// Number of pages.
    pub(super) pages: u64,
}

impl Run {
    /// The part of `pages` that lies in `chunk`; the two must meet.
    pub(super) fn clip(chunk: Arc<Chunk>, pages: Range<u64>) -> Run {
        let range = chunk.range();
        let first_page = pages.start.max(range.start);
        Run {
            first_page,
            pages: pages.end.min(range.end) - first_page,
            chunk,
        }
    }

    /// Its chunk.
    pub(super) fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// The page numbers.
    pub(super) fn range(&self) -> Range<u64> {
        self.first_page..self.first_page + self.pages
    }

    /// Address in this process.
    pub(super) fn host(&self) -> u64 {
        self.chunk.host(self.first_page)
    }

    /// Addresses in this process.
    pub(super) fn host_range(&self) -> Range<u64> {
        self.host()..self.host() + bytes(self.pages)
    }

    /// Guest-physical address.
    pub(super) fn gpa(&self) -> u64 {
        self.chunk.gpa() + bytes(self.first_page - self.chunk.first_page)
    }

    /// `pages` pages from the `skip`th on; both within the run.
    pub(super) fn part(&self, skip: u64, pages: u64) -> Run {
        Run {
            chunk: Arc::clone(&self.chunk),
            first_page: self.first_page + skip,
            pages,
        }
    }
}

/// A run of pages inside one piece.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) run: Run,
    /// What it shows, if that is another's.
    pub(super) view: Option<View>,
    /// What becomes of accesses, if it shows the VMO's own pages.
    pub(super) watching: Watching,
}

impl Piece {
    fn uffd(&self) -> &Userfaultfd {
        self.run.chunk.uffd(self.view.is_some(), self.watching)
    }

    /// `pages` pages from the `skip`th on; both within the piece.
    pub(super) fn part(&self, skip: u64, pages: u64) -> Piece {
        Piece {
            run: self.run.part(skip, pages),
            view: self.view.as_ref().map(|view| view.ahead(skip)),
            watching: self.watching,
        }
    }

    /// The part from the `skip`th page on that can be installed at once: a view may have been cut into several mappings between its
    /// blocks.
    pub(super) fn installable(&self, skip: u64) -> Piece {
        let rest = self.run.pages - skip;
        let block = BLOCK - (self.run.first_page + skip) % BLOCK;
        self.part(
            skip,
            if self.view.is_some() {
                rest.min(block)
            } else {
                rest
            },
        )
    }

    /// Installs zeros.
    pub(super) fn install_zeros(&self, protect: bool) -> Installed {
        let (uffd, run) = (self.uffd(), &self.run);
        // SAFETY: the run lies in its chunk, whose pieces are registered, and mapped while this run holds it.
        unsafe {
            match protect || self.view.is_some() {
                true => uffd.copy_zeros(run.host(), run.pages, protect),
                false => uffd.zero(run.host(), run.pages),
            }
        }
    }

    /// Installs copies of the pages at host address `from`.
    pub(super) fn install_copies(&self, from: u64, protect: bool) -> Installed {
        let (uffd, run) = (self.uffd(), &self.run);
        // SAFETY: as for `install_zeros`.
        unsafe { uffd.copy(from, run.host(), run.pages, protect) }
    }

    /// Protects pages against writes, or takes the protection away.
    pub(super) fn write_protect(&self, on: bool) -> Result<(), Errno> {
        let (uffd, run) = (self.uffd(), &self.run);
        // SAFETY: as for `install_zeros`.
        unsafe { uffd.write_protect(run.host(), bytes(run.pages), on) }
    }

    /// Makes the pages of a view, which are not protected, private.
    pub(super) fn break_sharing(&self) -> Result<(), Errno> {
        let at = std::ptr::with_exposed_provenance_mut(self.run.host() as usize);
        let len = bytes(self.run.pages) as usize;
        // SAFETY: the run lies in its chunk; nothing in this process refers to it, and no content changes.
        unsafe { madvise(at, len, Advice::LinuxPopulateWrite) }
    }

    /// The pages of the piece that were written to since they were protected, and those that are absent.
    pub(super) fn unmarked(&self) -> Result<Vec<Range<u64>>, Errno> {
        let found = self.pagemap().unmarked(self.run.host_range())?.into_iter();
        Ok(found.map(|host| self.pages(&host)).collect())
    }

    /// Takes pages of the VMO's own store out of the page tables. Marks of write protection stay.
    pub(super) fn unmap(&self) -> Result<(), Errno> {
        let at = std::ptr::with_exposed_provenance_mut(self.run.host() as usize);
        let len = bytes(self.run.pages) as usize;
        // SAFETY: the run lies in its chunk; nothing in this process refers to it, and what a shared mapping held stays in its file.
        unsafe { madvise(at, len, Advice::LinuxDontNeed) }
    }

    /// The parts of host addresses of the piece that have a page in the page table.
    pub(super) fn mapped(&self, host: Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        self.pagemap().mapped(host)
    }

    /// The pages of the piece that were written to since they were protected.
    pub(super) fn written(&self, store: &Store) -> Result<Vec<Range<u64>>, Errno> {
        let unmarked = self.unmarked()?;
        // Looked at second: a page that comes into the page table in between counts. A view's pages are another VMO's.
        let mut mapped = Intervals::default();
        if !unmarked.is_empty() && self.view.is_none() {
            for host in self.mapped(self.run.host_range())? {
                mapped.insert(self.pages(&host));
            }
        }
        let mut written = Vec::new();
        for run in unmarked {
            let mut at = run.start;
            for there in mapped.within(run.clone()) {
                // Asking the file takes time in proportion to what it holds from there on.
                written.extend(store.present(at..there.start)?);
                at = there.end;
                written.push(there);
            }
            written.extend(store.present(at..run.end)?);
        }
        Ok(written)
    }

    fn pagemap(&self) -> &Pagemap {
        self.run.chunk.lease.arena().watch().pagemap()
    }

    /// The pages at these addresses.
    fn pages(&self, host: &Range<u64>) -> Range<u64> {
        let page = |at: u64| self.run.first_page + ((at - self.run.host()) >> PAGE_SHIFT);
        page(host.start)..page(host.end)
    }
}
