//! One vCPU's mailbox as the VMM sees it: what other threads post for its guest threads, and where each call stands.
//!
//! Any thread posts [`Item`]s; the vCPU's own thread turns them into mailbox entries ([`super::slots`]) before it enters the
//! guest. A call that did not end at once is *open* until the vCPU's thread parks its guest thread; whoever brings its
//! end in between leaves the answer here, so that no completion overtakes the order to park.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnv::FnvHashMap;
use protocol::GeneralRegs;
use protocol::vcpu::ThreadContext;
use zircon::{OpResult, ThreadId, Token};

use super::work::Parked;
use crate::machine::{KickHandle, Registers, tables::Link};

/// Something for a vCPU's guest kernel to do.
#[derive(Debug)]
pub(super) enum Item {
    /// The thread waits.
    Park(ThreadId),
    /// The thread's system call returns this.
    Complete(ThreadId, u64),
    /// The thread goes on as it was.
    Resume(ThreadId),
    /// The thread waits, wherever it is, and its registers are asked for.
    Stop(ThreadId),
    /// The stopped thread goes on, with these registers if there are any.
    Go(ThreadId, Option<Box<GeneralRegs>>),
    /// The thread is no more.
    Kill(ThreadId),
    /// A new thread.
    Start(ThreadId, Box<ThreadContext>),
    /// A segment base of the thread.
    SetBase {
        thread: ThreadId,
        gs: bool,
        value: u64,
    },
    /// A table page that is used again.
    Refresh(u64),
    /// A page-table entry.
    Link(Link),
    /// Reload CR3 and acknowledge with this id.
    Flush(u64),
}

impl Item {
    /// The thread that goes on, and the value of its system call, if that is all the item is about.
    fn goes_on(&self) -> Option<(ThreadId, Option<u64>)> {
        match *self {
            Item::Complete(thread, value) => Some((thread, Some(value))),
            Item::Resume(thread) => Some((thread, None)),
            _ => None,
        }
    }

    /// Whether the guest kernel has to see the item before the current thread goes on. A thread that becomes runnable can wait
    /// until the current one waits itself, or until the tick takes the vCPU from it.
    fn is_urgent(&self) -> bool {
        !matches!(
            self,
            Item::Complete(..) | Item::Resume(_) | Item::Go(..) | Item::Start(..)
        )
    }
}

/// Where a call of a guest thread stands.
#[derive(Debug)]
pub(super) enum Call {
    /// The vCPU's thread still works on it. The registers are for a report: others may bring its end.
    Open(Token, Registers),
    /// Its end came before the guest thread was parked.
    Answered(OpResult),
    /// The guest thread is parked.
    Parked(Token, Box<Parked>),
    /// The guest thread is parked and will be stopped: when it goes on, it makes the call with this number again.
    Restart(u64),
}

/// What is posted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Nothing,
    /// Threads that wait go on, this one first, with that value of its system call.
    GoesOn(ThreadId, Option<u64>),
    /// Something else, too.
    Else,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub items: VecDeque<Item>,
    pub calls: FnvHashMap<ThreadId, Call>,
    /// The vCPU's thread waits for items.
    halted: bool,
}

impl State {
    /// Whether an item cannot wait.
    pub fn is_urgent(&self) -> bool {
        self.items.iter().any(Item::is_urgent)
    }

    /// The new thread that is posted, if nothing else is.
    pub fn take_only_start(&mut self) -> Option<(ThreadId, Box<ThreadContext>)> {
        if self.items.len() > 1 {
            return None;
        }
        match self.items.pop_front()? {
            Item::Start(thread, context) => Some((thread, context)),
            other => {
                self.items.push_front(other);
                None
            }
        }
    }

    /// Whether `thread` is to wait, and all other items make threads that wait go on.
    pub fn only_parks(&self, thread: ThreadId) -> bool {
        let parks = |item: &Item| matches!(item, Item::Park(parked) if *parked == thread);
        let goes_on = |item: &Item| item.goes_on().is_some_and(|(it, _)| it == thread);
        let mut before = self.items.iter().take_while(|item| !parks(item));
        let mut others = self.items.iter().filter(|item| !parks(item));
        self.items.iter().any(parks)
            && !before.any(goes_on)
            && others.all(|item| item.goes_on().is_some())
    }

    /// What comes next for a vCPU whose current thread is to wait.
    pub fn next(&self) -> Next {
        let mut all = self.items.iter().map(Item::goes_on);
        match all.next() {
            None => Next::Nothing,
            Some(Some((thread, value))) if all.all(|item| item.is_some()) => {
                Next::GoesOn(thread, value)
            }
            Some(_) => Next::Else,
        }
    }
}

/// The mailbox of one vCPU.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    filled: Condvar,
    kick: KickHandle,
    /// Another guest thread may be runnable: the tick is to look.
    pub contended: AtomicBool,
    /// The tick wants the next guest thread to run.
    pub preempt: AtomicBool,
}

impl Mailbox {
    pub fn new(kick: KickHandle) -> Self {
        Mailbox {
            state: Mutex::default(),
            filled: Condvar::new(),
            kick,
            contended: AtomicBool::new(false),
            preempt: AtomicBool::new(false),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts items; `own`: by the vCPU's own thread, which looks before it enters the guest.
    pub fn post(&self, items: impl IntoIterator<Item = Item>, own: bool) {
        let mut state = self.lock();
        state.items.extend(items);
        self.contended.store(true, Ordering::SeqCst);
        if !own && (state.halted || state.is_urgent()) {
            self.stir(&state);
        }
    }

    /// Makes the vCPU's thread look around.
    pub fn wake(&self) {
        let state = self.lock();
        self.stir(&state);
    }

    fn stir(&self, state: &State) {
        if state.halted {
            self.filled.notify_one();
        } else {
            self.kick.kick();
        }
    }

    /// Waits until there is an item or `stop` says so. The time limit only bounds how long a stop can go unseen.
    pub fn wait(&self, stop: impl Fn() -> bool) {
        let mut state = self.lock();
        state.halted = true;
        if state.items.is_empty() {
            // Nobody competes for a vCPU that has nothing to run.
            self.contended.store(false, Ordering::SeqCst);
            self.preempt.store(false, Ordering::Relaxed);
        }
        while state.items.is_empty() && !stop() {
            let limit = Duration::from_secs(1);
            let waited = self.filled.wait_timeout(state, limit);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.halted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURRENT: ThreadId = ThreadId(1);
    const OTHER: ThreadId = ThreadId(2);

    fn posted(items: impl IntoIterator<Item = Item>) -> State {
        State {
            items: items.into_iter().collect(),
            ..State::default()
        }
    }

    #[test]
    fn a_vcpu_begins_with_a_thread_only_if_nothing_else_is_posted() {
        let start = || {
            let context = crate::machine::new_context(0, 0, &GeneralRegs::default());
            Item::Start(CURRENT, Box::new(context))
        };
        let mut alone = posted([start()]);
        assert!(
            alone
                .take_only_start()
                .is_some_and(|(thread, _)| thread == CURRENT)
        );
        assert!(alone.items.is_empty());
        for items in [
            vec![],
            vec![Item::Flush(1)],
            vec![start(), Item::Stop(CURRENT)],
            vec![Item::Refresh(0), start()],
        ] {
            let (mut state, count) = (posted([]), items.len());
            state.items.extend(items);
            assert!(state.take_only_start().is_none());
            assert_eq!(state.items.len(), count);
        }
    }

    #[test]
    fn a_switch_needs_the_current_thread_to_wait_and_nothing_else_to_do() {
        let park = || Item::Park(CURRENT);
        let goes_on = || Item::Complete(OTHER, 7);
        assert!(posted([park()]).only_parks(CURRENT));
        assert!(posted([goes_on(), park(), Item::Resume(CURRENT)]).only_parks(CURRENT));
        assert!(!posted([]).only_parks(CURRENT));
        assert!(!posted([goes_on()]).only_parks(CURRENT));
        assert!(!posted([Item::Park(OTHER)]).only_parks(CURRENT));
        for other in [
            Item::Stop(CURRENT),
            Item::Kill(OTHER),
            Item::Flush(1),
            Item::Refresh(0),
        ] {
            assert!(!posted([park(), other]).only_parks(CURRENT));
        }
        // What comes before the order to park does not end that wait.
        assert!(!posted([Item::Resume(CURRENT), park()]).only_parks(CURRENT));
    }

    #[test]
    fn the_first_goes_on_unless_something_else_is_behind_it() {
        assert!(matches!(posted([]).next(), Next::Nothing));
        let two = posted([Item::Resume(CURRENT), Item::Complete(OTHER, 7)]);
        assert!(matches!(two.next(), Next::GoesOn(CURRENT, None)));
        let value = posted([Item::Complete(OTHER, 7)]);
        assert!(matches!(value.next(), Next::GoesOn(OTHER, Some(7))));
        let stopped = posted([Item::Complete(OTHER, 7), Item::Stop(OTHER)]);
        assert!(matches!(stopped.next(), Next::Else));
    }
}
