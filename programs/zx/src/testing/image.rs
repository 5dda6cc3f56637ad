//! The program's own image, copied at its start, and processes made of it.

use core::array;

use protocol::maps::{InfoMaps, MAPS_TYPE_MAPPING};
use protocol::options::{ChildOptions, VmOptions};
use protocol::{RawHandle, Status};

use crate::{
    AsHandleRef, Channel, Handle, HandleBased, Job, Process, Resource, Rights, Task, Unowned, Vmar,
    Vmo, process_self, startup, sys,
};

/// Most nodes of the program's address space that are looked at: segments, stack and start-up pages are a handful.
const NODES: usize = 24;

/// Most start-up handles: a message carries no more.
pub(super) const HANDLES: usize = protocol::options::CHANNEL_MAX_HANDLES;

/// A mapping that every process of the program has.
#[derive(Debug)]
struct Part {
    base: u64,
    size: u64,
    permissions: VmOptions,
    /// What it holds at the start; a stack holds nothing.
    content: Option<Vmo>,
}

/// The program as it began.
#[derive(Debug)]
pub(super) struct Image {
    parts: [Option<Part>; NODES],
    stack_end: u64,
}

unsafe extern "C" {
    /// Where processes of tests begin: see [`super::child`].
    #[cfg(target_os = "none")]
    fn zx_test_process();
}

/// Where processes of tests begin.
fn entry() -> usize {
    #[cfg(target_os = "none")]
    return zx_test_process as *const () as usize;
    #[cfg(not(target_os = "none"))]
    0
}

impl Image {
    /// Copies what the VMM has mapped into this process. Allocates nothing: the heap's own state is part of the copy.
    pub fn of_this_program() -> Result<Image, Status> {
        let mut nodes = [InfoMaps::default(); NODES];
        let nodes = process_self().info_maps(&mut nodes)?;
        let mut stack_end = 0;
        let mut parts = array::from_fn(|_| None);
        for (part, node) in parts.iter_mut().zip(nodes) {
            *part = Part::of(node)?;
            if name(node) == b"stack" {
                stack_end = node.base + node.size;
            }
        }
        Ok(Image { parts, stack_end })
    }

    /// A process of this program in `job`, started with a channel that holds `message` and its start-up handles.
    pub fn start(&self, job: &Job, name: &str, message: &[u8]) -> Result<Started, Status> {
        let (process, vmar) = job.create_child_process(name)?;
        let root = vmar.info()?.base;
        for part in self.parts.iter().flatten() {
            part.map(&vmar, root)?;
        }
        let thread = process.create_thread("main")?;
        let exceptions = process.create_exception_channel()?;
        let (near, far) = Channel::create()?;
        let mut handles = [0; HANDLES];
        let own = |name: &str| match name {
            "vmar" => Some(vmar.raw_handle()),
            "process" => Some(process.raw_handle()),
            "thread" => Some(thread.raw_handle()),
            "job" => Some(job.raw_handle()),
            _ => None,
        };
        let count = startup_handles(own, &mut handles)?;
        near.write_raw(message, handles.get(..count).unwrap_or_default())?;
        let page = startup().map_or(0, |startup| startup.bytes().as_ptr() as usize);
        // SAFETY: the process has this program's code at the same addresses, and a stack of its own.
        unsafe { process.start(&thread, entry(), self.stack_end as usize, far.into(), page)? };
        Ok(Started {
            process,
            channel: near,
            exceptions,
        })
    }
}

/// A process of a test.
#[derive(Debug)]
pub(super) struct Started {
    pub process: Process,
    /// What the test announces comes here.
    pub channel: Channel,
    pub exceptions: Channel,
}

/// A mapping's name without the NULs that fill it.
fn name(node: &InfoMaps) -> &[u8] {
    node.name
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default()
}

impl Part {
    /// The part that a node is: a segment, the stack or the start-up pages, by the names that the VMM gives.
    fn of(node: &InfoMaps) -> Result<Option<Part>, Status> {
        let name = name(node);
        let segment = name.starts_with(b"program ") || name == b"start-up";
        if node.kind != MAPS_TYPE_MAPPING || !(segment || name == b"stack") {
            return Ok(None);
        }
        let mut permissions = VmOptions::from_bits_truncate(node.mapping.mmu_flags);
        if name == b"start-up" {
            // The process writes its own handles there.
            permissions |= VmOptions::PERM_WRITE;
        }
        Ok(Some(Part {
            base: node.base,
            size: node.size,
            permissions,
            content: if segment {
                Some(copy(node, permissions)?)
            } else {
                None
            },
        }))
    }

    /// Maps it into another process: shared if nobody writes to it, else as a snapshot.
    fn map(&self, vmar: &Vmar, root: u64) -> Result<(), Status> {
        let writable = self.permissions.contains(VmOptions::PERM_WRITE);
        let own;
        let vmo = match &self.content {
            Some(content) if !writable => content,
            Some(content) => {
                own = content.create_child(ChildOptions::SNAPSHOT, 0, self.size)?;
                &own
            }
            None => {
                own = Vmo::create(self.size)?;
                &own
            }
        };
        let options = self.permissions | VmOptions::SPECIFIC;
        // SAFETY: the address space is another process's.
        unsafe { vmar.map(self.base - root, vmo, 0, self.size, options)? };
        Ok(())
    }
}

/// A VMO with what this program has in a mapping.
fn copy(node: &InfoMaps, permissions: VmOptions) -> Result<Vmo, Status> {
    let vmo = Vmo::create(node.size)?;
    // SAFETY: the call only reads the mapping.
    unsafe { sys::vmo_write(vmo.raw_handle(), node.base, 0, node.size).ok()? };
    if permissions.contains(VmOptions::PERM_EXECUTE) {
        // Without a resource the job's policy decides.
        return vmo.replace_as_executable(&Unowned::<Resource>::from_raw(0));
    }
    Ok(vmo)
}

/// Handles for another process, in the order of the start-up page: its own, or else duplicates of this program's. Their number.
fn startup_handles(
    own: impl Fn(&str) -> Option<RawHandle>,
    handles: &mut [RawHandle; HANDLES],
) -> Result<usize, Status> {
    let mut count = 0;
    for (name, raw) in startup().iter().flat_map(|startup| startup.handles()) {
        let place = handles.get_mut(count).ok_or(Status::OUT_OF_RANGE)?;
        let handle = Unowned::<Handle>::from_raw(own(name).unwrap_or(raw));
        *place = handle.duplicate_handle(Rights::SAME_RIGHTS)?.into_raw();
        count += 1;
    }
    Ok(count)
}
