/* Threads of C11. A thread's stack is 256 KiB, with an unmapped page below. */
#ifndef THREADS_H_
#define THREADS_H_

#include <time.h>

#ifdef __cplusplus
extern "C" {
#else
#define thread_local _Thread_local
#endif

enum {
    thrd_success,
    thrd_nomem,
    thrd_timedout,
    thrd_busy,
    thrd_error,
};

typedef struct zx_thread *thrd_t;
typedef int (*thrd_start_t)(void *);

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument);
int thrd_join(thrd_t thread, int *result);
int thrd_detach(thrd_t thread);
thrd_t thrd_current(void);
int thrd_equal(thrd_t a, thrd_t b);
int thrd_sleep(const struct timespec *time, struct timespec *remaining);
void thrd_yield(void);
__attribute__((__noreturn__)) void thrd_exit(int result);

enum {
    mtx_plain = 0,
    mtx_recursive = 1,
    mtx_timed = 2,
};

/* All zeros is an unlocked plain mutex. */
typedef struct {
    int state;
    int type;
    int depth;
    thrd_t owner;
} mtx_t;

int mtx_init(mtx_t *mutex, int type);
int mtx_lock(mtx_t *mutex);
int mtx_trylock(mtx_t *mutex);
/* The time is one of timespec_get. */
int mtx_timedlock(mtx_t *__restrict mutex, const struct timespec *__restrict time);
int mtx_unlock(mtx_t *mutex);
void mtx_destroy(mtx_t *mutex);

/* All zeros is one that nobody waits for. */
typedef struct {
    int turn;
} cnd_t;

int cnd_init(cnd_t *condition);
int cnd_wait(cnd_t *condition, mtx_t *mutex);
int cnd_timedwait(cnd_t *__restrict condition, mtx_t *__restrict mutex, const struct timespec *__restrict time);
int cnd_signal(cnd_t *condition);
int cnd_broadcast(cnd_t *condition);
void cnd_destroy(cnd_t *condition);

typedef int once_flag;
#define ONCE_FLAG_INIT 0
void call_once(once_flag *flag, void (*function)(void));

#define TSS_DTOR_ITERATIONS 4
typedef unsigned tss_t;
typedef void (*tss_dtor_t)(void *);
int tss_create(tss_t *key, tss_dtor_t destructor);
void *tss_get(tss_t key);
int tss_set(tss_t key, void *value);
void tss_delete(tss_t key);

#ifdef __cplusplus
}
#endif

#endif
