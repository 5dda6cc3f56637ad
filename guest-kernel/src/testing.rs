//! A vCPU made of plain memory that records what the hardware was told to do.

use std::{collections::VecDeque, vec::Vec};

use protocol::{
    boot::{BOOT_ROOT, KernelCall},
    vcpu::{Entry, EntryKind, MAILBOX_ENTRIES, NO_THREAD, ThreadContext, VcpuArea},
};

use crate::{Cpu, CpuPage, Local};

/// `n` free contexts; the process of slot s has the root 0x10000 * (s + 1).
pub fn contexts(n: u32) -> Vec<ThreadContext> {
    (0..n)
        .map(|slot| ThreadContext {
            registers: [0; 16],
            rip: 0,
            rflags: 0x202,
            fs_base: 0,
            gs_base: 0,
            cr3: 0x1_0000 * u64::from(slot + 1),
            state: 0,
            next: 0,
            slot,
            reserved: [0; 3],
            fx: [0; 512],
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Event {
    Refresh(u64),
    Link(u64, u64),
    Cr3(u64),
    FsBase(u64),
    GsBase(u64),
    SaveFx(u32),
    LoadFx(u32),
    Call(KernelCall, u64),
    Halt,
}

pub struct TestCpu {
    pub page: CpuPage,
    pub contexts: Vec<ThreadContext>,
    pub events: Vec<Event>,
    /// What the VMM will post, batch by batch, when asked or when the vCPU halts.
    pub batches: VecDeque<Vec<Entry>>,
}

pub fn entry(kind: EntryKind, slot: u32, a: u64, b: u64) -> Entry {
    Entry {
        kind: kind as u32,
        slot,
        a,
        b,
    }
}

impl TestCpu {
    pub fn new(threads: u32) -> Self {
        let area = VcpuArea {
            current: 0,
            scratch: 0,
            stack_top: 0,
            contexts: 0,
            cr3: BOOT_ROOT,
            current_slot: NO_THREAD,
            runnable: 0,
            mailbox_len: 0,
            mailbox_more: 0,
            index: 0,
            fx_owner: NO_THREAD,
            mailbox: [Entry::default(); MAILBOX_ENTRIES],
        };
        Self {
            page: CpuPage {
                area,
                local: Local::default(),
            },
            contexts: contexts(threads),
            events: Vec::new(),
            batches: VecDeque::new(),
        }
    }

    /// The VMM's side: fills the mailbox with the next batch.
    pub fn post(&mut self) {
        assert_eq!(self.page.area.mailbox_len, 0, "the batch before is drained");
        let batch = self.batches.pop_front().unwrap_or_default();
        self.page.area.mailbox[..batch.len()].copy_from_slice(&batch);
        self.page.area.mailbox_len = batch.len() as u32;
        self.page.area.mailbox_more = u32::from(!self.batches.is_empty());
    }

    /// One batch, posted at once.
    pub fn with_batch(mut self, batch: &[Entry]) -> Self {
        self.batches.push_back(batch.to_vec());
        self.post();
        self
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

impl Cpu for TestCpu {
    fn page(&mut self) -> &mut CpuPage {
        &mut self.page
    }
    fn contexts(&mut self) -> &mut [ThreadContext] {
        &mut self.contexts
    }
    fn write_link(&mut self, address: u64, value: u64) {
        self.events.push(Event::Link(address, value));
    }
    fn refresh_table(&mut self, address: u64) {
        self.events.push(Event::Refresh(address));
    }
    fn load_cr3(&mut self, root: u64) {
        self.events.push(Event::Cr3(root));
    }
    fn load_fs_base(&mut self, base: u64) {
        self.events.push(Event::FsBase(base));
    }
    fn load_gs_base(&mut self, base: u64) {
        self.events.push(Event::GsBase(base));
    }
    fn save_fx(&mut self, slot: u32) {
        self.events.push(Event::SaveFx(slot));
    }
    fn load_fx(&mut self, slot: u32) {
        self.events.push(Event::LoadFx(slot));
    }
    fn call(&mut self, call: KernelCall, argument: u64) {
        self.events.push(Event::Call(call, argument));
        if call == KernelCall::Mailbox {
            self.post();
        }
    }
    fn halt(&mut self) {
        self.events.push(Event::Halt);
        assert!(!self.batches.is_empty(), "idle for ever");
        self.post();
    }
}
