//! The event loop of a run: the core's deadlines, the preemption tick, the time limit, Ctrl-C, and the end.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::retry_on_intr;

use crate::config::Output;
use crate::hypercall::{HostSide, Vm};
use crate::observe::Progress;
use crate::outcome::End;

/// How long a guest thread may run while another one waits for its vCPU.
const TICK: Duration = Duration::from_millis(10);

/// How long the reader of the standard output may take nothing once the VM has ended.
const LAST_WORDS: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// A pipe that can be written to takes this much at least.
const PIPE_BUF: usize = 4096;

/// Most reports of a run on processes that an exception ended.
const MAX_REPORTS: u32 = 64;

/// The descriptors of the event loop, as the VM's other threads use them.
pub(crate) struct Signals {
    deadline: Timer,
    /// What `deadline` is set to, in nanoseconds since the VM started.
    armed: Mutex<Option<i64>>,
    tick: Timer,
    ticking: AtomicBool,
    /// Readable once the VM has ended, and ever after.
    ended: OwnedFd,
    /// Exceptions reported of processes that are not the program.
    reports: AtomicU32,
    progress: Option<Progress>,
    output: Output,
}

/// A timer that can be set from any thread; reading it never waits.
struct Timer(OwnedFd);

impl Timer {
    fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Goes off after `first` (zero: never), then every `period` (zero: once).
    fn set(&self, first: Duration, period: Duration) {
        let spec = |duration: Duration| Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        let times = Itimerspec {
            it_value: spec(first),
            it_interval: spec(period),
        };
        if let Err(error) = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &times) {
            log::error!("a timer of the event loop: {error}");
        }
    }

    fn stop(&self) {
        self.set(Duration::ZERO, Duration::ZERO);
    }

    /// Takes note that it went off. Somebody may have set it anew since: then there is nothing to read.
    fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("ticking", &self.ticking)
            .finish_non_exhaustive()
    }
}

impl Signals {
    pub fn new(progress: Option<Progress>, output: Output) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Signals {
            deadline: Timer::new()?,
            armed: Mutex::new(None),
            tick: Timer::new()?,
            ticking: AtomicBool::new(false),
            ended: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            reports: AtomicU32::new(0),
            progress,
            output,
        }))
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, Option<i64>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signals {
    /// Writes to standard output. If its reader takes nothing, the end of the VM ends this as well.
    fn print(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.flush()?;
        while !bytes.is_empty() {
            let mut fds = [
                PollFd::new(&out, PollFlags::OUT),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            retry_on_intr(|| poll(&mut fds, None))?;
            let [ready, _] = &fds;
            if ready.revents().is_empty() {
                let mut fds = [PollFd::new(&out, PollFlags::OUT)];
                if retry_on_intr(|| poll(&mut fds, Some(&LAST_WORDS)))? == 0 {
                    return Ok(());
                }
            }
            // So little fits where anything does.
            let (chunk, _) = bytes.split_at(bytes.len().min(PIPE_BUF));
            let written = retry_on_intr(|| rustix::io::write(&out, chunk))?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What the VM's threads hold of it.
#[derive(Debug)]
pub(crate) struct Side(pub Arc<Signals>);

impl HostSide for Side {
    fn set_deadline(&self, deadline: Option<i64>, now: i64) {
        let mut armed = self.0.armed();
        if *armed == deadline {
            return;
        }
        *armed = deadline;
        match deadline {
            // Zero would stop it.
            Some(at) => {
                let ahead = u64::try_from(at.saturating_sub(now)).unwrap_or(0).max(1);
                self.0
                    .deadline
                    .set(Duration::from_nanos(ahead), Duration::ZERO);
            }
            None => self.0.deadline.stop(),
        }
    }

    fn start_tick(&self) {
        if !self.0.ticking.swap(true, Ordering::SeqCst) {
            self.0.tick.set(TICK, TICK);
        }
    }

    fn ended(&self) {
        // The counter is full at worst: then the loop is awake already.
        let _ = rustix::io::write(&self.0.ended, &1u64.to_ne_bytes());
    }

    fn report(&self, report: &str) {
        // A program can make and lose processes without end.
        let before = self.0.reports.fetch_add(1, Ordering::Relaxed);
        let text = match before.cmp(&MAX_REPORTS) {
            std::cmp::Ordering::Less => report,
            std::cmp::Ordering::Equal => "further reports are left out",
            std::cmp::Ordering::Greater => return,
        };
        let print = || eprintln!("zvmm: a process was killed by an exception.\n{text}");
        match &self.0.progress {
            Some(progress) => progress.suspend(print),
            None => print(),
        }
    }

    fn write(&self, bytes: &[u8]) {
        if let Output::Sink(sink) = &self.0.output {
            return sink(bytes);
        }
        // Nobody may be reading any more; the program is not told.
        let print = || {
            let _ = self.0.print(bytes);
        };
        match &self.0.progress {
            Some(progress) => progress.suspend(print),
            None => print(),
        }
    }
}

/// The loop before it runs: from now on Ctrl-C is waited for, if anybody watches.
pub(crate) struct EventLoop {
    manager: EventManager<Box<dyn MutEventSubscriber>>,
    limit: Timer,
    interrupts: Option<UnixStream>,
}

impl EventLoop {
    pub fn new(interactive: bool) -> io::Result<EventLoop> {
        Ok(EventLoop {
            manager: EventManager::new().map_err(io::Error::other)?,
            limit: Timer::new()?,
            interrupts: interactive.then(watch_interrupts).transpose()?,
        })
    }

    /// Runs on the caller's thread until the VM ends.
    pub fn run(
        self,
        vm: &Arc<Vm>,
        signals: &Arc<Signals>,
        timeout: Option<Duration>,
    ) -> Result<(), event_manager::Error> {
        let EventLoop {
            mut manager,
            limit,
            interrupts,
        } = self;
        if let Some(timeout) = timeout {
            limit.set(timeout.max(Duration::from_nanos(1)), Duration::ZERO);
        }
        manager.add_subscriber(Box::new(Loop {
            vm: Arc::clone(vm),
            signals: Arc::clone(signals),
            limit,
            interrupts,
        }));
        while !vm.is_stopped() {
            manager.run()?;
        }
        Ok(())
    }
}

/// A socket that becomes readable on SIGINT or SIGTERM.
fn watch_interrupts() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

struct Loop {
    vm: Arc<Vm>,
    signals: Arc<Signals>,
    limit: Timer,
    interrupts: Option<UnixStream>,
}

impl Loop {
    fn descriptors(&self) -> [Option<RawFd>; 5] {
        [
            Some(self.signals.deadline.0.as_raw_fd()),
            Some(self.signals.tick.0.as_raw_fd()),
            Some(self.signals.ended.as_raw_fd()),
            Some(self.limit.0.as_raw_fd()),
            self.interrupts.as_ref().map(AsRawFd::as_raw_fd),
        ]
    }
}

impl MutEventSubscriber for Loop {
    fn init(&mut self, ops: &mut EventOps) {
        for (number, fd) in (0..).zip(self.descriptors()) {
            let Some(fd) = fd else { continue };
            if let Err(error) = ops.add(Events::with_data_raw(fd, number, EventSet::IN)) {
                log::error!("the event loop cannot watch descriptor {fd}: {error}");
            }
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps) {
        match events.data() {
            0 => {
                self.signals.deadline.clear();
                *self.signals.armed() = None;
                self.vm.on_deadline();
            }
            1 => {
                self.signals.tick.clear();
                if !self.vm.on_tick() {
                    self.signals.tick.stop();
                    self.signals.ticking.store(false, Ordering::SeqCst);
                    // Somebody may have asked for it just before.
                    self.vm.tick_if_contended();
                }
            }
            2 => {}
            3 => {
                for (thread, what) in self.vm.waits() {
                    log::info!("thread {} waits for {what}", thread.0);
                }
                self.vm.stop(End::TimedOut);
            }
            _ => self.vm.stop(End::Interrupted),
        }
    }
}
