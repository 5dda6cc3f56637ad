#ifndef ZIRCON_PROCESS_H_
#define ZIRCON_PROCESS_H_

#include <zircon/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The start-up handle called `name`, which is the caller's from then on: `--vmo NAME=...` and `--grant` give them. ZX_HANDLE_INVALID
   if there is none, or if it was taken before. */
zx_handle_t zx_take_startup_handle(const char *name);

/* The program's own process, root VMAR, job and first thread. They stay the library's: do not close them. */
zx_handle_t zx_process_self(void);
zx_handle_t zx_vmar_root_self(void);
zx_handle_t zx_job_default(void);

/* The calling thread's handle; not to be closed, either. */
zx_handle_t zx_thread_self(void);

#ifdef __cplusplus
}
#endif

#endif
