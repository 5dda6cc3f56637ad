//! Host pager services: what answers page requests of VMOs that the host provides.
//!
//! The life of a request: a guest touches an absent page; [`ReadAhead`] widens the request when the guest reads in
//! sequence; the vCPU's thread asks the VMO's [`HostPager`] with [`Wait::Never`]. What is at hand is supplied at once.
//! [`ReadError::WouldBlock`] parks the guest thread, and one of the [`Workers`] asks again with [`Wait::Allowed`].
//! A pager only fills buffers: which pages are absent, and how the bytes get into the guest, is not its business.
//!
//! A [`Pager`] of a program that embeds the VM is another thing: it gets a [`PageRequest`] for what was asked, and answers it when it likes.
//!
//! Pagers of whole pages stand on [`ByteSource`]s, which know bytes only: a file ([`FilePager`]) and an image in
//! memory ([`ImagePager`]) are both; [`SegmentPager`] serves a piece of either as an ELF segment.

mod delay;
mod file;
mod image;
mod raw_file;
mod readahead;
mod request;
mod segment;
mod workers;

pub(crate) use self::request::Reply;
use std::fmt::Debug;

use protocol::Status;

pub use self::{
    delay::Delayer,
    file::{FileError, FilePager},
    image::ImagePager,
    readahead::{ReadAhead, SupplyPolicy},
    request::{PageRequest, Pager},
    segment::{SegmentError, SegmentLayout, SegmentPager},
    workers::{SubmitError, Workers},
};

/// A source of page contents, asked when a guest touches an absent page of its VMO.
pub trait HostPager: Send + Sync + Debug {
    /// Content size in bytes; the VMO is this, rounded up to whole pages, and never changes.
    fn size(&self) -> u64;

    /// Fills `buffer` (whole pages) with the content at byte `offset` (page-aligned); bytes past the content's end are zero.
    ///
    /// With [`Wait::Never`] the call must not block: it answers [`ReadError::WouldBlock`] when it would, and is asked
    /// again with [`Wait::Allowed`] on another thread. On an error nothing of `buffer` is used.
    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError>;
}

/// Whether a read may block the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It runs on a vCPU's thread.
    Never,
    /// It runs on a worker.
    Allowed,
}

/// Why a read gave no pages.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not at once: ask again with [`Wait::Allowed`].
    #[error("the read would block")]
    WouldBlock,
    /// The pages cannot be had; the guest sees `status`.
    #[error("{reason} ({status})")]
    Failed {
        /// What the guest's access gets.
        status: Status,
        /// For the report: what failed, naming the thing.
        reason: String,
    },
}

/// Content by the byte, for pagers to serve pages from.
pub trait ByteSource: Send + Sync + Debug {
    /// Bytes of content; never changes.
    fn length(&self) -> u64;

    /// Fills `buffer` with the bytes at `offset`, all of which must lie inside the content.
    ///
    /// On an error nothing of `buffer` is used.
    fn read_bytes(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError>;
}

/// Serves whole pages: content while there is some, then zeros.
fn read_pages(
    source: &dyn ByteSource,
    offset: u64,
    buffer: &mut [u8],
    wait: Wait,
) -> Result<(), ReadError> {
    let left = source.length().saturating_sub(offset);
    let inside = usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    let (content, tail) = buffer.split_at_mut(inside);
    tail.fill(0);
    if content.is_empty() {
        return Ok(());
    }
    source.read_bytes(offset, content, wait)
}

/// The answer to a range outside the content: the caller's mistake, never the guest's.
fn outside(name: &dyn std::fmt::Display, offset: u64, length: usize, size: u64) -> ReadError {
    ReadError::Failed {
        status: Status::OUT_OF_RANGE,
        reason: format!("{name}: {length} bytes at {offset} lie outside its {size} bytes"),
    }
}
