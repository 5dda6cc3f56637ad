/* Numbers from text and at random, and arrays in order. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int digit(char letter)
{
    if (isdigit(letter))
        return letter - '0';
    return isalpha(letter) ? tolower(letter) - 'a' + 10 : 36;
}

/* The number without its sign. Beyond the type it is the largest there is, with `over` set. */
static unsigned long long parse(const char *text, char **end, int base, int *negative, int *over)
{
    const char *at = text;
    while (isspace(*at))
        at++;
    *negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    int hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X') && digit(at[2]) < 16;
    if ((base == 0 || base == 16) && hex) {
        at += 2;
        base = 16;
    } else if (base == 0) {
        base = *at == '0' ? 8 : 10;
    }
    unsigned long long value = 0;
    const char *first = at;
    *over = 0;
    for (; digit(*at) < base; at++) {
        if (__builtin_mul_overflow(value, (unsigned)base, &value) ||
            __builtin_add_overflow(value, (unsigned)digit(*at), &value))
            *over = 1;
    }
    if (end != NULL)
        *end = (char *)(at > first ? at : text);
    return *over ? ULLONG_MAX : value;
}

unsigned long long strtoull(const char *restrict text, char **restrict end, int base)
{
    int negative, over;
    unsigned long long value = parse(text, end, base, &negative, &over);
    if (over) {
        errno = ERANGE;
        return value;
    }
    return negative ? -value : value;
}

long long strtoll(const char *restrict text, char **restrict end, int base)
{
    int negative, over;
    unsigned long long value = parse(text, end, base, &negative, &over);
    unsigned long long limit = (unsigned long long)LLONG_MAX + (unsigned)negative;
    if (value > limit) {
        errno = ERANGE;
        value = limit;
    }
    return (long long)(negative ? -value : value);
}

unsigned long strtoul(const char *restrict text, char **restrict end, int base)
{
    return strtoull(text, end, base);
}

long strtol(const char *restrict text, char **restrict end, int base)
{
    return strtoll(text, end, base);
}

int atoi(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

long atol(const char *text)
{
    return strtol(text, NULL, 10);
}

static unsigned long long random_state = 1;

void srand(unsigned seed)
{
    __atomic_store_n(&random_state, seed, __ATOMIC_RELAXED);
}

/* Counts through a Weyl sequence, and mixes the bits of what it comes to (Stafford's 13th variant). */
int rand(void)
{
    unsigned long long bits = __atomic_add_fetch(&random_state, 0x9e3779b97f4a7c15, __ATOMIC_RELAXED);
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return (int)(bits >> 33);
}

int abs(int number)
{
    return number < 0 ? -number : number;
}

long labs(long number)
{
    return number < 0 ? -number : number;
}

static void swap(char *a, char *b, size_t size)
{
    while (size-- > 0) {
        char byte = a[size];
        a[size] = b[size];
        b[size] = byte;
    }
}

/* Lets the element at `at` sink in the heap of `count` elements. */
static void sink(char *base, size_t at, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0)
            child++;
        if (compare(base + at * size, base + child * size) >= 0)
            return;
        swap(base + at * size, base + child * size, size);
    }
}

/* Heapsort: it needs no memory, and no order of the elements makes it slow. */
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t at = count / 2; at > 0; at--)
        sink(base, at - 1, count, size, compare);
    for (; count > 1; count--) {
        swap(base, (char *)base + (count - 1) * size, size);
        sink(base, 0, count - 1, size, compare);
    }
}

void *bsearch(const void *key, const void *base, size_t count, size_t size,
              int (*compare)(const void *, const void *))
{
    const char *low = base;
    while (count > 0) {
        const char *middle = low + count / 2 * size;
        int order = compare(key, middle);
        if (order == 0)
            return (void *)middle;
        if (order > 0) {
            low = middle + size;
            count--;
        }
        count /= 2;
    }
    return NULL;
}
