/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_SYSCALLS_PAGER_H_
#define ZIRCON_SYSCALLS_PAGER_H_

#include <zircon/types.h>


#define ZX_VMO_DIRTY_RANGE_IS_ZERO ((uint64_t)0x1u)
#define ZX_PAGER_WRITEBACK_RANGE_IS_ZERO ((uint64_t)0x1u)
#define ZX_PAGER_RESET_VMO_STATS ((uint32_t)0x1u)
#define ZX_PAGER_VMO_STATS_MODIFIED ((uint32_t)0x1u)

typedef struct zx_vmo_dirty_range {
    uint64_t offset;
    uint64_t length;
    uint64_t options;
} zx_vmo_dirty_range_t;

typedef struct zx_pager_vmo_stats {
    uint32_t modified;
} zx_pager_vmo_stats_t;

#endif
