//! What rows are about: objects, made when a row first names them, and buffers. Everything is closed again after the row.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use protocol::syscall::{MAX_ARGS, SyscallNumber as N};
use test_guests::{Failure, fail};
use zx::{PAGE_SIZE, RawHandle, Rights, Startup, Status};

/// An argument of a call.
#[derive(Clone, Copy)]
pub enum Arg {
    /// A number.
    N(u64),
    /// A handle to an object of the row's own.
    H(Obj),
    /// A handle to it without these rights.
    Without(Obj, Rights),
    /// A handle value that names nothing.
    Bad,
    /// The address of 64 writable bytes, zero at first.
    Out,
    /// The address of 64 other ones.
    Out2,
    /// An address where nothing is mapped.
    Nowhere,
    /// The address of a page that the row's VMO `Obj::Vmo` is mapped at.
    Mapped,
}

/// Objects of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Obj {
    /// Two pages, not resizable.
    Vmo,
    /// Two pages, resizable.
    Resizable,
    /// Two pages, discardable.
    Discardable,
    /// As large as can be.
    Unbounded,
    /// Two pages of `Pager`, key 7, requests to `Port`; nothing supplied.
    Paged,
    /// 64 MiB.
    Large,
    /// The same, resizable.
    PagedResizable,
    /// The same, TRAP_DIRTY.
    Trapped,
    /// A pager.
    Pager,
    /// Another pager.
    OtherPager,
    /// A port.
    Port,
    /// An event.
    Event,
    /// One end of a channel.
    Channel,
    /// Its other end.
    Peer,
    /// The root VMAR.
    RootVmar,
    /// A VMAR of 16 pages with all CAN_MAP rights.
    Vmar,
    /// The process.
    Process,
    /// A thread that was not started.
    Thread,
    /// The job.
    RootJob,
    /// A job below it.
    Job,
    /// The grant for executable VMOs.
    Vmex,
    /// The grant for IOMMUs.
    IommuGrant,
    /// The grant of a range of guest-physical memory.
    Mmio,
    /// An IOMMU.
    Iommu,
    /// A BTI.
    Bti,
    /// Two contiguous pages.
    Contiguous,
    /// The first page of the granted range.
    Physical,
    /// A slice of `Vmo`.
    Slice,
    /// A snapshot of `Vmo`.
    Snapshot,
    /// A clone of `Paged`.
    PagedClone,
}

/// Bytes of [`Obj::Large`].
pub const LARGE: u64 = 64 << 20;

/// Most objects that a row can have.
const MOST: usize = 24;

/// Most handles without rights.
const MOST_CUT: usize = 4;

/// Buffers, which calls write to behind the compiler's back.
static OUT: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
static OUT2: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

fn out2() -> u64 {
    (&raw const OUT2) as u64
}

/// The objects of one row.
pub struct World<'a> {
    startup: &'a Startup<'a>,
    made: [Option<(Obj, RawHandle)>; MOST],
    cut: [RawHandle; MOST_CUT],
    mapped: u64,
    /// Another mapping and its length.
    whole: (u64, u64),
    pmt: RawHandle,
    /// An exception and the channel that it came through.
    exception: (RawHandle, RawHandle),
}

impl<'a> World<'a> {
    /// Nothing yet.
    pub fn new(startup: &'a Startup<'a>) -> Self {
        OUT.iter()
            .chain(&OUT2)
            .for_each(|word| word.store(0, Relaxed));
        World {
            startup,
            made: [None; MOST],
            cut: [0; MOST_CUT],
            mapped: 0,
            whole: (0, 0),
            pmt: 0,
            exception: (0, 0),
        }
    }

    /// Makes a call.
    pub fn call(&mut self, number: N, args: [u64; MAX_ARGS]) -> Status {
        // SAFETY: the arguments are the row's: addresses of its own buffers and mapping, or of nothing.
        Status::from_register(unsafe { zx::sys::syscall(number as u64, args) })
    }

    /// Makes a call with the first arguments; the others are zero.
    pub fn calls<const COUNT: usize>(&mut self, number: N, args: [u64; COUNT]) -> Status {
        let mut all = [0; MAX_ARGS];
        for (register, arg) in all.iter_mut().zip(args) {
            *register = arg;
        }
        self.call(number, all)
    }

    /// The value that an argument stands for.
    pub fn value(&mut self, arg: Arg) -> Result<u64, Failure> {
        Ok(match arg {
            Arg::N(value) => value,
            Arg::H(obj) => self.handle(obj)?.into(),
            Arg::Without(obj, rights) => self.without(obj, rights)?.into(),
            Arg::Bad => 0xFFFF_FFF3,
            Arg::Out => self.out(),
            Arg::Out2 => out2(),
            Arg::Nowhere => 0x1000,
            Arg::Mapped => self.mapped()?,
        })
    }

    /// The address of the buffer.
    pub fn out(&self) -> u64 {
        (&raw const OUT) as u64
    }

    /// What a call wrote to the start of the buffer.
    pub fn result(&self) -> u64 {
        OUT[0].load(Relaxed)
    }

    /// A handle to an object of the row.
    pub fn handle(&mut self, obj: Obj) -> Result<RawHandle, Failure> {
        let known = self.made.iter().flatten().find(|(known, _)| *known == obj);
        if let Some((_, handle)) = known {
            return Ok(*handle);
        }
        let handle = self.make(obj)?;
        match self.made.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some((obj, handle)),
            None => fail!("a row with too many objects"),
        }
        Ok(handle)
    }

    /// Forgets the row's handle to an object, which a call has consumed.
    pub fn consumed(&mut self, obj: Obj) {
        for slot in &mut self.made {
            if slot.is_some_and(|(known, _)| known == obj) {
                *slot = None;
            }
        }
    }

    /// A handle to an object of the row without some rights.
    pub fn without(&mut self, obj: Obj, rights: Rights) -> Result<RawHandle, Failure> {
        let handle = self.handle(obj)?;
        let info = [handle.into(), 2, self.out(), 32, 0, 0];
        self.calls(N::ObjectGetInfo, info).ok()?;
        let held = Rights::from_bits_retain(OUT[1].load(Relaxed) as u32);
        let wanted = held - rights;
        let out = self.out();
        // A pager's handle cannot be duplicated: its only one loses the rights.
        let number = match held.contains(Rights::DUPLICATE) {
            true => N::HandleDuplicate,
            false => N::HandleReplace,
        };
        let args = [handle.into(), wanted.bits().into(), out];
        self.calls(number, args).ok()?;
        let cut = self.result() as RawHandle;
        if number == N::HandleReplace {
            self.consumed(obj);
        }
        match self.cut.iter_mut().find(|slot| **slot == 0) {
            Some(slot) => *slot = cut,
            None => fail!("a row with too many handles"),
        }
        Ok(cut)
    }

    /// Where the row's VMO is mapped.
    pub fn mapped(&mut self) -> Result<u64, Failure> {
        if self.mapped == 0 {
            let vmo = self.handle(Obj::Vmo)?;
            let root = self.handle(Obj::RootVmar)?;
            let out = self.out();
            let args = [root.into(), 3, 0, vmo.into(), 0, PAGE_SIZE, out];
            self.calls(N::VmarMap, args).ok()?;
            self.mapped = self.result();
        }
        Ok(self.mapped)
    }

    /// Where the whole of a VMO is mapped, for reading and writing.
    pub fn maps(&mut self, obj: Obj, length: u64) -> Result<u64, Failure> {
        let (vmo, root, out) = (self.handle(obj)?, self.given("vmar")?, self.out());
        let args = [root.into(), 3, 0, vmo.into(), 0, length, out];
        self.calls(N::VmarMap, args).ok()?;
        self.whole = (self.result(), length);
        Ok(self.whole.0)
    }

    /// A VMO of the row with its first page pinned for reading.
    pub fn pinned(&mut self, obj: Obj) -> Result<RawHandle, Failure> {
        let (bti, vmo, out) = (self.handle(Obj::Bti)?, self.handle(obj)?, self.out());
        let out2 = out2();
        let args = [bti.into(), 1, vmo.into(), 0, PAGE_SIZE, out2, 1, out];
        self.pmt = self.makes(N::BtiPin, args)?;
        Ok(vmo)
    }

    /// Ends the pin.
    pub fn unpin(&mut self) -> Result<(), Failure> {
        let pmt = core::mem::take(&mut self.pmt);
        Ok(self.calls(N::PmtUnpin, [pmt.into()]).ok()?)
    }

    /// A process of `Job` that was not started.
    pub fn child_process(&mut self) -> Result<RawHandle, Failure> {
        let (job, out) = (self.handle(Obj::Job)?, self.out());
        let args = [job.into(), out, 0, 0, out, out + 8];
        let process = self.makes(N::ProcessCreate, args)?;
        let vmar = OUT[1].load(Relaxed);
        self.calls(N::HandleClose, [vmar]).ok()?;
        Ok(process)
    }

    /// Such a process, killed.
    pub fn dead_process(&mut self) -> Result<RawHandle, Failure> {
        let process = self.child_process()?;
        self.calls(N::TaskKill, [process.into()]).ok()?;
        Ok(process)
    }

    /// The row's thread starts where nothing is mapped: its exception, by way of a task's channel.
    pub fn exception(&mut self, task: Obj) -> Result<RawHandle, Failure> {
        const READABLE: u64 = 1;
        let (thread, out) = (self.handle(Obj::Thread)?, self.out());
        let args = [self.handle(task)?.into(), 0, out];
        let channel = self.makes(N::TaskCreateExceptionChannel, args)?;
        let start = [thread.into(), 0x1000, 0x20_0000, 0, 0];
        self.calls(N::ThreadStart, start).ok()?;
        let deadline = test_guests::soon() as u64;
        let wait = [channel.into(), READABLE, deadline, out];
        self.calls(N::ObjectWaitOne, wait).ok()?;
        let read = [channel.into(), 0, out2(), out, 24, 1];
        let exception = self.makes(N::ChannelRead, read)?;
        self.exception = (exception, channel);
        Ok(exception)
    }

    /// The exception's thread ends.
    pub fn end_exception(&mut self) -> Result<(), Failure> {
        let (exception, channel) = core::mem::take(&mut self.exception);
        let exit = 2u32;
        let args = [exception.into(), 16, (&raw const exit) as u64, 4];
        self.calls(N::ObjectSetProperty, args).ok()?;
        self.calls(N::HandleClose, [exception.into()]).ok()?;
        self.calls(N::HandleClose, [channel.into()]).ok()?;
        let (thread, deadline) = (self.handle(Obj::Thread)?, test_guests::soon() as u64);
        let wait = [thread.into(), 8, deadline, self.out()];
        Ok(self.calls(N::ObjectWaitOne, wait).ok()?)
    }

    /// A call that makes something: the handle it gives.
    pub fn makes<const COUNT: usize>(
        &mut self,
        number: N,
        args: [u64; COUNT],
    ) -> Result<RawHandle, Failure> {
        match self.calls(number, args) {
            Status::OK => Ok(self.result() as RawHandle),
            status => fail!("{} for the row: {status}", number.name()),
        }
    }

    fn given(&self, name: &str) -> Result<RawHandle, Failure> {
        match self.startup.handle(name) {
            Some(handle) => Ok(handle),
            None => fail!("the program was not given {name:?}"),
        }
    }

    fn make(&mut self, obj: Obj) -> Result<RawHandle, Failure> {
        let (size, out) = (2 * PAGE_SIZE, self.out());
        match obj {
            Obj::Vmo => self.makes(N::VmoCreate, [size, 0, out]),
            Obj::Resizable => self.makes(N::VmoCreate, [size, 2, out]),
            Obj::Discardable => self.makes(N::VmoCreate, [size, 4, out]),
            Obj::Unbounded => self.makes(N::VmoCreate, [0, 16, out]),
            Obj::Large => self.makes(N::VmoCreate, [LARGE, 0, out]),
            Obj::Paged => self.paged(0),
            Obj::PagedResizable => self.paged(2),
            Obj::Trapped => self.paged(8),
            Obj::Pager | Obj::OtherPager => self.makes(N::PagerCreate, [0, out]),
            Obj::Port => self.makes(N::PortCreate, [0, out]),
            Obj::Event => self.makes(N::EventCreate, [0, out]),
            Obj::Channel => {
                let out2 = out2();
                let end = self.makes(N::ChannelCreate, [0, out, out2])?;
                let peer = OUT2[0].load(Relaxed) as RawHandle;
                if let Some(slot) = self.made.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some((Obj::Peer, peer));
                }
                Ok(end)
            }
            Obj::Peer => {
                self.handle(Obj::Channel)?;
                self.handle(Obj::Peer)
            }
            Obj::RootVmar => self.copied("vmar"),
            Obj::Vmar => {
                let root = self.given("vmar")?;
                let (can_map, out2) = (0x3C0, out2());
                let args = [root.into(), can_map, 0, 16 * PAGE_SIZE, out, out2];
                self.makes(N::VmarAllocate, args)
            }
            Obj::Process => self.copied("process"),
            Obj::Thread => {
                let process = self.given("process")?;
                self.makes(N::ThreadCreate, [process.into(), out, 0, 0, out])
            }
            Obj::RootJob => self.copied("job"),
            Obj::Job => {
                let job = self.given("job")?;
                self.makes(N::JobCreate, [job.into(), 0, out])
            }
            Obj::Vmex => self.copied("vmex"),
            Obj::IommuGrant => self.copied("iommu"),
            Obj::Mmio => self.copied("mmio"),
            Obj::Iommu => {
                let grant = self.given("iommu")?;
                self.makes(N::IommuCreate, [grant.into(), 0, out, 8, out])
            }
            Obj::Bti => {
                let iommu = self.handle(Obj::Iommu)?;
                self.makes(N::BtiCreate, [iommu.into(), 0, 1, out])
            }
            Obj::Contiguous => {
                let bti = self.handle(Obj::Bti)?;
                self.makes(N::VmoCreateContiguous, [bti.into(), size, 0, out])
            }
            Obj::Physical => {
                let grant = self.given("mmio")?;
                let base = self.mmio_base()?;
                let args = [grant.into(), base, PAGE_SIZE, out];
                self.makes(N::VmoCreatePhysical, args)
            }
            Obj::Slice => self.child(Obj::Vmo, 8),
            Obj::Snapshot => self.child(Obj::Vmo, 1),
            Obj::PagedClone => self.child(Obj::Paged, 0x10),
        }
    }

    /// First address of the granted range.
    pub fn mmio_base(&mut self) -> Result<u64, Failure> {
        let grant = self.given("mmio")?;
        let args = [grant.into(), 18, self.out(), 56, 0, 0];
        self.calls(N::ObjectGetInfo, args).ok()?;
        Ok(OUT[1].load(Relaxed))
    }

    /// A handle of the row's own to what the program was given.
    fn copied(&mut self, name: &str) -> Result<RawHandle, Failure> {
        let (given, out) = (self.given(name)?, self.out());
        self.makes(N::HandleDuplicate, [given.into(), 1 << 31, out])
    }

    fn paged(&mut self, options: u64) -> Result<RawHandle, Failure> {
        let pager = self.handle(Obj::Pager)?;
        let port = self.handle(Obj::Port)?;
        let (size, out) = (2 * PAGE_SIZE, self.out());
        let args = [pager.into(), options, port.into(), 7, size, out];
        self.makes(N::PagerCreateVmo, args)
    }

    fn child(&mut self, parent: Obj, options: u64) -> Result<RawHandle, Failure> {
        let parent = self.handle(parent)?;
        let (size, out) = (2 * PAGE_SIZE, self.out());
        self.makes(N::VmoCreateChild, [parent.into(), options, 0, size, out])
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        for (at, length) in [(self.mapped, PAGE_SIZE), self.whole] {
            if at != 0
                && let Ok(root) = self.given("vmar")
            {
                self.calls(N::VmarUnmap, [root.into(), at, length]);
            }
        }
        let made = core::mem::replace(&mut self.made, [None; MOST]);
        for (_, handle) in made.into_iter().flatten() {
            self.calls(N::HandleClose, [handle.into()]);
        }
        for handle in self.cut {
            self.calls(N::HandleClose, [handle.into()]);
        }
    }
}
