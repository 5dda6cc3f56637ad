/*
 * Mutexes, conditions and call_once, on futexes.
 *
 * A mutex is 0 (free), 1 (locked) or 2 (locked, and somebody may wait). A condition is a count of signals: who waits sleeps as long
 * as it is what it was while the mutex was held.
 */
#include "internal.h"

static zx_time_t deadline(const struct timespec *time)
{
    return ZX_SEC(time->tv_sec) + time->tv_nsec;
}

int timespec_get(struct timespec *time, int base)
{
    zx_time_t now = zx_clock_get_monotonic();
    time->tv_sec = now / ZX_SEC(1);
    time->tv_nsec = now % ZX_SEC(1);
    return base;
}

static int try_lock(int *state)
{
    int free = 0;
    return __atomic_compare_exchange_n(state, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static int lock(mtx_t *mutex, zx_time_t until)
{
    if (try_lock(&mutex->state))
        return thrd_success;
    while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0) {
        if (zx_futex_wait(&mutex->state, 2, ZX_HANDLE_INVALID, until) == ZX_ERR_TIMED_OUT)
            return thrd_timedout;
    }
    return thrd_success;
}

/* Whether a recursive mutex is the caller's already, and counts once more. */
static int again(mtx_t *mutex)
{
    if (!(mutex->type & mtx_recursive) || __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) != thrd_current())
        return 0;
    mutex->depth++;
    return 1;
}

static int own(mtx_t *mutex, int result)
{
    if (result == thrd_success && (mutex->type & mtx_recursive))
        __atomic_store_n(&mutex->owner, thrd_current(), __ATOMIC_RELAXED);
    return result;
}

int mtx_init(mtx_t *mutex, int type)
{
    *mutex = (mtx_t){.type = type};
    return thrd_success;
}

int mtx_lock(mtx_t *mutex)
{
    return again(mutex) ? thrd_success : own(mutex, lock(mutex, ZX_TIME_INFINITE));
}

int mtx_trylock(mtx_t *mutex)
{
    return again(mutex) ? thrd_success : own(mutex, try_lock(&mutex->state) ? thrd_success : thrd_busy);
}

int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict time)
{
    return again(mutex) ? thrd_success : own(mutex, lock(mutex, deadline(time)));
}

int mtx_unlock(mtx_t *mutex)
{
    if (mutex->depth > 0) {
        mutex->depth--;
        return thrd_success;
    }
    __atomic_store_n(&mutex->owner, (thrd_t)0, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2)
        zx_futex_wake(&mutex->state, 1);
    return thrd_success;
}

void mtx_destroy(mtx_t *mutex)
{
    (void)mutex;
}

int cnd_init(cnd_t *condition)
{
    condition->turn = 0;
    return thrd_success;
}

static int wait(cnd_t *condition, mtx_t *mutex, zx_time_t until)
{
    int turn = __atomic_load_n(&condition->turn, __ATOMIC_RELAXED);
    mtx_unlock(mutex);
    zx_status_t status = zx_futex_wait(&condition->turn, turn, ZX_HANDLE_INVALID, until);
    mtx_lock(mutex);
    return status == ZX_ERR_TIMED_OUT ? thrd_timedout : thrd_success;
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return wait(condition, mutex, ZX_TIME_INFINITE);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict time)
{
    return wait(condition, mutex, deadline(time));
}

static int wake(cnd_t *condition, uint32_t count)
{
    __atomic_fetch_add(&condition->turn, 1, __ATOMIC_RELEASE);
    zx_futex_wake(&condition->turn, count);
    return thrd_success;
}

int cnd_signal(cnd_t *condition)
{
    return wake(condition, 1);
}

int cnd_broadcast(cnd_t *condition)
{
    return wake(condition, UINT32_MAX);
}

void cnd_destroy(cnd_t *condition)
{
    (void)condition;
}

/* 0: not called yet, 1: being called, 2: called. */
void call_once(once_flag *flag, void (*function)(void))
{
    int state = 0;
    if (__atomic_compare_exchange_n(flag, &state, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        function();
        __atomic_store_n(flag, 2, __ATOMIC_RELEASE);
        zx_futex_wake(flag, UINT32_MAX);
        return;
    }
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != 2)
        zx_futex_wait(flag, 1, ZX_HANDLE_INVALID, ZX_TIME_INFINITE);
}
