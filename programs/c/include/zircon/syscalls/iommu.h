/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_SYSCALLS_IOMMU_H_
#define ZIRCON_SYSCALLS_IOMMU_H_

#include <zircon/types.h>


#define ZX_IOMMU_TYPE_STUB ((uint32_t)0x0u)
#define ZX_IOMMU_MAX_DESC_LEN ((size_t)0x1000u)

#endif
