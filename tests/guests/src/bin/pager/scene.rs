//! A stage for scenarios: a pager with one VMO, threads that act on it, and the packets that they bring about.
//!
//! Page n of what is supplied is filled with the byte n. When [`Scene::act`] returns its thread has done what it is to do, or
//! waits for the pager: what follows happens in the order in which a scenario has it.

use core::mem::ManuallyDrop;
use core::ops::Range;

use protocol::options::DIRTY_RANGE_IS_ZERO;
use test_guests::pages::PAGE;
use test_guests::{Failure, NOW, Outcome, Via, fail, raw, soon};
use zx::{
    AsHandleRef, PAGE_SIZE, PageRequestCommand, Pager, PagerOp, PagerWritebackBeginOptions, Port,
    PortPacket, Status, Vmo, VmoDirtyRange, VmoOp, VmoOptions,
};

use crate::act::{Act, Deed};

/// Key of the VMO.
pub const KEY: u64 = 7;

/// A packet that a scenario expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// READ of these pages.
    Read(u64, u64),
    /// DIRTY of these pages.
    Dirty(u64, u64),
    /// COMPLETE.
    Complete,
}
pub use Packet::{Complete, Dirty, Read};

/// A range of dirty pages: first, end, whether they are zeros without storage.
pub type DirtyRange = (u64, u64, bool);

/// A dirty range in pages.
pub fn in_pages(range: &VmoDirtyRange) -> DirtyRange {
    let (first, end) = (range.offset, range.offset + range.length);
    (
        first / PAGE_SIZE,
        end / PAGE_SIZE,
        range.options == DIRTY_RANGE_IS_ZERO,
    )
}

/// A pager, a port and a VMO.
pub struct Scene {
    pub pager: ManuallyDrop<Pager>,
    pub port: Port,
    pub vmo: Vmo,
    trapped: bool,
}

/// A scene with a VMO of `pages` absent pages.
pub fn scene(pages: u64) -> Result<Scene, Failure> {
    scene_with(pages, VmoOptions::empty())
}

/// The same with options.
pub fn scene_with(pages: u64, options: VmoOptions) -> Result<Scene, Failure> {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let vmo = pager.create_vmo(options, &port, KEY, pages * PAGE_SIZE)?;
    Ok(Scene {
        pager: ManuallyDrop::new(pager),
        port,
        vmo,
        trapped: options.contains(VmoOptions::TRAP_DIRTY),
    })
}

impl Scene {
    /// A thread that does something with a VMO; it has ended or waits for a pager when this returns.
    pub fn act_on(&self, vmo: &Vmo, deed: Deed) -> Result<Act, Failure> {
        Act::begin(vmo, deed)
    }

    /// The same with the scene's VMO.
    pub fn act(&self, deed: Deed) -> Result<Act, Failure> {
        self.act_on(&self.vmo, deed)
    }

    /// Reads pages one way or the other.
    pub fn read(&self, via: Via, pages: Range<u64>) -> Result<Act, Failure> {
        self.read_of(&self.vmo, via, pages, 0)
    }

    /// Reads pages of a VMO, which must be filled with their numbers plus `plus`.
    pub fn read_of(
        &self,
        vmo: &Vmo,
        via: Via,
        pages: Range<u64>,
        plus: u8,
    ) -> Result<Act, Failure> {
        let pages = (pages.start, pages.end);
        self.act_on(
            vmo,
            match via {
                Via::Read => Deed::Read(pages, plus),
                Via::Mapping => Deed::Touch(pages, plus),
            },
        )
    }

    /// Commits pages.
    pub fn commit(&self, pages: Range<u64>) -> Result<Act, Failure> {
        self.op(VmoOp::Commit, pages)
    }

    /// An operation on pages.
    pub fn op(&self, op: VmoOp, pages: Range<u64>) -> Result<Act, Failure> {
        self.op_on(&self.vmo, op, pages)
    }

    /// An operation on pages of a VMO.
    pub fn op_on(&self, vmo: &Vmo, op: VmoOp, pages: Range<u64>) -> Result<Act, Failure> {
        let (offset, length) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        self.act_on(vmo, Deed::Op(op, offset, length))
    }

    /// Writes pages by `zx_vmo_write`.
    pub fn write(&self, pages: Range<u64>, byte: u8) -> Result<Act, Failure> {
        self.act(Deed::Write((pages.start, pages.end), byte))
    }

    /// Writes pages that are there; under TRAP the pager lets it.
    pub fn written(&self, pages: Range<u64>, byte: u8) -> Outcome {
        let act = self.write(pages.clone(), byte)?;
        if self.trapped && act.settled()? {
            self.packets(&[Dirty(pages.start, pages.end)])?;
            self.dirty(pages)?;
        }
        act.ends(Status::OK)
    }

    /// Exactly these packets come, in this order, and no other is waiting then.
    #[track_caller]
    pub fn packets(&self, expected: &[Packet]) -> Outcome {
        for packet in expected {
            self.packet(KEY, *packet)?;
        }
        match self.port.wait(NOW) {
            Err(Status::TIMED_OUT) => Ok(()),
            other => fail!("expected no packet after {expected:?}: {other:?}"),
        }
    }

    /// The next packet is this one, with this key; all its bytes are compared.
    #[track_caller]
    pub fn packet(&self, key: u64, expected: Packet) -> Outcome {
        let (command, first, end) = match expected {
            Read(first, end) => (PageRequestCommand::Read, first, end),
            Dirty(first, end) => (PageRequestCommand::Dirty, first, end),
            Complete => (PageRequestCommand::Complete, 0, 0),
        };
        let (offset, length) = (first * PAGE_SIZE, (end - first) * PAGE_SIZE);
        let wanted = PortPacket::page_request(key, command, offset, length);
        match self.port.wait(soon()) {
            Ok(packet) if packet == wanted => Ok(()),
            other => fail!("{other:?} instead of {expected:?}"),
        }
    }

    /// Supplies pages.
    pub fn supply(&self, pages: Range<u64>) -> Outcome {
        Ok(self.try_supply(&self.vmo, pages)?)
    }

    /// Supplies pages of a VMO.
    pub fn try_supply(&self, vmo: &Vmo, pages: Range<u64>) -> Result<(), Status> {
        let aux = Vmo::create((pages.end - pages.start) * PAGE_SIZE)?;
        for page in pages.clone() {
            aux.write(&[page as u8; PAGE], (page - pages.start) * PAGE_SIZE)?;
        }
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        self.pager.supply_pages(vmo, bytes, &aux, 0)
    }

    /// Supplies zeros without storage.
    pub fn supply_zeros(&self, pages: Range<u64>) -> Outcome {
        let aux = Vmo::create((pages.end - pages.start) * PAGE_SIZE)?;
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        Ok(self.pager.supply_pages(&self.vmo, bytes, &aux, 0)?)
    }

    /// `zx_pager_op_range`.
    pub fn pager_op(&self, op: PagerOp, pages: Range<u64>) -> Result<(), Status> {
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        self.pager.op_range(op, &self.vmo, bytes)
    }

    /// Fails pages.
    pub fn fail(&self, pages: Range<u64>, status: Status) -> Outcome {
        Ok(self.pager_op(PagerOp::Fail(status), pages)?)
    }

    /// Pages may be written to.
    pub fn dirty(&self, pages: Range<u64>) -> Outcome {
        Ok(self.pager_op(PagerOp::Dirty, pages)?)
    }

    /// The writeback of pages begins.
    pub fn begin(&self, pages: Range<u64>) -> Outcome {
        let whole = PagerWritebackBeginOptions::empty();
        Ok(self.pager_op(PagerOp::WritebackBegin(whole), pages)?)
    }

    /// The writeback of pages ends.
    pub fn end(&self, pages: Range<u64>) -> Outcome {
        Ok(self.pager_op(PagerOp::WritebackEnd, pages)?)
    }

    /// Zeros whole pages.
    pub fn zero(&self, pages: Range<u64>) -> Outcome {
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        Ok(self.vmo.op_range(VmoOp::Zero, bytes)?)
    }

    /// The VMO's dirty ranges are these.
    #[track_caller]
    pub fn dirty_are(&self, expected: &[DirtyRange]) -> Outcome {
        let mut ranges = [VmoDirtyRange::default(); 8];
        let all = 0..self.vmo.get_size()?;
        let count = self.pager.query_dirty_ranges(&self.vmo, all, &mut ranges)?;
        let found = ranges.get(..count.actual).unwrap_or_default();
        let equal = found.iter().map(in_pages).eq(expected.iter().copied());
        match equal && count.available == count.actual {
            true => Ok(()),
            false => fail!("{found:?}, not {expected:?}"),
        }
    }

    /// Whether the VMO was modified since this was last asked.
    pub fn was_modified(&self) -> Result<bool, Failure> {
        Ok(self.pager.query_vmo_stats(&self.vmo, true)?)
    }

    /// Pages of a VMO that count as committed.
    pub fn committed(&self, vmo: &Vmo) -> Result<u64, Failure> {
        Ok(vmo.info()?.committed_bytes / PAGE_SIZE)
    }

    /// Pages of a VMO that are there are filled with these bytes.
    #[track_caller]
    pub fn bytes_are(&self, vmo: &Vmo, first: u64, expected: &[u8]) -> Outcome {
        let mut bytes = [0; PAGE];
        for (page, expected) in (first..).zip(expected) {
            vmo.read(&mut bytes, page * PAGE_SIZE)?;
            if !bytes.iter().all(|byte| byte == expected) {
                fail!("page {page} holds {}, not {expected}", bytes[0]);
            }
        }
        Ok(())
    }

    /// Closes the pager.
    pub fn close_pager(&self) -> Outcome {
        Ok(raw::handle_close(self.pager.raw_handle()).ok()?)
    }

    /// Detaches the VMO.
    pub fn detach(&self) -> Outcome {
        Ok(self.pager.detach_vmo(&self.vmo)?)
    }

    /// A child of the VMO, in pages.
    pub fn child(&self, options: zx::ChildOptions, pages: Range<u64>) -> Result<Vmo, Failure> {
        let (offset, size) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        Ok(self.vmo.create_child(options, offset, size)?)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A scenario that failed may leave threads that wait: they end with it.
        let _ = self.pager.detach_vmo(&self.vmo);
        let _ = raw::handle_close(self.pager.raw_handle());
    }
}
