/* The runner of tests: each is started, watched, and killed with all that it has started itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zircon/status.h>
#include <zircon/syscalls/debug.h>
#include <zircon/syscalls/object.h>

#include "test.h"

/* A crash, as it is announced and as it comes. */
struct crash {
    uint32_t type;
    zx_status_t status;
    uint64_t address;
};

/* How a test has ended. */
struct end {
    int timed_out, announced, crashed;
    struct crash expected, crash;
    uint64_t rip;
    int64_t code;
};

void zx_expect_crash(const volatile void *address, zx_status_t status)
{
    struct crash crash = {ZX_EXCP_FATAL_PAGE_FAULT, status, (uint64_t)address};
    zx_channel_write(__zx_test_channel, 0, &crash, sizeof(crash), NULL, 0);
}

void zx_expect_exception(zx_excp_type_t type)
{
    struct crash crash = {type, 0, 0};
    zx_channel_write(__zx_test_channel, 0, &crash, sizeof(crash), NULL, 0);
}

static const char *name_of(uint32_t type)
{
    switch (type) {
    case ZX_EXCP_FATAL_PAGE_FAULT:
        return "ZX_EXCP_FATAL_PAGE_FAULT";
    case ZX_EXCP_UNDEFINED_INSTRUCTION:
        return "ZX_EXCP_UNDEFINED_INSTRUCTION";
    case ZX_EXCP_SW_BREAKPOINT:
        return "ZX_EXCP_SW_BREAKPOINT";
    case ZX_EXCP_HW_BREAKPOINT:
        return "ZX_EXCP_HW_BREAKPOINT";
    case ZX_EXCP_UNALIGNED_ACCESS:
        return "ZX_EXCP_UNALIGNED_ACCESS";
    case ZX_EXCP_POLICY_ERROR:
        return "ZX_EXCP_POLICY_ERROR";
    default:
        return "ZX_EXCP_GENERAL";
    }
}

static void print_crash(const char *before, const struct crash *crash)
{
    printf("%s%s", before, name_of(crash->type));
    if (crash->type == ZX_EXCP_FATAL_PAGE_FAULT)
        printf(" at %#lx: %s", crash->address, zx_status_get_string(crash->status));
}

/* What the exception is that waits in the test's channel, if there is one. */
static zx_status_t read_exception(const struct running *test, struct end *end)
{
    zx_handle_t exception, thread;
    zx_exception_info_t info;
    uint32_t bytes, handles;
    zx_status_t status = zx_channel_read(test->exceptions, 0, &info, &exception, sizeof(info), 1, &bytes, &handles);
    if (status == ZX_ERR_SHOULD_WAIT || status == ZX_ERR_PEER_CLOSED)
        return ZX_OK;
    if (status == ZX_OK)
        status = zx_exception_get_thread(exception, &thread);
    if (status != ZX_OK)
        return status;
    /* So that nobody else handles or reports it when it is closed here. */
    uint32_t ends = ZX_EXCEPTION_STATE_THREAD_EXIT;
    zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &ends, sizeof(ends));
    zx_exception_report_t report;
    zx_thread_state_general_regs_t regs = {0};
    status = zx_object_get_info(thread, ZX_INFO_THREAD_EXCEPTION_REPORT, &report, sizeof(report), NULL, NULL);
    if (status == ZX_OK)
        status = zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs));
    int fault = report.header.type == ZX_EXCP_FATAL_PAGE_FAULT;
    end->crash = (struct crash){
        .type = report.header.type,
        .status = fault ? (zx_status_t)report.context.synth_code : 0,
        .address = fault ? report.context.arch.u.x86_64.cr2 : 0,
    };
    end->crashed = 1;
    end->rip = regs.rip;
    zx_handle_close(thread);
    zx_handle_close(exception);
    return status;
}

/* Waits for the end of a test, however it comes. */
static zx_status_t watch(const struct running *test, zx_time_t deadline, struct end *end)
{
    zx_wait_item_t items[] = {
        {test->exceptions, ZX_CHANNEL_READABLE, 0},
        {test->process, ZX_PROCESS_TERMINATED, 0},
    };
    zx_status_t status = zx_object_wait_many(items, 2, deadline);
    end->timed_out = status == ZX_ERR_TIMED_OUT;
    if (status != ZX_OK)
        return end->timed_out ? ZX_OK : status;
    struct crash crash;
    uint32_t bytes;
    while (zx_channel_read(test->announcements, 0, &crash, NULL, sizeof(crash), 0, &bytes, NULL) == ZX_OK) {
        end->expected = crash;
        end->announced = 1;
    }
    zx_info_process_t info;
    status = zx_object_get_info(test->process, ZX_INFO_PROCESS, &info, sizeof(info), NULL, NULL);
    end->code = info.return_code;
    return status == ZX_OK ? read_exception(test, end) : status;
}

/* Runs a test; what kept it from starting or from being watched. */
static zx_status_t run(const zx_test_t *test, uint64_t index, struct end *end)
{
    struct running running = {0};
    zx_time_t deadline = zx_deadline_after(ZX_MSEC(test->limit_millis));
    zx_status_t status = __zx_test_start(test->name, index, &running);
    if (status == ZX_OK) {
        status = watch(&running, deadline, end);
        zx_task_kill(running.job);
        zx_object_wait_one(running.process, ZX_PROCESS_TERMINATED, ZX_TIME_INFINITE, NULL);
    }
    zx_handle_t handles[] = {running.job, running.process, running.announcements, running.exceptions};
    zx_handle_close_many(handles, 4);
    return status;
}

static int passed(const struct end *end)
{
    if (end->timed_out || end->crashed != end->announced)
        return 0;
    return end->announced ? memcmp(&end->crash, &end->expected, sizeof(end->crash)) == 0 : end->code == 0;
}

static void explain(const zx_test_t *test, const struct end *end)
{
    if (end->timed_out) {
        printf("# it was not over after %ld ms", test->limit_millis);
    } else if (end->crashed) {
        print_crash("# it crashed: ", &end->crash);
        printf(", rip %#lx", end->rip);
    } else {
        printf("# it ended with code %ld", end->code);
    }
    if (end->announced)
        print_crash("; announced was ", &end->expected);
    printf("\n");
}

/* There can be no further tests. */
static int bail_out(const char *what, zx_status_t status)
{
    printf("Bail out! %s: %s\n", what, zx_status_get_string(status));
    return 2;
}

int zx_run_tests(const zx_test_t *tests, size_t count, const char *filter)
{
    if (__zx_test_channel != ZX_HANDLE_INVALID) {
        __zx_in_test();
        tests[__zx_test_index].body();
        return 0;
    }
    size_t selected = 0, number = 0;
    for (size_t i = 0; i < count; i++)
        selected += strstr(tests[i].name, filter) != NULL;
    printf("TAP version 14\n1..%zu\n", selected);
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (strstr(tests[i].name, filter) == NULL)
            continue;
        struct end end = {0};
        zx_status_t status = run(&tests[i], i, &end);
        if (status != ZX_OK)
            return bail_out(tests[i].name, status);
        int good = passed(&end);
        printf("%s %zu - %s\n", good ? "ok" : "not ok", ++number, tests[i].name);
        if (!good)
            explain(&tests[i], &end);
        failed |= !good;
    }
    return failed;
}
