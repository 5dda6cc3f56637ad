//! What the built-in programs share: reading numbers from arguments, and reproducible page contents and orders.
#![no_std]

#[cfg(test)]
extern crate std;

/// A number from an argument: decimal, or hexadecimal after `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// xorshift64*: a small generator whose sequence depends on its seed alone.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; every seed, 0 included, gives a sequence.
    pub fn new(seed: u64) -> Self {
        Random(mix(seed) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// A number that depends on every bit of `value` (the finalizer of splitmix64).
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Word `word` of page `page` in the contents that `seed` stands for. Distinct places hold distinct values.
pub fn page_word(seed: u64, page: u64, word: u64) -> u64 {
    mix(seed ^ mix(page.wrapping_mul(512).wrapping_add(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number("4096"), Some(4096));
        assert_eq!(number("0x1f"), Some(31));
        assert_eq!(number("-1"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn random_stays_below_its_bound_and_reaches_all() {
        let mut random = Random::new(0);
        let seen: HashSet<_> = (0..1000).map(|_| random.below(10)).collect();
        assert_eq!(seen.len(), 10);
        assert!(seen.iter().all(|&n| n < 10));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn page_contents_differ_everywhere() {
        let words: HashSet<_> = (0..16)
            .flat_map(|page| (0..512).map(move |word| page_word(7, page, word)))
            .collect();
        assert_eq!(words.len(), 16 * 512);
        assert_ne!(page_word(7, 0, 0), page_word(8, 0, 0));
    }
}
