//! System-call numbers. They are zvmm's own: Zircon keeps its numbers private.
//!
//! A program puts the number into rax and the arguments into rdi, rsi, rdx, r10, r8, r9, r12, r13, in the order of
//! the C prototype, and executes `syscall`; the result comes back in rax, rcx and r11 are lost. The guest kernel hands
//! these very registers to the VMM.

/// Registers that carry arguments.
pub const MAX_ARGS: usize = 8;

macro_rules! syscalls {
    ($($(#[$doc:meta])* $number:literal $name:ident $text:literal,)*) => {
        /// A system call.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum SyscallNumber {
            $($(#[$doc])* $name = $number,)*
        }

        impl SyscallNumber {
            /// Every system call, in the order of the numbers.
            pub const ALL: &'static [SyscallNumber] = &[$(SyscallNumber::$name,)*];

            /// The call that rax names, if there is one.
            pub const fn from_register(rax: u64) -> Option<Self> {
                match rax {
                    $($number => Some(SyscallNumber::$name),)*
                    _ => None,
                }
            }

            /// The name in Zircon's documentation, without `zx_`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(SyscallNumber::$name => $text,)*
                }
            }
        }
    };
}

syscalls! {
    /// `(i64) -> time`: nanoseconds since the VM started; the result is the time, not a status.
    0 ClockGetMonotonic "clock_get_monotonic",
    /// `(deadline i64)`
    1 Nanosleep "nanosleep",
    /// `(buffer, length)`: writes to the VMM's standard output.
    2 DebugWrite "debug_write",
    /// `(handle)`
    3 HandleClose "handle_close",
    /// `(handles*, count)`
    4 HandleCloseMany "handle_close_many",
    /// `(handle, rights, out*)`
    5 HandleDuplicate "handle_duplicate",
    /// `(handle, rights, out*)`
    6 HandleReplace "handle_replace",
    /// `(handle, signals, deadline, observed*)`
    7 ObjectWaitOne "object_wait_one",
    /// `(handle, port, key, signals, options)`
    8 ObjectWaitAsync "object_wait_async",
    /// `(handle, clear, set)`
    9 ObjectSignal "object_signal",
    /// `(handle, topic, buffer, size, actual*, avail*)`
    10 ObjectGetInfo "object_get_info",
    /// `(handle, property, value*, size)`
    11 ObjectGetProperty "object_get_property",
    /// `(handle, property, value*, size)`
    12 ObjectSetProperty "object_set_property",
    /// `(size, options, out*)`
    13 VmoCreate "vmo_create",
    /// `(vmo, buffer, offset, length)`
    14 VmoRead "vmo_read",
    /// `(vmo, buffer, offset, length)`
    15 VmoWrite "vmo_write",
    /// `(vmo, size*)`
    16 VmoGetSize "vmo_get_size",
    /// `(vmo, size)`
    17 VmoSetSize "vmo_set_size",
    /// `(vmo, options, offset, size, out*)`
    18 VmoCreateChild "vmo_create_child",
    /// `(options, out*)`
    19 PagerCreate "pager_create",
    /// `(pager, options, port, key, size, out*)`
    20 PagerCreateVmo "pager_create_vmo",
    /// `(pager, vmo)`
    21 PagerDetachVmo "pager_detach_vmo",
    /// `(pager, vmo, offset, length, aux, aux_offset)`
    22 PagerSupplyPages "pager_supply_pages",
    /// `(options, out*)`
    23 PortCreate "port_create",
    /// `(port, packet*)`
    24 PortQueue "port_queue",
    /// `(port, deadline, packet*)`
    25 PortWait "port_wait",
    /// `(vmar, options, vmar_offset, vmo, vmo_offset, length, address*)`
    26 VmarMap "vmar_map",
    /// `(vmar, address, length)`
    27 VmarUnmap "vmar_unmap",
    /// `(vmar, options, address, length)`
    28 VmarProtect "vmar_protect",
    /// `(process, name*, name_length, options, out*)`
    29 ThreadCreate "thread_create",
    /// `(thread, entry, stack, arg1, arg2)`
    30 ThreadStart "thread_start",
    /// `()`
    31 ThreadExit "thread_exit",
    /// `(code i64)`
    32 ProcessExit "process_exit",
    /// `(address*, value, reserved handle, deadline)`: as `zx_futex_wait` without owner.
    33 FutexWait "futex_wait",
    /// `(address*, count)`
    34 FutexWake "futex_wake",
    /// `(items*, count, deadline)`
    35 ObjectWaitMany "object_wait_many",
    /// `(handle, clear, set)`
    36 ObjectSignalPeer "object_signal_peer",
    /// `(port, source, key)`
    37 PortCancel "port_cancel",
    /// `(port, options, key)`
    38 PortCancelKey "port_cancel_key",
    /// `(options, out*)`
    39 EventCreate "event_create",
    /// `(options, out0*, out1*)`
    40 ChannelCreate "channel_create",
    /// `(channel, options, bytes*, handles*, byte_count, handle_count, actual_bytes*, actual_handles*)`
    41 ChannelRead "channel_read",
    /// `(channel, options, bytes*, byte_count, handles*, handle_count)`
    42 ChannelWrite "channel_write",
    /// `(parent, options, out*)`
    43 JobCreate "job_create",
    /// `(job, options, topic, policy*, count)`
    44 JobSetPolicy "job_set_policy",
    /// `(job, name*, name_length, options, process*, vmar*)`
    45 ProcessCreate "process_create",
    /// `(process, thread, entry, stack, arg1 handle, arg2)`
    46 ProcessStart "process_start",
    /// `(task)`
    47 TaskKill "task_kill",
    /// `(task, token*)`
    48 TaskSuspend "task_suspend",
    /// `(task, options, out*)`
    49 TaskCreateExceptionChannel "task_create_exception_channel",
    /// `(exception, out*)`
    50 ExceptionGetThread "exception_get_thread",
    /// `(exception, out*)`
    51 ExceptionGetProcess "exception_get_process",
    /// `(thread, kind, buffer*, size)`
    52 ThreadReadState "thread_read_state",
    /// `(thread, kind, buffer*, size)`
    53 ThreadWriteState "thread_write_state",
    /// `(vmo, size*)`
    54 VmoGetStreamSize "vmo_get_stream_size",
    /// `(vmo, size)`
    55 VmoSetStreamSize "vmo_set_stream_size",
    /// `(vmo, op, offset, size, buffer*, buffer_size)`
    56 VmoOpRange "vmo_op_range",
    /// `(bti, size, alignment_log2, out*)`
    57 VmoCreateContiguous "vmo_create_contiguous",
    /// `(resource, address, size, out*)`
    58 VmoCreatePhysical "vmo_create_physical",
    /// `(vmo, vmex, out*)`
    59 VmoReplaceAsExecutable "vmo_replace_as_executable",
    /// `(vmo, policy)`
    60 VmoSetCachePolicy "vmo_set_cache_policy",
    /// `(destination, options, offset, length, source, source_offset)`
    61 VmoTransferData "vmo_transfer_data",
    /// `(pager, op, vmo, offset, length, data)`
    62 PagerOpRange "pager_op_range",
    /// `(pager, vmo, offset, length, buffer*, buffer_size, actual*, avail*)`
    63 PagerQueryDirtyRanges "pager_query_dirty_ranges",
    /// `(pager, vmo, options, buffer*, buffer_size)`
    64 PagerQueryVmoStats "pager_query_vmo_stats",
    /// `(parent, options, offset, size, child*, address*)`
    65 VmarAllocate "vmar_allocate",
    /// `(vmar)`
    66 VmarDestroy "vmar_destroy",
    /// `(vmar, op, address, size, buffer*, buffer_size)`
    67 VmarOpRange "vmar_op_range",
    /// `(resource, type, descriptor*, descriptor_size, out*)`
    68 IommuCreate "iommu_create",
    /// `(iommu, options, bti_id, out*)`
    69 BtiCreate "bti_create",
    /// `(bti, options, vmo, offset, size, addresses*, count, pmt*)`
    70 BtiPin "bti_pin",
    /// `(bti)`
    71 BtiReleaseQuarantine "bti_release_quarantine",
    /// `(pmt)`
    72 PmtUnpin "pmt_unpin",
}

const _: () = {
    let mut at = 0;
    let mut rest = SyscallNumber::ALL;
    while let [first, others @ ..] = rest {
        assert!(
            *first as usize == at,
            "numbers are dense: tables are indexed by them"
        );
        at += 1;
        rest = others;
    }
};
