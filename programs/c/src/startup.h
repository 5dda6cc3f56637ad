/* The start-up page: docs/abi.md. */
#ifndef ZX_STARTUP_H_
#define ZX_STARTUP_H_

#include <zircon/types.h>

#define STARTUP_VERSION 1

struct startup_header {
    uint32_t version, size, handle_count, handles_offset, arg_count, args_offset;
};

struct startup_handle {
    char name[ZX_MAX_NAME_LEN];
    zx_handle_t handle;
    uint32_t type;
};

#endif
