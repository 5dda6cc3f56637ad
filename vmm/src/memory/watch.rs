//! What watches windows: two userfaultfd descriptors, and the page map.

use zircon::Writes;

use super::{error::MemoryError, pagemap::Pagemap, uffd::Userfaultfd};

/// The descriptors of one arena.
#[derive(Debug)]
pub(super) struct Watch {
    /// A write to a protected page is an exit.
    exits: Userfaultfd,
    /// A write to a protected page goes through and is noted.
    notes: Userfaultfd,
    pagemap: Pagemap,
}

impl Watch {
    /// Opens them.
    pub(super) fn open() -> Result<Watch, MemoryError> {
        Ok(Watch {
            exits: Userfaultfd::open(Writes::Exit)?,
            notes: Userfaultfd::open(Writes::Noted)?,
            pagemap: Pagemap::open()?,
        })
    }

    /// The descriptor on which writes to protected pages do this.
    pub(super) fn uffd(&self, writes: Writes) -> &Userfaultfd {
        match writes {
            Writes::Exit | Writes::Never => &self.exits,
            Writes::Noted => &self.notes,
        }
    }

    /// Tells what was written.
    pub(super) fn pagemap(&self) -> &Pagemap {
        &self.pagemap
    }
}
