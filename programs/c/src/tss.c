/* Values that each thread has its own of. */
#include "internal.h"

static tss_dtor_t destructors[TSS_KEYS];
static unsigned keys;

int tss_create(tss_t *key, tss_dtor_t destructor)
{
    unsigned next = __atomic_fetch_add(&keys, 1, __ATOMIC_RELAXED);
    if (next >= TSS_KEYS) {
        __atomic_fetch_sub(&keys, 1, __ATOMIC_RELAXED);
        return thrd_error;
    }
    __atomic_store_n(&destructors[next], destructor, __ATOMIC_RELEASE);
    *key = next;
    return thrd_success;
}

void *tss_get(tss_t key)
{
    return thrd_current()->values[key];
}

int tss_set(tss_t key, void *value)
{
    thrd_current()->values[key] = value;
    return thrd_success;
}

/* The number is not given out again. */
void tss_delete(tss_t key)
{
    __atomic_store_n(&destructors[key], (tss_dtor_t)NULL, __ATOMIC_RELEASE);
}

void __zx_tss_end(void)
{
    void **values = thrd_current()->values;
    for (int left = 1, round = 0; left && round < TSS_DTOR_ITERATIONS; round++) {
        left = 0;
        for (unsigned key = 0; key < TSS_KEYS; key++) {
            tss_dtor_t destructor = __atomic_load_n(&destructors[key], __ATOMIC_ACQUIRE);
            void *value = values[key];
            values[key] = NULL;
            if (value != NULL && destructor != NULL) {
                destructor(value);
                left = 1;
            }
        }
    }
}
