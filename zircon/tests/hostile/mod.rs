//! Random registers at every call, from several threads of two processes, with memory operations and flushes that end in
//! random order: nothing panics or overflows, memory's contract holds, core and memory agree, and when the processes have
//! ended nothing is left.

mod registers;

use protocol::syscall::SyscallNumber as N;
use protocol::{PAGE_SIZE, PolicyAction, PolicyCondition, Rights, Status};
use zircon::{Access, ExceptionKind, JobPolicy, ObjectRef, ThreadId};

use crate::common::random::{self, Source};
use crate::common::{Order, SCRATCH, TestMachine, writable};
use registers::{Arg, ENTRIES, ITEMS};

/// Most pages of storage: what is too much is refused, not performed.
const LIMIT: u64 = 600;
/// Most events of a run.
const EVENTS: usize = 200;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Call(u8, u64, [Arg; 8]),
    Touch(u8, Arg, u8),
    /// A memory operation under way ends.
    Perform(u8),
    Time(u16),
    Flushes,
    /// The host answers, or fails, what it was asked for.
    Host(bool),
    /// Memory operations fail, or no longer do.
    NoMemory(bool),
    Exception(u8),
    /// A thread that is to be stopped is.
    Stop(u8),
}

/// What the registers of a call are for, as letters of [`Arg::decode`].
fn shape(number: N) -> &'static str {
    match number {
        N::ClockGetMonotonic | N::ThreadExit => "",
        N::Nanosleep => "d",
        N::DebugWrite => "ap",
        N::HandleClose => "h",
        N::HandleCloseMany => "ap",
        N::HandleDuplicate => "xsa",
        N::HandleReplace => "hsa",
        N::ObjectWaitOne => "xsda",
        N::ObjectWaitAsync => "xqKso",
        N::ObjectSignal => "xss",
        N::ObjectGetInfo => "xiapaa",
        N::ObjectGetProperty | N::ObjectSetProperty => "vjap",
        N::VmoCreate => "poa",
        N::VmoRead | N::VmoWrite => "vapp",
        N::VmoGetSize => "va",
        N::VmoSetSize => "vp",
        N::VmoCreateChild => "vcppa",
        N::PagerCreate | N::PortCreate => "oa",
        N::PagerCreateVmo => "goqrpa",
        N::PagerDetachVmo => "gv",
        N::PagerSupplyPages => "gveeve",
        N::PortQueue => "qa",
        N::PortWait => "qda",
        N::VmarMap => "mwevepa",
        N::VmarUnmap => "mbe",
        N::VmarProtect => "mwbe",
        N::ThreadCreate => "tapza",
        N::ThreadStart => "haarr",
        N::ProcessExit => "r",
        N::FutexWait => "azhd",
        N::FutexWake => "ao",
        N::ObjectWaitMany => "Ind",
        N::ObjectSignalPeer => "kss",
        N::PortCancel => "qxK",
        N::PortCancelKey => "qzK",
        N::EventCreate => "za",
        N::ChannelCreate => "zaa",
        N::ChannelRead => "koaaeoaa",
        N::ChannelWrite => "kzaebo",
        N::JobCreate => "Jza",
        N::JobSetPolicy => "JNTPN",
        N::ProcessCreate => "Japzaa",
        N::ProcessStart => "hhaavr",
        N::VmarDestroy => "m",
        N::TaskKill => "t",
        N::BtiReleaseQuarantine | N::PmtUnpin => "h",
        N::TaskSuspend => "ta",
        N::TaskCreateExceptionChannel => "tza",
        N::ExceptionGetThread | N::ExceptionGetProcess => "ha",
        N::ThreadReadState | N::ThreadWriteState => "tzaR",
        N::VmoGetStreamSize => "va",
        N::VmoSetStreamSize => "vp",
        N::VmoOpRange => "voppap",
        N::VmoCreateContiguous => "hpza",
        N::VmoCreatePhysical => "hppa",
        N::VmoReplaceAsExecutable => "vza",
        N::VmoSetCachePolicy => "vo",
        N::VmoTransferData => "vzeeve",
        N::PagerOpRange => "goveeo",
        N::PagerQueryDirtyRanges => "gvppapaa",
        N::PagerQueryVmoStats => "gvoap",
        N::VmarAllocate => "mleeaa",
        N::VmarOpRange => "mybezz",
        N::IommuCreate => "hzapa",
        N::BtiCreate => "hzra",
        N::BtiPin => "hovppaoa",
    }
}

fn call(source: &mut Source<'_>) -> Event {
    // What ends the caller comes rarely, or there is little left to see.
    let weight = |number: &N| match number {
        N::ProcessExit => 1,
        N::ThreadExit | N::TaskKill => 2,
        N::VmarMap | N::PagerSupplyPages | N::VmoRead | N::VmoWrite | N::PagerCreateVmo => 40,
        _ => 15,
    };
    let number = N::ALL[source.weighted(N::ALL, weight)];
    let thread = source.byte();
    let mut args = [Arg::Raw(0); 8];
    let kinds = shape(number).chars().chain(std::iter::repeat('r'));
    for (arg, kind) in args.iter_mut().zip(kinds) {
        *arg = Arg::decode(kind, source);
    }
    Event::Call(thread, number as u64, args)
}

fn event(source: &mut Source<'_>) -> Event {
    match source.below(74) {
        0..40 => call(source),
        40..46 => Event::Touch(source.byte(), Arg::decode('a', source), source.byte()),
        46..58 => Event::Perform(source.byte()),
        58..60 => Event::Time(source.below(1 << 16) as u16),
        60..63 => Event::Flushes,
        63..66 => Event::Host(source.below(2) == 1),
        66 => Event::NoMemory(source.below(5) == 0),
        67..70 => Event::Exception(source.byte()),
        _ => Event::Stop(source.byte()),
    }
}

/// Handles that the first process starts with.
struct First {
    vmos: Vec<u32>,
    pagers: Vec<u32>,
    ports: Vec<u32>,
    channels: Vec<u32>,
    vmars: Vec<u32>,
    jobs: Vec<u32>,
    waitables: Vec<u32>,
    tasks: Vec<u32>,
}

/// Jobs of some depth, and the root job rarely.
fn jobs(m: &mut TestMachine) -> Vec<u32> {
    let root = m.main.job_handle;
    let child = m.job_create(root).unwrap();
    let leaf = m.job_create(child).unwrap();
    let mut jobs = vec![child; 8];
    jobs.extend([leaf; 8]);
    jobs.push(root);
    jobs
}

/// Items to wait for and entries of policies in the program's memory, most of them good.
fn lists(m: &mut TestMachine, first: &First) {
    let waitable = |n: u32| first.waitables[n as usize * 5 % first.waitables.len()];
    let items = (0..128).flat_map(|n| [waitable(n), [0, 8, 1 << 24][n as usize % 3], 0]);
    let entries = (0..128).flat_map(|n| [n * 7 % 18, n % 5, n % 2]);
    for (at, words) in [
        (ITEMS, items.collect::<Vec<_>>()),
        (ENTRIES, entries.collect()),
    ] {
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        m.poke(at, &bytes);
    }
}

/// The other process's policy: each run another action for another condition.
fn policy(seed: u64) -> JobPolicy {
    let pick = |from: usize, of: u64| (of % from as u64) as usize;
    let conditions = PolicyCondition::ALL;
    let actions = PolicyAction::ALL;
    let mut policy = JobPolicy::default();
    policy.fix(
        conditions[pick(conditions.len(), seed)],
        actions[pick(actions.len(), seed >> 8)],
    );
    policy
}

/// A machine with something of everything in both processes.
fn machine(seed: u64) -> (TestMachine, Vec<ThreadId>, First) {
    let mut m = TestMachine::new();
    let pager = m.pager_create();
    let port = m.port_create();
    let paged = m
        .pager_create_vmo(pager, 2, port, 1, 30 * PAGE_SIZE)
        .unwrap();
    let fixed = m
        .pager_create_vmo(pager, 0, port, 2, 20 * PAGE_SIZE)
        .unwrap();
    let plain = m.vmo_create(30 * PAGE_SIZE, 2).unwrap();
    let slice = m.vmo_create_child(fixed, 8, PAGE_SIZE, 9000).unwrap();
    let host = m.kernel.add_host_vmo("host", 25 * PAGE_SIZE, true).unwrap();
    let host = m
        .kernel
        .give_handle(m.main.process, ObjectRef::Vmo(host), Rights::DEFAULT_VMO)
        .unwrap();
    let root = m.main.vmar_handle;
    for vmo in [paged, plain] {
        m.map(vmo, 16);
    }
    let (outer, _) = m.vmar_allocate(root, 0x1C0, 0, 48 * PAGE_SIZE).unwrap();
    let (inner, _) = m.vmar_allocate(outer, 0x1C0, 0, 20 * PAGE_SIZE).unwrap();
    for (vmar, vmo) in [(inner, slice), (outer, host)] {
        m.map_in(vmar, 3, 0, vmo, 16 * PAGE_SIZE).unwrap();
    }
    let vmars = vec![root, root, outer, inner];
    let aux = m.vmo(16);
    let ends = [m.channel_create(), m.channel_create()];
    let jobs = jobs(&mut m);
    let vmos = vec![paged, fixed, plain, slice, host, aux];
    let mut waitables = vec![m.event_create(), m.event_create(), m.event_create()];
    waitables.extend([m.main.process_handle, m.thread_handle()]);
    waitables.extend(vmos.iter().chain(&jobs).copied());
    let mut first = First {
        vmos,
        jobs,
        waitables,
        pagers: vec![pager, pager, m.pager_create()],
        ports: vec![port, port, m.port_create()],
        channels: ends.iter().flat_map(|(a, b)| [*a, *b]).collect(),
        vmars,
        tasks: vec![m.main.process_handle, m.main.thread_handle],
    };
    m.poke(SCRATCH, &[3; 8192]);
    // Handle values for messages.
    let values: Vec<u8> = (0..1024u32)
        .flat_map(|n| ((n * 7 % 24) << 2 | 3).to_le_bytes())
        .collect();
    m.poke(SCRATCH + 0x10_0000, &values);
    lists(&mut m, &first);
    let other = m.kernel.create_process("other", policy(seed)).unwrap();
    for raw in [paged, plain, slice] {
        let id = zircon::VmoId(m.koid(raw));
        m.kernel
            .give_handle(other.process, ObjectRef::Vmo(id), Rights::DEFAULT_VMO)
            .unwrap();
    }
    let run = writable(zircon::VmoId(m.koid(plain)), SCRATCH, 1 << 20);
    m.kernel.map_at(other.process, run).unwrap();
    m.kernel
        .start_thread(other.thread, 4096, 0, (0, 0))
        .unwrap();
    let mut threads = vec![m.main.thread, other.thread];
    for _ in 0..4 {
        first.tasks.push(m.thread_handle());
        threads.extend(m.started.last());
    }
    let object = ObjectRef::Process(other.process);
    let child = m
        .kernel
        .give_handle(m.main.process, object, Rights::DEFAULT_PROCESS)
        .unwrap();
    first.tasks.extend([child, first.jobs[0]]);
    for task in [first.tasks[0], first.tasks[2]] {
        let channel = m.exception_channel(task).unwrap();
        first.channels.push(channel);
    }
    m.limit(LIMIT);
    m.order = Order::Random;
    m.random = seed | 1;
    m.hold_flushes = true;
    m.hold_stops = true;
    (m, threads, first)
}

fn run(seed: u64, events: &[Event]) {
    let (mut m, mut threads, first) = machine(seed);
    for event in events {
        threads.extend(
            m.started
                .drain(..)
                .filter(|thread| !threads.contains(thread))
                .collect::<Vec<_>>(),
        );
        let pick = |n: u8| threads[usize::from(n) % threads.len()];
        match *event {
            // A thread that waits, or is stopped, makes no calls.
            Event::Call(thread, ..) | Event::Touch(thread, ..) if m.stands(pick(thread)) => {}
            Event::Call(thread, number, args) => {
                m.raw_call(pick(thread), number, &args.map(|arg| arg.value(&first)));
            }
            Event::Touch(thread, at, access) => {
                let access = match access {
                    0 => Access::Execute,
                    access if access % 2 == 0 => Access::Write,
                    _ => Access::Read,
                };
                let (thread, at) = (pick(thread), at.value(&first));
                // Most bad addresses would end the process.
                let process = m.kernel.process_of(thread);
                if process.is_some_and(|process| m.kernel.mapped_run(process, at).is_some()) {
                    m.fault(thread, at, access);
                }
            }
            Event::Perform(n) => {
                if !m.held.is_empty() {
                    m.perform(usize::from(n) % m.held.len());
                    m.drain();
                }
            }
            Event::Time(by) => m.advance(i64::from(by)),
            Event::Flushes => m.flush(),
            Event::Host(true) => m.answer_host_reads(5),
            Event::Host(false) => {
                for pages in std::mem::take(&mut m.host_reads) {
                    m.kernel.supply_fail(m.now, pages, Status::IO);
                    m.drain();
                }
            }
            Event::NoMemory(on) => m.no_memory = on,
            Event::Stop(n) => {
                if let Some(&thread) = m.stopped.iter().nth(usize::from(n) % 4) {
                    m.stop(thread);
                    m.drain();
                }
            }
            Event::Exception(thread) => {
                if thread < 48 && !m.stands(pick(thread)) {
                    let (vector, error) = (thread, 0);
                    let kind = ExceptionKind::Processor { vector, error };
                    m.kernel.exception(m.now, pick(thread), kind);
                    m.drain();
                }
            }
        }
        let resident: u64 = m.kernel.usage().iter().map(|(.., pages)| pages).sum();
        assert!(resident <= LIMIT, "{resident} pages");
    }
    end(&mut m, &threads);
}

/// Ends both processes and looks for anything left.
fn end(m: &mut TestMachine, threads: &[ThreadId]) {
    m.no_memory = false;
    m.hold_stops = false;
    let late = m.started.clone();
    for &thread in threads.iter().chain(&late) {
        m.raw_call(thread, N::ProcessExit as u64, &[0]);
    }
    m.hold_flushes = false;
    m.flush();
    m.settle();
    m.flush();
    m.settle();
    let ended = m.processes_ended.iter().map(|(process, _)| *process);
    let mut ended: Vec<_> = ended.collect();
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), m.processes_ended.len(), "each ended once");
    assert_eq!(m.kernel.waits(), []);
    assert_eq!(m.kernel.next_deadline(), None);
    let left = m.kernel.census();
    // VMOs wait for their last packet only in ports that are open.
    assert_eq!(m.kernel.usage(), [], "nothing is left");
    assert_eq!(m.memory.total(), 0);
    assert_eq!(left, [].into(), "nothing is left");
}

/// What bytes stand for: a seed, and what happens.
fn decode(bytes: &[u8]) -> (u64, Vec<Event>) {
    let mut source = Source::new(bytes);
    let seed = source.word();
    let mut events = Vec::new();
    while !source.is_empty() && events.len() < EVENTS {
        events.push(event(&mut source));
    }
    (seed, events)
}

/// Plays what bytes stand for; it panics if anything is not as it has to be.
pub fn play(bytes: &[u8]) {
    let (seed, events) = decode(bytes);
    run(seed, &events);
}

#[test]
fn random_registers() {
    random::each_seed(1_000, |case| {
        let length = 300 + case % 1_500;
        let (seed, events) = decode(&random::bytes(case, length as usize));
        let fails = |events: &[Event]| random::failure(|| run(seed, events));
        let Some(_) = fails(&events) else {
            return Ok(());
        };
        let short = random::shrink(&events, |_| Vec::new(), |events| fails(events).is_some());
        let why = fails(&short).unwrap();
        Err(format!("{why}\norder {seed:#x}, {short:#?}"))
    });
}
