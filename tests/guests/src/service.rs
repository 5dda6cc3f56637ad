//! A pager in the test program: its VMOs, the packets it must see, and threads that read its pages.

use core::mem::{ManuallyDrop, size_of};
use zx::thread::JoinHandle;
use zx::{
    AsHandleRef, Mapping, PAGE_SIZE, PacketKind, PageRequestCommand, Pager, Port, PortPacket,
    Status, Unowned, Vmo, VmoOptions, time,
};

use crate::pages::{self, PAGE};
use crate::{Failure, Outcome, equal, fail, shortly, soon};

/// A pager with its port. A VMO's key is also the seed of its contents.
///
/// The pager stays open until it is closed by [`Service::close`]: else a case that fails would fail its readers' faults,
/// and with them end the process, before its verdict is printed.
#[derive(Debug)]
pub struct Service {
    /// The pager.
    pub pager: ManuallyDrop<Pager>,
    /// Where its packets come.
    pub port: Port,
}

impl Service {
    /// A pager without VMOs.
    pub fn new() -> Result<Self, Status> {
        Ok(Service {
            pager: ManuallyDrop::new(Pager::create()?),
            port: Port::create()?,
        })
    }

    /// Closes the pager; its port is left.
    pub fn close(self) -> Port {
        drop(ManuallyDrop::into_inner(self.pager));
        self.port
    }

    /// A VMO of `count` absent pages.
    pub fn vmo(&self, key: u64, count: u64) -> Result<Vmo, Status> {
        self.pager
            .create_vmo(VmoOptions::empty(), &self.port, key, count * PAGE_SIZE)
    }

    /// Supplies pages `first..first + count` with the contents that `seed` stands for.
    pub fn supply(&self, vmo: &Vmo, seed: u64, first: u64, count: u64) -> Result<(), Status> {
        let aux = pages::filled_vmo(seed, first, count)?;
        self.supply_from(vmo, first, count, &aux, 0)
    }

    /// Supplies pages out of `aux`, from its page `aux_first` on.
    pub fn supply_from(
        &self,
        vmo: &Vmo,
        first: u64,
        count: u64,
        aux: &Vmo,
        aux_first: u64,
    ) -> Result<(), Status> {
        let range = first * PAGE_SIZE..(first + count) * PAGE_SIZE;
        self.pager
            .supply_pages(vmo, range, aux, aux_first * PAGE_SIZE)
    }

    /// The next packet, which must come soon.
    pub fn packet(&self) -> Result<PortPacket, Failure> {
        match self.port.wait(soon()) {
            Ok(packet) => Ok(packet),
            Err(status) => fail!("waiting for a packet: {status}"),
        }
    }

    /// The next packet must be exactly this READ; all 48 bytes are compared.
    #[track_caller]
    pub fn expect_read(&self, key: u64, first: u64, count: u64) -> Outcome {
        let (offset, length) = (first * PAGE_SIZE, count * PAGE_SIZE);
        let expected = PortPacket::page_request(key, PageRequestCommand::Read, offset, length);
        self.expect(expected)
    }

    /// The next packet must be the VMO's COMPLETE.
    #[track_caller]
    pub fn expect_complete(&self, key: u64) -> Outcome {
        self.expect(PortPacket::page_request(
            key,
            PageRequestCommand::Complete,
            0,
            0,
        ))
    }

    #[track_caller]
    fn expect(&self, expected: PortPacket) -> Outcome {
        match self.port.wait(soon()) {
            Ok(packet) if packet == expected => Ok(()),
            Ok(packet) => Err(Failure::new(format_args!(
                "packet {packet:?}, not {expected:?}"
            ))),
            Err(status) => Err(Failure::new(format_args!(
                "{status}, no packet {expected:?}"
            ))),
        }
    }

    /// The next packet must be a READ of one page of this VMO; which.
    pub fn any_single_read(&self, key: u64) -> Result<u64, Failure> {
        let packet = self.packet()?;
        equal!(packet.kind, PacketKind::PageRequest as u32);
        equal!(packet.key, key);
        equal!(packet.command(), PageRequestCommand::Read as u16);
        equal!(packet.length(), PAGE_SIZE);
        equal!(packet.offset() % PAGE_SIZE, 0);
        Ok(packet.offset() / PAGE_SIZE)
    }

    /// No packet is waiting, nor comes within a short while.
    #[track_caller]
    pub fn expect_silence(&self) -> Outcome {
        match self.port.wait(shortly()) {
            Err(Status::TIMED_OUT) => Ok(()),
            other => Err(Failure::new(format_args!("expected no packet: {other:?}"))),
        }
    }
}

/// How a scenario's reader gets at the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// `zx_vmo_read` of the whole range at once.
    Read,
    /// A load from each page, through a mapping.
    Mapping,
}

/// A thread that reads pages `first..first + count` and checks them against `seed` (zeros without one).
///
/// The VMO must outlive the thread.
pub fn reader(
    vmo: &Vmo,
    via: Via,
    seed: Option<u64>,
    first: u64,
    count: u64,
) -> Result<Reader, Status> {
    let raw = vmo.raw_handle();
    let thread = zx::thread::spawn("reader", move || {
        let vmo = Unowned::<Vmo>::from_raw(raw);
        match via {
            Via::Read => read_at_once(&vmo, seed, first, count),
            Via::Mapping => {
                let mapping = Mapping::read_only(&vmo, 0, (first + count) as usize * PAGE)?;
                pages::check_mapping(&mapping, seed, first, count)
            }
        }
    })?;
    Ok(Reader { thread })
}

fn read_at_once(vmo: &Vmo, seed: Option<u64>, first: u64, count: u64) -> Outcome {
    let length = count as usize * PAGE;
    let buffer = Mapping::read_write(&Vmo::create(length as u64)?, 0, length)?;
    for page in 0..count {
        buffer.set_word(page as usize * PAGE, 0)?;
    }
    let (address, offset) = (buffer.base() as u64, first * PAGE_SIZE);
    crate::raw::vmo_read(vmo.raw_handle(), address, offset, length as u64).ok()?;
    let mut bytes = [0; PAGE];
    for page in 0..count {
        buffer.copy_out(page as usize * PAGE, &mut bytes)?;
        pages::check_page(&bytes, seed, first + page)?;
    }
    Ok(())
}

/// A thread made by [`reader`].
#[derive(Debug)]
pub struct Reader {
    thread: JoinHandle<Outcome>,
}

impl Reader {
    /// Its thread.
    pub fn thread(&self) -> &zx::Thread {
        self.thread.thread()
    }

    /// The reader must still be waiting for pages.
    pub fn expect_blocked(&self) -> Outcome {
        if self.thread.finished_by(shortly()) {
            fail!("a reader finished that should wait for a page");
        }
        Ok(())
    }

    /// The reader must finish soon, having read the right contents.
    pub fn expect_done(self) -> Outcome {
        match self.thread.join(soon()) {
            Ok(outcome) => outcome,
            Err(status) => fail!("waiting for a reader: {status}"),
        }
    }
}

const _: () = assert!(
    size_of::<Outcome>() < zx::thread::STACK_SIZE / 4,
    "a result fits its stack"
);

/// A past deadline: only what is already there counts.
pub const NOW: i64 = time::TIME_INFINITE_PAST;
