/*
 * Threads. Each has a region of its own in the address space:
 *
 *     unmapped page | stack | thread-local variables | struct zx_thread
 *
 * fs points at the struct, as the compiler expects it. The region is destroyed by who joins the thread, or by the detached
 * thread itself with its last instructions (thread_entry.S).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zircon/syscalls/object.h>

#include "internal.h"
#include "numbers.h"

#define STACK_SIZE (256ul << 10)

/* From program.ld. */
extern const char __tls_image_start[], __tls_image_end[], __tls_end[], __tls_align[];

/* In .tdata, so that this section is there in every program, aligned as program.ld says: all places are counted from its start. */
__attribute__((__section__(".tdata"), __aligned__(64))) __thread int errno;

void __zx_thread_entry(void);
__attribute__((__noreturn__)) void __zx_thread_leave(int *state, zx_handle_t vmar, zx_handle_t thread);
__attribute__((__noreturn__)) void __zx_thread_run(struct zx_thread *thread);

static size_t round_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & -alignment;
}

static size_t alignment(void)
{
    size_t tls = (size_t)__tls_align;
    return tls > _Alignof(struct zx_thread) ? tls : _Alignof(struct zx_thread);
}

/* Bytes of the thread-local variables, which end where the struct begins. */
static size_t tls_size(void)
{
    return round_up((size_t)(__tls_end - __tls_image_start), alignment());
}

size_t __zx_thread_size(void)
{
    return tls_size() + round_up(sizeof(struct zx_thread), alignment());
}

struct zx_thread *__zx_thread_place(char *end)
{
    struct zx_thread *thread = (struct zx_thread *)(end - round_up(sizeof(*thread), alignment()));
    memcpy((char *)thread - tls_size(), __tls_image_start, (size_t)(__tls_image_end - __tls_image_start));
    thread->self = thread;
    return thread;
}

void __zx_thread_adopt(struct zx_thread *thread)
{
    uint64_t base = (uint64_t)thread;
    zx_object_set_property(thread->handle, ZX_PROP_REGISTER_FS, &base, sizeof(base));
}

thrd_t thrd_current(void)
{
    struct zx_thread *self;
    __asm__("movq %%fs:0, %0" : "=r"(self));
    return self;
}

zx_handle_t zx_thread_self(void)
{
    return thrd_current()->handle;
}

void __zx_thread_run(struct zx_thread *thread)
{
    __zx_thread_adopt(thread);
    thrd_exit(thread->function(thread->argument));
}

void thrd_exit(int result)
{
    struct zx_thread *self = thrd_current();
    __zx_tss_end();
    self->result = result;
    if (self->vmar == ZX_HANDLE_INVALID)
        zx_thread_exit();
    __zx_thread_leave(&self->state, self->vmar, self->handle);
}

/* Maps a stack with the thread at its end. */
static struct zx_thread *make(void)
{
    size_t size = STACK_SIZE + round_up(__zx_thread_size(), ZX_PAGE_SIZE);
    zx_vm_option_t may = ZX_VM_CAN_MAP_READ | ZX_VM_CAN_MAP_WRITE | ZX_VM_CAN_MAP_SPECIFIC;
    zx_vm_option_t options = ZX_VM_PERM_READ | ZX_VM_PERM_WRITE | ZX_VM_SPECIFIC;
    zx_handle_t vmo, vmar;
    zx_vaddr_t base, address;
    if (zx_vmo_create(size, 0, &vmo) != ZX_OK)
        return NULL;
    zx_object_set_property(vmo, ZX_PROP_NAME, "stack", 5);
    zx_status_t status = zx_vmar_allocate(zx_vmar_root_self(), may, 0, size + ZX_PAGE_SIZE, &vmar, &base);
    if (status == ZX_OK) {
        status = zx_vmar_map(vmar, options, ZX_PAGE_SIZE, vmo, 0, size, &address);
        if (status != ZX_OK) {
            zx_vmar_destroy(vmar);
            zx_handle_close(vmar);
        }
    }
    zx_handle_close(vmo);
    if (status != ZX_OK)
        return NULL;
    struct zx_thread *thread = __zx_thread_place((char *)address + size);
    thread->vmar = vmar;
    return thread;
}

/* Takes apart what make() has made. */
static void destroy(struct zx_thread *thread)
{
    zx_handle_t vmar = thread->vmar;
    if (thread->handle != ZX_HANDLE_INVALID)
        zx_handle_close(thread->handle);
    zx_vmar_destroy(vmar);
    zx_handle_close(vmar);
}

int thrd_create(thrd_t *out, thrd_start_t function, void *argument)
{
    struct zx_thread *thread = make();
    if (thread == NULL)
        return thrd_nomem;
    thread->function = function;
    thread->argument = argument;
    *out = thread;
    /* Below the variables; as after a call, for the entry's own call. */
    uintptr_t stack = ((uintptr_t)thread - tls_size()) & -16ul;
    zx_status_t status = zx_thread_create(zx_process_self(), "thrd", 4, 0, &thread->handle);
    if (status == ZX_OK)
        status = zx_thread_start(thread->handle, (zx_vaddr_t)__zx_thread_entry, stack, (uintptr_t)thread, 0);
    if (status == ZX_OK)
        return thrd_success;
    destroy(thread);
    return status == ZX_ERR_NO_MEMORY ? thrd_nomem : thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
    while (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != THREAD_ENDED)
        zx_futex_wait(&thread->state, THREAD_RUNS, ZX_HANDLE_INVALID, ZX_TIME_INFINITE);
    if (result != NULL)
        *result = thread->result;
    destroy(thread);
    return thrd_success;
}

int thrd_detach(thrd_t thread)
{
    int state = THREAD_RUNS;
    if (!__atomic_compare_exchange_n(&thread->state, &state, THREAD_DETACHED, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        destroy(thread);
    return thrd_success;
}

int thrd_equal(thrd_t a, thrd_t b)
{
    return a == b;
}

int thrd_sleep(const struct timespec *time, struct timespec *remaining)
{
    zx_nanosleep(zx_deadline_after(ZX_SEC(time->tv_sec) + time->tv_nsec));
    if (remaining != NULL)
        remaining->tv_sec = remaining->tv_nsec = 0;
    return 0;
}

void thrd_yield(void)
{
    zx_nanosleep(0);
}
