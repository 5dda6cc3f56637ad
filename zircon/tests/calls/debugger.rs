//! A debugger outside the VM: which threads run, what it sees first, what it can reach.

use protocol::GeneralRegs;
use protocol::regs::SINGLE_STEP;
use protocol::syscall::SyscallNumber as N;
use zircon::{Access, DebuggedThread, ExceptionKind, OpResult, Running, ThreadId, VmoId};

use super::suspend::{suspend, thread};
use super::*;
use crate::common::{NOWHERE, Outcome, Touch};

const BREAKPOINT: ExceptionKind = ExceptionKind::Processor {
    vector: 3,
    error: 0,
};

fn debug(m: &mut TestMachine, running: Running) {
    m.kernel.debug(m.now, m.main.process, running);
    m.drain();
}

fn leave(m: &mut TestMachine) {
    m.kernel.debug_end(m.now);
    m.drain();
}

fn raise(m: &mut TestMachine, thread: ThreadId) {
    m.kernel.exception(m.now, thread, BREAKPOINT);
    m.drain();
}

fn seen(m: &TestMachine, id: ThreadId) -> DebuggedThread {
    let threads = m.kernel.debugged_threads();
    threads.into_iter().find(|it| it.thread == id).unwrap()
}

#[test]
fn a_debugger_holds_threads_and_lets_them_go() {
    let mut m = TestMachine::new();
    let ((_, one), (handle, two)) = (thread(&mut m), thread(&mut m));
    debug(&mut m, Running::Nobody);
    assert!(m.stopped.contains(&one) && m.stopped.contains(&two));
    assert!(m.debug_events > 0);
    assert!(seen(&m, one).registers.is_some());
    assert_eq!(m.signals(handle), 1 << 4, "the program sees it run");
    debug(&mut m, Running::Only([two].into()));
    assert!(m.stopped.contains(&one) && !m.stopped.contains(&two));
    debug(&mut m, Running::All);
    assert!(!m.stopped.contains(&one) && !m.stopped.contains(&two));
    debug(&mut m, Running::Nobody);
    leave(&mut m);
    assert!(m.stopped.is_empty());
    assert_eq!(m.kernel.debugged_threads(), []);
}

#[test]
fn new_threads_do_not_start_before_the_debugger_lets_them() {
    let mut m = TestMachine::new();
    let main = m.main.thread;
    debug(&mut m, Running::Only([main].into()));
    let before = m.started.len();
    let _handle = m.thread_handle();
    assert_eq!(m.started.len(), before);
    let threads = m.kernel.debugged_threads();
    let new = threads.last().unwrap();
    assert_eq!(new.registers.unwrap().rip, 0x20_0000);
    debug(&mut m, Running::All);
    assert_eq!(m.started.len(), before + 1);
}

#[test]
fn a_suspended_thread_stays_when_the_debugger_leaves() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    debug(&mut m, Running::Nobody);
    let token = suspend(&mut m, handle).unwrap();
    leave(&mut m);
    assert!(m.stopped.contains(&id));
    m.handle_close(token).unwrap();
    assert!(!m.stopped.contains(&id));
}

/// The request is withdrawn: stopping does not wait for the page, and nobody is asked for it meanwhile.
#[test]
fn a_debugger_stops_who_waits_for_a_page() {
    let mut p = paged(2);
    let (_, id) = thread(&mut p.m);
    let (token, _) = p.m.begin_read(id, p.vmo, 0, 4096);
    debug(&mut p.m, Running::Nobody);
    assert_eq!(p.m.result(token), Some(OpResult::Restart));
    assert_eq!(p.m.packets(p.port), []);
    assert!(seen(&p.m, id).registers.is_some());
    assert!(!seen(&p.m, id).waits);
}

/// A call whose results wait for a page of the program's memory has happened: it cannot be made again.
#[test]
fn a_debugger_sees_who_cannot_be_stopped_yet() {
    let mut p = paged(2);
    let m = &mut p.m;
    let (_, id) = thread(m);
    let at = m.vmar_map(3, 0, p.vmo, 0, 2 * PAGE_SIZE).unwrap();
    let token = m.begin(id, N::EventCreate, &[0, at]);
    debug(m, Running::Nobody);
    let it = seen(m, id);
    assert!(it.waits && it.registers.is_none());
    m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(m.status(token), Status::OK);
    let it = seen(m, id);
    assert!(!it.waits && it.registers.is_some());
}

#[test]
fn exceptions_go_to_the_debugger_first() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    debug(&mut m, Running::All);
    raise(&mut m, id);
    assert!(m.stopped.contains(&id));
    assert_eq!(seen(&m, id).exception, Some(BREAKPOINT));
    // It never happened.
    m.kernel.end_exception(id, false);
    debug(&mut m, Running::All);
    assert!(!m.stopped.contains(&id) && m.exceptions.is_empty());
    // It did.
    raise(&mut m, id);
    m.kernel.end_exception(id, true);
    assert!(m.exceptions.is_empty(), "not before it may run");
    debug(&mut m, Running::All);
    assert_eq!(m.exceptions.len(), 1);
    assert_eq!(m.exceptions[0].kind, BREAKPOINT);
    assert!(m.exceptions[0].registers.is_some());
}

const STEP: ExceptionKind = ExceptionKind::Processor {
    vector: 1,
    error: 0,
};

fn step(m: &mut TestMachine, id: ThreadId, on: bool) {
    m.kernel.debug_step(m.now, id, on);
    m.drain();
}

/// The trap flag of a thread when it last went on.
fn is_set(m: &TestMachine, id: ThreadId) -> bool {
    m.registers[&id].rflags & SINGLE_STEP != 0
}

#[test]
fn a_step_is_the_debuggers_until_it_is_taken_back() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    debug(&mut m, Running::Nobody);
    step(&mut m, id, true);
    debug(&mut m, Running::All);
    assert!(is_set(&m, id));
    m.kernel.exception(m.now, id, STEP);
    m.drain();
    assert_eq!(seen(&m, id).exception, Some(STEP));
    step(&mut m, id, false);
    m.kernel.end_exception(id, false);
    debug(&mut m, Running::All);
    assert!(!is_set(&m, id) && m.exceptions.is_empty());
}

#[test]
fn a_step_is_not_the_programs_to_see_or_to_change() {
    let mut m = TestMachine::new();
    let (handle, id) = thread(&mut m);
    let token = suspend(&mut m, handle).unwrap();
    debug(&mut m, Running::Nobody);
    step(&mut m, id, true);
    let buffer = m.alloc(GeneralRegs::SIZE as u64);
    let args = [handle.into(), 0, buffer, GeneralRegs::SIZE as u64];
    assert_eq!(m.call(N::ThreadReadState, &args), Status::OK);
    let bytes = m.peek(buffer, GeneralRegs::SIZE as u64);
    let seen = GeneralRegs::from_bytes(bytes.as_slice().try_into().unwrap());
    assert_eq!(seen.rflags & SINGLE_STEP, 0);
    assert_eq!(m.call(N::ThreadWriteState, &args), Status::OK);
    m.handle_close(token).unwrap();
    debug(&mut m, Running::All);
    assert!(is_set(&m, id));
}

/// The debugger has not looked at the step's exception when it leaves.
#[test]
fn a_step_that_nobody_looked_at_never_happened() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    debug(&mut m, Running::Nobody);
    step(&mut m, id, true);
    debug(&mut m, Running::All);
    m.kernel.exception(m.now, id, STEP);
    m.drain();
    assert!(m.stopped.contains(&id));
    leave(&mut m);
    assert!(m.exceptions.is_empty(), "the program did not trap");
    assert!(!m.stopped.contains(&id) && !is_set(&m, id));
}

/// The thread waits in a call that cannot be dropped, with the flag set, when the debugger leaves.
#[test]
fn a_step_that_is_left_behind_never_happened() {
    for stays in [true, false] {
        let mut p = paged(2);
        let m = &mut p.m;
        let (_, id) = thread(m);
        let at = m.vmar_map(3, 0, p.vmo, 0, 2 * PAGE_SIZE).unwrap();
        debug(m, Running::Nobody);
        step(m, id, true);
        debug(m, Running::All);
        let token = m.begin(id, N::EventCreate, &[0, at]);
        debug(m, Running::Nobody);
        assert!(seen(m, id).waits);
        step(m, id, false);
        if stays {
            debug(m, Running::All);
        } else {
            leave(m);
        }
        m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
        assert_eq!(m.status(token), Status::OK);
        m.registers
            .entry(id)
            .and_modify(|it| it.rflags |= SINGLE_STEP);
        m.kernel.exception(m.now, id, STEP);
        m.drain();
        assert!(!is_set(m, id) && m.exceptions.is_empty());
        assert!(!m.stopped.contains(&id), "it goes on");
        // The next one is its own.
        m.kernel.exception(m.now, id, STEP);
        m.drain();
        let own = if stays {
            m.stopped.contains(&id)
        } else {
            m.exceptions.len() == 1
        };
        assert!(own);
    }
}

#[test]
fn a_thread_that_waits_is_stepped_when_it_has_waited() {
    let mut p = paged(2);
    let m = &mut p.m;
    let (_, id) = thread(m);
    let at = m.vmar_map(3, 0, p.vmo, 0, 2 * PAGE_SIZE).unwrap();
    let token = m.begin(id, N::EventCreate, &[0, at]);
    debug(m, Running::Nobody);
    step(m, id, true);
    debug(m, Running::All);
    assert!(!is_set(m, id));
    m.supply(p.pager, p.vmo, 0..1, 0).unwrap();
    assert_eq!(m.status(token), Status::OK);
    assert!(is_set(m, id) && !m.stopped.contains(&id));
}

/// A handler that passes an exception on does not end a program that the debugger has stand.
#[test]
fn nobody_is_told_while_the_debugger_holds_the_thread() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    debug(&mut m, Running::All);
    raise(&mut m, id);
    debug(&mut m, Running::Nobody);
    m.kernel.end_exception(id, true);
    debug(&mut m, Running::Nobody);
    assert!(m.exceptions.is_empty());
    debug(&mut m, Running::All);
    assert_eq!(m.exceptions.len(), 1);
}

#[test]
fn exceptions_that_a_debugger_leaves_behind_go_their_way() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    debug(&mut m, Running::All);
    let touch = m.touch(id, 0x6000_0000_0000, Access::Write);
    assert_eq!(touch, Touch::Restart, "the program lives");
    assert!(m.exceptions.is_empty());
    leave(&mut m);
    assert_eq!(m.fault_status(id), Status::NOT_FOUND);
}

#[test]
fn a_debugger_writes_registers_of_who_stands() {
    let mut m = TestMachine::new();
    let (_, id) = thread(&mut m);
    let registers = GeneralRegs {
        rip: 0x1234,
        rflags: u64::MAX,
        ..GeneralRegs::default()
    };
    let set = |m: &mut TestMachine, registers| m.kernel.set_stopped_registers(id, registers);
    assert_eq!(set(&mut m, registers), Err(Status::BAD_STATE));
    debug(&mut m, Running::Nobody);
    let kernel = GeneralRegs {
        rip: 1 << 63,
        ..registers
    };
    assert_eq!(set(&mut m, kernel), Err(Status::INVALID_ARGS));
    assert_eq!(set(&mut m, registers), Ok(()));
    debug(&mut m, Running::All);
    let got = m.registers[&id];
    assert_eq!(got.rip, 0x1234);
    assert_eq!(got.rflags & SINGLE_STEP, SINGLE_STEP);
    assert_eq!(got.rflags & 0x3000, 0, "no ports for ring 3");
}

#[test]
fn a_debugger_reaches_pages_that_are_there_and_asks_for_none() {
    let mut p = paged(4);
    let m = &mut p.m;
    let process = m.main.process;
    let at = m.vmar_map(3, 0, p.vmo, 0, 4 * PAGE_SIZE).unwrap();
    m.supply(p.pager, p.vmo, 1..2, 4).unwrap();
    let vmo = VmoId(m.koid(p.vmo));
    let (there, absent) = (at + PAGE_SIZE + 5, at + 2 * PAGE_SIZE);
    assert_eq!(
        m.kernel.debug_place(process, there),
        Some((vmo, PAGE_SIZE + 5))
    );
    assert_eq!(m.kernel.debug_place(process, absent), None);
    assert_eq!(m.kernel.debug_place(process, NOWHERE), None);
    for address in [absent, NOWHERE] {
        let place = m.kernel.debug_place_to_write(process, address);
        assert_eq!(place, Err(Status::NOT_FOUND));
    }
    assert_eq!(m.packets(p.port), []);
    // What is written counts as the program's own write: it is not lost with the page.
    let place = m.kernel.debug_place_to_write(process, there);
    assert_eq!(place, Ok((vmo, PAGE_SIZE + 5)));
    let dirty = m.dirty_ranges(p.pager, p.vmo, 0..4);
    assert_eq!(dirty, [(1, 2, false)]);
}

#[test]
fn a_debugger_does_not_write_where_others_have_a_say() {
    let mut m = TestMachine::new();
    let (pager, port) = (m.pager_create(), m.port_create());
    let trapped = m.pager_create_vmo(pager, 8, port, 7, PAGE_SIZE).unwrap();
    m.supply(pager, trapped, 0..1, 4).unwrap();
    let plain = m.vmo(1);
    m.vmo_write(plain, 0, &[1]).unwrap();
    let clone = m.vmo_create_child(plain, 1, 0, PAGE_SIZE).unwrap();
    let process = m.main.process;
    for vmo in [trapped, clone] {
        let at = m.vmar_map(3, 0, vmo, 0, PAGE_SIZE).unwrap();
        assert!(m.kernel.debug_place(process, at).is_some());
        let place = m.kernel.debug_place_to_write(process, at);
        assert_eq!(place, Err(Status::NOT_SUPPORTED));
    }
    assert_eq!(m.packets(port), []);
    assert_eq!(
        m.call_on(m.main.thread, N::ProcessExit, &[0]),
        Outcome::Gone
    );
}
