//! Finding out which pages are used: for runs that show it, at the price of a fault of the host for each page that is.
//!
//! A page that is in its store but in no page table of this process is in none of the guest's either. The first access brings it back, without
//! an exit, and with an entry in this process's page table, for [`super::pagemap`] to find. Neighbours do not come along: userfaultfd's
//! write protection, with which every window is registered, keeps the kernel from mapping around a fault.

use std::{ops::Range, sync::Arc};

use zircon::Pages;

use super::{Memory, chunk::Piece, error::MemoryError, ops::OpError, units::PAGE_SHIFT};

impl Memory {
    /// Takes pages out of all page tables; they stay where they are otherwise.
    pub fn unmap(&self, pages: Pages) {
        if let Err(error) = self.try_unmap(pages) {
            log::warn!("whether pages of VMO {} are used: {error}", pages.vmo.0);
        }
    }

    fn try_unmap(&self, pages: Pages) -> Result<(), OpError> {
        let window = self.window(pages.vmo)?;
        // Nobody makes a view of it meanwhile.
        let _alone = window.map_alone();
        let runs = window.placed(pages.first, pages.count)?;
        // In a view a page of the VMO's own lies in the page table only.
        for piece in window.pieces(&runs).iter().filter(|it| it.view.is_none()) {
            let (vmo, page) = (pages.vmo, piece.run.first_page);
            piece
                .unmap()
                .map_err(|errno| OpError::Protect { vmo, page, errno })?;
        }
        Ok(())
    }

    /// Those of the pages that were accessed since [`Memory::unmap`], by the guest or the VMM, here or through a clone that shows them. All
    /// of them, if that cannot be told.
    pub fn touched(&self, pages: Pages) -> Vec<Range<u64>> {
        self.try_touched(pages).unwrap_or_else(|error| {
            log::warn!("whether pages of VMO {} are used: {error}", pages.vmo.0);
            vec![pages.range()]
        })
    }

    fn try_touched(&self, pages: Pages) -> Result<Vec<Range<u64>>, OpError> {
        let window = self.window(pages.vmo)?;
        let store = Arc::clone(&window.layout().store);
        let mut touched = Vec::new();
        let own = window.placed(pages.first, pages.count)?;
        for piece in window.pieces(&own).iter().filter(|it| it.view.is_none()) {
            touched.extend(touched_in(piece, piece.run.first_page, &pages.range())?);
        }
        for other in self.all() {
            if other.layout().views.of(&store).next().is_none() {
                continue;
            }
            for chunk in other.chunks() {
                let range = chunk.range();
                let runs = other.placed(range.start, range.end - range.start)?;
                for piece in other.pieces(&runs) {
                    let view = piece.view.as_ref();
                    if let Some(view) = view.filter(|view| Arc::ptr_eq(&view.store, &store)) {
                        touched.extend(touched_in(&piece, view.at, &pages.range())?);
                    }
                }
            }
        }
        Ok(touched)
    }
}

/// The pages of a store that are in the page table for a piece, which shows them from page `at` on.
fn touched_in(piece: &Piece, at: u64, pages: &Range<u64>) -> Result<Vec<Range<u64>>, OpError> {
    let start = pages.start.max(at);
    let end = pages.end.min(at + piece.run.pages);
    if start >= end {
        return Ok(Vec::new());
    }
    let part = piece.part(start - at, end - start);
    let host = part.run.host_range();
    let found = piece
        .mapped(host.clone())
        .map_err(|source| OpError::from(MemoryError::Pagemap { source }))?;
    let page = |address: u64| start + ((address - host.start) >> PAGE_SHIFT);
    Ok(found
        .into_iter()
        .map(|run| page(run.start)..page(run.end))
        .collect())
}
