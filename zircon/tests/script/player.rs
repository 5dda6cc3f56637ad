//! Both sides of a script, line by line, and what is compared after each.

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, Status};
use zircon::{Access, OpResult, ThreadId, Token, VmoId};

use super::{Call, Line};
use crate::common::{Outcome, TestMachine, Touch, read_packet};
use crate::model::{Data, End, Kind, Model, OK, Op, Shown, Slot, TOUCHED};

const THREADS: usize = 5;
const PAGERS: usize = 2;
/// Most VMOs of a script.
const VMOS: usize = 12;
/// Every VMO is mapped with this many pages, so that it may grow under its mapping.
const MAPPED: u64 = 64;
/// Most pages of storage while nothing is short: there is a limit, so that what can go is kept in mind.
pub const PLENTY: u64 = 1 << 30;
/// Most pages that others are to be short of.
const TAKEN: u64 = 8;
/// `ZX_VM_PERM_READ`, `ZX_VM_PERM_WRITE` and `ZX_VM_ALLOW_FAULTS`.
const MAP: u32 = 0x1003;

/// The core's side of an operation that waits.
struct Blocked {
    wait: usize,
    thread: ThreadId,
    token: Token,
    buffer: u64,
    length: u64,
    /// A touch: its address, and what it writes there.
    touch: Option<(u64, Access)>,
}

pub struct Player {
    pub m: TestMachine,
    pub model: Model,
    pub port: u32,
    pub pagers: Vec<u32>,
    pub handles: Vec<u32>,
    pub koids: Vec<VmoId>,
    pub addresses: Vec<Option<u64>>,
    pub free: Vec<ThreadId>,
    blocked: Vec<Blocked>,
    /// How many more events that would end the process are left out: most of a script is to come before.
    mercy: u8,
    /// The process died, as it should.
    pub dead: bool,
    /// Lines that were not skipped.
    pub played: u64,
    pub bti: u32,
    /// A VMO that no line knows: it takes the pages when others are to be short of them.
    pub taker: u32,
}

impl Player {
    pub fn new() -> Self {
        let mut m = TestMachine::new();
        m.limit(PLENTY);
        let port = m.port_create();
        let pagers: Vec<u32> = (0..PAGERS).map(|_| m.pager_create()).collect();
        let free = (0..THREADS).map(|_| m.thread()).collect();
        let model = Model::new(pagers.len());
        let bti = crate::calls::resource::bti(&mut m);
        let taker = m.vmo(TAKEN);
        Player {
            m,
            model,
            port,
            pagers,
            handles: Vec::new(),
            koids: Vec::new(),
            addresses: Vec::new(),
            free,
            blocked: Vec::new(),
            mercy: 3,
            dead: false,
            played: 0,
            bti,
            taker,
        }
    }

    /// Runs one line on both sides; lines that make no sense, or whose outcome is left open, are skipped.
    pub fn play(&mut self, line: &Line) {
        let full = self.handles.len() >= VMOS;
        let makes = matches!(
            line.call,
            Call::Create | Call::Paged | Call::Slice | Call::Snapshot | Call::Reference
        );
        let needs_vmo = !matches!(line.call, Call::Create | Call::Paged | Call::Poll);
        if makes && full || needs_vmo && self.handles.is_empty() {
            return;
        }
        self.call(line);
        self.compare();
    }

    /// The model's side of a line, if its outcome can be told and is not the end of everything too soon.
    pub fn foresee<T>(&mut self, act: impl FnOnce(&mut Model) -> T) -> Option<T> {
        let before = self.model.clone();
        self.model.begin();
        let out = act(&mut self.model);
        self.model.finish();
        let fatal = self.is_fatal() && self.mercy > 0;
        self.mercy -= u8::from(fatal);
        if fatal || self.model.is_open() {
            self.model = before;
            return None;
        }
        self.played += 1;
        Some(out)
    }

    /// Whether the line woke a touch that takes the process with it, and with it whoever made the call.
    pub fn is_fatal(&self) -> bool {
        let mut ends = self.model.ended.iter();
        ends.any(|(_, end)| matches!(end, End::Fatal(_)))
    }

    /// A VMO was made on both sides.
    pub fn added(&mut self, handle: u32) {
        self.koids.push(VmoId(self.m.koid(handle)));
        self.handles.push(handle);
        self.addresses.push(None);
    }

    /// A call of the first thread, which does not wait, on both sides.
    pub fn at_once(&mut self, number: N, args: &[u64], act: impl FnOnce(&mut Model) -> Status) {
        let Some(expected) = self.foresee(act) else {
            return;
        };
        let main = self.m.main.thread;
        let got = self.m.call_on(main, number, args);
        if !self.is_fatal() {
            let expected = Outcome::Value(expected.to_register());
            assert_eq!(got, expected, "{} {args:x?}", number.name());
        }
    }

    /// A call that may wait, on a thread of its own, on both sides. `buffer`: where results come, and how many bytes.
    pub fn both(
        &mut self,
        number: N,
        args: &[u64],
        (buffer, length): (u64, u64),
        act: impl FnOnce(&mut Model) -> Result<End, usize>,
    ) {
        if self.free.is_empty() {
            return;
        }
        let Some(expected) = self.foresee(act) else {
            return;
        };
        let thread = self.free.pop().unwrap();
        let got = self.m.call_on(thread, number, args);
        if self.is_fatal() {
            return;
        }
        match (got, expected) {
            (Outcome::Value(value), Ok(end)) => {
                assert_eq!(
                    self.end(value, buffer, length, &end),
                    end,
                    "{}",
                    number.name()
                );
                self.free.push(thread);
            }
            (Outcome::Blocked(token), Err(wait)) => self.blocked.push(Blocked {
                wait,
                thread,
                token,
                buffer,
                length,
                touch: None,
            }),
            (got, expected) => panic!("{} {args:x?}: {got:?}, not {expected:?}", number.name()),
        }
    }

    /// What the core's end looks like, in the model's words.
    fn end(&self, value: u64, buffer: u64, length: u64, like: &End) -> End {
        let status = Status::from_register(value);
        match like {
            End::Read(_) if status == Status::OK => End::Read(Data(self.m.peek(buffer, length))),
            End::Packet(_) if status == Status::OK => {
                End::Packet(read_packet(&self.m.peek(buffer, 48)).into())
            }
            _ => End::Status(status),
        }
    }

    /// Whether anybody waits for pages of the hierarchy of a pager's VMO.
    pub fn is_waited_for(&self, vmo: usize) -> bool {
        let root = self.model.root(vmo);
        let mut waits = self.model.waits.iter().flatten().filter_map(Op::vmo);
        root.is_some() && waits.any(|other| self.model.root(other) == root)
    }

    pub fn touch(&mut self, vmo: usize, page: u64, write: bool) {
        // A touch that fails at once ends the process: there are tests for that.
        if !self.model.is_alive(vmo)
            || self.model.touch_is_fatal(vmo, page, write)
            || self.free.is_empty()
        {
            return;
        }
        if self.addresses[vmo].is_none() {
            if !self.model.vmos[vmo].open {
                return;
            }
            let length = MAPPED * PAGE_SIZE;
            let at = self.m.vmar_map(MAP, 0, self.handles[vmo], 0, length);
            self.addresses[vmo] = Some(at.unwrap());
            self.model.vmos[vmo].mapped = true;
        }
        let blank = self.blank(vmo);
        let op = Op::Touch {
            vmo,
            page,
            write,
            blank,
        };
        let Some(expected) = self.foresee(|model| model.start(op)) else {
            return;
        };
        let thread = self.free.pop().unwrap();
        let address = self.addresses[vmo].unwrap() + page * PAGE_SIZE;
        let access = if write { Access::Write } else { Access::Read };
        match (self.m.touch(thread, address, access), expected) {
            (Touch::Done, Ok(End::Retry)) => {
                self.add_one(address, access);
                self.free.push(thread);
            }
            (Touch::Blocked(token), Err(wait)) => self.blocked.push(Blocked {
                wait,
                thread,
                token,
                buffer: 0,
                length: 0,
                touch: Some((address, access)),
            }),
            (got, expected) => panic!("touch of {vmo} page {page}: {got:?}, not {expected:?}"),
        }
    }

    /// A touch goes through: what the program does then.
    fn add_one(&mut self, address: u64, access: Access) {
        if access == Access::Write {
            let at = address + TOUCHED as u64;
            let byte = self.m.try_peek(at, 1).unwrap()[0];
            self.m.poke_present(at, &[byte.wrapping_add(1)]);
        }
    }

    /// Pages of a VMO that are zeros to the model, but have storage in the core.
    pub fn blank(&self, vmo: usize) -> std::rc::Rc<[u64]> {
        let (owner, first) = self.model.owner(vmo, 0);
        let blank = |page: &u64| {
            let zero = self.model.shown(vmo, *page) == Shown::Zero;
            let there = self.m.memory.page(self.koids[owner], first + page);
            zero && there.is_some()
        };
        (0..self.model.count(vmo)).filter(blank).collect()
    }

    pub fn unmap(&mut self, vmo: usize) {
        let touched = |op: &Op| matches!(op, Op::Touch { vmo: other, .. } if *other == vmo);
        if self.model.waits.iter().flatten().any(touched) {
            return;
        }
        if let Some(at) = self.addresses[vmo].take() {
            self.foresee(|model| model.vmos[vmo].mapped = false)
                .unwrap();
            self.m.vmar_unmap(at, MAPPED * PAGE_SIZE).unwrap();
        }
    }

    /// A thread that waits ends.
    pub fn kill(&mut self, wait: usize) {
        if self.blocked.is_empty() {
            return;
        }
        let at = wait % self.blocked.len();
        let wait = self.blocked[at].wait;
        let foreseen = self.foresee(|model| {
            model.waits[wait] = None;
            model.abandon(wait);
        });
        if foreseen.is_some() {
            let blocked = self.blocked.remove(at);
            self.m.call_on(blocked.thread, N::ThreadExit, &[]);
            let thread = self.m.thread();
            self.free.push(thread);
        }
    }

    /// Compares what ended meanwhile, and what is resident.
    fn compare(&mut self) {
        let mut ended = std::mem::take(&mut self.model.ended);
        let fatal = ended.iter().find_map(|(wait, end)| match end {
            End::Fatal(status) => Some((*wait, *status)),
            _ => None,
        });
        if let Some((wait, status)) = fatal {
            self.compare_death(wait, status);
            return;
        }
        assert!(self.m.exceptions.is_empty(), "{:?}", self.m.exceptions);
        for blocked in std::mem::take(&mut self.blocked) {
            let at = ended.iter().position(|(wait, _)| *wait == blocked.wait);
            let expected = at.map(|at| ended.swap_remove(at).1);
            let got = self.result(&blocked, expected.as_ref());
            let waits = self.m.kernel.waits();
            assert!(got == expected, "{got:?}, not {expected:?}; {waits:?}");
            match got {
                Some(_) => self.free.push(blocked.thread),
                None => self.blocked.push(blocked),
            }
        }
        assert!(ended.is_empty(), "nobody waits for {ended:?}");
        self.compare_sizes();
        if self.played.is_multiple_of(8) {
            (0..self.handles.len()).for_each(|vmo| self.compare_info(vmo));
        }
    }

    /// How a blocked operation ended, if it has.
    fn result(&mut self, blocked: &Blocked, expected: Option<&End>) -> Option<End> {
        match self.m.result(blocked.token)? {
            OpResult::Returned(value) => {
                let like = expected.unwrap_or(&OK);
                Some(self.end(value, blocked.buffer, blocked.length, like))
            }
            OpResult::Retry => {
                let (address, access) = blocked.touch.unwrap();
                let again = self.m.touch(blocked.thread, address, access);
                assert_eq!(again, Touch::Done, "{address:#x}");
                self.add_one(address, access);
                Some(End::Retry)
            }
            OpResult::Restart | OpResult::Gone => panic!("{:?} is gone", blocked.thread),
        }
    }

    /// Of several threads that die of one event the first to run takes the process with it.
    fn compare_death(&mut self, wait: usize, status: Status) {
        let blocked = self.blocked.iter().find(|b| b.wait == wait).unwrap();
        assert!(self.m.exceptions.len() == 1, "one report");
        if self.m.exceptions.iter().any(|e| e.thread == blocked.thread) {
            assert_eq!(self.m.fault_status(blocked.thread), status);
        }
        self.dead = true;
    }

    /// Compares sizes, and pages of storage in all.
    fn compare_sizes(&self) {
        let mut resident = 0;
        for (id, name, size, pages) in self.m.kernel.usage() {
            resident += if name == "scratch" { 0 } else { pages };
            if let Some(vmo) = self.koids.iter().position(|koid| *koid == id)
                && self.model.is_needed(vmo)
            {
                assert_eq!(size, self.model.size(vmo), "size of VMO {vmo}");
            }
        }
        // Zeros that were read have storage, and do not count; a frozen page that one side has a copy of, and the other has cut
        // off, is kept while both live.
        let expected = self.model.resident();
        assert!(
            resident >= expected,
            "{resident} pages in all, not {expected}"
        );
    }

    /// What `zx_object_get_info` says of a VMO.
    fn compare_info(&mut self, vmo: usize) {
        if !self.model.vmos[vmo].open {
            return;
        }
        let handle = self.handles[vmo];
        let committed = self.m.committed(handle);
        let (all, _) = self.model.attributed(vmo);
        // Zeros of a pager's VMO that a mapping read may have been written to: a clone that would zero a part copies them.
        let more = matches!(self.model.vmos[vmo].kind, Kind::Clone { .. });
        assert!(
            committed == all || more && committed > all,
            "{committed} committed pages of VMO {vmo}, not {all}"
        );
        let children = self.m.vmo_info(handle, 56);
        assert_eq!(children, self.model.children(vmo), "children of VMO {vmo}");
    }

    /// At the end: every packet, every byte, every stream size. Says how many lines were played.
    pub fn finish(mut self) -> u64 {
        loop {
            let expected = self.model.take_packet().ok_or(Status::TIMED_OUT);
            let got = self.m.port_poll(self.port);
            assert_eq!(got, expected);
            if got.is_err() {
                break;
            }
        }
        self.mercy = 0;
        while !self.model.pins.is_empty() {
            self.unpin(0);
        }
        for vmo in 0..self.handles.len() {
            self.compare_info(vmo);
            self.compare_bytes(vmo);
            if self.model.vmos[vmo].open {
                let stream = self.m.content_size(self.handles[vmo]);
                let owner = self.model.stream_owner(vmo);
                assert_eq!(
                    stream,
                    Ok(self.model.vmos[owner].stream),
                    "stream size of {vmo}"
                );
            }
        }
        let main = self.m.main.thread;
        assert_eq!(self.m.call_on(main, N::ProcessExit, &[0]), Outcome::Gone);
        assert_eq!(self.m.kernel.usage(), [], "nothing is left");
        self.played
    }

    /// What memory holds of a VMO.
    pub fn compare_bytes(&mut self, vmo: usize) {
        let own = !matches!(
            self.model.vmos[vmo].kind,
            Kind::Slice { .. } | Kind::Reference { .. }
        );
        if !own || !self.model.is_needed(vmo) {
            return;
        }
        for page in 0..self.model.count(vmo) {
            let there = self.m.memory.page(self.koids[vmo], page);
            let same = match self.model.shown(vmo, page) {
                Shown::Page(bytes) => there.is_some_and(|page| page[..] == bytes[..]),
                _ => there.is_none_or(|page| page.iter().all(|byte| *byte == 0)),
            };
            assert!(same, "page {page} of VMO {vmo}");
            let paged = self.model.source(vmo).is_some();
            let absent = paged && *self.model.slot(vmo, page) == Slot::Absent;
            assert!(!absent || there.is_none(), "page {page} of VMO {vmo}");
        }
    }
}
