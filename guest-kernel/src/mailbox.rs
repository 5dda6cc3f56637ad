//! Draining the mailbox: each entry takes effect here, in the order of the batch.

use core::sync::atomic::{Ordering, compiler_fence};

use protocol::{
    boot::{BOOT_ROOT, KernelCall},
    vcpu::{Entry, EntryKind, NO_THREAD, register, state},
};

use crate::Cpu;

/// Carries out everything the mailbox holds, and asks for more while the VMM has more.
pub fn drain(cpu: &mut impl Cpu) {
    loop {
        let len = cpu.page().area.mailbox_len;
        if len == 0 {
            return;
        }
        for index in 0..len as usize {
            let Some(entry) = cpu.page().area.mailbox.get(index).copied() else {
                break;
            };
            apply(cpu, entry);
        }
        // The VMM may write the next batch at any exit, this instant included, once the length is 0: everything read
        // from this batch has been read before, nothing of the next is read until after.
        compiler_fence(Ordering::SeqCst);
        let area = &mut cpu.page().area;
        area.mailbox_len = 0;
        compiler_fence(Ordering::SeqCst);
        if area.mailbox_more != 0 {
            cpu.call(KernelCall::Mailbox, 0);
        }
    }
}

/// Carries out one entry. One that names no thread, or a thread whose state it does not fit, changes nothing: the
/// thread was killed while the entry was on its way.
fn apply(cpu: &mut impl Cpu, entry: Entry) {
    let Entry { slot, a, b, .. } = entry;
    match EntryKind::from_number(entry.kind) {
        Some(EntryKind::Park) => take_off(cpu, slot, state::PARKED),
        Some(EntryKind::Complete) => {
            if let Some(context) = cpu
                .context(slot)
                .filter(|context| context.state != state::FREE)
            {
                let [rax, ..] = &mut context.registers;
                *rax = a;
                if context.state == state::PARKED {
                    make_ready(cpu, slot);
                }
            }
        }
        Some(EntryKind::Resume) => {
            if let Some(state::FREE | state::PARKED) =
                cpu.context(slot).map(|context| context.state)
            {
                make_ready(cpu, slot);
            }
        }
        Some(EntryKind::Kill) => {
            take_off(cpu, slot, state::FREE);
            let area = &mut cpu.page().area;
            if area.fx_owner == slot {
                area.fx_owner = NO_THREAD;
            }
        }
        Some(EntryKind::Link) => cpu.write_link(a, b),
        Some(EntryKind::Refresh) => cpu.refresh_table(a),
        Some(EntryKind::Flush) => {
            let page = cpu.page();
            // A process without a thread here may be gone: its tables will be used for something else.
            if page.area.current_slot == NO_THREAD {
                page.area.cr3 = BOOT_ROOT;
            }
            let root = page.area.cr3;
            cpu.load_cr3(root);
            cpu.call(KernelCall::Flushed, a);
        }
        Some(EntryKind::Preempt) => {
            let current = cpu.page().area.current_slot;
            if cpu.context(current).is_some() {
                cpu.page().area.current_slot = NO_THREAD;
                make_ready(cpu, current);
            }
        }
        Some(EntryKind::SetBase) => set_base(cpu, slot, a, b != 0),
        Some(EntryKind::Stop) => {
            let there = cpu.context(slot).map(|context| context.state);
            if there.is_some_and(|state| state != state::FREE) {
                take_off(cpu, slot, state::PARKED);
                cpu.call(KernelCall::Stopped, slot.into());
            }
        }
        None => {}
    }
}

/// Changes a segment base of the thread in `slot`, in the processor as well if that holds the thread's.
fn set_base(cpu: &mut impl Cpu, slot: u32, base: u64, gs: bool) {
    let Some(context) = cpu.context(slot) else {
        return;
    };
    if gs {
        context.gs_base = base;
    } else {
        context.fs_base = base;
    }
    if cpu.page().area.fx_owner == slot {
        if gs {
            cpu.load_gs_base(base);
        } else {
            cpu.load_fs_base(base);
        }
    }
}

const _: () = assert!(register::RAX == 0, "Complete writes the first register");

/// Puts `slot`, which is neither queued nor current, at the end of the run queue.
fn make_ready(cpu: &mut impl Cpu, slot: u32) {
    let mut queue = core::mem::take(&mut cpu.page().local.queue);
    queue.push(cpu.contexts(), slot);
    cpu.page().local.queue = queue;
}

/// Takes the thread in `slot` off the vCPU or out of the run queue; its state is `state` from now on.
fn take_off(cpu: &mut impl Cpu, slot: u32, state: u32) {
    let Some(context) = cpu.context(slot) else {
        return;
    };
    match core::mem::replace(&mut context.state, state) {
        state::FREE => context.state = state::FREE,
        state::READY => {
            let mut queue = core::mem::take(&mut cpu.page().local.queue);
            queue.remove(cpu.contexts(), slot);
            cpu.page().local.queue = queue;
        }
        state::RUNNING => cpu.page().area.current_slot = NO_THREAD,
        _ => {}
    }
}
