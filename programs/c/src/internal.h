/* What the files of the library share. */
#ifndef ZX_INTERNAL_H_
#define ZX_INTERNAL_H_

#include <stdarg.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>

/* Values of a thread's keys. */
#define TSS_KEYS 64

/* A thread; fs points at it. Its thread-local variables lie below it, its stack below those. */
struct zx_thread {
    struct zx_thread *self;
    int state;
    int result;
    zx_handle_t handle;
    /* The region of everything, or 0 for the first thread. */
    zx_handle_t vmar;
    thrd_start_t function;
    void *argument;
    void *values[TSS_KEYS];
};

/* Bytes for a thread and its variables, to lie at the end of pages. */
size_t __zx_thread_size(void);
/* Lays a thread and its variables out so that they end at `end`, a multiple of 64. */
struct zx_thread *__zx_thread_place(char *end);
/* Makes the calling thread that one. */
void __zx_thread_adopt(struct zx_thread *thread);
/* Runs the destructors of the calling thread's keys. */
void __zx_tss_end(void);

/* Sends text to where it belongs, as often as it likes. */
typedef void (*__zx_sink_t)(void *to, const char *text, size_t size);
int __zx_format(__zx_sink_t sink, void *to, const char *format, va_list args);

/* Writes all of it to the debug log. */
void __zx_debug_log(const char *text, size_t size);
/* From now on what is printed are comments of TAP: each line begins with "# ". A failed assertion is no exception, which may have been
   announced, but an exit code. */
void __zx_in_test(void);

#endif
