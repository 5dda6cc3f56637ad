/* What format.c and float.c share. */
#ifndef ZX_FORMAT_H_
#define ZX_FORMAT_H_

#include "internal.h"

/* Where a printf is. */
struct output {
    __zx_sink_t sink;
    void *to;
    size_t count;
    va_list args;
};

/* One conversion. `length` is h, H for hh, l for all of 64 bits, L, or 0. */
struct spec {
    int left, zero, plus, space, alternate;
    size_t width;
    int precision;
    char length;
};

/* Prefix, zeros and text, padded to the width. */
void __zx_emit_field(struct output *out, const struct spec *spec, const char *prefix, size_t zeros, const char *text,
                     size_t size);
/* What stands before a number. */
const char *__zx_sign(const struct spec *spec, int negative);
/* %f, %e and %g; takes the argument. */
void __zx_format_float(struct output *out, struct spec *spec, char kind);

#endif
