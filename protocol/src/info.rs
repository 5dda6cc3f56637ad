//! `zx_object_get_info`: topics and records.

use crate::regs::put_words;

/// Topic: is the handle valid (no record).
pub const TOPIC_HANDLE_VALID: u32 = 1;
/// Topic: [`InfoHandleBasic`].
pub const TOPIC_HANDLE_BASIC: u32 = 2;
/// Topic: [`InfoResource`].
pub const TOPIC_RESOURCE: u32 = 18;
/// Topic: [`InfoBti`].
pub const TOPIC_BTI: u32 = 20;
/// Topic: ids of a job's child jobs, a u64 each.
pub const TOPIC_JOB_CHILDREN: u32 = 8;
/// Topic: ids of a job's processes, a u64 each.
pub const TOPIC_JOB_PROCESSES: u32 = 9;
/// Topic: how many handles to the object there are, a u32.
pub const TOPIC_HANDLE_COUNT: u32 = 19;
/// Topic: [`InfoJob`].
pub const TOPIC_JOB: u32 = 24;
/// Topic: [`InfoVmo`], first 104 bytes.
pub const TOPIC_VMO_V1: u32 = 0x17;
/// Topic: [`InfoVmo`], first 120 bytes.
pub const TOPIC_VMO_V2: u32 = 0x1000_0017;
/// Topic: [`InfoVmo`], first 128 bytes.
pub const TOPIC_VMO_V3: u32 = 0x2000_0017;
/// Topic: [`InfoVmo`], whole.
pub const TOPIC_VMO: u32 = 0x3000_0017;

/// Topic: [`InfoProcess`], first version: [`InfoProcess::to_bytes_v1`].
pub const TOPIC_PROCESS_V1: u32 = 3;
/// Topic: [`InfoProcess`].
pub const TOPIC_PROCESS: u32 = 0x1000_0003;
/// Topic: [`InfoThread`].
pub const TOPIC_THREAD: u32 = 10;
/// Topic: [`crate::exception::ExceptionReport`], first 32 bytes.
pub const TOPIC_THREAD_EXCEPTION_REPORT_V1: u32 = 11;
/// Topic: [`crate::exception::ExceptionReport`].
pub const TOPIC_THREAD_EXCEPTION_REPORT: u32 = 0x1000_000B;

/// `zx_info_handle_basic_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoHandleBasic {
    /// Id of the object.
    pub koid: u64,
    /// Rights of the handle.
    pub rights: u32,
    /// `zx_obj_type_t`.
    pub object_type: u32,
    /// Id of the related object (a child's parent), or 0.
    pub related_koid: u64,
    /// Zero.
    pub reserved: u32,
    /// Zero.
    pub padding: u32,
}

const _: () = assert!(
    size_of::<InfoHandleBasic>() == 32,
    "zx_info_handle_basic_t is 32 bytes"
);

/// `zx_info_job_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoJob {
    /// The code it was killed with, once it is terminated.
    pub return_code: i64,
    /// 1 if it is terminated.
    pub exited: u8,
    /// 1 if it is killed when memory runs out (0).
    pub kill_on_oom: u8,
    /// 1 if a debugger is attached (0).
    pub debugger_attached: u8,
    /// Zero.
    pub padding: [u8; 5],
}

const _: () = assert!(size_of::<InfoJob>() == 16, "zx_info_job_t is 16 bytes");

impl InfoJob {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        let words = [
            self.return_code.to_le_bytes(),
            [self.exited, 0, 0, 0, 0, 0, 0, 0],
        ];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word);
        }
        out
    }
}

bitflags::bitflags! {
    /// `zx_info_vmo_t.flags`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct VmoInfoFlags: u32 {
        /// Backed by pages (clear: physical).
        const TYPE_PAGED = 1 << 0;
        /// Resizable.
        const RESIZABLE = 1 << 1;
        /// A copy-on-write clone.
        const IS_COW_CLONE = 1 << 2;
        /// Reported through a handle.
        const VIA_HANDLE = 1 << 3;
        /// Reported through a mapping.
        const VIA_MAPPING = 1 << 4;
        /// Owned by a pager.
        const PAGER_BACKED = 1 << 5;
        /// Contiguous.
        const CONTIGUOUS = 1 << 6;
        /// Discardable.
        const DISCARDABLE = 1 << 7;
        /// Immutable.
        const IMMUTABLE = 1 << 8;
    }
}

/// `zx_info_vmo_t`, the current version: 176 bytes, of which older topics take a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoVmo {
    /// Id of the VMO.
    pub koid: u64,
    /// Its name.
    pub name: [u8; 32],
    /// Size in bytes, page-rounded.
    pub size_bytes: u64,
    /// Id of the parent, or 0.
    pub parent_koid: u64,
    /// Children.
    pub num_children: u64,
    /// Mappings.
    pub num_mappings: u64,
    /// Processes that map it.
    pub share_count: u64,
    /// [`VmoInfoFlags`].
    pub flags: u32,
    /// Zero.
    pub padding1: u32,
    /// Bytes of committed pages attributed to this VMO.
    pub committed_bytes: u64,
    /// Rights of the handle.
    pub handle_rights: u32,
    /// Cache policy.
    pub cache_policy: u32,
    /// Bytes of metadata.
    pub metadata_bytes: u64,
    /// Times that reclamation changed what is committed.
    pub committed_change_events: u64,
    /// Committed plus compressed bytes (equal to committed here).
    pub populated_bytes: u64,
    /// Committed bytes not shared with others.
    pub committed_private_bytes: u64,
    /// Populated bytes not shared with others.
    pub populated_private_bytes: u64,
    /// Committed bytes, each divided by its sharers.
    pub committed_scaled_bytes: u64,
    /// Populated bytes, each divided by its sharers.
    pub populated_scaled_bytes: u64,
    /// Fraction of a byte left over in `committed_scaled_bytes`.
    pub committed_fractional_scaled_bytes: u64,
    /// Fraction of a byte left over in `populated_scaled_bytes`.
    pub populated_fractional_scaled_bytes: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<InfoVmo>() == 176, "zx_info_vmo_t is 176 bytes");
    assert!(offset_of!(InfoVmo, flags) == 80, "flags at 80");
    assert!(
        offset_of!(InfoVmo, metadata_bytes) == 104,
        "version 1 ends at 104"
    );
    assert!(
        offset_of!(InfoVmo, populated_bytes) == 120,
        "version 2 ends at 120"
    );
    assert!(
        offset_of!(InfoVmo, committed_private_bytes) == 128,
        "version 3 ends at 128"
    );
};

impl InfoVmo {
    /// The whole record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 176] {
        let mut out = [0; 176];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(slot) = out.get_mut(at..at + bytes.len()) {
                slot.copy_from_slice(bytes);
            }
            at += bytes.len();
        };
        put(&self.koid.to_le_bytes());
        put(&self.name);
        for word in [
            self.size_bytes,
            self.parent_koid,
            self.num_children,
            self.num_mappings,
            self.share_count,
            self.flags as u64,
            self.committed_bytes,
            (self.cache_policy as u64) << 32 | self.handle_rights as u64,
            self.metadata_bytes,
            self.committed_change_events,
            self.populated_bytes,
            self.committed_private_bytes,
            self.populated_private_bytes,
            self.committed_scaled_bytes,
            self.populated_scaled_bytes,
            self.committed_fractional_scaled_bytes,
            self.populated_fractional_scaled_bytes,
        ] {
            put(&word.to_le_bytes());
        }
        out
    }
}

impl InfoHandleBasic {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 32] {
        let words = [
            self.koid,
            (self.object_type as u64) << 32 | self.rights as u64,
            self.related_koid,
            0,
        ];
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// `zx_vmo_lock_state_t`, which LOCK of `zx_vmo_op_range` fills in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct VmoLockState {
    /// First byte that is locked.
    pub offset: u64,
    /// Bytes that are locked.
    pub size: u64,
    /// First byte that was discarded.
    pub discarded_offset: u64,
    /// Bytes that were discarded.
    pub discarded_size: u64,
}

const _: () = assert!(
    size_of::<VmoLockState>() == 32,
    "zx_vmo_lock_state_t is 32 bytes"
);

impl VmoLockState {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 32] {
        let words = [
            self.offset,
            self.size,
            self.discarded_offset,
            self.discarded_size,
        ];
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// `zx_info_resource_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoResource {
    /// What it permits: [`InfoResource::MMIO`] or [`InfoResource::SYSTEM`].
    pub kind: u32,
    /// Zero.
    pub flags: u32,
    /// First of what it permits: an address, or a number of the system resource.
    pub base: u64,
    /// How many from there on.
    pub size: u64,
    /// Its name.
    pub name: [u8; 32],
}

impl InfoResource {
    /// Kind: a range of physical memory.
    pub const MMIO: u32 = 0;
    /// Kind: parts of the system resource.
    pub const SYSTEM: u32 = 5;
    /// The part of the system resource for executable VMOs.
    pub const SYSTEM_VMEX: u64 = 1;
    /// The part of the system resource for IOMMUs.
    pub const SYSTEM_IOMMU: u64 = 8;

    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut out = [0; 56];
        let (head, name) = out.split_at_mut(24);
        let words = [
            (self.flags as u64) << 32 | self.kind as u64,
            self.base,
            self.size,
        ];
        for (chunk, word) in head.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        name.copy_from_slice(&self.name);
        out
    }
}

/// `zx_info_bti_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoBti {
    /// Bytes that are contiguous at least in device addresses.
    pub minimum_contiguity: u64,
    /// Bytes of device address space.
    pub aspace_size: u64,
    /// Pinned memory objects.
    pub pmo_count: u64,
    /// Those of them in quarantine.
    pub quarantine_count: u64,
}

impl InfoBti {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 32] {
        let words = [
            self.minimum_contiguity,
            self.aspace_size,
            self.pmo_count,
            self.quarantine_count,
        ];
        let mut out = [0; 32];
        for (chunk, word) in out.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

const _: () = {
    assert!(
        size_of::<InfoResource>() == 56,
        "zx_info_resource_t is 56 bytes"
    );
    assert!(size_of::<InfoBti>() == 32, "zx_info_bti_t is 32 bytes");
};

/// States of a thread: `zx_thread_state_t`.
pub mod thread_state {
    /// It has not started.
    pub const NEW: u32 = 0;
    /// It runs, or could.
    pub const RUNNING: u32 = 1;
    /// It is suspended.
    pub const SUSPENDED: u32 = 2;
    /// It has ended.
    pub const DEAD: u32 = 5;
    /// It waits for the handler of its exception.
    pub const BLOCKED_EXCEPTION: u32 = 0x103;
    /// It sleeps.
    pub const BLOCKED_SLEEPING: u32 = 0x203;
    /// It waits on a futex.
    pub const BLOCKED_FUTEX: u32 = 0x303;
    /// It waits for a port's packet.
    pub const BLOCKED_PORT: u32 = 0x403;
    /// It waits in `zx_object_wait_one`.
    pub const BLOCKED_WAIT_ONE: u32 = 0x603;
    /// It waits in `zx_object_wait_many`.
    pub const BLOCKED_WAIT_MANY: u32 = 0x703;
    /// It waits for a pager.
    pub const BLOCKED_PAGER: u32 = 0x903;
}

/// `zx_info_thread_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoThread {
    /// One of [`thread_state`].
    pub state: u32,
    /// One of [`crate::exception::channel_type`].
    pub wait_exception_channel_type: u32,
    /// Processors that it may run on; zero: not told.
    pub cpu_affinity_mask: [u64; 8],
}

/// `zx_info_process_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct InfoProcess {
    /// Its return code, once it has ended.
    pub return_code: i64,
    /// When it was started, in nanoseconds.
    pub start_time: i64,
    /// [`InfoProcess::STARTED`], [`InfoProcess::EXITED`].
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

const _: () = {
    assert!(
        size_of::<InfoThread>() == 72,
        "zx_info_thread_t is 72 bytes"
    );
    assert!(
        size_of::<InfoProcess>() == 24,
        "zx_info_process_t is 24 bytes"
    );
};

impl InfoThread {
    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 72] {
        let first = (self.wait_exception_channel_type as u64) << 32 | self.state as u64;
        let [a, b, c, d, e, f, g, h] = self.cpu_affinity_mask;
        let mut out = [0; 72];
        put_words(&mut out, &[first, a, b, c, d, e, f, g, h]);
        out
    }
}

impl InfoProcess {
    /// It was started.
    pub const STARTED: u32 = 1;
    /// It has ended.
    pub const EXITED: u32 = 2;

    /// The record as it stands in user memory.
    pub fn to_bytes(&self) -> [u8; 24] {
        let words = [
            self.return_code as u64,
            self.start_time as u64,
            self.flags.into(),
        ];
        let mut out = [0; 24];
        put_words(&mut out, &words);
        out
    }

    /// The first version's record: the code, then a byte each for started, exited, debugger attached.
    pub fn to_bytes_v1(&self) -> [u8; 16] {
        let flag = |bit| u64::from(self.flags & bit != 0);
        let flags = flag(Self::STARTED) | flag(Self::EXITED) << 8;
        let mut out = [0; 16];
        put_words(&mut out, &[self.return_code as u64, flags]);
        out
    }
}
