//! System calls as they are: registers in, status out. Addresses are plain numbers, so that tests can pass bad ones.
//!
//! The number travels in rax, arguments in rdi, rsi, rdx, r10, r8, r9, r12, r13; the answer comes in rax; rcx and r11
//! are lost. Registers without an argument are zero, so that equal calls look equal to a recorder.

use core::arch::asm;
use protocol::Status;
use protocol::syscall::{MAX_ARGS, SyscallNumber};

/// Executes `syscall` with these very registers and returns rax.
///
/// # Safety
/// The VMM reads and writes the memory that the arguments name; the caller answers for what is there. Calls that
/// change mappings must leave alone what Rust values live in.
#[inline]
pub unsafe fn syscall(rax: u64, args: [u64; MAX_ARGS]) -> u64 {
    let [rdi, rsi, rdx, r10, r8, r9, r12, r13] = args;
    let answer;
    // SAFETY: `syscall` changes rax, rcx, r11 and the flags, and memory as the caller has allowed; no stack is used.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") rax => answer,
            in("rdi") rdi,
            in("rsi") rsi,
            in("rdx") rdx,
            in("r10") r10,
            in("r8") r8,
            in("r9") r9,
            in("r12") r12,
            in("r13") r13,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// As [`syscall`], for a known call with any number of arguments up to eight; the rest are zero.
///
/// # Safety
/// As for [`syscall`].
#[inline]
pub unsafe fn call<const N: usize>(number: SyscallNumber, args: [u64; N]) -> Status {
    const { assert!(N <= MAX_ARGS, "more arguments than registers") };
    let mut all = [0; MAX_ARGS];
    for (register, arg) in all.iter_mut().zip(args) {
        *register = arg;
    }
    // SAFETY: passed on to the caller.
    Status::from_register(unsafe { syscall(number as u64, all) })
}

/// `zx_clock_get_monotonic`: nanoseconds since the VM started.
#[inline]
pub fn clock_get_monotonic() -> i64 {
    // SAFETY: the call takes nothing and touches no memory.
    unsafe { syscall(SyscallNumber::ClockGetMonotonic as u64, [0; MAX_ARGS]) as i64 }
}

macro_rules! calls {
    ($($name:ident = $number:ident($($arg:ident: $type:ty),*);)*) => {$(
        #[doc = concat!("`zx_", stringify!($name), "`, with any values.")]
        ///
        /// # Safety
        /// As for [`syscall`].
        #[inline]
        #[allow(clippy::too_many_arguments, reason = "as many as the system call has")]
        pub unsafe fn $name($($arg: $type),*) -> Status {
            // SAFETY: passed on to the caller.
            unsafe { call(SyscallNumber::$number, [$($arg as u64),*]) }
        }
    )*};
}

calls! {
    nanosleep = Nanosleep(deadline: i64);
    debug_write = DebugWrite(buffer: u64, length: u64);
    handle_close = HandleClose(handle: u32);
    handle_close_many = HandleCloseMany(handles: u64, count: u64);
    handle_duplicate = HandleDuplicate(handle: u32, rights: u32, out: u64);
    handle_replace = HandleReplace(handle: u32, rights: u32, out: u64);
    object_wait_one = ObjectWaitOne(handle: u32, signals: u32, deadline: i64, observed: u64);
    object_wait_many = ObjectWaitMany(items: u64, count: u64, deadline: i64);
    object_wait_async = ObjectWaitAsync(handle: u32, port: u32, key: u64, signals: u32, options: u32);
    object_signal = ObjectSignal(handle: u32, clear: u32, set: u32);
    object_get_info = ObjectGetInfo(handle: u32, topic: u32, buffer: u64, size: u64, actual: u64, avail: u64);
    object_get_property = ObjectGetProperty(handle: u32, property: u32, value: u64, size: u64);
    object_set_property = ObjectSetProperty(handle: u32, property: u32, value: u64, size: u64);
    vmo_create = VmoCreate(size: u64, options: u32, out: u64);
    vmo_read = VmoRead(vmo: u32, buffer: u64, offset: u64, length: u64);
    vmo_write = VmoWrite(vmo: u32, buffer: u64, offset: u64, length: u64);
    vmo_get_size = VmoGetSize(vmo: u32, size: u64);
    vmo_set_size = VmoSetSize(vmo: u32, size: u64);
    vmo_get_stream_size = VmoGetStreamSize(vmo: u32, size: u64);
    vmo_set_stream_size = VmoSetStreamSize(vmo: u32, size: u64);
    vmo_set_cache_policy = VmoSetCachePolicy(vmo: u32, policy: u32);
    vmo_op_range = VmoOpRange(vmo: u32, op: u32, offset: u64, length: u64, buffer: u64, buffer_size: u64);
    vmo_create_child = VmoCreateChild(vmo: u32, options: u32, offset: u64, size: u64, out: u64);
    vmo_transfer_data = VmoTransferData(to: u32, options: u32, offset: u64, length: u64, from: u32, from_offset: u64);
    vmo_create_contiguous = VmoCreateContiguous(bti: u32, size: u64, alignment_log2: u32, out: u64);
    vmo_create_physical = VmoCreatePhysical(resource: u32, address: u64, size: u64, out: u64);
    vmo_replace_as_executable = VmoReplaceAsExecutable(vmo: u32, vmex: u32, out: u64);
    pager_create = PagerCreate(options: u32, out: u64);
    pager_create_vmo = PagerCreateVmo(pager: u32, options: u32, port: u32, key: u64, size: u64, out: u64);
    pager_detach_vmo = PagerDetachVmo(pager: u32, vmo: u32);
    pager_supply_pages = PagerSupplyPages(pager: u32, vmo: u32, offset: u64, length: u64, aux: u32, aux_offset: u64);
    pager_op_range = PagerOpRange(pager: u32, op: u32, vmo: u32, offset: u64, length: u64, data: u64);
    pager_query_dirty_ranges = PagerQueryDirtyRanges(pager: u32, vmo: u32, offset: u64, length: u64, buffer: u64, buffer_size: u64, actual: u64, avail: u64);
    pager_query_vmo_stats = PagerQueryVmoStats(pager: u32, vmo: u32, options: u32, buffer: u64, buffer_size: u64);
    port_create = PortCreate(options: u32, out: u64);
    port_queue = PortQueue(port: u32, packet: u64);
    port_wait = PortWait(port: u32, deadline: i64, packet: u64);
    port_cancel = PortCancel(port: u32, source: u32, key: u64);
    port_cancel_key = PortCancelKey(port: u32, options: u32, key: u64);
    event_create = EventCreate(options: u32, out: u64);
    job_create = JobCreate(parent: u32, options: u32, out: u64);
    job_set_policy = JobSetPolicy(job: u32, options: u32, topic: u32, policy: u64, count: u32);
    task_kill = TaskKill(task: u32);
    vmar_map = VmarMap(vmar: u32, options: u32, vmar_offset: u64, vmo: u32, vmo_offset: u64, length: u64, address: u64);
    vmar_unmap = VmarUnmap(vmar: u32, address: u64, length: u64);
    vmar_protect = VmarProtect(vmar: u32, options: u32, address: u64, length: u64);
    vmar_allocate = VmarAllocate(parent: u32, options: u32, offset: u64, size: u64, out: u64, address: u64);
    vmar_destroy = VmarDestroy(vmar: u32);
    vmar_op_range = VmarOpRange(vmar: u32, op: u32, address: u64, length: u64, buffer: u64, buffer_size: u64);
    thread_create = ThreadCreate(process: u32, name: u64, name_length: u64, options: u32, out: u64);
    thread_start = ThreadStart(thread: u32, entry: u64, stack: u64, arg1: u64, arg2: u64);
    thread_exit = ThreadExit();
    channel_create = ChannelCreate(options: u32, out0: u64, out1: u64);
    channel_read = ChannelRead(channel: u32, options: u32, bytes: u64, handles: u64, byte_count: u32, handle_count: u32, actual_bytes: u64, actual_handles: u64);
    channel_write = ChannelWrite(channel: u32, options: u32, bytes: u64, byte_count: u32, handles: u64, handle_count: u32);
    object_signal_peer = ObjectSignalPeer(handle: u32, clear: u32, set: u32);
    process_create = ProcessCreate(job: u32, name: u64, name_length: u64, options: u32, process: u64, vmar: u64);
    process_start = ProcessStart(process: u32, thread: u32, entry: u64, stack: u64, arg1: u32, arg2: u64);
    task_suspend = TaskSuspend(task: u32, token: u64);
    task_create_exception_channel = TaskCreateExceptionChannel(task: u32, options: u32, out: u64);
    exception_get_thread = ExceptionGetThread(exception: u32, out: u64);
    exception_get_process = ExceptionGetProcess(exception: u32, out: u64);
    thread_read_state = ThreadReadState(thread: u32, kind: u32, buffer: u64, size: u64);
    thread_write_state = ThreadWriteState(thread: u32, kind: u32, buffer: u64, size: u64);
    iommu_create = IommuCreate(resource: u32, kind: u32, descriptor: u64, descriptor_size: u64, out: u64);
    bti_create = BtiCreate(iommu: u32, options: u32, id: u64, out: u64);
    bti_pin = BtiPin(bti: u32, options: u32, vmo: u32, offset: u64, size: u64, addresses: u64, count: u64, pmt: u64);
    bti_release_quarantine = BtiReleaseQuarantine(bti: u32);
    pmt_unpin = PmtUnpin(pmt: u32);
    process_exit = ProcessExit(code: i64);
    futex_wait = FutexWait(address: u64, value: u32, reserved: u32, deadline: i64);
    futex_wake = FutexWake(address: u64, count: u32);
}
