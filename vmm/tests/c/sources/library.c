/* The parts of the library that need no threads. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zircon/process.h>
#include <zircon/status.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/object.h>

static void strings(void)
{
    char text[32] = "hello";
    assert(strlen(text) == 5 && strnlen(text, 3) == 3);
    assert(strcmp("a", "b") < 0 && strcmp("b", "a") > 0 && strcmp("a", "a") == 0 && strcmp("a", "ab") < 0);
    assert(strcmp("\xff", "a") > 0 && strncmp("abc", "abd", 2) == 0 && memcmp("abc", "abd", 3) < 0);
    assert(strcmp(strcat(text, ", you"), "hello, you") == 0);
    assert(strcmp(strncat(text, "....", 2), "hello, you..") == 0);
    assert(strchr(text, 'l') == text + 2 && strrchr(text, 'l') == text + 3 && strchr(text, 'z') == NULL);
    assert(*strchr(text, 0) == 0 && *strrchr(text, 0) == 0);
    assert(strstr(text, "you") == text + 7 && strstr(text, "") == text && strstr(text, "yous") == NULL);
    assert(strspn("112a", "12") == 3 && strcspn("abc1", "123") == 3 && *strpbrk("abc1", "123") == '1');
    char list[] = ",a,,bc,", *rest;
    assert(strcmp(strtok_r(list, ",", &rest), "a") == 0 && strcmp(strtok_r(NULL, ",", &rest), "bc") == 0);
    assert(strtok_r(NULL, ",", &rest) == NULL);
    char padded[8];
    memset(padded, '#', sizeof(padded));
    strncpy(padded, "ab", 6);
    assert(memcmp(padded, "ab\0\0\0\0##", 8) == 0);
    assert(memchr("abc", 'c', 2) == NULL);
    char *copy = strdup("copy");
    assert(strcmp(copy, "copy") == 0);
    free(copy);
}

static void moves(void)
{
    for (size_t from = 0; from < 24; from++) {
        for (size_t to = 0; to < 24; to++) {
            for (size_t size = 0; size < 24; size++) {
                unsigned char bytes[48];
                for (size_t i = 0; i < sizeof(bytes); i++)
                    bytes[i] = (unsigned char)i;
                assert(memmove(bytes + to, bytes + from, size) == bytes + to);
                for (size_t i = 0; i < sizeof(bytes); i++)
                    assert(bytes[i] == (i >= to && i < to + size ? from + i - to : i));
            }
        }
    }
}

static void numbers(void)
{
    char *end;
    assert(atoi(" -42x") == -42 && strtol("0x1F", &end, 0) == 31 && *end == 0);
    assert(strtol("077", NULL, 0) == 63 && strtol("zz", NULL, 36) == 1295 && strtol("0x", &end, 16) == 0 && *end == 'x');
    const char *none = "none";
    assert(strtol(none, &end, 10) == 0 && end == none && errno == 0);
    assert(strtol("-9223372036854775808", NULL, 10) == LONG_MIN && errno == 0);
    assert(strtol("9223372036854775808", NULL, 10) == LONG_MAX && errno == ERANGE);
    errno = 0;
    char text[16];
    assert(sprintf(text, "%d-%s", 12, "ab") == 5 && strcmp(text, "12-ab") == 0 && atol("-7") == -7);
    srand(3);
    int first = rand(), second = rand();
    srand(3);
    assert(rand() == first && rand() == second && first != second && first >= 0 && second >= 0);
    assert(strtoul("18446744073709551616", NULL, 10) == ULONG_MAX && errno == ERANGE);
    assert(strtoull("18446744073709551615", NULL, 10) == ULLONG_MAX);
    assert(toupper('a') == 'A' && tolower('Z') == 'z' && isxdigit('f') && !isxdigit('g') && ispunct('!') && isspace('\n'));
}

static int compare(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    return (left > right) - (left < right);
}

static void order(void)
{
    int values[500];
    for (int i = 0; i < 500; i++)
        values[i] = i * 7919 % 499;
    qsort(values, 500, sizeof(int), compare);
    for (int i = 1; i < 500; i++)
        assert(values[i - 1] <= values[i]);
    int key = 250, missing = 1000;
    assert(*(int *)bsearch(&key, values, 500, sizeof(int), compare) == 250);
    assert(bsearch(&missing, values, 500, sizeof(int), compare) == NULL);
}

static jmp_buf place;

static void jump(int value)
{
    char room[1000];
    memset(room, value, sizeof(room));
    longjmp(place, room[value]);
}

static void jumps(void)
{
    volatile int rounds = 0;
    int value = setjmp(place);
    assert(value == rounds || (rounds == 1 && value == 1));
    if (++rounds < 5)
        jump(rounds);
    if (setjmp(place) == 0)
        longjmp(place, 0);
}

static void handles(void)
{
    char name[ZX_MAX_NAME_LEN] = "";
    zx_handle_t data = zx_take_startup_handle("data");
    assert(data != ZX_HANDLE_INVALID && zx_take_startup_handle("data") == ZX_HANDLE_INVALID);
    assert(zx_object_get_property(data, ZX_PROP_NAME, name, sizeof(name)) == ZX_OK && strcmp(name, "data") == 0);
    zx_info_handle_basic_t info;
    zx_status_t status = zx_object_get_info(zx_process_self(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), NULL, NULL);
    assert(status == ZX_OK && info.type == ZX_OBJ_TYPE_PROCESS);
    assert(strcmp(zx_status_get_string(zx_vmo_get_size(0, NULL)), "ZX_ERR_BAD_HANDLE") == 0);
    assert(zx_object_get_info(zx_thread_self(), ZX_INFO_HANDLE_BASIC, &info, sizeof(info), NULL, NULL) == ZX_OK);
    assert(info.type == ZX_OBJ_TYPE_THREAD);
}

/* Calls with seven and eight arguments keep the registers that belong to the caller. */
static void long_calls(void)
{
    zx_handle_t a, b, vmo;
    zx_vaddr_t address = 0;
    assert(zx_vmo_create(4096, 0, &vmo) == ZX_OK);
    assert(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, vmo, 0, 4096, &address) == ZX_OK);
    *(volatile int *)address = 5;
    assert(zx_channel_create(0, &a, &b) == ZX_OK && zx_channel_write(a, 0, "ping", 4, &vmo, 1) == ZX_OK);
    char bytes[8];
    zx_handle_t received;
    uint32_t size, count;
    assert(zx_channel_read(b, 0, bytes, &received, sizeof(bytes), 1, &size, &count) == ZX_OK);
    assert(size == 4 && count == 1 && memcmp(bytes, "ping", 4) == 0);
    int value = 0;
    assert(zx_vmo_read(received, &value, 0, sizeof(value)) == ZX_OK && value == 5);
}

static void at_end(void)
{
    puts("at the end");
}

int main(int argc, char **argv)
{
    assert(argc == 3 && strcmp(argv[1], "one") == 0 && strcmp(argv[2], "") == 0 && argv[3] == NULL);
    strings();
    moves();
    numbers();
    order();
    jumps();
    handles();
    long_calls();
    assert(atexit(at_end) == 0);
    puts("all is well");
    return 5;
}
