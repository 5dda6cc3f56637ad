//! Choosing the next thread and loading what differs from the one before.

use protocol::vcpu::{NO_THREAD, state};

use crate::{Cpu, mailbox};

/// Drains the mailbox until some thread can run, makes it the current one and returns its slot.
///
/// The current thread goes on unless the mailbox took it off; a thread that parks and is resumed in one batch goes to
/// the end of the queue.
pub fn run_next(cpu: &mut impl Cpu) -> u32 {
    loop {
        mailbox::drain(cpu);
        let current = cpu.page().area.current_slot;
        let next = if current == NO_THREAD {
            take_ready(cpu)
        } else {
            Some(current)
        };
        let page = cpu.page();
        page.area.runnable = page.local.queue.len();
        if let Some(slot) = next {
            load(cpu, slot);
            return slot;
        }
        cpu.halt();
    }
}

/// Takes the first thread of the run queue and makes it the current one.
fn take_ready(cpu: &mut impl Cpu) -> Option<u32> {
    let mut queue = core::mem::take(&mut cpu.page().local.queue);
    let next = queue.pop(cpu.contexts());
    cpu.page().local.queue = queue;
    let slot = next?;
    cpu.context(slot)?.state = state::RUNNING;
    cpu.page().area.current_slot = slot;
    Some(slot)
}

/// Loads the state of `slot` that the return path does not: page tables, segment bases, x87/SSE registers.
///
/// Segment bases belong to the thread's start: a program can load another one for itself (`mov fs, ax`), but what it
/// loads does not survive a switch. A base that is not 0 is written even if it was the last one written, because
/// the program before may have loaded another; so is 0, behind a thread that is no more.
fn load(cpu: &mut impl Cpu, slot: u32) {
    let Some(context) = cpu.context(slot) else {
        return;
    };
    let (root, fs_base, gs_base) = (context.cr3, context.fs_base, context.gs_base);
    if core::mem::replace(&mut cpu.page().area.cr3, root) != root {
        cpu.load_cr3(root);
    }
    let owner = core::mem::replace(&mut cpu.page().area.fx_owner, slot);
    if owner == slot {
        return;
    }
    // `SetBase` changes a running thread's bases in the processor and in its context alike.
    let before = cpu
        .context(owner)
        .map(|context| (context.fs_base, context.gs_base));
    if before.is_none_or(|(fs, _)| fs != 0) || fs_base != 0 {
        cpu.load_fs_base(fs_base);
    }
    if before.is_none_or(|(_, gs)| gs != 0) || gs_base != 0 {
        cpu.load_gs_base(gs_base);
    }
    if owner != NO_THREAD {
        cpu.save_fx(owner);
    }
    cpu.load_fx(slot);
}

#[cfg(test)]
mod tests {
    use protocol::{
        boot::{BOOT_ROOT, KernelCall},
        vcpu::EntryKind::{
            Complete, Flush, Kill, Link, Park, Preempt, Refresh, Resume, SetBase, Stop,
        },
    };

    use super::*;
    use crate::testing::{Event, TestCpu, entry};

    #[test]
    fn a_new_thread_gets_everything_loaded() {
        let mut cpu = TestCpu::new(2).with_batch(&[entry(Resume, 1, 0, 0)]);
        cpu.contexts[1].fs_base = 0x5000;
        assert_eq!(run_next(&mut cpu), 1);
        assert_eq!(
            cpu.take_events(),
            [
                Event::Cr3(0x2_0000),
                Event::FsBase(0x5000),
                Event::GsBase(0),
                Event::LoadFx(1)
            ]
        );
        assert_eq!(cpu.page.area.current_slot, 1);
        assert_eq!(cpu.contexts[1].state, state::RUNNING);
    }

    #[test]
    fn completing_the_current_thread_loads_nothing() {
        let mut cpu = TestCpu::new(1).with_batch(&[entry(Resume, 0, 0, 0)]);
        run_next(&mut cpu);
        cpu.take_events();
        cpu = cpu.with_batch(&[
            entry(Refresh, 0, 0x3000, 0),
            entry(Link, 0, 0x1000, 7),
            entry(Complete, 0, 42, 0),
        ]);
        assert_eq!(run_next(&mut cpu), 0);
        assert_eq!(
            cpu.take_events(),
            [Event::Refresh(0x3000), Event::Link(0x1000, 7)]
        );
        assert_eq!(cpu.contexts[0].registers[0], 42);
    }

    #[test]
    fn a_parked_thread_waits_in_hlt_until_it_is_completed() {
        let mut cpu = TestCpu::new(1).with_batch(&[entry(Resume, 0, 0, 0), entry(Park, 0, 0, 0)]);
        cpu.batches.push_back(vec![]);
        cpu.batches.push_back(vec![entry(Complete, 0, 9, 0)]);
        assert_eq!(run_next(&mut cpu), 0);
        assert_eq!(
            cpu.take_events(),
            [
                Event::Halt,
                Event::Halt,
                Event::Cr3(0x1_0000),
                Event::FsBase(0),
                Event::GsBase(0),
                Event::LoadFx(0)
            ]
        );
        assert_eq!(cpu.contexts[0].registers[0], 9);
    }

    #[test]
    fn preempt_lets_the_others_run_in_turn() {
        let mut cpu = TestCpu::new(3).with_batch(&[0, 1, 2].map(|s| entry(Resume, s, 0, 0)));
        let mut order = vec![run_next(&mut cpu)];
        assert_eq!(cpu.page.area.runnable, 2);
        for _ in 0..4 {
            cpu = cpu.with_batch(&[entry(Preempt, 0, 0, 0)]);
            order.push(run_next(&mut cpu));
        }
        assert_eq!(order, [0, 1, 2, 0, 1]);
        let switches: Vec<_> = cpu
            .take_events()
            .into_iter()
            .filter(|event| matches!(event, Event::SaveFx(_)))
            .collect();
        assert_eq!(switches, [0, 1, 2, 0].map(Event::SaveFx));
    }

    #[test]
    fn a_killed_thread_is_not_saved_and_its_slot_serves_again() {
        let mut cpu = TestCpu::new(2).with_batch(&[0, 1].map(|s| entry(Resume, s, 0, 0)));
        assert_eq!(run_next(&mut cpu), 0);
        cpu.take_events();
        cpu = cpu.with_batch(&[entry(Kill, 0, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 1);
        // The killed thread's bases are not known any more.
        let bases = [Event::FsBase(0), Event::GsBase(0)];
        let events = cpu.take_events();
        assert_eq!(events.first(), Some(&Event::Cr3(0x2_0000)));
        assert_eq!(events[1..3], bases);
        assert_eq!(events[3..], [Event::LoadFx(1)]);
        cpu = cpu.with_batch(&[entry(Resume, 0, 0, 0), entry(Kill, 1, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 0);
        let events = cpu.take_events();
        assert_eq!(events.first(), Some(&Event::Cr3(0x1_0000)));
        assert_eq!(events[3..], [Event::LoadFx(0)]);
    }

    #[test]
    fn killing_a_queued_thread_takes_it_out_of_the_queue() {
        let mut cpu = TestCpu::new(3).with_batch(&[0, 1, 2].map(|s| entry(Resume, s, 0, 0)));
        run_next(&mut cpu);
        cpu = cpu.with_batch(&[entry(Kill, 1, 0, 0), entry(Preempt, 0, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 2);
        assert_eq!(cpu.page.area.runnable, 1);
        assert_eq!(cpu.contexts[1].state, state::FREE);
    }

    #[test]
    fn a_thread_is_stopped_wherever_it_is() {
        let mut cpu = TestCpu::new(4).with_batch(&[0, 1, 2].map(|s| entry(Resume, s, 0, 0)));
        assert_eq!(run_next(&mut cpu), 0);
        cpu = cpu.with_batch(&[entry(Park, 0, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 1);
        cpu.take_events();
        // Parked, running, queued, and one that is not there.
        cpu = cpu.with_batch(&[0, 1, 2, 3].map(|s| entry(Stop, s, 0, 0)));
        cpu.batches.push_back(vec![entry(Resume, 2, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 2);
        let stopped = |slot| Event::Call(KernelCall::Stopped, slot);
        let events = cpu.take_events();
        assert_eq!(
            events[..4],
            [stopped(0), stopped(1), stopped(2), Event::Halt]
        );
        assert_eq!(cpu.contexts[1].state, state::PARKED);
        assert_eq!(cpu.contexts[3].state, state::FREE);
    }

    #[test]
    fn a_flush_reloads_the_root_in_use_and_tells() {
        let mut cpu = TestCpu::new(1).with_batch(&[entry(Resume, 0, 0, 0)]);
        run_next(&mut cpu);
        cpu.take_events();
        cpu = cpu.with_batch(&[entry(Flush, 0, 77, 0)]);
        run_next(&mut cpu);
        assert_eq!(
            cpu.take_events(),
            [Event::Cr3(0x1_0000), Event::Call(KernelCall::Flushed, 77)]
        );
    }

    #[test]
    fn a_flush_without_a_current_thread_leaves_the_dead_process_and_returns_to_a_live_one() {
        let mut cpu = TestCpu::new(1).with_batch(&[entry(Resume, 0, 0, 0)]);
        run_next(&mut cpu);
        cpu.take_events();
        cpu = cpu.with_batch(&[entry(Park, 0, 0, 0), entry(Flush, 0, 5, 0)]);
        cpu.batches.push_back(vec![entry(Resume, 0, 0, 0)]);
        assert_eq!(run_next(&mut cpu), 0);
        let flushed = Event::Call(KernelCall::Flushed, 5);
        assert_eq!(
            cpu.take_events(),
            [
                Event::Cr3(BOOT_ROOT),
                flushed,
                Event::Halt,
                Event::Cr3(0x1_0000)
            ]
        );
    }

    #[test]
    fn bases_change_at_once_where_they_are_loaded() {
        let mut cpu = TestCpu::new(2).with_batch(&[0, 1].map(|s| entry(Resume, s, 0, 0)));
        assert_eq!(run_next(&mut cpu), 0);
        cpu.take_events();
        cpu = cpu.with_batch(&[
            entry(SetBase, 0, 0x5000, 0),
            entry(SetBase, 0, 0x6000, 1),
            entry(SetBase, 1, 0x7000, 0),
        ]);
        assert_eq!(run_next(&mut cpu), 0);
        assert_eq!(
            cpu.take_events(),
            [Event::FsBase(0x5000), Event::GsBase(0x6000)]
        );
        assert_eq!(cpu.contexts[0].gs_base, 0x6000);
        assert_eq!(cpu.contexts[1].fs_base, 0x7000);
    }

    #[test]
    fn more_batches_are_asked_for() {
        let mut cpu = TestCpu::new(2);
        cpu.batches.push_back(vec![entry(Resume, 0, 0, 0)]);
        cpu.batches.push_back(vec![entry(Resume, 1, 0, 0)]);
        cpu.post();
        assert_eq!(run_next(&mut cpu), 0);
        assert_eq!(
            cpu.take_events().first(),
            Some(&Event::Call(KernelCall::Mailbox, 0))
        );
        assert_eq!(cpu.page.area.runnable, 1);
    }

    #[test]
    fn stale_entries_change_nothing() {
        let mut cpu = TestCpu::new(2).with_batch(&[
            entry(Complete, 0, 1, 0),
            entry(Park, 0, 0, 0),
            entry(Kill, 0, 0, 0),
            entry(Complete, 99, 1, 0),
            entry(Preempt, 0, 0, 0),
            entry(Resume, 1, 0, 0),
            entry(Resume, 1, 0, 0),
        ]);
        assert_eq!(run_next(&mut cpu), 1);
        assert_eq!(cpu.contexts[0].state, state::FREE);
        assert_eq!(cpu.contexts[0].registers[0], 0);
        assert_eq!(cpu.page.area.runnable, 0);
    }
}
