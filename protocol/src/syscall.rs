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
