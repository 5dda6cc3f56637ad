//! `zx_signals_t`: state bits that an object asserts and that can be waited on.

bitflags::bitflags! {
    /// Signals, with Zircon's bit numbers. Some bits mean different things on different objects.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Signals: u32 {
        /// Channel: a message can be read.
        const CHANNEL_READABLE = 1 << 0;
        /// Channel: the other end is there.
        const CHANNEL_WRITABLE = 1 << 1;
        /// Channel: the other end is closed.
        const CHANNEL_PEER_CLOSED = 1 << 2;
        /// VMO: no children exist (the bit that events call SIGNALED).
        const VMO_ZERO_CHILDREN = 1 << 3;
        /// Event: signaled.
        const EVENT_SIGNALED = 1 << 3;
        /// Process, thread: terminated.
        const TASK_TERMINATED = 1 << 3;
        /// Job: terminated.
        const JOB_TERMINATED = 1 << 3;
        /// Job: it has no child jobs.
        const JOB_NO_JOBS = 1 << 4;
        /// Job: it has no processes.
        const JOB_NO_PROCESSES = 1 << 5;
        /// Job: it has neither.
        const JOB_NO_CHILDREN = 1 << 6;
        /// Thread: it runs, or could if nothing held it.
        const THREAD_RUNNING = 1 << 4;
        /// Thread: suspended.
        const THREAD_SUSPENDED = 1 << 5;
        /// The handle that was waited on is closed.
        const HANDLE_CLOSED = 1 << 23;
        /// User signal 0.
        const USER_0 = 1 << 24;
        /// User signal 1.
        const USER_1 = 1 << 25;
        /// User signal 2.
        const USER_2 = 1 << 26;
        /// User signal 3.
        const USER_3 = 1 << 27;
        /// User signal 4.
        const USER_4 = 1 << 28;
        /// User signal 5.
        const USER_5 = 1 << 29;
        /// User signal 6.
        const USER_6 = 1 << 30;
        /// User signal 7.
        const USER_7 = 1 << 31;
        /// The eight signals that `zx_object_signal` may change on any object.
        const USER_ALL = 0xFF00_0000;
    }
}
