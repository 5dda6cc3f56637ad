//! A stage for scenarios: a pager with one VMO, threads that act on it, and the packets that they bring about.
//!
//! Page n of what is supplied is filled with the byte n. An act is a thread with one thing to do; when [`Scene::act`] returns it
//! has done it, or waits for the pager: what follows happens in the order in which a scenario has it. A fault that a pager
//! fails is an exception of its thread; the stage takes it from the process's exception channel, keeps its status, and lets the
//! thread end.

use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use protocol::exception::state::THREAD_EXIT;
use protocol::info::{TOPIC_HANDLE_BASIC, TOPIC_THREAD, TOPIC_THREAD_EXCEPTION_REPORT};
use protocol::options::{PagerOp, VMO_DIRTY_RANGE_SIZE, property};
use protocol::syscall::SyscallNumber as N;
use test_guests::pages::PAGE;
use test_guests::{Failure, NOW, Outcome, Via, fail, raw, soon};
use zx::thread::JoinHandle;
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, PageRequestCommand, Pager, Port, PortPacket, RawHandle,
    Status, Unowned, Vmo, VmoOp, VmoOptions, process_self,
};

/// Key of the VMO.
pub const KEY: u64 = 7;

/// A packet that a scenario expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// READ of these pages.
    Read(u64, u64),
    /// DIRTY of these pages.
    Dirty(u64, u64),
    /// COMPLETE.
    Complete,
}
pub use Packet::{Complete, Dirty, Read};

/// A range of dirty pages: first, end, whether they are zeros without storage.
pub type DirtyRange = (u64, u64, bool);

/// A pager, a port and a VMO.
pub struct Scene {
    pub pager: ManuallyDrop<Pager>,
    pub port: Port,
    pub vmo: Vmo,
    trapped: bool,
}

/// A scene with a VMO of `pages` absent pages.
pub fn scene(pages: u64) -> Result<Scene, Failure> {
    scene_with(pages, VmoOptions::empty())
}

/// The same with options.
pub fn scene_with(pages: u64, options: VmoOptions) -> Result<Scene, Failure> {
    let (pager, port) = (Pager::create()?, Port::create()?);
    let vmo = pager.create_vmo(options, &port, KEY, pages * PAGE_SIZE)?;
    Ok(Scene {
        pager: ManuallyDrop::new(pager),
        port,
        vmo,
        trapped: options.contains(VmoOptions::TRAP_DIRTY),
    })
}

/// Something that a thread does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// `zx_vmo_read` of pages, each of which must be filled with its number plus this.
    Read(Range64, u8),
    /// Loads through a mapping, likewise.
    Touch(Range64, u8),
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
                crate::pins::pin(vmo, write, pages).and_then(|(pmt, _)| crate::pins::unpin(pmt))
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
    /// The thread's state, as `zx_object_get_info` has it.
    fn state(&self) -> Result<u32, Failure> {
        let [word, ..] = info::<9>(self.thread.thread().raw_handle(), TOPIC_THREAD)?;
        Ok(word as u32)
    }

    /// Waits until the thread waits for a pager or has ended; tells whether it waits.
    fn settled(&self) -> Result<bool, Failure> {
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

impl Scene {
    /// A thread that does something with a VMO; it has ended or waits for a pager when this returns.
    pub fn act_on(&self, vmo: &Vmo, deed: Deed) -> Result<Act, Failure> {
        let raw = vmo.raw_handle();
        let thread = zx::thread::spawn("act", move || deed.run(&Unowned::<Vmo>::from_raw(raw)))?;
        let [koid, ..] = info::<4>(thread.thread().raw_handle(), TOPIC_HANDLE_BASIC)?;
        let act = Act { thread, koid };
        act.settled()?;
        Ok(act)
    }

    /// The same with the scene's VMO.
    pub fn act(&self, deed: Deed) -> Result<Act, Failure> {
        self.act_on(&self.vmo, deed)
    }

    /// Reads pages one way or the other.
    pub fn read(&self, via: Via, pages: Range<u64>) -> Result<Act, Failure> {
        self.read_of(&self.vmo, via, pages, 0)
    }

    /// Reads pages of a VMO, which must be filled with their numbers plus `plus`.
    pub fn read_of(
        &self,
        vmo: &Vmo,
        via: Via,
        pages: Range<u64>,
        plus: u8,
    ) -> Result<Act, Failure> {
        let pages = (pages.start, pages.end);
        self.act_on(
            vmo,
            match via {
                Via::Read => Deed::Read(pages, plus),
                Via::Mapping => Deed::Touch(pages, plus),
            },
        )
    }

    /// Commits pages.
    pub fn commit(&self, pages: Range<u64>) -> Result<Act, Failure> {
        self.op(VmoOp::Commit, pages)
    }

    /// An operation on pages.
    pub fn op(&self, op: VmoOp, pages: Range<u64>) -> Result<Act, Failure> {
        self.op_on(&self.vmo, op, pages)
    }

    /// An operation on pages of a VMO.
    pub fn op_on(&self, vmo: &Vmo, op: VmoOp, pages: Range<u64>) -> Result<Act, Failure> {
        let (offset, length) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        self.act_on(vmo, Deed::Op(op, offset, length))
    }

    /// Writes pages by `zx_vmo_write`.
    pub fn write(&self, pages: Range<u64>, byte: u8) -> Result<Act, Failure> {
        self.act(Deed::Write((pages.start, pages.end), byte))
    }

    /// Writes pages that are there; under TRAP the pager lets it.
    pub fn written(&self, pages: Range<u64>, byte: u8) -> Outcome {
        let act = self.write(pages.clone(), byte)?;
        if self.trapped && act.settled()? {
            self.packets(&[Dirty(pages.start, pages.end)])?;
            self.dirty(pages)?;
        }
        act.ends(Status::OK)
    }

    /// Exactly these packets come, in this order, and no other is waiting then.
    #[track_caller]
    pub fn packets(&self, expected: &[Packet]) -> Outcome {
        for packet in expected {
            self.packet(KEY, *packet)?;
        }
        match self.port.wait(NOW) {
            Err(Status::TIMED_OUT) => Ok(()),
            other => fail!("expected no packet after {expected:?}: {other:?}"),
        }
    }

    /// The next packet is this one, with this key; all its bytes are compared.
    #[track_caller]
    pub fn packet(&self, key: u64, expected: Packet) -> Outcome {
        let (command, first, end) = match expected {
            Read(first, end) => (PageRequestCommand::Read, first, end),
            Dirty(first, end) => (PageRequestCommand::Dirty, first, end),
            Complete => (PageRequestCommand::Complete, 0, 0),
        };
        let (offset, length) = (first * PAGE_SIZE, (end - first) * PAGE_SIZE);
        let wanted = PortPacket::page_request(key, command, offset, length);
        match self.port.wait(soon()) {
            Ok(packet) if packet == wanted => Ok(()),
            other => fail!("{other:?} instead of {expected:?}"),
        }
    }

    /// Supplies pages.
    pub fn supply(&self, pages: Range<u64>) -> Outcome {
        Ok(self.try_supply(&self.vmo, pages)?)
    }

    /// Supplies pages of a VMO.
    pub fn try_supply(&self, vmo: &Vmo, pages: Range<u64>) -> Result<(), Status> {
        let aux = Vmo::create((pages.end - pages.start) * PAGE_SIZE)?;
        for page in pages.clone() {
            aux.write(&[page as u8; PAGE], (page - pages.start) * PAGE_SIZE)?;
        }
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        self.pager.supply_pages(vmo, bytes, &aux, 0)
    }

    /// Supplies zeros without storage.
    pub fn supply_zeros(&self, pages: Range<u64>) -> Outcome {
        let aux = Vmo::create((pages.end - pages.start) * PAGE_SIZE)?;
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        Ok(self.pager.supply_pages(&self.vmo, bytes, &aux, 0)?)
    }

    /// `zx_pager_op_range`.
    pub fn pager_op(&self, op: PagerOp, pages: Range<u64>, data: u64) -> Result<(), Status> {
        let (pager, vmo) = (self.pager.raw_handle(), self.vmo.raw_handle());
        let (offset, length) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        let args = [pager.into(), op as u64, vmo.into(), offset, length, data];
        call(N::PagerOpRange, args).ok()
    }

    /// Fails pages.
    pub fn fail(&self, pages: Range<u64>, status: Status) -> Outcome {
        Ok(self.pager_op(PagerOp::Fail, pages, status.to_register())?)
    }

    /// Pages may be written to.
    pub fn dirty(&self, pages: Range<u64>) -> Outcome {
        Ok(self.pager_op(PagerOp::Dirty, pages, 0)?)
    }

    /// The writeback of pages begins.
    pub fn begin(&self, pages: Range<u64>) -> Outcome {
        Ok(self.pager_op(PagerOp::WritebackBegin, pages, 0)?)
    }

    /// The writeback of pages ends.
    pub fn end(&self, pages: Range<u64>) -> Outcome {
        Ok(self.pager_op(PagerOp::WritebackEnd, pages, 0)?)
    }

    /// Zeros whole pages.
    pub fn zero(&self, pages: Range<u64>) -> Outcome {
        let bytes = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        Ok(self.vmo.op_range(VmoOp::Zero, bytes)?)
    }

    /// The VMO's dirty ranges are these.
    #[track_caller]
    pub fn dirty_are(&self, expected: &[DirtyRange]) -> Outcome {
        const MOST: usize = 8;
        let (mut words, mut actual) = ([0u64; 3 * MOST], 0u64);
        let size = self.vmo.get_size()?;
        let (pager, vmo) = (self.pager.raw_handle(), self.vmo.raw_handle());
        let room = MOST as u64 * VMO_DIRTY_RANGE_SIZE;
        let (at, count) = (raw::out(&mut words), raw::out(&mut actual));
        let args = [pager.into(), vmo.into(), 0, size, at, room, count, 0];
        call(N::PagerQueryDirtyRanges, args).ok()?;
        let found = words.chunks_exact(3).take(actual as usize);
        let range = |words: &[u64]| match *words {
            [offset, length, options] => {
                let end = (offset + length) / PAGE_SIZE;
                (offset / PAGE_SIZE, end, options == 1)
            }
            _ => (0, 0, false),
        };
        let equal = found.clone().map(range).eq(expected.iter().copied());
        match equal {
            true => Ok(()),
            false => {
                let first = found.map(range).next();
                fail!("{actual} dirty ranges from {first:?} on, not {expected:?}")
            }
        }
    }

    /// Whether the VMO was modified since this was last asked.
    pub fn was_modified(&self) -> Result<bool, Failure> {
        let (pager, vmo) = (self.pager.raw_handle(), self.vmo.raw_handle());
        let mut stats = 0u32;
        let args = [pager.into(), vmo.into(), 1, raw::out(&mut stats), 4];
        call(N::PagerQueryVmoStats, args).ok()?;
        Ok(stats == 1)
    }

    /// Pages of a VMO that count as committed.
    pub fn committed(&self, vmo: &Vmo) -> Result<u64, Failure> {
        Ok(vmo.info()?.committed_bytes / PAGE_SIZE)
    }

    /// Pages of a VMO that are there are filled with these bytes.
    #[track_caller]
    pub fn bytes_are(&self, vmo: &Vmo, first: u64, expected: &[u8]) -> Outcome {
        let mut bytes = [0; PAGE];
        for (page, expected) in (first..).zip(expected) {
            vmo.read(&mut bytes, page * PAGE_SIZE)?;
            if !bytes.iter().all(|byte| byte == expected) {
                fail!("page {page} holds {}, not {expected}", bytes[0]);
            }
        }
        Ok(())
    }

    /// Closes the pager.
    pub fn close_pager(&self) -> Outcome {
        Ok(raw::handle_close(self.pager.raw_handle()).ok()?)
    }

    /// Detaches the VMO.
    pub fn detach(&self) -> Outcome {
        Ok(self.pager.detach_vmo(&self.vmo)?)
    }

    /// A child of the VMO, in pages.
    pub fn child(&self, options: zx::ChildOptions, pages: Range<u64>) -> Result<Vmo, Failure> {
        let (offset, size) = (
            pages.start * PAGE_SIZE,
            (pages.end - pages.start) * PAGE_SIZE,
        );
        Ok(self.vmo.create_child(options, offset, size)?)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A scenario that failed may leave threads that wait: they end with it.
        let _ = self.pager.detach_vmo(&self.vmo);
        let _ = raw::handle_close(self.pager.raw_handle());
    }
}
