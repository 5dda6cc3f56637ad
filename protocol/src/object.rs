//! Handles, koids and object types.

/// `zx_handle_t`: 0 is invalid, a valid value has its two lowest bits set.
pub type RawHandle = u32;

/// `zx_koid_t`: a kernel object's id, never re-used; 0 is invalid, the first real one is 1024.
pub type Koid = u64;

/// `zx_obj_type_t`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
    /// Event.
    Event = 5,
    /// Port.
    Port = 6,
    /// Job.
    Job = 17,
    /// Virtual memory address region.
    Vmar = 18,
    /// Pager.
    Pager = 28,
}

impl ObjectType {
    /// The word used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ObjectType::None => "none",
            ObjectType::Process => "process",
            ObjectType::Thread => "thread",
            ObjectType::Vmo => "vmo",
            ObjectType::Event => "event",
            ObjectType::Port => "port",
            ObjectType::Job => "job",
            ObjectType::Vmar => "vmar",
            ObjectType::Pager => "pager",
        }
    }
}
