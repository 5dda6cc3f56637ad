//! Pinning: pages of a VMO that a device may use, and so must stay where they are.
//!
//! `zx_bti_pin` makes pages ready front to back, looking again from the first one each time it has waited, and pins them when all are;
//! then their addresses are asked for and written out with the handle of the pinned memory token. Whatever goes wrong unpins them. A token whose last handle
//! is closed without `zx_pmt_unpin` keeps its pages pinned, in its BTI's quarantine, until that is released.

use std::ops::Range;

use protocol::info::InfoBti;
use protocol::options::BtiOptions;
use protocol::{PAGE_SIZE, RawHandle, Rights, Signals, Status};

use crate::handle::{Handle, require};
use crate::header::Header;
use crate::ids::{BtiId, ObjectRef, PmtId, ProcessId, Token, VmoId};
use crate::kernel::{Begin, Caller, Kernel, Started};
use crate::memory::{MemoryOp, MemoryResult, Pages};
use crate::memory_ops::page_span;
use crate::op::{Body, Op, Step, StepResult, Waiting};
use crate::ready::{Intent, Need, Ready};
use crate::supply::check_range;
use crate::user::{CopyOut, Undo};

/// Most addresses of one call.
const MAX_ADDRESSES: u64 = 32_768;

/// Most addresses that are asked of memory at once.
const LOCATE_PAGES: u64 = 4096;

/// A pinned memory token.
#[derive(Clone, Debug)]
pub(crate) struct Pmt {
    pub header: Header,
    bti: BtiId,
    /// The VMO that holds the pages.
    vmo: VmoId,
}

/// Pages of a VMO that a token pins.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    pub pmt: PmtId,
    pub pages: Range<u64>,
    /// The device may write to them: they stay dirty.
    pub write: bool,
}

/// A pin that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Pinning {
    process: ProcessId,
    pub pmt: PmtId,
    /// The VMO that holds the pages.
    vmo: VmoId,
    pages: Range<u64>,
    /// They are pinned.
    pinned: bool,
    write: bool,
    /// Only the first address is told.
    contiguous: bool,
    addresses: Vec<u64>,
    /// Where the addresses and the token's handle go.
    out: (u64, u64),
    /// Addresses that the program has room for.
    count: u64,
}

/// The arguments of `zx_bti_pin`, in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PinArgs {
    pub bti: RawHandle,
    pub options: u32,
    pub vmo: RawHandle,
    pub offset: u64,
    pub size: u64,
    pub addresses: u64,
    pub count: u64,
    pub out: u64,
}

impl Kernel {
    /// BTI, alignment, count, VMO, its rights, options, range: in this order.
    pub(crate) fn sys_bti_pin(&mut self, caller: Caller, args: PinArgs) -> Begin {
        let (bti, _) = self.typed::<BtiId>(caller.process, args.bti, Rights::MAP)?;
        if !(args.offset | args.size).is_multiple_of(PAGE_SIZE) || args.count > MAX_ADDRESSES {
            return Err(Status::INVALID_ARGS);
        }
        let (id, rights) = self.typed::<VmoId>(caller.process, args.vmo, Rights::MAP)?;
        let options = BtiOptions::from_bits_retain(args.options);
        if options.intersects(BtiOptions::PERM_READ | BtiOptions::PERM_EXECUTE) {
            require(rights, Rights::READ)?;
        }
        let write = options.contains(BtiOptions::PERM_WRITE);
        if write {
            require(rights, Rights::WRITE)?;
        }
        let contiguous = options.contains(BtiOptions::CONTIGUOUS);
        let known = BtiOptions::from_bits(args.options).is_some();
        let both = options.contains(BtiOptions::COMPRESS | BtiOptions::CONTIGUOUS);
        let scattered = !self.is_contiguous(id) && !self.is_physical(id);
        if both || !known || (contiguous && scattered) || args.size == 0 {
            return Err(Status::INVALID_ARGS);
        }
        check_range(args.offset, args.size, self.size(id))?;
        let (vmo, offset) = self.root(id, args.offset);
        let first = offset / PAGE_SIZE;
        let pmt = PmtId(self.next_koid());
        let header = Header::new(Signals::empty());
        self.pmts.insert(pmt, Pmt { header, bti, vmo });
        self.hold_storage(vmo);
        if let Some(bti) = self.btis.get_mut(&bti) {
            bti.pmts.insert(pmt);
        }
        let body = Body::Pin(Pinning {
            process: caller.process,
            pmt,
            vmo,
            pages: first..first + args.size / PAGE_SIZE,
            pinned: false,
            write,
            contiguous,
            addresses: Vec::new(),
            out: (args.addresses, args.out),
            count: args.count,
        });
        self.begin(caller, body, vec![id])
    }

    pub(crate) fn step_pin(
        &mut self,
        token: Token,
        op: &mut Op,
        pinning: &mut Pinning,
    ) -> StepResult {
        let step = self.pin(token, op, pinning);
        if step.is_err() {
            self.unpin(pinning.pmt);
        }
        step
    }

    fn pin(&mut self, token: Token, op: &mut Op, pinning: &mut Pinning) -> StepResult {
        if let Some(MemoryResult::Addresses(addresses)) = op.take_reply()? {
            pinning.addresses.extend(addresses);
        }
        let error = op.error.take();
        if !pinning.pinned {
            let pages = self.vmos.get(&pinning.vmo).map(|vmo| vmo.page_count());
            if pages.is_none_or(|pages| pinning.pages.end > pages) {
                return Err(Status::OUT_OF_RANGE);
            }
            if let Some(error) = error {
                return Err(error);
            }
            if let Some(wait) = self.pin_pages(token, pinning)? {
                return Ok(wait);
            }
        }
        self.pinned(token, pinning)
    }

    /// Makes pages ready, and pins them when all are; `None` when they are pinned.
    fn pin_pages(&mut self, token: Token, pinning: &mut Pinning) -> Result<Option<Step>, Status> {
        let need = Need::whole(match pinning.write {
            true => Intent::Write,
            false => Intent::Pin,
        });
        let mut offset = pinning.pages.start * PAGE_SIZE;
        let end = pinning.pages.end * PAGE_SIZE;
        while offset < end {
            match self.prepare(token, pinning.vmo, offset, end - offset, need)? {
                Ready::Wait(waiting) => return Ok(Some(Step::Wait(waiting))),
                Ready::Present(bytes) | Ready::Zeros(bytes) => offset += bytes,
            }
        }
        let vmo = self.vmos.get_mut(&pinning.vmo).ok_or(Status::BAD_STATE)?;
        vmo.pins.push(Pinned {
            pmt: pinning.pmt,
            pages: pinning.pages.clone(),
            write: pinning.write,
        });
        pinning.pinned = true;
        if pinning.write {
            self.note_modified(pinning.vmo);
        }
        Ok(None)
    }

    /// All pages are pinned: asks for their addresses, then writes them out.
    fn pinned(&mut self, token: Token, pinning: &mut Pinning) -> StepResult {
        let wanted = match pinning.contiguous {
            true => 1,
            false => pinning.pages.end - pinning.pages.start,
        };
        if pinning.count != wanted {
            return Err(Status::INVALID_ARGS);
        }
        let told = pinning.addresses.len() as u64;
        if told < wanted {
            let pages = Pages {
                vmo: pinning.vmo,
                first: pinning.pages.start + told,
                count: (wanted - told).min(LOCATE_PAGES),
            };
            self.emit(Some(token), MemoryOp::Locate(pages));
            return Ok(Step::Wait(Waiting::Memory));
        }
        let object = ObjectRef::Pmt(pinning.pmt);
        let raw = self.give_handle(pinning.process, object, Rights::DEFAULT_PMT)?;
        let addresses = pinning.addresses.iter();
        let addresses = addresses.flat_map(|address| address.to_le_bytes());
        let (to, out) = pinning.out;
        Ok(Step::Become(Body::CopyOut(CopyOut {
            process: pinning.process,
            writes: vec![(to, addresses.collect()), (out, raw.to_le_bytes().to_vec())],
            value: Status::OK,
            undo: Undo::Pin(pinning.process, raw),
        })))
    }

    /// The handle is consumed, also if it is not a token's.
    pub(crate) fn sys_pmt_unpin(&mut self, caller: Caller, raw: RawHandle) -> Begin {
        let handle = self.handle(caller.process, raw)?;
        self.unpin_handle(caller.process, raw);
        match handle.object {
            ObjectRef::Pmt(_) => Ok(Started::Done(0)),
            _ => Err(Status::WRONG_TYPE),
        }
    }

    /// Ends the pin that a handle stands for, and closes the handle.
    pub(crate) fn unpin_handle(&mut self, process: ProcessId, raw: RawHandle) {
        if let Ok(handle) = self.handle(process, raw) {
            if let ObjectRef::Pmt(pmt) = handle.object {
                self.unpin(pmt);
            }
            // The value was live a moment ago.
            let _ = self.close_handle(process, raw);
        }
    }

    /// Ends a pin; the token stays for as long as it has a handle.
    pub(crate) fn unpin(&mut self, id: PmtId) {
        let Some(Pmt { bti, vmo, .. }) = self.pmts.get(&id).cloned() else {
            return;
        };
        let Some(owner) = self.btis.get_mut(&bti) else {
            return;
        };
        // A token that is in no list was unpinned before.
        if !owner.pmts.remove(&id) && !owner.quarantine.remove(&id) {
            return;
        }
        let storage = self.vmos.get_mut(&vmo);
        let pins = storage.map(|vmo| vmo.pins.extract_if(.., |pinned| pinned.pmt == id).collect());
        let pins: Vec<Pinned> = pins.unwrap_or_default();
        for pinned in pins {
            self.may_go(vmo, pinned.pages);
        }
        self.release_storage(vmo);
        if self
            .pmts
            .get(&id)
            .is_some_and(|pmt| pmt.header.handles == 0)
        {
            self.pmts.remove(&id);
        }
        self.drop_bti(bti);
    }

    /// BAD_STATE if a page of a range is pinned; `id` holds the pages.
    pub(crate) fn check_unpinned(&self, id: VmoId, offset: u64, length: u64) -> Result<(), Status> {
        let vmo = self.vmos.get(&id).ok_or(Status::BAD_STATE)?;
        match vmo.is_pinned(&page_span(offset, length)) {
            true => Err(Status::BAD_STATE),
            false => Ok(()),
        }
    }

    /// The last handle of a token is closed: what it pins goes into quarantine.
    pub(crate) fn drop_pmt(&mut self, id: PmtId) {
        let bti = self.pmts.get(&id).map(|pmt| pmt.bti);
        let bti = bti.and_then(|bti| self.btis.get_mut(&bti));
        if let Some(bti) = bti
            && bti.pmts.remove(&id)
        {
            bti.quarantine.insert(id);
        } else {
            self.pmts.remove(&id);
        }
    }

    pub(crate) fn sys_bti_release_quarantine(&mut self, caller: Caller, raw: RawHandle) -> Begin {
        let (id, _) = self.typed::<BtiId>(caller.process, raw, Rights::WRITE)?;
        let bti = self.btis.get(&id).ok_or(Status::INTERNAL)?;
        for pmt in bti.quarantine.clone() {
            self.unpin(pmt);
        }
        Ok(Started::Done(0))
    }

    /// The record of `zx_object_get_info` for a BTI. The stub's addresses are those of the guest.
    pub(crate) fn info_bti(&self, handle: Handle) -> Result<Vec<u8>, Status> {
        let ObjectRef::Bti(id) = handle.object else {
            return Err(Status::WRONG_TYPE);
        };
        require(handle.rights, Rights::INSPECT)?;
        let bti = self.btis.get(&id).ok_or(Status::INTERNAL)?;
        let quarantine_count = bti.quarantine.len() as u64;
        let record = InfoBti {
            minimum_contiguity: PAGE_SIZE,
            aspace_size: u64::MAX,
            pmo_count: bti.pmts.len() as u64 + quarantine_count,
            quarantine_count,
        };
        Ok(record.to_bytes().to_vec())
    }
}
