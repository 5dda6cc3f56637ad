/* Threads, mutexes, conditions, keys, call_once, thread-local variables. */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/object.h>

#define THREADS 6
#define ROUNDS 500

static mtx_t lock;
static long sum;
static thread_local long own = 11;
static thread_local char zeros[100];
static thread_local _Alignas(64) char aligned[64];

static int add(void *argument)
{
    long number = (long)argument;
    assert(own == 11 && zeros[99] == 0 && (unsigned long)aligned % 64 == 0);
    own = number;
    for (int i = 0; i < ROUNDS; i++) {
        mtx_lock(&lock);
        long before = sum;
        if (i % 50 == 0)
            thrd_yield();
        sum = before + number;
        mtx_unlock(&lock);
    }
    assert(own == number);
    return (int)number;
}

static void start(thrd_t *thread, thrd_start_t function, long argument)
{
    assert(thrd_create(thread, function, (void *)argument) == thrd_success);
}

static void mutexes(void)
{
    thrd_t threads[THREADS];
    long expected = 0;
    for (long i = 0; i < THREADS; i++) {
        start(&threads[i], add, i + 1);
        expected += (i + 1) * ROUNDS;
    }
    for (int i = 0; i < THREADS; i++) {
        int result;
        assert(thrd_join(threads[i], &result) == thrd_success && result == i + 1);
    }
    assert(sum == expected && own == 11);
}

/* A queue of one element that producers and consumers hand on. */
static cnd_t filled, emptied;
static int full, element, taken;

static int produce(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        mtx_lock(&lock);
        while (full)
            cnd_wait(&emptied, &lock);
        full = 1;
        element = (int)(long)argument;
        cnd_signal(&filled);
        mtx_unlock(&lock);
    }
    return 0;
}

static int consume(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        mtx_lock(&lock);
        while (!full)
            cnd_wait(&filled, &lock);
        full = 0;
        taken += element;
        cnd_signal(&emptied);
        mtx_unlock(&lock);
    }
    return 0;
}

static void conditions(void)
{
    thrd_t threads[4];
    start(&threads[0], produce, 1);
    start(&threads[1], produce, 2);
    start(&threads[2], consume, 0);
    start(&threads[3], consume, 0);
    for (int i = 0; i < 4; i++)
        thrd_join(threads[i], NULL);
    assert(taken == 3 * ROUNDS);
}

static void times(void)
{
    struct timespec soon;
    timespec_get(&soon, TIME_UTC);
    soon.tv_nsec += 2000000;
    mtx_lock(&lock);
    assert(cnd_timedwait(&filled, &lock, &soon) == thrd_timedout);
    assert(mtx_trylock(&lock) == thrd_busy);
    assert(mtx_timedlock(&lock, &soon) == thrd_timedout);
    mtx_unlock(&lock);
    mtx_t recursive;
    mtx_init(&recursive, mtx_recursive | mtx_timed);
    assert(mtx_lock(&recursive) == thrd_success && mtx_trylock(&recursive) == thrd_success);
    mtx_unlock(&recursive);
    mtx_unlock(&recursive);
    zx_time_t before = zx_clock_get_monotonic();
    thrd_sleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    assert(zx_clock_get_monotonic() - before >= 3000000);
}

static atomic_int calls, ended;
static once_flag once = ONCE_FLAG_INIT;
static tss_t key;

static void count(void)
{
    thrd_yield();
    calls++;
}

static void destroy(void *value)
{
    assert(*(int *)value == 5);
    free(value);
    ended++;
}

static int keyed(void *argument)
{
    (void)argument;
    call_once(&once, count);
    assert(calls == 1 && tss_get(key) == NULL);
    int *value = malloc(sizeof(*value));
    *value = 5;
    tss_set(key, value);
    assert(tss_get(key) == value && thrd_equal(thrd_current(), thrd_current()));
    thrd_exit(9);
}

static void keys(void)
{
    assert(tss_create(&key, destroy) == thrd_success);
    thrd_t threads[4];
    for (int i = 0; i < 4; i++)
        start(&threads[i], keyed, 0);
    for (int i = 0; i < 4; i++) {
        int result;
        thrd_join(threads[i], &result);
        assert(result == 9);
    }
    assert(calls == 1 && ended == 4);
}

static uint32_t mappings(void)
{
    static zx_info_maps_t maps[4096];
    size_t count, stacks = 0;
    assert(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_MAPS, maps, sizeof(maps), &count, NULL) == ZX_OK);
    for (size_t i = 0; i < count; i++)
        stacks += maps[i].type == ZX_INFO_MAPS_TYPE_MAPPING && strcmp(maps[i].name, "stack") == 0;
    return (uint32_t)stacks;
}

static int brief(void *argument)
{
    (void)argument;
    ended++;
    return 0;
}

/* Detached threads, early and late, leave nothing behind. */
static void detached(void)
{
    uint32_t before = mappings();
    ended = 0;
    for (int i = 0; i < 50; i++) {
        thrd_t thread;
        start(&thread, brief, 0);
        if (i % 2)
            while (ended <= i)
                thrd_yield();
        assert(thrd_detach(thread) == thrd_success);
        while (ended <= i)
            thrd_yield();
    }
    while (mappings() > before)
        thrd_yield();
}

int main(void)
{
    mutexes();
    conditions();
    times();
    keys();
    detached();
    puts("threads are well");
    return 0;
}
