//! An address space as a list of pages: what is mapped at each, and which VMARs there are. Written down from the rules, with no
//! thought of speed.

use protocol::{Rights, Status};

pub const READ: u32 = 1;
pub const WRITE: u32 = 2;
pub const EXECUTE: u32 = 4;
pub const COMPACT: u32 = 8;
pub const SPECIFIC: u32 = 0x10;
pub const OVERWRITE: u32 = 0x20;
pub const CAN_SPECIFIC: u32 = 0x40;
pub const CAN_READ: u32 = 0x80;
pub const CAN_WRITE: u32 = 0x100;
pub const CAN_EXECUTE: u32 = 0x200;
pub const UPPER_LIMIT: u32 = 0x2000;

/// Pages of the address space: all of the outermost VMAR.
pub const PAGES: usize = 40;

/// What is mapped at a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    pub vmo: usize,
    pub page: usize,
    pub perms: u32,
    max: u32,
    /// The region that it was made in.
    pub vmar: usize,
}

/// A VMAR; the first is the outermost one.
#[derive(Clone, Debug)]
pub struct Region {
    pub parent: Option<usize>,
    pub base: usize,
    pub end: usize,
    can: u32,
    pub dead: bool,
}

pub struct Space {
    pub pages: [Option<Mapped>; PAGES],
    pub regions: Vec<Region>,
}

/// A number of pages from a page on, as a call's arguments have it: it may be anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub first: usize,
    pub count: usize,
}

/// What a new mapping or VMAR asks for: the offset is one in pages.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub options: u32,
    pub offset: usize,
    pub count: usize,
}

/// The rights that option bits need, PERM_* or CAN_MAP_*.
fn needs(options: u32, bits: [u32; 3]) -> Rights {
    let mut rights = Rights::empty();
    for (bit, right) in bits
        .into_iter()
        .zip([Rights::READ, Rights::WRITE, Rights::EXECUTE])
    {
        rights.set(right, options & bit != 0);
    }
    rights
}

fn perm_bits(rights: Rights) -> u32 {
    let bit = |right, bit| if rights.contains(right) { bit } else { 0 };
    bit(Rights::READ, READ) | bit(Rights::WRITE, WRITE) | bit(Rights::EXECUTE, EXECUTE)
}

impl Space {
    pub fn new(can: u32) -> Space {
        let all = Region {
            parent: None,
            base: 0,
            end: PAGES,
            can,
            dead: false,
        };
        Space {
            pages: [None; PAGES],
            regions: vec![all],
        }
    }

    /// What a handle to a VMAR may do.
    pub fn rights(&self, region: usize, weak: bool) -> Rights {
        let can = self.regions[region].can;
        let rights = needs(can, [CAN_READ, CAN_WRITE, CAN_EXECUTE]);
        let mut rights = rights | Rights::DEFAULT_VMAR;
        rights.set(Rights::OP_CHILDREN, !weak);
        rights
    }

    /// The child of `region` that a page lies in.
    fn child_at(&self, region: usize, page: usize) -> Option<usize> {
        (0..self.regions.len()).find(|&child| {
            let other = &self.regions[child];
            other.parent == Some(region) && !other.dead && (other.base..other.end).contains(&page)
        })
    }

    fn is_free(&self, region: usize, first: usize, count: usize) -> bool {
        (first..first + count)
            .all(|page| self.pages[page].is_none() && self.child_at(region, page).is_none())
    }

    /// Where it is placed.
    fn place(&self, region: usize, wish: Wish) -> Result<usize, Status> {
        let Region {
            base,
            end,
            can,
            dead,
            ..
        } = self.regions[region];
        let (options, offset, count) = (wish.options, wish.offset, wish.count);
        let specific = options & (SPECIFIC | OVERWRITE) != 0;
        let upper = options & UPPER_LIMIT != 0;
        let align = match options >> 24 {
            13 => 2,
            14 => 4,
            _ => 1,
        };
        if dead {
            return Err(Status::BAD_STATE);
        }
        if count == 0 || specific && upper || !specific && !upper && offset > 0 {
            return Err(Status::INVALID_ARGS);
        }
        if (specific || upper) && can & CAN_SPECIFIC == 0 {
            return Err(Status::ACCESS_DENIED);
        }
        let size = end - base;
        let within = match upper {
            true => offset <= size && count <= offset,
            false => offset < size && count <= size - offset,
        };
        if !within {
            return Err(Status::INVALID_ARGS);
        }
        if specific {
            return match base + offset {
                at if at % align != 0 => Err(Status::INVALID_ARGS),
                at if options & OVERWRITE == 0 && !self.is_free(region, at, count) => {
                    Err(Status::ALREADY_EXISTS)
                }
                at => Ok(at),
            };
        }
        let limit = if upper { base + offset } else { end };
        (base..limit)
            .find(|&at| at % align == 0 && at + count <= limit && self.is_free(region, at, count))
            .ok_or(Status::NO_RESOURCES)
    }

    pub fn allocate(&mut self, region: usize, weak: bool, wish: Wish) -> Result<usize, Status> {
        let needed = needs(wish.options, [CAN_READ, CAN_WRITE, CAN_EXECUTE]);
        if !self.rights(region, weak).contains(needed) {
            return Err(Status::ACCESS_DENIED);
        }
        if wish.options & (READ | WRITE | EXECUTE | OVERWRITE) != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let base = self.place(region, wish)?;
        self.regions.push(Region {
            parent: Some(region),
            base,
            end: base + wish.count,
            can: wish.options & (CAN_READ | CAN_WRITE | CAN_EXECUTE | CAN_SPECIFIC),
            dead: false,
        });
        Ok(base)
    }

    pub fn map(
        &mut self,
        region: usize,
        weak: bool,
        wish: Wish,
        (vmo, rights, page): (usize, Rights, usize),
    ) -> Result<usize, Status> {
        let perms = wish.options & (READ | WRITE | EXECUTE);
        if perms != 0 && perms & READ == 0 {
            return Err(Status::INVALID_ARGS);
        }
        if wish.options & (CAN_READ | CAN_WRITE | CAN_EXECUTE | CAN_SPECIFIC) != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let max = perm_bits(self.rights(region, weak) & rights);
        if perms & !max != 0 {
            return Err(Status::ACCESS_DENIED);
        }
        if wish.options & COMPACT != 0 {
            return Err(Status::INVALID_ARGS);
        }
        let at = self.place(region, wish)?;
        if (at..at + wish.count).any(|page| self.child_at(region, page).is_some()) {
            return Err(Status::INVALID_ARGS);
        }
        for n in 0..wish.count {
            self.pages[at + n] = Some(Mapped {
                vmo,
                page: page + n,
                perms,
                max,
                vmar: region,
            });
        }
        Ok(at)
    }

    /// Whether a span is some pages of the region, which must be alive.
    fn check_span(&self, region: usize, span: Span) -> Result<(), Status> {
        let Region {
            base, end, dead, ..
        } = self.regions[region];
        if span.count == 0 {
            return Err(Status::INVALID_ARGS);
        }
        if dead {
            return Err(Status::BAD_STATE);
        }
        match base <= span.first && span.first + span.count <= end {
            true => Ok(()),
            false => Err(Status::INVALID_ARGS),
        }
    }

    pub fn unmap(&mut self, region: usize, weak: bool, span: Span) -> Result<(), Status> {
        self.check_span(region, span)?;
        let pages = span.first..span.first + span.count;
        let mut children: Vec<usize> = pages
            .clone()
            .filter_map(|page| self.child_at(region, page))
            .collect();
        children.dedup();
        let whole = |child: &usize| {
            let child = &self.regions[*child];
            pages.start <= child.base && child.end <= pages.end
        };
        if !children.is_empty() && weak || !children.iter().all(whole) {
            return Err(Status::INVALID_ARGS);
        }
        if children.is_empty() && pages.clone().all(|page| self.pages[page].is_none()) {
            return Err(Status::NOT_FOUND);
        }
        for child in children {
            self.kill(child);
        }
        for page in pages {
            self.pages[page] = None;
        }
        Ok(())
    }

    pub fn protect(
        &mut self,
        region: usize,
        weak: bool,
        span: Span,
        perms: u32,
    ) -> Result<(), Status> {
        let needed = needs(perms, [READ, WRITE, EXECUTE]);
        if !self.rights(region, weak).contains(needed) {
            return Err(Status::ACCESS_DENIED);
        }
        if perms != 0 && perms & READ == 0 {
            return Err(Status::INVALID_ARGS);
        }
        self.check_span(region, span)?;
        let pages = span.first..span.first + span.count;
        for page in pages.clone() {
            let mapped = self.pages[page].ok_or(Status::NOT_FOUND)?;
            if perms & !mapped.max != 0 {
                return Err(Status::ACCESS_DENIED);
            }
            if mapped.vmar != region && weak {
                return Err(Status::INVALID_ARGS);
            }
            if mapped.vmar != region && perms & !mapped.perms != 0 {
                return Err(Status::ACCESS_DENIED);
            }
        }
        for page in pages {
            if let Some(mapped) = &mut self.pages[page] {
                mapped.perms = perms;
            }
        }
        Ok(())
    }

    pub fn destroy(&mut self, region: usize, weak: bool) -> Result<(), Status> {
        if weak {
            return Err(Status::ACCESS_DENIED);
        }
        if self.regions[region].dead {
            return Err(Status::BAD_STATE);
        }
        self.kill(region);
        let Region { base, end, .. } = self.regions[region];
        for page in base..end {
            self.pages[page] = None;
        }
        Ok(())
    }

    /// A region and all in it.
    fn kill(&mut self, region: usize) {
        self.regions[region].dead = true;
        for child in 0..self.regions.len() {
            if self.regions[child].parent == Some(region) && !self.regions[child].dead {
                self.kill(child);
            }
        }
    }

    /// How many regions a region lies in.
    pub fn depth(&self, region: usize) -> u64 {
        self.regions[region]
            .parent
            .map_or(0, |parent| 1 + self.depth(parent))
    }
}
