//! A window: the storage of one VMO, a sparse table of chunks.
//!
//! A **chunk** is a power of two of pages, at most a unit, at a place of the arena aligned to its
//! size. It maps its own range of the VMO's memfd. Within each unit of a VMO the first chunk covers
//! what the VMO's size needs then, from the start of the unit; pages past it, when the VMO has
//! grown, are covered by chunks that each double what is covered. So chunk borders are aligned like
//! the addresses: a chunk of 2 MiB or more is congruent to its VMO offset modulo 2 MiB.
//!
//! The life of a chunk: leased addresses -> a range at the end of the file -> mapped PROT_NONE over
//! the reservation -> registered with userfaultfd -> made accessible -> entered in the table. In
//! this order no access can ever find it unregistered; mapping over a registered range would
//! silently drop the registration. It is shared by the operations that work on it, and unmapped
//! when the window and the last of them let go of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect},
};
use zircon::VmoId;

use super::{
    arena::{Arena, Lease, Owner},
    error::MemoryError,
    memfd::Memfd,
    uffd::{Installed, Registration},
    units::{MAX_VMO_PAGES, PAGE_SHIFT, UNIT_PAGES, bytes, order_of},
};

/// A run of pages mapped in one piece.
#[derive(Debug)]
pub(super) struct Chunk {
    lease: Lease,
    registration: Registration,
    /// First page in the VMO.
    first_page: u64,
    pages: u64,
    /// First page in the memfd.
    file_page: u64,
}

impl Chunk {
    /// Maps `pages` pages of `file` from `file_page` on at the leased addresses.
    fn map(
        mut lease: Lease,
        file: &Memfd,
        file_page: u64,
        first_page: u64,
    ) -> Result<Chunk, (&'static str, Errno)> {
        let (host, len) = (lease.host(), lease.len());
        let at = std::ptr::with_exposed_provenance_mut(host as usize);
        let flags = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED;
        lease.set_mapped();
        // SAFETY: the addresses are leased, hence part of the reservation and free of other
        // mappings, and nothing in this process ever refers to them.
        unsafe {
            mmap(
                at,
                len as usize,
                ProtFlags::empty(),
                flags,
                file,
                bytes(file_page),
            )
        }
        .map_err(|errno| ("map a chunk", errno))?;
        // SAFETY: as above; this process reads windows through the kernel only.
        let registration = unsafe { lease.arena().uffd().register(host, len) }
            .map_err(|errno| ("register a chunk with userfaultfd", errno))?;
        // A crash of the VMM is not a reason to write the guest's memory to disk.
        // SAFETY: as above; the advice changes no content.
        unsafe { madvise(at, len as usize, Advice::LinuxDontDump) }
            .map_err(|errno| ("keep a chunk out of core dumps", errno))?;
        // SAFETY: as above.
        unsafe { mprotect(at, len as usize, MprotectFlags::READ | MprotectFlags::WRITE) }
            .map_err(|errno| ("make a chunk accessible", errno))?;
        let pages = len >> PAGE_SHIFT;
        Ok(Chunk {
            lease,
            registration,
            first_page,
            pages,
            file_page,
        })
    }

    /// First guest-physical address.
    pub(super) fn gpa(&self) -> u64 {
        self.lease.gpa()
    }

    /// First page in the VMO.
    pub(super) fn first_page(&self) -> u64 {
        self.first_page
    }

    /// Number of pages.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    fn end(&self) -> u64 {
        self.first_page + self.pages
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
    /// The part of `first..end` that lies in `chunk`; the two must meet.
    fn clip(chunk: Arc<Chunk>, first: u64, end: u64) -> Run {
        let first_page = first.max(chunk.first_page);
        let pages = end.min(chunk.end()) - first_page;
        Run {
            chunk,
            first_page,
            pages,
        }
    }

    /// Address in this process.
    pub(super) fn host(&self) -> u64 {
        self.chunk.lease.host() + bytes(self.first_page - self.chunk.first_page)
    }

    /// First page in the memfd.
    pub(super) fn file_page(&self) -> u64 {
        self.chunk.file_page + (self.first_page - self.chunk.first_page)
    }

    /// `pages` pages from the `skip`th on; both within the run.
    pub(super) fn part(&self, skip: u64, pages: u64) -> Run {
        Run {
            chunk: Arc::clone(&self.chunk),
            first_page: self.first_page + skip,
            pages,
        }
    }

    /// Installs zeros.
    pub(super) fn install_zeros(&self) -> Installed {
        let chunk = &self.chunk;
        // SAFETY: the run lies in its chunk, which is registered, and mapped while this run holds
        // it.
        unsafe {
            chunk
                .lease
                .arena()
                .uffd()
                .zero(chunk.registration, self.host(), self.pages)
        }
    }

    /// Installs copies of the pages at host address `from`.
    pub(super) fn install_copies(&self, from: u64) -> Installed {
        // SAFETY: as for `install_zeros`.
        unsafe {
            self.chunk
                .lease
                .arena()
                .uffd()
                .copy(from, self.host(), self.pages)
        }
    }
}

/// The storage of one VMO.
#[derive(Debug)]
pub(super) struct Window {
    vmo: VmoId,
    arena: Arc<Arena>,
    /// What the VMO's size is said to be: decides how long chunks are.
    size_pages: AtomicU64,
    file: OnceLock<Memfd>,
    /// By first page. Held for look-ups and insertions only.
    chunks: RwLock<BTreeMap<u64, Arc<Chunk>>>,
    /// Held while a chunk is made. The first page of the file that no chunk has.
    next_file_page: Mutex<u64>,
}

impl Window {
    /// A window without chunks.
    pub(super) fn new(vmo: VmoId, arena: Arc<Arena>, size_pages: u64) -> Window {
        Window {
            vmo,
            arena,
            size_pages: AtomicU64::new(size_pages),
            file: OnceLock::new(),
            chunks: RwLock::default(),
            next_file_page: Mutex::default(),
        }
    }

    /// The VMO's size has become `pages`; later chunks go by it.
    pub(super) fn set_size(&self, pages: u64) {
        self.size_pages.store(pages, Ordering::Relaxed);
    }

    /// The file, if any page was ever placed.
    pub(super) fn file(&self) -> Option<&Memfd> {
        self.file.get()
    }

    /// The chunk that holds `page`, if there is one.
    pub(super) fn find(&self, page: u64) -> Option<Arc<Chunk>> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let (_, chunk) = chunks.range(..=page).next_back()?;
        (page < chunk.end()).then(|| Arc::clone(chunk))
    }

    /// The chunk that holds `page`; made now if need be.
    pub(super) fn place(&self, page: u64) -> Result<Arc<Chunk>, MemoryError> {
        // The last chunk of the largest VMO may reach past its end.
        if page >= MAX_VMO_PAGES {
            return Err(MemoryError::OutOfRange {
                vmo: self.vmo,
                page,
            });
        }
        if let Some(chunk) = self.find(page) {
            return Ok(chunk);
        }
        let mut next_file_page = self
            .next_file_page
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another thread may have made it while this one waited.
        if let Some(chunk) = self.find(page) {
            return Ok(chunk);
        }
        let (first_page, order) = self.block_for(page);
        let file = self.open_file()?;
        let end = *next_file_page + (1 << order);
        file.grow(end)?;
        let lease = self.arena.lease(Owner {
            vmo: self.vmo,
            first_page,
            order,
        })?;
        let chunk =
            Chunk::map(lease, file, *next_file_page, first_page).map_err(|(step, source)| {
                MemoryError::Chunk {
                    vmo: self.vmo,
                    step,
                    source,
                    remedy: "a larger vm.max_map_count or `ulimit -v` allows more chunks",
                }
            })?;
        *next_file_page = end;
        let chunk = Arc::new(chunk);
        self.chunks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(first_page, Arc::clone(&chunk));
        Ok(chunk)
    }

    /// Where a chunk for `page` starts in the VMO, and its order. No chunk holds the page yet.
    fn block_for(&self, page: u64) -> (u64, u32) {
        let unit = page - page % UNIT_PAGES;
        let offset = page - unit;
        match self.find(unit) {
            None => {
                let size = self.size_pages.load(Ordering::Relaxed);
                let needed = size.saturating_sub(unit).clamp(offset + 1, UNIT_PAGES);
                (unit, order_of(needed))
            }
            // The first chunk ends at a power of two at or below `offset`, which is thus not 0.
            Some(_) => {
                let order = offset.checked_ilog2().unwrap_or(0);
                (unit + (1 << order), order)
            }
        }
    }

    fn open_file(&self) -> Result<&Memfd, MemoryError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = Memfd::create(self.vmo)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// The pages `first..first + count` in runs, without gaps; chunks that are missing are made.
    pub(super) fn place_all(&self, first: u64, count: u64) -> Result<Vec<Run>, MemoryError> {
        let end = self.end(first, count)?;
        let mut runs = Vec::new();
        let mut page = first;
        while page < end {
            let run = Run::clip(self.place(page)?, page, end);
            page += run.pages;
            runs.push(run);
        }
        Ok(runs)
    }

    /// The pages of `first..first + count` that have a chunk, in runs.
    pub(super) fn placed(&self, first: u64, count: u64) -> Result<Vec<Run>, MemoryError> {
        let end = self.end(first, count)?;
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let before = chunks
            .range(..first)
            .next_back()
            .filter(|(_, chunk)| first < chunk.end());
        let runs = before.into_iter().chain(chunks.range(first..end));
        Ok(runs
            .map(|(_, chunk)| Run::clip(Arc::clone(chunk), first, end))
            .collect())
    }

    fn end(&self, first: u64, count: u64) -> Result<u64, MemoryError> {
        first
            .checked_add(count)
            .filter(|end| *end <= MAX_VMO_PAGES)
            .ok_or(MemoryError::OutOfRange {
                vmo: self.vmo,
                page: first.saturating_add(count),
            })
    }
}
