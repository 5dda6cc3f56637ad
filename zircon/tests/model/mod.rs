//! A naive model of VMOs, their pages, requests and packets: what each call does, written down as simply as can be, one page at
//! a time, with nothing under way at the end of a call. `script` drives it beside the core.
//!
//! It is written from Zircon's rules, not from the core: clones are copies made at once (of pointers: a page counts as shared
//! while several VMOs point to it, and whoever writes to it gets a copy), dirty states are a word a page, requests are lists of
//! ranges, and whoever is woken looks at everything again.
//!
//! It does not model the order in which the core runs several operations that one event woke; it says when that order could
//! show ([`Model::is_open`]), and `script` leaves such events out.
//!
//! | file | subject |
//! |---|---|
//! | `mod` | the VMOs: who holds whose pages, who is alive |
//! | `pages` | what a VMO shows; changes of pages; dirty states |
//! | `requests` | requests and packets |
//! | `ops` | operations that may wait |
//! | `calls` | calls that never wait |
//! | `losses` | locks; what goes when pages are short |

mod calls;
mod losses;
mod ops;
mod pages;
mod requests;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use protocol::{PAGE_SIZE, Status};
use zircon::Sequence;

pub use calls::PagerOp;
pub use ops::{Op, RangeOp, TOUCHED};
pub use pages::Shown;
use requests::{InPort, Request};

use crate::common::Packet;

pub type Bytes = Vec<u8>;

/// Whether a pager knows what a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dirt {
    /// As supplied; all pages that are no pager's own.
    Clean,
    Dirty,
    /// Being written back.
    Awaiting,
    /// Zeros beyond the content, which the pager does not keep.
    Untracked,
}

/// What a VMO holds of one page.
#[derive(Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing: what is behind a clone shows; to be asked for in a pager's VMO; else zeros.
    Absent,
    /// Zeros without storage, in a pager's VMO and in clones: clean ones were supplied, others make up intervals.
    Zero(Dirt),
    /// A page of storage.
    Page(Rc<Bytes>, Dirt),
}

/// How a discardable VMO stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    pub count: u64,
    /// Its pages were discarded, and it was not locked since.
    pub discarded: bool,
    /// When it was made, or last unlocked.
    pub since: u64,
}

/// Pages that are pinned.
#[derive(Clone)]
pub struct Pin {
    /// Where the program has the handle of its token.
    pub token: u64,
    /// The VMO that holds the pages, and the pages there.
    pub owner: usize,
    pub pages: Range<u64>,
    /// A device may write to them.
    pub write: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Attached,
    Detached,
    Closed,
}

#[derive(Clone)]
pub enum Kind {
    /// Zeros where it holds nothing.
    Plain,
    /// A pager's own.
    Paged {
        pager: usize,
        source: Source,
        trap: bool,
    },
    /// Shows a pager's VMO where it holds nothing: `visible` pages of the clone, `offset` further on there.
    Clone {
        root: usize,
        offset: u64,
        visible: Range<u64>,
    },
    /// Pages of `parent`, from `page` on.
    Slice {
        parent: usize,
        page: u64,
        count: u64,
    },
    /// All of `parent`.
    Reference { parent: usize },
}

#[derive(Clone)]
pub struct Vmo {
    pub kind: Kind,
    /// The VMO it was made from, however dead that is.
    pub parent: Option<usize>,
    pub slots: Vec<Slot>,
    /// In bytes; unused in references.
    pub stream: u64,
    pub resizable: bool,
    /// It is discardable.
    pub lock: Option<Lock>,
    /// The program has a handle to it.
    pub open: bool,
    pub mapped: bool,
    /// Its last packet was sent, or never will be.
    pub over: bool,
    /// The pager's statistics say that it was modified.
    pub modified: bool,
    faults: Sequence,
    requests: Vec<Request>,
    unsent: VecDeque<u64>,
    in_port: Option<InPort>,
}

/// Bytes that were read; too many to print.
#[derive(Clone, PartialEq, Eq)]
pub struct Data(pub Bytes);

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        write!(f, "{} bytes, sum {sum}", self.0.len())
    }
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    Status(Status),
    Read(Data),
    Packet(Packet),
    /// A touch that goes through.
    Retry,
    /// A touch that ends the process.
    Fatal(Status),
}

pub const OK: End = End::Status(Status::OK);

#[derive(Clone, Default)]
pub struct Model {
    pub vmos: Vec<Vmo>,
    /// Whether each pager is open.
    pub pagers: Vec<bool>,
    /// VMOs whose packet is in the port, in order.
    port: VecDeque<usize>,
    /// Operations that wait, by number.
    pub waits: Vec<Option<Op>>,
    /// What ended during the current step.
    pub ended: Vec<(usize, End)>,
    pub pins: Vec<Pin>,
    /// Counts VMOs that are made discardable, and unlocked.
    clock: u64,
    next_request: u64,
    /// Operations that ran during the current step because something woke them, and whether one of them did more than look.
    ran: u64,
    acted: bool,
    /// Something happened that the core does to an extent of its own.
    unsure: bool,
}

impl Model {
    /// Nothing but some pagers.
    pub fn new(pagers: usize) -> Self {
        Model {
            pagers: vec![true; pagers],
            ..Model::default()
        }
    }

    pub fn add(&mut self, kind: Kind, parent: Option<usize>, size: u64, resizable: bool) -> usize {
        let count = match kind {
            Kind::Slice { .. } | Kind::Reference { .. } => 0,
            _ => size.div_ceil(PAGE_SIZE),
        };
        let over = !matches!(kind, Kind::Paged { .. });
        self.vmos.push(Vmo {
            kind,
            parent,
            slots: vec![Slot::Absent; count as usize],
            stream: size,
            resizable,
            lock: None,
            open: true,
            mapped: false,
            over,
            modified: false,
            faults: Sequence::default(),
            requests: Vec::new(),
            unsent: VecDeque::new(),
            in_port: None,
        });
        self.vmos.len() - 1
    }

    /// Pages of a VMO.
    pub fn count(&self, vmo: usize) -> u64 {
        match self.vmos[vmo].kind {
            Kind::Slice { count, .. } => count,
            Kind::Reference { parent } => self.count(parent),
            _ => self.vmos[vmo].slots.len() as u64,
        }
    }

    /// Bytes of a VMO.
    pub fn size(&self, vmo: usize) -> u64 {
        self.count(vmo) * PAGE_SIZE
    }

    /// The VMO that holds the pages of `vmo`, and where `page` is there.
    pub fn owner(&self, vmo: usize, page: u64) -> (usize, u64) {
        match self.vmos[vmo].kind {
            Kind::Slice {
                parent,
                page: start,
                ..
            } => self.owner(parent, start + page),
            Kind::Reference { parent } => self.owner(parent, page),
            _ => (vmo, page),
        }
    }

    /// The VMO whose stream size is that of `vmo`.
    pub fn stream_owner(&self, vmo: usize) -> usize {
        match self.vmos[vmo].kind {
            Kind::Reference { parent } => self.stream_owner(parent),
            _ => vmo,
        }
    }

    /// The pager's VMO that `vmo` shows, if any.
    pub fn root(&self, vmo: usize) -> Option<usize> {
        let (owner, _) = self.owner(vmo, 0);
        match self.vmos[owner].kind {
            Kind::Paged { .. } => Some(owner),
            Kind::Clone { root, .. } => Some(root),
            _ => None,
        }
    }

    pub fn source(&self, vmo: usize) -> Option<Source> {
        match self.vmos[vmo].kind {
            Kind::Paged { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether a VMO is a clone, or has been cloned.
    pub fn is_cloned(&self, owner: usize) -> bool {
        let window = |vmo: &&Vmo| matches!(vmo.kind, Kind::Slice { .. } | Kind::Reference { .. });
        let mut clones = self.vmos.iter().filter(|vmo| !window(vmo));
        let is_clone = self.vmos[owner].parent.is_some();
        is_clone
            || clones.any(|vmo| {
                vmo.parent
                    .is_some_and(|from| self.owner(from, 0).0 == owner)
            })
    }

    /// Whether a VMO was made below a pager's and shows nothing of it: whether it is still one of that hierarchy depends, in the
    /// core, on what its parents held.
    pub fn is_cut_off(&self, vmo: usize) -> bool {
        let (owner, _) = self.owner(vmo, 0);
        let Some(parent) = self.vmos[owner].parent else {
            return false;
        };
        self.root(owner).is_none() && (self.root(parent).is_some() || self.is_cut_off(parent))
    }

    fn traps(&self, vmo: usize) -> bool {
        matches!(self.vmos[vmo].kind, Kind::Paged { trap: true, .. })
    }

    pub fn is_resizable(&self, vmo: usize) -> bool {
        self.vmos[vmo].resizable
    }

    /// Whether the object lives: who was made from it is a child of its parent then.
    pub fn is_alive(&self, vmo: usize) -> bool {
        let state = &self.vmos[vmo];
        let mut held = self.waits.iter().flatten().filter_map(Op::holds);
        state.open || state.mapped || held.any(|held| held == vmo)
    }

    /// Whether anybody can come by the pages that a VMO holds, or a device uses some of what they stand for.
    pub fn is_needed(&self, vmo: usize) -> bool {
        let used = |other| self.is_alive(other) || self.is_pinned(other, 0..u64::MAX);
        let mut used = (0..self.vmos.len()).filter(|other| used(*other));
        used.any(|other| self.owner(other, 0).0 == vmo || self.root(other) == Some(vmo))
    }

    /// Whether one of these pages of a VMO that holds its own is pinned.
    pub fn is_pinned(&self, owner: usize, pages: Range<u64>) -> bool {
        let mut pins = self.pins.iter().filter(|pin| pin.owner == owner);
        pins.any(|pin| pin.pages.start < pages.end && pages.start < pin.pages.end)
    }

    /// Children of a VMO: those made from it, and those made from a child of it that is no more.
    pub fn children(&self, vmo: usize) -> u64 {
        let made = (0..self.vmos.len()).filter(|child| self.vmos[*child].parent == Some(vmo));
        made.map(|child| match self.is_alive(child) {
            true => 1,
            false => self.children(child),
        })
        .sum()
    }

    /// The end of a step: VMOs that nothing refers to say goodbye, and who waits for a packet gets one.
    pub fn finish(&mut self) {
        for vmo in 0..self.vmos.len() {
            if !self.is_needed(vmo) {
                self.vmos[vmo].slots.fill(Slot::Absent);
                if !self.vmos[vmo].over {
                    self.complete(vmo);
                }
            }
        }
        let is_port_wait = |op: &Option<Op>| matches!(op, Some(Op::PortWait));
        if let Some(wait) = self.waits.iter().position(is_port_wait)
            && let Some(end) = self.go(wait, Op::PortWait, None)
        {
            self.waits[wait] = None;
            self.ended.push((wait, end));
        }
    }

    /// Whether the order in which operations ran during the last step, which nobody promises, could show.
    pub fn is_open(&self) -> bool {
        self.unsure || self.ran > 1 && self.acted
    }

    /// A new step begins.
    pub fn begin(&mut self) {
        (self.ran, self.acted, self.unsure) = (0, false, false);
    }
}
