//! `zx_pager_supply_pages`: what it does.

use test_guests::pages::{PAGE, check_mapping, check_vmo, contents, filled_vmo};
use test_guests::{Outcome, Service, Via, cases, check, equal, reader};
use zx::{ChildOptions, Mapping, PAGE_SIZE, Vmo};

const KEY: u64 = 77;
const OTHER: u64 = 78;

/// Pages go from their place in the auxiliary VMO to the given place in the pager's.
fn moves_pages() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 8)?;
    let aux = Vmo::create(6 * PAGE_SIZE)?;
    for page in 0..3 {
        aux.write(&contents(KEY, 4 + page), (1 + page) * PAGE_SIZE)?;
    }
    service.supply_from(&vmo, 4, 3, &aux, 1)?;
    check_vmo(&vmo, Some(KEY), 4, 3)?;
    service.expect_silence()
}

/// What was moved away reads as zeros.
fn aux_reads_zero_afterwards() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 4)?;
    let aux = filled_vmo(KEY, 0, 4)?;
    service.supply_from(&vmo, 0, 3, &aux, 0)?;
    check_vmo(&aux, None, 0, 3)?;
    check_vmo(&aux, Some(KEY), 3, 1)
}

/// ... through mappings that existed before, too.
fn aux_mapping_reads_zero_afterwards() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    let aux = filled_vmo(KEY, 0, 2)?;
    let mapping = Mapping::read_write(&aux, 0, 2 * PAGE)?;
    check_mapping(&mapping, Some(KEY), 0, 2)?;
    service.supply_from(&vmo, 0, 2, &aux, 0)?;
    check_mapping(&mapping, None, 0, 2)?;
    // Writing there now does not reach the pager's VMO.
    mapping.set_word(0, !0)?;
    check_vmo(&vmo, Some(KEY), 0, 2)
}

/// The auxiliary VMO can be filled through its mapping and used again and again.
fn aux_filled_through_a_mapping() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 4)?;
    let aux = Vmo::create(PAGE_SIZE)?;
    let mapping = Mapping::read_write(&aux, 0, PAGE)?;
    for page in 0..4 {
        mapping.copy_in(0, &contents(KEY, page))?;
        service.supply_from(&vmo, page, 1, &aux, 0)?;
    }
    check_vmo(&vmo, Some(KEY), 0, 4)
}

/// A page that is there stays as it is ...
fn resident_pages_are_not_replaced() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 3)?;
    service.supply(&vmo, KEY, 1, 1)?;
    let aux = filled_vmo(OTHER, 0, 3)?;
    service.supply_from(&vmo, 0, 3, &aux, 0)?;
    check_vmo(&vmo, Some(OTHER), 0, 1)?;
    check_vmo(&vmo, Some(KEY), 1, 1)?;
    check_vmo(&vmo, Some(OTHER), 2, 1)
}

/// ... and the auxiliary page meant for it is given back.
fn pages_not_used_are_freed() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    service.supply(&vmo, KEY, 0, 1)?;
    let aux = filled_vmo(OTHER, 0, 1)?;
    service.supply_from(&vmo, 0, 1, &aux, 0)?;
    equal!(aux.info()?.committed_bytes, 0);
    check_vmo(&aux, None, 0, 1)
}

/// A page that was written after its supply is not replaced either.
fn written_pages_are_not_replaced() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    service.supply(&vmo, KEY, 0, 1)?;
    vmo.write(b"mine", 0)?;
    service.supply(&vmo, OTHER, 0, 1)?;
    let mut bytes = [0; 4];
    vmo.read(&mut bytes, 0)?;
    equal!(bytes, *b"mine");
    Ok(())
}

/// Older documents forbid children; now a child of the auxiliary VMO just sees the pages go.
fn aux_may_have_children() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let aux = filled_vmo(KEY, 0, 1)?;
    let child = aux.create_child(ChildOptions::SLICE, 0, PAGE_SIZE)?;
    service.supply_from(&vmo, 0, 1, &aux, 0)?;
    check_vmo(&vmo, Some(KEY), 0, 1)?;
    check_vmo(&child, None, 0, 1)
}

/// Superseded likewise: the auxiliary VMO may itself be a child.
fn aux_may_be_a_slice() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let parent = filled_vmo(KEY, 0, 2)?;
    parent.write(&contents(KEY, 0), PAGE_SIZE)?;
    let aux = parent.create_child(ChildOptions::SLICE, PAGE_SIZE, PAGE_SIZE)?;
    service.supply_from(&vmo, 0, 1, &aux, 0)?;
    check_vmo(&vmo, Some(KEY), 0, 1)?;
    check_vmo(&parent, None, 1, 1)?;
    check_vmo(&parent, Some(KEY), 0, 1)
}

/// Where the auxiliary VMO has no page, the pager's VMO gets a zero page.
fn aux_uncommitted_gives_zero_pages() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 3)?;
    let aux = Vmo::create(3 * PAGE_SIZE)?;
    aux.write(&contents(KEY, 1), PAGE_SIZE)?;
    service.supply_from(&vmo, 0, 3, &aux, 0)?;
    check_vmo(&vmo, None, 0, 1)?;
    check_vmo(&vmo, Some(KEY), 1, 1)?;
    check_vmo(&vmo, None, 2, 1)?;
    equal!(vmo.info()?.committed_bytes, PAGE_SIZE);
    service.expect_silence()
}

/// A zero page is there: a mapping reads it, and it can be written.
fn zero_pages_are_resident() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 2)?;
    service.supply_from(&vmo, 0, 2, &Vmo::create(2 * PAGE_SIZE)?, 0)?;
    let mapping = Mapping::read_write(&vmo, 0, 2 * PAGE)?;
    check_mapping(&mapping, None, 0, 1)?;
    mapping.set_word(PAGE, 5)?;
    equal!(mapping.word(PAGE)?, 5);
    // ... nor is it replaced.
    service.supply(&vmo, KEY, 0, 1)?;
    check_mapping(&mapping, None, 0, 1)?;
    service.expect_silence()
}

/// Afterwards the auxiliary range holds nothing; the rest is as it was.
fn aux_is_decommitted() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 4)?;
    let aux = filled_vmo(KEY, 0, 4)?;
    equal!(aux.info()?.committed_bytes, 4 * PAGE_SIZE);
    service.supply_from(&vmo, 1, 2, &aux, 1)?;
    equal!(aux.info()?.committed_bytes, 2 * PAGE_SIZE);
    service.supply_from(&vmo, 0, 4, &aux, 0)?;
    equal!(aux.info()?.committed_bytes, 0);
    equal!(vmo.info()?.committed_bytes, 4 * PAGE_SIZE);
    Ok(())
}

/// A reader of several pages waits until all of them are there.
fn partial_supply_keeps_the_reader_waiting() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 3)?;
    let reader = reader(&vmo, Via::Read, Some(KEY), 0, 3)?;
    service.expect_read(KEY, 0, 3)?;
    service.supply(&vmo, KEY, 0, 1)?;
    reader.expect_blocked()?;
    service.supply(&vmo, KEY, 2, 1)?;
    reader.expect_blocked()?;
    service.supply(&vmo, KEY, 1, 1)?;
    reader.expect_done()?;
    service.expect_silence()
}

/// A length of 0 moves nothing, even when the VMO is detached.
fn length_zero() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 1)?;
    let aux = filled_vmo(KEY, 0, 1)?;
    service.supply_from(&vmo, 0, 0, &aux, 0)?;
    service.supply_from(&vmo, 1, 0, &aux, 1)?;
    equal!(aux.info()?.committed_bytes, PAGE_SIZE);
    service.pager.detach_vmo(&vmo)?;
    service.supply_from(&vmo, 0, 0, &aux, 0)?;
    check!(aux.info()?.committed_bytes == PAGE_SIZE);
    Ok(())
}

/// 300 pages in one call.
fn many_pages() -> Outcome {
    let service = Service::new()?;
    let vmo = service.vmo(KEY, 300)?;
    service.supply(&vmo, KEY, 0, 300)?;
    let mapping = Mapping::read_only(&vmo, 0, 300 * PAGE)?;
    check_mapping(&mapping, Some(KEY), 0, 300)?;
    equal!(vmo.info()?.committed_bytes, 300 * PAGE_SIZE);
    Ok(())
}

cases! { "pager_supply_pages":
    moves_pages aux_reads_zero_afterwards aux_mapping_reads_zero_afterwards
    aux_filled_through_a_mapping resident_pages_are_not_replaced pages_not_used_are_freed
    written_pages_are_not_replaced aux_may_have_children aux_may_be_a_slice
    aux_uncommitted_gives_zero_pages zero_pages_are_resident aux_is_decommitted
    partial_supply_keeps_the_reader_waiting length_zero many_pages
}
