/* From the first instruction to main, and from there to the end; what the program was given. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "startup.h"

#define EXIT_NO_STARTUP 102
#define MAX_HANDLES 128
#define FUNCTIONS 512

typedef void (*initializer_t)(int, char **, char **);
extern const initializer_t __init_array_start[], __init_array_end[];
extern void (*const __fini_array_start[])(void), (*const __fini_array_end[])(void);

/* Programs of tests have it. */
__attribute__((__weak__)) void __zx_before_main(const char *page);

int main(int argc, char **argv);
__attribute__((__noreturn__)) void __zx_start(const char *page);

static struct startup_handle handles[MAX_HANDLES];
static size_t handle_count;
static zx_handle_t process, root_vmar, job;

zx_handle_t zx_take_startup_handle(const char *name)
{
    for (size_t i = 0; i < handle_count; i++) {
        if (strncmp(handles[i].name, name, ZX_MAX_NAME_LEN) == 0)
            return __atomic_exchange_n(&handles[i].handle, ZX_HANDLE_INVALID, __ATOMIC_RELAXED);
    }
    return ZX_HANDLE_INVALID;
}

zx_handle_t zx_process_self(void)
{
    return process;
}

zx_handle_t zx_vmar_root_self(void)
{
    return root_vmar;
}

zx_handle_t zx_job_default(void)
{
    return job;
}

static _Noreturn void refuse(const char *why)
{
    __zx_debug_log(why, strlen(why));
    zx_process_exit(EXIT_NO_STARTUP);
}

/* Copies the handles, then the arguments, which are behind one another. */
static char **read_page(const char *page, int *argc)
{
    const struct startup_header *header = (const struct startup_header *)page;
    if (header->version != STARTUP_VERSION)
        refuse("zx: the start-up page has another layout than this program was built for\n");
    if (header->handle_count > MAX_HANDLES)
        refuse("zx: too many start-up handles\n");
    handle_count = header->handle_count;
    memcpy(handles, page + header->handles_offset, handle_count * sizeof(handles[0]));
    process = zx_take_startup_handle("process");
    root_vmar = zx_take_startup_handle("vmar");
    job = zx_take_startup_handle("job");
    if (__zx_before_main != NULL)
        __zx_before_main(page);

    size_t bytes = header->size - header->args_offset;
    char **argv = malloc((header->arg_count + 2) * sizeof(char *) + bytes);
    if (argv == NULL)
        refuse("zx: no memory for the arguments\n");
    char *text = (char *)(argv + header->arg_count + 2);
    memcpy(text, page + header->args_offset, bytes);
    for (uint32_t i = 0; i < header->arg_count; i++) {
        argv[i] = text;
        text += strlen(text) + 1;
    }
    /* The end of the arguments, and an empty environment. */
    argv[header->arg_count] = argv[header->arg_count + 1] = NULL;
    *argc = (int)header->arg_count;
    return argv;
}

void __zx_start(const char *page)
{
    static _Alignas(64) char first[8192];
    int argc;
    char **argv = read_page(page, &argc);
    if (__zx_thread_size() > sizeof(first))
        refuse("zx: the thread-local variables are too large\n");
    struct zx_thread *thread = __zx_thread_place(first + sizeof(first));
    thread->handle = zx_take_startup_handle("thread");
    __zx_thread_adopt(thread);
    for (const initializer_t *each = __init_array_start; each < __init_array_end; each++)
        (*each)(argc, argv, argv + argc + 1);
    exit(main(argc, argv));
}

/* Functions for the end, with the argument that those of C++ get. */
static struct {
    void (*function)(void *);
    void *argument;
} at_exit[FUNCTIONS];
static size_t at_exit_count;

int __cxa_atexit(void (*function)(void *), void *argument, void *object);

int __cxa_atexit(void (*function)(void *), void *argument, void *object)
{
    (void)object;
    size_t at = __atomic_fetch_add(&at_exit_count, 1, __ATOMIC_RELAXED);
    if (at >= FUNCTIONS) {
        __atomic_fetch_sub(&at_exit_count, 1, __ATOMIC_RELAXED);
        return -1;
    }
    at_exit[at].function = function;
    at_exit[at].argument = argument;
    return 0;
}

static void call(void *function)
{
    ((void (*)(void))function)();
}

int atexit(void (*function)(void))
{
    return __cxa_atexit(call, (void *)function, NULL);
}

void exit(int code)
{
    while (at_exit_count > 0) {
        size_t at = --at_exit_count;
        at_exit[at].function(at_exit[at].argument);
    }
    for (void (*const *each)(void) = __fini_array_end; each > __fini_array_start;)
        (*--each)();
    _Exit(code);
}

void _Exit(int code)
{
    zx_process_exit(code);
}

void abort(void)
{
    __builtin_trap();
}
