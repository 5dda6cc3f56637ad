//! "Mappings": what happens to a fault when the mapping under it changes.

use core::arch::asm;
use test_guests::pages::{PAGE, check_mapping, contents};
use test_guests::{Outcome, Service, equal, fail, shortly, soon};
use zx::thread::JoinHandle;
use zx::{Mapping, VmOptions, vmar_root_self};

const KEY: u64 = 0xAA1;
const OTHER: u64 = 0xAA2;

/// A thread that loads the first word of the page at `address`.
fn toucher(address: usize) -> Result<JoinHandle<u64>, zx::Status> {
    zx::thread::spawn("toucher", move || {
        let word;
        // SAFETY: a load; what it finds, or that it never ends, is what the scenario is about.
        unsafe { asm!("mov {}, [{}]", out(reg) word, in(reg) address, options(nostack)) };
        word
    })
}

/// The first word of a page of the pattern.
fn first_word(seed: u64, page: u64) -> u64 {
    contents(seed, page)
        .first_chunk::<8>()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// Eight threads wait for pages of one VMO; a mapping of another VMO is put over theirs; supplying the first VMO's pages
/// does not satisfy them: they ask for the second's.
fn vmar_remap() -> Outcome {
    const COUNT: usize = 8;
    let service = Service::new()?;
    let (first, second) = (
        service.vmo(KEY, COUNT as u64)?,
        service.vmo(OTHER, COUNT as u64)?,
    );
    // The overwriting mapping below takes this one's place; it is unmapped at the end.
    let mapping = Mapping::read_only(&first, 0, COUNT * PAGE)?;
    let mut threads: [Option<JoinHandle<u64>>; COUNT] = [const { None }; COUNT];
    for (page, slot) in threads.iter_mut().enumerate() {
        *slot = Some(toucher(mapping.base() + page * PAGE)?);
    }
    for _ in 0..COUNT {
        service.any_single_read(KEY)?;
    }
    let offset = mapping.base() as u64 - protocol::USER_BASE;
    let length = (COUNT * PAGE) as u64;
    let options = VmOptions::PERM_READ | VmOptions::SPECIFIC_OVERWRITE;
    // SAFETY: no Rust value lives in the mapping that is replaced.
    let base = unsafe { vmar_root_self().map(offset, &second, 0, length, options)? };
    equal!(base, mapping.base());

    service.supply(&first, KEY, 0, COUNT as u64)?;
    let mut seen = [false; COUNT];
    for _ in 0..COUNT {
        let page = service.any_single_read(OTHER)?;
        match seen.get_mut(page as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => fail!("page {page} was asked for twice or does not exist"),
        }
    }
    for thread in threads.iter().flatten() {
        if thread.finished_by(shortly()) {
            fail!("a thread finished without the second VMO's page");
        }
    }
    service.supply(&second, OTHER, 0, COUNT as u64)?;
    for (page, thread) in (0..).zip(threads.into_iter().flatten()) {
        equal!(thread.join(soon())?, first_word(OTHER, page));
    }
    check_mapping(&mapping, Some(OTHER), 0, COUNT as u64)
}

/// ZX_VM_MAP_RANGE maps what is resident and asks for nothing.
fn vmar_map_range() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply(&vmo, KEY, 0, 1)?;
    let options = VmOptions::PERM_READ | VmOptions::MAP_RANGE;
    let mapping = Mapping::new(&vmo, 0, 2 * PAGE, options)?;
    service.expect_silence()?;
    check_mapping(&mapping, Some(KEY), 0, 1)?;
    service.expect_silence()?;
    let thread = toucher(mapping.base() + PAGE)?;
    service.expect_read(KEY, 1, 1)?;
    service.supply(&vmo, KEY, 1, 1)?;
    equal!(thread.join(soon())?, first_word(KEY, 1));
    Ok(())
}

/// Scenarios of this module.
pub const CASES: &[test_guests::Case] = &[
    ("VmarRemapTest", vmar_remap),
    ("VmarMapRangeTest", vmar_map_range),
];
