/*
 * A program of tests. Each runs in a process of its own, so that a crash or a hang is one failure:
 *
 *     static void adds(void) { assert(1 + 1 == 2); }
 *
 *     static void reads_nothing(void)
 *     {
 *         zx_expect_crash((void *)0x10, ZX_ERR_NOT_FOUND);
 *         *(volatile char *)0x10;
 *     }
 *
 *     ZX_TESTS(ZX_TEST(adds), ZX_TEST(reads_nothing), ZX_TEST_WITHIN(takes_long, 60000))
 *
 * A test passes if it returns, calls exit(0), or crashes as it has announced. It finds the program's arguments and start-up handles, and
 * variables as they are at the start of a program. The verdicts are printed in TAP (https://testanything.org), what tests print as its
 * comments. The program's first argument, if there is one, selects the tests whose names contain it. The exit code is 0 if all
 * passed, 1 if one failed, 2 if one could not be started.
 */
#ifndef ZX_TEST_H_
#define ZX_TEST_H_

#include <zircon/syscalls/exception.h>
#include <zircon/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zx_test {
    const char *name;
    void (*body)(void);
    int64_t limit_millis;
} zx_test_t;

/* A test that may take ten seconds, and one with another limit, in milliseconds. */
#define ZX_TEST(function) ZX_TEST_WITHIN(function, 10000)
#define ZX_TEST_WITHIN(function, millis) {#function, function, millis}

/* The whole program: main runs these tests. */
#define ZX_TESTS(...) \
    int main(int argc, char **argv) \
    { \
        static const zx_test_t tests[] = {__VA_ARGS__}; \
        return zx_run_tests(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : ""); \
    }

/* Runs the tests whose names contain `filter`; the exit code. It has to be all that main does. */
int zx_run_tests(const zx_test_t *tests, size_t count, const char *filter);

/* Announces that the calling test will crash by an access to `address`, for which `status` is the reason. The test then passes if that
   happens, and fails if it ends in any other way. */
void zx_expect_crash(const volatile void *address, zx_status_t status);

/* As zx_expect_crash, for an exception that is no page fault: ZX_EXCP_... */
void zx_expect_exception(zx_excp_type_t type);

#ifdef __cplusplus
}
#endif

#endif
