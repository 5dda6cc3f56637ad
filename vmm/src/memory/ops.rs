//! Performing the core's memory operations, and supplying pages.
//!
//! The life of an operation: its pages are found as runs, each inside one chunk (made now for pages
//! that are to become present), and as pieces, each mapped in one way; then the kernel is asked
//! piece by piece. What is installed before an installation fails is dropped again, so a failed
//! installation leaves the pages absent, as the core believes them to be.

use std::{ops::Range, sync::atomic::Ordering};

use protocol::Status;
use rustix::io::Errno;
use zircon::{MemoryOp, MemoryResult, Pages, VmoId, Writes};

use super::{
    Memory,
    chunk::{Piece, Run},
    error::MemoryError,
    uffd::Stop,
    units::{PAGE_SHIFT, PAGE_SIZE, bytes},
    window::Window,
};

/// Why an operation was not performed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpError {
    #[error(transparent)]
    Storage(#[from] MemoryError),
    #[error("{what} of VMO {vmo} at byte {offset:#x} stopped: {errno} (absent page?)", vmo = .vmo.0)]
    Transfer {
        what: &'static str,
        vmo: VmoId,
        offset: u64,
        errno: Errno,
    },
    #[error("page {page:#x} of VMO {vmo} cannot be installed: {stop:?}", vmo = .vmo.0)]
    Install { vmo: VmoId, page: u64, stop: Stop },
    #[error("pages {first:#x}+{count:#x} of VMO {vmo} cannot be dropped: {errno}", vmo = .vmo.0)]
    Drop {
        vmo: VmoId,
        first: u64,
        count: u64,
        errno: Errno,
    },
    #[error("page {page:#x} of VMO {vmo} cannot be forked: {errno}", vmo = .vmo.0)]
    Fork { vmo: VmoId, page: u64, errno: Errno },
    #[error("page {page:#x} of VMO {vmo} cannot be protected, or the protection not be taken away: {errno}", vmo = .vmo.0)]
    Protect { vmo: VmoId, page: u64, errno: Errno },
    #[error("whether page {page:#x} of VMO {vmo} was written to cannot be had: {errno}", vmo = .vmo.0)]
    Scan { vmo: VmoId, page: u64, errno: Errno },
    #[error("no memory to read {length} bytes of VMO {vmo} into", vmo = .vmo.0)]
    Buffer { vmo: VmoId, length: usize },
    #[error("{length} bytes for VMO {vmo} are not whole pages", vmo = .vmo.0)]
    NotWholePages { vmo: VmoId, length: usize },
}

impl OpError {
    fn status(&self) -> Status {
        match self {
            // An operation outside every VMO is the VMM's mistake here, not the guest's.
            OpError::Storage(MemoryError::OutOfRange { .. }) => Status::INTERNAL,
            OpError::Storage(error) => error.status(),
            OpError::Install {
                stop: Stop::NoMemory,
                ..
            }
            | OpError::Fork {
                errno: Errno::NOMEM,
                ..
            }
            | OpError::Protect {
                errno: Errno::NOMEM,
                ..
            }
            | OpError::Buffer { .. } => Status::NO_MEMORY,
            _ => Status::INTERNAL,
        }
    }
}

impl Memory {
    /// Performs one operation on the calling thread.
    pub fn perform(&self, op: &MemoryOp) -> MemoryResult {
        let result = match op {
            MemoryOp::Zero { pages, protect } => self.zero(*pages, *protect),
            MemoryOp::Move {
                from,
                to,
                to_first,
                protect,
            } => self.move_pages(*from, *to, *to_first, *protect),
            MemoryOp::Decommit { pages, inherited } => self.decommit(*pages, *inherited),
            MemoryOp::Evict(pages) => self.evict(*pages),
            MemoryOp::Fork { pages, inherited } => self.fork(*pages, *inherited),
            MemoryOp::Protect { pages, on } => self.protect(*pages, *on),
            MemoryOp::Scan { pages, protect } => self.scan(*pages, *protect),
            MemoryOp::Freeze { vmo, into, owned } => self.freeze(*vmo, *into, owned),
            MemoryOp::Locate(pages) => self.locate_pages(*pages),
            MemoryOp::Read {
                vmo,
                offset,
                length,
            } => self.read(*vmo, *offset, *length).map(MemoryResult::Bytes),
            MemoryOp::Write { vmo, offset, bytes } => done(self.write(*vmo, *offset, bytes)),
            MemoryOp::Clear {
                vmo,
                offset,
                length,
            } => done(self.clear(*vmo, *offset, *length)),
            MemoryOp::Copy {
                from,
                from_offset,
                to,
                to_offset,
                length,
            } => done(self.copy((*from, *from_offset), (*to, *to_offset), *length)),
        };
        result.unwrap_or_else(|error| self.failed(&error))
    }

    /// Makes absent pages present with this content (whole pages): how a host pager answers. They
    /// are protected. Pages that are there already keep what they have.
    pub fn supply(&self, vmo: VmoId, first_page: u64, bytes: &[u8]) -> MemoryResult {
        self.supply_pages(vmo, first_page, bytes)
            .unwrap_or_else(|error| self.failed(&error))
    }

    fn failed(&self, error: &OpError) -> MemoryResult {
        let status = error.status();
        if status != Status::NO_MEMORY {
            log::error!("memory operation: {error}");
        } else if !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!("host resources run out: {error} (said once)");
        } else {
            log::debug!("host resources run out: {error}");
        }
        MemoryResult::Failed(status)
    }

    fn zero(&self, pages: Pages, protect: bool) -> Performed {
        let window = self.window(pages.vmo)?;
        let runs = window.place_all(pages.first, pages.count)?;
        let pieces = window.pieces(&runs).into_iter();
        let parts = pieces.map(|piece| (piece, Content::Zeros)).collect();
        done(install(&window, parts, protect))
    }

    fn supply_pages(&self, vmo: VmoId, first_page: u64, content: &[u8]) -> Performed {
        let length = content.len();
        if !(length as u64).is_multiple_of(PAGE_SIZE) {
            return Err(OpError::NotWholePages { vmo, length });
        }
        let window = self.window(vmo)?;
        let runs = window.place_all(first_page, length as u64 >> PAGE_SHIFT)?;
        let source = content.as_ptr().expose_provenance() as u64;
        let parts = copies(&window, &runs, first_page, source);
        done(install(&window, parts, window.writes != Writes::Never))
    }

    fn move_pages(&self, from: Pages, to: VmoId, to_first: u64, protect: bool) -> Performed {
        let (source, target) = (self.window(from.vmo)?, self.window(to)?);
        let mut parts = Vec::new();
        for run in source.place_all(from.first, from.count)? {
            let at = to_first.saturating_add(run.first_page - from.first);
            let targets = target.place_all(at, run.pages)?;
            parts.extend(copies(&target, &targets, at, run.host()));
        }
        install(&target, parts, protect)?;
        done(source.drop_pages(from.range(), false))
    }

    fn decommit(&self, pages: Pages, inherited: bool) -> Performed {
        let window = self.window(pages.vmo)?;
        let range = window.range(pages.first, pages.count)?;
        done(window.drop_pages(range, inherited))
    }

    fn evict(&self, pages: Pages) -> Performed {
        let window = self.window(pages.vmo)?;
        let runs = window.placed(pages.first, pages.count)?;
        let written = match window.writes {
            Writes::Noted => window.evict(&runs)?,
            Writes::Exit | Writes::Never => {
                window.uncover(&runs)?;
                Vec::new()
            }
        };
        Ok(MemoryResult::Written(joined(written)))
    }

    fn fork(&self, pages: Pages, inherited: bool) -> Performed {
        let window = self.window(pages.vmo)?;
        let range = window.range(pages.first, pages.count)?;
        done(window.fork(range, inherited))
    }

    fn protect(&self, pages: Pages, on: bool) -> Performed {
        let window = self.window(pages.vmo)?;
        let runs = window.placed(pages.first, pages.count)?;
        let mut pieces = window.pieces(&runs).into_iter();
        done(pieces.try_for_each(|piece| window.write_protect(&piece, on)))
    }

    fn scan(&self, pages: Pages, protect: bool) -> Performed {
        let window = self.window(pages.vmo)?;
        let runs = window.placed(pages.first, pages.count)?;
        let written = match protect {
            true => window.protect_written(&runs)?,
            false => window.unmarked(&runs)?,
        };
        Ok(MemoryResult::Written(joined(written)))
    }

    fn freeze(&self, vmo: VmoId, into: VmoId, owned: &[Range<u64>]) -> Performed {
        let (window, into) = (self.window(vmo)?, self.window(into)?);
        done(window.freeze(&into, owned))
    }

    fn locate_pages(&self, pages: Pages) -> Performed {
        let window = self.window(pages.vmo)?;
        let runs = window.place_all(pages.first, pages.count)?;
        let addresses = runs
            .iter()
            .flat_map(|run| (0..run.pages).map(|page| run.gpa() + bytes(page)));
        Ok(MemoryResult::Addresses(addresses.collect()))
    }
}

/// How an operation ended.
type Performed = Result<MemoryResult, OpError>;

fn done(result: Result<(), OpError>) -> Performed {
    result.map(|()| MemoryResult::Done)
}

/// Joins runs that touch.
fn joined(runs: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    for run in runs {
        match out.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => out.push(run),
        }
    }
    out
}

/// What a page is to hold.
#[derive(Clone, Copy, Debug)]
enum Content {
    Zeros,
    /// The bytes at this host address.
    Copy(u64),
}

/// The pieces of `runs`, to be filled from host address `source` on, where the content of page `first` is.
fn copies(window: &Window, runs: &[Run], first: u64, source: u64) -> Vec<(Piece, Content)> {
    let pieces = window.pieces(runs).into_iter();
    let from = |piece: &Piece| source + bytes(piece.run.first_page - first);
    let parts = pieces.map(|piece| (Content::Copy(from(&piece)), piece));
    parts.map(|(content, piece)| (piece, content)).collect()
}

/// Installs absent pages: all of them, or none.
fn install(window: &Window, parts: Vec<(Piece, Content)>, protect: bool) -> Result<(), OpError> {
    let mut installed = Vec::new();
    for (piece, content) in parts {
        window.arm(&piece)?;
        let mut skip = 0;
        while skip < piece.run.pages {
            let rest = piece.installable(skip);
            let admitted = rest.admit()?;
            let result = match content {
                Content::Zeros => rest.install_zeros(protect),
                Content::Copy(from) => rest.install_copies(from + bytes(skip), protect),
            };
            drop(admitted);
            if result.pages > 0 {
                let run = rest.run.part(0, result.pages);
                if rest.view.is_some() {
                    window.layout().private.insert(run.range());
                }
                installed.push(run);
            }
            skip += result.pages;
            let Some(stop) = result.stopped else { continue };
            let (vmo, page) = (window.vmo, piece.run.first_page + skip);
            if stop != Stop::AlreadyPresent {
                window.uncover(&installed)?;
                return Err(OpError::Install { vmo, page, stop });
            }
            // Its owner may have written to it already: it is never replaced.
            log::warn!(
                "page {page:#x} of VMO {} was to be installed but is present",
                vmo.0
            );
            skip += 1;
        }
    }
    Ok(())
}
