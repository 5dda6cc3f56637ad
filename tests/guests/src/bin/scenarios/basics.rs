//! "Basics": readers wait for pages, packets come, pages are supplied.

use test_guests::pages::check_vmo;
use test_guests::{Outcome, Reader, Service, Via, check, equal, fail, reader};
use zx::{PAGE_SIZE, Vmo, VmoInfoFlags};

const KEY: u64 = 0xBA51C5;

/// One reader of one absent page.
fn single_page(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let reader = reader(&vmo, via, Some(KEY), 0, 1)?;
    service.expect_read(KEY, 0, 1)?;
    service.supply(&vmo, KEY, 0, 1)?;
    reader.expect_done()
}

/// Answered with an empty auxiliary VMO, the reader sees zeros.
fn uncommitted_single_page(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let reader = reader(&vmo, via, None, 0, 1)?;
    service.expect_read(KEY, 0, 1)?;
    service.supply_from(&vmo, 0, 1, &Vmo::create(PAGE_SIZE)?, 0)?;
    reader.expect_done()
}

/// A page that was supplied before anyone touched it is never asked for.
fn presupply(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    service.supply(&vmo, KEY, 0, 1)?;
    reader(&vmo, via, Some(KEY), 0, 1)?.expect_done()?;
    service.expect_silence()
}

/// A page that is supplied while its packet is still in the port takes the packet with it; the next packet seen is the
/// next request's.
fn early_supply(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    let first = reader(&vmo, via, Some(KEY), 0, 1)?;
    first.expect_blocked()?;
    service.supply(&vmo, KEY, 0, 1)?;
    first.expect_done()?;
    let second = reader(&vmo, via, Some(KEY), 1, 1)?;
    service.expect_read(KEY, 1, 1)?;
    service.supply(&vmo, KEY, 1, 1)?;
    second.expect_done()?;
    service.expect_silence()
}

/// 32 pages in a row: one READ each through a mapping, one READ for all through vmo_read.
fn sequential_multipage(via: Via) -> Outcome {
    const COUNT: u64 = 32;
    let service = Service::new()?;
    let vmo = service.vmo(KEY, COUNT)?;
    let reader = reader(&vmo, via, Some(KEY), 0, COUNT)?;
    match via {
        Via::Read => {
            service.expect_read(KEY, 0, COUNT)?;
            service.supply(&vmo, KEY, 0, COUNT)?;
        }
        Via::Mapping => {
            for page in 0..COUNT {
                service.expect_read(KEY, page, 1)?;
                service.supply(&vmo, KEY, page, 1)?;
            }
        }
    }
    reader.expect_done()?;
    service.expect_silence()
}

/// Two threads, two pages: two packets, one supply of both.
fn concurrent_multipage_access(via: Via) -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    let first = reader(&vmo, via, Some(KEY), 0, 1)?;
    let second = reader(&vmo, via, Some(KEY), 1, 1)?;
    let (a, b) = (service.any_single_read(KEY)?, service.any_single_read(KEY)?);
    equal!((a.min(b), a.max(b)), (0, 1));
    service.supply(&vmo, KEY, 0, 2)?;
    first.expect_done()?;
    second.expect_done()
}

/// Many threads at the same page: one packet, one supply frees all.
fn concurrent_overlapping_access(via: Via) -> Outcome {
    const THREADS: usize = 32;
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let mut readers: [Option<Reader>; THREADS] = [const { None }; THREADS];
    for slot in &mut readers {
        *slot = Some(reader(&vmo, via, Some(KEY), 0, 1)?);
    }
    service.expect_read(KEY, 0, 1)?;
    for reader in readers.iter().flatten() {
        reader.expect_blocked()?;
    }
    service.expect_silence()?;
    service.supply(&vmo, KEY, 0, 1)?;
    for reader in readers.into_iter().flatten() {
        reader.expect_done()?;
    }
    service.expect_silence()
}

/// 257 blocked readers of a page each: every page is asked for once, and the readers are served in the order of the
/// packets.
fn many_request(via: Via) -> Outcome {
    const COUNT: usize = 257;
    let service = Service::new()?;
    let vmo = service.vmo(KEY, COUNT as u64)?;
    let mut readers: [Option<Reader>; COUNT] = [const { None }; COUNT];
    for (page, slot) in (0..).zip(&mut readers) {
        *slot = Some(reader(&vmo, via, Some(KEY), page, 1)?);
    }
    let mut order = [0; COUNT];
    let mut seen = [false; COUNT];
    for slot in &mut order {
        let page = service.any_single_read(KEY)?;
        match seen.get_mut(page as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => fail!("page {page} was asked for twice or does not exist"),
        }
        *slot = page;
    }
    service.expect_silence()?;
    for page in order {
        service.supply(&vmo, KEY, page, 1)?;
        match readers.get_mut(page as usize).and_then(Option::take) {
            Some(reader) => reader.expect_done()?,
            None => fail!("no reader of page {page}"),
        }
    }
    service.expect_silence()
}

/// 64 VMOs, one after another.
fn successive_vmo(via: Via) -> Outcome {
    let service = Service::new()?;
    for key in 0..64 {
        let vmo = service.vmo(key, 1)?;
        let reader = reader(&vmo, via, Some(key), 0, 1)?;
        service.expect_read(key, 0, 1)?;
        service.supply(&vmo, key, 0, 1)?;
        reader.expect_done()?;
        drop(vmo);
        service.expect_complete(key)?;
    }
    Ok(())
}

/// 8 VMOs with requests outstanding together on one port.
fn multiple_concurrent_vmo(via: Via) -> Outcome {
    const COUNT: usize = 8;
    let service = Service::new()?;
    let mut scene: [Option<(Vmo, Reader)>; COUNT] = [const { None }; COUNT];
    for (key, slot) in (0..).zip(&mut scene) {
        let vmo = service.vmo(key, 1)?;
        let reader = reader(&vmo, via, Some(key), 0, 1)?;
        *slot = Some((vmo, reader));
        service.expect_read(key, 0, 1)?;
    }
    for (key, slot) in (0..).zip(scene.iter_mut()) {
        if let Some((vmo, reader)) = slot.take() {
            reader.expect_blocked()?;
            service.supply(&vmo, key, 0, 1)?;
            reader.expect_done()?;
        }
    }
    Ok(())
}

/// A pager's VMO says that it is one; a plain VMO does not.
fn vmo_info_pager() -> Outcome {
    let service = Service::new()?;
    let paged = VmoInfoFlags::PAGER_BACKED.bits();
    check!(service.vmo(KEY, 1)?.info()?.flags & paged != 0);
    check!(Vmo::create(PAGE_SIZE)?.info()?.flags & paged == 0);
    Ok(())
}

/// A supply out of an empty auxiliary VMO prevents the fault; the page reads as zeros.
fn uncommitted_supply() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply_from(&vmo, 0, 1, &Vmo::create(PAGE_SIZE)?, 0)?;
    check_vmo(&vmo, None, 0, 1)?;
    service.expect_silence()
}

crate::both! {
    "SinglePageTest" single_page
    "UncommittedSinglePageTest" uncommitted_single_page
    "PresupplyTest" presupply
    "EarlySupplyTest" early_supply
    "SequentialMultipageTest" sequential_multipage
    "ConcurrentMultipageAccessTest" concurrent_multipage_access
    "ConcurrentOverlappingAccessTest" concurrent_overlapping_access
    "ManyRequestTest" many_request
    "SuccessiveVmoTest" successive_vmo
    "MultipleConcurrentVmoTest" multiple_concurrent_vmo
}

/// Scenarios without a reader.
pub const CASES: &[test_guests::Case] = &[
    ("VmoInfoPagerTest", vmo_info_pager),
    ("UncommittedSupply", uncommitted_supply),
];
