//! Recording what happens in a run, for those who write it down: the trace, the heat map.
//!
//! **The life of a record.** Whoever does something notes it in the *lane* of its thread: each vCPU has one, all other threads share one.
//! A lane is a buffer of fixed size behind a lock that nobody else wants, so a note is a time and a copy of a few words, without a
//! system call or an allocation. A thread of its own takes what is in all lanes together, again and again, puts it in order and
//! hands it to the consumers. What does not fit, because that thread is late, is left out and counted.
//!
//! Times are taken while the lane is locked, and all lanes are locked while they are emptied: so every record of a batch is at least as
//! late as any of the batch before.

use std::{
    cell::Cell,
    io, mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use protocol::Koid;
use zircon::{Access, OpResult, Pages, VmoId};

use super::ExitKind;

/// Records that a lane holds: 1.25 MiB, twice (one is filled while the other is written).
const CAPACITY: usize = 1 << 14;

/// How long a record lies in its lane at most, unless the machine is busy.
const PERIOD: Duration = Duration::from_millis(20);

/// How long [`Recorder::note_at_leisure`] waits for room.
const LEISURE: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The lane's vCPU came back to the VMM.
    Exit(ExitKind),
    /// The lane's vCPU is about to run.
    Enter,
    /// A thread makes a system call.
    Call { thread: Koid, number: u64 },
    /// A thread touches a page for which something has to be done.
    Fault {
        thread: Koid,
        address: u64,
        access: Access,
    },
    /// The thread waits for the end of its call or fault.
    Parked(Koid),
    /// The core says how a call or fault that had to wait ended.
    Completed { thread: Koid, how: OpResult },
    /// The thread's call or fault is over.
    Ended(Koid),
    /// The thread is no more.
    ThreadEnded(Koid),
    /// The VMO and its pages are no more.
    Freed(VmoId),
    /// Pages that came ahead were used, or never were.
    Judged { pages: Pages, used: bool },
    /// What the core tells.
    Core(zircon::Event),
}

/// An event with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Nanoseconds since the start of the VM.
    pub at: u64,
    /// The vCPU on whose thread it happened; at or above their number: another thread.
    pub lane: u32,
    /// What happened.
    pub event: Event,
}

/// What makes something of the records.
pub(crate) trait Consumer: Send {
    /// The next records, in the order of their times; before them, so many were lost.
    fn take(&mut self, records: &[Record], lost: u64);
    /// The run is over.
    fn finish(self: Box<Self>, at: u64) -> Recorded;
}

/// What was written of a run.
#[derive(Debug)]
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// Events that it has.
    pub events: u64,
    /// Events that it lacks, because they came faster than they could be written.
    pub lost: u64,
    /// Why it is not complete, or not there.
    pub error: Option<io::Error>,
}

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// From now on this thread is that of a vCPU.
pub(crate) fn on_vcpu(index: u32) {
    LANE.set(index as usize);
}

/// Takes notes from all threads of a VM.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    /// One for each vCPU, then one for all other threads.
    lanes: Vec<Lane>,
    bell: Bell,
}

/// Two lanes share no cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Lane(Mutex<Buffer>);

#[derive(Debug)]
struct Buffer {
    records: Vec<Record>,
    lost: u64,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the thread that empties the lanes.
#[derive(Debug, Default)]
struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    early: bool,
    last: bool,
}

impl Bell {
    fn ring(&self, last: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.early = true;
        state.last |= last;
        self.changed.notify_one();
    }

    /// Waits for it, or for a while; says whether it rang for the last time.
    fn wait(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(state, PERIOD, |rung| !rung.early);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.early = false;
        state.last
    }
}

impl Recorder {
    fn new(vcpus: u32) -> Recorder {
        let lane = || {
            Lane(Mutex::new(Buffer {
                records: Vec::with_capacity(CAPACITY),
                lost: 0,
            }))
        };
        Recorder {
            began: Instant::now(),
            lanes: (0..=vcpus).map(|_| lane()).collect(),
            bell: Bell::default(),
        }
    }

    /// When time was zero.
    pub fn began(&self) -> Instant {
        self.began
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Notes an event of this thread.
    pub fn note(&self, event: Event) {
        let number = LANE.get().min(self.lanes.len().saturating_sub(1));
        let Some(lane) = self.lanes.get(number) else {
            return;
        };
        let mut buffer = lane.lock();
        if buffer.records.len() >= CAPACITY {
            buffer.lost += 1;
            return;
        }
        let (at, lane) = (self.now(), number as u32);
        buffer.records.push(Record { at, lane, event });
        let half = buffer.records.len() == CAPACITY / 2;
        drop(buffer);
        if half {
            self.bell.ring(false);
        }
    }

    /// As [`Recorder::note`], by a thread that has nothing else to do: rather than to lose it, it waits until there is room, for a while.
    pub fn note_at_leisure(&self, event: Event) {
        let number = LANE.get().min(self.lanes.len().saturating_sub(1));
        let full = |lane: &Lane| lane.lock().records.len() >= CAPACITY;
        let until = Instant::now() + LEISURE;
        while self.lanes.get(number).is_some_and(full) && Instant::now() < until {
            self.bell.ring(false);
            thread::sleep(Duration::from_millis(1));
        }
        self.note(event);
    }

    /// Empties all lanes; says how many records were lost.
    fn empty(&self, spare: &mut [Vec<Record>], batch: &mut Vec<Record>) -> u64 {
        let mut buffers: Vec<_> = self.lanes.iter().map(Lane::lock).collect();
        let mut lost = 0;
        for (buffer, spare) in buffers.iter_mut().zip(&mut *spare) {
            mem::swap(&mut buffer.records, spare);
            lost += mem::take(&mut buffer.lost);
        }
        drop(buffers);
        batch.clear();
        spare.iter_mut().for_each(|lane| batch.append(lane));
        batch.sort_by_key(|record| record.at);
        lost
    }
}

/// A recorder, and the thread that empties it; that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    thread: Option<JoinHandle<Vec<Recorded>>>,
}

impl Recording {
    /// Starts the thread.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(vcpus: u32, consumers: Vec<Box<dyn Consumer>>) -> io::Result<Recording> {
        let recorder = Arc::new(Recorder::new(vcpus));
        let thread = {
            let recorder = Arc::clone(&recorder);
            thread::Builder::new()
                .name("recorder".into())
                .spawn(move || consume(&recorder, consumers))?
        };
        Ok(Recording {
            recorder,
            thread: Some(thread),
        })
    }

    /// What takes the notes.
    pub fn recorder(&self) -> Arc<Recorder> {
        Arc::clone(&self.recorder)
    }

    /// Waits until everything is written.
    pub fn finish(mut self) -> Vec<Recorded> {
        self.end()
    }

    fn end(&mut self) -> Vec<Recorded> {
        self.recorder.bell.ring(true);
        let ended = self.thread.take().map(JoinHandle::join);
        // A panic was printed.
        ended.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

fn consume(recorder: &Recorder, mut consumers: Vec<Box<dyn Consumer>>) -> Vec<Recorded> {
    let empty = || Vec::with_capacity(CAPACITY);
    let mut spare: Vec<Vec<Record>> = recorder.lanes.iter().map(|_| empty()).collect();
    let mut batch = Vec::new();
    loop {
        let last = recorder.bell.wait();
        let lost = recorder.empty(&mut spare, &mut batch);
        for consumer in &mut consumers {
            consumer.take(&batch, lost);
        }
        if last {
            let at = recorder.now();
            return consumers.into_iter().map(|it| it.finish(at)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times and threads of events, and how many were lost.
    type Kept = (Vec<(u64, Koid)>, u64);

    /// Keeps them.
    struct Keep(Arc<Mutex<Kept>>);

    impl Consumer for Keep {
        fn take(&mut self, records: &[Record], lost: u64) {
            let mut kept = self.0.lock().unwrap();
            kept.1 += lost;
            for record in records {
                match record.event {
                    Event::Parked(thread) => kept.0.push((record.at, thread)),
                    _ => panic!("nobody noted {record:?}"),
                }
            }
        }

        fn finish(self: Box<Self>, _at: u64) -> Recorded {
            Recorded {
                path: PathBuf::new(),
                events: 0,
                lost: 0,
                error: None,
            }
        }
    }

    #[test]
    fn all_notes_of_all_threads_arrive_in_order() {
        const EACH: u64 = 100_000;
        let kept = Arc::default();
        let recording = Recording::start(2, vec![Box::new(Keep(Arc::clone(&kept)))]).unwrap();
        thread::scope(|scope| {
            for lane in 0..3 {
                let recorder = recording.recorder();
                scope.spawn(move || {
                    on_vcpu(lane);
                    for number in 0..EACH {
                        recorder.note(Event::Parked(u64::from(lane) * EACH + number));
                    }
                });
            }
        });
        assert_eq!(recording.finish().len(), 1);
        let kept = kept.lock().unwrap();
        let (records, lost) = &*kept;
        assert_eq!(records.len() as u64 + lost, 3 * EACH);
        assert!(records.is_sorted_by_key(|(at, _)| *at));
        for lane in 0..3 {
            let own = records
                .iter()
                .filter(|(_, note)| note / EACH == lane)
                .map(|(_, note)| *note);
            assert!(own.is_sorted(), "lane {lane}");
        }
    }

    #[test]
    fn what_is_noted_at_leisure_is_not_lost() {
        const ALL: u64 = 5 * CAPACITY as u64;
        let kept = Arc::default();
        let recording = Recording::start(0, vec![Box::new(Keep(Arc::clone(&kept)))]).unwrap();
        let recorder = recording.recorder();
        (0..ALL).for_each(|number| recorder.note_at_leisure(Event::Parked(number)));
        recording.finish();
        let kept = kept.lock().unwrap();
        assert_eq!((kept.0.len() as u64, kept.1), (ALL, 0));
    }

    #[test]
    fn a_full_lane_counts_what_it_loses() {
        let recorder = Recorder::new(0);
        for number in 0..CAPACITY as u64 + 7 {
            recorder.note(Event::Parked(number));
        }
        let (mut spare, mut batch) = (vec![Vec::with_capacity(CAPACITY)], Vec::new());
        assert_eq!(recorder.empty(&mut spare, &mut batch), 7);
        assert_eq!(batch.len(), CAPACITY);
        assert_eq!(recorder.empty(&mut spare, &mut batch), 0);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_record_is_small() {
        assert!(CAPACITY * size_of::<Record>() <= 5 << 18);
    }
}
