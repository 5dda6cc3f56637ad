//! Pagers: `zx_pager_create`, `zx_pager_create_vmo`; and the VMM's own side as a provider.

use std::ops::Range;

use protocol::options::VmoOptions;
use protocol::{PolicyCondition, RawHandle, Rights, Signals, Status};

use crate::header::Header;
use crate::ids::{ObjectRef, PagerId, PortId, VmoId};
use crate::kernel::{Begin, Caller, Kernel};
use crate::memory::{MemoryOp, MemoryOpId, Pages};
use crate::pages::{PageState, runs};
use crate::source::{PageSource, Provider};
use crate::vmo::{Vmo, VmoKind};
use crate::vmo_calls::{sizes, vmo_options};

/// A pager.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    pub header: Header,
}

impl Kernel {
    pub(crate) fn sys_pager_create(&mut self, caller: Caller, options: u32, out: u64) -> Begin {
        if options != 0 {
            return Err(Status::INVALID_ARGS);
        }
        self.enforce(caller, PolicyCondition::NewPager)?;
        let id = PagerId(self.next_koid());
        self.pagers.insert(
            id,
            Pager {
                header: Header::new(Signals::empty()),
            },
        );
        self.return_handle(caller, ObjectRef::Pager(id), Rights::DEFAULT_PAGER, out)
    }

    /// Policy, pager, port, options, size: in this order.
    #[allow(clippy::too_many_arguments)] // the call's own
    pub(crate) fn sys_pager_create_vmo(
        &mut self,
        caller: Caller,
        pager: RawHandle,
        options: u32,
        port: RawHandle,
        key: u64,
        size: u64,
        out: u64,
    ) -> Begin {
        self.enforce(caller, PolicyCondition::NewVmo)?;
        let (pager, _) = self.typed::<PagerId>(caller.process, pager, Rights::ATTACH_VMO)?;
        let (port, _) = self.typed::<PortId>(caller.process, port, Rights::WRITE)?;
        let allowed = VmoOptions::RESIZABLE | VmoOptions::UNBOUNDED | VmoOptions::TRAP_DIRTY;
        let options = vmo_options(options, allowed)?;
        if options.contains(VmoOptions::UNBOUNDED) && size == u64::MAX {
            return Err(Status::INVALID_ARGS);
        }
        let (size, stream_size) = sizes(size, options)?;
        let source = PageSource::new(Provider::Pager { pager, port, key });
        let vmo = Vmo::new(size, stream_size, options, VmoKind::Paged(Box::new(source)));
        let id = self.add_vmo(vmo);
        self.return_vmo(caller, id, out)
    }

    /// Makes a VMO that the VMM provides: `size` bytes of content, never resized. It has no handle yet.
    pub fn add_host_vmo(&mut self, name: &str, size: u64, writable: bool) -> Result<VmoId, Status> {
        let source = PageSource::new(Provider::Host { writable });
        self.add_named_vmo(name, size, VmoKind::Paged(Box::new(source)))
    }

    /// Makes a zero-filled VMO that has no handle yet.
    pub fn add_anonymous_vmo(&mut self, name: &str, size: u64) -> Result<VmoId, Status> {
        self.add_named_vmo(name, size, VmoKind::Anonymous)
    }

    fn add_named_vmo(&mut self, name: &str, size: u64, kind: VmoKind) -> Result<VmoId, Status> {
        let (size, stream_size) = sizes(size, VmoOptions::empty())?;
        let mut vmo = Vmo::new(size, stream_size, VmoOptions::empty(), kind);
        vmo.header.set_name(name.as_bytes());
        Ok(self.add_vmo(vmo))
    }

    /// The VMM has content for these pages of a VMO it provides: which of them are to be installed now, each run with the
    /// operation to end by [`Kernel::memory_done`]. Those that were asked for and are still wanted are among them; others only as far as
    /// the limit leaves room at once.
    pub fn supply_begin(&mut self, now: i64, pages: Pages) -> Vec<(MemoryOpId, Pages)> {
        self.now = now;
        let mut begun = Vec::new();
        let mut rest = pages.range();
        while let Some(run) = self.next_suppliable(pages.vmo, rest.clone()) {
            rest.start = run.end;
            let end = self.count_supply(pages.vmo, run.clone());
            if end == run.start {
                continue;
            }
            let pages = Pages {
                vmo: pages.vmo,
                first: run.start,
                count: end - run.start,
            };
            let id = MemoryOpId(self.next_id());
            // To the core, content that the VMM installs is as good as zeros.
            let op = MemoryOp::Zero {
                pages,
                protect: true,
            };
            let flight = self.mark_busy(id, op, Some(PageState::Clean), None);
            self.memory.insert(id, flight);
            begun.push((id, pages));
        }
        let there = |vmo: &Vmo, page| vmo.state(page) != PageState::Absent;
        self.unexpect(pages, there);
        self.settle();
        begun
    }

    /// Counts pages that the VMM is about to install, if they do not count already; says where the limit ends them.
    fn count_supply(&mut self, id: VmoId, run: Range<u64>) -> u64 {
        let mut at = run.start;
        while at < run.end {
            let source = self.vmos.get_mut(&id).and_then(|vmo| vmo.source_mut());
            let Some(expected) = source.map(|source| &mut source.expected) else {
                break;
            };
            if let Some(part) = expected.containing(at) {
                let end = part.end.min(run.end);
                expected.remove(at..end);
                at = end;
                continue;
            }
            let wanted = expected.next_in(at).unwrap_or(run.end).min(run.end) - at;
            let granted = self.reserve_spare(wanted);
            at += granted;
            if granted < wanted {
                break;
            }
        }
        at
    }

    /// Gives back pages that the VMM was asked for and that will not arrive, so far as `which` says so.
    fn unexpect(&mut self, pages: Pages, which: impl Fn(&Vmo, u64) -> bool) {
        let Some(vmo) = self.vmos.get(&pages.vmo) else {
            return;
        };
        let expected = match vmo.source().map(|source| &source.expected) {
            Some(expected) if !expected.is_empty() => expected.within(pages.range()),
            _ => return,
        };
        let expected = expected.into_iter().flatten();
        let gone: Vec<u64> = expected.filter(|&page| which(vmo, page)).collect();
        self.room.untake(gone.len() as u64);
        let source = self
            .vmos
            .get_mut(&pages.vmo)
            .and_then(|vmo| vmo.source_mut());
        if let Some(source) = source {
            for run in runs(gone) {
                source.expected.remove(run);
            }
        }
    }

    /// The VMM cannot provide these pages: whoever waits for one of them gets `status`.
    pub fn supply_fail(&mut self, now: i64, pages: Pages, status: Status) {
        self.now = now;
        self.unexpect(pages, |_, _| true);
        self.resolve(pages.vmo, pages.range(), Some(status));
        self.settle();
    }
}
