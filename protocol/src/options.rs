//! Option words of the system calls, with Zircon's values.

bitflags::bitflags! {
    /// `zx_vmo_create` and `zx_pager_create_vmo` options.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct VmoOptions: u32 {
        /// The VMO's size can change.
        const RESIZABLE = 1 << 1;
        /// The VMO's pages may be discarded under memory pressure while it is unlocked.
        const DISCARDABLE = 1 << 2;
        /// Writes to clean pages are reported to the pager first (pager VMOs only).
        const TRAP_DIRTY = 1 << 3;
        /// As large as a VMO can be.
        const UNBOUNDED = 1 << 4;
    }

    /// `zx_vmo_create_child` options.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct ChildOptions: u32 {
        /// Neither side sees the other's later writes.
        const SNAPSHOT = 1 << 0;
        /// The child's size can change.
        const RESIZABLE = 1 << 2;
        /// A window on the parent's own pages.
        const SLICE = 1 << 3;
        /// The child sees the parent's writes until it writes itself.
        const SNAPSHOT_AT_LEAST_ON_WRITE = 1 << 4;
        /// The child handle cannot write.
        const NO_WRITE = 1 << 5;
        /// Another name for the whole parent.
        const REFERENCE = 1 << 6;
        /// Snapshot of the pages that the parent has modified.
        const SNAPSHOT_MODIFIED = 1 << 7;
    }

    /// `zx_vm_option_t`: `zx_vmar_map` and `zx_vmar_protect` options. The top byte holds log2 of the alignment.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct VmOptions: u32 {
        /// Readable.
        const PERM_READ = 1 << 0;
        /// Writable.
        const PERM_WRITE = 1 << 1;
        /// Executable.
        const PERM_EXECUTE = 1 << 2;
        /// Hint: place close to other mappings.
        const COMPACT = 1 << 3;
        /// Map at the given offset exactly.
        const SPECIFIC = 1 << 4;
        /// Map at the given offset, replacing what is there.
        const SPECIFIC_OVERWRITE = 1 << 5;
        /// A child VMAR may use SPECIFIC.
        const CAN_MAP_SPECIFIC = 1 << 6;
        /// A child VMAR may map readable.
        const CAN_MAP_READ = 1 << 7;
        /// A child VMAR may map writable.
        const CAN_MAP_WRITE = 1 << 8;
        /// A child VMAR may map executable.
        const CAN_MAP_EXECUTE = 1 << 9;
        /// Map the resident pages at once.
        const MAP_RANGE = 1 << 10;
        /// Refuse resizable VMOs.
        const REQUIRE_NON_RESIZABLE = 1 << 11;
        /// Faults on this mapping are expected.
        const ALLOW_FAULTS = 1 << 12;
        /// The offset is an upper limit for the placement.
        const OFFSET_IS_UPPER_LIMIT = 1 << 13;
        /// Grant READ where execute-only is not to be had.
        const PERM_READ_IF_XOM_UNSUPPORTED = 1 << 14;
        /// Fault on pages beyond the stream size.
        const FAULT_BEYOND_STREAM_SIZE = 1 << 15;
    }

    /// `zx_bti_pin` options.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct BtiOptions: u32 {
        /// The device reads.
        const PERM_READ = 1 << 0;
        /// The device writes.
        const PERM_WRITE = 1 << 1;
        /// The device executes.
        const PERM_EXECUTE = 1 << 2;
        /// One address for each contiguity of the BTI.
        const COMPRESS = 1 << 3;
        /// One address for all.
        const CONTIGUOUS = 1 << 4;
    }

    /// `zx_object_wait_async` options.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct WaitAsyncOptions: u32 {
        /// Fill the packet's timestamp.
        const TIMESTAMP = 1 << 0;
        /// Only a change from clear to set counts.
        const EDGE = 1 << 1;
        /// Fill the packet's timestamp with boot time.
        const BOOT_TIMESTAMP = 1 << 2;
    }
}

/// Most bytes of a channel's message.
pub const CHANNEL_MAX_BYTES: usize = 64 << 10;

/// Most handles of a channel's message.
pub const CHANNEL_MAX_HANDLES: usize = 64;

/// `zx_channel_read`: a message that does not fit is thrown away.
pub const CHANNEL_READ_MAY_DISCARD: u32 = 1;
/// `zx_iommu_create`: the type without hardware behind it.
pub const IOMMU_TYPE_STUB: u32 = 0;

/// Longest IOMMU descriptor in bytes.
pub const IOMMU_MAX_DESC_LEN: u64 = 4096;

/// Largest `n` of `zx_object_wait_many`.
pub const WAIT_MANY_MAX_ITEMS: usize = 64;

/// `zx_port_create`: the port takes interrupts.
pub const PORT_BIND_TO_INTERRUPT: u32 = 1;

/// `zx_object_get_property` / `set_property` numbers.
pub mod property {
    /// The object's name: 32 bytes with a NUL.
    pub const NAME: u32 = 3;
    /// A thread's gs base (u64, write only, current thread).
    pub const REGISTER_GS: u32 = 2;
    /// A thread's fs base (u64, write only, current thread).
    pub const REGISTER_FS: u32 = 4;
    /// What becomes of an exception's thread (u32): one of [`crate::exception::state`].
    pub const EXCEPTION_STATE: u32 = 16;
    /// A VMO's content size in bytes (u64).
    pub const VMO_CONTENT_SIZE: u32 = 17;
}

/// `ZX_CACHE_POLICY_*`: how a VMO's memory is cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum CachePolicy {
    /// As memory is.
    Cached = 0,
    /// Not at all.
    Uncached = 1,
    /// As a device's registers.
    UncachedDevice = 2,
    /// Writes may be put together.
    WriteCombining = 3,
}

impl CachePolicy {
    /// The policy that a number names.
    pub const fn from_number(number: u32) -> Option<CachePolicy> {
        Some(match number {
            0 => CachePolicy::Cached,
            1 => CachePolicy::Uncached,
            2 => CachePolicy::UncachedDevice,
            3 => CachePolicy::WriteCombining,
            _ => return None,
        })
    }
}

/// `zx_vmo_op_range` operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum VmoOp {
    /// Give the range pages of its own.
    Commit = 1,
    /// Take them away.
    Decommit = 2,
    /// Keep a discardable VMO's pages.
    Lock = 3,
    /// They may be discarded again.
    Unlock = 4,
    /// Make instruction fetches see what was written.
    CacheSync = 6,
    /// Forget cached lines.
    CacheInvalidate = 7,
    /// Write cached lines back.
    CacheClean = 8,
    /// Write cached lines back and forget them.
    CacheCleanInvalidate = 9,
    /// Make the range zero.
    Zero = 10,
    /// Lock, unless pages were discarded.
    TryLock = 11,
    /// Hint: pages may go first.
    DontNeed = 12,
    /// Hint: pages should be there and stay.
    AlwaysNeed = 13,
    /// Bring pages in.
    Prefetch = 14,
}

impl VmoOp {
    /// The operation that a number names.
    pub const fn from_number(number: u32) -> Option<VmoOp> {
        Some(match number {
            1 => VmoOp::Commit,
            2 => VmoOp::Decommit,
            3 => VmoOp::Lock,
            4 => VmoOp::Unlock,
            6 => VmoOp::CacheSync,
            7 => VmoOp::CacheInvalidate,
            8 => VmoOp::CacheClean,
            9 => VmoOp::CacheCleanInvalidate,
            10 => VmoOp::Zero,
            11 => VmoOp::TryLock,
            12 => VmoOp::DontNeed,
            13 => VmoOp::AlwaysNeed,
            14 => VmoOp::Prefetch,
            _ => return None,
        })
    }
}

/// `zx_vmar_op_range` operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum VmarOp {
    /// Give the range pages of its own.
    Commit = 1,
    /// Take them away.
    Decommit = 2,
    /// Map the resident pages.
    MapRange = 3,
    /// Make the range zero.
    Zero = 10,
    /// Hint: pages may go first.
    DontNeed = 12,
    /// Hint: pages should be there and stay.
    AlwaysNeed = 13,
    /// Bring pages in.
    Prefetch = 14,
}

impl VmarOp {
    /// The operation that a number names.
    pub const fn from_number(number: u32) -> Option<VmarOp> {
        Some(match number {
            1 => VmarOp::Commit,
            2 => VmarOp::Decommit,
            3 => VmarOp::MapRange,
            10 => VmarOp::Zero,
            12 => VmarOp::DontNeed,
            13 => VmarOp::AlwaysNeed,
            14 => VmarOp::Prefetch,
            _ => return None,
        })
    }

    /// What it does to each VMO.
    pub const fn vmo_op(self) -> Option<VmoOp> {
        Some(match self {
            VmarOp::Commit => VmoOp::Commit,
            VmarOp::Decommit => VmoOp::Decommit,
            VmarOp::MapRange => return None,
            VmarOp::Zero => VmoOp::Zero,
            VmarOp::DontNeed => VmoOp::DontNeed,
            VmarOp::AlwaysNeed => VmoOp::AlwaysNeed,
            VmarOp::Prefetch => VmoOp::Prefetch,
        })
    }
}

/// `zx_pager_op_range` operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PagerOp {
    /// Fail the requests of a range.
    Fail = 1,
    /// A range becomes dirty.
    Dirty = 2,
    /// The pager begins to write a range back.
    WritebackBegin = 3,
    /// The pager has written a range back.
    WritebackEnd = 4,
}

impl PagerOp {
    /// The operation that a number names.
    pub const fn from_number(number: u32) -> Option<PagerOp> {
        Some(match number {
            1 => PagerOp::Fail,
            2 => PagerOp::Dirty,
            3 => PagerOp::WritebackBegin,
            4 => PagerOp::WritebackEnd,
            _ => return None,
        })
    }
}

/// Data of [`PagerOp::WritebackBegin`]: only zeros without pages are written back.
pub const WRITEBACK_RANGE_IS_ZERO: u64 = 1;

/// Option of a `zx_vmo_dirty_range_t`: the range is zeros without pages.
pub const DIRTY_RANGE_IS_ZERO: u64 = 1;

/// `zx_vmo_dirty_range_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct VmoDirtyRange {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// [`DIRTY_RANGE_IS_ZERO`] or 0.
    pub options: u64,
}

/// Bytes of a [`VmoDirtyRange`].
pub const VMO_DIRTY_RANGE_SIZE: u64 = 24;

/// Option of `zx_pager_query_vmo_stats`: forget afterwards.
pub const RESET_VMO_STATS: u32 = 1;

/// `zx_pager_vmo_stats_t.modified`: the VMO was modified.
pub const VMO_STATS_MODIFIED: u32 = 1;

/// `zx_pager_vmo_stats_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PagerVmoStats {
    /// [`VMO_STATS_MODIFIED`] or 0.
    pub modified: u32,
}

/// Bytes of a [`PagerVmoStats`].
pub const VMO_STATS_SIZE: u64 = 4;

const _: () = {
    assert!(
        size_of::<VmoDirtyRange>() as u64 == VMO_DIRTY_RANGE_SIZE,
        "zx_vmo_dirty_range_t is 24 bytes"
    );
    assert!(
        size_of::<PagerVmoStats>() as u64 == VMO_STATS_SIZE,
        "zx_pager_vmo_stats_t is 4 bytes"
    );
};
