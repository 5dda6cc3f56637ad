//! Acts: threads with one thing to do, and how it ended.
//!
//! A fault that a pager fails is an exception of its thread; it is taken from the process's exception channel, its status is
//! kept for whoever asks for the act, and the thread ends.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use protocol::exception::state::THREAD_EXIT;
use protocol::info::{TOPIC_HANDLE_BASIC, TOPIC_THREAD, TOPIC_THREAD_EXCEPTION_REPORT};
use protocol::options::property;
use protocol::syscall::SyscallNumber as N;
use test_guests::pages::PAGE;
use test_guests::{Failure, Outcome, fail, raw, soon};
use zx::thread::JoinHandle;
use zx::{AsHandleRef, Mapping, PAGE_SIZE, RawHandle, Status, Unowned, Vmo, VmoOp, process_self};

/// Something that a thread does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// `zx_vmo_read` of pages, each of which must be filled with its number plus this.
    Read(Range64, u8),
    /// Loads through a mapping, likewise.
    Touch(Range64, u8),
    /// `zx_vmo_read` of pages into another VMO, from its first page on.
    ReadInto(Range64, RawHandle),
    /// A load at an address.
    Load(usize),
    /// A store at an address.
    StoreAt(usize, u64),
    /// Stores of a byte through a mapping.
    Store(Range64, u8),
    /// `zx_vmo_write` of pages with a byte.
    Write(Range64, u8),
    /// `zx_vmo_op_range` of bytes.
    Op(VmoOp, u64, u64),
    /// `zx_vmo_set_size`.
    SetSize(u64),
    /// `zx_bti_pin`, for writing or not; all is unpinned again.
    Pin(bool, Range64),
}

/// A range of pages that can be copied.
pub type Range64 = (u64, u64);

/// Status of a read that found other bytes than it should.
const WRONG_BYTES: Status = Status(-9999);

impl Deed {
    fn run(self, vmo: &Vmo) -> Status {
        match self.try_run(vmo) {
            Ok(()) => Status::OK,
            Err(status) => status,
        }
    }

    fn try_run(self, vmo: &Vmo) -> Result<(), Status> {
        match self {
            Deed::Read((first, end), plus) => {
                let length = (end - first) * PAGE_SIZE;
                let buffer = Mapping::read_write(&Vmo::create(length)?, 0, length as usize)?;
                let (at, offset) = (buffer.base() as u64, first * PAGE_SIZE);
                raw::vmo_read(vmo.raw_handle(), at, offset, length).ok()?;
                (first..end).try_for_each(|page| check(&buffer, page - first, page, plus))
            }
            Deed::ReadInto((first, end), to) => {
                let length = (end - first) * PAGE_SIZE;
                let to = Unowned::<Vmo>::from_raw(to);
                let buffer = Mapping::read_write(&to, 0, length as usize)?;
                let (at, offset) = (buffer.base() as u64, first * PAGE_SIZE);
                raw::vmo_read(vmo.raw_handle(), at, offset, length).ok()
            }
            Deed::Load(at) => {
                // SAFETY: a load; what becomes of it is what the scenario is about.
                unsafe { asm!("mov {}, [{}]", out(reg) _, in(reg) at, options(nostack)) };
                Ok(())
            }
            Deed::StoreAt(at, word) => {
                // SAFETY: no Rust value lives in what scenarios map.
                unsafe { asm!("mov [{}], {}", in(reg) at, in(reg) word, options(nostack)) };
                Ok(())
            }
            Deed::Touch((first, end), plus) => {
                let mapping = Mapping::read_only(vmo, 0, end as usize * PAGE)?;
                (first..end).try_for_each(|page| check(&mapping, page, page, plus))
            }
            Deed::Store((first, end), byte) => {
                let mapping = Mapping::read_write(vmo, 0, end as usize * PAGE)?;
                (first..end)
                    .try_for_each(|page| mapping.copy_in(page as usize * PAGE, &[byte; PAGE]))
            }
            Deed::Write((first, end), byte) => {
                let length = (end - first) * PAGE_SIZE;
                let buffer = Mapping::read_write(&Vmo::create(length)?, 0, length as usize)?;
                for page in 0..end - first {
                    buffer.copy_in(page as usize * PAGE, &[byte; PAGE])?;
                }
                let (at, offset) = (buffer.base() as u64, first * PAGE_SIZE);
                raw::vmo_write(vmo.raw_handle(), at, offset, length).ok()
            }
            Deed::Op(op, offset, length) => vmo.op_range(op, offset..offset + length),
            Deed::SetSize(size) => vmo.set_size(size),
            Deed::Pin(write, pages) => {
                crate::pins::pin(vmo, write, pages).and_then(|(pmt, _)| pmt.unpin())
            }
        }
    }
}

/// Page `at` of a mapping must be filled with `page` plus `plus`.
fn check(mapping: &Mapping, at: u64, page: u64, plus: u8) -> Result<(), Status> {
    let mut bytes = [0; PAGE];
    mapping.copy_out(at as usize * PAGE, &mut bytes)?;
    let expected = (page as u8).wrapping_add(plus);
    match bytes.iter().all(|byte| *byte == expected) {
        true => Ok(()),
        false => Err(WRONG_BYTES),
    }
}

/// A thread that does something.
pub struct Act {
    thread: JoinHandle<Status>,
    koid: u64,
}

/// What threads faulted with: (koid, status), taken by whoever asks for the thread.
static FAULTS: [[AtomicU64; 2]; 32] = [const { [const { AtomicU64::new(0) }; 2] }; 32];

/// The process's exception channel.
static EXCEPTIONS: AtomicU64 = AtomicU64::new(0);

/// Makes the process's exception channel: exceptions of threads come there from now on.
pub fn handle_exceptions() -> Result<(), Failure> {
    let mut channel = 0u32;
    let process = process_self().raw_handle();
    let args = [process.into(), 0, raw::out(&mut channel)];
    call(N::TaskCreateExceptionChannel, args).ok()?;
    EXCEPTIONS.store(channel.into(), Relaxed);
    Ok(())
}

/// A system call with the first arguments.
pub fn call<const COUNT: usize>(number: N, args: [u64; COUNT]) -> Status {
    // SAFETY: the addresses among the arguments are of values that outlive the call.
    unsafe { zx::sys::call(number, args) }
}

/// The record of `zx_object_get_info`, as words.
fn info<const WORDS: usize>(handle: RawHandle, topic: u32) -> Result<[u64; WORDS], Status> {
    let mut words = [0u64; WORDS];
    let at = raw::out(&mut words);
    let size = (WORDS * 8) as u64;
    raw::object_get_info(handle, topic, at, size, 0, 0).ok()?;
    Ok(words)
}

/// Takes the exceptions that came, and lets their threads end.
fn take_exceptions() -> Result<(), Failure> {
    let channel = EXCEPTIONS.load(Relaxed);
    loop {
        let (mut message, mut exception) = ([0u64; 3], 0u32);
        let (bytes, handle) = (raw::out(&mut message), raw::out(&mut exception));
        match call(N::ChannelRead, [channel, 0, bytes, handle, 24, 1, 0, 0]) {
            Status::OK => {}
            Status::SHOULD_WAIT => return Ok(()),
            status => fail!("reading the exception channel: {status}"),
        }
        let mut thread = 0u32;
        let args = [exception.into(), raw::out(&mut thread)];
        call(N::ExceptionGetThread, args).ok()?;
        let report = info::<5>(thread, TOPIC_THREAD_EXCEPTION_REPORT)?;
        raw::handle_close(thread).ok()?;
        let slot = FAULTS.iter().find(|[koid, _]| koid.load(Relaxed) == 0);
        let Some([koid, status]) = slot else {
            fail!("more faults than a scenario has threads");
        };
        koid.store(message[1], Relaxed);
        status.store(report[4] & 0xFFFF_FFFF, Relaxed);
        let state = u64::from(THREAD_EXIT);
        let at = (&raw const state) as u64;
        raw::object_set_property(exception, property::EXCEPTION_STATE, at, 4).ok()?;
        raw::handle_close(exception).ok()?;
    }
}

/// Lets others run.
fn pause() {
    let _ = raw::nanosleep(zx::sys::clock_get_monotonic() + 100_000);
}

impl Act {
    /// A thread that does something with a VMO; it has ended or waits for a pager when this returns.
    pub fn begin(vmo: &Vmo, deed: Deed) -> Result<Act, Failure> {
        let raw = vmo.raw_handle();
        let thread = zx::thread::spawn("act", move || deed.run(&Unowned::<Vmo>::from_raw(raw)))?;
        let [koid, ..] = info::<4>(thread.thread().raw_handle(), TOPIC_HANDLE_BASIC)?;
        let act = Act { thread, koid };
        act.settled()?;
        Ok(act)
    }

    /// Its thread.
    pub fn thread(&self) -> &zx::Thread {
        self.thread.thread()
    }

    /// The thread's state, as `zx_object_get_info` has it.
    fn state(&self) -> Result<u32, Failure> {
        let [word, ..] = info::<9>(self.thread.thread().raw_handle(), TOPIC_THREAD)?;
        Ok(word as u32)
    }

    /// Waits until the thread waits for a pager or has ended; tells whether it waits.
    pub fn settled(&self) -> Result<bool, Failure> {
        const PAGER: u32 = 0x903;
        const DEAD: u32 = 5;
        let deadline = soon();
        while zx::sys::clock_get_monotonic() < deadline {
            take_exceptions()?;
            match self.state()? {
                PAGER => return Ok(true),
                DEAD => return Ok(false),
                _ => pause(),
            }
        }
        fail!("a thread that neither waits for its pager nor ends");
    }

    /// It must wait for its pager.
    #[track_caller]
    pub fn waits(&self) -> Outcome {
        match self.settled()? {
            true => Ok(()),
            false => fail!("it has ended"),
        }
    }

    /// How it ended, which it must soon: what its call returned, or its fault.
    #[track_caller]
    pub fn ends(self, expected: Status) -> Outcome {
        let deadline = soon();
        while self.settled()? {
            if zx::sys::clock_get_monotonic() > deadline {
                fail!("it still waits for its pager");
            }
            pause();
        }
        let fault = FAULTS
            .iter()
            .find(|[koid, _]| koid.load(Relaxed) == self.koid);
        let found = match fault {
            Some([koid, status]) => {
                koid.store(0, Relaxed);
                Status::from_register(status.load(Relaxed))
            }
            None => self.thread.join(soon())?,
        };
        match found {
            WRONG_BYTES => fail!("it read other bytes"),
            found if found == expected => Ok(()),
            found => fail!("it ended with {found}, not {expected}"),
        }
    }
}
