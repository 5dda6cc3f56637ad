//! Reading, writing, clearing and copying bytes.

use zircon::VmoId;

use super::{
    Memory,
    chunk::Run,
    copy::{self, Short},
    error::MemoryError,
    ops::OpError,
    units::{PAGE_SHIFT, bytes},
    window::Window,
};

/// Zeros to clear with.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

impl Memory {
    pub(super) fn read(&self, vmo: VmoId, offset: u64, length: usize) -> Result<Vec<u8>, OpError> {
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

    pub(super) fn write(&self, vmo: VmoId, offset: u64, bytes: &[u8]) -> Result<(), OpError> {
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

    pub(super) fn clear(&self, vmo: VmoId, offset: u64, length: u64) -> Result<(), OpError> {
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

    pub(super) fn copy(
        &self,
        from: (VmoId, u64),
        to: (VmoId, u64),
        length: u64,
    ) -> Result<(), OpError> {
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

/// The bytes `offset..offset + length`, chunk by chunk; chunks that are missing are made, as a clone that was never touched shows
/// pages all the same.
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
    let runs = window.place_all(first, last - first + 1)?;
    let spans = runs.into_iter().map(|run| {
        let start = offset.max(bytes(run.first_page));
        let len = end.min(bytes(run.first_page + run.pages)) - start;
        Span {
            vmo,
            run,
            offset: start,
            len,
        }
    });
    Ok(spans.collect())
}
