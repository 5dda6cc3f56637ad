//! Loads a program: its segments become demand-paged VMOs, its stack an anonymous one, and what it is given stands in the
//! start-up page.
//!
//! ```text
//! USER_BASE ..                segments, each a VMO of its own, at the addresses of the image
//! ..         STACK_TOP        stack
//! STARTUP ..                  start-up pages, read-only
//! ```
//! A segment's VMO is provided by the VMM from the image. What each program needs first - the pages around its entry, those that its
//! other segments begin with, the start-up page, the top of the stack - is brought in before it runs if it is at hand, unless the policy
//! of supply asks for something else; nothing more is read before it is touched. A writable segment's VMO is written in place: it is this
//! process's own, and nothing goes back to the image.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{
    Rights, STARTUP_VERSION, StartupHandle, StartupHeader, Status, startup_handle_name,
};
use zircon::{
    JobPolicy, Kernel, MappedRun, NewProcess, ObjectRef, Pages, ProcessId, ResourceKind, Running,
    VmoId,
};

use super::elf::{self, ElfError, Image, Segment};
use crate::config::{FaultDelivery, FileMode, Grant, NamedVmo, Program, RunConfig, VmoSource};
use crate::hypercall::HostVmo;
use crate::pager::{
    ByteSource, FileError, FilePager, HostPager, ImagePager, SegmentError, SegmentLayout,
    SegmentPager, SupplyPolicy,
};

/// End of the first thread's stack.
const STACK_TOP: u64 = 0x7FFF_FFD0_0000;

/// Bytes of the first thread's stack, unless the image asks for another size.
const STACK_SIZE: u64 = 256 << 10;

/// Address of the start-up pages.
const STARTUP: u64 = 0x7FFF_FFE0_0000;

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The image.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image changed while it was looked at.
    #[error("the program changed while it was loaded: {0}; start it again")]
    Segment(#[from] SegmentError),
    /// Two VMOs of one name, or a name that is none.
    #[error(
        "the VMO name {0:?} is given twice, is empty, or is longer than 31 bytes; give each VMO a short name of its own"
    )]
    Name(String),
    /// The arguments and handles need more room than there is.
    #[error(
        "the program's arguments and VMO names are too long: {0} bytes; a megabyte is the limit"
    )]
    Arguments(usize),
    /// The core refused.
    #[error("cannot set up {what}: {status}")]
    Core {
        /// What was being made.
        what: String,
        /// Why.
        status: Status,
    },
}

/// A loaded program.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub process: ProcessId,
    pub host_vmos: BTreeMap<VmoId, Arc<HostVmo>>,
    /// Pages that it is about to need.
    pub first: Vec<Pages>,
}

/// Makes the process; its first thread is started as soon as the core's work is drained.
pub(crate) fn load(kernel: &mut Kernel, config: &RunConfig) -> Result<Loaded, LoadError> {
    let (name, image, source) = open(&config.program)?;
    let mut policy = JobPolicy::default();
    for (condition, action) in &config.policy {
        policy.fix(*condition, *action);
    }
    let new = kernel
        .create_process(&name, policy)
        .map_err(|status| core("the process", status))?;
    let mut loader = Loader {
        kernel,
        new,
        supply: config.supply,
        delay: None,
        events: false,
        host_vmos: BTreeMap::new(),
        debugged: config.gdb.is_some(),
        first: Vec::new(),
    };
    for segment in &image.segments {
        loader.segment(segment, image.entry, &source)?;
    }
    loader.stack(image.stack_size.unwrap_or(STACK_SIZE))?;
    let mut handles = vec![
        handle("vmar", new.vmar_handle, protocol::ObjectType::Vmar)?,
        handle("process", new.process_handle, protocol::ObjectType::Process)?,
        handle("thread", new.thread_handle, protocol::ObjectType::Thread)?,
        handle("job", new.job_handle, protocol::ObjectType::Job)?,
    ];
    for grant in &config.grants {
        handles.push(loader.grant(*grant)?);
    }
    // For what the program is given, not for the program.
    loader.delay = config.fault_delay;
    loader.events = config.fault_delivery == FaultDelivery::Event;
    for vmo in &config.vmos {
        let known = handles
            .iter()
            .any(|other| Some(other.name) == startup_handle_name(&vmo.name));
        if known || vmo.name.is_empty() {
            return Err(LoadError::Name(vmo.name.clone()));
        }
        handles.push(loader.named(vmo)?);
    }
    (loader.delay, loader.events) = (None, false);
    let page = startup_page(&name, &config.args, &handles)?;
    loader.startup(page)?;
    let Loader {
        host_vmos, first, ..
    } = loader;
    if config.gdb.is_some() {
        // Held at its first instruction.
        kernel.debug(0, new.process, Running::Nobody);
    }
    kernel
        .start_thread(new.thread, image.entry, STACK_TOP, (STARTUP, 0))
        .map_err(|status| core("the first thread", status))?;
    Ok(Loaded {
        process: new.process,
        host_vmos,
        first,
    })
}

fn core(what: &str, status: Status) -> LoadError {
    LoadError::Core {
        what: what.into(),
        status,
    }
}

/// The image's headers, and where its bytes come from.
fn open(program: &Program) -> Result<(String, Image, Arc<dyn ByteSource>), LoadError> {
    match program {
        Program::File(path) => {
            let (_, image) = elf::open(path)?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            let name = name.to_string_lossy().into_owned();
            Ok((name, image, Arc::new(FilePager::open(path)?)))
        }
        Program::Image { name, bytes } => {
            let image = elf::parse(name, *bytes)?;
            Ok((
                name.clone(),
                image,
                Arc::new(ImagePager::new("built-in program", *bytes)),
            ))
        }
    }
}

/// Pages of a program that come at a fault, and before it runs: code is not executed in sequence, and what lies together is used together.
const TOGETHER: u64 = 16;

struct Loader<'a> {
    kernel: &'a mut Kernel,
    new: NewProcess,
    supply: SupplyPolicy,
    delay: Option<Duration>,
    events: bool,
    host_vmos: BTreeMap<VmoId, Arc<HostVmo>>,
    /// A debugger may write to the program's text.
    debugged: bool,
    /// See [`Loaded::first`].
    first: Vec<Pages>,
}

impl Loader<'_> {
    /// A resource, and the program's handle to it.
    fn grant(&mut self, grant: Grant) -> Result<StartupHandle, LoadError> {
        let name = grant.name();
        let refused = |status| core(&format!("the resource {name:?}"), status);
        let resource = match grant {
            Grant::Vmex => self.kernel.add_resource(name, ResourceKind::Vmex),
            Grant::Iommu => self.kernel.add_resource(name, ResourceKind::Iommu),
            Grant::Mmio { size } => self.kernel.add_region(name, size).map_err(refused)?,
        };
        let object = ObjectRef::Resource(resource);
        let (process, rights) = (self.new.process, Rights::DEFAULT_RESOURCE);
        let raw = self
            .kernel
            .give_handle(process, object, rights)
            .map_err(refused)?;
        handle(name, raw, protocol::ObjectType::Resource)
    }

    fn host_vmo(
        &mut self,
        name: &str,
        pager: Arc<dyn HostPager>,
        writable: bool,
    ) -> Result<VmoId, LoadError> {
        let (size, vmo) = (pager.size(), HostVmo::new(pager, self.supply));
        self.provide(name, size, vmo, writable)
    }

    fn provide(
        &mut self,
        name: &str,
        size: u64,
        vmo: HostVmo,
        writable: bool,
    ) -> Result<VmoId, LoadError> {
        let id = self
            .kernel
            .add_host_vmo(name, size, writable)
            .map_err(|status| core(name, status))?;
        let vmo = vmo.delayed(self.delay).events(self.events && !writable);
        self.host_vmos.insert(id, Arc::new(vmo));
        Ok(id)
    }

    /// Whether what a program needs first is there before it runs; under another policy a program begins with nothing (decision 0022).
    fn brings_what_is_first(&self) -> bool {
        self.supply == SupplyPolicy::Adaptive
    }

    /// Maps the whole of a VMO.
    fn map(
        &mut self,
        vmo: VmoId,
        address: u64,
        write: bool,
        execute: bool,
    ) -> Result<(), LoadError> {
        let length = self.kernel.page_count(vmo) * protocol::PAGE_SIZE;
        let run = MappedRun {
            address,
            length,
            vmo,
            page: 0,
            write,
            execute,
        };
        let mapped = self.kernel.map_at(self.new.process, run);
        mapped.map_err(|status| core(&format!("the mapping at {address:#x}"), status))
    }

    fn segment(
        &mut self,
        segment: &Segment,
        entry: u64,
        source: &Arc<dyn ByteSource>,
    ) -> Result<(), LoadError> {
        let layout = SegmentLayout {
            lead: segment.va % protocol::PAGE_SIZE,
            file_offset: segment.file_offset,
            file_size: segment.file_size,
            memory_size: segment.mem_size,
        };
        let pager = SegmentPager::new(Arc::clone(source), layout)?;
        let name = match (segment.write, segment.execute) {
            (true, _) => "program data",
            (false, true) => "program text",
            (false, false) => "program rodata",
        };
        let writable = segment.write || segment.execute && self.debugged;
        let supply = match self.supply {
            SupplyPolicy::Adaptive => SupplyPolicy::Fixed(TOGETHER),
            chosen => chosen,
        };
        let (size, vmo) = (pager.size(), HostVmo::new(Arc::new(pager), supply));
        let vmo = self.provide(name, size, vmo, writable)?;
        let start = segment.pages().start;
        if self.brings_what_is_first() {
            // Where the program begins, or where the segment does.
            let into = entry.saturating_sub(start) / protocol::PAGE_SIZE;
            let there = self.kernel.page_count(vmo);
            let first = if into < there {
                into - into % TOGETHER
            } else {
                0
            };
            let count = TOGETHER.min(there - first);
            self.first.push(Pages { vmo, first, count });
        }
        self.map(vmo, start, segment.write, segment.execute)
    }

    fn stack(&mut self, size: u64) -> Result<(), LoadError> {
        let added = self.kernel.add_anonymous_vmo("stack", size);
        let vmo = added.map_err(|status| core("the stack", status))?;
        let pages = self.kernel.page_count(vmo);
        let length = pages * protocol::PAGE_SIZE;
        self.map(vmo, STACK_TOP.saturating_sub(length), true, false)?;
        if let Some(first) = pages.checked_sub(1)
            && self.brings_what_is_first()
        {
            let count = 1;
            self.kernel.commit(0, Pages { vmo, first, count });
        }
        Ok(())
    }

    fn startup(&mut self, page: Vec<u8>) -> Result<(), LoadError> {
        let vmo = self.host_vmo(
            "start-up",
            Arc::new(ImagePager::new("start-up", page)),
            false,
        )?;
        if self.brings_what_is_first() {
            let (first, count) = (0, 1);
            self.first.push(Pages { vmo, first, count });
        }
        self.map(vmo, STARTUP, false, false)
    }

    fn named(&mut self, named: &NamedVmo) -> Result<StartupHandle, LoadError> {
        let mut rights = Rights::DEFAULT_VMO;
        let name = &named.name;
        let vmo = match &named.source {
            VmoSource::File { path, mode } => {
                let writable = *mode == FileMode::CopyOnWrite;
                rights.set(Rights::WRITE, writable);
                self.host_vmo(name, Arc::new(FilePager::open(path)?), writable)?
            }
            VmoSource::Content { pager, writable } => {
                rights.set(Rights::WRITE, *writable);
                self.host_vmo(name, Arc::clone(pager), *writable)?
            }
            VmoSource::Pager {
                pager,
                size,
                writable,
            } => {
                rights.set(Rights::WRITE, *writable);
                let vmo = HostVmo::answered(Arc::clone(pager), *size);
                self.provide(name, *size, vmo, *writable)?
            }
            VmoSource::Zero { size, executable } => {
                rights.set(Rights::EXECUTE, *executable);
                let added = self.kernel.add_anonymous_vmo(name, *size);
                added.map_err(|status| core(name, status))?
            }
        };
        let given = self
            .kernel
            .give_handle(self.new.process, ObjectRef::Vmo(vmo), rights);
        let raw = given.map_err(|status| core(name, status))?;
        handle(name, raw, protocol::ObjectType::Vmo)
    }
}

fn handle(
    name: &str,
    handle: protocol::RawHandle,
    object_type: protocol::ObjectType,
) -> Result<StartupHandle, LoadError> {
    let padded = startup_handle_name(name).ok_or_else(|| LoadError::Name(name.into()))?;
    Ok(StartupHandle {
        name: padded,
        handle,
        object_type: object_type as u32,
    })
}

/// The bytes of the start-up pages.
fn startup_page(
    program: &str,
    args: &[String],
    handles: &[StartupHandle],
) -> Result<Vec<u8>, LoadError> {
    let handles_offset = size_of::<StartupHeader>();
    let args_offset = handles_offset + size_of_val(handles);
    let strings: Vec<&str> = std::iter::once(program)
        .chain(args.iter().map(String::as_str))
        .collect();
    let size = args_offset + strings.iter().map(|string| string.len() + 1).sum::<usize>();
    if size > 1 << 20 {
        return Err(LoadError::Arguments(size));
    }
    let words = [
        STARTUP_VERSION,
        size as u32,
        handles.len() as u32,
        handles_offset as u32,
        strings.len() as u32,
        args_offset as u32,
    ];
    let mut page: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for handle in handles {
        page.extend(handle.name);
        page.extend(handle.handle.to_le_bytes());
        page.extend(handle.object_type.to_le_bytes());
    }
    for string in strings {
        // A NUL inside an argument would end it: it cannot come from a command line.
        page.extend(string.bytes().filter(|&byte| byte != 0));
        page.push(0);
    }
    Ok(page)
}
