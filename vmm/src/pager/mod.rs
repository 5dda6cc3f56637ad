//! Host pager services: what answers page requests of VMOs that the host provides.

use std::fmt::Debug;

use protocol::Status;

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
