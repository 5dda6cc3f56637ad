#ifndef TIME_H_
#define TIME_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef long time_t;

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};

/* The only clock counts from the start of the VM. */
#define TIME_UTC 1
int timespec_get(struct timespec *time, int base);

#ifdef __cplusplus
}
#endif

#endif
