//! What a VMO shows of a page, and how pages change.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use protocol::PAGE_SIZE;

use super::{Bytes, Dirt, Kind, Model, Slot};

/// What a VMO shows.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    Page(Rc<Bytes>),
    Zero,
    /// A page that the pager of this VMO has to be asked for.
    Absent(usize, u64),
}

pub fn zeros() -> Rc<Bytes> {
    Rc::new(vec![0; PAGE_SIZE as usize])
}

impl Model {
    pub fn slot(&mut self, owner: usize, page: u64) -> &mut Slot {
        &mut self.vmos[owner].slots[page as usize]
    }

    /// What a VMO shows of a page of it.
    pub fn shown(&self, vmo: usize, page: u64) -> Shown {
        let (owner, page) = self.owner(vmo, page);
        match (
            &self.vmos[owner].slots[page as usize],
            &self.vmos[owner].kind,
        ) {
            (Slot::Page(bytes, _), _) => Shown::Page(bytes.clone()),
            (Slot::Zero(_), _) => Shown::Zero,
            (Slot::Absent, Kind::Paged { .. }) => Shown::Absent(owner, page),
            (
                Slot::Absent,
                Kind::Clone {
                    root,
                    offset,
                    visible,
                },
            ) if visible.contains(&page) => self.shown(*root, page + offset),
            (Slot::Absent, _) => Shown::Zero,
        }
    }

    /// Whether a slot says that a page is zero, its own or one that it shows.
    pub fn is_zero_slot(&self, vmo: usize, page: u64) -> bool {
        let (owner, page) = self.owner(vmo, page);
        let owner = &self.vmos[owner];
        match (&owner.slots[page as usize], &owner.kind) {
            (Slot::Zero(_), _) => true,
            (
                Slot::Absent,
                Kind::Clone {
                    root,
                    offset,
                    visible,
                },
            ) if visible.contains(&page) => self.is_zero_slot(*root, page + offset),
            _ => false,
        }
    }

    /// The owner's own page, with what it shows, for a write; the page must not be absent.
    pub fn page_for_write(&mut self, owner: usize, page: u64) -> &mut Bytes {
        let bytes = match self.shown(owner, page) {
            Shown::Page(bytes) => bytes,
            _ => zeros(),
        };
        let slot = self.slot(owner, page);
        match slot {
            Slot::Page(..) => drop(bytes),
            Slot::Zero(Dirt::Clean) => *slot = Slot::Page(bytes, Dirt::Clean),
            Slot::Zero(_) => *slot = Slot::Page(bytes, Dirt::Dirty),
            Slot::Absent => *slot = Slot::Page(Rc::new((*bytes).clone()), Dirt::Clean),
        }
        self.acted |= self.ran > 0;
        match self.slot(owner, page) {
            Slot::Page(bytes, _) => Rc::make_mut(bytes),
            _ => unreachable!(),
        }
    }

    /// A page of a pager's VMO was written to, or is about to be.
    pub fn dirty(&mut self, owner: usize, page: u64) {
        if self.source(owner).is_some()
            && let Slot::Page(_, dirt) = self.slot(owner, page)
        {
            *dirt = Dirt::Dirty;
        }
    }

    /// Whole pages become zero without storage.
    pub fn zero_pages(&mut self, owner: usize, pages: Range<u64>) {
        for page in pages {
            let zero = match self.vmos[owner].kind {
                Kind::Plain => Slot::Absent,
                Kind::Paged { .. } => Slot::Zero(Dirt::Dirty),
                _ => Slot::Zero(Dirt::Clean),
            };
            if self.is_pinned(owner, page..page + 1) {
                self.page_for_write(owner, page).fill(0);
                self.dirty(owner, page);
                continue;
            }
            let slot = self.slot(owner, page);
            // What the pager knows to be zero stays so, and an interval's page what it is.
            if !(matches!(slot, Slot::Zero(_)) && matches!(zero, Slot::Zero(_))) {
                *slot = zero;
            }
        }
        self.settle_intervals(owner);
    }

    /// Only the front of an interval is being written back: pages that are no longer at the front are dirty again.
    pub fn settle_intervals(&mut self, owner: usize) {
        let mut front = true;
        for slot in &mut self.vmos[owner].slots {
            match slot {
                Slot::Zero(Dirt::Awaiting) if front => {}
                Slot::Zero(Dirt::Awaiting | Dirt::Dirty) => {
                    *slot = Slot::Zero(Dirt::Dirty);
                    front = false;
                }
                _ => front = true,
            }
        }
    }

    /// First and end page of each interval.
    pub fn intervals(&self, owner: usize) -> Vec<Range<u64>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        for (slot, page) in self.vmos[owner].slots.iter().zip(0..) {
            if let Slot::Zero(Dirt::Dirty | Dirt::Awaiting) = slot {
                match out.last_mut() {
                    Some(last) if last.end == page => last.end += 1,
                    _ => out.push(page..page + 1),
                }
            }
        }
        out
    }

    /// Pages of storage of all VMOs.
    pub fn resident(&self) -> u64 {
        let slots = self.vmos.iter().flat_map(|vmo| &vmo.slots);
        let pages = slots.filter_map(|slot| match slot {
            Slot::Page(bytes, _) => Some(Rc::as_ptr(bytes)),
            _ => None,
        });
        pages.collect::<BTreeSet<_>>().len() as u64
    }

    /// Pages attributed to a VMO: all, and those of them that nobody shares.
    pub fn attributed(&self, vmo: usize) -> (u64, u64) {
        let pages = self.vmos[vmo].slots.iter().filter_map(|slot| match slot {
            Slot::Page(bytes, _) => Some(Rc::strong_count(bytes) == 1),
            _ => None,
        });
        let pages: Vec<bool> = pages.collect();
        let private = pages.iter().filter(|private| **private).count();
        (pages.len() as u64, private as u64)
    }
}
