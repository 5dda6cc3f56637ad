//! Performing the core's memory operations, and supplying pages.
//!
//! The life of an operation: its pages are found as runs, each inside one chunk (made now for pages
//! that are to become present); then the kernel is asked run by run. What is installed before an
//! installation fails is dropped again, so a failed installation leaves the pages absent, as the
//! core believes them to be.

use std::sync::atomic::Ordering;

use protocol::Status;
use rustix::io::Errno;
use zircon::{MemoryOp, MemoryResult, Pages, VmoId};

use super::{
    Memory,
    copy::{self, Short},
    error::MemoryError,
    uffd::Stop,
    units::{PAGE_SHIFT, PAGE_SIZE, bytes},
    window::{Run, Window},
};

/// Zeros to clear with.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Why an operation was not performed.
#[derive(Debug, thiserror::Error)]
enum OpError {
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
            | OpError::Buffer { .. } => Status::NO_MEMORY,
            _ => Status::INTERNAL,
        }
    }
}

impl Memory {
    /// Performs one operation on the calling thread.
    pub fn perform(&self, op: &MemoryOp) -> MemoryResult {
        let result = match op {
            MemoryOp::Zero { pages, .. } => self.zero(*pages),
            MemoryOp::Move {
                from, to, to_first, ..
            } => self.move_pages(*from, *to, *to_first),
            MemoryOp::Decommit { pages, .. } => self.decommit(*pages),
            MemoryOp::Evict(_)
            | MemoryOp::Fork { .. }
            | MemoryOp::Protect { .. }
            | MemoryOp::Scan { .. }
            | MemoryOp::Freeze { .. }
            | MemoryOp::Locate(_) => return MemoryResult::Failed(Status::INTERNAL),
            MemoryOp::Read {
                vmo,
                offset,
                length,
            } => {
                return match self.read(*vmo, *offset, *length) {
                    Ok(bytes) => MemoryResult::Bytes(bytes),
                    Err(error) => self.failed(&error),
                };
            }
            MemoryOp::Write { vmo, offset, bytes } => self.write(*vmo, *offset, bytes),
            MemoryOp::Clear {
                vmo,
                offset,
                length,
            } => self.clear(*vmo, *offset, *length),
            MemoryOp::Copy {
                from,
                from_offset,
                to,
                to_offset,
                length,
            } => self.copy((*from, *from_offset), (*to, *to_offset), *length),
        };
        self.done(result)
    }

    /// Makes absent pages present with this content (whole pages): how a host pager answers. Pages
    /// that are there already keep what they have.
    pub fn supply(&self, vmo: VmoId, first_page: u64, bytes: &[u8]) -> MemoryResult {
        self.done(self.supply_pages(vmo, first_page, bytes))
    }

    fn done(&self, result: Result<(), OpError>) -> MemoryResult {
        match result {
            Ok(()) => MemoryResult::Done,
            Err(error) => self.failed(&error),
        }
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

    fn zero(&self, pages: Pages) -> Result<(), OpError> {
        let window = self.window(pages.vmo)?;
        let runs = window.place_all(pages.first, pages.count)?;
        install(
            pages.vmo,
            &window,
            runs.into_iter().map(|run| (run, Content::Zeros)).collect(),
        )
    }

    fn supply_pages(&self, vmo: VmoId, first_page: u64, bytes: &[u8]) -> Result<(), OpError> {
        let length = bytes.len();
        if !(length as u64).is_multiple_of(PAGE_SIZE) {
            return Err(OpError::NotWholePages { vmo, length });
        }
        let window = self.window(vmo)?;
        let runs = window.place_all(first_page, length as u64 / PAGE_SIZE)?;
        let source = bytes.as_ptr().expose_provenance() as u64;
        let from = |run: &Run| source + ((run.first_page - first_page) << PAGE_SHIFT);
        let pieces = runs.into_iter().map(|run| (Content::Copy(from(&run)), run));
        install(
            vmo,
            &window,
            pieces.map(|(content, run)| (run, content)).collect(),
        )
    }

    fn move_pages(&self, from: Pages, to: VmoId, to_first: u64) -> Result<(), OpError> {
        let (source, target) = (self.window(from.vmo)?, self.window(to)?);
        let sources = source.placed(from.first, from.count)?;
        let mut expected = from.first;
        let mut pieces = Vec::new();
        for run in &sources {
            gapless(from.vmo, &mut expected, run)?;
            let at = to_first.saturating_add(run.first_page - from.first);
            for part in target.place_all(at, run.pages)? {
                let content = Content::Copy(run.host() + bytes(part.first_page - at));
                pieces.push((part, content));
            }
        }
        complete(from.vmo, expected, from.first + from.count)?;
        install(to, &target, pieces)?;
        drop_pages(from.vmo, &source, &sources)
    }

    fn decommit(&self, pages: Pages) -> Result<(), OpError> {
        let window = self.window(pages.vmo)?;
        drop_pages(
            pages.vmo,
            &window,
            &window.placed(pages.first, pages.count)?,
        )
    }

    fn read(&self, vmo: VmoId, offset: u64, length: usize) -> Result<Vec<u8>, OpError> {
        let window = self.window(vmo)?;
        let spans = spans(vmo, &window, offset, length as u64)?;
        let mut buffer = Vec::new();
        buffer
            .try_reserve_exact(length)
            .map_err(|_| OpError::Buffer { vmo, length })?;
        buffer.resize(length, 0);
        let mut rest = buffer.as_mut_slice();
        for span in spans {
            let (part, after) = rest.split_at_mut(rest.len().min(span.len as usize));
            copy::read(span.host(), part).map_err(|short| span.stopped("a read", short))?;
            rest = after;
        }
        Ok(buffer)
    }

    fn write(&self, vmo: VmoId, offset: u64, bytes: &[u8]) -> Result<(), OpError> {
        let window = self.window(vmo)?;
        let mut rest = bytes;
        for span in spans(vmo, &window, offset, bytes.len() as u64)? {
            let (part, after) = rest.split_at(rest.len().min(span.len as usize));
            // SAFETY: the span lies in a window, which it keeps mapped.
            unsafe { copy::write(part, span.host()) }
                .map_err(|short| span.stopped("a write", short))?;
            rest = after;
        }
        Ok(())
    }

    fn clear(&self, vmo: VmoId, offset: u64, length: u64) -> Result<(), OpError> {
        let window = self.window(vmo)?;
        for span in spans(vmo, &window, offset, length)? {
            let mut done = 0;
            while done < span.len {
                let step = (span.len - done).min(ZEROS.len() as u64);
                let (zeros, _) = ZEROS.split_at(step as usize);
                // SAFETY: as in `write`.
                unsafe { copy::write(zeros, span.host() + done) }.map_err(|short| {
                    span.stopped(
                        "a clear",
                        Short {
                            done: done + short.done,
                            ..short
                        },
                    )
                })?;
                done += step;
            }
        }
        Ok(())
    }

    fn copy(&self, from: (VmoId, u64), to: (VmoId, u64), length: u64) -> Result<(), OpError> {
        let (source, target) = (self.window(from.0)?, self.window(to.0)?);
        for span in spans(from.0, &source, from.1, length)? {
            let mut done = 0;
            let at = to.1.saturating_add(span.offset - from.1);
            for part in spans(to.0, &target, at, span.len)? {
                // SAFETY: both spans lie in windows, which they keep mapped.
                unsafe { copy::window(span.host() + done, part.host(), part.len) }.map_err(
                    |short| {
                        // Either side may be the absent one; the log names both.
                        log::error!(
                            "copying from VMO {} byte {:#x}",
                            span.vmo.0,
                            span.offset + done + short.done
                        );
                        part.stopped("a copy into", short)
                    },
                )?;
                done += part.len;
            }
        }
        Ok(())
    }
}

/// What a page is to hold.
#[derive(Clone, Copy, Debug)]
enum Content {
    Zeros,
    /// The bytes at this host address.
    Copy(u64),
}

/// Installs absent pages: all of them, or none.
fn install(vmo: VmoId, window: &Window, pieces: Vec<(Run, Content)>) -> Result<(), OpError> {
    let mut installed = Vec::new();
    for (run, content) in pieces {
        let mut skip = 0;
        while skip < run.pages {
            let rest = run.part(skip, run.pages - skip);
            let result = match content {
                Content::Zeros => rest.install_zeros(),
                Content::Copy(from) => rest.install_copies(from + bytes(skip)),
            };
            if result.pages > 0 {
                installed.push(rest.part(0, result.pages));
            }
            skip += result.pages;
            let Some(stop) = result.stopped else { break };
            let page = run.first_page + skip;
            if stop != Stop::AlreadyPresent {
                drop_pages(vmo, window, &installed)?;
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

/// Punches holes where the runs are.
fn drop_pages(vmo: VmoId, window: &Window, runs: &[Run]) -> Result<(), OpError> {
    let Some(file) = window.file() else {
        return Ok(());
    };
    for run in runs {
        file.punch(run.file_page(), run.pages)
            .map_err(|errno| OpError::Drop {
                vmo,
                first: run.first_page,
                count: run.pages,
                errno,
            })?;
    }
    Ok(())
}

/// Bytes inside one chunk, which they keep mapped.
#[derive(Debug)]
struct Span {
    vmo: VmoId,
    run: Run,
    /// First byte in the VMO.
    offset: u64,
    len: u64,
}

impl Span {
    fn host(&self) -> u64 {
        self.run.host() + (self.offset - bytes(self.run.first_page))
    }

    fn stopped(&self, what: &'static str, short: Short) -> OpError {
        let offset = self.offset + short.done;
        OpError::Transfer {
            what,
            vmo: self.vmo,
            offset,
            errno: short.errno,
        }
    }
}

/// The bytes `offset..offset + length`, chunk by chunk; all of them must be placed.
fn spans(vmo: VmoId, window: &Window, offset: u64, length: u64) -> Result<Vec<Span>, OpError> {
    let end = offset.checked_add(length).ok_or(MemoryError::OutOfRange {
        vmo,
        page: offset >> PAGE_SHIFT,
    })?;
    if length == 0 {
        return Ok(Vec::new());
    }
    let first = offset >> PAGE_SHIFT;
    let last = (end - 1) >> PAGE_SHIFT;
    let mut expected = first;
    let mut spans = Vec::new();
    for run in window.placed(first, last - first + 1)? {
        gapless(vmo, &mut expected, &run)?;
        let start = offset.max(bytes(run.first_page));
        let len = end.min(bytes(run.first_page + run.pages)) - start;
        spans.push(Span {
            vmo,
            run,
            offset: start,
            len,
        });
    }
    complete(vmo, expected, last + 1)?;
    Ok(spans)
}

/// `run` must start where the one before it ended.
fn gapless(vmo: VmoId, expected: &mut u64, run: &Run) -> Result<(), OpError> {
    complete(vmo, *expected, run.first_page)?;
    *expected = run.first_page + run.pages;
    Ok(())
}

/// Pages up to `end` must have been seen; the next one was never placed, hence is absent.
fn complete(vmo: VmoId, seen: u64, end: u64) -> Result<(), OpError> {
    if seen == end {
        return Ok(());
    }
    let offset = bytes(seen);
    Err(OpError::Transfer {
        what: "an access",
        vmo,
        offset,
        errno: Errno::FAULT,
    })
}
