/* What test.c and test_image.c share. */
#ifndef ZX_SRC_TEST_H_
#define ZX_SRC_TEST_H_

#include <zx/test.h>

#include "internal.h"

/* The process of a test, and the ends of two channels: what it announces, and its exceptions. */
struct running {
    zx_handle_t job, process, announcements, exceptions;
};

/* In the process of a test: the channel to the runner, and which test it is. The channel is 0 in the runner. */
extern zx_handle_t __zx_test_channel;
extern uint64_t __zx_test_index;

/* Starts the process of a test. */
zx_status_t __zx_test_start(const char *name, uint64_t index, struct running *out);

#endif
