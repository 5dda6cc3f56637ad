//! Handles, koids and object types.

/// `zx_handle_t`: 0 is invalid, a valid value has its two lowest bits set.
pub type RawHandle = u32;

/// `zx_koid_t`: a kernel object's id, never re-used; 0 is invalid, the first real one is 1024.
pub type Koid = u64;

/// `zx_wait_item_t`: one object that `zx_object_wait_many` waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct WaitItem {
    /// The object.
    pub handle: RawHandle,
    /// The signals to wait for.
    pub waitfor: u32,
    /// Those that were asserted when the wait ended.
    pub pending: u32,
}

const _: () = assert!(
    size_of::<WaitItem>() == 12,
    "items stand in an array without gaps"
);

/// `zx_obj_type_t`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
#[non_exhaustive]
pub enum ObjectType {
    /// No object.
    None = 0,
    /// Process.
    Process = 1,
    /// Thread.
    Thread = 2,
    /// Virtual memory object.
    Vmo = 3,
    /// Channel.
    Channel = 4,
    /// Event.
    Event = 5,
    /// Port.
    Port = 6,
    /// Resource.
    Resource = 15,
    /// Job.
    Job = 17,
    /// Virtual memory address region.
    Vmar = 18,
    /// IOMMU.
    Iommu = 23,
    /// Bus transaction initiator.
    Bti = 24,
    /// Pinned memory token.
    Pmt = 26,
    /// Suspend token.
    SuspendToken = 27,
    /// Pager.
    Pager = 28,
    /// Exception.
    Exception = 29,
}

impl ObjectType {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectType::None => "none",
            ObjectType::Process => "process",
            ObjectType::Thread => "thread",
            ObjectType::Vmo => "vmo",
            ObjectType::Channel => "channel",
            ObjectType::Event => "event",
            ObjectType::Port => "port",
            ObjectType::Resource => "resource",
            ObjectType::Job => "job",
            ObjectType::Vmar => "vmar",
            ObjectType::Iommu => "iommu",
            ObjectType::Bti => "bti",
            ObjectType::Pmt => "pmt",
            ObjectType::SuspendToken => "suspend token",
            ObjectType::Pager => "pager",
            ObjectType::Exception => "exception",
        }
    }
}
