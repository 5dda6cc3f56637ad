//! One run of one program, from the configuration to the outcome.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::vcpu::MAX_THREADS;
use rustix::event::{EventfdFlags, eventfd};
use zircon::Kernel;

use crate::config::{FaultDelivery, Program, RunConfig};
use crate::debug::{self, CoreFile};
use crate::events::{EventLoop, Side, Signals};
use crate::guest_image;
use crate::hypercall::{Parts, Runner, Vm, operands::OperandDecoder};
use crate::machine::{Machine, MachineConfig, MachineError};
use crate::memory::{self, ArenaGeometry, Memory, MemoryError};
use crate::observe::heatmap::Heatmap;
use crate::observe::trace::Trace;
use crate::observe::{Consumer, Progress, Reclaim, Recording, Sampler, Stats, VmoUsage};
use crate::outcome::{End, Outcome};
use crate::processor;
use crate::program::{self, LoadError};

/// Most guest-physical memory that the arena takes: addresses only, nothing is committed.
const ARENA_LIMIT: u64 = 1 << 46;

/// How long a worker that waits for the host may delay the end of a run.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a run could not be started or finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM, the guest kernel's image or guest RAM.
    #[error("cannot set up the machine")]
    Machine(#[from] MachineError),
    /// The arena or userfaultfd.
    #[error("cannot set up guest memory")]
    Memory(#[from] MemoryError),
    /// The program or what it was given.
    #[error("cannot load the program")]
    Load(#[from] LoadError),
    /// The file for the core.
    #[error("cannot write the core {}", .0.display())]
    Core(PathBuf, #[source] std::io::Error),
    /// The file for what is recorded.
    #[error("cannot write {}", .0.display())]
    Record(PathBuf, #[source] std::io::Error),
    /// A descriptor or a thread.
    #[error("cannot set up the event loop")]
    Host(#[from] std::io::Error),
    /// The event loop.
    #[error("the event loop failed")]
    Events(#[from] event_manager::Error),
}

/// Runs a program to its end.
///
/// # Errors
/// What kept the run from starting. A run that started has an [`Outcome`], whatever the program did.
pub fn run(config: RunConfig) -> Result<Outcome, Error> {
    let began = Instant::now();
    memory::raise_limits();
    let core = config
        .core
        .as_deref()
        .map(|path| match CoreFile::prepare(path) {
            Ok(core) => Ok((path, core)),
            Err(error) => Err(Error::Core(path.into(), error)),
        });
    let core = core.transpose()?;
    let mut kernel = Kernel::new(config.cpus as usize * MAX_THREADS);
    if config.trace.is_some() || config.heatmap.is_some() {
        kernel.watch();
    }
    if let Some(bytes) = config.memory {
        kernel.limit_memory(bytes / protocol::PAGE_SIZE);
    }
    // Before anything is created: most errors are in here, and this is cheap.
    let loaded = program::load(&mut kernel, &config)?;
    let machine_config = MachineConfig {
        cpus: config.cpus,
        kernel: guest_image::KERNEL,
        arena_limit: ARENA_LIMIT,
    };
    let mut machine = Machine::new(machine_config)?;
    let vcpus = machine.take_vcpus();
    let slots = machine.memslots();
    let Range { start, end } = machine.arena();
    let add_slot =
        move |index, gpa, host, length| slots.add(index, gpa, host, length).map_err(Into::into);
    let geometry = ArenaGeometry { base: start, end };
    let memory = match config.fault_delivery {
        FaultDelivery::Exit => Memory::new(geometry, Box::new(add_slot))?,
        FaultDelivery::Event => Memory::with_events(geometry, Box::new(add_slot))?,
    };
    let stats = Arc::new(Stats::new(config.cpus, began));
    let progress = config
        .interactive
        .then(|| Progress::start(&stats))
        .flatten();
    let signals = Signals::new(progress, config.output.clone())?;
    // Before anything runs: a program that is interrupted as soon as it speaks must not take the VMM along.
    let event_loop = EventLoop::new(config.interactive)?;
    let debug_event = config.gdb.as_ref().map(|_| debug::event());
    // Last of what may fail: an older file of a run that does not start stays.
    let recording = record(&config)?;
    let vm = Vm::new(Parts {
        kernel,
        memory,
        ram: machine.ram().clone(),
        tables: machine.table_pages(),
        kicks: vcpus.iter().map(|vcpu| vcpu.kick_handle()).collect(),
        host_vmos: loaded.host_vmos,
        stats: Arc::clone(&stats),
        program: loaded.process,
        recorder: recording.as_ref().map(Recording::recorder),
        judge: config.heatmap.is_some(),
        host: Box::new(Side(Arc::clone(&signals))),
        debug_event: debug_event.transpose()?,
    });
    vm.begin(&loaded.first);
    let sampler = config.measure_memory.then(|| {
        let vm = Arc::clone(&vm);
        Sampler::start(move || vm.resident_pages())
    });
    // It ends after the vCPUs' threads, which may wait for it.
    let answering = match config.fault_delivery {
        FaultDelivery::Exit => None,
        FaultDelivery::Event => Some(Answering::start(&vm)?),
    };
    let finished = thread::scope(|scope| {
        for vcpu in vcpus {
            let runner = Runner::new(Arc::clone(&vm), vcpu);
            let (index, pin) = (runner.index(), config.pin);
            let started = thread::Builder::new()
                .name(format!("vcpu {index}"))
                .spawn_scoped(scope, move || {
                    if pin {
                        processor::pin(index as usize);
                    }
                    runner.run();
                });
            if let Err(error) = started {
                vm.stop(End::Interrupted);
                return Err(Error::Host(error));
            }
        }
        if let Some(gdb) = &config.gdb {
            let serve = || gdb.serve(&vm, &config.program);
            let started = thread::Builder::new()
                .name("gdb".into())
                .spawn_scoped(scope, serve);
            if let Err(error) = started {
                vm.stop(End::Interrupted);
                return Err(Error::Host(error));
            }
        }
        // While the program starts.
        OperandDecoder::warm_up();
        // A panic here must not leave the vCPUs' threads running, for which the scope waits.
        let watch = || event_loop.run(&vm, &signals, config.timeout);
        let finished = catch_unwind(AssertUnwindSafe(watch)).unwrap_or_else(|_| {
            vm.stop(End::GuestKernel("the event loop's thread panicked".into()));
            Ok(())
        });
        // Whatever ended the loop, the vCPUs' threads must end, too.
        vm.stop(End::Interrupted);
        finished.map_err(Error::Events)
    });
    finished?;
    if !vm.shut_down(PATIENCE) {
        log::warn!("a read of the host still waits; it is left behind");
    }
    if let Some((path, core)) = core {
        vm.write_core(core)
            .map_err(|error| Error::Core(path.into(), error))?;
    }
    let usage = vm
        .usage()
        .into_iter()
        .map(|(id, name, size_bytes, resident_pages)| VmoUsage {
            name,
            koid: id.0,
            resident_pages,
            size_bytes,
        });
    vm.end_reading();
    vm.judge_rest();
    let (reclaimed, peak) = vm.reclaimed();
    let reclaim = Reclaim {
        limit_pages: config.memory.map(|bytes| bytes / protocol::PAGE_SIZE),
        evicted: reclaimed.evicted,
        written: reclaimed.written,
        discarded_vmos: reclaimed.discarded_vmos,
        discarded_pages: reclaimed.discarded_pages,
        peak_counted_pages: peak,
        peak_sampled_pages: sampler.as_ref().map_or(0, Sampler::largest),
    };
    let report = stats.report(usage.collect(), reclaim, config.measure_memory);
    let end = match vm.end().unwrap_or(End::Interrupted) {
        End::Exception(report) => End::Exception(report + &backtrace(&vm, &config.program)),
        end => end,
    };
    // Core and back-trace read memory whose pages may just be going.
    drop(answering);
    let recorded = recording.map_or(Vec::new(), Recording::finish);
    Ok(Outcome {
        end,
        report,
        recorded,
    })
}

/// Starts to record what is to be written down.
fn record(config: &RunConfig) -> Result<Option<Recording>, Error> {
    let mut consumers: Vec<Box<dyn Consumer>> = Vec::new();
    if let Some(path) = &config.trace {
        let trace = Trace::create(path, config.cpus);
        let trace = trace.map_err(|error| Error::Record(path.clone(), error))?;
        consumers.push(Box::new(trace));
    }
    if let Some(path) = &config.heatmap {
        let map = Heatmap::create(path);
        let map = map.map_err(|error| Error::Record(path.clone(), error))?;
        consumers.push(Box::new(map));
    }
    if consumers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Recording::start(config.cpus, consumers)?))
}

/// The thread that answers faults which come as events. It ends when this is dropped.
#[derive(Debug)]
struct Answering {
    ended: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(vm: &Arc<Vm>) -> std::io::Result<Answering> {
        let ended = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let (vm, until) = (Arc::clone(vm), Arc::clone(&ended));
        let answer = move || {
            // vCPUs that wait for an answer must not wait for ever.
            let what = match catch_unwind(AssertUnwindSafe(|| vm.answer_events(until.as_fd()))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "their thread panicked".into(),
            };
            vm.stop(End::GuestKernel(format!("faults as events: {what}")));
        };
        let thread = thread::Builder::new().name("faults".into()).spawn(answer)?;
        Ok(Answering {
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let written = rustix::io::write(&self.ended, &1u64.to_ne_bytes());
        if let (Ok(_), Some(thread)) = (written, self.thread.take()) {
            // A panic of it has been told.
            let _ = thread.join();
        }
    }
}

/// The calls that led to the crash, as far as the program's image tells.
fn backtrace(vm: &Vm, program: &Program) -> String {
    match program {
        Program::Image { bytes, .. } => vm.backtrace(bytes),
        // A file that cannot be read any more has no names.
        Program::File(path) => {
            std::fs::read(path).map_or(String::new(), |image| vm.backtrace(&image))
        }
    }
}
