/* Prints what many formats make of many values; compiled for the guest and for the host, it prints the same. */
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SHOW(...) \
    do { \
        char text[4096]; \
        int count = snprintf(text, sizeof(text), __VA_ARGS__); \
        printf("%d [%s] %s\n", count, text, #__VA_ARGS__); \
    } while (0)

static void table(void)
{
    SHOW("plain");
    SHOW("%%|%5d|%-5d|%05d|%+d|% d|%5.3d|%.0d|%.0d", 1, 2, 3, 4, 5, 6, 0, 7);
    SHOW("%d %d %i", INT_MIN, INT_MAX, -1);
    SHOW("%ld %lld %jd %zd %td", LONG_MIN, LLONG_MAX, (intmax_t)-7, (size_t)9, (ptrdiff_t)-9);
    SHOW("%hhd %hd %hhu %hu", 300, 70000, 300, 70000);
    SHOW("%u %lu %llu %zu", UINT_MAX, ULONG_MAX, ULLONG_MAX, SIZE_MAX);
    SHOW("%x %X %#x %#X %#x %08x %-8x| %#010x %.4x", 255, 255, 255, 255, 0, 255, 255, 255, 255);
    SHOW("%o %#o %#o %#.3o %.0o %#.0o", 8, 8, 0, 8, 0, 0);
    SHOW("%c%c%5c|%-5c|", 'a', 'b', 'c', 'd');
    SHOW("%s|%10s|%-10s|%.2s|%10.3s|%.0s|", "text", "text", "text", "text", "text", "text");
    SHOW("%*d|%-*d|%.*d|%*.*d|%*d|", 5, 1, 5, 2, 5, 3, 7, 4, 5, -5, 6);
    SHOW("%.*s|%*s|", -1, "whole", -8, "left");
    SHOW("%p", (void *)0x1234);
    SHOW("%f %f %f %f", 0.0, -0.0, 1.5, -2.25);
    SHOW("%.0f %.0f %.0f %.0f %#.0f", 0.5, 1.5, 2.5, 3.5, 4.0);
    SHOW("%10.2f|%-10.2f|%010.2f|%+.2f|% .2f", 3.14159, 3.14159, -3.14159, 3.14159, 3.14159);
    SHOW("%e %E %.0e %#.0e %.10e", 12345.678, 0.00012345, 5.5, 5.5, 1e-300);
    SHOW("%g %g %g %g %g %G %#g", 100000.0, 1000000.0, 0.0001, 0.00001, 0.0, 1e-10, 1.0);
    SHOW("%.3g %.0g %.15g %.17g %.40g", 1234.5, 9.5, 0.1, 0.1, 0.1);
    SHOW("%f", 1.7976931348623157e308);
    SHOW("%.1074f", 4.9406564584124654e-324);
    SHOW("%.20e %.20g", 2.2250738585072014e-308, 4.9406564584124654e-324);
    SHOW("%f %F %e %g %5f|%-5f|%05f", __builtin_inf(), -__builtin_inf(), __builtin_inf(), __builtin_inf(),
         __builtin_inf(), __builtin_inf(), __builtin_inf());
    SHOW("%f %F %+g", __builtin_nan(""), __builtin_nan(""), __builtin_nan(""));
    SHOW("%.3f %.3f %.3f %.3f", 0.9995, 0.99949999, 9.9995, 999.9995);
    SHOW("%.2Lf", (long double)2.5);
}

static void cuts(void)
{
    for (size_t size = 0; size < 8; size++) {
        char text[8];
        memset(text, '#', sizeof(text));
        int count = snprintf(text, size, "%s%d", "abc", 123);
        printf("%zu %d %.8s\n", size, count, text);
    }
}

static uint64_t next(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double next_double(int kind)
{
    uint64_t bits = next();
    double value;
    switch (kind % 3) {
    case 0:
        memcpy(&value, &bits, sizeof(value));
        return value == value ? value : 1.0;
    case 1:
        return (double)(int64_t)bits / 1024;
    default:
        return (double)(bits % 2000001) / 1000 - 1000;
    }
}

static void random_values(void)
{
    static const char flags[] = "-+ 0#";
    static const char kinds[] = "dxofeg";
    for (int i = 0; i < 3000; i++) {
        char format[16], text[1600], *at = format;
        *at++ = '%';
        for (int f = 0; f < 5; f++) {
            char kind = kinds[i % 6];
            int fits = flags[f] != '#' || kind != 'd';
            if (fits && next() % 4 == 0)
                *at++ = flags[f];
        }
        at += snprintf(at, 8, "%d", (int)(next() % 24));
        if (next() % 2 == 0)
            at += snprintf(at, 8, ".%d", (int)(next() % 20));
        char kind = kinds[i % 6];
        if (i % 6 < 3)
            *at++ = 'l';
        *at++ = kind;
        *at = 0;
        int count;
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (i % 6 < 3)
            count = snprintf(text, sizeof(text), format, (long)next() >> (next() % 64));
        else
            count = snprintf(text, sizeof(text), format, next_double(i / 6));
        printf("%s %d [%s]\n", format, count, text);
    }
}

int main(void)
{
    table();
    cuts();
    random_values();
    return 0;
}
