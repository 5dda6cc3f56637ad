//! The memory under test: eight pages that nobody has touched, and what they must hold afterwards.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use test_guests::pages::{PAGE, data_byte};
use test_guests::{Failure, Outcome, Service, fail};
use zx::{
    AsHandleRef, HandleBased, Mapping, PAGE_SIZE, PageRequestCommand, Pager, Port, RawHandle,
    Status, Unowned, VmOptions, Vmo, time, vmar_root_self,
};

/// Pages of a ground.
pub const PAGES: u64 = 8;

/// Bytes of a ground.
const BYTES: usize = PAGES as usize * PAGE;

/// Where grounds lie that 32-bit addresses must reach.
const LOW_ADDRESS: u64 = 0x2000_0000;

/// Who answers for the absent pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// An anonymous VMO: zeros.
    Zero,
    /// A pager in this program; the pages hold [`data_byte`] and what was planted.
    Served,
    /// The start-up VMO `data`, read-only; the pages hold [`data_byte`].
    Data,
}

impl Source {
    /// The word in a case's name.
    pub fn name(self) -> &'static str {
        match self {
            Source::Zero => "zero",
            Source::Served => "served",
            Source::Data => "data",
        }
    }
}

/// Eight fresh pages.
#[derive(Debug)]
pub struct Ground {
    source: Source,
    /// Offset of the first page in its VMO.
    shift: u64,
    mapping: Mapping,
    /// Where planted bytes go.
    store: Option<Vmo>,
    _vmo: Option<Vmo>,
}

impl Ground {
    /// Fresh pages, mapped below 4 GiB if `low`.
    pub fn new(world: &World, source: Source, low: bool) -> Result<Self, Failure> {
        let mut shift = 0;
        let (vmo, store) = match source {
            Source::Zero => {
                let vmo = Vmo::create(BYTES as u64)?;
                let store = vmo.duplicate_handle(zx::Rights::SAME_RIGHTS)?;
                (vmo, Some(store))
            }
            Source::Served => world.served()?,
            Source::Data => {
                let (data, offset) = world.next_data()?;
                shift = offset;
                (data, None)
            }
        };
        let options = match source {
            Source::Data => VmOptions::PERM_READ,
            _ => VmOptions::PERM_READ | VmOptions::PERM_WRITE,
        };
        let mapping = if low {
            let offset = LOW_ADDRESS - zx_user_base();
            // SAFETY: SPECIFIC replaces nothing; the mapping is adopted below.
            unsafe {
                let options = options | VmOptions::SPECIFIC;
                let base = vmar_root_self().map(offset, &vmo, shift, BYTES as u64, options)?;
                Mapping::adopt(base, BYTES)
            }
        } else {
            Mapping::new(&vmo, shift, BYTES, options)?
        };
        Ok(Ground {
            source,
            shift,
            mapping,
            store,
            _vmo: Some(vmo),
        })
    }

    /// The address `offset` bytes from the start of page `page`.
    pub fn at(&self, page: u64, offset: i64) -> u64 {
        (self.mapping.base() as u64 + page * PAGE_SIZE).wrapping_add_signed(offset)
    }

    /// The byte that `address` holds before anything is written there.
    pub fn byte(&self, address: u64) -> u8 {
        match self.source {
            Source::Zero => 0,
            Source::Served | Source::Data => {
                data_byte(address - self.mapping.base() as u64 + self.shift)
            }
        }
    }

    /// The eight bytes that `address` holds before anything is written there.
    pub fn initial(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        for (at, byte) in (address..).zip(&mut bytes) {
            *byte = self.byte(at);
        }
        u64::from_le_bytes(bytes)
    }

    /// Makes `address` hold `bytes` from the start. A served page stays absent by that; a zero page does not.
    pub fn plant(&self, address: u64, bytes: &[u8]) -> Outcome {
        let Some(store) = &self.store else {
            fail!("read-only ground")
        };
        Ok(store.write(bytes, address - self.mapping.base() as u64)?)
    }

    /// Copies what is there now.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Outcome {
        Ok(self
            .mapping
            .copy_out((address - self.mapping.base() as u64) as usize, bytes)?)
    }

    /// Every byte must be as at first, except those that `changes` names.
    pub fn expect(&self, changes: &[(u64, &[u8])]) -> Outcome {
        let mut found = [0; PAGE];
        for page in 0..PAGES {
            let base = self.at(page, 0);
            self.read(base, &mut found)?;
            for (address, found) in (base..).zip(found) {
                let changed = changes.iter().rev().find_map(|(start, bytes)| {
                    bytes.get(usize::try_from(address.checked_sub(*start)?).ok()?)
                });
                let expected = changed.copied().unwrap_or_else(|| self.byte(address));
                if found != expected {
                    let at = address - self.mapping.base() as u64;
                    fail!(
                        "memory at page 2 {:+} is {found:#x}, not {expected:#x}",
                        at as i64 - 2 * PAGE as i64
                    );
                }
            }
        }
        Ok(())
    }

    /// No byte may have changed.
    pub fn unchanged(&self) -> Outcome {
        self.expect(&[])
    }
}

const fn zx_user_base() -> u64 {
    protocol::USER_BASE
}

/// What the pager's thread serves at present: requests with key `KEY` are answered from `STORE` into `VMO`.
static KEY: AtomicU64 = AtomicU64::new(0);
static VMO: AtomicU32 = AtomicU32::new(0);
static STORE: AtomicU32 = AtomicU32::new(0);

/// The pager and the start-up VMO that grounds come from.
#[derive(Debug)]
pub struct World {
    service: Service,
    data: Option<RawHandle>,
    next_data: AtomicU64,
}

impl World {
    /// Starts the pager's thread.
    pub fn new(data: Option<RawHandle>) -> Result<Self, Status> {
        let service = Service::new()?;
        let (pager, port) = (service.pager.raw_handle(), service.port.raw_handle());
        zx::thread::spawn("pager service", move || serve(pager, port))?;
        Ok(World {
            service,
            data,
            next_data: AtomicU64::new(0),
        })
    }

    /// Whether the harness gave a `data` VMO.
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// A VMO of absent pages that the pager's thread answers for, and the VMO its pages come from.
    fn served(&self) -> Result<(Vmo, Option<Vmo>), Status> {
        let store = Vmo::create(BYTES as u64)?;
        let mut page = [0; PAGE];
        for number in 0..PAGES {
            for (offset, byte) in (number * PAGE_SIZE..).zip(&mut page) {
                *byte = data_byte(offset);
            }
            store.write(&page, number * PAGE_SIZE)?;
        }
        let key = KEY.load(Relaxed) + 1;
        let vmo = self.service.vmo(key, PAGES)?;
        VMO.store(vmo.raw_handle(), Relaxed);
        STORE.store(store.raw_handle(), Relaxed);
        KEY.store(key, Relaxed);
        Ok((vmo, Some(store)))
    }

    /// The `data` VMO and the offset of its next eight pages, from the start again when it ends.
    fn next_data(&self) -> Result<(Vmo, u64), Status> {
        let data = Unowned::<Vmo>::from_raw(self.data.ok_or(Status::NOT_FOUND)?);
        let size = data.get_size()?;
        let mut offset = self.next_data.load(Relaxed);
        if offset + BYTES as u64 > size {
            offset = 0;
        }
        self.next_data.store(offset + BYTES as u64, Relaxed);
        Ok((data.duplicate_handle(zx::Rights::SAME_RIGHTS)?, offset))
    }
}

/// The pager's thread: moves requested pages from the store to the VMO, until the process ends.
fn serve(pager: RawHandle, port: RawHandle) -> Status {
    let pager = Unowned::<Pager>::from_raw(pager);
    let port = Unowned::<Port>::from_raw(port);
    loop {
        let packet = match port.wait(time::TIME_INFINITE) {
            Ok(packet) => packet,
            Err(status) => return status,
        };
        let read = packet.command() == PageRequestCommand::Read as u16;
        if read && packet.key == KEY.load(Relaxed) {
            let vmo = Unowned::<Vmo>::from_raw(VMO.load(Relaxed));
            let store = Unowned::<Vmo>::from_raw(STORE.load(Relaxed));
            let range = packet.offset()..packet.offset() + packet.length();
            if let Err(status) = pager.supply_pages(&vmo, range, &store, packet.offset()) {
                zx::println!("memops: supply_pages: {status}");
            }
        }
    }
}
