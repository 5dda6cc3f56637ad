//! What test pages hold, and how it is checked.

use programs::page_word;
use zx::{Mapping, PAGE_SIZE, Status, Vmo};

use crate::{Outcome, fail};

/// Bytes in a page.
pub const PAGE: usize = PAGE_SIZE as usize;

/// The contents of page `page` in the pattern that `seed` stands for.
pub fn contents(seed: u64, page: u64) -> [u8; PAGE] {
    let mut bytes = [0; PAGE];
    for (word, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&page_word(seed, page, word).to_le_bytes());
    }
    bytes
}

/// The byte at `offset` of the `data` VMO that the harness gives to tests.
pub fn data_byte(offset: u64) -> u8 {
    (offset.wrapping_mul(7).wrapping_add(offset / PAGE_SIZE)) as u8
}

/// An anonymous VMO of `count` pages that hold the pattern's pages from `first` on.
pub fn filled_vmo(seed: u64, first: u64, count: u64) -> Result<Vmo, Status> {
    let vmo = Vmo::create(count * PAGE_SIZE)?;
    for page in 0..count {
        vmo.write(&contents(seed, first + page), page * PAGE_SIZE)?;
    }
    Ok(vmo)
}

/// Checks that `bytes` are page `page` of the pattern (or zeros, without a seed).
pub fn check_page(bytes: &[u8; PAGE], seed: Option<u64>, page: u64) -> Outcome {
    let expected = seed.map_or([0; PAGE], |seed| contents(seed, page));
    match bytes
        .iter()
        .zip(expected)
        .position(|(found, expected)| *found != expected)
    {
        None => Ok(()),
        Some(at) => fail!("page {page} is wrong from byte {at} on"),
    }
}

/// Checks pages `first..first + count` of `vmo`, read by `zx_vmo_read` one at a time.
pub fn check_vmo(vmo: &Vmo, seed: Option<u64>, first: u64, count: u64) -> Outcome {
    let mut bytes = [0; PAGE];
    for page in first..first + count {
        vmo.read(&mut bytes, page * PAGE_SIZE)?;
        check_page(&bytes, seed, page)?;
    }
    Ok(())
}

/// Checks pages of a mapping that starts at page 0 of the pattern.
pub fn check_mapping(mapping: &Mapping, seed: Option<u64>, first: u64, count: u64) -> Outcome {
    let mut bytes = [0; PAGE];
    for page in first..first + count {
        mapping.copy_out(page as usize * PAGE, &mut bytes)?;
        check_page(&bytes, seed, page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_named() {
        let mut bytes = contents(1, 5);
        assert!(check_page(&bytes, Some(1), 5).is_ok());
        assert!(check_page(&bytes, Some(2), 5).is_err());
        assert!(check_page(&bytes, None, 5).is_err());
        bytes[4095] ^= 1;
        let text = std::format!("{}", check_page(&bytes, Some(1), 5).unwrap_err());
        assert!(
            text.ends_with("page 5 is wrong from byte 4095 on"),
            "{text}"
        );
    }

    #[test]
    fn the_data_pattern_differs_from_page_to_page() {
        assert_eq!(data_byte(1), 7);
        assert_ne!(data_byte(0), data_byte(4096));
    }
}
