//! `zx_rights_t`: what a handle permits.

bitflags::bitflags! {
    /// Rights of a handle, with Zircon's bit numbers.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Rights: u32 {
        /// May be duplicated.
        const DUPLICATE = 1 << 0;
        /// May be moved to another process.
        const TRANSFER = 1 << 1;
        /// May be read or mapped readable.
        const READ = 1 << 2;
        /// May be written or mapped writable.
        const WRITE = 1 << 3;
        /// May be mapped executable.
        const EXECUTE = 1 << 4;
        /// May be mapped.
        const MAP = 1 << 5;
        /// Properties may be read.
        const GET_PROPERTY = 1 << 6;
        /// Properties may be set.
        const SET_PROPERTY = 1 << 7;
        /// Children may be enumerated.
        const ENUMERATE = 1 << 8;
        /// May be destroyed.
        const DESTROY = 1 << 9;
        /// Policy may be set.
        const SET_POLICY = 1 << 10;
        /// Policy may be read.
        const GET_POLICY = 1 << 11;
        /// Signals may be raised and cleared.
        const SIGNAL = 1 << 12;
        /// Signals of the peer may be raised and cleared.
        const SIGNAL_PEER = 1 << 13;
        /// May be waited on.
        const WAIT = 1 << 14;
        /// May be inspected.
        const INSPECT = 1 << 15;
        /// May manage a job.
        const MANAGE_JOB = 1 << 16;
        /// May manage a process.
        const MANAGE_PROCESS = 1 << 17;
        /// May manage a thread.
        const MANAGE_THREAD = 1 << 18;
        /// A profile may be applied.
        const APPLY_PROFILE = 1 << 19;
        /// May manage a socket.
        const MANAGE_SOCKET = 1 << 20;
        /// Child VMARs may be operated on.
        const OP_CHILDREN = 1 << 21;
        /// A VMO may be resized.
        const RESIZE = 1 << 22;
        /// VMOs may be attached to or detached from a pager.
        const ATTACH_VMO = 1 << 23;
        /// VMOs of a pager may be managed.
        const MANAGE_VMO = 1 << 24;
        /// Keep the rights of the source handle (duplicate, replace).
        const SAME_RIGHTS = 1 << 31;

        /// DUPLICATE, TRANSFER, WAIT and INSPECT.
        const BASIC = 0xC003;
        /// What `zx_port_create` grants.
        const DEFAULT_PORT = 0x800F;
        /// What `zx_vmo_create` grants; RESIZE is added for resizable VMOs.
        const DEFAULT_VMO = 0xD0EF;
        /// What `zx_pager_create` grants: not duplicable.
        const DEFAULT_PAGER = 0x0180_8002;
        /// What `zx_channel_create` grants: not duplicable.
        const DEFAULT_CHANNEL = 0xF00E;
        /// What an event grants.
        const DEFAULT_EVENT = 0xD003;
        /// What a process handle grants.
        const DEFAULT_PROCESS = 0x0006_D3CF;
        /// What `zx_thread_create` grants.
        const DEFAULT_THREAD = 0x0004_D2CF;
        /// What a job handle grants.
        const DEFAULT_JOB = 0x0007_DFCF;
        /// What `zx_iommu_create` grants.
        const DEFAULT_IOMMU = 0x8003;
        /// What `zx_bti_create` grants.
        const DEFAULT_BTI = 0x80EF;
        /// What `zx_bti_pin` grants.
        const DEFAULT_PMT = 0x8000;
        /// What a resource handle grants: BASIC minus WAIT, WRITE.
        const DEFAULT_RESOURCE = 0x800B;
        /// What the handle in an exception's message grants.
        const DEFAULT_EXCEPTION = 0x80C2;
        /// What `zx_task_create_exception_channel` grants: to read, not to write.
        const EXCEPTION_CHANNEL = 0x4006;
        /// What `zx_task_suspend` grants.
        const DEFAULT_SUSPEND_TOKEN = 0x8002;
        /// A VMAR without the right to map anything: BASIC minus WAIT, OP_CHILDREN.
        const DEFAULT_VMAR = 0x0020_8003;
    }
}
