/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_TYPES_H_
#define ZIRCON_TYPES_H_

#include <stddef.h>
#include <stdint.h>
#include <zircon/errors.h>
#include <zircon/rights.h>

typedef uint32_t zx_handle_t;
typedef int32_t zx_status_t;
typedef uint32_t zx_rights_t;
typedef uint32_t zx_signals_t;
typedef uint32_t zx_obj_type_t;
typedef uint32_t zx_vm_option_t;
typedef uint32_t zx_object_info_topic_t;
typedef uint32_t zx_thread_state_t;
typedef uint32_t zx_excp_type_t;
typedef uint64_t zx_koid_t;
typedef uint64_t zx_off_t;
typedef uintptr_t zx_vaddr_t;
typedef uintptr_t zx_paddr_t;
typedef int32_t zx_futex_t;

/* Nanoseconds since the VM started, and of a length of time. */
typedef int64_t zx_time_t;
typedef int64_t zx_duration_t;
typedef zx_time_t zx_instant_mono_t;
typedef zx_duration_t zx_duration_mono_t;

#define ZX_NSEC(n) ((zx_duration_t)(1LL * (n)))
#define ZX_USEC(n) ((zx_duration_t)(1000LL * (n)))
#define ZX_MSEC(n) ((zx_duration_t)(1000000LL * (n)))
#define ZX_SEC(n) ((zx_duration_t)(1000000000LL * (n)))
#define ZX_MIN(n) (ZX_SEC(n) * 60)
#define ZX_HOUR(n) (ZX_MIN(n) * 60)

/* Options of zx_vmar_map and zx_vmar_allocate: the start is a multiple of 2^n, from 10 to 32. */
#define ZX_VM_ALIGN_BASE 24
#define ZX_VM_ALIGN_4KB ((zx_vm_option_t)(12u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_64KB ((zx_vm_option_t)(16u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_2MB ((zx_vm_option_t)(21u << ZX_VM_ALIGN_BASE))
#define ZX_VM_ALIGN_1GB ((zx_vm_option_t)(30u << ZX_VM_ALIGN_BASE))

#define ZX_HANDLE_INVALID ((zx_handle_t)0x0u)
#define ZX_KOID_INVALID ((zx_koid_t)0x0u)
#define ZX_KOID_FIRST ((zx_koid_t)0x400u)
#define ZX_MAX_NAME_LEN ((size_t)0x20u)
#define ZX_PAGE_SHIFT ((uint32_t)0xcu)
#define ZX_PAGE_SIZE ((uint64_t)0x1000u)

#define ZX_TIME_INFINITE INT64_MAX
#define ZX_TIME_INFINITE_PAST INT64_MIN

#define ZX_CHANNEL_READABLE ((zx_signals_t)0x1u)
#define ZX_CHANNEL_WRITABLE ((zx_signals_t)0x2u)
#define ZX_CHANNEL_PEER_CLOSED ((zx_signals_t)0x4u)
#define ZX_VMO_ZERO_CHILDREN ((zx_signals_t)0x8u)
#define ZX_EVENT_SIGNALED ((zx_signals_t)0x8u)
#define ZX_TASK_TERMINATED ((zx_signals_t)0x8u)
#define ZX_JOB_TERMINATED ((zx_signals_t)0x8u)
#define ZX_JOB_NO_JOBS ((zx_signals_t)0x10u)
#define ZX_JOB_NO_PROCESSES ((zx_signals_t)0x20u)
#define ZX_JOB_NO_CHILDREN ((zx_signals_t)0x40u)
#define ZX_THREAD_RUNNING ((zx_signals_t)0x10u)
#define ZX_THREAD_SUSPENDED ((zx_signals_t)0x20u)
#define ZX_SIGNAL_HANDLE_CLOSED ((zx_signals_t)0x800000u)
#define ZX_USER_SIGNAL_0 ((zx_signals_t)0x1000000u)
#define ZX_USER_SIGNAL_1 ((zx_signals_t)0x2000000u)
#define ZX_USER_SIGNAL_2 ((zx_signals_t)0x4000000u)
#define ZX_USER_SIGNAL_3 ((zx_signals_t)0x8000000u)
#define ZX_USER_SIGNAL_4 ((zx_signals_t)0x10000000u)
#define ZX_USER_SIGNAL_5 ((zx_signals_t)0x20000000u)
#define ZX_USER_SIGNAL_6 ((zx_signals_t)0x40000000u)
#define ZX_USER_SIGNAL_7 ((zx_signals_t)0x80000000u)
#define ZX_USER_SIGNAL_ALL ((zx_signals_t)0xff000000u)
#define ZX_SIGNAL_NONE ((zx_signals_t)0x0u)
#define ZX_PROCESS_TERMINATED ((zx_signals_t)0x8u)
#define ZX_THREAD_TERMINATED ((zx_signals_t)0x8u)

#define ZX_VMO_RESIZABLE ((uint32_t)0x2u)
#define ZX_VMO_DISCARDABLE ((uint32_t)0x4u)
#define ZX_VMO_TRAP_DIRTY ((uint32_t)0x8u)
#define ZX_VMO_UNBOUNDED ((uint32_t)0x10u)

#define ZX_VMO_CHILD_SNAPSHOT ((uint32_t)0x1u)
#define ZX_VMO_CHILD_RESIZABLE ((uint32_t)0x4u)
#define ZX_VMO_CHILD_SLICE ((uint32_t)0x8u)
#define ZX_VMO_CHILD_SNAPSHOT_AT_LEAST_ON_WRITE ((uint32_t)0x10u)
#define ZX_VMO_CHILD_NO_WRITE ((uint32_t)0x20u)
#define ZX_VMO_CHILD_REFERENCE ((uint32_t)0x40u)
#define ZX_VMO_CHILD_SNAPSHOT_MODIFIED ((uint32_t)0x80u)

#define ZX_VMO_OP_COMMIT ((uint32_t)0x1u)
#define ZX_VMO_OP_DECOMMIT ((uint32_t)0x2u)
#define ZX_VMO_OP_LOCK ((uint32_t)0x3u)
#define ZX_VMO_OP_UNLOCK ((uint32_t)0x4u)
#define ZX_VMO_OP_CACHE_SYNC ((uint32_t)0x6u)
#define ZX_VMO_OP_CACHE_INVALIDATE ((uint32_t)0x7u)
#define ZX_VMO_OP_CACHE_CLEAN ((uint32_t)0x8u)
#define ZX_VMO_OP_CACHE_CLEAN_INVALIDATE ((uint32_t)0x9u)
#define ZX_VMO_OP_ZERO ((uint32_t)0xau)
#define ZX_VMO_OP_TRY_LOCK ((uint32_t)0xbu)
#define ZX_VMO_OP_DONT_NEED ((uint32_t)0xcu)
#define ZX_VMO_OP_ALWAYS_NEED ((uint32_t)0xdu)
#define ZX_VMO_OP_PREFETCH ((uint32_t)0xeu)

#define ZX_CACHE_POLICY_CACHED ((uint32_t)0x0u)
#define ZX_CACHE_POLICY_UNCACHED ((uint32_t)0x1u)
#define ZX_CACHE_POLICY_UNCACHED_DEVICE ((uint32_t)0x2u)
#define ZX_CACHE_POLICY_WRITE_COMBINING ((uint32_t)0x3u)

#define ZX_VM_PERM_READ ((zx_vm_option_t)0x1u)
#define ZX_VM_PERM_WRITE ((zx_vm_option_t)0x2u)
#define ZX_VM_PERM_EXECUTE ((zx_vm_option_t)0x4u)
#define ZX_VM_COMPACT ((zx_vm_option_t)0x8u)
#define ZX_VM_SPECIFIC ((zx_vm_option_t)0x10u)
#define ZX_VM_SPECIFIC_OVERWRITE ((zx_vm_option_t)0x20u)
#define ZX_VM_CAN_MAP_SPECIFIC ((zx_vm_option_t)0x40u)
#define ZX_VM_CAN_MAP_READ ((zx_vm_option_t)0x80u)
#define ZX_VM_CAN_MAP_WRITE ((zx_vm_option_t)0x100u)
#define ZX_VM_CAN_MAP_EXECUTE ((zx_vm_option_t)0x200u)
#define ZX_VM_MAP_RANGE ((zx_vm_option_t)0x400u)
#define ZX_VM_REQUIRE_NON_RESIZABLE ((zx_vm_option_t)0x800u)
#define ZX_VM_ALLOW_FAULTS ((zx_vm_option_t)0x1000u)
#define ZX_VM_OFFSET_IS_UPPER_LIMIT ((zx_vm_option_t)0x2000u)
#define ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED ((zx_vm_option_t)0x4000u)
#define ZX_VM_FAULT_BEYOND_STREAM_SIZE ((zx_vm_option_t)0x8000u)

#define ZX_VMAR_OP_COMMIT ((uint32_t)0x1u)
#define ZX_VMAR_OP_DECOMMIT ((uint32_t)0x2u)
#define ZX_VMAR_OP_MAP_RANGE ((uint32_t)0x3u)
#define ZX_VMAR_OP_ZERO ((uint32_t)0xau)
#define ZX_VMAR_OP_DONT_NEED ((uint32_t)0xcu)
#define ZX_VMAR_OP_ALWAYS_NEED ((uint32_t)0xdu)
#define ZX_VMAR_OP_PREFETCH ((uint32_t)0xeu)

#define ZX_PAGER_OP_FAIL ((uint32_t)0x1u)
#define ZX_PAGER_OP_DIRTY ((uint32_t)0x2u)
#define ZX_PAGER_OP_WRITEBACK_BEGIN ((uint32_t)0x3u)
#define ZX_PAGER_OP_WRITEBACK_END ((uint32_t)0x4u)

#define ZX_BTI_PERM_READ ((uint32_t)0x1u)
#define ZX_BTI_PERM_WRITE ((uint32_t)0x2u)
#define ZX_BTI_PERM_EXECUTE ((uint32_t)0x4u)
#define ZX_BTI_COMPRESS ((uint32_t)0x8u)
#define ZX_BTI_CONTIGUOUS ((uint32_t)0x10u)

#define ZX_WAIT_ASYNC_TIMESTAMP ((uint32_t)0x1u)
#define ZX_WAIT_ASYNC_EDGE ((uint32_t)0x2u)
#define ZX_WAIT_ASYNC_BOOT_TIMESTAMP ((uint32_t)0x4u)


#define ZX_CHANNEL_MAX_MSG_BYTES ((uint32_t)0x10000u)
#define ZX_CHANNEL_MAX_MSG_HANDLES ((uint32_t)0x40u)
#define ZX_WAIT_MANY_MAX_ITEMS ((size_t)0x40u)
#define ZX_CHANNEL_READ_MAY_DISCARD ((uint32_t)0x1u)
#define ZX_PORT_BIND_TO_INTERRUPT ((uint32_t)0x1u)

typedef struct zx_wait_item {
    zx_handle_t handle;
    zx_signals_t waitfor;
    zx_signals_t pending;
} zx_wait_item_t;

typedef struct zx_vmo_lock_state {
    uint64_t offset;
    uint64_t size;
    uint64_t discarded_offset;
    uint64_t discarded_size;
} zx_vmo_lock_state_t;

#endif
