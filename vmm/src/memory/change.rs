//! Changing what a window shows, and what of it is there: drop, fork, freeze, evict.
//!
//! The guest may run meanwhile. Either nothing that it can do in between harms, or its accesses fail until the change is over, which
//! it experiences as absent pages: an exit, after which the core has it wait for the operation.

use std::{ops::Range, sync::Arc};

use rustix::io::Errno;

use super::{
    chunk::{Accesses, Chunk, Piece, Run},
    error::MemoryError,
    layout::Layout,
    ops::OpError,
    store::Store,
    views::{View, Views},
    window::Window,
};

/// Every page that a VMO can have.
const ALL: Range<u64> = 0..super::units::MAX_VMO_PAGES;

impl Window {
    /// Drops pages, and what the VMO shows of others in their place. With `inherited`, also what it shows there of VMOs that are no
    /// more.
    ///
    /// The range may be large: the cost is that of the pages and mappings that are there.
    pub(super) fn drop_pages(&self, pages: Range<u64>, inherited: bool) -> Result<(), OpError> {
        let _alone = self.map_alone();
        let (store, shown) = {
            let layout = self.layout();
            (Arc::clone(&layout.store), layout.views.over(pages.clone()))
        };
        self.punch(&store, pages.clone())?;
        for (run, view) in shown {
            let Some(view) = view else { continue };
            if inherited && view.store.is_orphan() {
                self.punch(&view.store, view.at..view.at + (run.end - run.start))?;
            }
            for part in self.placed(run.start, run.end - run.start)? {
                part.chunk()
                    .map_own(part.range(), &store, self.watching())?;
                self.conceal(part.range());
            }
            self.conceal(run);
        }
        Ok(())
    }

    fn conceal(&self, pages: Range<u64>) {
        let mut layout = self.layout();
        layout.views.cut(pages.clone());
        layout.private.remove(pages);
    }

    /// Drops pages; what the VMO shows of others in their place appears again.
    pub(super) fn uncover(&self, runs: &[Run]) -> Result<(), OpError> {
        let _alone = self.map_alone();
        let store = Arc::clone(&self.layout().store);
        for piece in self.pieces(runs) {
            let run = &piece.run;
            match &piece.view {
                Some(view) => {
                    run.chunk().map_view(run.range(), view)?;
                    self.layout().private.remove(run.range());
                }
                None => self.punch(&store, run.range())?,
            }
        }
        Ok(())
    }

    fn punch(&self, store: &Store, pages: Range<u64>) -> Result<(), OpError> {
        let (first, count) = (pages.start, pages.end - pages.start);
        let vmo = self.vmo;
        store.punch(pages).map_err(|errno| OpError::Drop {
            vmo,
            first,
            count,
            errno,
        })
    }

    /// Gives the VMO pages of its own with the content that it shows there.
    ///
    /// If that fails, some pages may be its own already: they stay, protected like the rest, and the next try leaves them as they are.
    pub(super) fn fork(&self, pages: Range<u64>, inherited: bool) -> Result<(), OpError> {
        let runs = self.place_all(pages.start, pages.end - pages.start)?;
        for piece in self.pieces(&runs) {
            let forked = match &piece.view {
                Some(view) => {
                    self.arm(&piece)?;
                    self.fork_piece(&piece, view, inherited)
                }
                // It shows nothing of others there.
                None => Err(Errno::INVAL),
            };
            let page = piece.run.first_page;
            forked.map_err(|errno| OpError::Fork {
                vmo: self.vmo,
                page,
                errno,
            })?;
        }
        Ok(())
    }

    /// Makes a view's pages ready to become the VMO's own.
    pub(super) fn arm(&self, piece: &Piece) -> Result<(), MemoryError> {
        let view = self.layout().views.around(piece.run.first_page);
        match view {
            Some(view) => piece.run.chunk().arm_within(piece.run.range(), view),
            None => Ok(()),
        }
    }

    fn fork_piece(&self, piece: &Piece, view: &View, inherited: bool) -> Result<(), Errno> {
        // A write of the guest that comes from here on forks the page just as well.
        piece.write_protect(false)?;
        let forked = match piece.break_sharing() {
            Ok(()) => piece.run.pages,
            // How far it came is not told.
            Err(_) => (0..piece.run.pages)
                .take_while(|page| piece.part(*page, 1).break_sharing().is_ok())
                .count() as u64,
        };
        let first = piece.run.first_page;
        self.layout().private.insert(first..first + forked);
        if forked < piece.run.pages {
            let failed = piece.part(forked, 1).break_sharing();
            piece.write_protect(true)?;
            return failed;
        }
        if inherited && view.store.is_orphan() {
            view.store.punch(view.at..view.at + piece.run.pages)?;
        }
        Ok(())
    }

    /// Freezes what the VMO holds as `into`, which is new; the VMO shows the pages that `into` has afterwards.
    pub(super) fn freeze(&self, into: &Window, owned: &[Range<u64>]) -> Result<(), OpError> {
        let _alone = self.map_alone();
        let chunks = self.chunks();
        let private = self.layout().private.within(ALL);
        let saved = chunks
            .iter()
            .try_for_each(|chunk| chunk.permit(chunk.range(), Accesses::Reads))
            .and_then(|()| private.iter().try_for_each(|run| self.save(run.clone())));
        if let Err(error) = saved {
            let store = Arc::clone(&self.layout().store);
            for run in private {
                self.punch(&store, run)?;
            }
            for chunk in &chunks {
                for (pages, view) in self.layout().views.over(chunk.range()) {
                    chunk.restore(pages, view.is_some())?;
                }
            }
            return Err(error.into());
        }
        // If it cannot be mapped so, the private pages are had back where they were saved.
        let (kept, frozen) = self.layout().split(&private, owned);
        let shown = Layout::showing(self.vmo, &frozen, 0..into.size().min(ALL.end));
        if let Err(error) = self.lay_out(shown, &chunks) {
            self.lay_out(kept, &chunks)?;
            return Err(error.into());
        }
        *into.layout() = frozen;
        Ok(())
    }

    /// Copies private pages to the VMO's own store, which is not mapped there.
    fn save(&self, pages: Range<u64>) -> Result<(), MemoryError> {
        let store = Arc::clone(&self.layout().store);
        for run in self.placed(pages.start, pages.end - pages.start)? {
            store.fill(run.range(), run.host())?;
        }
        Ok(())
    }

    /// Maps every chunk as `layout` says.
    fn lay_out(&self, layout: Layout, chunks: &[Arc<Chunk>]) -> Result<(), MemoryError> {
        *self.layout() = layout;
        chunks
            .iter()
            .try_for_each(|chunk| self.map(chunk, chunk.range()))
    }

    /// Drops the pages of `runs` that were not written to since they were protected; tells which were, and stay.
    pub(super) fn evict(&self, runs: &[Run]) -> Result<Vec<Range<u64>>, OpError> {
        let store = Arc::clone(&self.layout().store);
        let mut written = Vec::new();
        for piece in self.pieces(runs) {
            let (chunk, pages) = (piece.run.chunk(), piece.run.range());
            // A write that came between the scan and the drop would be lost.
            chunk.permit(pages.clone(), Accesses::None)?;
            let evicted = self.evict_piece(&piece, &store, &mut written);
            chunk.permit(pages, Accesses::All)?;
            evicted?;
        }
        Ok(written)
    }

    fn evict_piece(
        &self,
        piece: &Piece,
        store: &Store,
        written: &mut Vec<Range<u64>>,
    ) -> Result<(), OpError> {
        let stay = self.written(piece, store)?;
        let mut start = piece.run.first_page;
        for run in &stay {
            if start < run.start {
                self.punch(store, start..run.start)?;
            }
            start = run.end;
        }
        if start < piece.run.range().end {
            self.punch(store, start..piece.run.range().end)?;
        }
        written.extend(stay);
        Ok(())
    }

    /// The pages of `runs` that were written to since they were protected, and those that are absent.
    pub(super) fn unmarked(&self, runs: &[Run]) -> Result<Vec<Range<u64>>, OpError> {
        let mut unmarked = Vec::new();
        for piece in self.pieces(runs) {
            let found = piece.unmarked();
            unmarked.extend(found.map_err(|errno| self.not_scanned(&piece, errno))?);
        }
        Ok(unmarked)
    }

    /// The pages of `runs` that were written to since they were protected; protects them again.
    pub(super) fn protect_written(&self, runs: &[Run]) -> Result<Vec<Range<u64>>, OpError> {
        let store = Arc::clone(&self.layout().store);
        let mut written = Vec::new();
        for piece in self.pieces(runs) {
            let found = self.written(&piece, &store)?;
            // A page that is written to only now is told of next time: it is not among those protected again.
            for run in &found {
                let part = piece.part(run.start - piece.run.first_page, run.end - run.start);
                self.write_protect(&part, true)?;
            }
            written.extend(found);
        }
        Ok(written)
    }

    fn written(&self, piece: &Piece, store: &Store) -> Result<Vec<Range<u64>>, OpError> {
        let written = piece.written(store);
        written.map_err(|errno| self.not_scanned(piece, errno))
    }

    fn not_scanned(&self, piece: &Piece, errno: Errno) -> OpError {
        let (vmo, page) = (self.vmo, piece.run.first_page);
        OpError::Scan { vmo, page, errno }
    }

    /// Protects pages against writes, or takes the protection away.
    pub(super) fn write_protect(&self, piece: &Piece, on: bool) -> Result<(), OpError> {
        let (vmo, page) = (self.vmo, piece.run.first_page);
        piece
            .write_protect(on)
            .map_err(|errno| OpError::Protect { vmo, page, errno })
    }
}

impl Layout {
    /// The layouts of a VMO whose `private` pages were saved in its store: as it is, and frozen.
    fn split(&self, private: &[Range<u64>], owned: &[Range<u64>]) -> (Layout, Layout) {
        let without = |runs: &[Range<u64>]| {
            let mut views = self.views.clone();
            runs.iter().for_each(|run| views.cut(run.clone()));
            Layout::of(Arc::clone(&self.store), views)
        };
        (without(private), without(owned))
    }

    /// Of a VMO that owns nothing and shows pages of a frozen one.
    fn showing(vmo: zircon::VmoId, frozen: &Layout, pages: Range<u64>) -> Layout {
        let mut layout = Layout::new(vmo);
        for (run, view) in frozen.shown(pages) {
            layout.views.insert(run, view);
        }
        layout
    }

    fn of(store: Arc<Store>, views: Views) -> Layout {
        Layout {
            store,
            views,
            private: zircon::Intervals::default(),
        }
    }
}
