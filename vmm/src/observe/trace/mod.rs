//! `--trace`: a run as a file for Perfetto (<https://ui.perfetto.dev>, `trace_processor`).
//!
//! There is a track for each vCPU, guest thread, VMO and pager. A vCPU's slices are exits, from the exit to the next entry; a thread's
//! are system calls and page faults, with the time that it is parked inside them; on VMOs and pagers things happen in an instant: pages
//! are asked for, come and go. Every slice that begins ends, whatever was lost, and the file is whole packets at any time.

mod packets;
pub mod proto;
mod tracks;

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use protocol::syscall::SyscallNumber;
use zircon::{Arrival, ObjectRef, OpResult, PagerId, Pages, Supplier};

use self::packets::{Packets, address, number, text};
use self::tracks::{Track, Tracks};
use super::record::{Consumer, Event, Record, Recorded};

/// Writes a trace.
pub(crate) struct Trace<W> {
    path: PathBuf,
    /// `None` once it cannot be written to.
    out: Option<W>,
    error: Option<io::Error>,
    packets: Packets,
    tracks: Tracks,
    vcpus: u32,
    events: u64,
    lost: u64,
}

impl Trace<File> {
    /// Makes the file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, vcpus: u32) -> io::Result<Self> {
        Ok(Trace::new(path, File::create(path)?, vcpus))
    }
}

impl<W: Write> Trace<W> {
    fn new(path: &Path, out: W, vcpus: u32) -> Self {
        Trace {
            path: path.into(),
            out: Some(out),
            error: None,
            packets: Packets::default(),
            tracks: Tracks::default(),
            vcpus,
            events: 0,
            lost: 0,
        }
    }

    /// Writes what is ready; the first failure is the last try.
    fn flush(&mut self) {
        let bytes = self.packets.take();
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(&bytes).and_then(|()| out.flush())
        {
            self.error = Some(error);
            self.out = None;
        }
        self.packets.give_back(bytes);
    }

    fn record(&mut self, record: &Record) {
        let (at, packets, tracks) = (record.at, &mut self.packets, &mut self.tracks);
        let cpu = Track::Cpu(record.lane);
        match record.event {
            Event::Exit(kind) => tracks.begin_anew(packets, at, cpu, kind.name(), vec![]),
            Event::Enter => tracks.end_all(packets, at, cpu),
            Event::Call { thread, number: n } => {
                let name = match SyscallNumber::from_register(n) {
                    Some(call) => format!("zx_{}", call.name()),
                    None => format!("system call {n}"),
                };
                let details = self.on_cpu(record.lane);
                let (packets, tracks) = (&mut self.packets, &mut self.tracks);
                tracks.begin_anew(packets, at, Track::Thread(thread), &name, details);
            }
            Event::Fault {
                thread,
                address: touched,
                access,
            } => {
                let mut details = self.on_cpu(record.lane);
                details.push(address("address", touched));
                details.push(text("access", access.to_string()));
                let (packets, tracks) = (&mut self.packets, &mut self.tracks);
                tracks.begin_anew(packets, at, Track::Thread(thread), "page fault", details);
            }
            Event::Parked(thread) => {
                tracks.begin_within(packets, at, Track::Thread(thread), "parked");
            }
            Event::Completed { thread, how } => {
                let details = vec![text("result", ending(how))];
                tracks.instant(packets, at, Track::Thread(thread), "completion", details);
            }
            Event::Ended(thread) => tracks.end_all(packets, at, Track::Thread(thread)),
            Event::ThreadEnded(thread) => {
                tracks.end_all(packets, at, Track::Thread(thread));
                tracks.forget(Track::Thread(thread));
            }
            Event::Judged { pages, used } => {
                let name = if used { "was used" } else { "was never used" };
                self.pages(at, name, pages, None, vec![]);
            }
            Event::Freed(vmo) => tracks.forget(Track::Vmo(vmo.0)),
            Event::Core(event) => self.core(at, event),
        }
    }

    fn on_cpu(&self, lane: u32) -> Vec<proto::DebugAnnotation> {
        let known = (lane < self.vcpus).then(|| number("vcpu", lane.into()));
        known.into_iter().collect()
    }

    fn core(&mut self, at: u64, event: zircon::Event) {
        match event {
            zircon::Event::Named { object, of, name } => {
                let track = match object {
                    ObjectRef::Process(id) => Track::Process(id.0),
                    ObjectRef::Thread(id) => Track::Thread(id.0),
                    ObjectRef::Vmo(id) => Track::Vmo(id.0),
                    _ => return,
                };
                self.tracks.name(&mut self.packets, track, of, &name);
            }
            zircon::Event::Requested {
                pages,
                dirty,
                pager,
            } => {
                let name = if dirty { "dirty request" } else { "request" };
                self.pages(at, name, pages, Some(pager), vec![]);
            }
            zircon::Event::Came { pages, why, from } => {
                let (name, pager) = match from {
                    Supplier::Nobody => ("install", None),
                    _ if why == Arrival::Inherited => ("install", None),
                    Supplier::Host => ("supply", Some(None)),
                    Supplier::Pager(pager) => ("supply", Some(Some(pager))),
                };
                let why = match why {
                    Arrival::Asked => "asked for",
                    Arrival::Ahead => "ahead",
                    Arrival::Zeros => "zeros without storage",
                    Arrival::Inherited => "of another VMO",
                };
                self.pages(at, name, pages, pager, vec![text("why", why)]);
            }
            zircon::Event::Left(pages) => self.pages(at, "gone", pages, None, vec![]),
            zircon::Event::Failed {
                pages,
                status,
                pager,
            } => {
                let details = vec![text("status", status.to_string())];
                self.pages(at, "failure", pages, Some(pager), details);
            }
        }
    }

    /// Something happens to pages of a VMO, perhaps by way of a pager (the inner `None`: the VMM).
    fn pages(
        &mut self,
        at: u64,
        name: &str,
        pages: Pages,
        pager: Option<Option<PagerId>>,
        mut details: Vec<proto::DebugAnnotation>,
    ) {
        details.push(number("first page", pages.first));
        details.push(number("pages", pages.count));
        let (packets, tracks) = (&mut self.packets, &mut self.tracks);
        if let Some(pager) = pager {
            let mut details = details.clone();
            details.push(number("vmo", pages.vmo.0));
            let track = Track::Pager(pager.map_or(0, |pager| pager.0));
            tracks.instant(packets, at, track, name, details);
        }
        tracks.instant(packets, at, Track::Vmo(pages.vmo.0), name, details);
    }
}

impl<W: Write + Send> Consumer for Trace<W> {
    fn take(&mut self, records: &[Record], lost: u64) {
        if lost > 0 {
            self.lost += lost;
            let at = records.first().map_or(0, |record| record.at);
            let details = vec![number("events", lost)];
            self.packets.mark_gap();
            self.tracks
                .instant(&mut self.packets, at, Track::Lost, "lost", details);
        }
        if self.out.is_some() {
            records.iter().for_each(|record| self.record(record));
            self.events += records.len() as u64;
        }
        self.flush();
    }

    fn finish(mut self: Box<Self>, at: u64) -> Recorded {
        self.tracks.end_everything(&mut self.packets, at);
        self.flush();
        Recorded {
            path: self.path,
            events: self.events,
            lost: self.lost,
            error: self.error,
        }
    }
}

fn ending(how: OpResult) -> &'static str {
    match how {
        OpResult::Returned(_) => "returned",
        OpResult::Retry => "try again",
        OpResult::Restart => "dropped: the thread stops",
        OpResult::Gone => "the thread is gone",
    }
}

#[cfg(test)]
mod tests;
