//! Random registers at every call, from several threads of two processes, with memory operations and flushes that end in
//! random order: nothing panics or overflows, memory's contract holds, core and memory agree, and when the processes have
//! ended nothing is left.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::syscall::SyscallNumber as N;
use protocol::{
    ObjectType, PAGE_SIZE, PolicyAction, PolicyCondition, Rights, Status, USER_BASE, USER_END,
};
use zircon::{Access, ExceptionKind, JobPolicy, ObjectRef, ThreadId};

use crate::common::{Order, SCRATCH, TestMachine};

/// Most pages of storage: what is too much is refused, not performed.
const LIMIT: u64 = 600;

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
}

/// A register.
#[derive(Clone, Copy, Debug)]
enum Arg {
    /// A handle value that may well be alive.
    Handle(u8),
    /// One of the handles the machine started with: to a VMO, a pager, a port.
    Vmo(u8),
    Pager(u8),
    Port(u8),
    Channel(u8),
    Vmar(u8),
    Job(u8),
    /// One to an object that can be waited for.
    Waitable(u8),
    Task,
    /// An address in or around what is mapped.
    Address(u8, u16),
    /// Pages, and a few bytes more or less.
    Pages(u8, i8),
    Option(u8),
    Deadline(i16),
    Raw(u64),
}

impl Arg {
    fn value(self, first: &First) -> u64 {
        let pick = |from: &[u32], n: u8| u64::from(from[usize::from(n) % from.len()]);
        match self {
            Arg::Vmo(n) => pick(&first.vmos, n),
            Arg::Pager(n) => pick(&first.pagers, n),
            Arg::Port(n) => pick(&first.ports, n),
            Arg::Channel(n) => pick(&first.channels, n),
            Arg::Vmar(n) => pick(&first.vmars, n),
            Arg::Job(n) => pick(&first.jobs, n),
            Arg::Waitable(n) => pick(&first.waitables, n),
            Arg::Task => first.process.into(),
            Arg::Handle(n) => u64::from(n % 24) << 2 | 3 | u64::from(n / 24 % 3) << 20,
            Arg::Address(region, offset) => {
                let base = match region % 8 {
                    0..3 => SCRATCH,
                    3 => SCRATCH + 0x10_0000,
                    region => USER_BASE + u64::from(region - 4) * 16 * PAGE_SIZE,
                };
                base + u64::from(offset)
            }
            Arg::Pages(pages, more) => {
                (u64::from(pages % 16) * PAGE_SIZE).wrapping_add(more as i64 as u64)
            }
            Arg::Option(n) => match n % 8 {
                0..4 => 0,
                4 => 2,
                5 => 3,
                6 => 8,
                _ => 1 << (n / 8),
            },
            Arg::Deadline(at) => match at {
                0 => i64::MAX as u64,
                _ => (1_000 + i64::from(at)) as u64,
            },
            Arg::Raw(raw) => raw,
        }
    }
}

fn raw() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u32..64).prop_map(|bit| 1 << bit),
        (0u32..64, 0u64..9000).prop_map(|(bit, less)| (1u64 << bit).wrapping_sub(less)),
        Just(u64::MAX),
        Just(protocol::MAX_VMO_SIZE),
        Just(USER_END),
    ]
}

/// What a call's register wants; now and then anything at all.
fn arg(kind: char) -> BoxedStrategy<Arg> {
    let wanted = match kind {
        'h' => (0u8..72).prop_map(Arg::Handle).boxed(),
        'v' => any::<u8>().prop_map(Arg::Vmo).boxed(),
        'g' => any::<u8>().prop_map(Arg::Pager).boxed(),
        'q' => any::<u8>().prop_map(Arg::Port).boxed(),
        'k' => any::<u8>().prop_map(Arg::Channel).boxed(),
        'm' => any::<u8>().prop_map(Arg::Vmar).boxed(),
        't' => Just(Arg::Task).boxed(),
        'J' => any::<u8>().prop_map(Arg::Job).boxed(),
        'x' => any::<u8>().prop_map(Arg::Waitable).boxed(),
        'K' => (1u64..4).prop_map(Arg::Raw).boxed(),
        'n' => (0u64..66).prop_map(Arg::Raw).boxed(),
        'N' => (0u64..4).prop_map(Arg::Raw).boxed(),
        'T' => prop::sample::select(vec![0u64, 0x0100_0000, 0x0100_0000])
            .prop_map(Arg::Raw)
            .boxed(),
        'I' => (0u64..64).prop_map(|n| Arg::Raw(ITEMS + 12 * n)).boxed(),
        'P' => (0u64..64).prop_map(|n| Arg::Raw(ENTRIES + 12 * n)).boxed(),
        'a' => (any::<u8>(), any::<u16>())
            .prop_map(|(region, offset)| Arg::Address(region, offset & 0xFFF8))
            .boxed(),
        'p' => prop_oneof![
            4 => any::<u8>().prop_map(|pages| Arg::Pages(pages, 0)),
            1 => any::<(u8, i8)>().prop_map(|(pages, more)| Arg::Pages(pages, more)),
        ]
        .boxed(),
        'o' => any::<u8>().prop_map(Arg::Option).boxed(),
        's' => prop::sample::select(vec![
            0u64,
            8,
            1 << 24,
            1 << 25,
            3 << 24,
            1 << 31,
            0xD0EF,
            0x4C,
        ])
        .prop_map(Arg::Raw)
        .boxed(),
        'i' => prop::sample::select(vec![1u64, 2, 0x17, 0x1000_0017, 0x3000_0017])
            .prop_map(Arg::Raw)
            .boxed(),
        'j' => prop::sample::select(vec![2u64, 3, 4, 17, 17, 17])
            .prop_map(Arg::Raw)
            .boxed(),
        'c' => prop::sample::select(vec![8u64, 8, 8, 0x28, 0xC, 1, 0x10])
            .prop_map(Arg::Raw)
            .boxed(),
        'w' => prop::sample::select(vec![
            0u64,
            1,
            1,
            3,
            3,
            3,
            0x13,
            0x23,
            0x23,
            0x403,
            0x2003,
            0x1000_0003,
            0x9003,
        ])
        .prop_map(Arg::Raw)
        .boxed(),
        'l' => prop::sample::select(vec![0u64, 0x80, 0x1C0, 0x1C0, 0x3C8, 0x1D0, 0x1D0, 0x21C0])
            .prop_map(Arg::Raw)
            .boxed(),
        'y' => prop::sample::select(vec![1u64, 1, 2, 3, 10, 10, 12, 13, 13, 14])
            .prop_map(Arg::Raw)
            .boxed(),
        'e' => (0u8..16).prop_map(|pages| Arg::Pages(pages, 0)).boxed(),
        'b' => (any::<u8>(), 0u16..8)
            .prop_map(|(region, page)| Arg::Address(region, page << 12))
            .boxed(),
        'z' => Just(Arg::Raw(0)).boxed(),
        'd' => (-50i16..3000).prop_map(Arg::Deadline).boxed(),
        _ => raw().prop_map(Arg::Raw).boxed(),
    };
    prop_oneof![15 => wanted, 1 => raw().prop_map(Arg::Raw)].boxed()
}

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
        N::ProcessCreate => "hapzaa",
        N::ProcessStart => "thaahr",
        N::VmarDestroy => "m",
        N::TaskKill => "J",
        N::BtiReleaseQuarantine | N::PmtUnpin => "h",
        N::TaskSuspend => "ha",
        N::TaskCreateExceptionChannel => "hoa",
        N::ExceptionGetThread | N::ExceptionGetProcess => "ha",
        N::ThreadReadState | N::ThreadWriteState => "hoap",
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

fn call() -> impl Strategy<Value = Event> {
    let numbers: Vec<N> = N::ALL.to_vec();
    // What ends the caller comes rarely, or there is little left to see.
    let weight = |number: &N| match number {
        N::ProcessExit => 1,
        N::ThreadExit | N::TaskKill => 2,
        N::VmarMap | N::PagerSupplyPages | N::VmoRead | N::VmoWrite | N::PagerCreateVmo => 40,
        _ => 15,
    };
    let calls = numbers
        .into_iter()
        .map(|number| {
            let kinds: Vec<char> = format!("{:r<8}", shape(number)).chars().collect();
            let args = kinds.into_iter().map(arg).collect::<Vec<_>>();
            let event = (any::<u8>(), args).prop_map(move |(thread, args)| {
                Event::Call(thread, number as u64, args.try_into().unwrap())
            });
            (weight(&number), event.boxed())
        })
        .collect::<Vec<_>>();
    proptest::strategy::Union::new_weighted(calls)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => call(),
        6 => (any::<u8>(), arg('a'), any::<u8>()).prop_map(|(t, at, access)| Event::Touch(t, at, access)),
        12 => any::<u8>().prop_map(Event::Perform),
        2 => any::<u16>().prop_map(Event::Time),
        3 => Just(Event::Flushes),
        3 => any::<bool>().prop_map(Event::Host),
        1 => prop::bool::weighted(0.2).prop_map(Event::NoMemory),
        1 => any::<u8>().prop_map(Event::Exception),
    ]
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
    process: u32,
}

/// Where items for `zx_object_wait_many` stand, and entries of policies.
const ITEMS: u64 = SCRATCH + 0x20_0000;
const ENTRIES: u64 = SCRATCH + 0x30_0000;

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
    let host = m.kernel.add_host_vmo("host", 25 * PAGE_SIZE).unwrap();
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
    let first = First {
        vmos,
        jobs,
        waitables,
        pagers: vec![pager, pager, m.pager_create()],
        ports: vec![port, port, m.port_create()],
        channels: ends.iter().flat_map(|(a, b)| [*a, *b]).collect(),
        vmars,
        process: m.main.process_handle,
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
    let run = zircon::MappedRun {
        address: SCRATCH,
        length: 1 << 20,
        vmo: zircon::VmoId(m.koid(plain)),
        page: 0,
        write: true,
        execute: false,
    };
    m.kernel.map_at(other.process, run).unwrap();
    m.kernel
        .start_thread(other.thread, 4096, 0, (0, 0))
        .unwrap();
    let mut threads = vec![m.main.thread, other.thread];
    threads.extend((0..4).map(|_| m.thread()));
    m.limit(LIMIT);
    m.order = Order::Random;
    m.random = seed | 1;
    m.hold_flushes = true;
    (m, threads, first)
}

fn run(seed: u64, events: Vec<Event>) {
    let (mut m, mut threads, first) = machine(seed);
    for event in events {
        threads.extend(
            m.started
                .drain(..)
                .filter(|thread| !threads.contains(thread))
                .collect::<Vec<_>>(),
        );
        let pick = |n: u8| threads[usize::from(n) % threads.len()];
        match event {
            // A thread that waits makes no calls.
            Event::Call(thread, ..) | Event::Touch(thread, ..) if m.waits(pick(thread)) => {}
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
            Event::Exception(thread) => {
                if thread < 8 {
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
    for &thread in threads {
        m.raw_call(thread, N::ProcessExit as u64, &[0]);
    }
    m.hold_flushes = false;
    m.flush();
    m.settle();
    m.flush();
    m.settle();
    assert_eq!(m.processes_ended.len(), 2, "each ended once");
    assert_eq!(m.kernel.waits(), []);
    assert_eq!(m.kernel.next_deadline(), None);
    let left = m.kernel.census();
    // Channels that hold each other's ends in their messages stay, as in Zircon, and with them what else is in there.
    if !left.contains_key(&ObjectType::Channel) {
        // VMOs wait for their last packet only in ports that are open.
        assert_eq!(m.kernel.usage(), [], "nothing is left");
        assert_eq!(m.memory.total(), 0);
        for object in [ObjectType::Event, ObjectType::Job, ObjectType::Port] {
            assert_eq!(left.get(&object), None, "{object:?}");
        }
    }
}

#[test]
fn random_registers() {
    let cases = std::env::var("ZVMM_CASES").map_or(1_000, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let events = prop::collection::vec(event(), 20..150);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(any::<u64>(), events), |(seed, events)| {
        run(seed, events);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
