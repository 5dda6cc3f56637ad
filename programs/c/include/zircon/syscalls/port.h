/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#ifndef ZIRCON_SYSCALLS_PORT_H_
#define ZIRCON_SYSCALLS_PORT_H_

#include <zircon/types.h>


#define ZX_PKT_TYPE_USER ((uint32_t)0x0u)
#define ZX_PKT_TYPE_SIGNAL_ONE ((uint32_t)0x1u)
#define ZX_PKT_TYPE_PAGE_REQUEST ((uint32_t)0x9u)
#define ZX_PAGER_VMO_READ ((uint16_t)0x0u)
#define ZX_PAGER_VMO_COMPLETE ((uint16_t)0x1u)
#define ZX_PAGER_VMO_DIRTY ((uint16_t)0x2u)

typedef struct zx_packet_user {
    union {
        uint64_t u64[4];
        uint32_t u32[8];
        uint16_t u16[16];
        uint8_t c8[32];
    };
} zx_packet_user_t;

typedef struct zx_packet_signal {
    zx_signals_t trigger;
    zx_signals_t observed;
    uint64_t count;
    zx_time_t timestamp;
    uint64_t reserved1;
} zx_packet_signal_t;

typedef struct zx_packet_page_request {
    uint16_t command;
    uint16_t flags;
    uint32_t reserved0;
    uint64_t offset;
    uint64_t length;
    uint64_t reserved1;
} zx_packet_page_request_t;

typedef struct zx_port_packet {
    uint64_t key;
    uint32_t type;
    zx_status_t status;
    union {
        zx_packet_user_t user;
        zx_packet_signal_t signal;
        zx_packet_page_request_t page_request;
    };
} zx_port_packet_t;

#endif
