//! What to run and how: the input of a VM, as the command line or an embedding program states it.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use protocol::{PolicyAction, PolicyCondition};

pub use crate::debug::GdbServer;
pub use crate::pager::SupplyPolicy;
use crate::pager::{HostPager, Pager};

/// One run of one program.
#[derive(Debug)]
pub struct RunConfig {
    /// The program.
    pub program: Program,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// VMOs handed to the program as named start-up handles.
    pub vmos: Vec<NamedVmo>,
    /// Resources handed to the program, as start-up handles of these kinds' names; no kind twice.
    pub grants: Vec<Grant>,
    /// vCPUs, at least 1.
    pub cpus: u32,
    /// Limit on resident VMO memory in bytes; `None`: the host's memory is the limit.
    pub memory: Option<u64>,
    /// Stop the run after this long.
    pub timeout: Option<Duration>,
    /// How much host pagers supply at a fault.
    pub supply: SupplyPolicy,
    /// How much later every request for a page of `vmos` is answered: latency of a memory far away.
    pub fault_delay: Option<Duration>,
    /// How faults at pages of `vmos` come.
    pub fault_delivery: FaultDelivery,
    /// Policy of the program's job: what is done about a condition, in this order. All else is allowed.
    pub policy: Vec<(PolicyCondition, PolicyAction)>,
    /// Where to write an ELF core of the program if an exception ends it.
    pub core: Option<PathBuf>,
    /// Where gdb can attach. The program does not start before one has.
    pub gdb: Option<GdbServer>,
    /// Where to write a trace of the run, for Perfetto.
    pub trace: Option<PathBuf>,
    /// Where to write a page with pictures of what was there of each VMO. Pages that come ahead cost a fault of the host more when they
    /// are used: that is how it is known.
    pub heatmap: Option<PathBuf>,
    /// A person watches: Ctrl-C ends the run, and a long one shows its progress if standard error is a terminal.
    pub interactive: bool,
    /// Look at the process: when it began, and its memory, at the end and every few milliseconds before. That takes a thread, and a
    /// millisecond at the end. Without it the report has nothing, and zeros, there.
    pub measure_memory: bool,
    /// vCPU n runs on the nth processor that this process may use, as far as there are so many.
    pub pin: bool,
    /// Where the program's `debug_write` goes.
    pub output: Output,
}

impl RunConfig {
    /// One vCPU, no arguments, VMOs, grants, limits or policy; output goes to the standard output, and nobody watches. Use it as
    /// `RunConfig { cpus: 2, ..RunConfig::new(program) }`.
    pub fn new(program: Program) -> Self {
        RunConfig {
            program,
            args: Vec::new(),
            vmos: Vec::new(),
            grants: Vec::new(),
            cpus: 1,
            memory: None,
            timeout: None,
            supply: SupplyPolicy::default(),
            fault_delay: None,
            fault_delivery: FaultDelivery::default(),
            policy: Vec::new(),
            core: None,
            gdb: None,
            trace: None,
            heatmap: None,
            interactive: false,
            measure_memory: false,
            pin: false,
            output: Output::Stdout,
        }
    }
}

/// How the VMM learns of a fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FaultDelivery {
    /// The vCPU leaves the guest.
    #[default]
    Exit,
    /// The vCPU sleeps in the host's kernel, and a thread reads an event, where that is possible: for files and other content that can be
    /// read, if the program cannot write to it. What that thread cannot have at once becomes an exit.
    Event,
}

/// A resource that the program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// `vmex`: it may make VMOs executable.
    Vmex,
    /// `iommu`: it may make IOMMUs, and by way of them pin memory and make contiguous VMOs.
    Iommu,
    /// `mmio`: it may make physical VMOs over a range of guest-physical memory of this many bytes, zero at first.
    Mmio {
        /// Bytes, whole pages.
        size: u64,
    },
}

impl Grant {
    /// The name of its start-up handle.
    pub fn name(self) -> &'static str {
        match self {
            Grant::Vmex => "vmex",
            Grant::Iommu => "iommu",
            Grant::Mmio { .. } => "mmio",
        }
    }
}

/// Takes what a program writes, one call for each `debug_write`.
pub type OutputSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where what a program writes goes.
#[derive(Clone, Default)]
pub enum Output {
    /// To the standard output of this process.
    #[default]
    Stdout,
    /// To the embedding program, on the writing thread's vCPU, which waits meanwhile.
    Sink(OutputSink),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Output::Stdout => "Stdout",
            Output::Sink(_) => "Sink",
        })
    }
}

/// Where a program's ELF image comes from.
#[derive(Debug, Clone)]
pub enum Program {
    /// A file; its pages are read on demand.
    File(PathBuf),
    /// An image in memory (a built-in program).
    Image {
        /// Name shown in reports.
        name: String,
        /// The ELF image.
        bytes: &'static [u8],
    },
}

/// A VMO given to the program under a name.
#[derive(Debug)]
pub struct NamedVmo {
    /// Name of the start-up handle: 1 to 31 bytes, no two alike.
    pub name: String,
    /// What backs it.
    pub source: VmoSource,
}

/// What backs a start-up VMO.
#[derive(Debug)]
pub enum VmoSource {
    /// A host file, demand-paged.
    File {
        /// The file.
        path: PathBuf,
        /// Read-only, or private copy-on-write.
        mode: FileMode,
    },
    /// Zero-filled memory of this many bytes.
    Zero {
        /// Bytes.
        size: u64,
        /// Whether the handle has EXECUTE.
        executable: bool,
    },
    /// Content of the embedding program that can be read at any offset: the VMM reads it as it does files, ahead of sequential readers.
    Content {
        /// The content.
        pager: Arc<dyn HostPager>,
        /// Whether the handle has WRITE (writes stay in the VM).
        writable: bool,
    },
    /// A pager of the embedding program, which answers requests at once or later.
    Pager {
        /// The pager.
        pager: Arc<dyn Pager>,
        /// Bytes of the VMO, rounded up to whole pages.
        size: u64,
        /// Whether the handle has WRITE (writes stay in the VM).
        writable: bool,
    },
}

/// How a file VMO may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMode {
    /// The handle has no WRITE.
    ReadOnly,
    /// Writable; what is written stays in the VM and never reaches the file.
    CopyOnWrite,
}
