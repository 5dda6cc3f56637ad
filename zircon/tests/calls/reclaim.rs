//! The limit on pages: what goes when others are needed, in which order, and what happens when nothing can go.
//!
//! The program's scratch memory takes pages, too: [`room`] sets the limit so many pages above what is there, and what a test needs
//! scratch memory for it makes before.

use std::ops::Range;

use protocol::options::VmoOp;
use protocol::syscall::SyscallNumber as N;
use zircon::{Access, MemoryOp, ThreadId, VmoId};

use super::*;
use crate::common::{Order, Packet, Touch, Via, writable};

/// Where a VMO of the VMM's is mapped in [`Host`].
const HOST: u64 = 0x40_0000_0000;

/// From now on the limit leaves so many pages.
fn room(m: &mut TestMachine, pages: u64) {
    let (there, _) = m.kernel.resident_pages();
    m.limit(there + pages);
}

/// A machine with a VMO of the VMM's, mapped, and an anonymous one.
struct Host {
    m: TestMachine,
    vmo: VmoId,
    plain: u32,
    thread: ThreadId,
}

fn host(pages: u64, left: u64) -> Host {
    let mut m = TestMachine::new();
    let vmo = m
        .kernel
        .add_host_vmo("file", pages * PAGE_SIZE, true)
        .unwrap();
    let run = writable(vmo, HOST, pages * PAGE_SIZE);
    m.kernel.map_at(m.main.process, run).unwrap();
    m.drain();
    let (plain, thread) = (m.vmo(64), m.thread());
    room(&mut m, left);
    Host {
        m,
        vmo,
        plain,
        thread,
    }
}

impl Host {
    /// One fault on a page; the VMM answers at once.
    fn touch(&mut self, page: u64, access: Access) {
        self.m.fault(self.thread, HOST + page * PAGE_SIZE, access);
        self.m.answer_host_reads(3);
        assert!(!self.m.waits(self.thread), "{:?}", self.m.kernel.waits());
        self.check(page);
    }

    fn check(&self, page: u64) {
        let bytes = self.m.memory.page(self.vmo, page).unwrap();
        assert_eq!(bytes[100], (page as u8).wrapping_add(3), "page {page}");
    }

    /// Which of the first 64 pages are there.
    fn there(&self) -> Vec<u64> {
        let is_there = |page: &u64| self.m.memory.page(self.vmo, *page).is_some();
        (0..64).filter(is_there).collect()
    }
}

/// Commits one page.
fn commit(m: &mut TestMachine, vmo: u32, page: u64) -> Result<(), Status> {
    m.vmo_op_range(vmo, VmoOp::Commit, page * PAGE_SIZE, PAGE_SIZE)
}

/// A pager's VMO with all its pages, an anonymous one, and no room left.
struct Full {
    p: Paged,
    id: VmoId,
    plain: u32,
}

fn full(pages: Range<u64>) -> Full {
    let mut p = paged(pages.end);
    room(&mut p.m, 1 << 30);
    p.m.supply(p.pager, p.vmo, pages, 1).unwrap();
    let (id, plain) = (VmoId(p.m.koid(p.vmo)), p.m.vmo(64));
    room(&mut p.m, 0);
    Full { p, id, plain }
}

impl Full {
    /// Which of the first 16 pages are there.
    fn there(&self) -> Vec<u64> {
        let is_there = |page: &u64| self.p.m.memory.page(self.id, *page).is_some();
        (0..16).filter(is_there).collect()
    }

    fn commit(&mut self, page: u64) -> Result<(), Status> {
        commit(&mut self.p.m, self.plain, page)
    }
}

#[test]
fn a_pagers_clean_pages_go_in_the_order_in_which_they_came() {
    let mut h = host(64, 4);
    for page in [5, 1, 9, 3] {
        h.touch(page, Access::Read);
    }
    assert_eq!(h.m.kernel.reclaimed().evicted, 0);
    h.touch(20, Access::Read);
    assert_eq!(h.there(), [1, 3, 9, 20], "5 came first");
    h.touch(21, Access::Read);
    assert_eq!(h.there(), [3, 9, 20, 21]);
    h.touch(5, Access::Read);
    assert_eq!(h.there(), [3, 5, 20, 21], "5 came again");
    assert_eq!(h.m.kernel.reclaimed().evicted, 3);
}

#[test]
fn a_walk_over_more_than_the_limit_finds_everything_right() {
    let mut h = host(512, 40);
    for pass in 1..3 {
        for page in 0..512 {
            h.touch(page, Access::Read);
        }
        assert!(h.m.kernel.reclaimed().evicted >= 472 * pass);
    }
}

#[test]
fn what_is_met_again_gets_a_second_chance() {
    let mut h = host(64, 4);
    for page in 0..4 {
        h.touch(page, Access::Read);
    }
    h.touch(0, Access::Read);
    h.touch(10, Access::Read);
    assert_eq!(h.there(), [0, 2, 3, 10], "0 was met again");
    h.touch(11, Access::Read);
    h.touch(12, Access::Read);
    assert_eq!(h.there(), [0, 10, 11, 12], "its turn comes after 3");
    h.touch(13, Access::Read);
    assert_eq!(h.there(), [10, 11, 12, 13], "one chance is all");
}

#[test]
fn calls_that_meet_a_page_give_it_a_second_chance() {
    let mut f = full(0..4);
    room(&mut f.p.m, 1 << 30);
    for _ in 0..2 {
        assert_eq!(f.p.m.page_bytes(f.p.vmo, 0..2), [1, 2]);
    }
    room(&mut f.p.m, 0);
    assert_eq!((f.commit(0), f.commit(1)), (Ok(()), Ok(())));
    assert_eq!(f.there(), [0, 1], "2 and 3 were never met");
}

#[test]
fn what_needs_more_than_can_go_at_a_time_goes_on_until_it_has_all() {
    let mut f = full(0..16);
    let all =
        f.p.m
            .vmo_op_range(f.plain, VmoOp::Commit, 0, 16 * PAGE_SIZE);
    assert_eq!(all, Ok(()));
    assert_eq!(f.there(), []);
    assert_eq!(f.commit(16), Err(Status::NO_MEMORY));
}

#[test]
fn evicted_pages_of_a_programs_pager_are_asked_for_again() {
    for via in Via::BOTH {
        let mut f = full(0..4);
        f.commit(0).unwrap();
        assert_eq!(f.there(), [1, 2, 3]);
        let mut p = f.p;
        p.m.limit(u64::MAX);
        assert_eq!(p.m.vmo_info(p.vmo, 112), 1, "committed_change_events");
        let mut reader = p.m.reader(via, p.vmo, 0..4);
        p.m.still_waits(&mut reader);
        assert_eq!(p.m.packets(p.port), [Packet::Read(7, 0, 1)]);
        p.m.supply(p.pager, p.vmo, 0..1, 1).unwrap();
        assert_eq!(p.m.read_bytes(&mut reader), [1, 2, 3, 4]);
    }
}

#[test]
fn pages_that_were_written_to_stay() {
    let mut h = host(64, 4);
    h.touch(0, Access::Write);
    // Noted: the core learns of it only when it wants the page to go.
    h.touch(1, Access::Read);
    h.m.memory.page_mut(h.vmo, 1).unwrap()[0] = 77;
    for page in 10..20 {
        h.touch(page, Access::Read);
    }
    assert_eq!(h.there()[..2], [0, 1]);
    assert_eq!(h.m.memory.page(h.vmo, 1).unwrap()[0], 77);
    assert_eq!(h.m.kernel.reclaimed().written, 1);
}

#[test]
fn when_nothing_can_go_calls_and_touches_get_no_memory() {
    let mut m = TestMachine::new();
    let (vmo, other) = (m.vmo(8), m.vmo(1));
    let address = m.map(vmo, 8);
    let (reader, writer) = (m.thread(), m.thread());
    let buffer = m.alloc(PAGE_SIZE);
    m.poke(buffer, &[1]);
    room(&mut m, 2);
    assert_eq!(commit(&mut m, vmo, 0), Ok(()));
    assert_eq!(commit(&mut m, vmo, 1), Ok(()));
    assert_eq!(commit(&mut m, vmo, 2), Err(Status::NO_MEMORY));
    let write = [other.into(), buffer, 0, 1];
    assert!(m.ends_with(writer, N::VmoWrite, &write, Status::NO_MEMORY));
    let at = address + 3 * PAGE_SIZE;
    let touch = m.touch(reader, at, Access::Write);
    assert_eq!(touch, Touch::Fatal(Status::NO_MEMORY));
}

#[test]
fn a_read_of_the_hosts_that_no_page_can_go_for_gets_no_memory() {
    let mut h = host(8, 1);
    commit(&mut h.m, h.plain, 0).unwrap();
    let touch = h.m.touch(h.thread, HOST, Access::Read);
    assert_eq!(touch, Touch::Fatal(Status::NO_MEMORY));
    assert_eq!(h.m.host_reads, [], "nobody reads what has no room");
}

#[test]
fn pages_of_a_closed_pager_stay() {
    let mut f = full(0..4);
    f.p.m.handle_close(f.p.pager).unwrap();
    assert_eq!(f.commit(0), Err(Status::NO_MEMORY));
    assert_eq!(f.there(), [0, 1, 2, 3]);
}

#[test]
fn vmo_op_range_dont_need_goes_first_and_always_need_stays() {
    let mut f = full(0..8);
    let vmo = f.p.vmo;
    let hint = |f: &mut Full, op, page, pages| {
        let (offset, length) = (page * PAGE_SIZE, pages * PAGE_SIZE);
        f.p.m.vmo_op_range(vmo, op, offset, length)
    };
    hint(&mut f, VmoOp::AlwaysNeed, 0, 2).unwrap();
    // Rounded outward.
    f.p.m
        .vmo_op_range(vmo, VmoOp::DontNeed, 6 * PAGE_SIZE + 5, PAGE_SIZE)
        .unwrap();
    assert_eq!((f.commit(0), f.commit(1)), (Ok(()), Ok(())));
    assert_eq!(f.there(), [0, 1, 2, 3, 4, 5]);
    for page in 2..6 {
        assert_eq!(f.commit(page), Ok(()));
    }
    assert_eq!(f.there(), [0, 1]);
    assert_eq!(f.commit(6), Err(Status::NO_MEMORY));
    hint(&mut f, VmoOp::DontNeed, 1, 1).unwrap();
    assert_eq!(f.commit(6), Ok(()), "no longer needed");
    assert_eq!(f.commit(7), Err(Status::NO_MEMORY));
    let beyond = hint(&mut f, VmoOp::DontNeed, 0, 9);
    assert_eq!(beyond, Err(Status::OUT_OF_RANGE));
}

#[test]
fn a_supply_moves_pages_and_takes_none() {
    let mut p = paged(4);
    room(&mut p.m, 1 << 30);
    let aux = p.m.vmo(4);
    p.m.vmo_write(aux, 0, &[9; 4 * 4096]).unwrap();
    room(&mut p.m, 0);
    let supplied =
        p.m.pager_supply_pages(p.pager, p.vmo, 0, 4 * PAGE_SIZE, aux, 0);
    assert_eq!(supplied, Ok(()));
    p.m.limit(u64::MAX);
    assert_eq!(p.m.page_bytes(p.vmo, 0..4), [9; 4]);
}

#[test]
fn operations_wait_while_pages_are_on_their_way_out() {
    let mut h = host(8, 2);
    let other = h.m.thread();
    room(&mut h.m, 2);
    h.touch(0, Access::Read);
    h.touch(1, Access::Read);
    h.m.order = Order::Held;
    let commit = |page: u64| {
        let offset = page * PAGE_SIZE;
        [u64::from(h.plain), VmoOp::Commit as u64, offset, PAGE_SIZE]
    };
    let first = h.m.begin(h.thread, N::VmoOpRange, &commit(0));
    let second = h.m.begin(other, N::VmoOpRange, &commit(1));
    let evicts = h.m.held.iter();
    let evicts = evicts.filter(|(_, op)| matches!(op, MemoryOp::Evict(_)));
    assert_eq!(evicts.count(), h.m.held.len(), "nothing else can begin");
    h.m.settle();
    assert_eq!(
        (h.m.status(first), h.m.status(second)),
        (Status::OK, Status::OK)
    );
    assert_eq!(h.there(), []);
}

#[test]
fn the_oldest_operation_gets_the_pages_and_the_last_gets_no_memory() {
    let mut h = host(8, 2);
    let threads = [h.thread, h.m.thread(), h.m.thread()];
    room(&mut h.m, 2);
    h.touch(0, Access::Read);
    h.touch(1, Access::Read);
    h.m.order = Order::Held;
    let tokens = [0, 1, 2].map(|page| {
        let offset = page * PAGE_SIZE;
        let args = [u64::from(h.plain), VmoOp::Commit as u64, offset, PAGE_SIZE];
        h.m.begin(threads[page as usize], N::VmoOpRange, &args)
    });
    h.m.settle();
    let ends = tokens.map(|token| h.m.status(token));
    assert_eq!(ends, [Status::OK, Status::OK, Status::NO_MEMORY]);
}

#[test]
fn a_thread_that_ends_does_not_wait_for_room() {
    let mut h = host(8, 1);
    let (thread, buffer) = (h.m.thread(), h.m.alloc(8));
    room(&mut h.m, 1);
    h.touch(0, Access::Read);
    h.m.order = Order::Held;
    h.m.fault(thread, buffer, Access::Write);
    assert!(h.m.waits(thread));
    let kernel_waits = h.m.kernel.waits();
    assert_eq!(kernel_waits, [(thread, "pages to be reclaimed".into())]);
    h.m.call_on(h.m.main.thread, N::ProcessExit, &[0]);
    h.m.settle();
    assert_eq!(h.m.kernel.waits(), []);
}

#[test]
fn reading_ahead_takes_no_more_than_is_left() {
    let mut h = host(64, 3);
    h.m.fault(h.thread, HOST, Access::Read);
    assert_eq!(h.m.kernel.room_left(), 2, "one was asked for");
    let asked = h.m.host_reads.remove(0);
    h.m.host_supply(zircon::Pages { count: 32, ..asked }, 3);
    assert_eq!(h.there(), [0, 1, 2]);
    let far = zircon::Pages {
        first: 40,
        count: 4,
        ..asked
    };
    h.m.host_supply(far, 3);
    assert_eq!(
        h.there(),
        [0, 1, 2],
        "nothing goes for what nobody asked for"
    );
}

#[test]
fn touching_in_sequence_takes_no_pages_ahead_at_the_limit() {
    let mut h = host(8, 40);
    let address = h.m.map(h.plain, 64);
    room(&mut h.m, 40);
    for page in 0..8 {
        h.touch(page, Access::Read);
    }
    for page in 0..32 {
        let at = address + page * PAGE_SIZE;
        assert_eq!(h.m.touch(h.thread, at, Access::Write), Touch::Done);
    }
    assert_eq!(h.there().len(), 8, "what was needed was there");
}

#[test]
fn a_failed_read_gives_its_room_back() {
    let mut h = host(8, 1);
    let object = zircon::ObjectRef::Vmo(h.vmo);
    let process = h.m.main.process;
    let raw = h.m.kernel.give_handle(process, object, Rights::DEFAULT_VMO);
    let (buffer, raw) = (h.m.alloc(1), u64::from(raw.unwrap()));
    h.m.poke(buffer, &[1]);
    room(&mut h.m, 1);
    let read = h.m.begin(h.thread, N::VmoRead, &[raw, buffer, 0, 1]);
    assert_eq!(h.m.kernel.room_left(), 0);
    let asked = h.m.host_reads.remove(0);
    h.m.kernel.supply_fail(h.m.now, asked, Status::IO);
    h.m.drain();
    assert_eq!(h.m.kernel.room_left(), 1);
    assert_eq!(h.m.status(read), Status::IO);
}

/// An instruction that needs two pages where there is room for one would fault for ever.
#[test]
fn a_thread_whose_pages_push_each_other_out_gets_no_memory() {
    let mut h = host(8, 1);
    for _ in 0..100 {
        for page in [3, 5] {
            h.m.fault(h.thread, HOST + page * PAGE_SIZE, Access::Read);
            h.m.answer_host_reads(3);
            if h.m.ended.contains(&h.thread) {
                return assert_eq!(h.m.fault_status(h.thread), Status::NO_MEMORY);
            }
        }
    }
    panic!("it goes round and round");
}

#[test]
fn a_thread_whose_faults_go_round_keeps_the_pages_of_one_instruction() {
    let mut h = host(64, 6);
    let other = h.m.thread();
    room(&mut h.m, 6);
    let mut others = 10;
    for round in 0..50 {
        for page in 0..5 {
            h.touch(page, Access::Read);
            // Somebody else takes every page for itself as soon as it comes.
            others = 10 + (others + 1) % 50;
            h.m.fault(other, HOST + others * PAGE_SIZE, Access::Read);
            h.m.answer_host_reads(3);
        }
        if h.there().starts_with(&[0, 1, 2, 3, 4]) {
            return;
        }
        assert!(round < 40, "{:?}", h.there());
    }
}

#[test]
fn candidates_named_again_and_again_are_sifted_and_the_order_stays() {
    let mut f = full(0..4);
    let (hint, vmo) = (VmoOp::DontNeed, f.p.vmo);
    for _ in 0..4000 {
        let said = f.p.m.vmo_op_range(vmo, hint, 2 * PAGE_SIZE, PAGE_SIZE);
        assert_eq!(said, Ok(()));
    }
    for (page, left) in [vec![0, 1, 3], vec![1, 3], vec![3]].iter().enumerate() {
        f.commit(page as u64).unwrap();
        assert_eq!(f.there(), *left);
    }
}
