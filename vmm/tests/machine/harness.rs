//! A VM with one page table made by hand: user memory at [`USER`], code in its first page.

use std::{
    collections::VecDeque,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use protocol::{
    boot::{ARENA_BASE, KernelCall},
    vcpu::{Entry, EntryKind},
};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use vmm::{
    guest_image::KERNEL,
    machine::{Exit, KERNEL_ROOT_ENTRY, KickHandle, Machine, MachineConfig, Vcpu, new_context},
};

/// User address of the first page.
pub const USER: u64 = 0x40_0000;
/// Pages of user memory.
pub const PAGES: u64 = 16;
/// Page that is mapped by no guest page table.
pub const UNMAPPED: u64 = USER + 0x1F_F000;
/// User address that is mapped to guest-physical memory without a memslot.
pub const NO_SLOT: u64 = USER + 0x10_0000;
/// How long any run in the guest may take.
const DEADLINE: Duration = Duration::from_secs(20);

const PAGE: usize = 4096;
const SIZE: usize = PAGES as usize * PAGE;

/// Machine code from assembly: `program!(NAME, "...")` defines `fn NAME() -> &'static [u8]`.
#[macro_export]
macro_rules! program {
    ($name:ident, $($line:expr),+ $(,)?) => {
        std::arch::global_asm!(
            ".pushsection .rodata.guest, \"a\"",
            concat!(".globl guest_", stringify!($name)),
            concat!(".globl guest_", stringify!($name), "_end"),
            concat!("guest_", stringify!($name), ":"),
            $($line),+,
            concat!("guest_", stringify!($name), "_end:"),
            ".popsection",
        );
        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!("guest_", stringify!($name))]
                static START: u8;
                #[link_name = concat!("guest_", stringify!($name), "_end")]
                static END: u8;
            }
            let (start, end) = (&raw const START, &raw const END);
            // SAFETY: both labels belong to the block above, in this order.
            unsafe { std::slice::from_raw_parts(start, end.offset_from(start) as usize) }
        }
    };
}

/// Host memory behind the user pages.
struct UserMemory(NonNull<u8>);

impl UserMemory {
    fn new() -> Self {
        // SAFETY: a fresh mapping.
        let address = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(std::ptr::null_mut(), SIZE, access, MapFlags::SHARED).unwrap()
        };
        Self(NonNull::new(address.cast()).unwrap())
    }
}

impl Drop for UserMemory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        unsafe { munmap(self.0.as_ptr().cast(), SIZE).unwrap() }
    }
}

pub struct Guest {
    pub machine: Machine,
    pub vcpu: Vcpu,
    pub others: Vec<Vcpu>,
    queue: VecDeque<Entry>,
    memory: UserMemory,
    watchdog: Watchdog,
}

impl Guest {
    /// A VM with one vCPU that has booted and waits, and `code` in its first user page.
    pub fn new(code: &[u8]) -> Self {
        Self::with_cpus(1, code)
    }

    pub fn with_cpus(cpus: u32, code: &[u8]) -> Self {
        let mut guest = Self::not_started(cpus, code);
        assert_eq!(guest.run(), Exit::Halt);
        guest
    }

    /// Nothing has run yet.
    pub fn not_started(cpus: u32, code: &[u8]) -> Self {
        let config = MachineConfig {
            cpus,
            kernel: KERNEL,
            arena_limit: 1 << 30,
        };
        let mut machine = Machine::new(config).unwrap_or_else(|error| {
            panic!("these tests need KVM (run `zvmm doctor`): {error}");
        });
        let memory = UserMemory::new();
        let host = memory.0.as_ptr() as u64;
        machine
            .memslots()
            .add(0, ARENA_BASE, host, SIZE as u64)
            .unwrap();
        build_tables(&machine);
        let mut vcpus = machine.take_vcpus();
        let vcpu = vcpus.remove(0);
        let watchdog = Watchdog::new(vcpu.kick_handle());
        let queue = VecDeque::new();
        let guest = Self {
            machine,
            vcpu,
            others: vcpus,
            queue,
            memory,
            watchdog,
        };
        guest.write(USER, code);
        guest
    }

    /// Root of the page tables.
    pub fn root(&self) -> u64 {
        self.machine.table_pages().start
    }

    /// Guest-physical address of the page-table entry of `address`.
    pub fn entry_of(&self, address: u64) -> u64 {
        self.root() + 0x3000 + 8 * (address >> 12 & 0x1FF)
    }

    /// Starts a thread at the beginning of the code, with the argument in rdi.
    pub fn start(&mut self, slot: u32, argument: u64) {
        self.seat(slot, argument);
        self.post(&[entry(EntryKind::Resume, slot, 0, 0)]);
    }

    /// Fills the context of such a thread.
    pub fn seat(&self, slot: u32, argument: u64) {
        let stack = USER + SIZE as u64 - u64::from(slot) * 256;
        let context = new_context(
            slot,
            self.root(),
            &protocol::GeneralRegs::at_start(USER, stack, argument, 0),
        );
        self.vcpu.area().set_context(slot, &context).unwrap();
    }

    /// Posts a batch.
    pub fn post(&mut self, entries: &[Entry]) {
        self.queue.extend(entries);
        self.vcpu.area().post(&mut self.queue).unwrap();
    }

    /// Runs until an exit that is not an interruption by the watchdog.
    pub fn run(&mut self) -> Exit {
        let exit = self.vcpu.run().unwrap();
        assert!(!self.watchdog.barked(), "the guest ran past its deadline");
        if exit == Exit::KernelCall(KernelCall::Panic) {
            panic!("{}", self.vcpu.panic_report());
        }
        exit
    }

    /// Expects a system call and returns (rax, rdi, rsi).
    pub fn expect_syscall(&mut self) -> (u64, u64, u64) {
        assert_eq!(self.run(), Exit::Syscall);
        let registers = self.vcpu.registers();
        (registers.rax, registers.rdi, registers.rsi)
    }

    /// Expects an exception and returns (vector, error code, CR2).
    pub fn expect_exception(&mut self) -> (u64, u64, u64) {
        let mut exit = self.run();
        if exit == Exit::PageFault {
            self.vcpu.answer_page_fault(false);
            exit = self.run();
        }
        assert_eq!(exit, Exit::KernelCall(KernelCall::Exception));
        let registers = self.vcpu.registers();
        (registers.rdi, registers.rsi, registers.rdx)
    }

    /// Writes to user memory through the host's mapping.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let offset = (address - USER) as usize;
        assert!(offset + bytes.len() <= SIZE);
        // SAFETY: within the mapping; the guest is not running.
        unsafe {
            let to = self.memory.0.as_ptr().add(offset);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Backs the guest-physical page `gpa` with the user page at `address`, through a memslot of its own.
    pub fn add_alias(&self, slot: u32, gpa: u64, address: u64) {
        let host = self.memory.0.as_ptr() as u64 + (address - USER);
        self.machine
            .memslots()
            .add(slot, gpa, host, PAGE as u64)
            .unwrap();
    }

    /// Takes the host's access to a user page away, or gives it back.
    pub fn set_present(&self, address: u64, present: bool) {
        let flags = if present {
            MprotectFlags::READ | MprotectFlags::WRITE
        } else {
            MprotectFlags::empty()
        };
        // SAFETY: one page of the mapping.
        unsafe {
            let page = self.memory.0.as_ptr().add((address - USER) as usize);
            mprotect(page.cast(), PAGE, flags).unwrap();
        }
    }
}

/// Root, PDPT, PD and PT for the 2 MiB at `USER`.
fn build_tables(machine: &Machine) {
    const USER_TABLE: u64 = 7;
    let ram = machine.ram();
    let root = machine.table_pages().start;
    let table = |n: u64| root + n * 0x1000;
    ram.write_u64(root + 8 * 511, KERNEL_ROOT_ENTRY).unwrap();
    ram.write_u64(root, table(1) | USER_TABLE).unwrap();
    ram.write_u64(table(1), table(2) | USER_TABLE).unwrap();
    ram.write_u64(table(2) + 8 * (USER >> 21), table(3) | USER_TABLE)
        .unwrap();
    let mut entries = [0; 512];
    for (page, entry) in entries.iter_mut().enumerate().take(511) {
        *entry = (ARENA_BASE + page as u64 * 0x1000) | USER_TABLE;
    }
    ram.write_entries(table(3), &entries).unwrap();
}

/// A mailbox entry.
pub fn entry(kind: EntryKind, slot: u32, a: u64, b: u64) -> Entry {
    Entry {
        kind: kind as u32,
        slot,
        a,
        b,
    }
}

/// Kicks the vCPU when the deadline has passed.
struct Watchdog {
    barked: Arc<AtomicBool>,
    _alive: mpsc::Sender<()>,
}

impl Watchdog {
    fn new(kick: KickHandle) -> Self {
        let (alive, gone) = mpsc::channel();
        let barked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&barked);
        thread::spawn(move || {
            if gone.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::SeqCst);
                kick.kick();
            }
        });
        Self {
            barked,
            _alive: alive,
        }
    }

    fn barked(&self) -> bool {
        self.barked.load(Ordering::SeqCst)
    }
}
