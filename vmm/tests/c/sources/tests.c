/* Tests that pass, fail, crash, hang, and crash as announced. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zx/test.h>

static int variable = 1;

static void passes(void)
{
    printf("one\ntwo");
    printf(" three\n");
    assert(variable++ == 1);
    char *memory = malloc(100);
    assert(memory != NULL && zx_take_startup_handle("data") != ZX_HANDLE_INVALID);
}

static void starts_afresh(void)
{
    assert(variable++ == 1 && zx_take_startup_handle("data") != ZX_HANDLE_INVALID);
}

static void fails(void)
{
    assert(variable == 2);
}

static void fails_before_it_traps(void)
{
    zx_expect_exception(ZX_EXCP_UNDEFINED_INSTRUCTION);
    assert(variable == 2);
}

static void exits(void)
{
    exit(3);
}

static void crashes(void)
{
    int *volatile nowhere = (int *)0x10;
    *nowhere = 1;
}

static void crashes_as_announced(void)
{
    zx_expect_crash((void *)0x10, ZX_ERR_NOT_FOUND);
    crashes();
}

static void crashes_elsewhere(void)
{
    zx_expect_crash((void *)0x20, ZX_ERR_NOT_FOUND);
    crashes();
}

static void traps_as_announced(void)
{
    zx_expect_exception(ZX_EXCP_UNDEFINED_INSTRUCTION);
    abort();
}

static void does_not_crash(void)
{
    zx_expect_crash((void *)0x10, ZX_ERR_NOT_FOUND);
}

static void hangs(void)
{
    for (;;) {
    }
}

static int writes(void *text)
{
    *(volatile char *)text = 'x';
    return 0;
}

/* Text is not for writing, whichever thread tries. */
static void crashes_in_a_thread(void)
{
    thrd_t thread;
    zx_expect_crash((void *)writes, ZX_ERR_ACCESS_DENIED);
    thrd_create(&thread, writes, (void *)writes);
    thrd_join(thread, NULL);
}

static void goes_on(void)
{
}

ZX_TESTS(ZX_TEST(passes), ZX_TEST(starts_afresh), ZX_TEST(fails), ZX_TEST(fails_before_it_traps), ZX_TEST(exits),
         ZX_TEST(crashes), ZX_TEST(crashes_as_announced), ZX_TEST(crashes_elsewhere), ZX_TEST(traps_as_announced),
         ZX_TEST(does_not_crash), ZX_TEST_WITHIN(hangs, 200), ZX_TEST(crashes_in_a_thread), ZX_TEST(goes_on))
