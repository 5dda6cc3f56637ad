//! "Basics": supplies that do not match the requests one to one.

use test_guests::{Outcome, Reader, Service, Via, equal, fail, reader};
use zx::Vmo;

const KEY: u64 = 0x50_0DD5;

/// 8 separate requests answered by one supply.
fn bulk_single_supply(via: Via) -> Outcome {
    const COUNT: usize = 8;
    let service = Service::new()?;
    let vmo = service.vmo(KEY, COUNT as u64)?;
    let mut readers: [Option<Reader>; COUNT] = [const { None }; COUNT];
    for (page, slot) in (0..).zip(&mut readers) {
        *slot = Some(reader(&vmo, via, Some(KEY), page, 1)?);
        service.expect_read(KEY, page, 1)?;
    }
    service.supply(&vmo, KEY, 0, COUNT as u64)?;
    for reader in readers.into_iter().flatten() {
        reader.expect_done()?;
    }
    service.expect_silence()
}

/// Lengths that are odd in every sense.
const LENGTHS: [u64; 8] = [2, 3, 5, 7, 37, 5, 13, 23];

/// Reads the odd lengths one after another, each answered by one supply out of an auxiliary VMO from `aux_first` on.
fn bulk_odd(via: Via, aux_first: u64) -> Outcome {
    let service = Service::new()?;
    let total = LENGTHS.iter().sum();
    let vmo = service.vmo(KEY, total)?;
    let mut first = 0;
    for length in LENGTHS {
        let reader = reader(&vmo, via, Some(KEY), first, length)?;
        let asked = if via == Via::Read { length } else { 1 };
        service.expect_read(KEY, first, asked)?;
        let aux = Vmo::create((aux_first + length) * zx::PAGE_SIZE)?;
        for page in 0..length {
            let contents = test_guests::pages::contents(KEY, first + page);
            aux.write(&contents, (aux_first + page) * zx::PAGE_SIZE)?;
        }
        service.supply_from(&vmo, first, length, &aux, aux_first)?;
        reader.expect_done()?;
        first += length;
    }
    service.expect_silence()
}

fn bulk_odd_length_supply(via: Via) -> Outcome {
    bulk_odd(via, 0)
}

/// The same, from an offset in the auxiliary VMO.
fn bulk_odd_offset_supply(via: Via) -> Outcome {
    bulk_odd(via, 3)
}

/// A second supply over a resident page does not replace it.
fn overlap_supply(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply(&vmo, KEY, 0, 1)?;
    // The other contents go to page 1 only.
    service.supply(&vmo, KEY + 1, 0, 2)?;
    reader(&vmo, via, Some(KEY), 0, 1)?.expect_done()?;
    reader(&vmo, via, Some(KEY + 1), 1, 1)?.expect_done()?;
    equal!(vmo.info()?.committed_bytes, 2 * zx::PAGE_SIZE);
    if reader(&vmo, via, Some(KEY + 1), 0, 1)?
        .expect_done()
        .is_ok()
    {
        fail!("the resident page was replaced");
    }
    service.expect_silence()
}

crate::both! {
    "BulkSingleSupplyTest" bulk_single_supply
    "BulkOddLengthSupplyTest" bulk_odd_length_supply
    "BulkOddOffsetSupplyTest" bulk_odd_offset_supply
    "OverlapSupplyTest" overlap_supply
}
