//! Threads for the reads that block, so that no vCPU does.
//!
//! A job is queued and taken by an idle thread; a thread is started when none is idle, up to the limit, so a run whose
//! files are all cached starts none. A job that panics is logged and its thread goes on. [`Workers::shutdown`]
//! drops what is still queued and waits, within limits, for what is running.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads.
#[derive(Debug)]
pub struct Workers {
    limit: usize,
    shared: Arc<Shared>,
}

/// Why a job was not taken; it is dropped.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// After [`Workers::shutdown`].
    #[error("the workers have been shut down")]
    ShutDown,
    /// There is no thread, and none can be started.
    #[error("no worker thread can be started; raise the limit on threads (ulimit -u)")]
    NoThread(#[source] io::Error),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A job was queued, or the pool was closed.
    wake: Condvar,
    /// A thread has left.
    left: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Threads waiting on `wake`; those woken but not yet running count as well.
    idle: usize,
    /// Threads that have not left.
    alive: usize,
    closed: bool,
    handles: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Shared")
            .field("queued", &state.queue.len())
            .field("idle", &state.idle)
            .field("alive", &state.alive)
            .field("closed", &state.closed)
            .finish()
    }
}

impl Workers {
    /// A pool of at most `limit` threads (at least one), none of them started yet.
    pub fn new(limit: usize) -> Self {
        Workers {
            limit: limit.max(1),
            shared: Arc::default(),
        }
    }

    /// Queues a job; a thread takes it soon.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), SubmitError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(SubmitError::ShutDown);
        }
        if state.idle <= state.queue.len() && state.alive < self.limit {
            match self.start_thread(state.handles.len()) {
                Ok(handle) => {
                    state.handles.push(handle);
                    state.alive += 1;
                }
                Err(error) if state.alive == 0 => return Err(SubmitError::NoThread(error)),
                Err(error) => log::warn!("cannot start another worker thread: {error}"),
            }
        }
        state.queue.push_back(Box::new(job));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    fn start_thread(&self, number: usize) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name(format!("reader {number}"))
            .spawn(move || shared.work())
    }

    /// Drops the queued jobs and waits up to `patience` for the running ones. True: all threads have ended. False: some
    /// still wait for the host; they end by themselves when their read does, or with the process.
    pub fn shutdown(&self, patience: Duration) -> bool {
        let dropped = self.close();
        drop(dropped);
        let state = self.shared.lock();
        let (mut state, _) = self
            .shared
            .left
            .wait_timeout_while(state, patience, |state| state.alive > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if state.alive > 0 {
            return false;
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        for handle in handles {
            // A worker catches its jobs' panics; having counted itself out, it only has to return.
            let _ = handle.join();
        }
        true
    }

    /// Takes no more jobs, tells the idle threads to end, and hands out what was queued.
    fn close(&self) -> VecDeque<Job> {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.wake.notify_all();
        std::mem::take(&mut state.queue)
    }
}

impl Drop for Workers {
    /// Threads are told to end, not waited for.
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn work(&self) {
        let mut state = self.lock();
        while !state.closed {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("a worker's job panicked; its request stays unanswered");
                }
                state = self.lock();
            } else {
                state.idle += 1;
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
        state.alive -= 1;
        drop(state);
        self.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn no_thread_before_the_first_job() {
        let workers = Workers::new(4);
        assert_eq!(workers.shared.lock().alive, 0);
        assert!(workers.shutdown(PATIENCE));
    }

    #[test]
    fn every_job_runs_once_on_few_threads() {
        let workers = Workers::new(3);
        let count = Arc::new(AtomicUsize::new(0));
        let (done, all) = mpsc::channel();
        for _ in 0..1000 {
            let (count, done) = (Arc::clone(&count), done.clone());
            workers
                .submit(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    done.send(()).unwrap();
                })
                .unwrap();
        }
        for _ in 0..1000 {
            all.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(count.load(Ordering::Relaxed), 1000);
        assert!(workers.shared.lock().handles.len() <= 3);
        assert!(workers.shutdown(PATIENCE));
    }

    #[test]
    fn blocked_jobs_do_not_hold_up_others_within_the_limit() {
        let workers = Workers::new(3);
        let together = Arc::new(Barrier::new(3));
        let (done, all) = mpsc::channel();
        for _ in 0..3 {
            let (together, done) = (Arc::clone(&together), done.clone());
            workers
                .submit(move || {
                    together.wait();
                    done.send(()).unwrap();
                })
                .unwrap();
        }
        for _ in 0..3 {
            all.recv_timeout(PATIENCE).unwrap();
        }
        assert!(workers.shutdown(PATIENCE));
    }

    #[test]
    fn a_panicking_job_does_not_kill_the_pool() {
        let workers = Workers::new(1);
        let (done, all) = mpsc::channel();
        workers
            .submit(|| std::panic::panic_any("on purpose"))
            .unwrap();
        workers.submit(move || done.send(()).unwrap()).unwrap();
        all.recv_timeout(PATIENCE).unwrap();
        assert!(workers.shutdown(PATIENCE));
    }

    #[test]
    fn shutdown_drops_the_queue_and_refuses_more() {
        let workers = Workers::new(1);
        let (started, running) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        workers
            .submit(move || {
                started.send(()).unwrap();
                let _ = held.recv_timeout(PATIENCE);
            })
            .unwrap();
        running.recv_timeout(PATIENCE).unwrap();
        let (done, never) = mpsc::channel::<()>();
        workers.submit(move || done.send(()).unwrap()).unwrap();
        let before = Instant::now();
        assert!(
            !workers.shutdown(Duration::from_millis(10)),
            "the first job still runs"
        );
        assert!(before.elapsed() < PATIENCE);
        assert!(matches!(
            never.recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        ));
        assert!(matches!(workers.submit(|| {}), Err(SubmitError::ShutDown)));
        release.send(()).unwrap();
        assert!(workers.shutdown(PATIENCE));
    }

    #[test]
    fn a_job_may_hold_the_pool_itself() {
        let workers = Arc::new(Workers::new(1));
        let (done, all) = mpsc::channel();
        let inner = Arc::clone(&workers);
        workers
            .submit(move || {
                drop(inner);
                done.send(()).unwrap();
            })
            .unwrap();
        drop(workers);
        // Either it ran, or the pool was closed before: both end.
        let _ = all.recv_timeout(PATIENCE);
    }
}
