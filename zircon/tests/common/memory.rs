//! Memory as a map from pages to bytes, strict about what the core promises.

use std::collections::BTreeMap;
use std::ops::Range;

use protocol::PAGE_SIZE;
use zircon::{MemoryOp, MemoryResult, Pages, VmoId};

type Page = Box<[u8; PAGE_SIZE as usize]>;

#[derive(Default)]
pub struct PageMemory {
    pages: BTreeMap<(VmoId, u64), Page>,
    /// The pages each VMO was announced with.
    sizes: BTreeMap<VmoId, u64>,
}

/// What an operation works on: (VMO, pages, whether it changes which pages are there).
pub fn touched(op: &MemoryOp) -> Vec<(VmoId, Range<u64>, bool)> {
    let span = |offset: u64, length: u64| offset / PAGE_SIZE..(offset + length).div_ceil(PAGE_SIZE);
    match op {
        MemoryOp::Zero(pages) | MemoryOp::Decommit(pages) => {
            vec![(pages.vmo, pages.range(), true)]
        }
        MemoryOp::Move { from, to, to_first } => vec![
            (from.vmo, from.range(), true),
            (*to, *to_first..*to_first + from.count, true),
        ],
        MemoryOp::Read {
            vmo,
            offset,
            length,
        } => vec![(*vmo, span(*offset, *length as u64), false)],
        MemoryOp::Write { vmo, offset, bytes } => {
            vec![(*vmo, span(*offset, bytes.len() as u64), false)]
        }
        MemoryOp::Clear {
            vmo,
            offset,
            length,
        } => vec![(*vmo, span(*offset, *length), false)],
        MemoryOp::Copy {
            from,
            from_offset,
            to,
            to_offset,
            length,
        } => vec![
            (*from, span(*from_offset, *length), false),
            (*to, span(*to_offset, *length), false),
        ],
    }
}

impl PageMemory {
    /// A VMO is new or has grown.
    pub fn grow(&mut self, vmo: VmoId, pages: u64) {
        let size = self.sizes.entry(vmo).or_default();
        *size = pages.max(*size);
    }

    /// Performs an operation; panics if the core broke its side of the contract.
    pub fn perform(&mut self, op: &MemoryOp) -> MemoryResult {
        match op {
            MemoryOp::Zero(pages) => {
                for page in bounded(pages) {
                    self.install(op, pages.vmo, page, [0; PAGE_SIZE as usize].into());
                }
            }
            MemoryOp::Move { from, to, to_first } => {
                for (ahead, page) in bounded(from).enumerate() {
                    let content = self.pages.remove(&(from.vmo, page));
                    let content = content.unwrap_or_else(|| panic!("{op:?}: no page {page}"));
                    self.install(op, *to, to_first + ahead as u64, content);
                }
            }
            MemoryOp::Decommit(pages) => {
                assert!(pages.count > 0, "{op:?}");
                let (first, end) = ((pages.vmo, pages.first), (pages.vmo, pages.range().end));
                let there: Vec<_> = self.pages.range(first..end).map(|(key, _)| *key).collect();
                for key in there {
                    self.pages.remove(&key);
                }
            }
            MemoryOp::Read {
                vmo,
                offset,
                length,
            } => {
                assert!(*length > 0, "{op:?}");
                return MemoryResult::Bytes(self.read(op, *vmo, *offset, *length as u64));
            }
            MemoryOp::Write { vmo, offset, bytes } => self.write(op, *vmo, *offset, bytes),
            MemoryOp::Clear {
                vmo,
                offset,
                length,
            } => {
                assert!(*length <= 1 << 30, "{op:?} is too much for one operation");
                self.write(op, *vmo, *offset, &vec![0; *length as usize]);
            }
            MemoryOp::Copy {
                from,
                from_offset,
                to,
                to_offset,
                length,
            } => {
                assert!(
                    from != to
                        || from_offset == to_offset
                        || from_offset + length <= *to_offset
                        || to_offset + length <= *from_offset,
                    "{op:?} overlaps"
                );
                let bytes = self.read(op, *from, *from_offset, *length);
                self.write(op, *to, *to_offset, &bytes);
            }
        }
        MemoryResult::Done
    }

    /// Content from outside, for pages that the core said are absent.
    pub fn supply(&mut self, pages: Pages, content: impl Fn(u64) -> u8) {
        let op = MemoryOp::Zero(pages);
        for page in bounded(&pages) {
            let bytes = Box::new([content(page); PAGE_SIZE as usize]);
            self.install(&op, pages.vmo, page, bytes);
        }
    }

    fn install(&mut self, op: &MemoryOp, vmo: VmoId, page: u64, content: Page) {
        let size = self.sizes.get(&vmo).copied().unwrap_or_default();
        assert!(page < size, "{op:?}: page {page} of {size} announced");
        let old = self.pages.insert((vmo, page), content);
        assert!(old.is_none(), "{op:?}: page {page} is there already");
    }

    fn read(&self, op: &MemoryOp, vmo: VmoId, offset: u64, length: u64) -> Vec<u8> {
        assert!(length > 0, "{op:?}");
        let mut bytes = Vec::with_capacity(length as usize);
        for (page, part) in parts(offset, length) {
            let content = self.pages.get(&(vmo, page));
            let content = content.unwrap_or_else(|| panic!("{op:?}: page {page} is absent"));
            bytes.extend_from_slice(&content[part]);
        }
        bytes
    }

    fn write(&mut self, op: &MemoryOp, vmo: VmoId, offset: u64, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{op:?}");
        let mut rest = bytes;
        for (page, part) in parts(offset, bytes.len() as u64) {
            let content = self.pages.get_mut(&(vmo, page));
            let content = content.unwrap_or_else(|| panic!("{op:?}: page {page} is absent"));
            let (now, later) = rest.split_at(part.len());
            content[part].copy_from_slice(now);
            rest = later;
        }
    }

    pub fn page(&self, vmo: VmoId, page: u64) -> Option<&[u8; PAGE_SIZE as usize]> {
        self.pages.get(&(vmo, page)).map(|page| &**page)
    }

    pub fn page_mut(&mut self, vmo: VmoId, page: u64) -> Option<&mut [u8; PAGE_SIZE as usize]> {
        self.pages.get_mut(&(vmo, page)).map(|page| &mut **page)
    }

    pub fn resident(&self, vmo: VmoId) -> u64 {
        self.pages.range((vmo, 0)..=(vmo, u64::MAX)).count() as u64
    }

    pub fn total(&self) -> usize {
        self.pages.len()
    }

    pub fn first_beyond(&self, vmo: VmoId, page: u64) -> Option<u64> {
        let mut beyond = self.pages.range((vmo, page)..=(vmo, u64::MAX));
        beyond.next().map(|((_, page), _)| *page)
    }

    pub fn free(&mut self, vmo: VmoId) {
        self.pages.retain(|(owner, _), _| *owner != vmo);
    }
}

/// The pages of an operation that has to go through them one by one.
fn bounded(pages: &Pages) -> Range<u64> {
    assert!(
        (1..=1 << 18).contains(&pages.count),
        "{pages:?}: empty, or too much for one operation"
    );
    pages.range()
}

/// The pieces of a byte range, page by page.
fn parts(offset: u64, length: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let end = offset + length;
    (offset / PAGE_SIZE..end.div_ceil(PAGE_SIZE)).map(move |page| {
        let start = offset.max(page * PAGE_SIZE) - page * PAGE_SIZE;
        let stop = end.min((page + 1) * PAGE_SIZE) - page * PAGE_SIZE;
        (page, start as usize..stop as usize)
    })
}
