//! The test guests: ELF files inside this crate, put there by `build.rs`, one for each binary of `tests/guests`.

static GUESTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The ELF image of the test guest `name`, beginning on a page boundary.
pub fn test_program(name: &str) -> Option<&'static [u8]> {
    GUESTS
        .iter()
        .find(|(guest, _)| *guest == name)
        .map(|(_, image)| *image)
}
