//! Zeroing a range of bytes: whole pages lose their storage, parts of pages are written unless they are zero already.
//!
//! Piece by piece. A part may have to be asked for first. Whole pages go run by run of one state; each run is zero from the moment it
//! is taken up, and nobody is asked for it any more.

use std::collections::VecDeque;
use std::ops::Range;

use protocol::{PAGE_SIZE, Status};

use crate::ids::{Token, VmoId};
use crate::kernel::Kernel;
use crate::memory::{MemoryOp, Pages};
use crate::op::{OK, Op, Step, StepResult, Waiting};
use crate::pages::PageState;
use crate::ready::{Intent, Need, Ready};
use crate::zero_slots::ZeroKind;

/// What is left to be zeroed.
#[derive(Clone, Debug)]
pub(crate) struct Zeroing {
    /// The VMO that holds the pages.
    pub vmo: VmoId,
    /// It is about content: what is zero already becomes zero of the new kind.
    content: bool,
    /// There is something to be zeroed.
    modifies: bool,
    pieces: VecDeque<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    /// Part of a page: offset and bytes.
    Part(u64, u64),
    /// Whole pages, and what kind of zeros a pager's VMO has there then.
    Pages(Range<u64>, ZeroKind),
}

/// Zeros that the pager has to be told of.
const DIRTY: ZeroKind = ZeroKind::Dirty { awaiting: 0 };

impl Piece {
    /// Where it ends, in bytes; `None` if nothing is left of it.
    fn end(&self) -> Option<u64> {
        match self {
            Piece::Part(offset, length) => (*length > 0).then_some(offset + length),
            Piece::Pages(pages, _) => (!pages.is_empty()).then_some(pages.end * PAGE_SIZE),
        }
    }
}

impl Zeroing {
    /// `length` bytes from `offset` on (the sum is no overflow): the parts of pages first, for they may not come.
    pub fn new(vmo: VmoId, offset: u64, length: u64) -> Zeroing {
        let end = offset + length;
        let (first, last) = (offset.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        let pieces = match first > last {
            // Within one page.
            true => vec![Piece::Part(offset, length)],
            false => vec![
                Piece::Part(offset, first * PAGE_SIZE - offset),
                Piece::Part(last * PAGE_SIZE, end % PAGE_SIZE),
                Piece::Pages(first..last, DIRTY),
            ],
        };
        Zeroing {
            vmo,
            content: false,
            modifies: length > 0,
            pieces: pieces.into(),
        }
    }

    /// All from `offset` to `end`, a page boundary: whole pages at once, and those past `content`, which the pager does not keep,
    /// without telling it.
    pub fn of_content(vmo: VmoId, offset: u64, content: u64, end: u64) -> Zeroing {
        let first = offset.div_ceil(PAGE_SIZE);
        let kept = content.div_ceil(PAGE_SIZE).max(first);
        let pieces = vec![
            Piece::Pages(first..kept, DIRTY),
            Piece::Pages(kept..end / PAGE_SIZE, ZeroKind::Untracked),
            Piece::Part(offset, first * PAGE_SIZE - offset),
        ];
        Zeroing {
            vmo,
            content: true,
            modifies: true,
            pieces: pieces.into(),
        }
    }
}

impl Kernel {
    /// Zeros the next piece, until all is zero: OUT_OF_RANGE if the VMO has been cut in between.
    pub(crate) fn step_zeroing(
        &mut self,
        token: Token,
        op: &mut Op,
        zeroing: &mut Zeroing,
    ) -> StepResult {
        op.take_reply()?;
        let error = op.error.take();
        let vmo = self.vmos.get(&zeroing.vmo).ok_or(Status::BAD_STATE)?;
        let end = zeroing.pieces.iter().filter_map(Piece::end).max();
        if end.is_some_and(|end| end > vmo.size) {
            return Err(Status::OUT_OF_RANGE);
        }
        if let Some(error) = error {
            return Err(error);
        }
        let content = zeroing.content;
        while let Some(piece) = zeroing.pieces.front_mut() {
            let wait = match piece {
                Piece::Part(..) if piece.end().is_none() => None,
                Piece::Part(offset, length) => {
                    let at = (*offset, *length);
                    self.zero_part(token, zeroing.vmo, at, length)?
                }
                Piece::Pages(pages, _) if pages.is_empty() => None,
                Piece::Pages(pages, kind) => {
                    match self.zero_run(token, zeroing.vmo, pages, (*kind, content))? {
                        None => continue,
                        wait => wait,
                    }
                }
            };
            if let Some(wait) = wait {
                return Ok(wait);
            }
            zeroing.pieces.pop_front();
        }
        if zeroing.modifies {
            self.note_modified(zeroing.vmo);
        }
        OK
    }

    /// Zeros a part of a page, of which nothing is `left` then; `None` if it is zero already.
    fn zero_part(
        &mut self,
        token: Token,
        vmo: VmoId,
        (offset, length): (u64, u64),
        left: &mut u64,
    ) -> Result<Option<Step>, Status> {
        match self.prepare(token, vmo, offset, length, Need::whole(Intent::Clear))? {
            Ready::Wait(waiting) => Ok(Some(Step::Wait(waiting))),
            Ready::Zeros(_) => Ok(None),
            Ready::Present(length) => {
                *left = 0;
                let clear = MemoryOp::Clear {
                    vmo,
                    offset,
                    length,
                };
                self.emit(Some(token), clear);
                Ok(Some(Step::Wait(Waiting::Memory)))
            }
        }
    }

    /// Makes the next run of pages of one state zero; `None` if that needed no memory operation.
    fn zero_run(
        &mut self,
        token: Token,
        id: VmoId,
        left: &mut Range<u64>,
        zeroing: (ZeroKind, bool),
    ) -> Result<Option<Step>, Status> {
        let (kind, first) = (zeroing.0, left.start);
        let vmo = self.vmos.get_mut(&id).ok_or(Status::BAD_STATE)?;
        if vmo.is_pinned(&(first..first + 1)) {
            let mut part = PAGE_SIZE;
            let at = (first * PAGE_SIZE, part);
            let wait = self.zero_part(token, id, at, &mut part)?;
            // What has to come first leaves the page to be zeroed.
            left.start += u64::from(part == 0 || wait.is_none());
            return Ok(wait);
        }
        let calm = vmo.calm_run(first, left.end - first, true);
        let calm = vmo.unpinned_run(first, calm, false);
        if calm == 0 {
            return self.wait_busy(id, token).map(Some);
        }
        let (state, run) = vmo.state_run(first, calm);
        let pages = first..first + run;
        left.start = pages.end;
        let (paged, clone) = (vmo.source().is_some(), vmo.cow.is_some());
        if vmo.contiguous.is_some() {
            let (offset, length) = (first * PAGE_SIZE, run * PAGE_SIZE);
            let vmo = id;
            let clear = MemoryOp::Clear {
                vmo,
                offset,
                length,
            };
            self.emit(Some(token), clear);
            return Ok(Some(Step::Wait(Waiting::Memory)));
        }
        match state {
            PageState::Absent if paged => self.publish_zero(id, pages, kind),
            PageState::Absent if clone => {
                // What the clone showed of another VMO is hidden from now on.
                let (vmo, count) = (id, run);
                let shown = Pages { vmo, first, count };
                self.emit(
                    Some(token),
                    MemoryOp::Decommit {
                        pages: shown,
                        inherited: false,
                    },
                );
                self.publish_zero(id, pages, ZeroKind::Marker);
                return Ok(Some(Step::Wait(Waiting::Memory)));
            }
            PageState::Absent => {}
            PageState::Zero => self.zero_again(id, pages, zeroing),
            _ => {
                self.drop_run(Some(token), id, pages.clone());
                match (paged, clone) {
                    // The page may have stood for a slot that was zero before.
                    (true, _) if state == PageState::Blank => self.zero_again(id, pages, zeroing),
                    (true, _) => self.publish_zero(id, pages, kind),
                    (_, true) => self.publish_zero(id, pages, ZeroKind::Marker),
                    _ => {}
                }
                return Ok(Some(Step::Wait(Waiting::Memory)));
            }
        }
        Ok(None)
    }

    /// Zero slots are zeroed. They are that already; but what lies beyond the content, or comes to be part of it, is told apart.
    fn zero_again(&mut self, id: VmoId, pages: Range<u64>, (kind, content): (ZeroKind, bool)) {
        if let Some(vmo) = self.vmos.get_mut(&id).filter(|_| content) {
            vmo.zero.insert(pages, kind);
        }
    }
}
