//! The run queue: first in, first out, linked through [`ThreadContext::next`].

use protocol::vcpu::{NO_THREAD, ThreadContext, state};

/// Ready threads in the order they will run. A slot is in the queue exactly while its state is `READY`.
///
/// All zero it is empty.
#[derive(Debug, Default)]
pub struct RunQueue {
    /// First and last, if there are any.
    head: u32,
    tail: u32,
    len: u32,
}

impl RunQueue {
    /// Number of threads in the queue.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether nothing is ready.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes `slot`, which is not in the queue, ready: it runs after all that are ready now.
    pub fn push(&mut self, contexts: &mut [ThreadContext], slot: u32) {
        let Some(context) = contexts.get_mut(slot as usize) else {
            return;
        };
        context.state = state::READY;
        context.next = NO_THREAD;
        match contexts.get_mut(self.tail as usize) {
            Some(last) if self.len > 0 => last.next = slot,
            _ => self.head = slot,
        }
        self.tail = slot;
        self.len = self.len.wrapping_add(1);
    }

    /// Takes the thread that runs next.
    pub fn pop(&mut self, contexts: &mut [ThreadContext]) -> Option<u32> {
        let slot = (self.len > 0).then_some(self.head)?;
        let context = contexts.get_mut(slot as usize)?;
        self.head = context.next;
        self.len = self.len.wrapping_sub(1);
        Some(slot)
    }

    /// Takes `slot`, which is in the queue, out of it.
    pub fn remove(&mut self, contexts: &mut [ThreadContext], slot: u32) {
        let next = match contexts.get(slot as usize) {
            Some(context) if self.len > 0 => context.next,
            _ => return,
        };
        let mut before = NO_THREAD;
        let mut at = self.head;
        while at != slot {
            before = at;
            match contexts.get(at as usize) {
                Some(context) => at = context.next,
                None => return,
            }
        }
        match contexts.get_mut(before as usize) {
            Some(context) => context.next = next,
            None => self.head = next,
        }
        if self.tail == slot {
            self.tail = before;
        }
        self.len = self.len.wrapping_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contexts;

    fn drain(queue: &mut RunQueue, contexts: &mut [ThreadContext]) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop(contexts)).collect()
    }

    #[test]
    fn threads_leave_in_the_order_they_came() {
        let mut contexts = contexts(4);
        let mut queue = RunQueue::default();
        for slot in [2, 0, 3] {
            queue.push(&mut contexts, slot);
        }
        assert_eq!(queue.len(), 3);
        assert_eq!(drain(&mut queue, &mut contexts), [2, 0, 3]);
        assert!(queue.is_empty());
        queue.push(&mut contexts, 1);
        assert_eq!(drain(&mut queue, &mut contexts), [1]);
    }

    #[test]
    fn any_place_of_the_queue_can_be_removed() {
        for (removed, left) in [(0, [1, 2, 3]), (1, [0, 2, 3]), (3, [0, 1, 2])] {
            let mut contexts = contexts(4);
            let mut queue = RunQueue::default();
            (0..4).for_each(|slot| queue.push(&mut contexts, slot));
            queue.remove(&mut contexts, removed);
            assert_eq!(queue.len(), 3);
            queue.push(&mut contexts, removed);
            let mut expected = left.to_vec();
            expected.push(removed);
            assert_eq!(drain(&mut queue, &mut contexts), expected);
        }
    }

    #[test]
    fn removing_the_only_thread_leaves_an_empty_queue() {
        let mut contexts = contexts(2);
        let mut queue = RunQueue::default();
        queue.push(&mut contexts, 1);
        queue.remove(&mut contexts, 1);
        assert!(queue.is_empty());
        assert_eq!(queue.pop(&mut contexts), None);
        queue.push(&mut contexts, 0);
        assert_eq!(drain(&mut queue, &mut contexts), [0]);
    }

    #[test]
    fn slots_that_do_not_exist_are_ignored() {
        let mut contexts = contexts(1);
        let mut queue = RunQueue::default();
        queue.push(&mut contexts, 7);
        queue.remove(&mut contexts, 7);
        queue.remove(&mut contexts, 0);
        assert!(queue.is_empty());
    }
}
