//! One region of 2 MiB: what is mapped there, and how its page-directory entry says so.

use protocol::PAGE_SIZE;

use super::ENTRIES;

/// Bytes of a region: what one page-directory entry covers.
pub const REGION: u64 = 2 << 20;

/// The entry is valid.
pub const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

/// Where an entry holds the address of a page.
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// Flags of an entry that names a table: the leaves decide on permissions. (Intel SDM volume 3, section 4.5; the accessed flag is
/// set beforehand, so that no processor needs to write to the table.)
pub const TABLE_FLAGS: u64 = PRESENT | WRITABLE | USER | ACCESSED;

/// A run of user mapping: contiguous in virtual and in guest-physical memory, uniform in permissions, always readable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// First address, a multiple of the page size.
    pub va: u64,
    /// Bytes, a multiple of the page size.
    pub len: u64,
    /// Guest-physical address of the first byte, a multiple of the page size.
    pub gpa: u64,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// Consecutive pages of a region that one leaf maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// First page in the region.
    first: u16,
    /// Pages.
    count: u16,
    /// Entry of the first page; that of the next page is a page size larger.
    entry: u64,
}

/// How a region is to be mapped.
#[derive(Debug)]
pub enum Plan {
    /// By one large page: the page-directory entry.
    Large(u64),
    /// By a page table of these runs, in ascending order; never empty when the address asked for is mapped.
    Table(Vec<Run>),
}

/// A region that is linked.
#[derive(Debug)]
pub enum Region {
    /// One large page: the page-directory entry.
    Large(u64),
    /// A page table at this guest-physical address, with these runs.
    Table(u64, Box<[Run]>),
}

impl Leaf {
    /// Whether `va` is within the leaf.
    pub fn contains(&self, va: u64) -> bool {
        va.checked_sub(self.va)
            .is_some_and(|offset| offset < self.len)
    }

    /// The region at `base` as a large page, if the leaf covers all of it with the alignment that takes.
    pub(super) fn large(&self, base: u64) -> Option<Region> {
        self.large_entry(base).map(Region::Large)
    }

    fn large_entry(&self, base: u64) -> Option<u64> {
        let gpa = self.gpa_of(base)?;
        let whole = self.contains(base.checked_add(REGION - 1)?);
        (whole && gpa % REGION == 0).then(|| gpa | self.flags() | LARGE)
    }

    fn gpa_of(&self, va: u64) -> Option<u64> {
        Some(self.gpa.checked_add(va.checked_sub(self.va)?)? & ADDRESS)
    }

    /// The dirty flag is set beforehand like the accessed flag; on a page that is not writable it would mean a shadow stack.
    fn flags(&self) -> u64 {
        let write = if self.write { WRITABLE | DIRTY } else { 0 };
        let execute = if self.execute { 0 } else { NO_EXECUTE };
        PRESENT | USER | ACCESSED | write | execute
    }
}

impl Plan {
    /// The plan for the region of `va`, from the leaves in it.
    pub fn of(va: u64, mut leaf_at: impl FnMut(u64) -> Option<Leaf>) -> Self {
        let base = va & !(REGION - 1);
        let mut runs: Vec<Run> = Vec::new();
        let mut page = 0;
        while page < ENTRIES as u64 {
            let at = base + page * PAGE_SIZE;
            let leaf = leaf_at(at).filter(|leaf| leaf.contains(at));
            let (Some(leaf), Some(gpa)) = (leaf, leaf.and_then(|leaf| leaf.gpa_of(at))) else {
                page += 1;
                continue;
            };
            if let Some(entry) = leaf.large_entry(base) {
                return Plan::Large(entry);
            }
            let left = ENTRIES as u64 - page;
            let count = ((leaf.len - (at - leaf.va)) / PAGE_SIZE).clamp(1, left);
            runs.push(Run {
                first: page as u16,
                count: count as u16,
                entry: gpa | leaf.flags(),
            });
            page += count;
        }
        Plan::Table(runs)
    }

    /// The table's content.
    pub fn entries(runs: &[Run]) -> [u64; ENTRIES] {
        let mut entries = [0; ENTRIES];
        for run in runs {
            let slots = entries
                .iter_mut()
                .skip(run.first.into())
                .take(run.count.into());
            for (n, slot) in slots.enumerate() {
                *slot = run.entry + n as u64 * PAGE_SIZE;
            }
        }
        entries
    }
}

impl Region {
    /// The page-directory entry.
    pub fn entry(&self) -> u64 {
        match self {
            Region::Large(entry) => *entry,
            Region::Table(page, _) => page | TABLE_FLAGS,
        }
    }

    /// The page of its table, if it has one.
    pub fn table(&self) -> Option<u64> {
        match self {
            Region::Large(_) => None,
            Region::Table(page, _) => Some(*page),
        }
    }

    /// Whether the region is linked just as `plan` would have it.
    pub fn is(&self, plan: &Plan) -> bool {
        match (self, plan) {
            (Region::Large(linked), Plan::Large(wanted)) => linked == wanted,
            (Region::Table(_, linked), Plan::Table(wanted)) => **linked == **wanted,
            _ => false,
        }
    }
}
