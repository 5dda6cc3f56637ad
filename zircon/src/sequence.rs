//! Recognises sequential access, to decide how much to supply ahead.

/// Most pages supplied for one fault.
pub const MAX_RUN: u64 = 64;

/// How one VMO's faults have come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The page after the last run.
    next: u64,
    /// Length of the last run.
    length: u64,
}

impl Sequence {
    /// How many pages from `page` on to supply, `needed` at least: the run doubles, up to [`MAX_RUN`], while each
    /// fault comes where the last run ended, and falls back to what is needed otherwise.
    pub fn plan(&mut self, page: u64, needed: u64) -> u64 {
        let sequential = self.length > 0 && page == self.next;
        let length = if sequential {
            (self.length * 2).min(MAX_RUN)
        } else {
            1
        };
        self.length = length.max(needed);
        self.next = page.saturating_add(self.length);
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_while_sequential_and_falls_back() {
        let mut sequence = Sequence::default();
        let mut page = 100;
        let mut lengths = Vec::new();
        for _ in 0..9 {
            let length = sequence.plan(page, 1);
            lengths.push(length);
            page += length;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(sequence.plan(7, 1), 1, "a jump starts anew");
        assert_eq!(
            sequence.plan(3, 200),
            200,
            "what is needed is always covered"
        );
    }
}
