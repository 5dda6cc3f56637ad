//! Threads and processes: making, starting, ending, and what is outstanding then.

use protocol::syscall::SyscallNumber as N;
use zircon::{Access, EXCEPTION_KILL, ExceptionKind, FaultOutcome};

use super::*;
use crate::common::{NOWHERE, Order, Outcome, Packet, Touch, Via};

#[test]
fn thread_create_rows() {
    let mut m = TestMachine::new();
    let (vmo, process) = (m.vmo(1), m.main.process_handle);
    let out = m.alloc(8);
    let weak = m.without(process, Rights::MANAGE_THREAD);
    for (handle, name, length, options, out, status) in [
        (BAD, 0, 0, 1, 0, Status::INVALID_ARGS),
        (process, NOWHERE, 1, 0, out, Status::INVALID_ARGS),
        (BAD, 0, 0, 0, out, Status::BAD_HANDLE),
        (vmo, 0, 0, 0, out, Status::WRONG_TYPE),
        (weak, 0, 0, 0, out, Status::ACCESS_DENIED),
        (process, 0, 0, 0, 0, Status::INVALID_ARGS),
        (process, 0, 0, 0, out, Status::OK),
    ] {
        let args = [handle.into(), name, length, options, out];
        assert_eq!(m.call(N::ThreadCreate, &args), status);
    }
    let thread = m.peek_u32(out);
    assert_eq!(m.rights(thread), Rights::DEFAULT_THREAD);
    for (entry, stack, status) in [
        (protocol::USER_END, 0, Status::INVALID_ARGS),
        (1 << 63, 0, Status::INVALID_ARGS),
        (4096, protocol::USER_END + 1, Status::INVALID_ARGS),
        (4096, protocol::USER_END, Status::OK),
        (4096, 4096, Status::BAD_STATE),
    ] {
        let args = [thread.into(), entry, stack, 1, 2];
        assert_eq!(m.call(N::ThreadStart, &args), status);
    }
}

#[test]
fn thread_limit_no_resources() {
    let mut m = TestMachine::new();
    let out = m.alloc(4);
    let args = [m.main.process_handle.into(), 0, 0, 0, out];
    let mut handles = Vec::new();
    let status = loop {
        match m.call(N::ThreadCreate, &args) {
            Status::OK => handles.push(m.peek_u32(out)),
            status => break status,
        }
    };
    assert_eq!((status, handles.len()), (Status::NO_RESOURCES, 511));
    m.handle_close(handles[0]).unwrap();
    assert_eq!(m.call(N::ThreadCreate, &args), Status::OK);
}

#[test]
fn thread_exit_signals_its_end() {
    let mut m = TestMachine::new();
    let handle = m.thread_handle();
    let thread = *m.started.last().unwrap();
    assert_eq!(m.signals(handle), 1 << 4);
    assert_eq!(m.call_on(thread, N::ThreadExit, &[]), Outcome::Gone);
    assert_eq!(m.signals(handle), 8);
    assert!(m.processes_ended.is_empty());
}

/// A vCPU may come with a call, a fault or an exception of a thread that was ended meanwhile.
#[test]
fn ended_threads_are_gone() {
    let mut m = TestMachine::new();
    for keep_handle in [false, true] {
        let handle = m.thread_handle();
        let thread = *m.started.last().unwrap();
        if !keep_handle {
            m.handle_close(handle).unwrap();
        }
        m.call_on(thread, N::ThreadExit, &[]);
        let out = m.alloc(4);
        let args = [4096, 0, out];
        assert_eq!(m.call_on(thread, N::VmoCreate, &args), Outcome::Gone);
        let fault = m.kernel.page_fault(m.now, thread, out, Access::Write);
        assert_eq!(fault, FaultOutcome::Gone);
        let kind = ExceptionKind::Processor {
            vector: 6,
            error: 0,
        };
        m.kernel.exception(m.now, thread, kind);
        m.drain();
        assert!(m.exceptions.is_empty(), "nobody raised it");
        assert!(m.processes_ended.is_empty());
    }
}

#[test]
fn last_thread_ends_the_process() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    m.map(vmo, 1);
    assert_eq!(m.call_on(m.main.thread, N::ThreadExit, &[]), Outcome::Gone);
    assert_eq!(m.processes_ended, [(m.main.process, 0)]);
    assert_eq!(m.kernel.usage(), [], "handles and mappings are gone");
}

#[test]
fn process_exit_ends_everything() {
    let mut p = paged(4);
    let waiting = p.m.thread();
    let infinite = i64::MAX;
    p.m.begin_port_wait(waiting, p.port, infinite);
    let sleeper = p.m.thread();
    p.m.begin(sleeper, N::Nanosleep, &[5_000_000]);
    let reader = p.m.reader(Via::Read, p.vmo, 0..2);
    let toucher = p.m.reader(Via::Mapping, p.vmo, 3..4);
    let futex = p.m.alloc(4);
    let thread = p.m.thread();
    let args = [futex, 0, 0, infinite as u64];
    p.m.begin(thread, N::FutexWait, &args);
    let watcher = p.m.thread();
    let args = [p.vmo.into(), 1 << 24, infinite as u64, 0];
    p.m.begin(watcher, N::ObjectWaitOne, &args);
    let outcome =
        p.m.call_on(p.m.main.thread, N::ProcessExit, &[-7i64 as u64]);
    assert_eq!(outcome, Outcome::Gone);
    assert_eq!(p.m.processes_ended, [(p.m.main.process, -7)]);
    for thread in [waiting, sleeper, reader.thread, toucher.thread, watcher] {
        assert!(p.m.ended.contains(&thread));
    }
    assert_eq!(p.m.kernel.usage(), []);
    assert_eq!(p.m.kernel.waits(), []);
    assert_eq!(p.m.kernel.next_deadline(), None);
}

/// Memory operations under way keep their VMOs until they end.
#[test]
fn process_exit_with_memory_operations_under_way() {
    let mut p = paged(8);
    let aux = p.m.vmo(8);
    p.m.vmo_write(aux, 0, &[1; 4096]).unwrap();
    p.m.vmo_write(aux, 3 * 4096, &[1; 4096]).unwrap();
    let plain = p.m.vmo_create(4 * 4096, 2).unwrap();
    p.m.vmo_write(plain, 0, &[1; 4096]).unwrap();
    p.m.vmo_write(plain, 8192, &[1; 4096]).unwrap();
    let at = p.m.map(plain, 4);
    let threads: Vec<_> = (0..5).map(|_| p.m.thread()).collect();
    let buffer = p.m.alloc(4096);
    p.m.poke(buffer, &[1; 4096]);
    p.m.order = Order::Held;
    let supply = [p.pager.into(), p.vmo.into(), 0, 8 * 4096, aux.into(), 0];
    p.m.begin(threads[0], N::PagerSupplyPages, &supply);
    p.m.begin(threads[1], N::VmoRead, &[plain.into(), buffer, 0, 4096]);
    p.m.touch(threads[2], at + 4096, Access::Write);
    p.m.begin(threads[3], N::VmoSetSize, &[plain.into(), 0]);
    p.m.begin(threads[4], N::VmoCreate, &[4096, 0, buffer]);
    p.m.call_on(p.m.main.thread, N::ProcessExit, &[0]);
    p.m.settle();
    assert_eq!(p.m.kernel.usage(), []);
    assert_eq!(p.m.kernel.waits(), []);
}

#[test]
fn thread_exit_takes_back_a_handle_nobody_learned_of() {
    let mut m = TestMachine::new();
    let thread = m.thread();
    let out = m.alloc(4);
    m.poke(out, &[0; 4]);
    m.order = Order::Held;
    m.begin(thread, N::VmoCreate, &[4096, 0, out]);
    m.call_on(thread, N::ThreadExit, &[]);
    m.settle();
    assert_eq!(m.freed.len(), 1);
    assert_eq!(m.kernel.usage().len(), 1);
}

#[test]
fn fatal_fault_rows() {
    for (setup, access, status) in [
        (0, Access::Read, Status::NOT_FOUND),
        (1, Access::Write, Status::ACCESS_DENIED),
        (1, Access::Execute, Status::ACCESS_DENIED),
        (2, Access::Read, Status::OUT_OF_RANGE),
        (3, Access::Read, Status::BAD_STATE),
    ] {
        let mut p = paged(1);
        let vmo = p.m.vmo(1);
        let at = match setup {
            0 => NOWHERE,
            1 => p.m.vmar_map(1, 0, vmo, 0, 4096).unwrap(),
            2 => p.m.vmar_map(1, 0, vmo, 0, 8192).unwrap() + 4096,
            _ => {
                p.m.pager_detach_vmo(p.pager, p.vmo).unwrap();
                p.m.map(p.vmo, 1)
            }
        };
        let thread = p.m.thread();
        assert_eq!(p.m.touch(thread, at, access), Touch::Fatal(status));
        assert_eq!(p.m.exceptions.len(), 1);
        let report = p.m.exceptions[0].to_string();
        assert!(report.contains("ZX_EXCP_FATAL_PAGE_FAULT"), "{report}");
        let name = status.name().unwrap();
        assert!(report.contains(name), "{report}");
        assert_eq!(p.m.processes_ended, [(p.m.main.process, EXCEPTION_KILL)]);
        assert_eq!(p.m.kernel.usage(), []);
    }
}

#[test]
fn fatal_fault_report_names_the_vmo_and_offset() {
    let mut m = TestMachine::new();
    let vmo = m.vmo(1);
    let at = m.vmar_map(1, 0, vmo, 0, 3 * 4096).unwrap();
    let koid = m.koid(vmo);
    m.touch(m.main.thread, at + 8192 + 5, Access::Read);
    let ExceptionKind::PageFault {
        address,
        vmo: Some((id, _, offset)),
        ..
    } = &m.exceptions[0].kind
    else {
        panic!("{:?}", m.exceptions);
    };
    assert_eq!((*address, id.0, *offset), (at + 8197, koid, 8197));
}

/// Two processes on one pager VMO: the end of one does not touch the other.
#[test]
fn process_exit_leaves_other_processes_alone() {
    let mut p = paged(2);
    let other =
        p.m.kernel
            .create_process("other", JobPolicy::default())
            .unwrap();
    let koid = p.m.koid(p.vmo);
    let object = zircon::ObjectRef::Vmo(zircon::VmoId(koid));
    let vmo =
        p.m.kernel
            .give_handle(other.process, object, Rights::DEFAULT_VMO)
            .unwrap();
    p.m.kernel
        .start_thread(other.thread, 4096, 0, (0, 0))
        .unwrap();
    p.m.drain();
    let mut reader = p.m.reader(Via::Read, p.vmo, 0..1);
    let args = [vmo.into(), NOWHERE, 4096, 4096];
    p.m.begin(other.thread, N::VmoRead, &args);
    assert_eq!(
        p.m.packets(p.port),
        [Packet::Read(7, 0, 1), Packet::Read(7, 1, 2)]
    );
    p.m.call_on(other.thread, N::ProcessExit, &[3]);
    assert_eq!(p.m.processes_ended, [(other.process, 3)]);
    p.m.supply(p.pager, p.vmo, 0..2, 0).unwrap();
    assert_eq!(p.m.read_bytes(&mut reader), [0]);
    p.m.handle_close(p.vmo).unwrap();
    assert_eq!(p.m.packets(p.port), [Packet::Complete(7)]);
}
