//! Names of the objects inside the core: koids with a type.

use protocol::{Koid, ObjectType};

pub use crate::memory::VmoId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
            pub struct $name(pub Koid);
        )*
    };
}

ids! {
    /// One end of a channel.
    ChannelId,
    /// An event.
    EventId,
    /// A bus transaction initiator.
    BtiId,
    /// An IOMMU.
    IommuId,
    /// An exception as a handler holds it.
    ExceptionId,
    /// A job.
    JobId,
    /// A pager.
    PagerId,
    /// A pinned memory token.
    PmtId,
    /// A port.
    PortId,
    /// A process.
    ProcessId,
    /// A resource.
    ResourceId,
    /// A suspend token.
    SuspendId,
    /// A thread.
    ThreadId,
    /// A VMAR.
    VmarId,
}

/// An operation that waits: what a parked system call or page fault is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// Any object, as a handle refers to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectRef {
    /// One end of a channel.
    Channel(ChannelId),
    /// An event.
    Event(EventId),
    /// A bus transaction initiator.
    Bti(BtiId),
    /// An IOMMU.
    Iommu(IommuId),
    /// An exception as a handler holds it.
    Exception(ExceptionId),
    /// A job.
    Job(JobId),
    /// A pager.
    Pager(PagerId),
    /// A pinned memory token.
    Pmt(PmtId),
    /// A port.
    Port(PortId),
    /// A process.
    Process(ProcessId),
    /// A resource.
    Resource(ResourceId),
    /// A suspend token.
    SuspendToken(SuspendId),
    /// A thread.
    Thread(ThreadId),
    /// A VMAR.
    Vmar(VmarId),
    /// A VMO.
    Vmo(VmoId),
}

impl ObjectRef {
    /// The object's id.
    pub fn koid(self) -> Koid {
        match self {
            ObjectRef::Channel(ChannelId(koid))
            | ObjectRef::Event(EventId(koid))
            | ObjectRef::Bti(BtiId(koid))
            | ObjectRef::Iommu(IommuId(koid))
            | ObjectRef::Exception(ExceptionId(koid))
            | ObjectRef::Job(JobId(koid))
            | ObjectRef::Pager(PagerId(koid))
            | ObjectRef::Pmt(PmtId(koid))
            | ObjectRef::Port(PortId(koid))
            | ObjectRef::Process(ProcessId(koid))
            | ObjectRef::Resource(ResourceId(koid))
            | ObjectRef::SuspendToken(SuspendId(koid))
            | ObjectRef::Thread(ThreadId(koid))
            | ObjectRef::Vmar(VmarId(koid))
            | ObjectRef::Vmo(VmoId(koid)) => koid,
        }
    }

    /// The object's type.
    pub fn object_type(self) -> ObjectType {
        match self {
            ObjectRef::Channel(_) => ObjectType::Channel,
            ObjectRef::Event(_) => ObjectType::Event,
            ObjectRef::Bti(_) => ObjectType::Bti,
            ObjectRef::Iommu(_) => ObjectType::Iommu,
            ObjectRef::Exception(_) => ObjectType::Exception,
            ObjectRef::Job(_) => ObjectType::Job,
            ObjectRef::Pager(_) => ObjectType::Pager,
            ObjectRef::Pmt(_) => ObjectType::Pmt,
            ObjectRef::Port(_) => ObjectType::Port,
            ObjectRef::Process(_) => ObjectType::Process,
            ObjectRef::Resource(_) => ObjectType::Resource,
            ObjectRef::SuspendToken(_) => ObjectType::SuspendToken,
            ObjectRef::Thread(_) => ObjectType::Thread,
            ObjectRef::Vmar(_) => ObjectType::Vmar,
            ObjectRef::Vmo(_) => ObjectType::Vmo,
        }
    }
}
