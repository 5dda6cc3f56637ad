/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_SYSCALLS_OBJECT_H_
#define ZIRCON_SYSCALLS_OBJECT_H_

#include <zircon/types.h>


#define ZX_OBJ_TYPE_NONE ((zx_obj_type_t)0x0u)
#define ZX_OBJ_TYPE_PROCESS ((zx_obj_type_t)0x1u)
#define ZX_OBJ_TYPE_THREAD ((zx_obj_type_t)0x2u)
#define ZX_OBJ_TYPE_VMO ((zx_obj_type_t)0x3u)
#define ZX_OBJ_TYPE_CHANNEL ((zx_obj_type_t)0x4u)
#define ZX_OBJ_TYPE_EVENT ((zx_obj_type_t)0x5u)
#define ZX_OBJ_TYPE_PORT ((zx_obj_type_t)0x6u)
#define ZX_OBJ_TYPE_RESOURCE ((zx_obj_type_t)0xfu)
#define ZX_OBJ_TYPE_JOB ((zx_obj_type_t)0x11u)
#define ZX_OBJ_TYPE_VMAR ((zx_obj_type_t)0x12u)
#define ZX_OBJ_TYPE_IOMMU ((zx_obj_type_t)0x17u)
#define ZX_OBJ_TYPE_BTI ((zx_obj_type_t)0x18u)
#define ZX_OBJ_TYPE_PMT ((zx_obj_type_t)0x1au)
#define ZX_OBJ_TYPE_SUSPEND_TOKEN ((zx_obj_type_t)0x1bu)
#define ZX_OBJ_TYPE_PAGER ((zx_obj_type_t)0x1cu)
#define ZX_OBJ_TYPE_EXCEPTION ((zx_obj_type_t)0x1du)


#define ZX_INFO_HANDLE_VALID ((zx_object_info_topic_t)0x1u)
#define ZX_INFO_HANDLE_BASIC ((zx_object_info_topic_t)0x2u)
#define ZX_INFO_RESOURCE ((zx_object_info_topic_t)0x12u)
#define ZX_INFO_BTI ((zx_object_info_topic_t)0x14u)
#define ZX_INFO_JOB_CHILDREN ((zx_object_info_topic_t)0x8u)
#define ZX_INFO_JOB_PROCESSES ((zx_object_info_topic_t)0x9u)
#define ZX_INFO_HANDLE_COUNT ((zx_object_info_topic_t)0x13u)
#define ZX_INFO_JOB ((zx_object_info_topic_t)0x18u)
#define ZX_INFO_VMO_V1 ((zx_object_info_topic_t)0x17u)
#define ZX_INFO_VMO_V2 ((zx_object_info_topic_t)0x10000017u)
#define ZX_INFO_VMO_V3 ((zx_object_info_topic_t)0x20000017u)
#define ZX_INFO_VMO ((zx_object_info_topic_t)0x30000017u)
#define ZX_INFO_PROCESS_V1 ((zx_object_info_topic_t)0x3u)
#define ZX_INFO_PROCESS ((zx_object_info_topic_t)0x10000003u)
#define ZX_INFO_THREAD ((zx_object_info_topic_t)0xau)
#define ZX_INFO_THREAD_EXCEPTION_REPORT_V1 ((zx_object_info_topic_t)0xbu)
#define ZX_INFO_THREAD_EXCEPTION_REPORT ((zx_object_info_topic_t)0x1000000bu)
#define ZX_INFO_VMAR ((zx_object_info_topic_t)0x7u)
#define ZX_INFO_PROCESS_MAPS_V1 ((zx_object_info_topic_t)0xdu)
#define ZX_INFO_PROCESS_MAPS_V2 ((zx_object_info_topic_t)0x1000000du)
#define ZX_INFO_PROCESS_MAPS ((zx_object_info_topic_t)0x2000000du)


#define ZX_PROP_NAME ((uint32_t)0x3u)
#define ZX_PROP_REGISTER_GS ((uint32_t)0x2u)
#define ZX_PROP_REGISTER_FS ((uint32_t)0x4u)
#define ZX_PROP_EXCEPTION_STATE ((uint32_t)0x10u)
#define ZX_PROP_VMO_CONTENT_SIZE ((uint32_t)0x11u)
#define ZX_THREAD_STATE_NEW ((zx_thread_state_t)0x0u)
#define ZX_THREAD_STATE_RUNNING ((zx_thread_state_t)0x1u)
#define ZX_THREAD_STATE_SUSPENDED ((zx_thread_state_t)0x2u)
#define ZX_THREAD_STATE_DEAD ((zx_thread_state_t)0x5u)
#define ZX_THREAD_STATE_BLOCKED_EXCEPTION ((zx_thread_state_t)0x103u)
#define ZX_THREAD_STATE_BLOCKED_SLEEPING ((zx_thread_state_t)0x203u)
#define ZX_THREAD_STATE_BLOCKED_FUTEX ((zx_thread_state_t)0x303u)
#define ZX_THREAD_STATE_BLOCKED_PORT ((zx_thread_state_t)0x403u)
#define ZX_THREAD_STATE_BLOCKED_WAIT_ONE ((zx_thread_state_t)0x603u)
#define ZX_THREAD_STATE_BLOCKED_WAIT_MANY ((zx_thread_state_t)0x703u)
#define ZX_THREAD_STATE_BLOCKED_PAGER ((zx_thread_state_t)0x903u)
#define ZX_EXCEPTION_CHANNEL_TYPE_NONE ((uint32_t)0x0u)
#define ZX_EXCEPTION_CHANNEL_TYPE_THREAD ((uint32_t)0x2u)
#define ZX_EXCEPTION_CHANNEL_TYPE_PROCESS ((uint32_t)0x3u)
#define ZX_EXCEPTION_CHANNEL_TYPE_JOB ((uint32_t)0x4u)
#define ZX_INFO_PROCESS_FLAG_STARTED ((uint32_t)0x1u)
#define ZX_INFO_PROCESS_FLAG_EXITED ((uint32_t)0x2u)
#define ZX_INFO_MAPS_TYPE_ASPACE ((uint32_t)0x1u)
#define ZX_INFO_MAPS_TYPE_VMAR ((uint32_t)0x2u)
#define ZX_INFO_MAPS_TYPE_MAPPING ((uint32_t)0x3u)

#define ZX_INFO_VMO_TYPE_PAGED ((uint32_t)0x1u)
#define ZX_INFO_VMO_RESIZABLE ((uint32_t)0x2u)
#define ZX_INFO_VMO_IS_COW_CLONE ((uint32_t)0x4u)
#define ZX_INFO_VMO_VIA_HANDLE ((uint32_t)0x8u)
#define ZX_INFO_VMO_VIA_MAPPING ((uint32_t)0x10u)
#define ZX_INFO_VMO_PAGER_BACKED ((uint32_t)0x20u)
#define ZX_INFO_VMO_CONTIGUOUS ((uint32_t)0x40u)
#define ZX_INFO_VMO_DISCARDABLE ((uint32_t)0x80u)
#define ZX_INFO_VMO_IMMUTABLE ((uint32_t)0x100u)

typedef struct zx_info_handle_basic {
    zx_koid_t koid;
    zx_rights_t rights;
    zx_obj_type_t type;
    zx_koid_t related_koid;
    uint32_t reserved;
    uint8_t padding1[4];
} zx_info_handle_basic_t;

typedef struct zx_info_job {
    int64_t return_code;
    uint8_t exited;
    uint8_t kill_on_oom;
    uint8_t debugger_attached;
    uint8_t padding1[5];
} zx_info_job_t;

typedef struct zx_info_process {
    int64_t return_code;
    zx_time_t start_time;
    uint32_t flags;
    uint8_t padding1[4];
} zx_info_process_t;

typedef struct zx_cpu_set {
    uint64_t mask[8];
} zx_cpu_set_t;

typedef struct zx_info_thread {
    zx_thread_state_t state;
    uint32_t wait_exception_channel_type;
    zx_cpu_set_t cpu_affinity_mask;
} zx_info_thread_t;

typedef struct zx_info_vmo {
    zx_koid_t koid;
    char name[ZX_MAX_NAME_LEN];
    uint64_t size_bytes;
    zx_koid_t parent_koid;
    uint64_t num_children;
    uint64_t num_mappings;
    uint64_t share_count;
    uint32_t flags;
    uint8_t padding1[4];
    uint64_t committed_bytes;
    zx_rights_t handle_rights;
    uint32_t cache_policy;
    uint64_t metadata_bytes;
    uint64_t committed_change_events;
    uint64_t populated_bytes;
    uint64_t committed_private_bytes;
    uint64_t populated_private_bytes;
    uint64_t committed_scaled_bytes;
    uint64_t populated_scaled_bytes;
    uint64_t committed_fractional_scaled_bytes;
    uint64_t populated_fractional_scaled_bytes;
} zx_info_vmo_t;

typedef struct zx_info_vmar {
    zx_vaddr_t base;
    size_t len;
} zx_info_vmar_t;

typedef struct zx_info_maps_mapping {
    zx_vm_option_t mmu_flags;
    uint8_t padding1[4];
    zx_koid_t vmo_koid;
    uint64_t vmo_offset;
    uint64_t committed_bytes;
    uint64_t populated_bytes;
    uint64_t committed_private_bytes;
    uint64_t populated_private_bytes;
    uint64_t committed_scaled_bytes;
    uint64_t populated_scaled_bytes;
    uint64_t committed_fractional_scaled_bytes;
    uint64_t populated_fractional_scaled_bytes;
} zx_info_maps_mapping_t;

typedef uint32_t zx_info_maps_type_t;

typedef struct zx_info_maps {
    char name[ZX_MAX_NAME_LEN];
    zx_vaddr_t base;
    size_t size;
    size_t depth;
    zx_info_maps_type_t type;
    uint8_t padding1[4];
    union {
        zx_info_maps_mapping_t mapping;
    } u;
} zx_info_maps_t;

typedef struct zx_info_resource {
    uint32_t kind;
    uint32_t flags;
    uint64_t base;
    uint64_t size;
    char name[ZX_MAX_NAME_LEN];
} zx_info_resource_t;

typedef struct zx_info_bti {
    uint64_t minimum_contiguity;
    uint64_t aspace_size;
    uint64_t pmo_count;
    uint64_t quarantine_count;
} zx_info_bti_t;

#endif
