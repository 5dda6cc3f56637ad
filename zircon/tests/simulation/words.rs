//! What the words of memory say, and whether they are right.

use std::collections::BTreeMap;

use protocol::PAGE_SIZE;

use super::World;

/// Pages in a row that only one worker writes to.
pub const BLOCK: u64 = 4;

/// What was written so far: by page, the number of the last writing that began, and of the last that ended.
#[derive(Default)]
pub struct Words {
    begun: BTreeMap<(usize, u64), u64>,
    ended: BTreeMap<(usize, u64), u64>,
}

/// What a page's words must at least be.
pub type Floors = Vec<u64>;

fn word(vmo: usize, page: u64, version: u64) -> u64 {
    (vmo as u64 + 1) << 48 | page << 32 | version
}

/// A page full of one word.
pub fn page(vmo: usize, page: u64, version: u64) -> Vec<u8> {
    word(vmo, page, version)
        .to_le_bytes()
        .repeat(PAGE_SIZE as usize / 8)
}

impl Words {
    /// A writing of a page begins: its number.
    pub fn begin(&mut self, vmo: usize, page: u64) -> u64 {
        let version = self.begun.entry((vmo, page)).or_default();
        *version += 1;
        *version
    }

    pub fn end(&mut self, vmo: usize, page: u64, version: u64) {
        self.ended.insert((vmo, page), version);
    }
}

impl World {
    /// What reads of these pages must see at least, if they begin now.
    pub fn floors(&self, vmo: usize, pages: std::ops::Range<u64>) -> Floors {
        let floor = |page| {
            let at = self.same(vmo, page);
            match self.is_wild(vmo) {
                true => 0,
                false => self.words.ended.get(&at).copied().unwrap_or_default(),
            }
        };
        pages.map(floor).collect()
    }

    /// Panics unless these bytes of a page are what a read of it may see.
    pub fn check(&self, vmo: usize, page: u64, bytes: &[u8], floor: u64) {
        for bytes in bytes.chunks(8) {
            let word = u64::from_le_bytes(bytes.try_into().unwrap());
            let right = self.explain(vmo, page, word);
            assert!(
                right.is_some_and(|version| version >= floor),
                "VMO {vmo} page {page}: {word:#x}, at least writing {floor}"
            );
        }
    }

    /// Which writing a word of a page is of, if it may be there: 0 for what was there at first.
    fn explain(&self, vmo: usize, page: u64, found: u64) -> Option<u64> {
        let (vmo, page) = self.same(vmo, page);
        let version = found & 0xFFFF_FFFF;
        let begun = self
            .words
            .begun
            .get(&(vmo, page))
            .copied()
            .unwrap_or_default();
        if found == word(vmo, page, version) && version <= begun {
            return Some(version);
        }
        let of = &self.vmos[vmo];
        if found == 0 && (self.is_wild(vmo) || of.service.is_none()) {
            return Some(0);
        }
        let origin = of.origin?;
        // What the copied page was counts as what was there at first.
        self.explain(origin.parent, page + origin.page, found)
            .map(|_| 0)
    }
}
