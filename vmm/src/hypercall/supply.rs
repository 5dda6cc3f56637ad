//! Answering the page requests of VMOs that the VMM provides.
//!
//! A [`Pager`] is handed what was asked for and answers as it likes; the rest is about content that can be read.
//!
//! A request is served on the thread that met it as far as the pager has the data at once; the rest goes to a worker. Pages are
//! read into a buffer, installed, and published, in runs of at most [`RUN`] pages. What is read ahead of a request may fail
//! without anybody noticing; what was asked for fails the request.

mod events;

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use protocol::{PAGE_SIZE, Status};
use zircon::{Pages, VmoId};

use super::shared::{Vm, lock};
use crate::pager::{
    HostPager, PageRequest, Pager, ReadAhead, ReadError, Reply, SupplyPolicy, Wait,
};

/// Most pages read at once.
const RUN: u64 = 64;

thread_local! {
    /// What this thread reads into, while it does not: an allocation and zeros a fault would cost as much as decoding it.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A VMO that the VMM provides.
#[derive(Debug)]
pub(crate) struct HostVmo {
    /// Its size.
    pages: u64,
    provider: Provider,
    /// How much later every request is answered.
    delay: Option<Duration>,
    /// Faults come as events.
    events: bool,
}

#[derive(Debug)]
enum Provider {
    /// Content that can be read at any offset, ahead as well.
    Reads(Reads),
    /// A pager that answers requests.
    Answers(Arc<dyn Pager>),
}

#[derive(Debug)]
struct Reads {
    pager: Arc<dyn HostPager>,
    ahead: Mutex<ReadAhead>,
}

impl HostVmo {
    pub fn new(pager: Arc<dyn HostPager>, policy: SupplyPolicy) -> Self {
        let pages = pager.size().div_ceil(PAGE_SIZE);
        let ahead = Mutex::new(ReadAhead::new(policy));
        let provider = Provider::Reads(Reads { pager, ahead });
        HostVmo {
            pages,
            provider,
            delay: None,
            events: false,
        }
    }

    /// The same with an artificial latency.
    pub fn delayed(self, delay: Option<Duration>) -> Self {
        HostVmo { delay, ..self }
    }

    /// Of this many bytes, which `pager` answers for.
    pub fn answered(pager: Arc<dyn Pager>, size: u64) -> Self {
        let pages = size.div_ceil(PAGE_SIZE);
        HostVmo {
            pages,
            provider: Provider::Answers(pager),
            delay: None,
            events: false,
        }
    }
}

impl HostVmo {
    /// Pages that were read ahead, and that nobody has shown to be of use so far.
    pub fn unproven(&self) -> u64 {
        match &self.provider {
            Provider::Reads(reads) => lock(&reads.ahead).unproven(),
            Provider::Answers(_) => 0,
        }
    }
}

impl Reads {
    /// Asks the pager. One that panics, or would block where it may, has failed: the request must not stay open.
    fn read(&self, offset: u64, buffer: &mut [u8], wait: Wait) -> Result<(), ReadError> {
        let length = buffer.len();
        let failed = |what| ReadError::Failed {
            status: Status::IO,
            reason: format!(
                "the pager {what}, asked for {length} bytes at {offset}: {:?}",
                self.pager
            ),
        };
        let read = catch_unwind(AssertUnwindSafe(|| self.pager.read(offset, buffer, wait)));
        match read {
            Err(_) => Err(failed("panicked")),
            Ok(Err(ReadError::WouldBlock)) if wait == Wait::Allowed => {
                Err(failed("would not wait"))
            }
            Ok(read) => read,
        }
    }
}

impl Vm {
    /// Serves a request as far as that needs no waiting.
    pub(super) fn host_read(self: &Vm, pages: Pages) {
        self.stats.page_request(pages.count);
        let Some(host) = lock(&self.host_vmos).get(&pages.vmo).cloned() else {
            return;
        };
        match (host.delay, self.this()) {
            (Some(delay), Some(vm)) => self.delayer.after(delay, move || {
                vm.answer(&host, pages);
                vm.drain(None);
            }),
            _ => self.answer(&host, pages),
        }
    }

    /// Nobody reads any more: what was read ahead and not shown to be of use never will be.
    pub(crate) fn end_reading(&self) {
        for (_, host) in std::mem::take(&mut *lock(&self.host_vmos)) {
            self.stats.in_vain(host.unproven());
        }
    }

    /// Brings in content that nobody has asked for, if this VMM can read it.
    pub(super) fn fetch(&self, pages: Pages, wait: Wait) {
        let host = lock(&self.host_vmos).get(&pages.vmo).cloned();
        if let Some(Provider::Reads(reads)) = host.as_deref().map(|host| &host.provider) {
            let read = self.read_and_supply(reads, pages, pages.first, wait);
            if let Err(error) = read {
                log::info!("VMO {}, page {}: {error:?}", pages.vmo.0, pages.first);
            }
        }
    }

    /// Reads what was asked for, or hands it to its pager.
    fn answer(&self, host: &Arc<HostVmo>, pages: Pages) {
        match &host.provider {
            Provider::Reads(reads) => {
                // What is read ahead never makes needed pages go.
                let room = self.core().room_left();
                let plan = lock(&reads.ahead).plan(pages.range(), host.pages, room);
                self.stats.in_vain(plan.in_vain);
                self.serve(host, reads, pages, plan.run.end, Wait::Never);
                for run in plan.others() {
                    if self.serve_unasked(reads, pages.vmo, run).is_err() {
                        break;
                    }
                }
            }
            Provider::Answers(pager) => self.ask(pager.as_ref(), pages),
        }
    }

    /// Supplies pages that will be asked for, as far as that needs no waiting.
    fn serve_unasked(&self, reads: &Reads, vmo: VmoId, run: Range<u64>) -> Result<(), ReadError> {
        let (first, count) = (run.start, run.end - run.start);
        let run = Pages { vmo, first, count };
        self.read_and_supply(reads, run, first, Wait::Never)
    }

    /// Hands a request to a pager, in parts of at most [`RUN`] pages.
    fn ask(&self, pager: &dyn Pager, pages: Pages) {
        let caller = thread::current().id();
        for first in pages.range().step_by(RUN as usize) {
            let count = RUN.min(pages.range().end - first);
            let part = Pages {
                first,
                count,
                ..pages
            };
            let (vm, returned) = (self.this.clone(), Arc::new(AtomicBool::new(false)));
            let over = Arc::clone(&returned);
            let answer = Box::new(move |reply: Reply<'_>| {
                let Some(vm) = vm.upgrade().filter(|vm| !vm.is_stopped()) else {
                    return;
                };
                vm.reply(part, reply);
                // Who called the pager goes on with what follows from it by itself.
                if over.load(Ordering::Relaxed) || thread::current().id() != caller {
                    vm.drain(None);
                }
            });
            let length = (count * PAGE_SIZE) as usize;
            let request = PageRequest::new(first * PAGE_SIZE, length, answer);
            // A panic drops the request, which fails it.
            let asked = catch_unwind(AssertUnwindSafe(|| pager.supply(request)));
            returned.store(true, Ordering::Relaxed);
            if asked.is_err() {
                log::error!(
                    "the pager panicked, asked for {length} bytes at {}: {pager:?}",
                    first * PAGE_SIZE
                );
            }
        }
    }

    /// What a pager said to a request.
    fn reply(&self, pages: Pages, reply: Reply<'_>) {
        let failed = match reply {
            Reply::Bytes(content) => self.install(pages, pages.range().end, content).err(),
            Reply::Failed { status, reason } => Some(ReadError::Failed { status, reason }),
        };
        if let Some(ReadError::Failed { status, reason }) = failed {
            self.fail(pages, status, reason);
        }
    }

    /// Serves `asked`, and on to `end` while it is there.
    fn serve(&self, host: &Arc<HostVmo>, reads: &Reads, asked: Pages, end: u64, wait: Wait) {
        let asked_end = asked.first + asked.count;
        let mut first = asked.first;
        while first < end && !self.is_stopped() {
            let ahead = first >= asked_end;
            let stop = if ahead {
                end
            } else {
                asked_end.max((first + RUN).min(end))
            };
            let count = (stop - first).min(RUN);
            match self.serve_run(
                reads,
                Pages {
                    first,
                    count,
                    ..asked
                },
                asked_end,
                wait,
            ) {
                Ok(()) => first += count,
                Err(_) if ahead => return,
                Err(ReadError::WouldBlock) => {
                    let rest = Pages {
                        first,
                        count: asked_end - first,
                        ..asked
                    };
                    return self.serve_later(host, rest, end);
                }
                Err(ReadError::Failed { status, reason }) => {
                    return self.fail(
                        Pages {
                            first,
                            count: asked_end - first,
                            ..asked
                        },
                        status,
                        reason,
                    );
                }
            }
        }
    }

    /// One run; if pages beyond those asked for spoil it, without them.
    fn serve_run(
        &self,
        reads: &Reads,
        run: Pages,
        asked_end: u64,
        wait: Wait,
    ) -> Result<(), ReadError> {
        let result = self.read_and_supply(reads, run, asked_end, wait);
        let asked = asked_end.saturating_sub(run.first);
        if result.is_err() && asked > 0 && asked < run.count {
            let run = Pages {
                count: asked,
                ..run
            };
            return self.read_and_supply(reads, run, asked_end, wait);
        }
        result
    }

    fn read_and_supply(
        &self,
        reads: &Reads,
        run: Pages,
        asked_end: u64,
        wait: Wait,
    ) -> Result<(), ReadError> {
        let bytes = (run.count * PAGE_SIZE) as usize;
        let mut buffer = BUFFER.take();
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        let content = buffer.get_mut(..bytes).unwrap_or_default();
        let read = reads.read(run.first * PAGE_SIZE, content, wait);
        let supplied = read.and_then(|()| self.install(run, asked_end, content));
        BUFFER.set(buffer);
        supplied
    }

    /// Installs content, as far as it is still wanted, and publishes it.
    fn install(&self, run: Pages, asked_end: u64, content: &[u8]) -> Result<(), ReadError> {
        let now = self.now();
        let begun = self.core().supply_begin(now, run);
        let mut failure = None;
        for (id, pages) in begun {
            if let Some(status) = failure {
                // The core waits for the end of every run that it began.
                let failed = zircon::MemoryResult::Failed(status);
                self.core().memory_done(now, id, failed);
                continue;
            }
            let start = ((pages.first - run.first) * PAGE_SIZE) as usize;
            let part = content.get(start..start + (pages.count * PAGE_SIZE) as usize);
            let result = self
                .memory
                .supply(pages.vmo, pages.first, part.unwrap_or_default());
            let asked = asked_end.saturating_sub(pages.first).min(pages.count);
            self.stats.supplied(asked, pages.count - asked);
            if let zircon::MemoryResult::Failed(status) = result {
                failure = Some(status);
            }
            self.core().memory_done(now, id, result);
        }
        match failure {
            None => Ok(()),
            Some(status) => {
                let reason = format!("no memory for {} pages of VMO {}", run.count, run.vmo.0);
                Err(ReadError::Failed { status, reason })
            }
        }
    }

    fn fail(&self, pages: Pages, status: Status, reason: String) {
        log::warn!("{reason}");
        *lock(&self.pager_failure) = Some((pages.vmo, reason));
        let now = self.now();
        self.core().supply_fail(now, pages, status);
    }

    /// Leaves a request that has to wait for the host to a worker.
    fn serve_later(&self, host: &Arc<HostVmo>, asked: Pages, end: u64) {
        let Some(vm) = self.this() else { return };
        let host = Arc::clone(host);
        let job = move || {
            if let Provider::Reads(reads) = &host.provider {
                vm.serve(&host, reads, asked, end, Wait::Allowed);
            }
            vm.drain(None);
        };
        if let Err(error) = self.workers.submit(job) {
            self.fail(asked, Status::IO, error.to_string());
        }
    }
}
