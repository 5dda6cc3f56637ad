//! What watches windows: two or three userfaultfd descriptors, and the page map.

use zircon::Writes;

use super::{error::MemoryError, pagemap::Pagemap, uffd::Userfaultfd};

/// What becomes of accesses to absent and to protected pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Watching {
    /// They fail: exits.
    Exits,
    /// Those to absent pages fail; writes to protected pages go through and are noted.
    Notes,
    /// Those to absent pages wait, and an event tells of them; nothing is protected.
    Events,
}

impl From<Writes> for Watching {
    fn from(writes: Writes) -> Watching {
        match writes {
            Writes::Exit | Writes::Never => Watching::Exits,
            Writes::Noted => Watching::Notes,
        }
    }
}

/// The descriptors of one arena.
#[derive(Debug)]
pub(super) struct Watch {
    exits: Userfaultfd,
    notes: Userfaultfd,
    events: Option<Userfaultfd>,
    pagemap: Pagemap,
}

impl Watch {
    /// Opens them, but for the one with events.
    pub(super) fn open() -> Result<Watch, MemoryError> {
        Ok(Watch {
            exits: Userfaultfd::open(Watching::Exits)?,
            notes: Userfaultfd::open(Watching::Notes)?,
            events: None,
            pagemap: Pagemap::open()?,
        })
    }

    /// Opens all of them.
    pub(super) fn open_with_events() -> Result<Watch, MemoryError> {
        Ok(Watch {
            events: Some(Userfaultfd::open(Watching::Events)?),
            ..Watch::open()?
        })
    }

    /// The descriptor on which accesses end so; without one for events they are exits.
    pub(super) fn uffd(&self, watching: Watching) -> &Userfaultfd {
        match (watching, &self.events) {
            (Watching::Notes, _) => &self.notes,
            (Watching::Events, Some(events)) => events,
            (Watching::Exits | Watching::Events, _) => &self.exits,
        }
    }

    /// The descriptor with events.
    pub(super) fn events(&self) -> Option<&Userfaultfd> {
        self.events.as_ref()
    }

    /// Tells what was written.
    pub(super) fn pagemap(&self) -> &Pagemap {
        &self.pagemap
    }
}
