/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_SYSCALLS_RESOURCE_H_
#define ZIRCON_SYSCALLS_RESOURCE_H_

#include <zircon/types.h>

typedef uint32_t zx_rsrc_kind_t;

#define ZX_RSRC_KIND_MMIO ((zx_rsrc_kind_t)0x0u)
#define ZX_RSRC_KIND_SYSTEM ((zx_rsrc_kind_t)0x5u)
#define ZX_RSRC_SYSTEM_VMEX_BASE ((uint64_t)0x1u)
#define ZX_RSRC_SYSTEM_IOMMU_BASE ((uint64_t)0x8u)

#endif
