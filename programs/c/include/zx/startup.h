#ifndef ZX_STARTUP_H_
#define ZX_STARTUP_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The start-up handle called `name`, which the caller owns from then on; 0 (ZX_HANDLE_INVALID) if there is none, or if it was taken
   before. "vmar", "process", "thread" and "job" are always there. */
uint32_t zx_take_startup_handle(const char *name);

#ifdef __cplusplus
}
#endif

#endif
