//! Letting another thread run without the guest kernel's help, where that is all there is to do: the current thread waits, and what was
//! posted makes threads go on and nothing else.
//!
//! A pass through the guest kernel costs an interrupt or a system call's slow path, and where ring 0 is emulated some 150 instructions of
//! a microsecond each. If no thread can go on, the vCPU's thread waits right here; if the current thread is the one that goes on, it is
//! as if nothing had been. Anything else is left to the guest kernel (decision 0019).

use std::sync::Arc;

use zircon::ThreadId;

use super::mailbox::{Item, Mailbox, Next};
use super::run::{RunError, Runner};
use crate::machine::Left;

/// A thread and its slot.
type Place = (ThreadId, u32);

impl Runner {
    /// Switches to the next thread if that is all there is to do; says whether the vCPU can be entered as it is.
    pub(super) fn switch(&mut self, left: Left) -> Result<bool, RunError> {
        let vm = Arc::clone(&self.vm);
        let Some(mailbox) = vm.mailbox(self.index) else {
            return Ok(false);
        };
        let Some(current) = self.take_park(mailbox)? else {
            return Ok(false);
        };
        self.vcpu.save_thread(current.1, left)?;
        loop {
            let next = mailbox.lock().next();
            match next {
                Next::Nothing if vm.is_stopped() => return Ok(true),
                Next::Nothing => mailbox.wait(|| vm.is_stopped()),
                Next::GoesOn(to, rax) if self.go_on(current, to, rax, left)? => {
                    mailbox.lock().items.pop_front();
                    return Ok(true);
                }
                // It was killed meanwhile.
                Next::GoesOn(to, _) if self.slots.slot(to).is_none() => {
                    mailbox.lock().items.pop_front();
                }
                Next::GoesOn(..) | Next::Else => {
                    mailbox.lock().items.push_front(Item::Park(current.0));
                    return Ok(false);
                }
            }
        }
    }

    /// The current thread, if it is to wait and the guest kernel has nothing to do but that. The order to park it is taken.
    fn take_park(&self, mailbox: &Mailbox) -> Result<Option<Place>, RunError> {
        let mut posted = mailbox.lock();
        if posted.items.is_empty() || self.slots.has_waiting() {
            return Ok(None);
        }
        let area = self.vcpu.area();
        let Some(slot) = area.current_slot()? else {
            return Ok(None);
        };
        let Some(thread) = self.slots.thread(slot) else {
            return Ok(None);
        };
        if !posted.only_parks(thread) || !self.slots.is_settled(area)? || area.runnable()? > 0 {
            return Ok(None);
        }
        posted.items.retain(|item| !matches!(item, Item::Park(_)));
        Ok(Some((thread, slot)))
    }

    /// Has a thread go on in place of the current one, which may be the same; says whether it could.
    fn go_on(
        &mut self,
        (current, slot): Place,
        to: ThreadId,
        rax: Option<u64>,
        left: Left,
    ) -> Result<bool, RunError> {
        let Some(its) = self.slots.slot(to).filter(|_| !self.slots.is_stopped(to)) else {
            return Ok(false);
        };
        if to == current {
            self.vcpu.resume_thread(left, rax);
            return Ok(true);
        }
        let can = self.vcpu.can_switch(slot, its)?;
        if can {
            self.vcpu.switch_thread(slot, its, left, rax)?;
        }
        Ok(can)
    }
}
