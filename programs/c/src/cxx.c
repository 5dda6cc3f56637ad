/* What C++ without exceptions and RTTI asks of its library. The names are those of the C++ ABI. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

void *__dso_handle;

#define NAMED(name) __asm__(name)

static _Noreturn void die(const char *why)
{
    printf("%s\n", why);
    abort();
}

void __cxa_pure_virtual(void);
void __cxa_pure_virtual(void)
{
    die("a pure virtual function was called");
}

/* Guards of static variables in functions: the first byte says "done", the futex in the upper half is that of call_once. */
struct guard {
    int done;
    int state;
};

int __cxa_guard_acquire(struct guard *guard);
void __cxa_guard_release(struct guard *guard);
void __cxa_guard_abort(struct guard *guard);

int __cxa_guard_acquire(struct guard *guard)
{
    for (;;) {
        int state = 0;
        if (__atomic_compare_exchange_n(&guard->state, &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return 1;
        if (state == 2)
            return 0;
        zx_futex_wait(&guard->state, 1, ZX_HANDLE_INVALID, ZX_TIME_INFINITE);
    }
}

static void guard_end(struct guard *guard, int state)
{
    __atomic_store_n(&guard->state, state, __ATOMIC_RELEASE);
    zx_futex_wake(&guard->state, UINT32_MAX);
}

void __cxa_guard_release(struct guard *guard)
{
    __atomic_store_n((char *)&guard->done, 1, __ATOMIC_RELEASE);
    guard_end(guard, 2);
}

void __cxa_guard_abort(struct guard *guard)
{
    guard_end(guard, 0);
}

/* new and delete; those that may not fail end the program. */
const char zx_nothrow NAMED("_ZSt7nothrow") = 0;
void *zx_new(size_t) NAMED("_Znwm");
void *zx_new_array(size_t) NAMED("_Znam");
void *zx_new_aligned(size_t, size_t) NAMED("_ZnwmSt11align_val_t");
void *zx_new_array_aligned(size_t, size_t) NAMED("_ZnamSt11align_val_t");
void *zx_try_new(size_t, const char *) NAMED("_ZnwmRKSt9nothrow_t");
void *zx_try_new_array(size_t, const char *) NAMED("_ZnamRKSt9nothrow_t");
void zx_delete(void *) NAMED("_ZdlPv");
void zx_delete_array(void *) NAMED("_ZdaPv");
void zx_delete_sized(void *, size_t) NAMED("_ZdlPvm");
void zx_delete_array_sized(void *, size_t) NAMED("_ZdaPvm");
void zx_delete_aligned(void *, size_t) NAMED("_ZdlPvSt11align_val_t");
void zx_delete_array_aligned(void *, size_t) NAMED("_ZdaPvSt11align_val_t");
void zx_delete_sized_aligned(void *, size_t, size_t) NAMED("_ZdlPvmSt11align_val_t");
void zx_delete_array_sized_aligned(void *, size_t, size_t) NAMED("_ZdaPvmSt11align_val_t");

void *zx_new_aligned(size_t size, size_t alignment)
{
    void *memory = aligned_alloc(alignment, size);
    if (memory == NULL)
        die("no memory for new");
    return memory;
}

void *zx_new_array_aligned(size_t size, size_t alignment)
{
    return zx_new_aligned(size, alignment);
}

void *zx_new(size_t size)
{
    return zx_new_aligned(size, 16);
}

void *zx_new_array(size_t size)
{
    return zx_new_aligned(size, 16);
}

void *zx_try_new(size_t size, const char *nothrow)
{
    (void)nothrow;
    return malloc(size);
}

void *zx_try_new_array(size_t size, const char *nothrow)
{
    (void)nothrow;
    return malloc(size);
}

void zx_delete(void *memory)
{
    free(memory);
}

void zx_delete_array(void *memory)
{
    free(memory);
}

void zx_delete_sized(void *memory, size_t size)
{
    (void)size;
    free(memory);
}

void zx_delete_array_sized(void *memory, size_t size)
{
    (void)size;
    free(memory);
}

void zx_delete_aligned(void *memory, size_t alignment)
{
    (void)alignment;
    free(memory);
}

void zx_delete_array_aligned(void *memory, size_t alignment)
{
    (void)alignment;
    free(memory);
}

void zx_delete_sized_aligned(void *memory, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    free(memory);
}

void zx_delete_array_sized_aligned(void *memory, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    free(memory);
}

/* What the templates of libstdc++'s headers call where they would throw. */
void zx_terminate(void) NAMED("_ZSt9terminatev");
void zx_bad_alloc(void) NAMED("_ZSt17__throw_bad_allocv");
void zx_bad_new_length(void) NAMED("_ZSt28__throw_bad_array_new_lengthv");
void zx_bad_call(void) NAMED("_ZSt25__throw_bad_function_callv");
void zx_length_error(const char *) NAMED("_ZSt20__throw_length_errorPKc");
void zx_logic_error(const char *) NAMED("_ZSt19__throw_logic_errorPKc");
void zx_out_of_range(const char *) NAMED("_ZSt20__throw_out_of_rangePKc");
void zx_out_of_range_format(const char *, ...) NAMED("_ZSt24__throw_out_of_range_fmtPKcz");

void zx_terminate(void)
{
    die("terminate");
}

void zx_bad_alloc(void)
{
    die("bad_alloc");
}

void zx_bad_new_length(void)
{
    die("bad_array_new_length");
}

void zx_bad_call(void)
{
    die("bad_function_call");
}

void zx_length_error(const char *what)
{
    die(what);
}

void zx_logic_error(const char *what)
{
    die(what);
}

void zx_out_of_range(const char *what)
{
    die(what);
}

void zx_out_of_range_format(const char *what, ...)
{
    die(what);
}
