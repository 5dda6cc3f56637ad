//! The system calls with any values, callable without `unsafe`.
//!
//! The cases pass addresses of their own buffers, or addresses where nothing of theirs lives; so the promise that
//! `zx::sys` asks for is given here, once.

use zx::Status;

macro_rules! safe {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {$(
        #[doc = concat!("`zx_", stringify!($name), "`, with any values.")]
        #[allow(clippy::too_many_arguments, reason = "as many as the system call has")]
        pub fn $name($($arg: $type),*) -> Status {
            // SAFETY: see the module.
            unsafe { zx::sys::$name($($arg),*) }
        }
    )*};
}

safe! {
    nanosleep(deadline: i64);
    debug_write(buffer: u64, length: u64);
    handle_close(handle: u32);
    handle_close_many(handles: u64, count: u64);
    handle_duplicate(handle: u32, rights: u32, out: u64);
    handle_replace(handle: u32, rights: u32, out: u64);
    object_wait_one(handle: u32, signals: u32, deadline: i64, observed: u64);
    object_wait_many(items: u64, count: u64, deadline: i64);
    object_wait_async(handle: u32, port: u32, key: u64, signals: u32, options: u32);
    object_signal(handle: u32, clear: u32, set: u32);
    object_get_info(handle: u32, topic: u32, buffer: u64, size: u64, actual: u64, avail: u64);
    object_get_property(handle: u32, property: u32, value: u64, size: u64);
    object_set_property(handle: u32, property: u32, value: u64, size: u64);
    vmo_create(size: u64, options: u32, out: u64);
    vmo_read(vmo: u32, buffer: u64, offset: u64, length: u64);
    vmo_write(vmo: u32, buffer: u64, offset: u64, length: u64);
    vmo_get_size(vmo: u32, size: u64);
    vmo_set_size(vmo: u32, size: u64);
    vmo_create_child(vmo: u32, options: u32, offset: u64, size: u64, out: u64);
    vmo_create_contiguous(bti: u32, size: u64, alignment_log2: u32, out: u64);
    vmo_create_physical(resource: u32, address: u64, size: u64, out: u64);
    vmo_replace_as_executable(vmo: u32, vmex: u32, out: u64);
    pager_create(options: u32, out: u64);
    pager_create_vmo(pager: u32, options: u32, port: u32, key: u64, size: u64, out: u64);
    pager_detach_vmo(pager: u32, vmo: u32);
    pager_supply_pages(pager: u32, vmo: u32, offset: u64, length: u64, aux: u32, aux_offset: u64);
    port_create(options: u32, out: u64);
    port_queue(port: u32, packet: u64);
    port_wait(port: u32, deadline: i64, packet: u64);
    port_cancel(port: u32, source: u32, key: u64);
    port_cancel_key(port: u32, options: u32, key: u64);
    event_create(options: u32, out: u64);
    job_create(parent: u32, options: u32, out: u64);
    job_set_policy(job: u32, options: u32, topic: u32, policy: u64, count: u32);
    task_kill(task: u32);
    vmar_map(vmar: u32, options: u32, vmar_offset: u64, vmo: u32, vmo_offset: u64, length: u64, address: u64);
    vmar_unmap(vmar: u32, address: u64, length: u64);
    vmar_protect(vmar: u32, options: u32, address: u64, length: u64);
    vmar_allocate(parent: u32, options: u32, offset: u64, size: u64, out: u64, address: u64);
    vmar_destroy(vmar: u32);
    vmar_op_range(vmar: u32, op: u32, address: u64, length: u64, buffer: u64, buffer_size: u64);
    thread_create(process: u32, name: u64, name_length: u64, options: u32, out: u64);
    thread_start(thread: u32, entry: u64, stack: u64, arg1: u64, arg2: u64);
    futex_wait(address: u64, value: u32, reserved: u32, deadline: i64);
    futex_wake(address: u64, count: u32);
}

/// The address of a value, for an out-pointer.
pub fn out<T>(value: &mut T) -> u64 {
    (&raw mut *value) as u64
}

/// Addresses that no call may accept for its output: null, not mapped, not canonical, the kernel's, read-only.
pub fn bad_addresses() -> [u64; 6] {
    static READ_ONLY: [u8; 48] = [0; 48];
    [
        0,
        0x1000,
        0x0000_8000_0000_0000,
        protocol::boot::KERNEL_BASE,
        u64::MAX - 7,
        (&raw const READ_ONLY) as u64,
    ]
}

/// Handle values that name no handle.
pub const BAD_HANDLES: [u32; 4] = [0, 1, 0x7FFF_FFFF, u32::MAX];
